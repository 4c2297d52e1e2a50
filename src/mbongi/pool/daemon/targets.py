"""What a miner was told its shares must meet, generation by generation.

A new difficulty is a new generation, told together with the same work under a new job id that carries it; so each share
counts for just the difficulty that its miner was told.
"""

from typing import Final

from mbongi.wire.bitcoin.target import target_of_difficulty

GENERATIONS: Final = 256
GENERATIONS_KEPT: Final = 8
"""Difficulties of the past that shares on earlier jobs still count for."""


class Targets:
    """The generations of one miner or channel; the first is 0."""

    __slots__ = ("_told", "generation")

    def __init__(self, difficulty: float) -> None:
        self.generation = 0
        self._told = {0: (difficulty, target_of_difficulty(difficulty))}

    @property
    def current(self) -> tuple[float, int]:
        """Difficulty and target in force."""
        return self._told[self.generation]

    def get(self, generation: int) -> tuple[float, int] | None:
        """Difficulty and target of a generation; None for one that was never told, or is forgotten."""
        return self._told.get(generation)

    def begin(self, difficulty: float, target: int | None = None) -> None:
        """A new generation; ``target`` where it is not just the difficulty's."""
        self.generation = (self.generation + 1) % GENERATIONS
        self._told[self.generation] = difficulty, target_of_difficulty(difficulty) if target is None else target
        if len(self._told) > GENERATIONS_KEPT:
            del self._told[next(iter(self._told))]

    def restart(self, difficulty: float) -> None:
        """Put the difficulty into the generation in force: nothing was told yet."""
        self._told = {self.generation: (difficulty, target_of_difficulty(difficulty))}
