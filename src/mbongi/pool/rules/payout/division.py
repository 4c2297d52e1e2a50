"""What a window's work makes of a reward: how all balances change, so that anybody can work it out again. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.amounts import Reward, Terms
from mbongi.pool.rules.payout.schemes import fpps, pplns, solo, tides
from mbongi.pool.values import RESERVE_ACCOUNT, Scheme


@dataclass(frozen=True, slots=True)
class BlockDivision:
    """A block's reward and its window: work by account, its total at most ``window_work``.

    ``direct_sat`` is what the block's coinbase paid accounts by itself; it is no part of what is owed any more.
    """

    scheme: Scheme
    reward: Reward
    finder: str
    work: Mapping[str, int]
    window_work: int
    terms: Terms
    direct_sat: Mapping[str, int] = field(default_factory=dict)

    def changes(self) -> dict[str, int]:
        """By how much each balance changes; together by the reward, less what was paid directly."""
        found = dict(_EARNED[self.scheme](self))
        for account, sat in self.direct_sat.items():
            found[account] = found.get(account, 0) - sat
        return {account: sat for account, sat in found.items() if sat}


def period_changes(
    work: Mapping[str, int], expected: Reward, network_work: int, terms: Terms, carried: Fraction
) -> tuple[dict[str, int], Fraction]:
    """What a period of FPPS pays out of the reserve, together 0; and the part of a satoshi that is carried on."""
    payout = fpps(work, expected, network_work, terms, carried)
    changes = dict(payout.amounts)
    if payout.total_sat:
        changes[RESERVE_ACCOUNT] = changes.get(RESERVE_ACCOUNT, 0) - payout.total_sat
    return changes, payout.carried


def fraction_of(text: str) -> Fraction:
    """A fraction from "numerator/denominator"; 0 from an empty text. Raises PayoutError."""
    try:
        return Fraction(text or "0")
    except (ValueError, ZeroDivisionError) as error:
        raise PayoutError(f"carried: {text!r}; expected numerator/denominator") from error


def _pplns(block: BlockDivision) -> dict[str, int]:
    return pplns(block.reward, [block.work], block.window_work, block.terms)


def _tides(block: BlockDivision) -> dict[str, int]:
    return tides(block.reward, block.work, block.terms)


def _solo(block: BlockDivision) -> dict[str, int]:
    return solo(block.reward, block.finder, block.terms)


def _fpps(block: BlockDivision) -> dict[str, int]:
    """The shares are paid by their periods, whoever finds blocks."""
    return {RESERVE_ACCOUNT: block.reward.total_sat}


_EARNED: Final[Mapping[Scheme, Callable[[BlockDivision], dict[str, int]]]] = {
    Scheme.PPLNS: _pplns,
    Scheme.TIDES: _tides,
    Scheme.SOLO: _solo,
    Scheme.FPPS: _fpps,
}
