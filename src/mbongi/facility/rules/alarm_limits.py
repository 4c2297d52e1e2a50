"""What an alarm watches, and what a reading says of it. Pure."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import msgspec

from mbongi.facility.rules.alarm_state import Seen


class Kind(StrEnum):
    """How a reading is judged."""

    HIHI = "hihi"
    HI = "hi"
    LO = "lo"
    LOLO = "lolo"
    DISCRETE = "discrete"
    """The value is ``limit``, such as 1 of a contact."""
    DEVIATION = "deviation"
    """Farther from ``setpoint`` than ``limit``."""
    RATE = "rate"
    """Changes faster than ``limit`` each minute, up or down."""
    QUALITY = "quality"
    """The reading is bad or stale."""
    INFERRED = "inferred"
    """No reading: concluded from what an element feeds."""


class Priority(StrEnum):
    """How urgent an answer is."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


RANK = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2}


class Supply(StrEnum):
    """What elements give one another."""

    POWER = "power"
    COOLING = "cooling"


class Follows(StrEnum):
    """The loss that an alarm may be a consequence of: all feeds of an element, or one of them."""

    POWER = "power"
    POWER_PART = "power_part"
    COOLING = "cooling"
    COOLING_PART = "cooling_part"

    @property
    def supply(self) -> Supply:
        """What was lost."""
        return Supply(self.value.removesuffix("_part"))

    @property
    def is_part(self) -> bool:
        """Whether the loss of one feed is enough."""
        return self.value.endswith("_part")


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One alarm of the rationalisation list, for every element whose tag fits ``tag`` (``*`` fits any text).

    ``limit`` and ``setpoint`` are in ``unit``, of ``rate`` each minute; ``dead_band`` [unit, ≥ 0] is how far a value
    must come back before it is normal again. ``stops``: what its element no longer gives while the alarm lasts.
    ``follows``: the losses that it may be a consequence of. ``respond_s``: how long the operator has.
    """

    title: str
    tag: str
    quantity: str = ""
    kind: Kind = Kind.HI
    limit: float | None = None
    setpoint: float | None = None
    unit: str = ""
    dead_band: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    stale_s: float = 120.0
    priority: Priority = Priority.LOW
    latches: bool = False
    stops: Supply | None = None
    follows: tuple[Follows, ...] = ()
    cause: str = ""
    consequence: str = ""
    response: str = ""
    respond_s: float = 600.0


class Observation(NamedTuple):
    """A reading of an element's quantity. ``value`` None or ``is_good`` False: it is not known."""

    tag: str
    quantity: str
    value: float | None
    is_good: bool
    at_ms: int


@dataclass(slots=True)
class Memory:
    """What is remembered between two readings of one alarm at one element; ``value`` is the last good one."""

    seen: Seen = Seen.NORMAL
    value: float | None = None
    at_ms: int = 0
    """Of the last reading."""
    value_at_ms: int = 0


def judge(document: Document, memory: Memory, reading: Observation) -> Seen:
    """What the reading says, given what was seen before; between a limit and its dead-band what was seen stays.

    A reading older than the last one says nothing new.
    """
    value = reading.value
    is_good = reading.is_good and value is not None and math.isfinite(value)
    if document.kind is Kind.QUALITY:
        return Seen.NORMAL if is_good else Seen.ALARM
    if not is_good or value is None or document.limit is None:
        return Seen.UNKNOWN
    beyond = _beyond(document, document.limit, memory, value, reading.at_ms)
    if beyond is None:
        return Seen.UNKNOWN
    if beyond > 0 or (document.kind is Kind.DISCRETE and beyond == 0):
        return Seen.ALARM
    band = document.dead_band if document.kind is not Kind.DISCRETE else 0.0
    held = memory.seen is Seen.ALARM and band > 0 and beyond > -band
    return Seen.ALARM if held else Seen.NORMAL


def _beyond(document: Document, limit: float, memory: Memory, value: float, at_ms: int) -> float | None:
    """How far the value is beyond the limit [unit]; negative: within. None: not to be told yet."""
    match document.kind:
        case Kind.HI | Kind.HIHI:
            return value - limit
        case Kind.LO | Kind.LOLO:
            return limit - value
        case Kind.DISCRETE:
            return 0.0 if value == limit else -1.0
        case Kind.DEVIATION:
            return abs(value - (document.setpoint or 0.0)) - limit
        case _:
            if memory.value is None or at_ms <= memory.value_at_ms:
                return None
            return abs(value - memory.value) * 60_000 / (at_ms - memory.value_at_ms) - limit


def remember(memory: Memory, seen: Seen, reading: Observation) -> None:
    """Keep what the next reading is judged by."""
    memory.seen, memory.at_ms = seen, reading.at_ms
    if reading.is_good and reading.value is not None and math.isfinite(reading.value):
        memory.value, memory.value_at_ms = reading.value, reading.at_ms


def faults_of(document: Document) -> list[str]:
    """What of a definition makes no sense, as names of fields; empty: it may be used."""
    numbers = ("dead_band", "on_delay_s", "off_delay_s")
    faults = [name for name in ("title", "tag") if not getattr(document, name).strip()]
    faults += [name for name in numbers if not 0 <= getattr(document, name) < 1e9]
    faults += [name for name in ("stale_s", "respond_s") if not 0 < getattr(document, name) < 1e9]
    if document.kind is not Kind.INFERRED and not document.quantity.strip():
        faults.append("quantity")
    needs_limit = document.kind not in {Kind.QUALITY, Kind.INFERRED}
    if needs_limit and (document.limit is None or not math.isfinite(document.limit)):
        faults.append("limit")
    if document.kind is Kind.DEVIATION and (document.setpoint is None or not math.isfinite(document.setpoint)):
        faults.append("setpoint")
    if document.priority is not Priority.LOW and not document.response.strip():
        faults.append("response")
    return faults
