"""What the site's pool sees of each machine, beside what the machine states of itself. Pure: no sockets, no clock.

A machine is known to the pool by the user name of the pool that it works for. Where several machines share one name,
the pool cannot tell them apart, and nothing is said of any of them.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import DetailReport, MachineReading
from mbongi.fleet.values import MachineState

AGE_MS_MAX = 180_000
"""A word of the pool, which speaks every minute, older than this says nothing any more."""
MINUTES = 12
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Seen:
    """The hashrate [TH/s] that the pool saw under a name over the last ``span_s``, and its 95 % interval."""

    span_s: float
    ths: float
    low_ths: float
    high_ths: float


@dataclass(frozen=True, slots=True)
class SeenByPool:
    """What one pool process saw, by user name. ``source`` tells processes apart."""

    source: int
    at_ms: int
    users: Mapping[str, Seen]


@dataclass(frozen=True, slots=True)
class PoolSight:
    """A reading with the pool's figures in it, and the mean that the machine stated over the same minutes [TH/s]."""

    reading: MachineReading
    own_ths: float


class PoolSide:
    """Holds the two beside each other. One per fleet process."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], tuple[int, Seen]] = {}
        self._users: dict[MachineId, str] = {}
        self._machines: Counter[str] = Counter()
        self._sources: set[int] = set()
        self._own: dict[MachineId, deque[tuple[int, float, int]]] = {}

    def hear(self, told: SeenByPool) -> None:
        """The pool spoke."""
        self._sources.add(told.source)
        for user, seen in told.users.items():
            self._seen[user, told.source] = told.at_ms, seen
        for key in [key for key, (at_ms, _seen) in self._seen.items() if told.at_ms - at_ms > AGE_MS_MAX]:
            del self._seen[key]

    def details(self, reports: Sequence[DetailReport]) -> None:
        """Machines stated which pools they work for."""
        for report in reports:
            active = [pool.user for pool in report.detail.pools if pool.active and pool.user]
            self._set_user(report.machine_id, active[0] if active else "")

    def keep_only(self, machine_ids: set[MachineId]) -> None:
        """Forget machines that are no longer asked."""
        for machine_id in self._users.keys() - machine_ids:
            self._set_user(machine_id, "")
        for machine_id in self._own.keys() - machine_ids:
            del self._own[machine_id]

    def _set_user(self, machine_id: MachineId, user: str) -> None:
        before = self._users.pop(machine_id, "")
        if before:
            self._machines[before] -= 1
        if user:
            self._users[machine_id] = user
            self._machines[user] += 1

    def fill(self, readings: Sequence[MachineReading]) -> list[PoolSight]:
        """Put the pool's figures into readings, where it knows the machine; those that can be held beside each other.

        They can where the machine stated its hashrate in every minute that the pool speaks of.
        """
        sights = []
        for reading in readings:
            machine_id = MachineId(reading.machine_id)
            self._state_own(machine_id, reading)
            seen = self._seen_of(self._users.get(machine_id, ""), reading.ts)
            if seen is None:
                continue
            reading.pool_side_ths = seen.ths
            reading.pool_side_low_ths, reading.pool_side_high_ths = seen.low_ths, seen.high_ths
            own_ths = self._own_mean(machine_id, reading.ts, seen.span_s)
            if own_ths is not None and reading.state == MachineState.MINING.value:
                sights.append(PoolSight(reading, own_ths))
        return sights

    def _seen_of(self, user: str, now_ms: int) -> Seen | None:
        """Of all pool processes together; a worker is mostly with one of them."""
        if not user or self._machines[user] != 1:
            return None
        found = [
            seen
            for source in self._sources
            for at_ms, seen in [self._seen.get((user, source), (0, None))]
            if seen is not None and now_ms - at_ms <= AGE_MS_MAX
        ]
        if not found:
            return None
        return Seen(
            max(each.span_s for each in found),
            sum(each.ths for each in found),
            sum(each.low_ths for each in found),
            sum(each.high_ths for each in found),
        )

    def _state_own(self, machine_id: MachineId, reading: MachineReading) -> None:
        value = reading.hashrate_ths
        if value != value:  # noqa: PLR0124 -- NaN: the machine stated nothing
            return
        minutes = self._own.setdefault(machine_id, deque(maxlen=MINUTES))
        minute = reading.ts // _MINUTE_MS
        if minutes and minutes[-1][0] == minute:
            _minute, total, count = minutes[-1]
            minutes[-1] = minute, total + value, count + 1
        else:
            minutes.append((minute, value, 1))

    def _own_mean(self, machine_id: MachineId, now_ms: int, span_s: float) -> float | None:
        first = (now_ms - int(span_s * 1000)) // _MINUTE_MS
        known = [each for each in self._own.get(machine_id, ()) if each[0] >= first]
        wanted = min(now_ms // _MINUTE_MS - first, MINUTES - 1)
        if len(known) < max(wanted, 1):
            return None
        mean = sum(total for _minute, total, _count in known) / sum(count for _minute, _total, count in known)
        return mean if mean > 0 else None
