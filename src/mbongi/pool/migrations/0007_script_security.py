"""Whose a script is, is the site's own to know."""

from django.db import migrations

from mbongi.core.identity.rls import tenant_policy


class Migration(migrations.Migration):
    dependencies = [("pool", "0006_replacements")]

    operations = [tenant_policy("pool_plannedscript", "NULL::bigint")]
