"""What the site's pool sees of each machine, beside what the machine states of itself. Pure: no sockets, no clock.

A machine is known to the pool by the user name of the pool that it works for. Where several machines share one name,
the pool cannot tell them apart, and nothing is said of any of them.
"""

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import DetailReport, MachineReading
from mbongi.fleet.rules.repair import chi_square
from mbongi.fleet.values import MachineState

AGE_MS_MAX = 180_000
"""A word of the pool, which speaks every minute, older than this says nothing any more."""
MINUTES = 12
SIGNIFICANT = 0.001
"""Chosen: of a thousand looks at machines that lose nothing, one says otherwise."""
SHARES_MAX = 1_000_000
_Z = 1.959963984540054
"""The normal quantile of 0.975. Source: any table of it."""
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a machine states beside what the pool sees of it [TH/s].

    ``p`` is how likely chance alone makes the pool see as little as it does, or less, of a machine that hashes what it
    states; it rests on ``shares``. Small values say that something is lost on the way.
    """

    own_ths: float
    pool_ths: float
    low_ths: float
    high_ths: float
    shares: int
    p: float

    @property
    def is_less(self) -> bool:
        """Whether the difference is more than chance, at SIGNIFICANT."""
        return self.p < SIGNIFICANT


def compare(*, own_ths: float, pool_ths: float, low_ths: float, high_ths: float) -> Comparison | None:
    """The exact one-sided test of a Poisson count against the one that the machine's own hashrate lets expect.

    Shares of steady work are a Poisson process. The pool tells the 95 % interval of a count of n shares, whose upper
    end is chi2(0.975, 2 n + 2) / (2 n) of the estimate [1], from which n follows; then p = P(N <= n) of N with the mean
    n * own / pool, or own / high * chi2(0.975, 2) / 2 without any share. None where a figure is missing.
    Source: [1] F. Garwood, "Fiducial Limits for the Poisson Distribution", Biometrika 28, 1936.
    """
    if not (own_ths > 0 and pool_ths >= 0 and high_ths > pool_ths and math.isfinite(own_ths + high_ths)):
        return None
    shares = 0 if pool_ths == 0 else _shares(high_ths / pool_ths)
    mean = own_ths / high_ths * chi_square(0.975, 2) / 2 if not shares else shares * own_ths / pool_ths
    return Comparison(own_ths, pool_ths, low_ths, high_ths, shares, _at_most(shares, mean))


def _shares(ratio: float) -> int:
    """The count whose interval's upper end is ``ratio`` of the estimate; it falls as the count grows."""
    low, high = 1, SHARES_MAX
    while low < high:
        middle = (low + high) // 2
        if _upper(middle) > ratio:
            low = middle + 1
        else:
            high = middle
    return low if low == 1 or abs(_upper(low) - ratio) < abs(_upper(low - 1) - ratio) else low - 1


def _upper(count: int) -> float:
    """Of a count's interval, by the count: Wilson and Hilferty's formula, off by less than a hundredth of a share."""
    part = 1 / (9 * (count + 1))
    return (count + 1) / count * (1 - part + _Z * math.sqrt(part)) ** 3


def _at_most(count: int, mean: float) -> float:
    """P(N <= count) of a Poisson count with that mean: its terms summed from the largest on."""
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    total, number = term, count
    while number > 0 and term > total * 1e-17:
        term *= number / mean
        number -= 1
        total += term
    return min(total, 1.0)


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
