"""Whole satoshis and whole work: exact division, fees and donations. Pure, and nowhere a float in a sum.

Work is counted in hashes that a share takes on average, 2**256 // (target + 1), the unit in which Bitcoin counts a
chain's work. It is whole at every difficulty: a share of a practice chain is 2 hashes, a block of the main chain some
10**24, whereas any fixed part of a difficulty would round the ones to nothing or carry the others as fractions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from mbongi.pool.errors import PayoutError
from mbongi.wire.bitcoin.target import target_of_difficulty, work_of_target

PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Reward:
    """What a block pays: the new coins and the fees of its transactions [sat]."""

    subsidy_sat: int
    fees_sat: int

    def __post_init__(self) -> None:
        if self.subsidy_sat < 0 or self.fees_sat < 0:
            raise PayoutError(f"reward of {self.subsidy_sat} + {self.fees_sat} sat: expected 0 or more of each")

    @property
    def total_sat(self) -> int:
        """Both together."""
        return self.subsidy_sat + self.fees_sat


@dataclass(frozen=True, slots=True)
class Terms:
    """The pool's fee [ppm of every reward] and what accounts give away of theirs [ppm of what they would get].

    Rounding is always in the miners' favour.
    """

    fee_ppm: int = 0
    fee_account: str = "pool"
    donations_ppm: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    donation_account: str = "donations"

    def __post_init__(self) -> None:
        for what, ppm in {"fee": self.fee_ppm, **self.donations_ppm}.items():
            if not 0 <= ppm <= PPM:
                raise PayoutError(f"{what}: {ppm} ppm; expected 0..{PPM}")

    def fee_sat(self, amount_sat: int) -> int:
        """The pool's part of an amount, rounded down."""
        return amount_sat * self.fee_ppm // PPM

    def shared(self, amount_sat: int, weights: Mapping[str, int]) -> dict[str, int]:
        """An amount by weight among accounts, less fee and donations, which go to accounts of their own.

        The amounts add up to ``amount_sat`` exactly.
        """
        fee_sat = self.fee_sat(amount_sat)
        amounts = split(amount_sat - fee_sat, weights)
        given_sat = 0
        for account, ppm in self.donations_ppm.items():
            gift_sat = amounts.get(account, 0) * ppm // PPM
            if gift_sat:
                amounts[account] -= gift_sat
                given_sat += gift_sat
        for account, sat in ((self.donation_account, given_sat), (self.fee_account, fee_sat)):
            if sat:
                amounts[account] = amounts.get(account, 0) + sat
        return {account: sat for account, sat in amounts.items() if sat}


def work_of_difficulty(difficulty: float) -> int:
    """The work of a share that counts as ``difficulty`` [hashes]; always the same whole number for the same float."""
    return work_of_target(target_of_difficulty(difficulty))


def split(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Divide a whole amount by whole weights, so that the parts add up to it exactly.

    Everybody gets the whole part of the quota, and what is left over goes one by one to the largest remainders, of
    equal ones to the name that sorts first: so the order of ``weights`` plays no part. Accounts of no weight get
    nothing and are left out. Raises PayoutError for a negative amount or weight, or where nobody has any weight.
    """
    total = sum(weights.values())
    if amount < 0 or min(weights.values(), default=0) < 0:
        raise PayoutError(f"division of {amount} by {len(weights)} weights: expected none of them below 0")
    if total == 0:
        raise PayoutError(f"division of {amount}: nobody has any weight")
    parts = {name: amount * weight // total for name, weight in weights.items() if weight}
    left = amount - sum(parts.values())
    if left:
        by_remainder = sorted(parts, key=lambda name: (-(amount * weights[name] % total), name))
        for name in by_remainder[:left]:
            parts[name] += 1
    return parts
