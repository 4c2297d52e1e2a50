"""Machines that were told to wake and do not: a fault, and no pause of ours.

What people or the site put to sleep is left alone until it is told to wake. From then on it should mine, whether or not
it took the word.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.fleet import services
from mbongi.fleet.models import Action, Event, Machine
from mbongi.fleet.rules.conditions import limit
from mbongi.fleet.values import ActionKind, ActionStatus, ConditionChange, EventKind, MachineState, OperationKind

SWITCHED = Q(kind__in=[ActionKind.SLEEP, ActionKind.WAKE], status=ActionStatus.DONE) | Q(
    kind=ActionKind.WAKE, status=ActionStatus.FAILED
)
"""What says whether we want a machine to sleep: what was done, and a waking that failed. Whatever could not be put to
sleep is still to mine."""
SEARCHED = timedelta(days=1)
"""How far back failed wakings are looked for; what is open already stays open."""


def last_switches(machine_ids: Collection[int]) -> dict[int, Action]:
    """The last word on sleeping that each of these machines was given."""
    rows = Action.objects.filter(SWITCHED, machine__in=list(machine_ids), dry_run=False)
    newest = rows.order_by("machine_id", "-finished_at", "-pk").distinct("machine_id")
    return {row.machine_id: row for row in newest}


@transaction.atomic
def look(*, now: datetime | None = None) -> int:
    """Open and clear the condition of machines that do not wake; returns how many changed. May be repeated."""
    now = now or utc_now()
    one = limit(EventKind.NOT_WOKEN)
    failed = Action.objects.filter(kind=ActionKind.WAKE, status=ActionStatus.FAILED, dry_run=False)
    due = failed.filter(finished_at__gt=now - SEARCHED, finished_at__lte=now - timedelta(seconds=one.hold_s))
    told = set(Event.objects.filter(kind=EventKind.NOT_WOKEN, cleared_at=None).values_list("machine_id", flat=True))
    asked = told | set(due.values_list("machine_id", flat=True))
    if not asked:
        return 0
    rows = Machine.objects.filter(pk__in=asked, retired_at=None).exclude(state=MachineState.MINING.value)
    quiet = set(rows.values_list("pk", flat=True))
    lasting = {
        machine_id: action
        for machine_id, action in last_switches(quiet).items()
        if action.status == ActionStatus.FAILED and action.finished_at is not None and action.finished_at <= now
    }
    for machine_id in _curtailed_since(lasting):
        del lasting[machine_id]
    changes = [_change(machine_id, now, action.pk) for machine_id, action in lasting.items() if machine_id not in told]
    changes += [_change(machine_id, now) for machine_id in told - lasting.keys()]
    return services.record_conditions(changes)


def _curtailed_since(wakings: Mapping[int, Action]) -> set[int]:
    """Those that a curtailment told to sleep later and that do, though its step failed: they stay so until it ends."""
    sleeps = Action.objects.filter(
        kind=ActionKind.SLEEP,
        status=ActionStatus.FAILED,
        dry_run=False,
        operation__kind=OperationKind.CURTAIL,
        machine__in=list(wakings),
        machine__state=MachineState.SLEEPING.value,
    )
    told = sleeps.values_list("machine_id", "pk")
    return {machine_id for machine_id, pk in told if pk > wakings[machine_id].pk}


def _change(machine_id: int, now: datetime, action_id: int | None = None) -> ConditionChange:
    return ConditionChange(
        MachineId(machine_id),
        EventKind.NOT_WOKEN,
        "",
        opened=action_id is not None,
        at_ms=int(now.timestamp() * 1000),
        severity=limit(EventKind.NOT_WOKEN).severity,
        params={} if action_id is None else {"action": action_id},
    )
