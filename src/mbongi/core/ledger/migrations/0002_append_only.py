"""Triggers that refuse changes, the row-level policies, and the head of an empty tree."""

from django.db import migrations

from mbongi.core.identity.rls import visible_sql

REFUSE = """
CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger: % of % refused: it is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
FORWARD_ONLY = """
CREATE FUNCTION ledger_head_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.size <= OLD.size THEN
        RAISE EXCEPTION 'ledger: head refused: size % after %', NEW.size, OLD.size
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$
"""
TABLES = ("ledger_entry", "ledger_node", "ledger_checkpoint")


def _append_only(table: str, events: str) -> str:
    return (
        f"CREATE TRIGGER {table}_append_only BEFORE {events} ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()"
    )


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [
        migrations.RunSQL(REFUSE, "DROP FUNCTION ledger_refuse()"),
        migrations.RunSQL(FORWARD_ONLY, "DROP FUNCTION ledger_head_forward()"),
        migrations.RunSQL(
            "INSERT INTO ledger_head (id, size, frontier) VALUES (1, 0, ''::bytea)", "DELETE FROM ledger_head"
        ),
        migrations.RunSQL(
            [
                *(_append_only(table, "UPDATE OR DELETE OR TRUNCATE") for table in TABLES),
                _append_only("ledger_head", "INSERT OR DELETE OR TRUNCATE"),
                "CREATE TRIGGER ledger_head_forward BEFORE UPDATE ON ledger_head"
                " FOR EACH ROW EXECUTE FUNCTION ledger_head_forward()",
            ],
            [
                *(f"DROP TRIGGER {table}_append_only ON {table}" for table in (*TABLES, "ledger_head")),
                "DROP TRIGGER ledger_head_forward ON ledger_head",
            ],
        ),
        # Everybody's acts are recorded, also those of somebody who may not read the record.
        migrations.RunSQL(
            [
                "ALTER TABLE ledger_entry ENABLE ROW LEVEL SECURITY",
                "ALTER TABLE ledger_entry FORCE ROW LEVEL SECURITY",
                f"CREATE POLICY ledger_entry_read ON ledger_entry FOR SELECT USING ({visible_sql()})",
                "CREATE POLICY ledger_entry_add ON ledger_entry FOR INSERT WITH CHECK (true)",
            ],
            [
                "DROP POLICY ledger_entry_read ON ledger_entry",
                "DROP POLICY ledger_entry_add ON ledger_entry",
                "ALTER TABLE ledger_entry NO FORCE ROW LEVEL SECURITY",
                "ALTER TABLE ledger_entry DISABLE ROW LEVEL SECURITY",
            ],
        ),
    ]
