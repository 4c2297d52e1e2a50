"""Puts blocks into the store exactly once, through crashes of either side.

Progress is in the table: every row carries the bus's epoch and sequence number, and one insert into one day's
partition is all or nothing. So for each day, what is stored is every row up to the highest number of that day, and
nothing after; whatever was not seen to succeed is looked up there before it is tried again.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from mbongi.base.log import get_log
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.core.telemetry.native import Block
from mbongi.core.telemetry.rollups import RollUp, rollups_of
from mbongi.core.telemetry.tables import Table

log = get_log(__name__)

DAY_MS = 86_400_000
RETRY_S_FIRST, RETRY_S_MAX = 0.5, 10.0
SETTLED_S = 1.0
DAYS_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of a block: rows stored now, and rows that had been stored before."""

    stored: int
    known: int


class Inserter:
    """Inserts blocks of one table; used by one thread at a time. ``stop`` ends its waiting."""

    def __init__(self, store: Store, table: Table, stop: threading.Event) -> None:
        self._store = store
        self._table = table
        self._stop = stop
        self._names = tuple(column.name for column in table.store_columns)
        self._progress: dict[tuple[int, int], int] = {}
        self._away = ""

    @property
    def away(self) -> str:
        """Why nothing is being stored at present; empty when all is well."""
        return self._away

    def insert(self, block: Block) -> Inserted | None:
        """Store the rows that are not stored yet, waiting as long as the store is away. None: told to stop."""
        days = np.asarray(block.array("ts")) // DAY_MS
        stored = known = 0
        for day in np.unique(days).tolist():
            part = block if days[0] == day and (days == day).all() else block.select(days == day)
            done = self._insert_day(int(day), part)
            if done is None:
                return None
            stored += done.stored
            known += done.known
        return Inserted(stored, known)

    def _insert_day(self, day: int, part: Block) -> Inserted | None:
        wait_s, unsure = RETRY_S_FIRST, False
        rows = part.rows
        span = (int(part.array("ts").min()), int(part.array("ts").max()))
        while True:
            try:
                fresh = part.seqs > np.uint64(self._stored_up_to(day, part.epoch))
                left = part if fresh.all() else part.select(fresh)
                if left.rows:
                    unsure = True
                    self._store.insert_native(self._table.name, self._names, left.native())
                    self._progress[day, part.epoch] = int(left.seqs.max())
                    unsure = unsure and rows != left.rows
                if left.rows != rows or unsure:
                    # Some of these rows had been stored by an insert that nobody saw end: its views may be short.
                    self._mend(*span)
            except (StoreUnavailable, StoreRefused) as error:
                self._progress.pop((day, part.epoch), None)
                self._note_away(error)
                if self._stop.wait(wait_s):
                    return None
                wait_s = min(RETRY_S_MAX, wait_s * 2)
            else:
                self._note_back()
                return Inserted(left.rows, rows - left.rows)

    def _stored_up_to(self, day: int, epoch: int) -> int:
        known = self._progress.get((day, epoch))
        if known is not None:
            return known
        if len(self._progress) >= DAYS_REMEMBERED:
            self._progress.clear()
        date = datetime.fromtimestamp(day * DAY_MS / 1_000, UTC).date().isoformat()
        [(seq,)] = self._store.rows(
            f"SELECT max(bus_seq) FROM {self._table.name} "  # noqa: S608 -- names come from the table's definition
            "WHERE toDate(ts) = {day:Date} AND bus_epoch = {epoch:UInt32}",
            day=date,
            epoch=epoch,
        )
        self._progress[day, epoch] = int(seq)
        return int(seq)

    def _mend(self, first_ms: int, last_ms: int) -> None:
        for rollup in rollups_of(self._table):
            mend_rollup(self._store, rollup, first_ms, last_ms)

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("telemetry_store_away", table=self._table.name, error=str(error))
        self._away = str(error)

    def _note_back(self) -> None:
        if self._away:
            log.info("telemetry_store_back", table=self._table.name)
            self._away = ""


def mend_rollup(store: Store, rollup: RollUp, first_ms: int, last_ms: int) -> int:
    """Compare a roll-up with its table over a time range, and rebuild what differs; returns the seconds rebuilt.

    An insert that nobody waits for any more may still be filling its views, so only a difference that stays the same
    for SETTLED_S is rebuilt.
    """
    step = rollup.seconds
    span = {"first": first_ms // 1_000 // step * step, "after": (last_ms // 1_000 // step + 1) * step}
    differing, before = _differing(store, rollup, span), None
    while differing and differing != before:
        time.sleep(SETTLED_S)
        differing, before = _differing(store, rollup, span), differing
    if not differing:
        return 0
    times = {at for at, _ in differing}
    first, after = min(times), max(times) + step
    # Literals: a mutation is kept as text and run again after a restart, when its parameters would be gone.
    where = f"{{}} >= toDateTime({first}, 'UTC') AND {{}} < toDateTime({after}, 'UTC')"
    store.execute(
        f"ALTER TABLE {rollup.name} DELETE WHERE {where.format(rollup.time, rollup.time)} SETTINGS mutations_sync = 2"
    )
    names = ", ".join(name for name, _, _ in rollup.columns())
    store.execute(f"INSERT INTO {rollup.name} ({names}) {rollup.select(where.format('ts', 'ts'))}")
    log.info("telemetry_rollup_mended", rollup=rollup.name, seconds=after - first)
    return int(after - first)


def _differing(store: Store, rollup: RollUp, span: dict[str, int]) -> set[tuple[int, int]]:
    """The (time, rows) in which the table and its roll-up disagree."""
    inside = "{0} >= toDateTime({{first:UInt32}}, 'UTC') AND {0} < toDateTime({{after:UInt32}}, 'UTC')"
    rows = store.rows(
        f"SELECT toUnixTimestamp({rollup.start}) AS at, count() FROM {rollup.table.name} "  # noqa: S608
        f"WHERE {inside.format('ts')} GROUP BY at",
        **span,
    )
    kept = store.rows(
        f"SELECT toUnixTimestamp({rollup.time}) AS at, sum(samples) FROM {rollup.name} "  # noqa: S608
        f"WHERE {inside.format(rollup.time)} GROUP BY at",
        **span,
    )
    return {(int(at), int(count)) for at, count in set(rows) ^ set(kept)}
