"""What can go wrong between us and a device of the plant. The poller tells each in plain words and goes on."""

from typing import ClassVar

from mbongi.facility.errors import FacilityError


class DeviceError(FacilityError):
    """A device was asked and did not answer it; ``kind`` is the word that pages translate."""

    kind: ClassVar[str] = "broken"


class SilentError(DeviceError, TimeoutError):
    """No answer within the limit."""

    kind = "silent"


class UnreachableError(DeviceError, ConnectionError):
    """Nobody takes connections there, there is no route, or the connection broke."""

    kind = "unreachable"


class GarbledError(DeviceError, ValueError):
    """An answer that the protocol does not allow, or that is of another kind of device."""

    kind = "garbled"


class DeniedError(DeviceError, PermissionError):
    """The device does not accept our name and secret, or does not let us."""

    kind = "denied"


class MissingError(DeviceError, LookupError):
    """The device answers, and has none of what its map says it has."""

    kind = "missing"


class WriteError(DeviceError):
    """A value was written and is not there afterwards, or the device refused it."""

    kind = "refused"
