"""What the facility process tells and answers on the bus: newest values, states of devices, tries and caps. Pure.

Observations pass on ``facility.observed`` as they come, and all of them again every WHOLE_S, so that whoever starts
later knows them soon; nobody waits for them, and the record of values is the telemetry.
"""

from typing import Final

import msgspec

from mbongi.facility.values import Observation, Protocol, Quality, Quantity

OBSERVED_SUBJECT: Final = "facility.observed"
DEVICES_SUBJECT: Final = "facility.devices"
TRY_SUBJECT: Final = "facility.try"
CAP_SUBJECT: Final = "facility.cap"
STATUS_SUBJECT: Final = "facility.status"
TOLD_S: Final = 1.0
WHOLE_S: Final = 10.0
ANSWER_S: Final = 40.0
"""The longest that a try may take: its time limit, twice, and some."""
PART_MAX: Final = 4_000
"""Observations of one message."""


class DeviceState(msgspec.Struct, frozen=True, kw_only=True):
    """How asking a device goes. ``error`` is a word of ``device_errors`` or empty; ``detail`` is for engineers."""

    id: int
    tag: str
    protocol: Protocol
    reads: int = 0
    failures: int = 0
    """In a row; 0 while it answers."""
    good_ms: int = 0
    """When it answered last; 0: never since the process started."""
    read_ms: float = 0.0
    """How long its last answer took."""
    next_ms: int = 0
    """When it is asked again."""
    error: str = ""
    detail: str = ""


class DevicesTold(msgspec.Struct, frozen=True, kw_only=True):
    """The devices that are asked, all of them."""

    at_ms: int
    devices: list[DeviceState]


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """Some observations, newest last."""

    observations: list[Observation]


class TryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Ask a device once, whether it is on record or not; nothing is kept. Secrets are sealed, as in the database."""

    tag: str
    protocol: Protocol
    host: str
    port: int
    selector: str
    map_name: str
    timeout_s: float
    user: str
    sealed: str


class TriedValue(msgspec.Struct, frozen=True):
    """One value that came."""

    quantity: Quantity
    value: float | None
    quality: Quality


class TryReply(msgspec.Struct, frozen=True, kw_only=True):
    """What came. ``error`` as in ``DeviceState``; ``took_ms`` how long it took."""

    values: list[TriedValue] = []
    error: str = ""
    detail: str = ""
    took_ms: float = 0.0


class CapRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Set a server's power cap [W; None: lift it], or say what that would do."""

    device_id: int
    watts: float | None
    dry_run: bool


class CapReply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; ``error`` as in ``DeviceState``."""

    before_w: float | None = None
    after_w: float | None = None
    error: str = ""
    detail: str = ""


class FacilityStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The process at this moment."""

    devices: int
    answering: int
    points: int
    batches_waiting: int
    batches_dropped: int
    database_away: bool
