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
