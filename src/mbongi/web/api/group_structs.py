"""What the API takes and gives of groups, profiles and operations."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    Desired,
    DesiredField,
    Limits,
    OperationKind,
    OperationState,
    ProfileState,
)

Reason = Annotated[str, Meta(min_length=1, max_length=500, description="goes into the ledger")]
MachineIds = Annotated[list[Annotated[int, Meta(ge=1, le=2147483647)]], Meta(min_length=1, max_length=20_000)]


class Group(msgspec.Struct, kw_only=True):
    """Machines that should be alike. ``active`` and ``open`` are numbers of versions of its profile."""

    id: int
    name: str
    note: str
    tenant_id: int | None
    paused: bool
    machines: int
    active: int | None
    open: int | None
    open_state: ProfileState | None


class VersionChange(msgspec.Struct, kw_only=True):
    """A field that differs from the former version; empty: not there."""

    field: str
    before: str
    after: str


class Profile(msgspec.Struct, kw_only=True):
    """A version of a group's profile. ``needs_second``: a second person must approve it."""

    id: int
    group_id: int
    number: int
    document: Desired
    state: ProfileState
    reason: str
    author: str
    written_at: datetime
    decider: str
    decided_at: datetime | None
    decision: str
    former: Annotated[int | None, Meta(description="the version that the changes are against")]
    changes: list[VersionChange]
    needs_second: bool


class GroupList(msgspec.Struct, kw_only=True):
    """All groups, by name."""

    items: list[Group]


class ProfileList(msgspec.Struct, kw_only=True):
    """The versions of a group's profile, newest first."""

    items: list[Profile]


class GroupRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A group to add."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    note: Annotated[str, Meta(max_length=500)] = ""
    tenant_id: int | None = None
    reason: Reason


class MachinesRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Machines to put into a group, out of any other."""

    machine_ids: MachineIds
    reason: Reason


class Count(msgspec.Struct, kw_only=True):
    """How many changed."""

    count: int


class Put(msgspec.Struct, kw_only=True):
    """How many machines went, and how many wait for a second person, by the move's number."""

    count: int
    waiting: int
    move_id: Annotated[int | None, Meta(description="null: nothing new waits")]


class Move(msgspec.Struct, kw_only=True):
    """Machines that are to go into a group by whose profile they would work for others."""

    id: int
    group_id: int
    machine_ids: list[int]
    author: str
    reason: str
    asked_at: datetime


class MoveList(msgspec.Struct, kw_only=True):
    """The moves that wait, newest first."""

    items: list[Move]


class ProfileRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new version of a profile; ``propose`` asks at once for it to become active."""

    document: Desired
    reason: Reason
    propose: bool = False


class ReasonRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Reason


class Difference(msgspec.Struct, kw_only=True):
    """Something that is not as it should be; ``known`` false: the machine does not state it."""

    field: DesiredField
    wanted: str
    found: str
    known: bool


class PlannedChange(msgspec.Struct, kw_only=True):
    """What would be done; ``kind`` null: nothing, and ``why_not`` says why."""

    fields: list[DesiredField]
    kind: ActionKind | None
    arguments: dict[str, Any]
    why_not: str


class MachinePlan(msgspec.Struct, kw_only=True):
    """One machine of a dry run."""

    machine_id: int
    stated_at: datetime | None
    differences: list[Difference]
    changes: list[PlannedChange]


class Preview(msgspec.Struct, kw_only=True):
    """A dry run: machines that differ, and how many are the same or left to another reconciliation."""

    group_id: int
    version: int
    same: int
    pending: int
    steps: int
    left: dict[str, int]
    machines: list[MachinePlan]


class ReconcileRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A reconciliation of a group, or of some of its machines."""

    reason: Reason
    machine_ids: MachineIds | None = None
    start: bool = True


class Operation(msgspec.Struct, kw_only=True):
    """A change of many machines and how far it is: its steps by status."""

    id: int
    kind: OperationKind
    state: OperationState
    group_id: int | None
    limits: Limits
    document: dict[str, Any]
    reason: str
    author: str
    approver: str
    planned_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    message: str
    total: int
    ended: int
    steps: dict[ActionStatus, int]


class OperationList(msgspec.Struct, kw_only=True):
    """Operations, newest first."""

    items: list[Operation]


class GroupChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to change of a group; what is left out stays. While ``paused`` nothing in it is set again by itself."""

    reason: Reason
    note: Annotated[str, Meta(max_length=500)] | None = None
    paused: bool | None = None


class Poller(msgspec.Struct, kw_only=True):
    """A process that asks machines, as it was heard last. ``slots``: the remainders, divided by 64, of its machines."""

    number: int
    is_gone: bool
    heard_at: datetime
    started_at: datetime
    slots: list[int]
    slots_since: datetime
    leads: bool
    machines: int
    polls_per_s: float | None
    rounds_in_time_pct: float | None
    failures: int


class PollerList(msgspec.Struct, kw_only=True):
    """The pollers, by number."""

    items: list[Poller]
