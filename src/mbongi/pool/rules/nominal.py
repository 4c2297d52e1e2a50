"""What a miner's hashrate is, told from its shares at whatever difficulties somebody else sets. Pure.

A channel of Stratum V2 states a nominal hashrate, and the pool makes its difficulty of that. The estimate moves only
where shares, or their absence, show more than chance that it is off.
"""

import math
from typing import Final

from mbongi.pool.rules.vardiff import HASHES_PER_DIFFICULTY

LOOKS_SHARES: Final = (12, 24, 48, 96)
"""A sample is looked at when it has so many shares; with the last it ends, so that the next is about the present."""
OFF_DEVIATIONS: Final = 2.5
"""An estimate moves where it is off by that many standard deviations of its logarithm (1 / sqrt n) ..."""
OFF_MIN: Final = math.log(1.3)
"""... and by more than that."""
SILENCE: Final = 12.0
"""So many shares expected since the last, and none: chance explains one such pause in 160,000."""
FALL_MAX: Final = 4.0
"""What one silence lowers an estimate by; more of it lowers it again."""
LOW_HS: Final = 1.0
HIGH_HS: Final = 1e24
"""No estimate goes beyond; zero would say that nobody is there, and all miners of the world do less than the other."""


class NominalHashrate:
    """One miner's. ``hashrate_hs`` is the estimate in force [hashes/s]; times are seconds of one monotonic clock."""

    __slots__ = ("_difficulty", "_last_s", "_looks", "_shares", "_since_s", "_work", "hashrate_hs")

    def __init__(self, now_s: float, hashrate_hs: float) -> None:
        self.hashrate_hs = _bounded(hashrate_hs)
        self._difficulty = self._work = 0.0
        self._shares = self._looks = 0
        self._since_s = self._last_s = now_s

    def guess(self, now_s: float, hashrate_hs: float) -> None:
        """Begin anew from what the miner says of itself."""
        self.hashrate_hs = _bounded(hashrate_hs)
        self._restart(now_s)

    def pause(self, now_s: float) -> None:
        """Time up to now says nothing: there was no work."""
        self._restart(now_s)

    def told(self, difficulty: float) -> None:
        """The difficulty that its shares have from now on."""
        self._difficulty = difficulty

    def share(self, now_s: float, difficulty: float) -> None:
        """A share that proves so much work."""
        self._shares += 1
        self._work += difficulty
        self._last_s = now_s

    def look(self, now_s: float) -> float | None:
        """The new estimate where it has moved; None where it stays."""
        if self._difficulty <= 0.0:
            return None
        if self._shares >= LOOKS_SHARES[self._looks]:
            return self._look(now_s)
        expected = self.hashrate_hs * (now_s - self._last_s) / (self._difficulty * HASHES_PER_DIFFICULTY)
        return self._move(now_s, self.hashrate_hs / FALL_MAX) if expected >= SILENCE else None

    def _look(self, now_s: float) -> float | None:
        shares, self._looks = self._shares, self._looks + 1
        estimate = self._work * HASHES_PER_DIFFICULTY / max(now_s - self._since_s, 1e-3)
        off = abs(math.log(estimate / self.hashrate_hs))
        if off > max(OFF_MIN, OFF_DEVIATIONS / math.sqrt(shares)):
            return self._move(now_s, estimate)
        if self._looks == len(LOOKS_SHARES):
            self._restart(now_s)
        return None

    def _move(self, now_s: float, hashrate_hs: float) -> float | None:
        before, self.hashrate_hs = self.hashrate_hs, _bounded(hashrate_hs)
        self._restart(now_s)
        return None if self.hashrate_hs == before else self.hashrate_hs

    def _restart(self, now_s: float) -> None:
        self._since_s = self._last_s = now_s
        self._shares, self._work, self._looks = 0, 0.0, 0


def _bounded(hashrate_hs: float) -> float:
    return min(max(hashrate_hs, LOW_HS), HIGH_HS)
