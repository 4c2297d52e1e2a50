"""Tenants see the rows of their own machines only."""

from django.db import migrations

from mbongi.core.identity.rls import tenant_policy


class Migration(migrations.Migration):
    dependencies = [("fleet", "0001_initial")]

    operations = [tenant_policy(table) for table in ("fleet_machine", "fleet_event", "fleet_action")]
