"""What the API takes and gives of work orders and spare parts."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from mbongi.fleet.rules.work_orders import EntryKind, Fault, Outcome, WorkState
from mbongi.fleet.stock import MoveKind
from mbongi.fleet.work_orders import NewWork, Receipt

Hours = Annotated[float | None, Meta(description="hours; null: not known, or no limit")]


class WorkOrder(msgspec.Struct, kw_only=True):
    """A fault of a machine and how far its repair has come."""

    id: int
    machine_id: int
    machine: Annotated[str, Meta(description="where it stood when it was reported: hall/rack/slot, or its address")]
    model: str
    serial: str
    fault: Fault
    note: str
    state: WorkState
    reporter: Annotated[str, Meta(description="empty: the site itself")]
    technician: str
    reported_at: datetime
    taken_at: datetime | None
    fixed_at: datetime | None
    verified_at: Annotated[
        datetime | None, Meta(description="when the machine had shown by its readings that it mines")
    ]
    cancelled_at: datetime | None
    conflicts: Annotated[int, Meta(description="entries that clash with what became of the order, not settled yet")]


class WorkEntry(msgspec.Struct, kw_only=True):
    """Something that was entered on a work order. None is ever changed."""

    key: UUID
    kind: EntryKind
    author: str
    at: datetime
    received_at: datetime
    text: str
    facts: dict[str, Any]
    outcome: Outcome
    clash: str
    settled_by: str


class WorkOrderFull(WorkOrder, kw_only=True):
    """A work order with its entries."""

    entries: list[WorkEntry]


class WorkOrderList(msgspec.Struct, kw_only=True):
    """Part of the work orders, newest first."""

    items: list[WorkOrder]
    total: int
    offset: int
    limit: int


class WorkEntries(msgspec.Struct, kw_only=True):
    """Entries to be taken in, in their order. ``sent_at`` is by the clock that the entries' ``at`` is of."""

    sent_at: datetime
    entries: Annotated[list[NewWork], Meta(max_length=200)]


class WorkReceipts(msgspec.Struct, kw_only=True):
    """What became of each entry, in the same order."""

    items: list[Receipt]


class Part(msgspec.Struct, kw_only=True):
    """A spare part and what there is of it. Below 0: more was used than entered."""

    id: int
    number: str
    name: str
    fits: str
    reorder_point: int
    stock: int
    low: bool
    used_90_days: int


class PartList(msgspec.Struct, kw_only=True):
    """Every spare part."""

    items: list[Part]


class PartMove(msgspec.Struct, kw_only=True):
    """Pieces that came (more than 0) or went."""

    id: int
    at: datetime
    kind: MoveKind
    pieces: int
    order: int | None
    reason: str
    author: str


class PartFull(Part, kw_only=True):
    """A spare part with its newest moves."""

    moves: list[PartMove]


class PartRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new spare part."""

    number: Annotated[str, Meta(min_length=1, max_length=60)]
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    fits: Annotated[str, Meta(max_length=200)] = ""
    reorder_point: Annotated[int, Meta(ge=0, le=100_000)] = 0


class MoveRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Pieces to receive or scrap, or how many were counted. The same ``key`` twice counts once."""

    key: UUID
    kind: MoveKind
    pieces: Annotated[int, Meta(ge=0, le=100_000)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class Mean(msgspec.Struct, kw_only=True):
    """A mean with the limits that hold the true one with the stated confidence."""

    value_h: Hours
    low_h: Hours
    high_h: Hours
    count: int


class ModelRepairs(msgspec.Struct, kw_only=True):
    """A model's repair statistics."""

    model: str
    machines: int
    observed_h: float
    mtbf: Mean
    mttr: Annotated[Mean, Meta(description="from the report to the repair")]
    hands_on: Annotated[Mean, Meta(description="from the taking to the repair")]


class RepairStatistics(msgspec.Struct, kw_only=True):
    """Repair statistics of a period."""

    since: datetime
    until: datetime
    confidence: float
    models: list[ModelRepairs]
    faults: dict[str, int]
