"""What the API takes and gives of curtailment."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mbongi.fleet.rules.curtail import NotChosen
from mbongi.fleet.rules.metering import MeterTrouble
from mbongi.fleet.rules.triggers import Condition, TriggerKind
from mbongi.fleet.values import CurtailPhase, CurtailWish, OperationState
from mbongi.web.api.group_structs import Reason


class SitePower(msgspec.Struct, kw_only=True):
    """The site's power [W] as it was last measured; null where it is not known, as ``trouble`` says."""

    at: datetime | None
    power_w: float | None
    machines_w: Annotated[float | None, Meta(description="the sum of what the machines state")]
    frequency_hz: float | None
    source: Annotated[str, Meta(description="meter, or machines where the site has no meter")]
    trouble: MeterTrouble
    is_stale: bool


class Rehearsal(msgspec.Struct, kw_only=True):
    """What a curtailment would do now. Powers at the meter [W]. ``left`` counts machines left alone by reason."""

    baseline_w: float
    target_w: float
    need_w: float
    saves_w: float
    source: str
    ramp_kw_s: float | None
    soonest_s: float
    is_late: bool
    problem: Annotated[str, Meta(description="why it cannot be begun so; empty: it can")]
    machine_ids: list[int]
    able: int
    left: dict[NotChosen, int]


class CurtailRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be curtailed, and why."""

    wish: CurtailWish
    reason: Reason


class EndRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Wake the machines; ``abort``: it ends as rolled back."""

    reason: Reason
    abort: bool = False


class Curtailment(msgspec.Struct, kw_only=True):
    """A curtailment and how it stands. Powers at the meter [W]."""

    id: int
    state: OperationState
    phase: CurtailPhase
    abort: bool
    wish: CurtailWish
    reason: str
    author: str
    actor: str
    trigger_id: int | None
    began_at: datetime | None
    deadline_at: datetime | None
    ends_at: datetime | None
    reached_at: datetime | None
    wake_at: datetime | None
    finished_at: datetime | None
    message: str
    baseline_w: float
    target_w: float
    power_w: float | None
    ramp_kw_s: float | None
    energy_not_used_kwh: float
    asleep: Annotated[int, Meta(description="machines that sleep because of it")]
    added: Annotated[int, Meta(description="machines added because the meter fell short")]
    progress: Annotated[float | None, Meta(description="0 to 1, of the present phase; null while it holds")]


class CurtailmentList(msgspec.Struct, kw_only=True):
    """Curtailments, newest first."""

    items: list[Curtailment]


class Signal(msgspec.Struct, kw_only=True):
    """What was last told; null: nothing, or no longer limited."""

    kind: str
    value: float | None
    at: datetime
    source: str
    until: datetime | None


class SignalRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What energy costs now (per MWh), or how much power there is [W]; null: as much as is wanted."""

    kind: Literal["price", "capacity"]
    value: float | None
    source: Annotated[str, Meta(min_length=1, max_length=40)]


class SignalList(msgspec.Struct, kw_only=True):
    """What was last told of price and capacity."""

    items: list[Signal]


class TriggerRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A trigger; it does nothing until somebody else approves it."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    kind: TriggerKind
    condition: Condition = Condition()
    wish: CurtailWish = CurtailWish()
    reason: Reason


class SwitchRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether a trigger is looked at."""

    on: bool
    reason: Reason


class Trigger(msgspec.Struct, kw_only=True):
    """What begins a curtailment by itself. ``needs_second``: somebody else must approve it."""

    id: int
    name: str
    kind: TriggerKind
    condition: Condition
    wish: CurtailWish
    reason: str
    author: str
    approver: str
    approved_at: datetime | None
    is_on: bool
    is_active: bool
    began_at: datetime | None
    ended_at: datetime | None
    message: str
    needs_second: bool


class TriggerList(msgspec.Struct, kw_only=True):
    """All triggers."""

    items: list[Trigger]


class Nothing(msgspec.Struct, kw_only=True):
    """Nothing more to say."""


class Started(msgspec.Struct, kw_only=True):
    """The operation that was started."""

    operation_id: int
