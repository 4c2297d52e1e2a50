"""What may go wrong with the plant's records."""

from mbongi.base.errors import MbongiError


class FacilityError(MbongiError):
    """An error of the plant's domain."""


class UnknownAlarmError(FacilityError, LookupError):
    """No such alarm, definition or notice."""


class AlarmNotPermittedError(FacilityError, PermissionError):
    """The asker's role does not permit it."""


class AlarmRefusedError(FacilityError, ValueError):
    """Something about alarms that cannot be as it was asked for. ``text`` is for the asker, in their language."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text or message


class SpoolFullError(FacilityError, OSError):
    """Observations cannot be kept: the spool is at its limit, as the database has been away for too long."""


class NoticeError(FacilityError, RuntimeError):
    """A notice could not be sent. ``is_final``: trying again is of no use."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final
