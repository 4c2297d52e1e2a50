"""Brings the database's tables up to date, as the owner of the database."""

import argparse

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.run.database import use_database


class MigrationError(MbongiError, RuntimeError):
    """The tables could not be brought up to date."""


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Apply every migration that is not applied yet; repeating it does nothing."""
    use_database()
    from django.core.management import call_command  # noqa: PLC0415 -- Django must be set up first
    from django.db import DatabaseError  # noqa: PLC0415

    try:
        call_command("migrate", interactive=False, verbosity=0)
    except DatabaseError as error:
        where = config.postgres_url.rsplit("@", 1)[-1]
        raise MigrationError(f"migrate: database {where}: {str(error).strip()}") from error
    return 0
