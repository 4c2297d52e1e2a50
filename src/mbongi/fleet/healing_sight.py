"""What healing rules see of the machines: their conditions, what they can be told, and why some are left alone."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import msgspec
from django.db.models import Q

from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.group_rows import desired_of
from mbongi.fleet.models import Action, Event, Group, HealingRule, Machine, Profile, WorkOrder
from mbongi.fleet.rules.healing import Cure, Mode, Rule, RuleDocument, Sight, in_scope
from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    EventKind,
    Family,
    MachineState,
    OperationKind,
    OperationState,
    PowerMode,
    ProfileState,
)
from mbongi.fleet.waking import SWITCHED, last_switches

SETTLE = timedelta(minutes=10)
"""A machine that anybody told something is given so long before a rule looks at it."""
_WRITTEN = [ActionStatus.PLANNED, ActionStatus.REQUESTED, ActionStatus.RUNNING]
_GOES_ON = [OperationState.RUNNING, OperationState.PAUSED, OperationState.HALTED]
_STOPPING = [kind.value for kind in ActionKind if kind.stops_hashing]
MINING, SLEEPING = MachineState.MINING.value, MachineState.SLEEPING.value


def rule_of(row: HealingRule) -> Rule:
    """A stored rule as it is asked."""
    return Rule(row.pk, row.rank, Mode(row.mode), msgspec.convert(row.document, RuleDocument))


def open_conditions(rules: Sequence[Rule]) -> dict[int, dict[tuple[EventKind, str], int]]:
    """The conditions that these rules go by and that last, by machine, each with its beginning [ms]."""
    kinds = {kind for rule in rules for kind in rule.document.kinds}
    if any(rule.document.figure is not None for rule in rules):
        kinds.add(EventKind.RULE)
    rows = Event.objects.filter(cleared_at=None, kind__in=kinds).values_list("machine_id", "kind", "part", "at")
    found: dict[int, dict[tuple[EventKind, str], int]] = defaultdict(dict)
    for machine_id, kind, part, at in rows:
        found[machine_id][EventKind(kind), part] = int(at.timestamp() * 1000)
    return found


def sights(rules: Sequence[Rule], now: datetime) -> list[Sight]:
    """Every machine that is in a condition of these rules."""
    conditions = open_conditions(rules)
    rows = list(
        Machine.objects.filter(pk__in=conditions, retired_at=None, address__isnull=False).defer("detail").order_by("pk")
    )
    why = asides([row.pk for row in rows], now)
    with_profile = set(Profile.objects.filter(state=ProfileState.ACTIVE).values_list("group_id", flat=True))
    return [
        Sight(
            machine_id=row.pk,
            group_id=row.group_id,
            model=row.model,
            hall=row.hall,
            conditions=conditions[row.pk],
            aside=why.get(row.pk, ""),
            cures=cures(row, with_profile),
        )
        for row in rows
    ]


def cures(machine: Machine, with_profile: Collection[int | None]) -> frozenset[Cure]:
    """What can be tried on a machine: low power where its family can be told, its profile where there is one."""
    found = {Cure.REBOOT, Cure.WAKE, Cure.SLEEP}
    if PowerMode.LOW in adapter_of(Family(machine.family)).abilities.modes:
        found.add(Cure.LOWER)
    if machine.group_id is not None and machine.group_id in with_profile:
        found.add(Cure.REAPPLY)
    return frozenset(found)


def population(rules: Sequence[Rule]) -> dict[int, int]:
    """How many machines each rule speaks of."""
    rows = Machine.objects.filter(retired_at=None, address__isnull=False).values_list("group_id", "model", "hall")
    kinds: dict[tuple[int | None, str, int | None], int] = defaultdict(int)
    for each in rows:
        kinds[each] += 1
    return {rule.id: sum(count for kind, count in kinds.items() if in_scope(rule.document, *kind)) for rule in rules}


def asides(machine_ids: Collection[int], now: datetime, *, but_operation: int | None = None) -> dict[int, str]:
    """The machines among these that are left alone, and why: keys of ``healing_wording.ASIDES``.

    What an operation ``but_operation`` has to do with them is passed over: it asks for itself.
    """
    ids = list(machine_ids)
    found: dict[int, str] = {}
    # The first word counts, so the plainest come first.
    for why, some in (
        ("asleep_by_us", _asleep_by_us(ids)),
        ("order", set(_unfixed(ids))),
        ("operation", _in_operation(ids, but_operation)),
        ("action", _in_action(ids)),
        ("paused", _in_paused_group(ids)),
        ("profile", _asleep_by_profile(ids)),
        ("asleep", set(Machine.objects.filter(pk__in=ids, state=SLEEPING).values_list("pk", flat=True))),
        ("settling", _settling(ids, now)),
    ):
        for machine_id in some:
            found.setdefault(machine_id, why)
    return found


def _asleep_by_us(ids: list[int]) -> set[int]:
    """Those whose last switch of ours put them to sleep and that do not mine: whatever else they do, we wanted that."""
    slept = [pk for pk, last in last_switches(ids).items() if last.kind == ActionKind.SLEEP]
    return set(Machine.objects.filter(pk__in=slept).exclude(state=MINING).values_list("pk", flat=True))


def _unfixed(ids: list[int]) -> "Sequence[int]":
    return list(
        WorkOrder.objects.filter(machine__in=ids, state__in=["open", "taken"]).values_list("machine_id", flat=True)
    )


def _in_operation(ids: list[int], but: int | None) -> set[int]:
    """Those with a step that is not over in an operation that goes on; what has not been started holds nothing back."""
    steps = Action.objects.filter(machine__in=ids, status__in=_WRITTEN, operation__state__in=_GOES_ON)
    return set(steps.exclude(operation=but).values_list("machine_id", flat=True))


def _in_action(ids: list[int]) -> set[int]:
    by_hand = Action.objects.filter(machine__in=ids, status__in=_WRITTEN, operation=None)
    return set(by_hand.values_list("machine_id", flat=True))


def _in_paused_group(ids: list[int]) -> set[int]:
    paused = Group.objects.filter(paused=True).values("pk")
    return set(Machine.objects.filter(pk__in=ids, group__in=paused).values_list("pk", flat=True))


def _asleep_by_profile(ids: list[int]) -> set[int]:
    resting = [
        row.group_id
        for row in Profile.objects.filter(state=ProfileState.ACTIVE)
        if (power := desired_of(row).power) is not None and power.mode is PowerMode.SLEEP
    ]
    return set(Machine.objects.filter(pk__in=ids, group__in=resting).values_list("pk", flat=True))


def _settling(ids: list[int], now: datetime) -> set[int]:
    done = Action.objects.filter(
        SWITCHED | Q(kind__in=_STOPPING, status=ActionStatus.DONE),
        machine__in=ids,
        dry_run=False,
        finished_at__gt=now - SETTLE,
    )
    # What rules did themselves is waited for by the time until they judge it.
    done = done.exclude(operation__kind=OperationKind.HEAL)
    return set(done.values_list("machine_id", flat=True))
