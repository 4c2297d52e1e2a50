"""Reads of what drifts, of work that went elsewhere, and of what profiles did about it, as the scope may see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Min, Q, Sum

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.fleet.group_rows import desired_of
from mbongi.fleet.models import Diversion, Event, Machine, Operation, Profile, WorkOrder
from mbongi.fleet.operation_rows import OperationRow, operations_of
from mbongi.fleet.reassertion import ACTOR, WRITABLE, tries_of
from mbongi.fleet.rules.desired import same_pool
from mbongi.fleet.rules.diversion import Spell, over_time
from mbongi.fleet.rules.drift import DRIFT_KINDS
from mbongi.fleet.rules.reassert import Next, course
from mbongi.fleet.rules.work_orders import WorkState
from mbongi.fleet.selectors import PAGE_MAX, EventRow, MachineRow, event_row, machine_row
from mbongi.fleet.values import EventKind, ProfileState

if TYPE_CHECKING:
    from django.db.models import QuerySet

POOLS_MAX = 20
STEPS = 120
"""Points of the chart over time."""


@dataclass(frozen=True, slots=True)
class MachineDrift:
    """A machine that is not as its profile wants it. ``tries``: how often its profile has brought it back for this.

    ``then`` is what comes next, a key of ``wording.DRIFT_NEXT``; ``due_at`` when, where that is known.
    """

    machine: MachineRow
    group: str
    version: int | None
    since: datetime
    drifts: Sequence[EventRow]
    tries: int
    then: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class DriftPage:
    """Part of the list of machines that drift, the longest first; ``total`` counts all."""

    rows: list[MachineDrift]
    total: int
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class DiversionRow:
    """A machine's work for a foreign pool or name; ``until`` is None while it lasts, ``hashes_th`` [TH] is so far."""

    id: int
    machine_id: MachineId
    address: str | None
    model: str
    hall: int | None
    rack: int | None
    slot: int | None
    url: str
    user: str
    since: datetime
    until: datetime | None
    seen_at: datetime
    hashes_th: float

    @property
    def hashes_h(self) -> float:
        """In single hashes."""
        return 1e12 * self.hashes_th


@dataclass(frozen=True, slots=True)
class PoolTotal:
    """What went to one pool. ``is_ours``: a version of a profile names it, or named it, for other machines or times."""

    url: str
    machines: int
    lasting: int
    hashes_th: float
    first_at: datetime
    is_ours: bool

    @property
    def hashes_h(self) -> float:
        """In single hashes."""
        return 1e12 * self.hashes_th


def drifting(
    *, kinds: Sequence[EventKind] = (), group_id: int | None = None, limit: int = 50, offset: int = 0
) -> DriftPage:
    """Machines that drift now, with what differs and what comes next."""
    limit, offset = max(1, min(limit, PAGE_MAX)), max(0, offset)
    rows = Event.objects.filter(kind__in=list(kinds) or DRIFT_KINDS, cleared_at=None)
    if group_id is not None:
        rows = rows.filter(machine__group=group_id)
    found = rows.values("machine_id").annotate(since=Min("at")).order_by("since", "machine_id")
    ids = [each["machine_id"] for each in found[offset : offset + limit]]
    return DriftPage(_machine_drifts(ids), found.count(), offset, limit)


def of_machine(machine_id: int) -> MachineDrift | None:
    """What drifts on one machine; None where nothing does."""
    return next(iter(_machine_drifts([machine_id])), None)


def count() -> int:
    """How many machines drift."""
    rows = Event.objects.filter(kind__in=DRIFT_KINDS, cleared_at=None)
    return rows.aggregate(machines=Count("machine", distinct=True))["machines"] or 0


def _machine_drifts(ids: Sequence[int]) -> list[MachineDrift]:
    events = Event.objects.filter(machine__in=ids, kind__in=DRIFT_KINDS, cleared_at=None).select_related("machine")
    by_machine: dict[int, list[EventRow]] = {}
    for row in events.order_by("at", "pk"):
        by_machine.setdefault(row.machine_id, []).append(event_row(row))
    machines = Machine.objects.filter(pk__in=by_machine).select_related("group")
    by_id = {machine.pk: machine for machine in machines}
    groups = {machine.group_id for machine in by_id.values()}
    profiles = {
        row.group_id: row
        for row in Profile.objects.filter(group__in=groups, state=ProfileState.ACTIVE).select_related("group")
    }
    orders = WorkOrder.objects.filter(machine__in=by_id, state__in=[each for each in WorkState if each.is_unfixed])
    repaired = set(orders.values_list("machine_id", flat=True))
    found = []
    for machine_id in ids:
        if machine_id not in by_id:
            continue
        machine = by_id[machine_id]
        profile = profiles.get(machine.group_id or 0)
        drifts = by_machine[machine_id]
        tries, then, due_at = _then(profile, machine_id, drifts, in_repair=machine_id in repaired)
        found.append(
            MachineDrift(
                machine=machine_row(machine),
                group="" if machine.group is None else machine.group.name,
                version=None if profile is None else profile.number,
                since=min(each.at for each in drifts),
                drifts=drifts,
                tries=tries,
                then=then,
                due_at=due_at,
            )
        )
    return found


def _then(
    profile: Profile | None, machine_id: int, drifts: Sequence[EventRow], *, in_repair: bool
) -> tuple[int, str, datetime | None]:
    """Tries so far, what comes next, and when."""
    writable = [each.at for each in drifts if each.kind in WRITABLE]
    if profile is None or not writable:
        return 0, "person", None
    tries = tries_of(profile, [machine_id]).get(machine_id, [])
    if not desired_of(profile).reassert:
        return len(tries), "hand", None
    one = course([each.timestamp() for each in tries], min(writable).timestamp(), utc_now().timestamp())
    if profile.group.paused:
        return one.tries, "paused", None
    if in_repair:
        return one.tries, "repair", None
    if one.next is Next.NEVER or one.due_s is None:
        return one.tries, "given_up", None
    due_at = min(writable) + timedelta(seconds=one.due_s - min(writable).timestamp())
    return one.tries, "now" if one.next is Next.NOW else "later", due_at


def diversions(
    *, is_open: bool | None = None, machine_id: int | None = None, limit: int = 50, offset: int = 0
) -> list[DiversionRow]:
    """Diversions, newest first."""
    rows = Diversion.objects.select_related("machine")
    if is_open is not None:
        rows = rows.filter(until__isnull=is_open)
    if machine_id is not None:
        rows = rows.filter(machine=machine_id)
    limit, offset = max(1, min(limit, PAGE_MAX)), max(0, offset)
    return [_diversion_row(row) for row in rows.order_by("-since", "-pk")[offset : offset + limit]]


def _diversion_row(row: Diversion) -> DiversionRow:
    machine = row.machine
    return DiversionRow(
        id=row.pk,
        machine_id=MachineId(row.machine_id),
        address=machine.address,
        model=machine.model,
        hall=machine.hall,
        rack=machine.rack,
        slot=machine.slot,
        url=row.url,
        user=row.user,
        since=row.since,
        until=row.until,
        seen_at=row.seen_at,
        hashes_th=row.hashes_th,
    )


def _within(hours: int, now: datetime) -> "QuerySet[Diversion]":
    return Diversion.objects.filter(Q(until=None) | Q(until__gt=now - timedelta(hours=hours)))


def pool_totals(*, hours: int, now: datetime | None = None) -> list[PoolTotal]:
    """What went to each pool in diversions that lasted within these hours, all of each; the most first."""
    found = (
        _within(hours, now or utc_now())
        .values("url")
        .annotate(
            machines=Count("machine", distinct=True),
            lasting=Count("pk", filter=Q(until=None)),
            hashes_th=Sum("hashes_th"),
            first_at=Min("since"),
        )
        .order_by("-hashes_th", "url")
    )
    ours = _own_pools()
    return [
        PoolTotal(
            url=each["url"],
            machines=each["machines"],
            lasting=each["lasting"],
            hashes_th=each["hashes_th"] or 0.0,
            first_at=each["first_at"],
            is_ours=each["url"] in ours,
        )
        for each in found[:POOLS_MAX]
    ]


def _own_pools() -> set[str]:
    states = [ProfileState.ACTIVE, ProfileState.SUPERSEDED]
    rows = Profile.objects.filter(state__in=states).exclude(document__pools=[])
    return {same_pool(pool.url) for row in rows for pool in desired_of(row).pools}


def series(
    *, hours: int, pools: Sequence[str], now: datetime | None = None
) -> tuple[list[int], Mapping[str, list[float]]]:
    """The diverted hashrate [TH/s] over time to each of these pools: the middles of the steps [s], and a line each."""
    now = now or utc_now()
    step_s = hours * 3600 / STEPS
    start_s = now.timestamp() - hours * 3600
    rows = _within(hours, now).filter(url__in=list(pools)).values_list("url", "since", "until", "seen_at", "hashes_th")
    spells = [
        Spell(url, since.timestamp(), (until or max(seen, now - timedelta(seconds=1))).timestamp(), hashes_th)
        for url, since, until, seen, hashes_th in rows
    ]
    lines = over_time(spells, start_s, step_s, STEPS)
    return [round(start_s + (step + 0.5) * step_s) for step in range(STEPS)], {
        url: lines.get(url, [0.0] * STEPS) for url in pools
    }


def reassertions(limit: int = 20) -> list[OperationRow]:
    """Operations that profiles began by themselves, newest first."""
    rows = Operation.objects.filter(actor__startswith=ACTOR).order_by("-planned_at", "-pk")
    return operations_of(rows[: max(1, min(limit, PAGE_MAX))])
