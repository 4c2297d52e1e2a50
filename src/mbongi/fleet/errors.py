"""Errors of the fleet."""

from mbongi.base.errors import MbongiError


class FleetError(MbongiError):
    """Something about machines could not be done."""


class UnknownMachineError(FleetError, LookupError):
    """No such machine, or none that the asker may see: the two are not told apart."""


class UnknownActionError(FleetError, LookupError):
    """No such action, or none that the asker may see."""


class UnknownGroupError(FleetError, LookupError):
    """No such group, or none that the asker may see."""


class UnknownProfileError(FleetError, LookupError):
    """No such version of a profile, or none that the asker may see."""


class UnknownMoveError(FleetError, LookupError):
    """No such move of machines into a group."""


class UnknownOperationError(FleetError, LookupError):
    """No such operation, or none that the asker may see."""


class NotPermittedError(FleetError, PermissionError):
    """The asker's role does not permit it."""


class ActionRefusedError(FleetError, ValueError):
    """An action was asked for with arguments that cannot be used, without a reason, or of a machine that is busy.

    ``text`` is for the person who asked, in their language.
    """

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text or message


class MachineBusyError(ActionRefusedError):
    """An action on the machine is under way; another one may be asked for after its end."""


class ProfileRefusedError(ActionRefusedError):
    """A group or a profile that cannot be as it was asked for."""


class OperationRefusedError(ActionRefusedError):
    """An operation that cannot be planned so, or not be brought from its state into the one asked for."""


class UnknownRuleError(FleetError, LookupError):
    """No such healing rule, attempt or replay, or none that the asker may see."""


class RuleRefusedError(ActionRefusedError):
    """A healing rule, or a replay of some, that cannot be as it was asked for."""


class UnknownOrderError(FleetError, LookupError):
    """No such work order, or none that the asker may see."""


class UnknownPartError(FleetError, LookupError):
    """No such spare part."""


class WorkRefusedError(ActionRefusedError):
    """An entry on a work order, or a move of stock, that cannot be used."""


class UnknownContractError(FleetError, LookupError):
    """No such contract, version, excuse, closing or statement, or none that the asker may see."""


class HostingRefusedError(ActionRefusedError):
    """A contract, an excuse or a statement that cannot be as it was asked for."""


class UnknownImageError(FleetError, LookupError):
    """No such firmware image or key."""


class ImageRefusedError(ActionRefusedError):
    """A firmware image or a key that cannot be taken into the store, or not out of it."""


class UnknownTriggerError(FleetError, LookupError):
    """No such trigger of curtailment."""
