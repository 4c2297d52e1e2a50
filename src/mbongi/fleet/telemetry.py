"""Reads of what machines measured. Every figure comes with its unit, its time and its age.

The functions take a ``Store``: the site's own, or ``tenant_store`` for a tenant, whose gateway shows nothing else;
``tenant_id`` narrows the site's own store to one tenant. All are synchronous and raise StoreUnavailable or
StoreRefused (``core.telemetry.errors``).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId, TenantId
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import SchemaError
from mbongi.core.telemetry.rollups import QUANTILES
from mbongi.core.telemetry.tables import load_table
from mbongi.fleet.values import MachineState

READING = load_table(Path(__file__).with_name("machine_reading.csv"))
"""The table of readings; its columns say the units."""
POINTS_MAX = 800
"""Points of one series, about; a longer span gets a coarser resolution."""
SETTLE_S = 15
"""How long after a minute its rows may still come: a poll, the way over the bus, and the ingester's 5 s."""
RAW_DAYS = 7
"""Spans up to this are read from the rows themselves, longer ones from the hour roll-up."""
SERIES_COLUMNS = (
    "hashrate_ths",
    "power_w",
    "efficiency_jth",
    "inlet_temp_c",
    "chip_temp_max_c",
    "board_temp_max_c",
    "fan1_rpm",
    "fan_duty_pct",
    "reject_ratio",
)

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Series:
    """Figures over time. ``at`` is datetime64[ms] in UTC, the start of each step of ``step_s``; a gap has no point.

    ``columns`` holds one array per name, NaN where nothing was stated; ``units`` their units. ``newest_at`` is when the
    newest row was measured and ``age_s`` how long ago; both None where there is none.
    """

    at: Numbers
    columns: dict[str, Numbers]
    units: dict[str, str]
    step_s: int
    newest_at: datetime | None
    age_s: float | None


@dataclass(frozen=True, slots=True)
class RackFigure:
    """A figure of one rack (``20/03``) over a span; the newest five minutes in it end at ``at``."""

    rack: str
    value: float
    unit: str
    at: datetime
    age_s: float


@dataclass(frozen=True, slots=True)
class MachineFigure:
    """A figure of one machine, measured at ``at``."""

    machine_id: MachineId
    value: float
    unit: str
    at: datetime
    age_s: float


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many machines were in which state at their newest row; ``at`` is None where no row is young enough."""

    counts: dict[MachineState, int]
    at: datetime | None
    age_s: float | None


def series(
    store: Store,
    machine_id: int,
    *,
    hours: float = 24,
    columns: Sequence[str] = SERIES_COLUMNS,
    tenant_id: TenantId | None = None,
    now: datetime | None = None,
) -> Series:
    """One machine over the last ``hours``, with ``state`` beside the columns.

    Each point is the mean of its step, for temperatures the highest. Beyond RAW_DAYS points are hours, and columns
    without a roll-up are left out. Raises SchemaError for a column that does not exist.
    """
    now, span_s = now or utc_now(), hours * 3600
    wanted = [READING.column(name).name for name in columns]
    if span_s > RAW_DAYS * 86_400:
        return _hourly(store, machine_id, wanted, now, span_s, tenant_id)
    step_s = max(1, round(span_s / POINTS_MAX))
    terms = ", ".join(f"{_mean_or_max(name)} AS c_{name}" for name in wanted)
    found = _columns(
        store,
        f"SELECT intDiv(toUnixTimestamp(ts), {step_s}) * {step_s} AS step, argMax(state, ts) AS c_state,"  # noqa: S608 -- names come from our own table
        f" max(toUnixTimestamp64Milli(ts)) AS newest{', ' + terms if terms else ''} FROM {READING.name}"
        f" WHERE machine_id = {{machine:UInt32}} AND {_SINCE}{_tenant(tenant_id)} GROUP BY step ORDER BY step",
        machine=int(machine_id),
        **_since(now, span_s),
        **_tenant_parameter(tenant_id),
    )
    newest = int(found["newest"].max()) if len(found["newest"]) else None
    return _series(found, ["state", *wanted], step_s, newest, now)


def _hourly(
    store: Store, machine_id: int, wanted: list[str], now: datetime, span_s: float, tenant_id: TenantId | None
) -> Series:
    kept = [name for name in wanted if READING.column(name).rollup]
    terms = ", ".join(f"{_rolled_up(name)} AS c_{name}" for name in kept)
    found = _columns(
        store,
        f"SELECT toUnixTimestamp(hour) AS step{', ' + terms if terms else ''} FROM {READING.name}_hour"  # noqa: S608
        " WHERE machine_id = {machine:UInt32} AND hour >= toDateTime(intDiv({since:Int64}, 1000))"
        f"{_tenant(tenant_id)} GROUP BY hour ORDER BY hour",
        machine=int(machine_id),
        **_since(now, span_s),
        **_tenant_parameter(tenant_id),
    )
    # The hour's end is the best that a roll-up knows of when its newest row was measured.
    newest = min(int(found["step"].max()) + 3600, int(now.timestamp())) * 1000 if len(found["step"]) else None
    return _series(found, kept, 3600, newest, now)


def _rolled_up(name: str) -> str:
    if READING.column(name).rollup == "max":
        return f"ifNull(max({name}_max), nan)"
    return f"sum({name}_sum) / sum({name}_weight)"


def _mean_or_max(name: str) -> str:
    aggregate = "max" if name.endswith("temp_c") or "temp_max" in name else "avg"
    return f"ifNull({aggregate}OrNullIf(toFloat64({name}), isFinite({name})), nan)"


def site_totals(
    store: Store, *, minutes: int = 24 * 60, tenant_id: TenantId | None = None, now: datetime | None = None
) -> Series:
    """Hashrate [TH/s], power [W] and efficiency [J/TH] of all machines together, minute by minute.

    A minute's total is the sum over machines of what each stated times the seconds it stands for, by 60 s: a machine
    counts once however often it was asked, and for half where it was silent half of the minute. The newest minute
    appears once its rows have had SETTLE_S to arrive.
    """
    now = now or utc_now()
    totals = ("hashrate_ths", "power_w")
    terms = ", ".join(f"sum({name}_sum) / 60 AS c_{name}" for name in totals)
    found = _columns(
        store,
        f"SELECT toUnixTimestamp(minute) AS step, {terms} FROM {READING.name}_minute"  # noqa: S608
        " WHERE minute >= toDateTime(intDiv({since:Int64}, 1000)) AND minute < toDateTime({settled:Int64})"
        f"{_tenant(tenant_id)} GROUP BY minute ORDER BY minute",
        **_since(now, minutes * 60),
        settled=int(now.timestamp() - SETTLE_S) // 60 * 60,
        **_tenant_parameter(tenant_id),
    )
    rate, power = found["c_hashrate_ths"], found["c_power_w"]
    found["c_efficiency_jth"] = np.divide(power, rate, out=np.full(len(rate), np.nan), where=rate > 0)
    newest = (int(found["step"].max()) + 60) * 1000 if len(found["step"]) else None
    return _series(found, [*totals, "efficiency_jth"], 60, newest, now)


def rack_temps(
    store: Store,
    *,
    column: str = "chip_temp_max_c",
    hours: float = 1,
    tenant_id: TenantId | None = None,
    now: datetime | None = None,
) -> list[RackFigure]:
    """The 95th percentile of a temperature column in each rack over the last ``hours``, hottest first.

    The column's roll-up must be ``spread``: the span begins with the five minutes that ``hours`` ago lies in, and a
    value is exact to 0.4 %. A rack where nothing was stated is left out. Raises SchemaError for another column.
    """
    now, unit = now or utc_now(), READING.column(column).unit
    if READING.column(column).rollup != "spread":
        raise SchemaError(f"table {READING.name}: {column}: no spread is kept by rack")
    rows = store.rows(
        f"SELECT rack, {QUANTILES.format('Merge')}({column}_spread)[3] AS p95, toUnixTimestamp(max(period)) + 300"  # noqa: S608
        f" FROM {READING.name}_rack"
        " WHERE period >= toStartOfFiveMinutes(toDateTime(intDiv({since:Int64}, 1000), 'UTC'))"
        f"{_tenant(tenant_id)} GROUP BY rack HAVING isFinite(p95) ORDER BY p95 DESC, rack",
        **_since(now, hours * 3600),
        **_tenant_parameter(tenant_id),
    )
    until = int(now.timestamp())
    return [RackFigure(rack, float(p95), unit, *_time(min(end, until) * 1000, now)) for rack, p95, end in rows]


def worst(
    store: Store,
    *,
    column: str = "reject_ratio",
    limit: int = 100,
    hours: float = 1,
    tenant_id: TenantId | None = None,
    now: datetime | None = None,
) -> list[MachineFigure]:
    """The machines whose mean over the last ``hours``, begun hours whole, is highest, worst first.

    Raises SchemaError for a column of which no mean is kept.
    """
    now, unit = now or utc_now(), READING.column(column).unit
    if READING.column(column).rollup not in {"total", "mean", "spread"}:
        raise SchemaError(f"table {READING.name}: {column}: no mean is kept by the hour")
    rows = store.rows(
        f"SELECT machine_id, {_rolled_up(column)} AS figure, toUnixTimestamp(max(hour)) + 3600"  # noqa: S608
        f" FROM {READING.name}_hour WHERE hour >= toStartOfHour(toDateTime(intDiv({{since:Int64}}, 1000), 'UTC'))"
        f"{_tenant(tenant_id)} GROUP BY machine_id HAVING isFinite(figure)"
        " ORDER BY figure DESC, machine_id LIMIT {limit:UInt32}",
        limit=max(1, min(limit, 1000)),
        **_since(now, hours * 3600),
        **_tenant_parameter(tenant_id),
    )
    until = int(now.timestamp())
    return [
        MachineFigure(MachineId(one), float(mean), unit, *_time(min(end, until) * 1000, now)) for one, mean, end in rows
    ]


def state_counts(
    store: Store, *, within_s: float = 120, tenant_id: TenantId | None = None, now: datetime | None = None
) -> StateCounts:
    """Machines by the state of their newest row, rows older than ``within_s`` left out."""
    now = now or utc_now()
    rows = store.rows(
        "SELECT newest_state, count(), max(at) FROM (SELECT argMax(state, ts) AS newest_state,"  # noqa: S608
        f" max(toUnixTimestamp64Milli(ts)) AS at FROM {READING.name} WHERE {_SINCE}{_tenant(tenant_id)}"
        " GROUP BY machine_id) GROUP BY newest_state",
        **_since(now, within_s),
        **_tenant_parameter(tenant_id),
    )
    counts = dict.fromkeys(MachineState, 0) | {MachineState(state): count for state, count, _at in rows}
    if not rows:
        return StateCounts(counts, None, None)
    return StateCounts(counts, *_time(max(at for _state, _count, at in rows), now))


_SINCE = "ts >= fromUnixTimestamp64Milli({since:Int64})"


def _since(now: datetime, span_s: float) -> dict[str, int]:
    return {"since": int((now - timedelta(seconds=span_s)).timestamp() * 1000)}


def _columns(store: Store, sql: str, **parameters: Any) -> dict[str, Numbers]:
    """The columns of a query; one without rows comes without names, and each is then empty."""
    return defaultdict(lambda: np.array([], dtype=np.float64), store.columns(sql, **parameters))


def _tenant(tenant_id: TenantId | None) -> str:
    return "" if tenant_id is None else " AND tenant_id = {tenant:UInt32}"


def _tenant_parameter(tenant_id: TenantId | None) -> dict[str, int]:
    return {} if tenant_id is None else {"tenant": int(tenant_id)}


def _time(at_ms: int, now: datetime) -> tuple[datetime, float]:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at, max(0.0, (now - at).total_seconds())


def _series(found: dict[str, Numbers], names: list[str], step_s: int, newest_ms: int | None, now: datetime) -> Series:
    newest_at, age_s = (None, None) if newest_ms is None else _time(newest_ms, now)
    return Series(
        at=(found["step"].astype(np.int64) * 1000).astype("datetime64[ms]"),
        columns={name: found[f"c_{name}"] for name in names},
        units={name: READING.column(name).unit for name in names},
        step_s=step_s,
        newest_at=newest_at,
        age_s=age_s,
    )
