"""One thing done to many machines that somebody chose: what it would do, and the operation that does it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.fleet.errors import OperationRefusedError
from mbongi.fleet.machine_models import machine_model
from mbongi.fleet.models import Action, Machine
from mbongi.fleet.operations import Plan, Step, plan_operation, start_operation
from mbongi.fleet.values import ActionKind, ActionStatus, Limits, MachineState, OperationKind

if TYPE_CHECKING:
    from mbongi.core.identity.models import User
    from mbongi.fleet.operation_rows import OperationRow

KINDS = (ActionKind.SLEEP, ActionKind.WAKE, ActionKind.REBOOT)
MACHINES_MAX = 20_000
"""Machines chosen at once, at most."""
_BUSY = (ActionStatus.PLANNED, ActionStatus.REQUESTED, ActionStatus.RUNNING)
_SILENT = {MachineState.UNKNOWN, MachineState.OFF}
_LOAD = {ActionKind.SLEEP: -1.0, ActionKind.WAKE: 1.0}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What would be done to the chosen machines: the steps, and those left as they are by reason (``WHY_NOT``)."""

    kind: ActionKind
    steps: Sequence[Step]
    left: Counter[str]

    @property
    def load_w(self) -> float:
        """By how much the site's load would change, by the nameplates of the models that are known."""
        return sum(step.load_w for step in self.steps)


def look(kind: ActionKind, machine_ids: Sequence[int]) -> Chosen:
    """What would be done to them now; writes nothing. Raises OperationRefusedError for too many, or another kind."""
    what = f"{kind} {len(machine_ids)} machines"
    if kind not in KINDS:
        raise OperationRefusedError(f"{what}: expected one of {', '.join(KINDS)}", _("This cannot be done to many."))
    if len(machine_ids) > MACHINES_MAX:
        raise OperationRefusedError(
            f"{what}: at most {MACHINES_MAX}", _("At most %(limit)d machines at once.") % {"limit": MACHINES_MAX}
        )
    rows = Machine.objects.filter(pk__in=list(machine_ids), retired_at=None).order_by("hall", "rack", "slot", "pk")
    busy = set(
        Action.objects.filter(machine__in=list(machine_ids), status__in=_BUSY).values_list("machine_id", flat=True)
    )
    steps: list[Step] = []
    left: Counter[str] = Counter()
    for pk, address, state, model in rows.values_list("pk", "address", "state", "model"):
        reason = "busy" if pk in busy else _why_not(kind, address, MachineState(state))
        if reason:
            left[reason] += 1
        else:
            steps.append(Step(pk, kind, load_w=_load_w(kind, model)))
    return Chosen(kind, steps, left)


def _why_not(kind: ActionKind, address: str | None, state: MachineState) -> str:
    if address is None or state in _SILENT:
        return "silent"
    asleep = state is MachineState.SLEEPING
    if kind is ActionKind.WAKE:
        return "" if asleep else "already"
    if asleep:
        return "already" if kind is ActionKind.SLEEP else "asleep"
    return ""


def _load_w(kind: ActionKind, model: str) -> float:
    power_w = machine_model(model).power_w
    return power_w * _LOAD.get(kind, 0.0) if power_w == power_w else 0.0  # noqa: PLR0124 -- NaN


@transaction.atomic
def do(user: "User", kind: ActionKind, machine_ids: Sequence[int], *, limits: Limits, reason: str) -> "OperationRow":
    """Make an operation of it, as it stands at this moment, and start it.

    Raises NotPermittedError, OperationRefusedError, ProfileRefusedError for limits that cannot be used.
    """
    chosen = look(kind, machine_ids)
    document = {"left_count": dict(chosen.left)}
    plan = Plan(OperationKind.HAND, chosen.steps, reason, limits=limits, document=document)
    return start_operation(user, plan_operation(user, plan).id)
