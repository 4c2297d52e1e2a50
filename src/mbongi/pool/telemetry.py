"""Reads of what the pool saw of its workers, minute by minute. Every figure comes with its time.

The functions take the site's own ``Store``; ``accounts`` narrows them to the accounts that the asker may see, None
stands for all. All are synchronous and raise StoreUnavailable or StoreRefused (``core.telemetry.errors``).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mbongi.base.clock import utc_now
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.tables import load_table
from mbongi.pool.rules.hashrate import Rate, Tally

WORKER: Final = load_table(Path(__file__).with_name("pool_worker.csv"))
"""The table of workers' minutes; its columns say the units."""
POINTS_MAX: Final = 360
SETTLE_S: Final = 20
"""How long after a minute its rows may still come."""
STEPS_S: Final = (60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)
SORTS: Final = {
    "worker": "worker",
    "account": "account",
    "hashrate": "hour_work",
    "day": "day_work",
    "reject": "rejected / greatest(shares + rejected, 1)",
    "best": "best",
    "seen": "last_share",
}
REASONS: Final = ("stale", "unknown_job", "duplicate", "low_difficulty")

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class HashrateSeries:
    """Hashrates [hashes/s] with 95 % intervals. ``at`` is Unix seconds, the start of each step of ``step_s``; a step
    in which no process reported has no point. ``newest_at`` is the end of the newest minute, None without any."""

    at: Numbers
    value: Numbers
    low: Numbers
    high: Numbers
    rejected_pct: Numbers
    step_s: int
    newest_at: datetime | None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker's day. ``last_share_at`` is the end of the minute of its last accepted share, None without one."""

    worker: str
    account: str
    agent: str
    protocol: int
    hour: Rate
    day: Rate
    shares: int
    rejected: int
    best: float
    blocks: int
    seen_at: datetime
    last_share_at: datetime | None

    @property
    def reject_pct(self) -> float | None:
        """Rejected shares of all [%]; None without any."""
        total = self.shares + self.rejected
        return 100 * self.rejected / total if total else None


@dataclass(frozen=True, slots=True)
class WorkerPage:
    """Part of a sorted list of workers; ``total`` counts the whole list."""

    rows: list[WorkerRow]
    total: int


@dataclass(frozen=True, slots=True)
class RejectRow:
    """Accepted and rejected shares of one firmware; ``reasons`` by the words of REASONS, and ``other``."""

    agent: str
    accepted: int
    rejected: int
    reasons: dict[str, int]

    @property
    def pct(self) -> float:
        """Rejected shares of all [%]."""
        total = self.accepted + self.rejected
        return 100 * self.rejected / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """What some workers did over a span."""

    tally: Tally
    rejected: int
    best: float
    blocks: int
    expected_blocks: float
    newest_at: datetime | None

    @property
    def rate(self) -> Rate:
        """The hashrate with its interval."""
        return Rate.of(self.tally)

    @property
    def reject_pct(self) -> float | None:
        """Rejected shares of all [%]; None without any."""
        total = self.tally.shares + self.rejected
        return 100 * self.rejected / total if total else None


def worker_number(name: str) -> int:
    """A number of 32 bits for a worker's name, the same in every process; two names may share one by chance."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def step_of(hours: float) -> int:
    """The step [s] of a series that long: whole minutes, so that it has at most POINTS_MAX points, about."""
    return next((step for step in STEPS_S if hours * 3600 / step <= POINTS_MAX), STEPS_S[-1])


def series(
    store: Store,
    *,
    hours: float = 24,
    worker: str = "",
    accounts: Sequence[str] | None = None,
    now: datetime | None = None,
) -> HashrateSeries:
    """The hashrate over the last ``hours``, of all, of some accounts or of one worker.

    Of all together, the largest difficulty of each step is not kept: the mean, weighted by work, stands for it.
    """
    now = now or utc_now()
    asked = _asked(worker, accounts)
    since = int(now.timestamp() - hours * 3600)
    [(first,)] = store.rows(f"SELECT min({asked.time}) {asked.rows}", since=since, **asked.parameters)
    # A young site gets finer steps.
    step = step_of(min(hours, (now.timestamp() - first) / 3600) if first else hours)
    terms = ", ".join(
        f"{asked.sums.format(name)} AS {name}_all" for name in ("shares", "work", "work_squared", "rejected")
    )
    rows = store.rows(
        f"SELECT intDiv({asked.time}, {step}) * {step} AS step, {terms}, {asked.hardest}, min({asked.time}),"
        f" max({asked.time}) {asked.rows} GROUP BY step ORDER BY step",
        since=since // step * step,
        **asked.parameters,
    )
    return _series(rows, step)


@dataclass(frozen=True, slots=True)
class _Asked:
    """SQL over the minutes of workers, or over the roll-up of all of them: its time, sums, largest difficulty, rows."""

    time: str
    sums: str
    hardest: str
    rows: str
    parameters: dict[str, Any]


def _asked(worker: str, accounts: Sequence[str] | None) -> _Asked:
    if worker or accounts is not None:
        rows = f"FROM {WORKER.name} WHERE ts >= fromUnixTimestamp64Milli({{since:Int64}} * 1000){_of(worker, accounts)}"
        return _Asked("toUnixTimestamp(ts)", "sum({0})", "max(hardest)", rows, _parameters(worker, accounts))
    rows = f"FROM {WORKER.name}_minute WHERE minute >= toDateTime({{since:Int64}})"
    return _Asked("toUnixTimestamp(minute)", "sum({0}_sum)", "sum(work_squared_sum) / sum(work_sum)", rows, {})


def _series(rows: list[tuple[Any, ...]], step: int) -> HashrateSeries:
    rates, rejected = [], []
    for place, (start, shares, work, squared, refused, hardest, first, last) in enumerate(rows):
        begin = first if place == 0 else start
        end = last + 60 if place == len(rows) - 1 else start + step
        tally = Tally(end - begin, int(shares), work, squared, hardest if hardest == hardest else 0.0)  # noqa: PLR0124
        rates.append(Rate.of(tally))
        rejected.append(100 * refused / (shares + refused) if shares + refused else np.nan)
    return HashrateSeries(
        at=np.array([row[0] for row in rows], np.int64),
        value=np.array([rate.value for rate in rates]),
        low=np.array([rate.low for rate in rates]),
        high=np.array([rate.high for rate in rates]),
        rejected_pct=np.array(rejected),
        step_s=step,
        newest_at=_moment(rows[-1][7] + 60) if rows else None,
    )


def totals(
    store: Store,
    *,
    hours: float = 24,
    worker: str = "",
    accounts: Sequence[str] | None = None,
    now: datetime | None = None,
) -> Totals:
    """Sums over the last ``hours``, or since the first minute in them."""
    now = now or utc_now()
    [(shares, work, squared, hardest, rejected, best, blocks, expected, first, last)] = store.rows(
        "SELECT sum(shares), sum(work), sum(work_squared), max(hardest), sum(rejected), max(best), sum(blocks),"  # noqa: S608
        f" sum(expected_blocks), min(toUnixTimestamp(ts)), max(toUnixTimestamp(ts)) FROM {WORKER.name}"
        f" WHERE ts >= fromUnixTimestamp64Milli({{since:Int64}} * 1000){_of(worker, accounts)}",
        since=int(now.timestamp() - hours * 3600),
        **_parameters(worker, accounts),
    )
    if not last:
        return Totals(Tally(0.0), 0, 0.0, 0, 0.0, None)
    tally = Tally(last + 60.0 - first, int(shares), work, squared, hardest)
    return Totals(tally, int(rejected), best, int(blocks), expected, _moment(last + 60))


def workers(
    store: Store,
    *,
    text: str = "",
    sort: str = "-hashrate",
    limit: int = 50,
    offset: int = 0,
    accounts: Sequence[str] | None = None,
    worker: str = "",
    now: datetime | None = None,
) -> WorkerPage:
    """Workers of the last day, by a key of SORTS (``-`` turns it round); ``text`` is looked for in their names."""
    now = now or utc_now()
    wanted = _of(worker, accounts) + (" AND positionCaseInsensitiveUTF8(worker, {text:String}) > 0" if text else "")
    order = SORTS[sort.removeprefix("-")] + (" DESC" if sort.startswith("-") else " ASC")
    hour = "ts >= fromUnixTimestamp64Milli({hour:Int64} * 1000)"
    condition = f"ts >= fromUnixTimestamp64Milli({{day:Int64}} * 1000){wanted}"
    parameters: dict[str, Any] = _parameters(worker, accounts) | ({"text": text} if text else {})
    at = int(now.timestamp())
    [(total,)] = store.rows(
        f"SELECT uniqExact(worker) FROM {WORKER.name} WHERE {condition}",  # noqa: S608
        day=at - 86_400,
        **parameters,
    )
    sums = ", ".join(
        f"sumIf({name}, {hour}) AS hour_{name}, sum({name}) AS day_{name}"
        for name in ("shares", "work", "work_squared")
    )
    rows = store.rows(
        f"SELECT worker, any(account), argMax(agent, ts), argMax(protocol, ts), {sums}, max(hardest),"  # noqa: S608
        " sum(rejected) AS rejected, max(best) AS best, sum(blocks), min(toUnixTimestamp(ts)),"
        f" maxIf(toUnixTimestamp(ts), {hour}), minIf(toUnixTimestamp(ts), {hour}), max(toUnixTimestamp(ts)),"
        " maxIf(toUnixTimestamp(ts), shares > 0) AS last_share"
        f" FROM {WORKER.name} WHERE {condition} GROUP BY worker ORDER BY {order}, worker"
        " LIMIT {limit:UInt32} OFFSET {offset:UInt32}",
        day=at - 86_400,
        hour=at - 3600,
        limit=limit,
        offset=offset,
        **parameters,
    )
    return WorkerPage([_worker(row) for row in rows], int(total))


def _worker(row: tuple[Any, ...]) -> WorkerRow:
    worker, account, agent, protocol, *sums = row
    hour_shares, day_shares, hour_work, day_work, hour_squared, day_squared, hardest, *rest = sums
    rejected, best, blocks, first, hour_last, hour_first, last, last_share = rest
    hour = Tally(
        hour_last + 60.0 - hour_first if hour_last else 3600.0, int(hour_shares), hour_work, hour_squared, hardest
    )
    day = Tally(last + 60.0 - first, int(day_shares), day_work, day_squared, hardest)
    return WorkerRow(
        worker=str(worker),
        account=str(account),
        agent=str(agent),
        protocol=int(protocol),
        hour=Rate.of(hour),
        day=Rate.of(day),
        shares=int(day_shares),
        rejected=int(rejected),
        best=float(best),
        blocks=int(blocks),
        seen_at=_moment(last + 60),
        last_share_at=_moment(last_share + 60) if last_share else None,
    )


def rejects(
    store: Store,
    *,
    hours: float = 24,
    worker: str = "",
    accounts: Sequence[str] | None = None,
    limit: int = 12,
    now: datetime | None = None,
) -> list[RejectRow]:
    """Accepted and rejected shares by firmware over the last ``hours``, those with most shares first."""
    now = now or utc_now()
    terms = ", ".join(f"sum(rejected_{reason})" for reason in REASONS)
    rows = store.rows(
        f"SELECT agent, sum(shares) AS accepted, sum(rejected) AS refused, {terms} FROM {WORKER.name}"  # noqa: S608
        f" WHERE ts >= fromUnixTimestamp64Milli({{since:Int64}} * 1000){_of(worker, accounts)}"
        " GROUP BY agent ORDER BY accepted + refused DESC, agent LIMIT {limit:UInt32}",
        since=int(now.timestamp() - hours * 3600),
        limit=limit,
        **_parameters(worker, accounts),
    )
    found = []
    for agent, accepted, refused, *counts in rows:
        reasons = {reason: int(count) for reason, count in zip(REASONS, counts, strict=True)}
        reasons["other"] = int(refused) - sum(reasons.values())
        found.append(RejectRow(str(agent), int(accepted), int(refused), reasons))
    return found


def _of(worker: str, accounts: Sequence[str] | None) -> str:
    one = " AND machine_id = {number:UInt32} AND worker = {worker:String}" if worker else ""
    return one if accounts is None else f"{one} AND account IN {{accounts:Array(String)}}"


def _parameters(worker: str, accounts: Sequence[str] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"worker": worker, "number": worker_number(worker)} if worker else {}
    return found if accounts is None else found | {"accounts": list(accounts)}


def _moment(at_s: float) -> datetime:
    return datetime.fromtimestamp(float(at_s), UTC)
