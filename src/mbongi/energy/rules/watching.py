"""What the black-out sequence sees of the plant, from what was measured and how old that is. Pure."""

import math

from mbongi.energy.rules.blackout import Block, Plant, Seen
from mbongi.energy.values import Readings, Supply

FAST_S = 15.0
"""A reading of what can change at once says nothing of now once it is older."""
SLOW_S = 120.0
"""Of levels."""
PRESENT_V = 100.0
"""Between a phase and neutral, or two phases: a feed is there above it."""
VOLTAGES = ("voltage_l1_v", "voltage_l12_v", "input_voltage_l1_v")
NEVER_SHED = 1_000


def fresh(readings: Readings, tag: str, quantity: str, now_s: float, old_s: float = FAST_S) -> float | None:
    """What is known of a point now; None where it is old, not a number, or not measured."""
    found = readings.get((tag, quantity))
    if found is None or not math.isfinite(found.value) or now_s - found.at_s > old_s:
        return None
    return found.value


def is_present(readings: Readings, tag: str, now_s: float, old_s: float = FAST_S) -> bool | None:
    """Whether a feed is there: its breaker is closed and it has a voltage, as far as either is measured.

    A voltage that was measured once and is not known now is not known: a closed breaker says nothing of it.
    """
    breaker = fresh(readings, tag, "breaker_closed", now_s, old_s)
    volts = [value for name in VOLTAGES if (value := fresh(readings, tag, name, now_s, old_s)) is not None]
    if breaker == 0 or (volts and max(volts) < PRESENT_V):
        return False
    if volts:
        return True
    return None if breaker is None or any((tag, name) in readings for name in VOLTAGES) else True


def is_watched(readings: Readings, supply: Supply) -> bool:
    """Whether any feed was ever measured. Without that there is no black-out to be seen, and no sequence runs."""
    tags = {feed.seen_at for feed in supply.feeds}
    return any(tag in tags and quantity in {"breaker_closed", *VOLTAGES} for tag, quantity in readings)


def plant_of(supply: Supply) -> Plant:
    """Blocks, gensets and mining, as they are written."""
    blocks = tuple(
        Block(load.tag, load.kw, NEVER_SHED + number if load.order is None else load.order, load.on_ups)
        for number, load in enumerate(supply.loads)
    )
    gensets = tuple((one.tag, one.max_kw) for one in supply.gensets)
    return Plant(blocks, gensets, sum(one.max_kw for one in supply.mining))


def seen(readings: Readings, supply: Supply, now_s: float) -> Seen:
    """The grid is there while one feed is, and not there once all are known to be away."""
    feeds = [is_present(readings, feed.seen_at, now_s) for feed in supply.feeds]
    grid = True if True in feeds else (None if None in feeds else False)
    lasts = [fresh(readings, tag, quantity, now_s) for tag, quantity in readings if quantity == "runtime_s"]
    known = [one for one in lasts if one is not None]
    ready = {one.tag: _ready(readings, one.tag, now_s) for one in supply.gensets}
    return Seen(grid, ready, min(known, default=None))


def _ready(readings: Readings, tag: str, now_s: float) -> bool | None:
    """A genset that runs, gives its voltage as far as that is measured, and tells no fault."""
    runs = is_running(readings, tag, now_s)
    if not runs:
        return runs
    volts = fresh(readings, tag, "voltage_l1_v", now_s)
    if fresh(readings, tag, "fault", now_s) or (volts is not None and volts < PRESENT_V):
        return False
    return None if volts is None and (tag, "voltage_l1_v") in readings else True


def is_running(readings: Readings, tag: str, now_s: float, old_s: float = FAST_S) -> bool | None:
    """Whether a genset runs: as it says, else by its speed, as controllers tell the one or the other."""
    told = (fresh(readings, tag, name, now_s, old_s) for name in ("running", "speed_rpm"))
    return next((value > 0 for value in told if value is not None), None)
