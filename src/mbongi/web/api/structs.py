"""What the API takes and gives. Figures carry their unit in their name; null means: not known."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mbongi.fleet.values import ActionKind, ActionStatus, EventKind, Family, Severity

State = Annotated[str, Meta(description="unknown, off, mining, sleeping, starting or fault")]
Seconds = Annotated[float, Meta(description="seconds")]


class Machine(msgspec.Struct, kw_only=True):
    """A machine with its newest figures. Once ``stale``, they are what was last known, and no state but unknown."""

    id: int
    name: Annotated[str, Meta(description="hall/rack/slot where known, else the address")]
    address: str | None
    family: Family
    model: str
    hall: int | None
    rack: int | None
    slot: int | None
    state: State
    state_since: datetime
    state_reason: str
    reading_at: datetime | None
    age_s: Seconds | None
    stale: bool
    hashrate_ths: float | None
    hashrate_nominal_ths: float | None
    power_w: float | None
    power_estimated: bool | None
    efficiency_jth: float | None
    chip_temp_max_c: float | None
    board_temp_max_c: float | None
    inlet_temp_c: float | None
    fan_rpm: Annotated[float | None, Meta(description="the fastest fan")]
    reject_ratio: float | None
    uptime_s: float | None
    pool: str


class MachineFull(Machine, kw_only=True):
    """A machine with everything that is recorded of it. Never a pool's password."""

    mac: str
    serial: str
    firmware: str
    hostname: str
    tenant_id: int | None
    added_at: datetime
    retired_at: datetime | None
    detail: Annotated[
        dict[str, Any], Meta(description="boards, fans, pools and error codes as the machine states them")
    ]
    detail_at: datetime | None
    figures: Annotated[
        dict[str, float | None], Meta(description="every column of the newest reading; units in the names")
    ]


class MachineList(msgspec.Struct, kw_only=True):
    """Part of a list of machines."""

    items: list[Machine]
    total: int
    offset: int
    limit: int


class Series(msgspec.Struct, kw_only=True):
    """Figures over time: ``columns[name][i]`` at ``at[i]`` (seconds since 1970). null marks a gap."""

    step_s: int
    at: list[int]
    columns: dict[str, list[float | None]]
    units: dict[str, str]
    newest_at: datetime | None
    age_s: Seconds | None


class Event(msgspec.Struct, kw_only=True):
    """Something that happened; ``open`` while a condition lasts."""

    id: int
    machine_id: int
    machine: str
    kind: EventKind
    part: str
    severity: Severity
    at: datetime
    cleared_at: datetime | None
    open: bool
    text: Annotated[str, Meta(description="a sentence in the language asked for (Accept-Language)")]


class EventList(msgspec.Struct, kw_only=True):
    """Part of a list of events, newest first; give ``next_before`` as ``before`` to go on."""

    items: list[Event]
    total: int
    next_before: int | None


class PoolSetting(msgspec.Struct, forbid_unknown_fields=True):
    """A pool to set. There is no password: pools know a worker by its user."""

    url: Annotated[str, Meta(max_length=200, description="such as stratum+tcp://pool.example:3333")]
    user: Annotated[str, Meta(max_length=128)]


class ActionRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An action to ask for. ``dry_run`` reads the machine and says what would change, and is the default."""

    kind: ActionKind
    reason: Annotated[str, Meta(min_length=1, max_length=500, description="goes into the ledger")]
    dry_run: bool = True
    pools: list[PoolSetting] = []


class ActionsRequest(ActionRequest, kw_only=True, forbid_unknown_fields=True):
    """The same action on several machines: all are asked for, or none."""

    machine_ids: Annotated[list[Annotated[int, Meta(ge=1, le=2147483647)]], Meta(min_length=1, max_length=5000)]


class Action(msgspec.Struct, kw_only=True):
    """An action and how far it has come. ``verified``: the machine was read again and has the new settings."""

    id: int
    machine_id: int
    kind: ActionKind
    reason: str
    author: str
    dry_run: bool
    status: ActionStatus
    requested_at: datetime
    finished_at: datetime | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    verified: bool | None
    message: str
    operation_id: int | None
    awaits_second: bool
    """A second person must approve the operation that it is a step of."""


class ActionList(msgspec.Struct, kw_only=True):
    """Actions, newest first."""

    items: list[Action]


class LedgerEntry(msgspec.Struct, kw_only=True):
    """One entry of the ledger."""

    index: int
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str
    tenant_id: int | None
    before: Any
    after: Any


class LedgerList(msgspec.Struct, kw_only=True):
    """Entries, newest first; give ``next_before`` as ``before`` to go on."""

    items: list[LedgerEntry]
    next_before: int | None


class LedgerState(msgspec.Struct, kw_only=True):
    """The ledger as it is, and its newest signed checkpoint; ``holds`` is null before the first one."""

    size: int
    root: Annotated[str, Meta(description="Merkle root (RFC 6962) in base64")]
    holds: bool | None
    checkpoint_size: int | None
    checkpoint: Annotated[str, Meta(description="signed note (C2SP tlog-checkpoint)")]
    verifier: Annotated[str, Meta(description="the key that checks the note")]


class SiteSummary(msgspec.Struct, kw_only=True):
    """The site, or a tenant's part of it. Sums are over machines with a fresh reading."""

    name: str
    code: str
    at: datetime
    newest_at: datetime | None
    machines: int
    fresh: int
    states: dict[str, int]
    hashrate_ths: float | None
    power_w: float | None
    power_estimated: Annotated[int, Meta(description="machines whose power is estimated from their model")]
    efficiency_jth: float | None
    alarms: dict[str, int]
