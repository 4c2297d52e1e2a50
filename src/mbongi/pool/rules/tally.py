"""Shares added up: work by worker in the order in which it counts, split at blocks and half hours; by minute. Pure.

Whole numbers throughout: shares are grouped by their difficulty and counted, and only then multiplied, in Python's own
integers, by the work of that difficulty.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from mbongi.pool.rules.payout.amounts import work_of_difficulty

BLOCK_FLAG: Final = 1
SHARE: Final = np.dtype(
    [
        ("time_ms", "<u8"),
        ("worker", "<u4"),
        ("job", "<u4"),
        ("difficulty", "<f8"),
        ("reached", "<f8"),
        ("height", "<u4"),
        ("header_time_s", "<u4"),
        ("nonce", "<u4"),
        ("version", "<u4"),
        ("extranonce", "V13"),
        ("protocol", "u1"),
        ("flags", "u1"),
        ("shard", "u1"),
        ("hash", "V32"),
    ]
)
"""A share as it stands in the log, see ``daemon/share_log.LoggedShare``."""
MINUTE_MS: Final = 60_000
SLICE_MS: Final = 30 * MINUTE_MS
"""No slice of work reaches over a half hour's end. The edge of a window divides one of them by its work."""
TIME_MS_MAX: Final = 1 << 42
"""The year 2109; a share from later is from a broken clock, and is put there."""
_work = lru_cache(maxsize=4096)(work_of_difficulty)

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares in an order, with the numbers of their workers in this process.

    ``order_ms`` never falls: within one log it is the latest time so far, by which several logs are put in order.
    """

    raw: npt.NDArray[Any]
    workers: Int64s
    order_ms: Int64s

    @classmethod
    def of(cls, raw: npt.NDArray[Any], workers: Int64s) -> Self:
        """The shares of one log."""
        times = np.minimum(raw["time_ms"], np.uint64(TIME_MS_MAX)).astype(np.int64)
        return cls(raw, workers, np.maximum.accumulate(times) if len(times) else times)

    @classmethod
    def in_order(cls, logs: "Sequence[Shares]") -> "tuple[Shares, Int64s]":
        """The shares of several logs by their time, of one time those of the earlier log first; and each one's log."""
        raw = np.concatenate([np.zeros(0, SHARE), *(each.raw for each in logs)])
        workers = np.concatenate([np.zeros(0, np.int64), *(each.workers for each in logs)])
        order_ms = np.concatenate([np.zeros(0, np.int64), *(each.order_ms for each in logs)])
        places = np.repeat(np.arange(len(logs)), [len(each) for each in logs])
        order = np.argsort(order_ms, kind="stable")
        return cls(raw[order], workers[order], order_ms[order]), places[order]

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, chosen: "slice | npt.NDArray[np.bool_]") -> "Shares":
        return Shares(self.raw[chosen], self.workers[chosen], self.order_ms[chosen])

    def marks(self) -> npt.NDArray[np.uint64]:
        """Two columns: the first sixteen bytes of each hash, where it is random."""
        # The raw records are packed, so the hashes are gathered first.
        return np.ascontiguousarray(self.raw["hash"]).view("<u8").reshape(-1, 4)[:, :2]


@dataclass(frozen=True, slots=True)
class FoundBlock:
    """A share that made a block; its hash as people write it."""

    hash: str
    height: int
    worker: int
    time_ms: int
    work: int


@dataclass(slots=True)
class Stretch:
    """Work in a row, by worker: work [hashes] and shares. ``block`` is the block that its last share made."""

    from_ms: int
    to_ms: int
    parts: dict[int, tuple[int, int]]
    block: FoundBlock | None = None


@dataclass(slots=True)
class Totals:
    """What a worker did in these shares."""

    first_ms: int
    last_ms: int
    shares: int = 0
    work: int = 0
    best: float = 0.0


@dataclass(slots=True)
class Minute:
    """A worker's shares of a minute by one protocol."""

    shares: int = 0
    work: int = 0
    best: float = 0.0


@dataclass(slots=True)
class Tally:
    """Shares added up. ``minutes`` are by worker, minute [ms since 1970] and protocol."""

    stretches: list[Stretch] = field(default_factory=list)
    totals: dict[int, Totals] = field(default_factory=dict)
    minutes: dict[tuple[int, int, int], Minute] = field(default_factory=dict)


def tally_of(shares: Shares) -> Tally:
    """Add up shares in their order."""
    tally = Tally()
    if not len(shares):
        return tally
    difficulties, kinds = np.unique(shares.raw["difficulty"], return_inverse=True)
    work = [_work_or_0(float(each)) for each in difficulties]
    kinds = kinds.astype(np.int64)
    tally.stretches = _stretches(shares, kinds, work)
    _add_minutes(tally, shares, kinds, work)
    return tally


def _work_or_0(difficulty: float) -> int:
    """A difficulty that no share can have is worth nothing; it comes from a damaged log that passed its checksum."""
    return _work(difficulty) if np.isfinite(difficulty) and difficulty > 0 else 0


def _stretches(shares: Shares, kinds: Int64s, work: list[int]) -> list[Stretch]:
    is_block = (shares.raw["flags"] & BLOCK_FLAG).astype(bool)
    begins = np.ones(len(shares), bool)
    begins[1:] = is_block[:-1] | (np.diff(shares.order_ms // SLICE_MS) != 0)
    bounds = [*np.flatnonzero(begins).tolist(), len(shares)]
    numbers = np.cumsum(begins) - 1
    workers, places = np.unique(shares.workers, return_inverse=True)
    keys = (numbers * len(workers) + places) * len(work) + kinds
    groups, counts = np.unique(keys, return_counts=True)
    found = [
        Stretch(int(shares.order_ms[begin]), int(shares.order_ms[end - 1]), {})
        for begin, end in itertools.pairwise(bounds)
    ]
    for key, count in zip(groups.tolist(), counts.tolist(), strict=True):
        rest, kind = divmod(key, len(work))
        number, place = divmod(rest, len(workers))
        parts, worker = found[number].parts, int(workers[place])
        before = parts.get(worker, (0, 0))
        parts[worker] = before[0] + count * work[kind], before[1] + count
    for index in np.flatnonzero(is_block).tolist():
        found[int(numbers[index])].block = _block(shares, index, work[int(kinds[index])])
    return found


def _block(shares: Shares, index: int, work: int) -> FoundBlock:
    row = shares.raw[index]
    return FoundBlock(
        hash=bytes(row["hash"])[::-1].hex(),
        height=int(row["height"]),
        worker=int(shares.workers[index]),
        time_ms=int(shares.order_ms[index]),
        work=work,
    )


def _add_minutes(tally: Tally, shares: Shares, kinds: Int64s, work: list[int]) -> None:
    minutes = np.minimum(shares.raw["time_ms"], np.uint64(TIME_MS_MAX)).astype(np.int64) // MINUTE_MS
    order = np.lexsort((kinds, shares.raw["protocol"], minutes, shares.workers))
    columns = [shares.workers[order], minutes[order], shares.raw["protocol"][order].astype(np.int64), kinds[order]]
    changes = np.zeros(len(order), bool)
    changes[0] = True
    for each in columns:
        changes[1:] |= each[1:] != each[:-1]
    begins = np.flatnonzero(changes)
    counts = np.diff(np.append(begins, len(order)))
    best = np.maximum.reduceat(np.nan_to_num(shares.raw["reached"][order]), begins)
    times = shares.order_ms[order]
    first, last = np.minimum.reduceat(times, begins), np.maximum.reduceat(times, begins)
    rows = zip(*(each[begins].tolist() for each in columns), *map(_listed, (counts, best, first, last)), strict=True)
    for worker, minute, protocol, kind, count, reached, first_ms, last_ms in rows:
        cell = tally.minutes.setdefault((worker, minute * MINUTE_MS, protocol), Minute())
        totals = tally.totals.setdefault(worker, Totals(first_ms, last_ms))
        totals.first_ms, totals.last_ms = min(totals.first_ms, first_ms), max(totals.last_ms, last_ms)
        for each in (cell, totals):
            each.shares += count
            each.work += count * work[kind]
            each.best = max(each.best, reached)


def _listed(values: npt.NDArray[Any]) -> list[Any]:
    return values.tolist()  # type: ignore[no-any-return]


class SeenShares:
    """Knows the last shares again, so that one that a restarted pool let in a second time is not counted twice.

    Two generations of ``limit`` hashes each: the newest ``limit`` are always known, twice as many at most are held.
    """

    def __init__(self, limit: int = 1_000_000) -> None:
        self._limit = limit
        self._new = self._old = _Marks.of(np.zeros((0, 2), np.uint64))

    def is_new(self, shares: Shares) -> npt.NDArray[np.bool_]:
        """Which of these were not seen: neither before nor earlier among them. They are not remembered by that."""
        marks = shares.marks()
        fresh = ~(self._new.know(marks) | self._old.know(marks))
        order = np.argsort(marks[:, 0], kind="stable")
        first = marks[order, 0]
        for twin in np.flatnonzero(first[1:] == first[:-1]) + 1:
            same = order[np.searchsorted(first, first[twin]) : twin]
            fresh[order[twin]] &= not (marks[same, 1] == marks[order[twin], 1]).any()
        return fresh

    def add(self, shares: Shares) -> None:
        """Remember shares, once they are booked."""
        self._new = self._new.joined(shares.marks())
        if len(self._new.first) >= self._limit:
            self._old, self._new = self._new, _Marks.of(np.zeros((0, 2), np.uint64))


@dataclass(frozen=True, slots=True)
class _Marks:
    """Hashes' first and second eight bytes, in the order of the first."""

    first: npt.NDArray[np.uint64]
    second: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, marks: npt.NDArray[np.uint64]) -> Self:
        order = np.argsort(marks[:, 0], kind="stable")
        return cls(marks[order, 0], marks[order, 1])

    def joined(self, marks: npt.NDArray[np.uint64]) -> "_Marks":
        more = _Marks.of(marks)
        places = np.searchsorted(self.first, more.first)
        return _Marks(np.insert(self.first, places, more.first), np.insert(self.second, places, more.second))

    def know(self, marks: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which are held. Those that agree in the first eight bytes are neighbours, and nearly always one."""
        found = np.zeros(len(marks), bool)
        if not len(self.first):
            return found
        order = np.argsort(marks[:, 0])  # sorted questions are answered several times faster
        begins = np.searchsorted(self.first, marks[order, 0])
        hits = self.first[np.minimum(begins, len(self.first) - 1)] == marks[order, 0]
        for hit in np.flatnonzero(hits):
            index = order[hit]
            end = np.searchsorted(self.first, marks[index, 0], side="right")
            found[index] = bool((self.second[begins[hit] : end] == marks[index, 1]).any())
        return found
