"""From what machines state to what their group's profile wants: the dry run, and the operation that brings it about.

The dry run compares the profile with what machines stated at their last polls; no device is written for it. What is
not known is not written, and what cannot be done is said with its reason.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.core.identity.values import Permission
from mbongi.fleet import services
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.errors import OperationRefusedError
from mbongi.fleet.group_rows import desired_of, group, wanted_by_machine
from mbongi.fleet.machine_models import machine_model
from mbongi.fleet.models import Action, Group, Machine, Profile
from mbongi.fleet.operations import Plan, Step, plan_operation, start_operation
from mbongi.fleet.positions import rack_label
from mbongi.fleet.reading import MachineDetail, Stated
from mbongi.fleet.rules.desired import Change, Difference, Wanted, changes, differences
from mbongi.fleet.rules.stated import stated_of
from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    DesiredField,
    Family,
    MachineState,
    OperationKind,
    ProfileState,
)

if TYPE_CHECKING:
    from mbongi.core.identity.models import User
    from mbongi.fleet.operation_rows import OperationRow

STATED_FOR = timedelta(minutes=10)
"""What a machine stated longer ago says nothing of how it is set now."""
LEFT_MAX = 1000
"""Machines that an operation's document names with what was left undone, at most; it counts all of them."""
MODE_SHARE = 0.25
"""Chosen: by how much of its nameplate power a change of mode moves a machine, at most."""
_SILENT = {MachineState.UNKNOWN, MachineState.OFF}


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """What differs on one machine, and what would be done about it. ``stated_at`` is when it stated that."""

    machine_id: MachineId
    address: str | None
    model: str
    rack_label: str
    slot: int | None
    stated_at: datetime | None
    differences: Sequence[Difference]
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Preview:
    """A dry run over a group: the machines that differ, or may differ, and how many are as they should be.

    ``pending`` machines have steps of another reconciliation before them and are left to it.
    """

    group_id: int
    profile_id: int
    number: int
    machines: Sequence[MachinePlan]
    same: int
    pending: int

    @property
    def steps(self) -> int:
        """How many writes it would take."""
        return sum(change.kind is not None for machine in self.machines for change in machine.changes)

    @property
    def unknown(self) -> int:
        """How many machines differ in nothing that is known, and do not state all of it."""
        return sum(not any(each.known for each in machine.differences) for machine in self.machines)

    @property
    def differing(self) -> int:
        """How many machines are known to differ."""
        return len(self.machines) - self.unknown

    @property
    def total(self) -> int:
        """How many machines were looked at, those that are left to another operation included."""
        return len(self.machines) + self.same + self.pending

    @property
    def left(self) -> Counter[str]:
        """How many changes would be left undone, by reason: keys of ``wording.WHY_NOT``."""
        return Counter(change.why_not for machine in self.machines for change in machine.changes if change.why_not)


def preview(group_id: int, *, machine_ids: Sequence[int] | None = None, now: datetime | None = None) -> Preview:
    """What a reconciliation would do now, to all machines of a group or to these of them. Writes nothing.

    Raises UnknownGroupError, OperationRefusedError where no version of the profile is active.
    """
    group(group_id)
    active = Profile.objects.filter(group_id=group_id, state=ProfileState.ACTIVE).first()
    if active is None:
        raise OperationRefusedError(
            f"reconcile group {group_id}: no version of its profile is active", _("The group has no active profile.")
        )
    rows = Machine.objects.filter(group_id=group_id, retired_at=None).order_by("hall", "rack", "slot", "pk")
    if machine_ids is not None:
        rows = rows.filter(pk__in=list(machine_ids))
    machines = list(rows)
    ids = [machine.pk for machine in machines]
    wanted, pending, slept = wanted_by_machine(ids), _pending(ids), _slept_by_profile(ids)
    plans = [
        _plan(machine, wanted[MachineId(machine.pk)], now or utc_now(), slept_by_profile=machine.pk in slept)
        for machine in machines
        if machine.pk not in pending
    ]
    differing = [plan for plan in plans if plan.differences]
    return Preview(group_id, active.pk, active.number, differing, len(plans) - len(differing), len(pending))


def _plan(machine: Machine, wanted: Wanted, now: datetime, *, slept_by_profile: bool) -> MachinePlan:
    abilities = adapter_of(Family(machine.family)).abilities
    stated = stated_by(machine, now)
    found = differences(wanted, stated, owner=machine.tenant_id or 0, abilities=abilities)
    return MachinePlan(
        machine_id=MachineId(machine.pk),
        address=machine.address,
        model=machine.model,
        rack_label=rack_label(machine.hall, machine.rack),
        slot=machine.slot,
        stated_at=machine.detail_at,
        differences=found,
        changes=changes(wanted, found, abilities, slept_by_profile=slept_by_profile),
    )


def stated_by(machine: Machine, now: datetime) -> Stated:
    """What a machine states of its settings; nothing where it is silent, or said it too long ago."""
    is_silent = MachineState(machine.state) in _SILENT or machine.address is None
    if is_silent or machine.detail_at is None or now - machine.detail_at > STATED_FOR:
        return Stated()
    return stated_of(msgspec.convert(machine.detail, MachineDetail))


def _pending(ids: Sequence[int]) -> set[int]:
    statuses = [ActionStatus.PLANNED, ActionStatus.REQUESTED, ActionStatus.RUNNING]
    steps = Action.objects.filter(machine__in=ids, status__in=statuses, operation__kind=OperationKind.RECONCILE)
    return set(steps.values_list("machine_id", flat=True))


def _slept_by_profile(ids: Sequence[int]) -> set[int]:
    """The machines whose last sleep or waking was a profile's putting them to sleep."""
    switches = Action.objects.filter(
        machine__in=ids, kind__in=[ActionKind.SLEEP, ActionKind.WAKE], status=ActionStatus.DONE, dry_run=False
    )
    last = switches.order_by("machine_id", "-finished_at", "-pk").distinct("machine_id")
    fields = last.values_list("machine_id", "kind", "operation__kind")
    return {pk for pk, kind, operation in fields if kind == ActionKind.SLEEP and operation == OperationKind.RECONCILE}


@transaction.atomic
def reconcile(
    user: "User",
    group_id: int,
    *,
    machine_ids: Sequence[int] | None = None,
    reason: str,
    start: bool = True,
    actor: str = "",
) -> "OperationRow":
    """Make an operation of what the dry run shows at this moment, within the profile's limits; it starts at once.

    The profile has been agreed on, so no second person is asked. Owners that differ are assigned here, if the user may
    manage tenants. ``actor`` is who acts in the ledger in the user's name, such as a profile that re-asserts itself.
    Raises NotPermittedError, UnknownGroupError, OperationRefusedError where the group is paused, or nothing could be
    written.
    """
    # Two reconciliations at once would both plan the same steps.
    locked = Group.objects.select_for_update().filter(pk=group_id).first()
    if locked is not None and locked.paused:
        raise OperationRefusedError(
            f"reconcile group {group_id}: it is paused",
            _("The group is paused; let it go on before its profile is applied."),
        )
    found = preview(group_id, machine_ids=machine_ids)
    desired = desired_of(Profile.objects.get(pk=found.profile_id))
    steps = [step for machine in found.machines for step in steps_of(machine)]
    if not steps:
        raise OperationRefusedError(
            f"reconcile group {group_id}: nothing to write; left: {dict(found.left) or 'nothing'}",
            _("There is nothing that could be written."),
        )
    # Before the steps are written down: those are the new owner's.
    if user.may(Permission.TENANT_MANAGE) and not actor:
        _assign(user, found, desired.owner, reason)
    row = plan_operation(
        user,
        Plan(
            kind=OperationKind.RECONCILE,
            steps=steps,
            reason=reason,
            limits=desired.limits,
            document=_document(found),
            group_id=group_id,
            profile_id=found.profile_id,
            tenant_id=group(group_id).tenant_id,
            actor=actor,
        ),
    )
    return start_operation(user, row.id) if start else row


def steps_of(plan: MachinePlan) -> list[Step]:
    """The writes of a machine's plan."""
    return [
        Step(plan.machine_id, change.kind, change.arguments, load_w=_load_w(plan, change))
        for change in plan.changes
        if change.kind is not None
    ]


def _load_w(plan: MachinePlan, change: Change) -> float:
    """By how much a change moves the site's load, by the nameplate; 0 where the model is not known."""
    power_w = machine_model(plan.model).power_w
    if power_w != power_w:  # noqa: PLR0124 -- NaN
        return 0.0
    share = {ActionKind.SLEEP: -1.0, ActionKind.WAKE: 1.0, ActionKind.SET_POWER: MODE_SHARE}
    return power_w * share.get(change.kind, 0.0) if change.kind is not None else 0.0


def _document(found: Preview) -> Mapping[str, Any]:
    left = [
        {"machine": plan.machine_id, "fields": list(change.fields), "why_not": change.why_not}
        for plan in found.machines
        for change in plan.changes
        if change.why_not
    ]
    return {
        "version": found.number,
        "same": found.same,
        "pending": found.pending,
        "left_count": dict(found.left),
        "left": left[:LEFT_MAX],
    }


def _assign(user: "User", found: Preview, owner: int | None, reason: str) -> None:
    ids = [
        plan.machine_id for plan in found.machines if any(each.field is DesiredField.OWNER for each in plan.differences)
    ]
    if ids:
        services.assign(user, ids, owner or None, reason)
