"""Errors of the ledger."""

from mbongi.base.errors import MbongiError


class LedgerError(MbongiError):
    """Something about the ledger could not be done."""


class EntryError(LedgerError, ValueError):
    """An entry cannot be recorded as it is; nothing was."""


class NoteError(LedgerError, ValueError):
    """A signed note or checkpoint cannot be read, or its signature is not ours."""


class TamperedError(LedgerError, RuntimeError):
    """The ledger contradicts an earlier checkpoint; nothing more is signed until somebody has looked."""
