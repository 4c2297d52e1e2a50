"""The record of what the plant's devices measured: one row per point and reading, in a long table.

The functions take the site's own ``Store``; they are synchronous and raise StoreUnavailable or StoreRefused
(``core.telemetry.errors``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mbongi.base.clock import utc_now
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.tables import load_table
from mbongi.facility.values import Observation, Quality, Quantity, point_number

POINT: Final = load_table(Path(__file__).with_name("facility_point.csv"))
"""The table of points; its columns say what they are."""
POINTS_MAX: Final = 800
Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PointSeries:
    """A point over time: ``at`` is datetime64[ms] in UTC, the start of each step of ``step_s``; a gap has no value."""

    at: Numbers
    value: Numbers
    step_s: int


def columns_of(observations: Sequence[Observation]) -> dict[str, list[Any]]:
    """Rows of the table, by column. What grew stale is entered when that was seen, as not known."""
    stale = [one.quality is Quality.STALE for one in observations]
    pairs = list(zip(observations, stale, strict=True))
    return {
        "ts": [one.received_ms if old else one.at_ms for one, old in pairs],
        "machine_id": [point_number(one.tag, one.quantity) for one in observations],
        "tenant_id": [0] * len(observations),
        "tag": [one.tag for one in observations],
        "quantity": [one.quantity.value for one in observations],
        "value": [float("nan") if old else one.value for one, old in pairs],
        "quality": [int(one.quality) for one in observations],
        "received": [one.received_ms for one in observations],
    }


def series(
    store: Store, tag: str, quantity: Quantity, *, hours: float = 24, now: datetime | None = None
) -> PointSeries:
    """One point over the last ``hours``, each step the mean of what was known in it."""
    now = now or utc_now()
    step_s = max(1, round(hours * 3600 / POINTS_MAX))
    found = store.columns(
        f"SELECT intDiv(toUnixTimestamp(ts), {step_s}) * {step_s} AS step, avg(value) AS mean FROM {POINT.name}"  # noqa: S608 -- names of our own table
        " WHERE machine_id = {point:UInt32} AND tag = {tag:String} AND quantity = {quantity:String}"
        " AND ts >= fromUnixTimestamp64Milli({since:Int64}) AND isFinite(value) GROUP BY step ORDER BY step",
        point=point_number(tag, quantity),
        tag=tag,
        quantity=quantity.value,
        since=int((now - timedelta(hours=hours)).timestamp() * 1000),
    )
    steps = np.asarray(found.get("step", ()), np.int64) * 1000
    return PointSeries(steps.astype("datetime64[ms]"), np.asarray(found.get("mean", ()), np.float64), step_s)
