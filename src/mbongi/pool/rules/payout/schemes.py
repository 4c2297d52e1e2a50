"""How a reward is divided: solo, PPLNS, TIDES and FPPS. Pure; every result adds up to what was divided.

Source of the names and of the reserve: M. Rosenfeld, "Analysis of Bitcoin Pooled Mining Reward Systems" (2011),
arXiv:1112.4980. Of TIDES: OCEAN, TIDES technical documentation (2024).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.amounts import PPM, Reward, Terms
from mbongi.pool.rules.payout.windows import Slice, window_of


def solo(reward: Reward, finder: str, terms: Terms) -> dict[str, int]:
    """All to the account that found the block, less the fee."""
    return terms.shared(reward.total_sat, {finder: 1})


def pplns(reward: Reward, newest_first: Iterable[Slice], window_work: int, terms: Terms) -> dict[str, int]:
    """By work among the last ``window_work`` hashes, the block's own share among them, whichever blocks they span.

    A pool whose shares do not yet fill the window divides among those there are. Raises PayoutError without any.
    """
    return terms.shared(reward.total_sat, window_of(newest_first, window_work))


def tides(reward: Reward, window: Mapping[str, int], terms: Terms) -> dict[str, int]:
    """By work within the window as it stood when the job was made.

    The coinbase pays the miners itself, so its amounts stand before the block is found, and the share that finds it
    counts for the next. ``window`` is a SlidingWindow's work of ``tides_window_work``; blocks found meanwhile do not
    begin it anew.
    """
    return terms.shared(reward.total_sat, window)


@dataclass(frozen=True, slots=True)
class FppsPayout:
    """What a period's shares were worth.

    ``carried`` is the part of a satoshi [0 <= sat < 1] that the next period begins with, so that all periods together
    pay the whole of their exact value rounded down once.
    """

    amounts: dict[str, int]
    carried: Fraction

    @property
    def total_sat(self) -> int:
        """What the pool owes for the period, its fee among it."""
        return sum(self.amounts.values())


def fpps(
    work: Mapping[str, int], expected: Reward, network_work: int, terms: Terms, carried: Fraction = Fraction(0)
) -> FppsPayout:
    """The expected value of shares, blocks found or not: reward x work / network's work for a block.

    ``work`` is that of a period in which ``expected`` (subsidy and ``expected_fees_sat``) and ``network_work`` held.
    The pool pays it out of its reserve, see ``reserve_sat``.
    """
    if network_work <= 0 or not 0 <= carried < 1:
        raise PayoutError(f"fpps: {network_work} hashes a block, {carried} sat carried; expected > 0 and 0 <= sat < 1")
    value = carried + Fraction(expected.total_sat * sum(work.values()), network_work)
    owed_sat = math.floor(value)
    if owed_sat == 0:
        return FppsPayout({}, value)
    return FppsPayout(terms.shared(owed_sat, work), value - owed_sat)


def expected_fees_sat(fees_sat: Sequence[int]) -> int:
    """The fees to expect of a block [sat]: the mean of those of the last blocks, rounded down.

    Raises PayoutError without any, or for one below 0.
    """
    if not fees_sat or min(fees_sat) < 0:
        raise PayoutError(f"fees of the last {len(fees_sat)} blocks: expected one or more, none below 0")
    return sum(fees_sat) // len(fees_sat)


def reserve_sat(expected: Reward, fee_ppm: int, ruin: float) -> int:
    """What a pool that pays by FPPS must have put aside so as to be ruined ever with a probability of ``ruin`` at most.

    R = B ln(1/ruin) / (2 f), for reward B and fee f (1..999,999 ppm). It supposes that all of the fee stays in the
    reserve, that no reward changes, and honest shares: nobody withholds blocks.
    Source: Rosenfeld (2011), section 2.2 and appendix C. Without the approximation of a small fee the
    reserve is a little less.
    """
    if not 0 < fee_ppm < PPM or not 0.0 < ruin < 1.0:
        raise PayoutError(f"reserve for a fee of {fee_ppm} ppm and ruin of {ruin}: expected 0 < ppm < {PPM}, 0..1")
    return math.ceil(Fraction(expected.total_sat * PPM, 2 * fee_ppm) * Fraction(-math.log(ruin)))
