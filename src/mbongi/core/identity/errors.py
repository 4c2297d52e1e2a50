"""Errors of identity."""

from mbongi.base.errors import MbongiError


class IdentityError(MbongiError):
    """Something about accounts, roles or tenants could not be done."""


class UnsafeRoleError(IdentityError, PermissionError):
    """The database role bypasses row-level security; nothing is read or written with it."""


class SchemaMissingError(IdentityError, RuntimeError):
    """The database has not been migrated, or not by its owner."""


class AccountError(IdentityError, ValueError):
    """An account change was refused; ``reasons`` holds translated texts for the person who asked."""

    def __init__(self, message: str, reasons: list[str] | None = None) -> None:
        super().__init__(message)
        self.reasons = reasons or [message]


class LinkError(AccountError):
    """A first-account or invitation link is unknown, spent, withdrawn or expired."""


class NotPermittedError(IdentityError, PermissionError):
    """Somebody asked for a change that their role does not permit."""
