"""What may go wrong with the plant's records."""

from mbongi.base.errors import MbongiError


class FacilityError(MbongiError):
    """An error of the plant's domain."""


class NotPermittedError(FacilityError, PermissionError):
    """The asker's role does not permit it."""


class UnknownProcedureError(FacilityError, LookupError):
    """No such procedure, version or run."""


class ProcedureRefusedError(FacilityError, ValueError):
    """A version, a run or a signature that cannot be as it was asked for; ``text`` is for the person who asked."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text or message
