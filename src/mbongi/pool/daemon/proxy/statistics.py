"""What the proxy counts since its start."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from mbongi.pool.values import Reject

WAIT_BOUNDS_S: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Upper ends of the buckets of how long the pool's answers took; one more has the rest."""


@dataclass(slots=True)
class Statistics:
    """Counts; every share that came is in just one of them, or waits for the pool."""

    accepted: int = 0
    """By the pool."""
    difficulty_accepted: float = 0.0
    accepted_here: int = 0
    """Too easy for the pool, in an aggregated channel: they tell what a miner does."""
    rejected: "Counter[Reject]" = field(default_factory=Counter)
    """Here, before the pool saw them; and those that the pool never answered."""
    refused_by_pool: "Counter[Reject]" = field(default_factory=Counter)
    blocks: int = 0
    """Shares that met the network's target."""
    links: int = 0
    """To pools, set up."""
    links_lost: int = 0
    waits: list[int] = field(default_factory=lambda: [0] * (len(WAIT_BOUNDS_S) + 1))
    """The pool's answers by how long they took: see WAIT_BOUNDS_S."""
    waited_s: float = 0.0

    def answered(self, difficulty: float, waited_s: float) -> None:
        """The pool has accepted a share."""
        self.accepted += 1
        self.difficulty_accepted += difficulty
        self.waited_s += waited_s
        self.waits[bisect_left(WAIT_BOUNDS_S, waited_s)] += 1
