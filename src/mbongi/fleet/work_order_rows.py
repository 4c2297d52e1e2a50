"""Reads of work orders, spare parts and repair statistics, within the scope that the caller acts in."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.fleet.errors import UnknownOrderError, UnknownPartError
from mbongi.fleet.models import Machine, Part, StockMove, WorkEntry, WorkOrder
from mbongi.fleet.positions import rack_label
from mbongi.fleet.rules.repair import Mean, mtbf, mttr, observed_h
from mbongi.fleet.rules.work_orders import EntryKind, Fault, Outcome, WorkState
from mbongi.fleet.stock import MoveKind

PAGE_MAX = 1000


@dataclass(frozen=True, slots=True)
class OrderRow:
    """A work order. ``rack_label`` and ``slot`` are where the machine stood when it was reported."""

    id: int
    machine_id: MachineId
    address: str | None
    model: str
    serial: str
    rack_label: str
    slot: int | None
    fault: Fault
    note: str
    state: WorkState
    reporter: str
    """Empty where a process of the site reported it."""
    technician_id: int | None
    technician: str
    reported_at: datetime
    taken_at: datetime | None
    fixed_at: datetime | None
    verified_at: datetime | None
    cancelled_at: datetime | None
    conflicts: int
    """Entries that clash and that nobody has settled."""

    @property
    def since(self) -> datetime:
        """When it came into its state."""
        times = {
            WorkState.TAKEN: self.taken_at,
            WorkState.FIXED: self.fixed_at,
            WorkState.VERIFIED: self.verified_at,
            WorkState.CANCELLED: self.cancelled_at,
        }
        return times.get(self.state) or self.reported_at


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry of an order. ``clash`` is empty where it fits; ``settled_by`` names who settled a clash."""

    key: UUID
    kind: EntryKind
    author: str
    at: datetime
    received_at: datetime
    text: str
    facts: Mapping[str, Any]
    outcome: Outcome
    clash: str
    settled_by: str

    @property
    def is_late(self) -> bool:
        """Whether the site heard of it more than a minute after it was done: it was entered without a link."""
        return self.received_at - self.at > timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class PartRow:
    """A spare part with what there is of it, and how many were used within the last 90 days."""

    id: int
    number: str
    name: str
    fits: str
    reorder_point: int
    stock: int
    used: int

    @property
    def is_low(self) -> bool:
        """Whether it is to be bought."""
        return self.stock <= self.reorder_point


@dataclass(frozen=True, slots=True)
class MoveRow:
    """Pieces that came or went."""

    id: int
    at: datetime
    kind: MoveKind
    pieces: int
    order: int | None
    reason: str
    author: str


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders; an empty field does not narrow. ``text``: words in model, serial, address, note or position."""

    states: Sequence[WorkState] = ()
    faults: Sequence[Fault] = ()
    machine_id: int | None = None
    machine_ids: Sequence[int] | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Part of a list of orders, newest first; ``total`` counts the whole list."""

    rows: list[OrderRow]
    total: int


@dataclass(frozen=True, slots=True)
class ModelRepairs:
    """A model's statistics over a period. ``repair`` runs from the report to the fix, ``hands_on`` from the taking."""

    model: str
    machines: int
    observed_h: float
    mtbf: Mean
    repair: Mean
    hands_on: Mean


@dataclass(frozen=True, slots=True)
class Repairs:
    """Repair statistics of a period: by model, and how often each fault was reported."""

    since: datetime
    until: datetime
    confidence: float
    models: list[ModelRepairs]
    faults: list[tuple[Fault, int]]


_UNSETTLED = Count("entries", filter=Q(entries__outcome=Outcome.CONFLICT, entries__settlements=None), distinct=True)


def orders(filters: OrderFilter = OrderFilter(), *, limit: int = 100, offset: int = 0) -> OrderPage:
    """A page of orders, newest first."""
    limit, offset = max(1, min(limit, PAGE_MAX)), max(0, offset)
    rows = _filtered(filters)
    return OrderPage([_order_row(row) for row in _with_people(rows)[offset : offset + limit]], rows.count())


def _filtered(filters: OrderFilter) -> "QuerySet[WorkOrder]":
    rows = WorkOrder.objects.all()
    if filters.states:
        rows = rows.filter(state__in=list(filters.states))
    if filters.faults:
        rows = rows.filter(fault__in=list(filters.faults))
    if filters.machine_id is not None:
        rows = rows.filter(machine_id=filters.machine_id)
    if filters.machine_ids is not None:
        rows = rows.filter(machine_id__in=list(filters.machine_ids))
    for word in filters.text.replace("\0", "").split()[:5]:
        found = Q(machine__serial__icontains=word) | Q(machine__model__icontains=word) | Q(note__icontains=word)
        rows = rows.filter(found | Q(machine__address__icontains=word) | _at_position(word))
    return rows


def _at_position(word: str) -> Q:
    parts = word.split("/")
    if not 2 <= len(parts) <= 3 or not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        return Q(pk__in=())
    return Q(**dict(zip(("hall", "rack", "slot"), map(int, parts), strict=False)))


def _with_people(rows: "QuerySet[WorkOrder]") -> "QuerySet[Any]":
    found = rows.select_related("machine", "technician", "reporter").annotate(unsettled=_UNSETTLED)
    return found.order_by("-reported_at", "-pk")


def board(limit: int = 50) -> dict[WorkState, OrderPage]:
    """What is open, taken and fixed, and what was verified within a week; the newest ``limit`` of each."""
    week = utc_now() - timedelta(days=7)
    found = {}
    for state in (WorkState.OPEN, WorkState.TAKEN, WorkState.FIXED, WorkState.VERIFIED):
        rows = WorkOrder.objects.filter(state=state)
        if state is WorkState.VERIFIED:
            rows = rows.filter(verified_at__gte=week)
        found[state] = OrderPage([_order_row(row) for row in _with_people(rows)[:limit]], rows.count())
    return found


def order(order_id: int) -> OrderRow:
    """One order. Raises UnknownOrderError."""
    row = _with_people(WorkOrder.objects.filter(pk=order_id)).first()
    if row is None:
        raise UnknownOrderError(f"work order {order_id}: not known")
    return _order_row(row)


def _order_row(row: Any) -> OrderRow:
    return OrderRow(
        id=row.pk,
        machine_id=MachineId(row.machine_id),
        address=row.machine.address,
        model=row.machine.model,
        serial=row.machine.serial,
        rack_label=rack_label(row.hall, row.rack),
        slot=row.slot,
        fault=Fault(row.fault),
        note=row.note,
        state=WorkState(row.state),
        reporter=row.reporter.name if row.reporter else "",
        technician_id=row.technician_id,
        technician=row.technician.name if row.technician else "",
        reported_at=row.reported_at,
        taken_at=row.taken_at,
        fixed_at=row.fixed_at,
        verified_at=row.verified_at,
        cancelled_at=row.cancelled_at,
        conflicts=row.unsettled,
    )


def entries(order_id: int) -> list[EntryRow]:
    """Everything entered on an order, in the order in which it was done."""
    rows = WorkEntry.objects.filter(order_id=order_id).select_related("author").prefetch_related("settlements__author")
    return [_entry_row(row) for row in rows.order_by("at", "pk")]


def _entry_row(row: WorkEntry) -> EntryRow:
    settlement = next(iter(row.settlements.all()), None)
    return EntryRow(
        key=row.key,
        kind=EntryKind(row.kind),
        author=row.author.name if row.author else "",
        at=row.at,
        received_at=row.received_at,
        text=row.text,
        facts=row.document,
        outcome=Outcome(row.outcome),
        clash=row.clash,
        settled_by=settlement.author.name if settlement is not None and settlement.author else "",
    )


def parts() -> list[PartRow]:
    """Every part by number."""
    recent = Q(moves__kind=MoveKind.USE, moves__at__gte=utc_now() - timedelta(days=90))
    rows = Part.objects.filter(retired_at=None).annotate(
        stock=Sum("moves__pieces"), used=Sum("moves__pieces", filter=recent)
    )
    return [_part_row(row) for row in rows.order_by("number")]


def part(part_id: int) -> PartRow:
    """One part. Raises UnknownPartError."""
    found = next((row for row in parts() if row.id == part_id), None)
    if found is None:
        raise UnknownPartError(f"part {part_id}: not known")
    return found


def _part_row(row: Any) -> PartRow:
    return PartRow(
        id=row.pk,
        number=row.number,
        name=row.name,
        fits=row.fits,
        reorder_point=row.reorder_point,
        stock=row.stock or 0,
        used=-(row.used or 0),
    )


def moves(part_id: int, limit: int = 50) -> list[MoveRow]:
    """The newest moves of a part."""
    rows = StockMove.objects.filter(part_id=part_id).select_related("author", "entry")
    return [
        MoveRow(
            id=row.pk,
            at=row.at,
            kind=MoveKind(row.kind),
            pieces=row.pieces,
            order=row.entry.order_id if row.entry else None,
            reason=row.reason,
            author=row.author.name,
        )
        for row in rows.order_by("-at", "-pk")[: max(1, min(limit, PAGE_MAX))]
    ]


def repairs(days: int, *, confidence: float = 0.9) -> Repairs:
    """Repair statistics of the last ``days`` [1 or more]: cancelled orders left out, retired machines' time counted."""
    until = utc_now()
    since = until - timedelta(days=days)
    rows = list(
        WorkOrder.objects.exclude(state=WorkState.CANCELLED)
        .filter(Q(reported_at__gte=since) | Q(fixed_at__gte=since) | Q(fixed_at=None))
        .values_list("machine_id", "machine__model", "fault", "reported_at", "taken_at", "fixed_at")
    )
    reported = [row for row in rows if row[3] >= since]
    found = Machine.objects.filter(Q(retired_at=None) | Q(retired_at__gte=since)).values_list(
        "pk", "model", "added_at", "retired_at"
    )
    downs: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for machine_id, _model, _fault, at, _taken, fixed in rows:
        downs[machine_id].append((at.timestamp(), (fixed or until).timestamp()))
    hours: dict[str, list[float]] = defaultdict(list)
    for pk, model, added, retired in found:
        first, last = max(added, since), min(retired or until, until)
        hours[model].append(observed_h(first.timestamp(), last.timestamp(), downs.get(pk, ())))
    models = [_of_model(model, hours[model], rows, since, confidence) for model in sorted(hours)]
    counts: dict[Fault, int] = defaultdict(int)
    for row in reported:
        counts[Fault(row[2])] += 1
    return Repairs(since, until, confidence, models, sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _of_model(model: str, hours: list[float], rows: list[Any], since: datetime, confidence: float) -> ModelRepairs:
    mine = [row for row in rows if row[1] == model]
    done = [(at, taken, fixed) for _id, _model, _fault, at, taken, fixed in mine if fixed and fixed >= since]
    total = sum(hours)
    return ModelRepairs(
        model=model,
        machines=len(hours),
        observed_h=total,
        mtbf=mtbf(total, sum(row[3] >= since for row in mine), confidence),
        repair=mttr([(fixed - at).total_seconds() / 3600 for at, _taken, fixed in done], confidence),
        hands_on=mttr([(fixed - taken).total_seconds() / 3600 for _at, taken, fixed in done if taken], confidence),
    )
