"""What may go wrong with energy figures and dispatch."""

from mbongi.base.errors import MbongiError


class EnergyError(MbongiError):
    """An error of the energy domain."""
