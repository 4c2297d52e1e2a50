"""Channels of a Stratum V2 connection: one for each miner, each with a difficulty and a search space of its own."""

import copy
import math
from typing import Final

from mbongi.pool.errors import DifficultyError
from mbongi.pool.rules.generations import Generations
from mbongi.pool.rules.job import EXTRANONCE2_BYTES, Job
from mbongi.pool.rules.vardiff import Vardiff, difficulty_of_hashrate
from mbongi.wire.bitcoin.target import difficulty_of_target, target_of_difficulty
from mbongi.wire.stratum_v2.codes import ErrorCode

STALE_KNOWN: Final = 4
"""Custom jobs of former tips that are remembered."""


class Channel:
    """One miner, or what a proxy makes of several."""

    __slots__ = ("custom", "extranonce1", "generations", "id", "is_extended", "vardiff", "whose")

    def __init__(
        self,
        id_: int,
        *,
        name: str,
        worker: int,
        extranonce1: bytes,
        vardiff: Vardiff,
        newest: int,
        extended: bool,
    ) -> None:
        self.id, self.whose, self.is_extended = id_, (worker, name), extended
        self.extranonce1, self.vardiff = extranonce1, vardiff
        self.generations = Generations(vardiff.difficulty, newest)
        self.custom: dict[int, tuple[Job, tuple[float, int]]] = {}
        """Custom jobs of this tip by their number, each with the difficulty and target that it keeps."""

    def forget_custom(self) -> None:
        """There is another tip: shares for the last custom jobs are told to be stale, for others to be unknown."""
        for number in list(self.custom)[:-STALE_KNOWN]:
            del self.custom[number]

    @property
    def prefix(self) -> bytes:
        """What the pool sets of the extranonce: all of it where the miner rolls headers only."""
        return self.extranonce1 if self.is_extended else self.extranonce1 + bytes(EXTRANONCE2_BYTES)


def fitted(
    vardiff: Vardiff, hashrate_hs: float, target_max: int, *, now_s: float, shares_per_minute: float
) -> tuple[Vardiff, str]:
    """A channel's difficulty as it fits what its miner states, and an empty text; the one given, which stays as it is,
    and the code of the refusal where none fits."""
    before, vardiff = vardiff, copy.copy(vardiff)
    if not (math.isfinite(hashrate_hs) and hashrate_hs >= 0):
        return before, ErrorCode.INVALID_NOMINAL_HASHRATE
    if target_max <= 0:
        return before, ErrorCode.MAX_TARGET_OUT_OF_RANGE
    try:
        if hashrate_hs > 0:
            vardiff.suggest(now_s, difficulty_of_hashrate(hashrate_hs, shares_per_minute))
        if target_max < target_of_difficulty(vardiff.difficulty):
            vardiff.require(now_s, difficulty_of_target(target_max))
    except DifficultyError:
        return before, ErrorCode.MAX_TARGET_OUT_OF_RANGE
    fits = target_of_difficulty(vardiff.difficulty) <= target_max
    return (vardiff, "") if fits else (before, ErrorCode.MAX_TARGET_OUT_OF_RANGE)
