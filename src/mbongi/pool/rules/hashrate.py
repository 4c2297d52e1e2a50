"""A hashrate from shares, with the interval that chance leaves open. Pure.

Shares of steady work are a Poisson process: a share of difficulty d stands for d * HASHES_PER_DIFFICULTY hashes on
average. Over a span T, shares of difficulties d_i give the estimate

    rate = HASHES_PER_DIFFICULTY * y / T          y = sum(d_i), v = sum(d_i**2), m = the largest difficulty

and, with chi2(p, k) the p-quantile of the chi-square distribution with k degrees of freedom, the interval

    low  = v / (2 y)               * chi2(a / 2,     2 y**2 / v)
    high = (v + m**2) / (2 (y + m)) * chi2(1 - a / 2, 2 (y + m)**2 / (v + m**2))

times the same factor. Where all shares have one difficulty this is the exact interval of a Poisson count (F. Garwood,
"Fiducial Limits for the Poisson Distribution", Biometrika 28, 1936); for mixed ones it is the gamma interval for
weighted sums of Poisson counts (M. P. Fay and E. J. Feuer, "Confidence Intervals for Directly Standardized Rates",
Statistics in Medicine 16, 1997), which keeps at least its level in their simulations. Without any share it still
bounds the rate from above: m is then the difficulty in force.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

from mbongi.pool.rules.vardiff import HASHES_PER_DIFFICULTY

LEVEL: Final = 0.95
"""Of the intervals, unless somebody asks for another."""
_EXACT_BELOW: Final = 400.0
"""Degrees of freedom from which on Wilson and Hilferty's formula is off by less than 3 in 100,000."""
_STEPS_MAX: Final = 200
_Z: Final = {0.90: 1.6448536269514722, 0.95: 1.959963984540054, 0.99: 2.5758293035489004}
"""Two-sided quantiles of the normal distribution, by level. Source: any table of it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Shares over a span: their number, the sums of their difficulties and of the squares, the largest difficulty.

    ``hardest`` is the difficulty in force where no share came. Tallies of different miners over the same span add up.
    """

    span_s: float
    shares: int = 0
    work: float = 0.0
    work_squared: float = 0.0
    hardest: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        """Both together, over the longer of the spans."""
        return Tally(
            max(self.span_s, other.span_s),
            self.shares + other.shares,
            self.work + other.work,
            self.work_squared + other.work_squared,
            max(self.hardest, other.hardest),
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """A hashrate [hashes/s] and its interval; the figures are 0 where the span is."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, tally: Tally, level: float = LEVEL) -> Self:
        """What a tally says of the rate. ``level``: 0.90, 0.95 or 0.99."""
        if tally.span_s <= 0:
            return cls(0.0, 0.0, 0.0)
        low, high = work_interval(tally, level)
        factor = HASHES_PER_DIFFICULTY / tally.span_s
        return cls(tally.work * factor, low * factor, high * factor)


def work_interval(tally: Tally, level: float = LEVEL) -> tuple[float, float]:
    """Between what the expected sum of difficulties lies, at that level."""
    z = _Z[level]
    work, squared, hardest = tally.work, tally.work_squared, tally.hardest
    low = high = 0.0
    if work > 0:
        low = squared / (2 * work) * chi_square_quantile(-z, 2 * work * work / squared)
    if hardest > 0:
        work, squared = work + hardest, squared + hardest * hardest
        high = squared / (2 * work) * chi_square_quantile(z, 2 * work * work / squared)
    return low, high


def chi_square_quantile(z: float, freedom: float) -> float:
    """The chi-square quantile at the probability that ``z`` has in the normal distribution; ``freedom`` > 0, any real.

    Wilson and Hilferty's formula ("The Distribution of Chi-Square", PNAS 17, 1931), below _EXACT_BELOW degrees made
    exact by bisection on the incomplete gamma function.
    """
    cube = 1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))
    guess = freedom * max(cube, 0.0) ** 3
    if freedom >= _EXACT_BELOW:
        return guess
    wanted = 0.5 * math.erfc(-z / math.sqrt(2))
    low, high = 0.0, max(2 * guess, freedom, 1.0)
    while gamma_part(freedom / 2, high / 2) < wanted:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        if gamma_part(freedom / 2, middle / 2) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def gamma_part(a: float, x: float) -> float:
    """The regularised lower incomplete gamma function P(a, x), a > 0, x >= 0.

    Source: the power series DLMF 8.11.4 below a + 1, the continued fraction DLMF 8.9.2 above.
    """
    if x <= 0:
        return 0.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        step = a
        while term > total * 1e-16:
            step += 1
            term *= x / step
            total += term
        return front * total
    return 1 - front / _fraction(a, x)


def _fraction(a: float, x: float) -> float:
    """x + 1 - a - 1(1-a)/(x + 3 - a - 2(2-a)/(x + 5 - a - ...)), from the front (Lentz's method)."""
    tiny = 1e-300
    value = x + 1 - a or tiny
    c, d = value, 0.0
    for n in range(1, _STEPS_MAX):
        numerator, b = -n * (n - a), x + 2 * n + 1 - a
        d = 1 / (b + numerator * d or tiny)
        c = b + numerator / c or tiny
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def luck(blocks: int, expected: float) -> float | None:
    """Found blocks by expected ones: above 1 is good luck. None where next to nothing was to be expected."""
    return blocks / expected if expected > 1e-9 else None


def luck_interval(blocks: int, expected: float, level: float = LEVEL) -> tuple[float, float] | None:
    """Between what ratios chance alone keeps ``blocks`` by ``expected``, at that level; None as ``luck``."""
    if expected <= 1e-9:
        return None
    low, high = work_interval(Tally(1.0, blocks, float(blocks), float(blocks), 1.0), level)
    return low / expected, high / expected
