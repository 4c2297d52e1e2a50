"""What can go wrong between us and a machine. The poller turns each into a state; an action reports it."""

from mbongi.base.errors import MbongiError
from mbongi.fleet.values import MachineState


class DeviceError(MbongiError):
    """A machine was asked something and did not answer it; ``state`` is what that says about the machine."""

    state = MachineState.UNKNOWN


class RefusedError(DeviceError, ConnectionError):
    """The address refused the connection."""

    state = MachineState.OFF


class SilentError(DeviceError, TimeoutError):
    """No answer within the limit."""


class UnreachableError(DeviceError, ConnectionError):
    """No route, or the connection broke before an answer began."""


class GarbledError(DeviceError, ValueError):
    """An answer that cannot be read, or that ends in the middle."""


class DeniedError(DeviceError, PermissionError):
    """The machine does not accept our user and password, or has its write interface switched off."""


class MissingPageError(DeviceError, LookupError):
    """The machine answers, but has no such page or command."""


class FencedError(DeviceError):
    """The machine is no longer this process's to ask; nothing was sent, and nothing is known."""


class RejectedError(DeviceError, ValueError):
    """The machine understood a write and did not take it."""


class ImageBrokenError(DeviceError):
    """A firmware image on the site's disk that is not the one that was stored; no machine was sent all of it."""


class StrangerError(DeviceError):
    """Another machine than the one that is known there answers at the address; nothing that it says is of that one."""
