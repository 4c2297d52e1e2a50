"""The table of Django's database cache, which holds the sign-in limits of all processes."""

from django.db import migrations

CREATE = """
CREATE UNLOGGED TABLE identity_cache (
    cache_key varchar(255) PRIMARY KEY,
    value text NOT NULL,
    expires timestamptz NOT NULL
)
"""


class Migration(migrations.Migration):
    dependencies = [("identity", "0001_initial")]

    operations = [
        migrations.RunSQL(
            [CREATE, "CREATE INDEX identity_cache_expires ON identity_cache (expires)"], "DROP TABLE identity_cache"
        )
    ]
