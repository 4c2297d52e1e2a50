"""Makes the one-time link that creates the first account."""

import argparse

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.run.database import use_database


class AccountCommandError(MbongiError, RuntimeError):
    """No link can be made."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("what", nargs="?", choices=["first-link"], default="first-link")
    parser.add_argument("--if-none", action="store_true", help="once an account exists, print nothing and succeed")


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:
    """Print the link; once an account exists there is none."""
    link = first_link(config)
    if link is None and arguments is not None and arguments.if_none:
        return 0
    if link is None:
        raise AccountCommandError("an account exists, so there is no first link; a site manager can invite people")
    print(link)
    return 0


def first_link(config: Config) -> str | None:
    """The address that creates the first account; None once one exists. Makes earlier links useless."""
    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.core.identity.services import create_first_account_link  # noqa: PLC0415

    with acting(SITE):
        path = create_first_account_link()
    return None if path is None else config.public_url.rstrip("/") + path
