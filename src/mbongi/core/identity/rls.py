"""Row-level security for migrations: ``tenant_policy`` binds a table to the scope of the present work."""

from django.db.migrations import RunSQL
from django.db.migrations.operations.base import Operation

# Sub-selects, so that PostgreSQL reads the setting once per statement: cheaper, and a cursor keeps the scope it has.
SITE_WIDE_SQL = "(SELECT current_setting('mbongi.site_wide', true)) = 'on'"
TENANT_SQL = "(SELECT nullif(current_setting('mbongi.tenant', true), '')::bigint)"


def visible_sql(column: str = "tenant_id") -> str:
    """The condition under which a row belongs to the scope; a row without tenant is the site's own."""
    return f"{SITE_WIDE_SQL} OR {column} = {TENANT_SQL}"


def tenant_policy(table: str, column: str = "tenant_id") -> Operation:
    """A migration operation: only rows of the scope can be seen, changed or added, by the table's owner too.

    ``table`` and ``column`` are names in the schema, written by developers; they are not escaped.
    """
    visible = visible_sql(column)
    return RunSQL(
        sql=[
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY {table}_scope ON {table} USING ({visible}) WITH CHECK ({visible})",
        ],
        reverse_sql=[
            f"DROP POLICY {table}_scope ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ],
    )


def site_policy(table: str) -> Operation:
    """A migration operation for a table that is the site's own: no tenant sees, changes or adds a row of it."""
    return tenant_policy(table, "NULL::bigint")
