"""Carrying operations on: which steps begin now, when one halts, when it is over. Called by the fleet process.

Everything is read from the database each time, so a process that was killed goes on where the former one stopped; what
that one had begun is looked into as every interrupted action is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.core.ledger import services as ledger
from mbongi.fleet.actions import requested_entry, requested_message
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.models import Action, Operation
from mbongi.fleet.operation_rows import limits_of
from mbongi.fleet.operations import finish, halt
from mbongi.fleet.rules.pace import Standing, Waiting, release, saved_up
from mbongi.fleet.values import ActionKind, ActionStatus, Family, Limits, MachineState, OperationKind, OperationState

OPEN = (ActionStatus.REQUESTED, ActionStatus.RUNNING)
AFTER_S_MAX = 5.0
"""No family's machines take effect so much later than others."""
RELEASE_MAX = 5_000
"""Steps released at a time, at most; the next look comes soon."""
CHUNK = 500
"""Steps read at a time, beside as many as there is room for, as some of their machines are busy."""
_APART = {OperationKind.CURTAIL, OperationKind.WAKE}
"""Operations whose steps on one machine do not build on each other: one that failed to sleep is woken all the same."""
_STEP_FIELDS = (
    *("seq", "machine", "machine__family", "tenant", "operation", "load_w", "kind", "arguments", "reason"),
    *("dry_run", "status", "requested_at"),
)
"""What is read of a step that waits."""
_STOPPING = [kind.value for kind in ActionKind if kind.stops_hashing]
_SERVING = [MachineState.MINING.value, MachineState.SLEEPING.value]


@dataclass(frozen=True, slots=True)
class Advance:
    """What one look at an operation did."""

    released: int = 0
    is_over: bool = False


def running_operations() -> list[tuple[int, OperationKind]]:
    """The operations that go on by themselves, oldest first."""
    rows = Operation.objects.filter(state=OperationState.RUNNING).order_by("pk").values_list("pk", "kind")
    return [(pk, OperationKind(kind)) for pk, kind in rows]


@transaction.atomic
def advance(operation_id: int, *, now: datetime | None = None) -> Advance:
    """Begin what the limits allow; halt it at too many failures; end it after its last step. May be repeated."""
    row = Operation.objects.select_for_update().filter(pk=operation_id, state=OperationState.RUNNING).first()
    if row is None:
        return Advance(is_over=True)
    now, limits = now or utc_now(), limits_of(row)
    failed = _drop(row, now)
    settling, lost = _not_back(row, limits, now)
    row.failures_now = failed + lost
    row.save(update_fields=["failures_now"])
    under_way = Action.objects.filter(operation=row, status__in=OPEN)
    standing = Standing(
        under_way=under_way.count(),
        out_of_service=under_way.filter(kind__in=_STOPPING).count() + settling,
        failed=max(row.failures_now - row.failures_before, 0),
    )
    room = 0 if _is_held(row) else min(max(limits.batch - standing.under_way, 0), RELEASE_MAX)
    elapsed_s = 0.0 if row.ramp_at is None else (now - row.ramp_at).total_seconds()
    ramp_kw = saved_up(limits, row.ramp_kw, elapsed_s)
    waiting = _waiting(row, room, math.inf if limits.ramp_kw_s is None else ramp_kw + AFTER_S_MAX * limits.ramp_kw_s)
    told = release(limits, standing, [_as_waiting(step) for step in waiting], ramp_kw)
    row.ramp_kw, row.ramp_at = told.ramp_kw, now
    row.save(update_fields=["ramp_kw", "ramp_at"])
    if told.must_halt and (row.is_fed or _has_planned(row)):
        halt(row, f"{standing.failed} machines failed; the limit is {limits.failures_max}")
        return Advance()
    _begin(row, waiting[: told.steps], now)
    is_last = not told.steps and not standing.under_way and not settling and not row.is_fed and not _has_planned(row)
    if is_last:
        _end(row, lost)
    return Advance(released=told.steps, is_over=is_last)


def _is_held(row: Operation) -> bool:
    """Whether its group is paused: a reconciliation begins nothing meanwhile, other kinds are not the profile's."""
    return row.kind == OperationKind.RECONCILE and row.group is not None and row.group.paused


def _has_planned(row: Operation) -> bool:
    return Action.objects.filter(operation=row, status=ActionStatus.PLANNED).exists()


def _drop(row: Operation, now: datetime) -> int:
    """A machine that failed at one step is not bothered with the further ones, nor is one that has left the fleet.

    Returns how many machines failed.
    """
    planned = Action.objects.filter(operation=row, status=ActionStatus.PLANNED)
    failed = set(Action.objects.filter(operation=row, status=ActionStatus.FAILED).values_list("machine_id", flat=True))
    if failed and row.kind not in _APART:
        planned.filter(machine__in=failed).update(
            status=ActionStatus.CANCELLED, finished_at=now, message="an earlier step failed on this machine"
        )
    planned.filter(machine__retired_at__isnull=False).update(
        status=ActionStatus.CANCELLED, finished_at=now, message="the machine has left the fleet"
    )
    return len(failed)


def _not_back(row: Operation, limits: Limits, now: datetime) -> tuple[int, int]:
    """Machines written and not seen to serve since: those that may yet, and those whose time is over."""
    done = Action.objects.filter(operation=row, status=ActionStatus.DONE, kind__in=_STOPPING)
    back = Q(machine__state__in=_SERVING, machine__last_seen_at__gt=F("finished_at"))
    missing = done.exclude(back).filter(machine__retired_at=None)
    since = now - timedelta(seconds=limits.settle_s)
    settling = missing.filter(finished_at__gt=since).values("machine").distinct().count()
    return settling, missing.filter(finished_at__lte=since).values("machine").distinct().count()


def _waiting(row: Operation, room: int, ramp_kw: float) -> Sequence[Action]:
    """The next steps whose machines are free and have no earlier step before them, as many as the ramp could take."""
    found: list[Action] = []
    if room <= 0:
        return found
    # Sought here rather than by the database: with thousands of steps in no statistics yet, it compares each with each.
    passed = set(Action.objects.filter(status__in=OPEN).values_list("machine_id", flat=True))
    for step in _planned(row, min(room, CHUNK) + CHUNK):
        if step.machine_id not in passed:
            found.append(step)
            ramp_kw -= abs(step.load_w) / 1000.0
            if len(found) == room or ramp_kw < 0:
                break
        passed.add(step.machine_id)
    return found


def _as_waiting(step: Action) -> Waiting:
    after_s = adapter_of(Family(step.machine.family)).abilities.rests_after_s if step.kind == ActionKind.SLEEP else 0.0
    return Waiting(step.load_w, step.kind in _STOPPING, after_s)


def _planned(row: Operation, chunk: int) -> Iterator[Action]:
    """The steps that have not begun, in their order, read a chunk at a time."""
    planned = Action.objects.filter(operation=row, status=ActionStatus.PLANNED).order_by("seq")
    planned = planned.select_related("machine").only(*_STEP_FIELDS)
    last = -1
    while steps := list(planned.filter(seq__gt=last)[:chunk]):
        yield from steps
        last = steps[-1].seq if steps[-1].seq is not None else last


def _begin(row: Operation, steps: Sequence[Action], now: datetime) -> None:
    if not steps:
        return
    for step in steps:
        step.status, step.requested_at = ActionStatus.REQUESTED, now
    Action.objects.filter(pk__in=[step.pk for step in steps]).update(status=ActionStatus.REQUESTED, requested_at=now)
    outbox.emit(*(requested_message(step) for step in steps))
    ledger.append([requested_entry(step, row.actor) for step in steps])


def _end(row: Operation, lost: int) -> None:
    steps = Action.objects.filter(operation=row)
    done, failed = (steps.filter(status=status).count() for status in (ActionStatus.DONE, ActionStatus.FAILED))
    message = f"{done} of {steps.count()} steps done, {failed} failed"
    if lost:
        message += f"; {lost} machines are not seen to mine since"
    finish(row, OperationState.DONE, row.actor, message)
