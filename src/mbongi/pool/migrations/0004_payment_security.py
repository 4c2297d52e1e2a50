"""Tenants see the payments that pay them, and of these their own outputs; coins and approvals are the site's own."""

from django.db import migrations

from mbongi.core.identity.rls import tenant_policy

# Within a tenant's scope the sub-select sees the tenant's outputs alone, so it finds that tenant or nobody.
_PAID = "(SELECT o.tenant_id FROM pool_paymentoutput o WHERE o.payment_id = pool_payment.id LIMIT 1)"


class Migration(migrations.Migration):
    dependencies = [("pool", "0003_payments")]

    operations = [
        tenant_policy("pool_paymentoutput"),
        tenant_policy("pool_payment", _PAID),
        tenant_policy("pool_paymentapproval", "NULL::bigint"),
        tenant_policy("pool_coin", "NULL::bigint"),
    ]
