"""What a miner's hashrate is, told from its shares at whatever difficulties somebody else sets. Pure.

A channel of Stratum V2 states a nominal hashrate, and the pool makes its difficulty of that. The estimate moves only
where shares, or their absence, show more than chance that it is off.
"""

import math
from typing import Final

from mbongi.pool.rules.vardiff import HASHES_PER_DIFFICULTY

SHARES_MIN: Final = 12
SHARES_MAX: Final = 96
"""A sample begins anew after so many, so that it is about the present."""
OFF_DEVIATIONS: Final = 2.5
"""An estimate moves where it is off by that many standard deviations of its logarithm (1 / sqrt n) ..."""
OFF_MIN: Final = math.log(1.3)
"""... and by more than that."""
SILENCE: Final = 5.0
"""So many shares expected, and none: chance explains it once in 150 times."""
FALL_MAX: Final = 16.0
LOW_HS: Final = 1.0
"""No estimate goes below; zero would say that nobody is there."""


class NominalHashrate:
    """One miner's. ``hashrate_hs`` is the estimate in force [hashes/s]; times are seconds of one monotonic clock."""

    __slots__ = ("_difficulty", "_shares", "_since_s", "_work", "hashrate_hs")

    def __init__(self, now_s: float, hashrate_hs: float) -> None:
        self.hashrate_hs = max(hashrate_hs, LOW_HS)
        self._difficulty = 0.0
        self._restart(now_s)

    def guess(self, now_s: float, hashrate_hs: float) -> None:
        """Begin anew from what the miner says of itself."""
        self.hashrate_hs = max(hashrate_hs, LOW_HS)
        self._restart(now_s)

    def pause(self, now_s: float) -> None:
        """Time up to now says nothing: there was no work."""
        self._restart(now_s)

    def told(self, difficulty: float) -> None:
        """The difficulty that its shares have from now on."""
        self._difficulty = difficulty

    def share(self, difficulty: float) -> None:
        """A share that proves so much work."""
        self._shares += 1
        self._work += difficulty

    def look(self, now_s: float) -> float | None:
        """The new estimate where it has moved; None where it stays."""
        elapsed_s = now_s - self._since_s
        if elapsed_s <= 0.0 or self._difficulty <= 0.0:
            return None
        if self._shares == 0:
            expected = self.hashrate_hs * elapsed_s / (self._difficulty * HASHES_PER_DIFFICULTY)
            return self._move(now_s, self.hashrate_hs / min(expected, FALL_MAX)) if expected >= SILENCE else None
        if self._shares < SHARES_MIN and not self._is_slow(elapsed_s):
            return None
        estimate = self._work * HASHES_PER_DIFFICULTY / elapsed_s
        off = abs(math.log(estimate / self.hashrate_hs))
        if off > max(OFF_MIN, OFF_DEVIATIONS / math.sqrt(self._shares)):
            return self._move(now_s, estimate)
        if self._shares >= SHARES_MAX:
            self._restart(now_s)
        return None

    def _is_slow(self, elapsed_s: float) -> bool:
        """Whether so few shares came that one need not wait for SHARES_MIN."""
        expected = self.hashrate_hs * elapsed_s / (self._difficulty * HASHES_PER_DIFFICULTY)
        return expected >= SILENCE * (1 + self._shares)

    def _move(self, now_s: float, hashrate_hs: float) -> float | None:
        before, self.hashrate_hs = self.hashrate_hs, max(hashrate_hs, LOW_HS)
        self._restart(now_s)
        return None if self.hashrate_hs == before else self.hashrate_hs

    def _restart(self, now_s: float) -> None:
        self._since_s, self._shares, self._work = now_s, 0, 0.0
