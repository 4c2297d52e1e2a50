"""What pages, API and metrics show of the pool: the processes' own word, the kept minutes, and the books, in one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import current_scope
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.pool import selectors, telemetry
from mbongi.pool.rules.hashrate import Rate, luck, luck_interval
from mbongi.pool.rules.vardiff import HASHES_PER_DIFFICULTY
from mbongi.pool.selectors import BlockRow
from mbongi.pool.status import WINDOWS, PoolStatus
from mbongi.pool.telemetry import RejectRow, Totals
from mbongi.web.api.structs import Series
from mbongi.web.live.pool_board import POOL, PoolNow

THS: Final = 1e12
PRACTICE: Final = ("regtest", "regtest-bcoin")
WINDOW_LABELS: dict[str, Promise] = {"minute": _("1 minute"), "hour": _("1 hour"), "day": _("24 hours")}
QUANTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))


@dataclass(frozen=True, slots=True)
class RateBar:
    """A hashrate [H/s] with its interval, and where the interval lies on a scale that several share [%]."""

    label: Promise
    name: str
    rate: Rate
    span_s: float
    left: float
    width: float
    at: float

    @property
    def is_short(self) -> bool:
        """Whether less is known than the bar's name says."""
        return self.span_s < 0.98 * WINDOWS[self.name]


@dataclass(frozen=True, slots=True)
class Luck:
    """Found blocks beside what the pool's work let expect. ``ratio`` None: next to nothing was to be expected."""

    blocks: int
    expected: float
    ratio: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Quantile:
    """Quantiles [ms] of a duration; None where nothing was counted."""

    label: Promise
    count: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class PoolSight:
    """The pool as operators see it. ``store_away`` says that the kept figures could not be read."""

    now: PoolNow
    day: Totals | None
    hour: Totals | None
    rejects: list[RejectRow]
    blocks: list[BlockRow]
    store_away: bool

    @property
    def status(self) -> PoolStatus | None:
        """The processes' last word."""
        return self.now.status

    @property
    def bars(self) -> list[RateBar]:
        """Hashrates of the last minute, hour and day; of the latter the kept minutes know more than a young process."""
        tallies = dict(self.status.windows) if self.status is not None else {}
        for name, kept in (("hour", self.hour), ("day", self.day)):
            if kept is not None and kept.tally.span_s > (tallies[name].span_s if name in tallies else 0):
                tallies[name] = kept.tally
        found = [(name, Rate.of(tally), tally.span_s) for name, tally in tallies.items() if tally.span_s > 0]
        top = max((rate.high for _name, rate, _span in found), default=0.0) or 1.0
        return [
            RateBar(
                WINDOW_LABELS[name],
                name,
                rate,
                span_s,
                left=100 * rate.low / top,
                width=100 * (rate.high - rate.low) / top,
                at=100 * rate.value / top,
            )
            for name, rate, span_s in found
            if name in WINDOW_LABELS
        ]

    @property
    def reject_pct(self) -> float | None:
        """Rejected shares of the last hour [%]."""
        return None if self.hour is None else self.hour.reject_pct

    @property
    def luck(self) -> Luck:
        """Luck of the last day, by the kept minutes; without them, since the process started."""
        if self.day is not None and self.day.newest_at is not None:
            return luck_of(self.day.blocks, self.day.expected_blocks)
        status = self.status
        return luck_of(status.blocks, status.expected_blocks) if status is not None else luck_of(0, 0.0)

    @property
    def quantiles(self) -> list[Quantile]:
        """How long jobs take: the node's word on a template, then the way to the last connection."""
        if self.status is None:
            return []
        parts = ((_("checked by the node"), self.status.checked), (_("told to the last miner"), self.status.told))
        found = []
        for label, latency in parts:
            durations = latency.durations()
            values = tuple(durations.quantile(part) for _name, part in QUANTILES)
            found.append(Quantile(label, durations.count, values))
        return found

    @property
    def fees_pct(self) -> float | None:
        """Fees of the job that is out by those of the node's newest template [%]; None where there are none."""
        template = None if self.status is None else self.status.template
        if template is None or not template.best_fees_sat:
            return None
        return 100 * template.fees_sat / template.best_fees_sat

    @property
    def last_block(self) -> BlockRow | None:
        """The newest block."""
        return self.blocks[0] if self.blocks else None


def luck_of(blocks: int, expected: float) -> Luck:
    """Luck with its interval."""
    interval = luck_interval(blocks, expected)
    low, high = interval if interval is not None else (None, None)
    return Luck(blocks, expected, luck(blocks, expected), low, high)


def pool(*, blocks: int = 8) -> PoolSight:
    """The whole pool. The asker may see it."""
    store, away = site_store(), False
    day = hour = None
    rejects: list[RejectRow] = []
    try:
        day, hour = telemetry.totals(store, hours=24), telemetry.totals(store, hours=1)
        rejects = telemetry.rejects(store, hours=24, limit=8)
    except (StoreUnavailable, StoreRefused):
        away = True
    newest = [with_luck(row) for row in selectors.blocks(limit=blocks)]
    return PoolSight(POOL.now(), day, hour, rejects, newest, away)


def blocks(limit: int) -> list[BlockRow]:
    """The newest blocks, with their luck as it is meant."""
    return [with_luck(row) for row in selectors.blocks(limit=limit)]


def with_luck(row: BlockRow) -> BlockRow:
    """A block with its luck against what a block really takes: on a practice chain the pool asks for more."""
    status = POOL.now().status
    if status is None or status.template is None or settings.CONFIG.pool.network not in PRACTICE:
        return row
    expected = max(status.template.difficulty * HASHES_PER_DIFFICULTY, float(row.network_work or 0))
    return replace(row, luck=expected / row.work_since if row.work_since else None)


@cache
def site_store() -> Store:
    """The store with the site's rights: whoever asks it narrows the question to what the asker may see."""
    return Store.open(settings.CONFIG)


def own_accounts() -> list[str] | None:
    """The accounts that the present scope may see; None stands for all."""
    if current_scope().site_wide:
        return None
    return [row.name for row in selectors.miners_accounts()]


def series(hours: int, *, worker: str = "", accounts: Sequence[str] | None = None) -> Series:
    """The hashrate with its interval and the rejects over time, for charts and the API."""
    found = telemetry.series(site_store(), hours=hours, worker=worker, accounts=accounts)
    at = found.at
    breaks = np.flatnonzero(np.diff(at) > 2 * found.step_s) + 1
    times = np.insert(at, breaks, at[breaks - 1] + found.step_s) if len(breaks) else at
    columns = {
        "hashrate_ths": found.value / THS,
        "low_ths": found.low / THS,
        "high_ths": found.high / THS,
        "reject_pct": found.rejected_pct,
    }
    age_s = None if found.newest_at is None else max(0.0, utc_now().timestamp() - found.newest_at.timestamp())
    return Series(
        step_s=found.step_s,
        at=[int(one) for one in times.tolist()],
        columns={name: _plain(np.insert(np.asarray(one, np.float64), breaks, np.nan)) for name, one in columns.items()},
        units={"hashrate_ths": "TH/s", "low_ths": "TH/s", "high_ths": "TH/s", "reject_pct": "%"},
        newest_at=found.newest_at,
        age_s=age_s,
    )


def _plain(values: Any) -> list[float | None]:
    # Twelve digits: on a practice chain a hashrate of some MH/s is 0.000001 TH/s.
    return [float(f"{one:.9g}") if np.isfinite(one) else None for one in values.tolist()]


def live(now: PoolNow) -> dict[str, Any]:
    """What the stream tells browsers of the pool."""
    status = now.status
    if status is None:
        return {"heard_at": None, "stale": True}
    template = status.template
    rates = {name: Rate.of(tally) for name, tally in status.windows.items()}
    content: dict[str, Any] = {
        "heard_at": None if now.heard_at is None else now.heard_at.timestamp(),
        "stale": now.is_stale,
        "listening": status.listening,
        "trouble": bool(status.trouble),
        "workers": status.workers,
        "v1": status.v1_connections,
        "v2": status.v2_connections,
        "accepted": status.accepted,
        "best": None if status.best is None else status.best.difficulty,
        "template_age_s": None if template is None else template.age_s,
        "height": None if template is None else template.height,
        "fees_sat": None if template is None else template.fees_sat,
        "fees_pct": None
        if template is None or not template.best_fees_sat
        else 100 * template.fees_sat / template.best_fees_sat,
    }
    rate = rates.get("minute")
    if rate is not None:
        content |= {"hashrate_hs": rate.value, "low_hs": rate.low, "high_hs": rate.high}
    return content
