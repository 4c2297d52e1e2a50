"""Tenants see what is theirs; the order of the whole pool's work is the site's own."""

from django.db import migrations

from mbongi.core.identity.rls import tenant_policy

OF_TENANTS = ("pool_account", "pool_worker", "pool_workerminute", "pool_windowleaf", "pool_entrychange")
OF_THE_SITE = ("pool_cursor", "pool_slice", "pool_slicework")


class Migration(migrations.Migration):
    dependencies = [("pool", "0001_initial")]

    operations = [
        *(tenant_policy(table) for table in OF_TENANTS),
        *(tenant_policy(table, "NULL::bigint") for table in OF_THE_SITE),
    ]
