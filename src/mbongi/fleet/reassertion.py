"""Machines that drift are brought back to their profile without being asked, where the profile says so.

It never acts on a group that is paused, nor on a machine that somebody works on or that another operation has; and a
machine that drifts again and again is left to people, with an alarm (``rules.reassert``). Everything is read from the
database each time, so that a restart forgets no try.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Max, Min, Q

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.core.identity.values import Permission
from mbongi.fleet import services
from mbongi.fleet.errors import OperationRefusedError
from mbongi.fleet.models import Action, Event, Group, HealingAttempt, Machine, Operation, Profile, WorkOrder
from mbongi.fleet.reconcile import reconcile
from mbongi.fleet.rules.conditions import limit
from mbongi.fleet.rules.healing import Outcome
from mbongi.fleet.rules.reassert import Course, Next, course
from mbongi.fleet.rules.work_orders import WorkState
from mbongi.fleet.values import (
    ActionStatus,
    ConditionChange,
    EventKind,
    OperationKind,
    OperationState,
    ProfileState,
)

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

ACTOR = "profile:"
WRITABLE = (
    EventKind.POOL_DRIFT,
    EventKind.WORKER_DRIFT,
    EventKind.POWER_DRIFT,
    EventKind.FAN_DRIFT,
    EventKind.NAME_DRIFT,
)
"""Drift that a write ends. Firmware is a campaign's to change, passwords a person's."""
_OVER = [state for state in OperationState if state.is_over]
_OPEN = (ActionStatus.PLANNED, ActionStatus.REQUESTED, ActionStatus.RUNNING)
_UNFIXED = [state for state in WorkState if state.is_unfixed]


def look(*, now: datetime | None = None, but_not: Collection[int] = ()) -> tuple[list[int], list[int]]:
    """One look at every group: the operations that it began, and the machines for which there was nothing to write.

    ``but_not``: machines for which there was nothing a short while ago.
    """
    now = now or utc_now()
    begun: list[int] = []
    without: list[int] = []
    _clear_reverts(now)
    for profile in Profile.objects.filter(state=ProfileState.ACTIVE, document__reassert=True, group__paused=False):
        due = _due(profile, now, but_not)
        if not due:
            continue
        operation_id = _reassert(profile, due)
        if operation_id is None:
            without += due
        else:
            begun.append(operation_id)
    return begun, without


@transaction.atomic
def _due(profile: Profile, now: datetime, but_not: Collection[int]) -> list[int]:
    """The machines whose turn it is; those that drifted too often get their alarm."""
    row = Group.objects.select_for_update().filter(pk=profile.group_id, paused=False).first()
    if row is None or _is_under_way(profile.group_id):
        return []
    drift = _drifting(profile.group_id, but_not)
    courses = _courses(profile, drift, now)
    given_up = [machine_id for machine_id, one in courses.items() if one.next is Next.NEVER]
    services.record_conditions([_reverts(machine_id, courses[machine_id], now) for machine_id in given_up])
    return sorted(machine_id for machine_id, one in courses.items() if one.next is Next.NOW)


def _is_under_way(group_id: int) -> bool:
    """Whether a reconciliation of the group is not over: one that halted waits for a person, and so does this."""
    return Operation.objects.filter(group=group_id, kind=OperationKind.RECONCILE).exclude(state__in=_OVER).exists()


def _drifting(group_id: int, but_not: Collection[int]) -> dict[int, datetime]:
    """Since when machines drift that may be written: nobody works on them, and no other operation has them."""
    machines = Machine.objects.filter(group=group_id, retired_at=None, address__isnull=False)
    held = Action.objects.filter(Q(status__in=_OPEN) | ~Q(operation__state__in=_OVER), operation__isnull=False)
    by_hand = Action.objects.filter(operation=None, status__in=_OPEN)
    orders = WorkOrder.objects.filter(state__in=_UNFIXED)
    # A machine that a healing rule brought to low power is not brought back before that is judged.
    healing = HealingAttempt.objects.filter(outcome=Outcome.OPEN, is_watch=False)
    free = machines.exclude(pk__in=list(but_not)).exclude(pk__in=orders.values("machine"))
    free = free.exclude(pk__in=healing.values("machine"))
    free = free.exclude(pk__in=held.values("machine")).exclude(pk__in=by_hand.values("machine"))
    rows = Event.objects.filter(machine__in=free, kind__in=WRITABLE, cleared_at=None).values_list("machine_id")
    return dict(rows.annotate(since=Min("at")).order_by())


def _courses(profile: Profile, drift: Mapping[int, datetime], now: datetime) -> dict[int, Course]:
    tries = tries_of(profile, list(drift))
    return {
        machine_id: course([each.timestamp() for each in tries.get(machine_id, ())], since.timestamp(), now.timestamp())
        for machine_id, since in drift.items()
    }


def tries_of(profile: Profile, machine_ids: Sequence[int]) -> dict[int, list[datetime]]:
    """When each machine was brought back by its profile since a person last dealt with it, oldest first.

    A person has when a version became active, and when they reconcile the machine by hand.
    """
    steps = Action.objects.filter(machine__in=machine_ids, operation__kind=OperationKind.RECONCILE)
    if profile.decided_at is not None:
        steps = steps.filter(operation__planned_at__gte=profile.decided_at)
    by_hand = steps.exclude(operation__actor__startswith=ACTOR).values_list("machine_id")
    dealt_with = dict(by_hand.annotate(last=Max("operation__planned_at")).order_by())
    found: dict[int, list[datetime]] = {}
    own = steps.filter(operation__actor__startswith=ACTOR).values_list("machine_id", "operation__planned_at")
    for machine_id, at in own.distinct().order_by("operation__planned_at"):
        last = dealt_with.get(machine_id)
        if at is not None and (last is None or at > last):
            found.setdefault(machine_id, []).append(at)
    return found


def _reassert(profile: Profile, machine_ids: Sequence[int]) -> int | None:
    user = _who(profile)
    if user is None:
        return None
    reason = f"version {profile.number} of the profile re-asserts itself"
    try:
        row = reconcile(user, profile.group_id, machine_ids=machine_ids, reason=reason, actor=f"{ACTOR}{profile.pk}")
    except OperationRefusedError:
        return None
    return row.id


def _who(profile: Profile) -> "User | None":
    """In whose name a profile acts: whoever made it active, or wrote it, and may still run operations."""
    people = [person for person in (profile.decider, profile.author) if person is not None]
    return next((person for person in people if person.may(Permission.OPERATION_RUN)), None)


def _reverts(machine_id: int, one: Course, now: datetime) -> ConditionChange:
    return ConditionChange(
        MachineId(machine_id),
        EventKind.REVERTS,
        "",
        opened=True,
        at_ms=int(now.timestamp() * 1000),
        severity=limit(EventKind.REVERTS).severity,
        params={"tries": one.tries},
    )


def _clear_reverts(now: datetime) -> None:
    """The alarm ends with the drift, with the profile's wish to re-assert, and once a person has dealt with it."""
    rows = list(Event.objects.filter(kind=EventKind.REVERTS, cleared_at=None).select_related("machine"))
    if not rows:
        return
    ids = [row.machine_id for row in rows]
    drifting = set(
        Event.objects.filter(machine__in=ids, kind__in=WRITABLE, cleared_at=None).values_list("machine_id", flat=True)
    )
    active = Profile.objects.filter(state=ProfileState.ACTIVE, document__reassert=True)
    profiles = {profile.group_id: profile for profile in active}
    over = []
    for row in rows:
        profile = profiles.get(row.machine.group_id or 0)
        if row.machine_id not in drifting or profile is None or not tries_of(profile, [row.machine_id]):
            over.append(row)
    at_ms = int(now.timestamp() * 1000)
    services.record_conditions([
        ConditionChange(MachineId(row.machine_id), EventKind.REVERTS, "", opened=False, at_ms=at_ms) for row in over
    ])  # fmt: skip
