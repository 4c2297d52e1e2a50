"""Reads for curtailment: the site's power, what may sleep, what sleeps because of us, how curtailments stand."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import connection
from django.db.models import Count, Q

from mbongi.base.clock import utc_now
from mbongi.fleet import hosting_rows
from mbongi.fleet.errors import UnknownOperationError
from mbongi.fleet.group_rows import desired_of
from mbongi.fleet.machine_models import machine_model
from mbongi.fleet.models import Action, Curtailment, Group, Machine, Operation, PowerReading, Profile
from mbongi.fleet.power_figures import MachinePower
from mbongi.fleet.rules.curtail import Facts
from mbongi.fleet.rules.hosting_terms import CurtailmentClass
from mbongi.fleet.rules.metering import MeterTrouble
from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    CurtailPhase,
    CurtailWish,
    Family,
    MachineState,
    OperationKind,
    OperationState,
    ProfileState,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet

FRESH = timedelta(seconds=15)
"""A reading of the site's power that is older says nothing of now."""
SWITCHES = (ActionKind.SLEEP, ActionKind.WAKE)
_PENDING = Q(status__in=[ActionStatus.REQUESTED, ActionStatus.RUNNING]) | Q(
    status=ActionStatus.PLANNED, operation__state=OperationState.RUNNING
)
"""What is being done to machines, or is next; what merely awaits an approval, or was stopped, keeps none awake."""
KINDS = (OperationKind.CURTAIL, OperationKind.WAKE)
DAY = timedelta(days=1)
POINTS_MAX = 900
_SERIES = """
WITH part AS (
    SELECT given.since + number * given.step AS begins, given.since + (number + 1) * given.step AS ends, given.until
    FROM (SELECT %s::integer AS parts, %s::timestamptz AS since, %s::interval AS step, %s::timestamptz AS until) given,
        generate_series(0, given.parts - 1) AS number
)
SELECT reading.at, reading.power_w FROM part CROSS JOIN LATERAL (
    SELECT at, power_w FROM fleet_powerreading
    WHERE at >= part.begins AND at < part.ends AND at <= part.until ORDER BY at LIMIT 1
) AS reading ORDER BY reading.at
"""


@dataclass(frozen=True, slots=True)
class SitePower:
    """The site's power as it was last measured; ``power_w`` None where it is not known, as ``trouble`` says."""

    at: datetime
    power_w: float | None
    machines_w: float | None
    machines: int
    frequency_hz: float | None
    source: str
    trouble: MeterTrouble
    is_stale: bool

    @property
    def known_w(self) -> float | None:
        """The power, if it may be used at this moment."""
        return None if self.is_stale else self.power_w


@dataclass(frozen=True, slots=True)
class CurtailRow:
    """A curtailment and how it stands. ``asleep`` machines sleep because of it and of nothing else."""

    id: int
    state: OperationState
    phase: CurtailPhase
    abort: bool
    wish: CurtailWish
    reason: str
    author: str
    actor: str
    trigger_id: int | None
    trigger: str
    planned_at: datetime
    began_at: datetime | None
    deadline_at: datetime | None
    ends_at: datetime | None
    reached_at: datetime | None
    wake_at: datetime | None
    wake_from_w: float | None
    finished_at: datetime | None
    message: str
    baseline_w: float
    target_w: float
    ramp_w_s: float | None
    power_w: float | None
    saved_wh: float
    added: int
    steps: Mapping[tuple[ActionKind, ActionStatus], int]

    def count(self, kind: ActionKind, *statuses: ActionStatus) -> int:
        """Steps of a kind; of these statuses, or of all."""
        return sum(
            count
            for (each, status), count in self.steps.items()
            if each is kind and (not statuses or status in statuses)
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state.is_over

    @property
    def took_s(self) -> float | None:
        """From the beginning until the meter showed the target; None where it did not."""
        if self.reached_at is None or self.began_at is None:
            return None
        return (self.reached_at - self.began_at).total_seconds()

    @property
    def saved_kwh(self) -> float:
        """Energy that was not used."""
        return self.saved_wh / 1000.0


def power_now(*, now: datetime | None = None) -> SitePower | None:
    """The newest reading of the site's power; None before the first."""
    row = PowerReading.objects.order_by("-at").first()
    if row is None:
        return None
    return SitePower(
        at=row.at,
        power_w=row.power_w,
        machines_w=row.machines_w,
        machines=row.machines,
        frequency_hz=row.frequency_hz,
        source=row.source,
        trouble=MeterTrouble(row.trouble),
        is_stale=(now or utc_now()) - row.at > FRESH,
    )


def power_series(since: datetime, until: datetime) -> list[tuple[datetime, float | None]]:
    """The site's power over time, thinned out to POINTS_MAX points; None where it was not known.

    Of a long time the first reading of each part is looked up, so that a week costs no more than an hour.
    """
    if until <= since:
        return []
    parameters: list[Any] = [POINTS_MAX, since, (until - since) / POINTS_MAX, until]
    with connection.cursor() as cursor:
        cursor.execute(_SERIES, parameters)
        return [(at, power_w) for at, power_w in cursor.fetchall()]


# What may sleep.


def facts(
    figures: Mapping[int, MachinePower],
    *,
    ranks: Mapping[int, int | None] | None = None,
    machine_ids: Sequence[int] | None = None,
    passing_over: int | None = None,
) -> list[Facts]:
    """What decides about each machine. ``ranks`` is the turn that contracts give it, None where they forbid it; by
    default as they are now.

    ``figures`` are what machines state now; the nameplate stands in for one that states no power. Steps of the
    operation ``passing_over`` count as none.
    """
    rows = Machine.objects.filter(retired_at=None)
    if machine_ids is not None:
        rows = rows.filter(pk__in=list(machine_ids))
    turns = contract_turns() if ranks is None else ranks
    paused = set(Group.objects.filter(paused=True).values_list("pk", flat=True))
    kept = {row.group_id for row in Profile.objects.filter(state=ProfileState.ACTIVE) if not desired_of(row).may_sleep}
    pending = Action.objects.filter(_PENDING)
    if passing_over is not None:
        pending = pending.exclude(operation_id=passing_over)
    busy = dict(pending.values_list("machine_id", "operation__kind"))
    cycles = Counter(
        Action.objects.filter(
            kind=ActionKind.SLEEP, status=ActionStatus.DONE, dry_run=False, finished_at__gt=utc_now() - DAY
        ).values_list("machine_id", flat=True)
    )
    found = []
    fields = ("pk", "address", "family", "model", "state", "group_id")
    for pk, address, family, model, state, group_id in rows.values_list(*fields):
        known = figures.get(pk)
        nameplate = machine_model(model)
        power_w = known.power_w if known is not None and known.power_w > 0 else nameplate.power_w
        efficiency = (
            known.efficiency_jth if known is not None and known.efficiency_jth > 0 else nameplate.efficiency_jth
        )
        rank = turns.get(pk, 0)
        found.append(
            Facts(
                machine_id=pk,
                power_w=power_w,
                efficiency_jth=efficiency,
                heat_c=math.nan if known is None else known.heat_c,
                contract_rank=rank or 0,
                cycles=cycles[pk],
                may_sleep=group_id not in kept and rank is not None,
                is_paused=group_id in paused,
                is_busy=pk in busy,
                is_flashing=busy.get(pk) == OperationKind.CAMPAIGN,
                is_mining=state == MachineState.MINING,
                is_reachable=address is not None,
                can_sleep=family != Family.OTHER,
            )
        )
    return found


def contract_turns() -> dict[int, int | None]:
    """The turn that contracts give machines: where the owner agreed as the site's own; of firm ones none may sleep."""
    classes = hosting_rows.curtailment_classes().items()
    return {machine_id: 0 if found is CurtailmentClass.AGREED else None for machine_id, found in classes}


# What sleeps because of us.


def asleep_by(operation_id: int) -> list[int]:
    """The machines that sleep because of an operation, last put to sleep in front.

    Those whose last switch was a step of it that put them to sleep; not those that slept already, nor those that
    somebody woke or put to sleep since, nor those that have left the fleet. One whose step failed counts if it is seen
    to sleep.
    """
    planned_at = Operation.objects.filter(pk=operation_id).values_list("planned_at", flat=True).first()
    if planned_at is None:
        return []
    # One action at a time is open on a machine, so nothing asked for before the operation came after its steps; an hour
    # covers clocks that differ.
    found = _last_switches(Q(operation_id=operation_id), since=planned_at - timedelta(hours=1))
    return [machine_id for machine_id, because_of in found if because_of == operation_id]


def asleep_by_curtailment() -> dict[int, int]:
    """Machine → the curtailment that it sleeps because of."""
    asleep = Q(machine__state=MachineState.SLEEPING)
    return {machine_id: found for machine_id, found in _last_switches(asleep) if found is not None}


def _last_switches(among: Q, *, since: datetime | None = None) -> list[tuple[int, int | None]]:
    """Machine, and the operation that put it to sleep, newest first; None where it does not sleep because of one.

    ``since``: by what was asked for since then.
    """
    curtailed = Q(kind=ActionKind.SLEEP, operation__kind=OperationKind.CURTAIL, dry_run=False)
    mine = Action.objects.filter(among, curtailed, machine__retired_at=None)
    ids = mine.exclude(status__in=[ActionStatus.PLANNED, ActionStatus.CANCELLED]).values("machine_id")
    ended = [ActionStatus.DONE, ActionStatus.FAILED]
    switches = Action.objects.filter(machine_id__in=ids, kind__in=SWITCHES, dry_run=False, status__in=ended)
    if since is not None:
        switches = switches.filter(requested_at__gte=since)
    slept = set(Machine.objects.filter(state=MachineState.SLEEPING).values_list("pk", flat=True))
    found: dict[int, tuple[datetime, int | None]] = {}
    fields = ("machine_id", "kind", "status", "operation_id", "operation__kind", "before", "after", "finished_at")
    newest_first = switches.order_by("machine_id", "-finished_at", "-pk").values_list(*fields)
    for machine_id, kind, status, operation_id, operation_kind, before, after, at in newest_first:
        if machine_id in found or at is None:
            continue
        is_done, was_awake = status == ActionStatus.DONE, before is None or before != after
        if kind == ActionKind.WAKE or operation_kind != OperationKind.CURTAIL:
            if is_done:
                found[machine_id] = at, None
        elif was_awake and (is_done or machine_id in slept):
            found[machine_id] = at, operation_id
    newest = sorted(found.items(), key=lambda item: item[1][0], reverse=True)
    return [(machine_id, operation_id) for machine_id, (_at, operation_id) in newest]


# How curtailments stand.


def active() -> CurtailRow | None:
    """The curtailment that is not over; there is one at most."""
    rows = _rows(_all().exclude(operation__state__in=[state for state in OperationState if state.is_over]))
    return rows[0] if rows else None


def curtailment(operation_id: int) -> CurtailRow:
    """One curtailment. Raises UnknownOperationError."""
    rows = _rows(_all().filter(pk=operation_id))
    if not rows:
        raise UnknownOperationError(f"curtailment {operation_id}: not known")
    return rows[0]


def history(limit: int = 50, offset: int = 0) -> list[CurtailRow]:
    """Curtailments, newest first."""
    return _rows(_all().order_by("-operation__planned_at")[offset : offset + min(limit, 500)])


def _all() -> "QuerySet[Curtailment]":
    return Curtailment.objects.defer("ranking").select_related("operation", "operation__author", "trigger")


def _rows(found: "QuerySet[Curtailment]") -> list[CurtailRow]:
    rows = list(found)
    counts: dict[int, dict[tuple[ActionKind, ActionStatus], int]] = {row.pk: {} for row in rows}
    steps = Action.objects.filter(operation__in=counts).values_list("operation_id", "kind", "status")
    for operation_id, kind, status, count in steps.annotate(count=Count("pk")).order_by():
        counts[operation_id or 0][ActionKind(kind), ActionStatus(status)] = count
    return [_row(row, counts[row.pk]) for row in rows]


def _row(row: Curtailment, steps: Mapping[tuple[ActionKind, ActionStatus], int]) -> CurtailRow:
    operation = row.operation
    return CurtailRow(
        id=row.pk,
        state=OperationState(operation.state),
        phase=CurtailPhase(row.phase),
        abort=row.abort,
        wish=msgspec.convert(operation.document["wish"], CurtailWish),
        reason=operation.reason,
        author=str(operation.author),
        actor=operation.actor,
        trigger_id=row.trigger_id,
        trigger="" if row.trigger is None else row.trigger.name,
        planned_at=operation.planned_at,
        began_at=row.began_at,
        deadline_at=row.deadline_at,
        ends_at=row.ends_at,
        reached_at=row.reached_at,
        wake_at=row.wake_at,
        wake_from_w=row.wake_from_w,
        finished_at=operation.finished_at,
        message=operation.message,
        baseline_w=row.baseline_w,
        target_w=row.target_w,
        ramp_w_s=row.ramp_w_s,
        power_w=row.power_w,
        saved_wh=row.saved_wh,
        added=row.added,
        steps=steps,
    )
