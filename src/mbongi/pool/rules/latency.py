"""Quantiles of durations in a few hundred counters, however many there were. Pure.

Each counter holds a step of durations, every step RATIO times as long as the one before, so that a quantile is right
to within half a step, 5 %. Counters of several processes, or hours, add up.
"""

import math
from collections.abc import Sequence
from typing import Final, Self

RATIO: Final = 1.1
LEAST_MS: Final = 0.01
STEPS: Final = 180
"""Up to some 280 s; longer ones count in the last step."""
_LOG_RATIO: Final = math.log(RATIO)


class Durations:
    """How many durations [ms] fell into each step."""

    __slots__ = ("counts", "max_ms")

    def __init__(self, counts: Sequence[int] = (), max_ms: float = 0.0) -> None:
        self.counts = [*counts, *([0] * (STEPS - len(counts)))]
        self.max_ms = max_ms

    def add(self, duration_ms: float) -> None:
        """One more."""
        step = int(math.log(duration_ms / LEAST_MS) / _LOG_RATIO) if duration_ms > LEAST_MS else 0
        self.counts[min(step, STEPS - 1)] += 1
        self.max_ms = max(self.max_ms, duration_ms)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def __add__(self, other: Self) -> "Durations":
        counts = [one + another for one, another in zip(self.counts, other.counts, strict=True)]
        return Durations(counts, max(self.max_ms, other.max_ms))

    def quantile(self, part: float) -> float | None:
        """The duration that ``part`` (0..1) of them did not exceed; None where there was none."""
        wanted, seen = part * self.count, 0
        for step, count in enumerate(self.counts):
            seen += count
            if seen and seen >= wanted:
                return min(LEAST_MS * math.pow(RATIO, step + 0.5), self.max_ms)
        return None
