"""What may go wrong with the plant's records."""

from mbongi.base.errors import MbongiError


class FacilityError(MbongiError):
    """An error of the plant's domain."""


class UnknownElementError(FacilityError, LookupError):
    """No element, place or link has this tag."""


class NotPermittedError(FacilityError, PermissionError):
    """The asker's role does not permit it."""


class InventoryRefusedError(FacilityError, ValueError):
    """A change of the inventory that cannot be made; ``text`` is for the person who asked, in their language."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text or message


class UnknownDeviceError(FacilityError, LookupError):
    """No such device."""


class DeviceRefusedError(FacilityError, ValueError):
    """A device's record that cannot be as it was asked for. ``text`` is for the person who asked, in their language."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


class UnknownAlarmError(FacilityError, LookupError):
    """No such alarm, definition or notice."""


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


class UnknownProcedureError(FacilityError, LookupError):
    """No such procedure, version or run."""


class ProcedureRefusedError(FacilityError, ValueError):
    """A version, a run or a signature that cannot be as it was asked for; ``text`` is for the person who asked."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text or message
