"""Which difficulty a share counts for: each change of a miner's difficulty begins a generation. Pure.

The rule (decision 14): a generation's number stands in the coinbase, so the work of one generation is not that of
another, and each work has exactly one difficulty, fixed when it was given out. A miner who could see a hash first, and
then choose between an easy and a hard difficulty for it, would be paid more than it worked.
"""

from collections.abc import Sequence
from typing import Final, Self

from mbongi.wire.bitcoin.target import target_of_difficulty

GENERATIONS: Final = 256
SHARED: Final = 0
"""The generation of work that goes to many miners at once, and counts for each as much as it was told before."""
KEPT: Final = 8
"""Difficulties of the past that shares on earlier jobs still count for."""
CHANGES_MAX: Final = 200
"""While one job is the newest. With more, a generation could come twice on one job, with two difficulties."""


class Generations:
    """What one miner was told. Jobs are named by the pool's numbers, which only grow."""

    __slots__ = ("_changes", "_number", "_told", "now")

    def __init__(self, difficulty: float, newest: int) -> None:
        """``newest`` is the number of the newest job; 0 where there is none yet."""
        self.now = SHARED + 1
        self._changes, self._number = 0, newest
        self._told: dict[int, tuple[tuple[float, int], int, int]] = {}  # difficulty and target, first job, last job
        self._tell(difficulty, newest)

    @classmethod
    def of_told(cls, told: Sequence[tuple[int, float, int, int]], changes: int) -> Self:
        """What ``told`` and ``changes`` said before."""
        generation, difficulty, first, _last = told[-1]
        made = cls(difficulty, first)
        made.now, made._changes, made._told = generation, changes, {}
        for each, difficulty, first, last in told:
            made._told[each] = (difficulty, target_of_difficulty(difficulty)), first, last
        return made

    @property
    def told(self) -> tuple[tuple[int, float, int, int], ...]:
        """All generations that count: number, difficulty, first and last job; the one in force is the last."""
        return tuple([(each, set_to[0], first, last) for each, (set_to, first, last) in self._told.items()])

    @property
    def changes(self) -> int:
        """How many the newest job saw when the last one came."""
        return self._changes

    @property
    def difficulty(self) -> float:
        """In force for work from now on."""
        return self._told[self.now][0][0]

    @property
    def target(self) -> int:
        """What hashes of work from now on must meet."""
        return self._told[self.now][0][1]

    def change(self, difficulty: float, newest: int) -> bool:
        """Begin a generation; False, and nothing changes, where one job has seen too many."""
        self._changes = self._changes + 1 if newest == self._number else 0
        self._number = newest
        if self._changes > CHANGES_MAX:
            return False
        set_to, first, _last = self._told[self.now]
        self._told[self.now] = set_to, first, newest
        self.now = self.now % (GENERATIONS - 1) + 1
        self._tell(difficulty, newest)
        if len(self._told) > KEPT:
            del self._told[next(iter(self._told))]
        return True

    def of(self, generation: int, number: int) -> tuple[float, int] | None:
        """Difficulty and target of a share on a job; None for work that was never given out, or too long ago."""
        told = self._told.get(generation)
        return told[0] if told is not None and told[1] <= number <= told[2] else None

    def of_shared(self, number: int) -> tuple[float, int] | None:
        """The same for a job's shared work, which goes out as the job becomes the newest: what was told before that."""
        found = None
        for set_to, first, _last in self._told.values():
            if first < number:
                found = set_to
        return found

    def _tell(self, difficulty: float, newest: int) -> None:
        self._told.pop(self.now, None)
        self._told[self.now] = (difficulty, target_of_difficulty(difficulty)), newest, 1 << 62
