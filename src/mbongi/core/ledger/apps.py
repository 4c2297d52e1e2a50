"""Django application of the ledger."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate

_REVOKE = (
    "REVOKE UPDATE, DELETE, TRUNCATE ON ledger_entry, ledger_node, ledger_checkpoint FROM mbongi_app",
    "REVOKE INSERT, DELETE, TRUNCATE ON ledger_head FROM mbongi_app",
)


class LedgerConfig(AppConfig):
    """The append-only record."""

    name = "mbongi.core.ledger"
    label = "ledger"

    def ready(self) -> None:
        """Take the right to change entries from the application's role, after identity granted all rights."""
        post_migrate.connect(_revoke, sender=self, dispatch_uid="mbongi.ledger.revoke")


def _revoke(*, using: str, **_: Any) -> None:
    with connections[using].cursor() as cursor:
        for statement in _REVOKE:
            cursor.execute(statement)
