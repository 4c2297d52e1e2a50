"""What energy hears of the plant over the bus, and what it orders. Names are the plant's."""

from typing import Final

import msgspec

from mbongi.energy.values import Reading, Readings

OBSERVED_SUBJECT: Final = "facility.observed"
ORDERS_SUBJECT: Final = "energy.orders"
STATUS_SUBJECT: Final = "energy.status"
POINTS_MAX: Final = 20_000
GOOD: Final = 0


class HeardPoint(msgspec.Struct, frozen=True):
    """A point's value as the plant tells it; other fields are not needed here. ``quality`` 0 is good."""

    tag: str
    quantity: str
    value: float | None
    quality: int
    at_ms: int


class HeardPoints(msgspec.Struct, frozen=True):
    """Some of them."""

    observations: list[HeardPoint]


class OrdersTold(msgspec.Struct, frozen=True, kw_only=True):
    """What the black-out sequence wants now: gensets that run, the bus's source, loads with power, mining's limit.

    Controllers of gensets and switchgear carry it out; ``mining_kw`` None: no limit.
    """

    at_ms: int
    phase: str
    runs: list[str]
    source: str
    carried: list[str]
    mining_kw: float | None
    events: list[str]


class EnergyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The process at this moment."""

    points: int
    plan_at_ms: int
    phase: str
    database_away: bool


def take(readings: Readings, data: bytes) -> int:
    """Enter what was heard; returns how many values were. What is not good is entered as not a number.

    Raises msgspec.DecodeError for what is no such message. Points beyond POINTS_MAX are left out.
    """
    told = msgspec.msgpack.decode(data, type=HeardPoints)
    count = 0
    for one in told.observations:
        point = (one.tag, one.quantity)
        if point not in readings and len(readings) >= POINTS_MAX:
            continue
        value = one.value if one.quality == GOOD and one.value is not None else float("nan")
        readings[point] = Reading(value, one.at_ms / 1000)
        count += 1
    return count
