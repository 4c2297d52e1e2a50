"""When a curtailment begins and ends by itself: schedules, signals with hysteresis, events of capacity. Pure."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec

DAY_S = 86_400
STALE_S = {"price": 3 * 3600.0, "frequency": 15.0}
"""A signal that was last heard longer ago says nothing: it neither begins nor ends anything."""


class TriggerKind(StrEnum):
    """What begins a curtailment besides a person."""

    SCHEDULE = "schedule"
    PRICE = "price"
    FREQUENCY = "frequency"
    CAPACITY = "capacity"
    """The facility says how much power there is."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trigger waits for. ``days`` (0 is Monday) and the times of SCHEDULE are of the site's time zone.

    PRICE begins above ``begin`` and ends below ``end``; FREQUENCY the other way round [Hz]. ``hold_s`` is how long it
    must last before it begins, ``on_s`` how long it then lasts at least, ``off_s`` how long it rests afterwards.
    """

    days: tuple[Annotated[int, msgspec.Meta(ge=0, le=6)], ...] = (0, 1, 2, 3, 4, 5, 6)
    start: str = "18:00"
    stop: str = "22:00"
    begin: float = 0.0
    end: float = 0.0
    hold_s: Annotated[float, msgspec.Meta(ge=0, le=DAY_S)] = 0.0
    on_s: Annotated[float, msgspec.Meta(ge=0, le=DAY_S)] = 300.0
    off_s: Annotated[float, msgspec.Meta(ge=0, le=DAY_S)] = 300.0


@dataclass(frozen=True, slots=True)
class Signal:
    """What was last heard, and how old it is; NaN where nothing was."""

    value: float = math.nan
    age_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Memory:
    """What a trigger remembers: since when its condition is met, and when it last began and ended."""

    met_since: datetime | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def is_on(self) -> bool:
        """Whether it has begun and not ended."""
        return self.began_at is not None and (self.ended_at is None or self.ended_at < self.began_at)


class Verdict(StrEnum):
    """What is to be done now."""

    NOTHING = "nothing"
    BEGIN = "begin"
    END = "end"


def problem(kind: TriggerKind, condition: Condition) -> str:
    """Why a condition cannot be used; empty where it can."""
    if kind is TriggerKind.SCHEDULE:
        problems = (
            (not condition.days, "no days"),
            (None in {minutes(condition.start), minutes(condition.stop)}, "times must be such as 18:00"),
            (condition.start == condition.stop, "it starts when it stops"),
        )
        return next((text for applies, text in problems if applies), "")
    if not all(map(math.isfinite, (condition.begin, condition.end))):
        return "thresholds must be numbers"
    if kind is TriggerKind.PRICE and not condition.end < condition.begin:
        return "a price must end below where it begins"
    if kind is TriggerKind.FREQUENCY and not 0 < condition.begin < condition.end:
        return "a frequency must end above where it begins"
    return ""


def minutes(text: str) -> int | None:
    """Minutes since midnight of ``18:30``; None for what is no time."""
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isascii() and minute.isascii() and hour.isdecimal() and minute.isdecimal()):
        return None
    found = int(hour) * 60 + int(minute)
    return found if len(minute) == 2 and int(minute) < 60 and found < 24 * 60 else None


def in_window(condition: Condition, local: datetime) -> bool:
    """Whether a moment of the site's clock lies in a schedule; one over midnight belongs to the day that it starts."""
    start, stop = minutes(condition.start), minutes(condition.stop)
    assert start is not None
    assert stop is not None
    now = local.hour * 60 + local.minute
    if start < stop:
        return local.weekday() in condition.days and start <= now < stop
    if now >= start:
        return local.weekday() in condition.days
    return now < stop and (local - timedelta(days=1)).weekday() in condition.days


def verdict(
    kind: TriggerKind, condition: Condition, memory: Memory, signal: Signal, *, now: datetime, local: datetime
) -> tuple[Verdict, Memory]:
    """What a trigger calls for, and what it remembers. CAPACITY's signal is the power that is there [W], or NaN."""
    if kind is TriggerKind.SCHEDULE:
        met: bool | None = in_window(condition, local)
    elif kind is TriggerKind.CAPACITY:
        met = math.isfinite(signal.value)
    else:
        met = _crossed(kind, condition, memory, signal)
    if met is None:
        return Verdict.NOTHING, memory
    since = (memory.met_since or now) if met else None
    memory = Memory(since, memory.began_at, memory.ended_at)
    if not memory.is_on:
        rests = memory.ended_at is not None and now - memory.ended_at < timedelta(seconds=condition.off_s)
        holds = since is not None and now - since >= timedelta(seconds=condition.hold_s)
        if holds and not (rests and kind in STALE_S):
            return Verdict.BEGIN, Memory(since, now, memory.ended_at)
        return Verdict.NOTHING, memory
    assert memory.began_at is not None
    is_short = kind in STALE_S and now - memory.began_at < timedelta(seconds=condition.on_s)
    if met or is_short:
        return Verdict.NOTHING, memory
    return Verdict.END, Memory(None, memory.began_at, now)


def _crossed(kind: TriggerKind, condition: Condition, memory: Memory, signal: Signal) -> bool | None:
    """Beyond the threshold that counts in the present state; None while nobody knows."""
    if not math.isfinite(signal.value) or signal.age_s > STALE_S[kind]:
        return None
    limit = condition.end if memory.is_on else condition.begin
    return signal.value > limit if kind is TriggerKind.PRICE else signal.value < limit
