"""What the server counts, without slowing it: accepted shares are counted every few seconds from the very records that
went to the log, rejected ones as they come.

Memory is bounded by the number of workers; agents beyond AGENTS_MAX different ones count as ``other``.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from mbongi.pool.daemon.share_log import BLOCK_FLAG, SHARE_TALLY
from mbongi.pool.rules.firmware import firmware_name
from mbongi.pool.rules.hashrate import Tally
from mbongi.pool.rules.latency import Durations
from mbongi.pool.status import WINDOWS
from mbongi.pool.values import Protocol, Reject

AGENTS_MAX: Final = 64
OTHER: Final = "other"
MINUTE_S: Final = 60
SIGHT_S: Final = 300
"""A worker's hashrate is told over this span up to twice as much."""
LATENCY_HOURS: Final = 24


@dataclass(slots=True)
class Counts:
    """Of one worker over some span. ``work_squared`` is the sum of the difficulties' squares."""

    shares: int = 0
    work: float = 0.0
    work_squared: float = 0.0
    hardest: float = 0.0
    best: float = 0.0
    blocks: int = 0

    def add(self, other: "Counts") -> None:
        """Take another span of the same worker in."""
        self.shares += other.shares
        self.work += other.work
        self.work_squared += other.work_squared
        self.hardest = max(self.hardest, other.hardest)
        self.best = max(self.best, other.best)
        self.blocks += other.blocks


@dataclass(frozen=True, slots=True)
class Member:
    """A worker on a connection: its number in the share log, what it runs, and the difficulty in force."""

    number: int
    agent: str
    protocol: Protocol
    difficulty: float


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """What a worker did in a minute."""

    number: int
    agent: str
    protocol: int
    counts: Counts
    expected_blocks: float
    rejected: "Counter[Reject]"


@dataclass(slots=True)
class _Known:
    agent: str
    protocol: int
    first_s: float
    is_online: bool = True
    difficulty: float = 0.0


class Statistics:
    """The counts of one process, since its start where nothing else is said."""

    def __init__(self) -> None:
        self.accepted = 0
        self.work = 0.0
        self.blocks = 0
        self.expected_blocks = 0.0
        self.rejected: Counter[Reject] = Counter()
        self.best: tuple[float, int] | None = None
        """Difficulty that the best share reached, and its worker's number."""
        self.online = 0
        self.told, self.checked = _Recent(), _Recent()
        self._fresh: list[list[bytes]] = []
        self._rejects: dict[int, Counter[Reject]] = {}
        self._minute: dict[int, Counts] = {}
        self._sight: dict[int, Counts] = {}
        self._last_sight: dict[int, Counts] = {}
        self._sight_s = self._last_sight_s = 0.0
        self._known: dict[int, _Known] = {}
        self._agents: set[str] = set()
        self.by_firmware: dict[str, Counter[str]] = {}
        """Of each firmware the ``accepted`` shares and the rejected ones by reason, up to the last whole minute."""
        self._minutes: deque[tuple[float, Tally]] = deque(maxlen=WINDOWS["day"] // MINUTE_S)
        self._began_s = 0.0

    # The hot path.

    def kept(self, records: list[bytes]) -> None:
        """Accepted shares, as they stand in the log."""
        self.accepted += len(records)
        self._fresh.append(records)

    def reject(self, why: Reject, worker: int | None = None) -> None:
        """A share that was not accepted; ``worker`` where it is known whose."""
        self.rejected[why] += 1
        if worker is not None:
            self._rejects.setdefault(worker, Counter())[why] += 1

    # Every few seconds.

    def gather(self, network_difficulty: float) -> None:
        """Count what was accepted since the last time."""
        fresh, self._fresh = self._fresh, []
        minute, block, work = self._minute, BLOCK_FLAG, 0.0
        for number, difficulty, reached, flags in SHARE_TALLY.iter_unpack(b"".join(chain.from_iterable(fresh))):
            counts = minute.get(number)
            if counts is None:
                counts = minute[number] = Counts()
            work += difficulty
            counts.shares += 1
            counts.work += difficulty
            counts.work_squared += difficulty * difficulty
            if difficulty > counts.hardest:  # noqa: PLR1730 -- a call costs more than all else here
                counts.hardest = difficulty
            if flags & block:
                counts.blocks += 1
            if reached > counts.best:
                counts.best = reached
                if self.best is None or reached > self.best[0]:
                    self.best = reached, number
        self.work += work
        if network_difficulty > 0:
            self.expected_blocks += work / network_difficulty

    def look(self, members: Iterable[Member], now_s: float) -> None:
        """Who is connected."""
        for each in self._known.values():
            each.is_online = False
        self.online = 0
        for member in members:
            known = self._known.get(member.number) or _Known("", 0, now_s)
            self._known[member.number] = known
            if not known.is_online:
                self.online += 1
                known.difficulty = 0.0
            known.is_online = True
            known.agent, known.protocol = self._agent(member.agent), int(member.protocol)
            known.difficulty = max(known.difficulty, member.difficulty)

    def _agent(self, agent: str) -> str:
        name = firmware_name(agent)
        if name not in self._agents:
            if len(self._agents) >= AGENTS_MAX:
                return OTHER
            self._agents.add(name)
        return name

    # Every minute.

    def end_minute(self, now_s: float, span_s: float, network_difficulty: float) -> list[MinuteRow]:
        """Close the minute: what each worker did in it, the silent ones that are connected too."""
        minute, self._minute = self._minute, {}
        rejects, self._rejects = self._rejects, {}
        rows = []
        total = Tally(span_s)
        for number in minute.keys() | rejects.keys() | {n for n, known in self._known.items() if known.is_online}:
            known = self._known.get(number) or _Known(firmware_name(""), 0, now_s)
            counts = minute.get(number) or Counts()
            counts.hardest = counts.hardest or known.difficulty
            refused = rejects.get(number, Counter())
            self.by_firmware.setdefault(known.agent, Counter()).update(
                {"accepted": counts.shares} | {str(why): count for why, count in refused.items()}
            )
            expected = counts.work / network_difficulty if network_difficulty > 0 else 0.0
            rows.append(MinuteRow(number, known.agent, known.protocol, counts, expected, refused))
            total += _tally(counts, span_s)
            self._sight.setdefault(number, Counts()).add(counts)
        self._minutes.append((now_s, total))
        self._sight_s += span_s
        if self._sight_s >= SIGHT_S:
            self._last_sight, self._last_sight_s = self._sight, self._sight_s
            self._sight, self._sight_s = {}, 0.0
        return rows

    def sights(self, now_s: float) -> list[tuple[int, Tally]]:
        """Each connected worker's number and what it did over the last minutes, from SIGHT_S to twice as much."""
        span_s = self._sight_s + self._last_sight_s
        found = []
        for number, known in self._known.items():
            if not known.is_online or now_s - known.first_s < MINUTE_S:
                continue
            counts = Counts(hardest=known.difficulty)
            for each in (self._last_sight.get(number), self._sight.get(number)):
                if each is not None:
                    counts.add(each)
            found.append((number, _tally(counts, min(span_s, now_s - known.first_s))))
        return found

    def windows(self, now_s: float) -> dict[str, Tally]:
        """Totals of the last minute, hour and day; shorter where the process is younger."""
        found = {}
        for name, span_s in WINDOWS.items():
            total, covered_s = Tally(0.0), 0.0
            for ended_s, minute in reversed(self._minutes):
                if now_s - ended_s + minute.span_s > span_s + MINUTE_S / 2 and covered_s:
                    break
                covered_s += minute.span_s
                total += minute
            found[name] = Tally(covered_s, total.shares, total.work, total.work_squared, total.hardest)
        return found

    def rejected_by_name(self) -> dict[str, int]:
        """Rejected shares by the reason's word."""
        return {str(why): count for why, count in self.rejected.items()}


class _Recent:
    """Durations of the last LATENCY_HOURS."""

    def __init__(self) -> None:
        self._hours: deque[tuple[int, Durations]] = deque(maxlen=LATENCY_HOURS)

    def add(self, duration_ms: float, now_s: float) -> None:
        """One more."""
        hour = int(now_s // 3600)
        if not self._hours or self._hours[-1][0] != hour:
            self._hours.append((hour, Durations()))
        self._hours[-1][1].add(duration_ms)

    def all(self, now_s: float) -> Durations:
        """Those that are not too old."""
        oldest = int(now_s // 3600) - LATENCY_HOURS
        return sum((each for hour, each in self._hours if hour > oldest), Durations())


def _tally(counts: Counts, span_s: float) -> Tally:
    return Tally(span_s, counts.shares, counts.work, counts.work_squared, counts.hardest)


def members_of(sessions: Iterable[Any]) -> Iterable[Member]:
    """The workers on some connections."""
    return chain.from_iterable(session.members() for session in sessions)
