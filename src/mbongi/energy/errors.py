"""What may go wrong with energy figures and dispatch."""

from mbongi.base.errors import MbongiError


class EnergyError(MbongiError):
    """An error of the energy domain."""


class ProblemError(EnergyError, ValueError):
    """What dispatch was given contradicts itself; the message names the asset and what was expected."""


class NoPlanError(EnergyError, RuntimeError):
    """The optimiser has no plan; the hard rules steer. The message gives the solver's status."""


class NotPermittedError(EnergyError, PermissionError):
    """The asker's role does not permit it."""


class SupplyRefusedError(EnergyError, ValueError):
    """A description of the supply that cannot be used; ``text`` is for the person who wrote it."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text or message


class MeterError(EnergyError, ValueError):
    """Energies that no figure can be made of."""
