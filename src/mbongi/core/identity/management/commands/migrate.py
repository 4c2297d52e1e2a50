"""Django's ``migrate``, run as the owner of the tables and over every tenant's rows."""

from typing import Any

from django.core.management.commands import migrate

from mbongi.core.identity.scope import SITE, acting, as_owner


class Command(migrate.Command):
    """Everything else runs as ``mbongi_app``, which may not change the schema."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate."""
        with as_owner(), acting(SITE):
            super().handle(*args, **options)
