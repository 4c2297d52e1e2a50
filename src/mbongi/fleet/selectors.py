"""Reads of machines, events and actions, within the scope that the caller acts in. Rows are plain frozen values."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.db.models import Count, F, Q, QuerySet

from mbongi.base.ids import ActionId, MachineId, TenantId
from mbongi.fleet.errors import UnknownActionError, UnknownMachineError
from mbongi.fleet.models import Action, Event, Machine
from mbongi.fleet.positions import rack_label
from mbongi.fleet.reading import Target
from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    EventKind,
    Family,
    MachineState,
    OperationState,
    Severity,
)
from mbongi.fleet.wording import event_text

PAGE_MAX = 1000
"""Rows of one page, at most; a larger limit is lowered to it."""

Sort = Literal["position", "address", "model", "state", "since", "seen", "added", "id"]
SORTS: dict[str, tuple[str, ...]] = {
    "position": ("hall", "rack", "slot", "pk"),
    "address": ("address", "pk"),
    "model": ("model", "pk"),
    "state": ("state", "hall", "rack", "slot", "pk"),
    "since": ("state_since", "pk"),
    "seen": ("last_seen_at", "pk"),
    "added": ("added_at", "pk"),
    "id": ("pk",),
}


@dataclass(frozen=True, slots=True)
class MachineRow:
    """A machine as it is recorded. ``detail`` has the shape of ``reading.MachineDetail``; ``rack_label`` is 20/03."""

    id: MachineId
    address: str | None
    family: Family
    model: str
    mac: str
    serial: str
    firmware: str
    hostname: str
    hall: int | None
    rack: int | None
    slot: int | None
    rack_label: str
    group_id: int | None
    tenant_id: TenantId | None
    state: MachineState
    state_since: datetime
    state_reason: str
    last_seen_at: datetime | None
    detail: Mapping[str, Any]
    detail_at: datetime | None
    added_at: datetime
    retired_at: datetime | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event; ``text`` is its sentence in the present language. A condition lasts while ``cleared_at`` is None."""

    id: int
    machine_id: MachineId
    address: str | None
    model: str
    rack_label: str
    slot: int | None
    tenant_id: TenantId | None
    kind: EventKind
    part: str
    severity: Severity
    at: datetime
    cleared_at: datetime | None
    params: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class ActionRow:
    """An action as it is recorded. ``before`` and ``after`` are the machine's settings, without secrets."""

    id: ActionId
    machine_id: MachineId
    kind: ActionKind
    arguments: Mapping[str, Any]
    reason: str
    author_id: int
    author: str
    dry_run: bool
    status: ActionStatus
    requested_at: datetime
    finished_at: datetime | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    verified: bool | None
    message: str
    operation_id: int | None = None
    awaits_second: bool = False
    """Whether a second person must approve the operation that it is a step of."""


@dataclass(frozen=True, slots=True)
class MachineFilter:
    """Which machines; an empty field does not narrow. ``text`` is searched in address, MAC, serial, host and model.

    ``group_id`` 0: those without a group.
    """

    states: Sequence[MachineState] = ()
    families: Sequence[Family] = ()
    models: Sequence[str] = ()
    hall: int | None = None
    rack: int | None = None
    group_id: int | None = None
    tenant_id: int | None = None
    text: str = ""
    with_alarm: bool = False
    retired: bool = False


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events; an empty field does not narrow. ``is_open`` True: conditions that last; False: what is past."""

    machine_id: int | None = None
    kinds: Sequence[EventKind] = ()
    severities: Sequence[Severity] = ()
    is_open: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class MachinePage:
    """Part of a list of machines; ``total`` counts the whole list."""

    rows: list[MachineRow]
    total: int
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class EventPage:
    """Part of a list of events, newest first; ``next_before`` continues it, None at the end."""

    rows: list[EventRow]
    total: int
    next_before: int | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many machines, in all and by state, model and rack (``20/03``; empty while the place is open)."""

    total: int = 0
    by_state: Mapping[MachineState, int] = field(default_factory=dict)
    by_model: Mapping[str, int] = field(default_factory=dict)
    by_rack: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FloorSlot:
    """One machine on the floor map."""

    slot: int | None
    machine_id: MachineId
    address: str | None
    model: str
    state: MachineState
    state_since: datetime


@dataclass(frozen=True, slots=True)
class FloorRack:
    """One rack with its machines, by slot. ``rack`` None holds machines whose place is open."""

    rack: int | None
    label: str
    slots: list[FloorSlot]


@dataclass(frozen=True, slots=True)
class FloorHall:
    """One hall with its racks, by number. ``hall`` None holds machines whose place is open."""

    hall: int | None
    racks: list[FloorRack]


def machines(
    filters: MachineFilter = MachineFilter(), *, sort: str = "position", limit: int = 100, offset: int = 0
) -> MachinePage:
    """A page of machines. ``sort`` is a key of SORTS, ``-`` before it turns it round; an unknown one means position."""
    limit, offset = max(1, min(limit, PAGE_MAX)), max(0, offset)
    rows = _filtered(filters)
    # The order is found on narrow rows; the wide ones, with their details, are read for the page alone.
    ids = list(rows.order_by(*_order(sort)).values_list("pk", flat=True)[offset : offset + limit])
    found = Machine.objects.in_bulk(ids)
    total = offset + len(ids) if 0 < len(ids) < limit else rows.count()
    return MachinePage([machine_row(found[pk]) for pk in ids if pk in found], total, offset, limit)


def _order(sort: str) -> list[Any]:
    keys = SORTS.get(sort.removeprefix("-"), SORTS["position"])
    turned = sort.startswith("-")
    return [F(key).desc(nulls_last=True) if turned else F(key).asc(nulls_last=True) for key in keys]


def _filtered(filters: MachineFilter) -> "QuerySet[Machine]":
    rows = Machine.objects.filter(retired_at__isnull=not filters.retired)
    for name, chosen in (("state", filters.states), ("family", filters.families), ("model", filters.models)):
        if chosen:
            rows = rows.filter(**{f"{name}__in": list(chosen)})
    for name in ("hall", "rack", "tenant_id"):
        if getattr(filters, name) is not None:
            rows = rows.filter(**{name: getattr(filters, name)})
    if filters.group_id == 0:
        rows = rows.filter(group=None)
    elif filters.group_id is not None:
        rows = rows.filter(group_id=filters.group_id)
    if filters.with_alarm:
        rows = rows.filter(pk__in=Event.objects.filter(cleared_at=None).values("machine_id"))
    for word in filters.text.replace("\0", "").split()[:5]:
        found = Q(mac__icontains=word) | Q(serial__icontains=word) | Q(hostname__icontains=word)
        rows = rows.filter(found | Q(model__icontains=word) | Q(address__icontains=word) | _at_position(word))
    return rows


def _at_position(word: str) -> Q:
    """Machines at a position as it is written on pages: 20/03 or 20/03/07; none for any other word."""
    parts = word.split("/")
    if not 2 <= len(parts) <= 3 or not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        return Q(pk__in=())
    return Q(**dict(zip(("hall", "rack", "slot"), map(int, parts), strict=False)))


def machine(machine_id: int) -> MachineRow:
    """One machine, a retired one too. Raises UnknownMachineError."""
    row = Machine.objects.filter(pk=machine_id).first()
    if row is None:
        raise UnknownMachineError(f"machine {machine_id}: not known")
    return machine_row(row)


def machine_rows(machine_ids: Sequence[int]) -> dict[MachineId, MachineRow]:
    """Machines by id; those that are not known, or not the asker's to see, are left out."""
    return {MachineId(row.pk): machine_row(row) for row in Machine.objects.filter(pk__in=list(machine_ids))}


def machine_ids(filters: MachineFilter = MachineFilter()) -> list[MachineId]:
    """The ids of every machine that fits, by position; for those who sort by what is measured."""
    return [MachineId(pk) for pk in _filtered(filters).order_by(*_order("position")).values_list("pk", flat=True)]


def machine_row(row: Machine) -> MachineRow:
    """The plain value of a stored machine."""
    return MachineRow(
        id=MachineId(row.pk),
        address=row.address,
        family=Family(row.family),
        model=row.model,
        mac=row.mac,
        serial=row.serial,
        firmware=row.firmware,
        hostname=row.hostname,
        hall=row.hall,
        rack=row.rack,
        slot=row.slot,
        rack_label=rack_label(row.hall, row.rack),
        group_id=row.group_id,
        tenant_id=None if row.tenant_id is None else TenantId(row.tenant_id),
        state=MachineState(row.state),
        state_since=row.state_since,
        state_reason=row.state_reason,
        last_seen_at=row.last_seen_at,
        detail=row.detail,
        detail_at=row.detail_at,
        added_at=row.added_at,
        retired_at=row.retired_at,
    )


def targets() -> list[Target]:
    """Every machine that can be asked, for the poller."""
    rows = Machine.objects.filter(retired_at=None, address__isnull=False).order_by("hall", "rack", "slot", "pk")
    fields = ("pk", "address", "family", "model", "hall", "rack", "tenant_id", "mac", "serial")
    return [
        Target(
            machine_id=MachineId(pk),
            address=address or "",
            family=Family(family),
            model=model,
            rack=rack_label(hall, rack),
            tenant_id=TenantId(tenant_id or 0),
            mac=mac,
            serial=serial,
        )
        for pk, address, family, model, hall, rack, tenant_id, mac, serial in rows.values_list(*fields)
    ]


def states() -> dict[MachineId, MachineState]:
    """The recorded state of every machine that can be asked."""
    rows = Machine.objects.filter(retired_at=None, address__isnull=False).values_list("pk", "state")
    return {MachineId(pk): MachineState(state) for pk, state in rows}


def open_conditions() -> list[tuple[MachineId, EventKind, str]]:
    """Machine, kind and part of every condition that lasts."""
    rows = Event.objects.filter(cleared_at=None).values_list("machine_id", "kind", "part")
    return [(MachineId(machine_id), EventKind(kind), part) for machine_id, kind, part in rows]


def events(filters: EventFilter = EventFilter(), *, limit: int = 100, before: int | None = None) -> EventPage:
    """A page of events, newest first; ``before`` is the former page's ``next_before`` (an event's id)."""
    limit, rows = max(1, min(limit, PAGE_MAX)), _filtered_events(filters)
    total = rows.count()
    if before is not None:
        last = Event.objects.filter(pk=before).first()
        if last is None:
            return EventPage([], total, None)
        rows = rows.filter(Q(at__lt=last.at) | Q(at=last.at, pk__lt=last.pk))
    page = list(rows.select_related("machine").order_by("-at", "-pk")[: limit + 1])
    more = len(page) > limit
    return EventPage([event_row(row) for row in page[:limit]], total, page[limit - 1].pk if more else None)


def _filtered_events(filters: EventFilter) -> "QuerySet[Event]":
    rows = Event.objects.all()
    if filters.machine_id is not None:
        rows = rows.filter(machine_id=filters.machine_id)
    if filters.kinds:
        rows = rows.filter(kind__in=list(filters.kinds))
    if filters.severities:
        rows = rows.filter(severity__in=list(filters.severities))
    if filters.is_open is not None:
        rows = rows.filter(cleared_at__isnull=filters.is_open)
    if filters.since is not None:
        rows = rows.filter(at__gte=filters.since)
    if filters.until is not None:
        rows = rows.filter(at__lt=filters.until)
    return rows


def open_alarms(limit: int = 10) -> list[EventRow]:
    """The conditions that last, newest first."""
    return events(EventFilter(is_open=True), limit=limit).rows


def open_alarm_counts() -> dict[Severity, int]:
    """How many conditions last, by severity."""
    rows = Event.objects.filter(cleared_at=None).values_list("severity").annotate(count=Count("pk")).order_by()
    return {Severity(severity): count for severity, count in rows}


def event_row(row: Event) -> EventRow:
    """The plain value of a stored event."""
    kind = EventKind(row.kind)
    return EventRow(
        id=row.pk,
        machine_id=MachineId(row.machine_id),
        address=row.machine.address,
        model=row.machine.model,
        rack_label=rack_label(row.machine.hall, row.machine.rack),
        slot=row.machine.slot,
        tenant_id=None if row.tenant_id is None else TenantId(row.tenant_id),
        kind=kind,
        part=row.part,
        severity=Severity(row.severity),
        at=row.at,
        cleared_at=row.cleared_at,
        params=row.params,
        text=event_text(kind, row.part, row.params),
    )


def counts() -> Counts:
    """How many machines there are, by state, model and rack; retired ones left out."""
    rows = Machine.objects.filter(retired_at=None)
    by_rack = rows.values_list("hall", "rack").annotate(count=Count("pk")).order_by("hall", "rack")
    by_model = rows.values_list("model").annotate(count=Count("pk")).order_by("model")
    by_state = state_counts(MachineFilter())
    return Counts(
        total=sum(by_state.values()),
        by_state=by_state,
        by_model=dict(by_model),
        by_rack={rack_label(hall, rack): count for hall, rack, count in by_rack},
    )


def state_counts(filters: MachineFilter) -> dict[MachineState, int]:
    """How many of the machines that fit are in each state, whichever states the filter names."""
    rows = _filtered(dataclasses.replace(filters, states=())).values_list("state").annotate(count=Count("pk"))
    found = dict(rows.order_by())
    return {state: found.get(state.value, 0) for state in MachineState}


def models() -> list[str]:
    """The models of the machines that there are, by name; empty names are left out."""
    rows = Machine.objects.filter(retired_at=None).exclude(model="").values_list("model", flat=True)
    return list(rows.distinct().order_by("model"))


def floor() -> list[FloorHall]:
    """Halls, racks and machines in the order of their numbers; machines whose place is open come last."""
    fields = ("hall", "rack", "slot", "pk", "address", "model", "state", "state_since")
    halls: dict[int | None, dict[int | None, FloorRack]] = {}
    rows = Machine.objects.filter(retired_at=None).order_by(*_order("position")).values_list(*fields)
    for hall, rack, slot, pk, address, model, state, since in rows:
        racks = halls.setdefault(hall, {})
        place = racks.setdefault(rack, FloorRack(rack, rack_label(hall, rack), []))
        place.slots.append(FloorSlot(slot, MachineId(pk), address, model, MachineState(state), since))
    return [FloorHall(hall, list(racks.values())) for hall, racks in halls.items()]


def actions(machine_id: int, limit: int = 20) -> list[ActionRow]:
    """The newest actions on a machine."""
    rows = Action.objects.filter(machine_id=machine_id).select_related("author", "operation")
    return [action_row(row) for row in rows.order_by("-requested_at", "-pk")[: max(1, min(limit, PAGE_MAX))]]


def action(action_id: int) -> ActionRow:
    """One action. Raises UnknownActionError."""
    row = Action.objects.select_related("author", "operation").filter(pk=action_id).first()
    if row is None:
        raise UnknownActionError(f"action {action_id}: not known")
    return action_row(row)


def action_row(row: Action) -> ActionRow:
    """The plain value of a stored action."""
    return ActionRow(
        id=ActionId(row.pk),
        machine_id=MachineId(row.machine_id),
        kind=ActionKind(row.kind),
        arguments=row.arguments,
        reason=row.reason,
        author_id=row.author_id,
        author=str(row.author),
        dry_run=row.dry_run,
        status=ActionStatus(row.status),
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        before=row.before,
        after=row.after,
        verified=row.verified,
        message=row.message,
        operation_id=row.operation_id,
        awaits_second=row.operation is not None and row.operation.state == OperationState.AWAITING,
    )
