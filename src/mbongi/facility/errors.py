"""What may go wrong with the plant's records."""

from mbongi.base.errors import MbongiError


class FacilityError(MbongiError):
    """An error of the plant's domain."""


class NotPermittedError(FacilityError, PermissionError):
    """The asker's role does not permit it."""


class UnknownDeviceError(FacilityError, LookupError):
    """No such device."""


class DeviceRefusedError(FacilityError, ValueError):
    """A device's record that cannot be as it was asked for. ``text`` is for the person who asked, in their language."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text
