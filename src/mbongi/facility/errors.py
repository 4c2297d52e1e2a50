"""What may go wrong with the plant's records."""

from mbongi.base.errors import MbongiError


class FacilityError(MbongiError):
    """An error of the plant's domain."""
