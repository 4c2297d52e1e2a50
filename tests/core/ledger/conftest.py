"""What the ledger's tests share: entries, and somebody who tampers as the owner of the tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from mbongi.core.identity.scope import as_owner
from mbongi.core.ledger import services
from mbongi.core.ledger.checkpoints import Keeper
from mbongi.core.ledger.notes import Signer
from mbongi.core.ledger.values import NewEntry

TABLES = ("ledger_entry", "ledger_node", "ledger_checkpoint", "ledger_head")


def record(count: int = 1, **fields: Any) -> list[int]:
    with transaction.atomic():
        return services.append(
            [
                NewEntry(
                    **{"actor": "user:1", "action": "test.thing.do", "subject": f"thing:{number}", "after": number}
                    | fields
                )
                for number in range(count)
            ]
        )


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(Signer("test.mbongi/ledger", bytes(32)), tmp_path / "ledger" / "checkpoints.txt")


@pytest.fixture
def tamper(db: None) -> Callable[..., None]:
    """Runs a statement as somebody who owns the database and has switched the triggers off."""

    def run(*statements: str) -> None:
        with as_owner(), connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                cursor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
            for statement in statements:
                cursor.execute(statement)
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            cursor.execute("ALTER TABLE ledger_entry FORCE ROW LEVEL SECURITY")

    return run
