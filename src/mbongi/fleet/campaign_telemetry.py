"""What the gate of a campaign judges: each machine's figures in blocks, before and after it was flashed."""

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from mbongi.core.telemetry.client import Store
from mbongi.fleet.rules.gate import Side
from mbongi.fleet.telemetry import READING
from mbongi.fleet.values import MachineState

MACHINES_MAX = 200
"""Machines that a gate looks at on either hand, at most: more do not make it surer, and cost the store."""


class Block(NamedTuple):
    """A machine over some minutes: means, the newest counts, and how often it restarted; NaN where nothing was stated.

    ``first_uptime_s`` and ``uptime_s`` are the first and the last that it stated.
    """

    start_s: int
    hashrate_ths: float
    power_w: float
    accepted: float
    rejected: float
    first_uptime_s: float
    uptime_s: float
    restarts: float


@dataclass(frozen=True, slots=True)
class Span:
    """From and until when [unix s]."""

    since_s: float
    until_s: float


def blocks(store: Store, machine_ids: Sequence[int], span: Span, block_s: float) -> dict[int, list[Block]]:
    """The blocks of machines over a span, in their order; power that is only estimated counts as not stated.

    While a machine sleeps, it says nothing of its image: somebody wanted that.
    Raises StoreUnavailable, StoreRefused.
    """
    size = max(1, round(block_s))
    if not machine_ids or span.until_s - span.since_s < size:
        return {}
    ids = ", ".join(str(int(machine_id)) for machine_id in machine_ids)
    rows = store.rows(
        f"SELECT machine_id, intDiv(toUnixTimestamp(ts), {size}) * {size} AS start,"  # noqa: S608 -- numbers
        " avgOrNullIf(toFloat64(hashrate_ths), isFinite(hashrate_ths) AND state != {asleep:UInt8}),"
        " avgOrNullIf(toFloat64(power_w), isFinite(power_w) AND power_estimated = 0 AND state != {asleep:UInt8}),"
        " argMax(accepted, ts), argMax(rejected, ts),"
        " if(countIf(isFinite(uptime_s)) = 0, nan, argMinIf(toFloat64(uptime_s), ts, isFinite(uptime_s))),"
        " if(countIf(isFinite(uptime_s)) = 0, nan, argMaxIf(toFloat64(uptime_s), ts, isFinite(uptime_s))),"
        " if(countIf(isFinite(uptime_s)) = 0, nan, toFloat64(arrayCount(step -> step < 0, arrayDifference("
        "arraySort((uptime, at) -> at, groupArrayIf(toFloat64(uptime_s), isFinite(uptime_s)),"
        " groupArrayIf(ts, isFinite(uptime_s)))))))"
        f" FROM {READING.name} WHERE machine_id IN ({ids})"
        " AND ts >= fromUnixTimestamp64Milli({since:Int64}) AND ts < fromUnixTimestamp64Milli({until:Int64})"
        " GROUP BY machine_id, start ORDER BY machine_id, start",
        since=int(span.since_s * 1000),
        until=int(span.until_s * 1000),
        asleep=MachineState.SLEEPING.value,
    )
    found: dict[int, list[Block]] = defaultdict(list)
    for machine_id, start, *figures in rows:
        found[machine_id].append(Block(int(start), *(math.nan if each is None else float(each) for each in figures)))
    return dict(found)


def side(found: Sequence[Block], block_s: float, span: Span) -> Side:
    """What a machine did in a span, of whole blocks in it alone."""
    inside = [each for each in found if each.start_s >= span.since_s and each.start_s + block_s <= span.until_s]
    return Side(
        hashrate_ths=tuple(each.hashrate_ths for each in inside),
        efficiency_jth=tuple(
            each.power_w / each.hashrate_ths if each.hashrate_ths > 0 else math.nan for each in inside
        ),
        accepted=grown([each.accepted for each in inside]),
        rejected=grown([each.rejected for each in inside]),
        reboots=restarts(inside),
    )


def grown(counts: Sequence[float]) -> float:
    """By how much a counter rose that begins anew at restarts; unknown ones are passed over."""
    total, before = 0.0, math.nan
    for count in counts:
        if not math.isfinite(count):
            continue
        if math.isfinite(before):
            total += count - before if count >= before else count
        before = count
    return total


def restarts(found: Sequence[Block]) -> int:
    """How often an uptime fell, within blocks and from one to the next that states it."""
    known = [each for each in found if math.isfinite(each.uptime_s)]
    within = sum(each.restarts for each in known)
    return int(within) + sum(after.first_uptime_s < before.uptime_s for before, after in itertools.pairwise(known))


def means(found: Mapping[int, Sequence[Block]], starts: Sequence[int]) -> dict[str, list[float | None]]:
    """For a chart: at each start the mean hashrate [TH/s] and efficiency [J/TH] of machines; None: not known."""
    rates: dict[int, list[float]] = defaultdict(list)
    powers: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for series in found.values():
        for each in series:
            if math.isfinite(each.hashrate_ths):
                rates[each.start_s].append(each.hashrate_ths)
                if math.isfinite(each.power_w) and each.hashrate_ths > 0:
                    powers[each.start_s].append((each.power_w, each.hashrate_ths))
    rate = [sum(rates[start]) / len(rates[start]) if rates.get(start) else None for start in starts]
    efficiency = [
        sum(power for power, _ in powers[start]) / sum(ths for _, ths in powers[start]) if powers.get(start) else None
        for start in starts
    ]
    return {"hashrate_ths": rate, "efficiency_jth": efficiency}


def unix_s(moment: datetime) -> float:
    """A moment as the telemetry counts."""
    return moment.timestamp()
