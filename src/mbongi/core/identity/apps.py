"""Django application of identity."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class IdentityConfig(AppConfig):
    """Users, tenants and what they may see."""

    name = "mbongi.core.identity"
    label = "identity"

    def ready(self) -> None:
        """Grant the application's role its rights after every migration, and record allauth's account changes."""
        from mbongi.core.identity import record  # noqa: PLC0415 -- needs the application registry

        post_migrate.connect(_grant, sender=self, dispatch_uid="mbongi.identity.grants")
        record.connect()


def _grant(*, using: str, **_: Any) -> None:
    from mbongi.core.identity.grants import grant_application_rights  # noqa: PLC0415

    grant_application_rights(using)
