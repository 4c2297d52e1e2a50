"""A curtailment from look to look: the driver that the fleet process calls before each release of steps.

All that it knows is in the database and in what the meter says, so a process that was killed goes on in the middle.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Max, Q, Sum

from mbongi.base.clock import utc_now
from mbongi.fleet import curtail_rows
from mbongi.fleet.action_work import PROCESS
from mbongi.fleet.curtailing import begin_waking, sleep_steps
from mbongi.fleet.models import Action, Curtailment, Operation
from mbongi.fleet.operations import STEPS_MAX, Step, add_steps, finish_operation, record
from mbongi.fleet.rules import curtail as rules
from mbongi.fleet.rules.curtail import Candidate, Correction, Standing, not_chosen
from mbongi.fleet.values import ActionKind, ActionStatus, CurtailPhase, OperationState

OPEN = (ActionStatus.REQUESTED, ActionStatus.RUNNING)
WAKE_TRIES = 3
"""How often the waking of one machine is tried."""
WAKE_AGAIN = timedelta(seconds=20)
WARMS_UP = timedelta(minutes=5)
"""Chosen: how long a machine that was told to wake may take until the meter shows all of it."""
SPARE = 50
"""Further machines that are looked at when some are to be added, as some of the next may not sleep by now."""
NAMED_MAX = 20
_DROPPED = "the meter shows that it is not needed"


@dataclass(frozen=True, slots=True)
class PowerSight:
    """The site's power that steers [W], NaN where nothing is known.

    ``settles_s`` after a write it shows it; ``is_proof``: the target counts as reached by it.
    """

    power_w: float = math.nan
    settles_s: float = 3.0
    is_proof: bool = False


@transaction.atomic
def drive(operation_id: int, sight: PowerSight, *, now: datetime | None = None) -> None:
    """Correct a running curtailment by what the meter says; wake when its time has come; end it after that."""
    operation = Operation.objects.select_for_update().filter(pk=operation_id, state=OperationState.RUNNING).first()
    row = Curtailment.objects.select_for_update().defer("ranking").filter(pk=operation_id).first()
    if operation is None or row is None:
        return
    now = now or utc_now()
    _note_power(row, sight, now)
    if row.phase != CurtailPhase.WAKE and row.ends_at is not None and row.ends_at <= now:
        begin_waking(row, operation, now)
        record(operation, PROCESS, "wake", "its time is over", after={"saved_wh": round(row.saved_wh)})
    if row.phase == CurtailPhase.WAKE:
        _wake(row, operation, now)
    else:
        _shed(row, operation, sight, now)


def _note_power(row: Curtailment, sight: PowerSight, now: datetime) -> None:
    """The power of this look, and the energy that was not used since the last one that knew it."""
    if math.isnan(sight.power_w):
        return
    if row.power_w is not None and row.power_at is not None:
        mean_w = row.baseline_w - (row.power_w + sight.power_w) / 2
        row.saved_wh += max(mean_w, 0.0) * max((now - row.power_at).total_seconds(), 0.0) / 3600.0
    row.power_w, row.power_at = sight.power_w, now
    row.save(update_fields=["power_w", "power_at", "saved_wh"])


# Down.


def _shed(row: Curtailment, operation: Operation, sight: PowerSight, now: datetime) -> None:
    standing = _standing(row, sight, now)
    told = rules.correction(standing)
    if told.sleep_w <= 0:
        _say(operation, "")  # nothing is missing any more
    if told.sleep_w > 0:
        _add(row, operation, told)
    elif told.drop_w > 0:
        _drop(operation, told)
    elif told.wake_w > 0:
        _wake_some(operation, told, now)
    if row.phase == CurtailPhase.SHED and standing.has_reached and sight.is_proof:
        row.phase, row.reached_at = CurtailPhase.HOLD, now
        row.save(update_fields=["phase", "reached_at"])
        record(operation, PROCESS, "reach", operation.reason, after={"power_w": round(sight.power_w)})


def _standing(row: Curtailment, sight: PowerSight, now: datetime) -> Standing:
    since = now - timedelta(seconds=sight.settles_s)
    lately = Q(status=ActionStatus.DONE, finished_at__gt=since)
    steps = Action.objects.filter(operation_id=row.pk)
    sleeps = steps.filter(kind=ActionKind.SLEEP)
    planned = sleeps.filter(status=ActionStatus.PLANNED).aggregate(sum=Sum("load_w"))["sum"]
    under_way = sleeps.filter(Q(status__in=OPEN) | lately).aggregate(sum=Sum("load_w"))["sum"]
    warming = Q(status=ActionStatus.DONE, finished_at__gt=now - WARMS_UP)
    waking = steps.filter(kind=ActionKind.WAKE).filter(Q(status__in=[*OPEN, ActionStatus.PLANNED]) | warming)
    return Standing(
        power_w=sight.power_w,
        target_w=row.target_w,
        baseline_w=row.baseline_w,
        planned_w=-(planned or 0.0),
        under_way_w=-(under_way or 0.0),
        waking_w=waking.aggregate(sum=Sum("load_w"))["sum"] or 0.0,
    )


def _add(row: Curtailment, operation: Operation, told: Correction) -> None:
    """More machines, in their turn, as far as they may sleep by now."""
    ranking = [Candidate(int(one), float(saves)) for one, saves in Curtailment.objects.get(pk=row.pk).ranking]
    used = _used(operation)
    fresh = [one for one in ranking if one.machine_id not in used]
    needed = set(rules.chosen(fresh, told.sleep_w))
    last = max((index for index, one in enumerate(fresh) if one in needed), default=-1)
    looked_at = fresh[: last + 1 + SPARE]
    found = curtail_rows.facts({}, machine_ids=[one.machine_id for one in looked_at], passing_over=operation.pk)
    able = {one.machine_id for one in found if not_chosen(one) is None}
    taken = rules.chosen([one for one in looked_at if one.machine_id in able], told.sleep_w)
    short = f"no further machine may be put to sleep; {told.sleep_w / 1000:.0f} kW are missing" if not taken else ""
    if not taken:
        _say(operation, short)
        return
    _say(operation, "")
    add_steps(operation.pk, sleep_steps(taken))
    row.added += len(taken)
    row.save(update_fields=["added"])


def _used(operation: Operation) -> set[int]:
    """The machines that it told to sleep, but for those that it has woken since: these may sleep once more."""
    steps = Action.objects.filter(operation=operation, kind__in=curtail_rows.SWITCHES)
    told = steps.exclude(status=ActionStatus.CANCELLED).order_by("seq").values_list("machine_id", "kind", "status")
    is_awake = {one: kind == ActionKind.WAKE and status == ActionStatus.DONE for one, kind, status in told}
    # An operation has so many steps at most: half of them are left for waking.
    may_again = len(told) < STEPS_MAX // 2
    return {one for one, awake in is_awake.items() if not (awake and may_again)}


def _say(operation: Operation, message: str) -> None:
    # The figure in it moves with the meter; what it says does not.
    if operation.message.split(";", 1)[0] != message.split(";", 1)[0]:
        operation.message = message
        operation.save(update_fields=["message"])


def _drop(operation: Operation, told: Correction) -> None:
    """Steps that have not begun and are not needed, last in their turn first."""
    left_w, dropped = told.drop_w, []
    planned = Action.objects.filter(operation=operation, status=ActionStatus.PLANNED, kind=ActionKind.SLEEP)
    for pk, load_w in planned.order_by("-seq").values_list("pk", "load_w"):
        if -load_w > left_w:
            break
        dropped.append(pk)
        left_w += load_w
    if dropped:
        cancel(Action.objects.filter(pk__in=dropped).values_list("pk", flat=True), _DROPPED)
        record(operation, PROCESS, "shorten", operation.reason, after={"steps": len(dropped)})


def cancel(ids: Iterable[int], message: str) -> int:
    """Steps that have not begun are not done."""
    planned = Action.objects.filter(pk__in=list(ids), status=ActionStatus.PLANNED)
    return planned.update(status=ActionStatus.CANCELLED, finished_at=utc_now(), message=message)


def _wake_some(operation: Operation, told: Correction, now: datetime) -> None:
    _left, due = _to_wake(operation, _asleep(operation), now)
    taken = rules.woken(due, told.wake_w)
    if taken:
        add_steps(operation.pk, _wake_steps(taken))


def _asleep(operation: Operation) -> list[Candidate]:
    """What sleeps because of it and is not being woken, last put to sleep in front."""
    ids = curtail_rows.asleep_by(operation.pk)
    steps = Action.objects.filter(operation=operation)
    saves = dict(steps.filter(kind=ActionKind.SLEEP).values_list("machine_id", "load_w"))
    statuses = [*OPEN, ActionStatus.PLANNED]
    waking = set(steps.filter(kind=ActionKind.WAKE, status__in=statuses).values_list("machine_id", flat=True))
    return [Candidate(one, -saves.get(one, 0.0)) for one in ids if one not in waking]


def _to_wake(
    operation: Operation, asleep: list[Candidate], now: datetime, *, since: datetime | None = None
) -> tuple[list[Candidate], list[Candidate]]:
    """Of what sleeps: those that have failed to wake less than WAKE_TRIES times (``since``), and of these the due."""
    failed = Action.objects.filter(operation=operation, kind=ActionKind.WAKE, status=ActionStatus.FAILED).order_by()
    among = None if since is None else Q(finished_at__gt=since)
    counted = failed.values_list("machine_id").annotate(count=Count("pk", filter=among), last=Max("finished_at"))
    tries = {machine_id: (count, last) for machine_id, count, last in counted}
    left = [one for one in asleep if tries.get(one.machine_id, (0, now))[0] < WAKE_TRIES]
    return left, [one for one in left if one.machine_id not in tries or tries[one.machine_id][1] <= now - WAKE_AGAIN]


def _wake_steps(asleep: Iterable[Candidate]) -> list[Step]:
    return [Step(one.machine_id, ActionKind.WAKE, load_w=one.saves_w) for one in asleep]


# Up.


def _wake(row: Curtailment, operation: Operation, now: datetime) -> None:
    """Wake what it put to sleep; what does not wake is tried again; then it is over."""
    steps = Action.objects.filter(operation=operation)
    planned = steps.filter(kind=ActionKind.SLEEP, status=ActionStatus.PLANNED)
    if planned.exists():
        cancel(planned.values_list("pk", flat=True), "it wakes its machines")
    asleep = _asleep(operation)
    left, due = _to_wake(operation, asleep, now, since=row.wake_at)
    if due:
        add_steps(operation.pk, _wake_steps(due))
    if left or steps.filter(status__in=[*OPEN, ActionStatus.PLANNED]).exists():
        return
    given_up = [one.machine_id for one in asleep]
    state = OperationState.ROLLED_BACK if row.abort else OperationState.DONE
    woken = steps.filter(kind=ActionKind.WAKE, status=ActionStatus.DONE).count()
    message = f"{woken} machines woken, {row.saved_wh / 1000:.1f} kWh not used"
    if given_up:
        named = ", ".join(map(str, given_up[:NAMED_MAX]))
        message += f"; {len(given_up)} machines do not wake: {named}{' …' if len(given_up) > NAMED_MAX else ''}"
    finish_operation(operation.pk, state, message)
