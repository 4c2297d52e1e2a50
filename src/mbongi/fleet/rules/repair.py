"""Mean times between failures and to repair, with the interval in which they lie. Pure.

Both are taken to be exponential, the usual assumption while too little is known to test another: then twice the time
that was observed over the true mean is chi-square distributed [1]. Time between failures ends with the observation
(time-truncated: 2r + 2 degrees of freedom below), time to repair with the last repair (2r).

Sources: [1] NIST/SEMATECH e-Handbook of Statistical Methods, 8.4.5.1, "Constant repair rate (HPP/exponential) model";
MIL-HDBK-338B, 8.3.2.5. The chi-square distribution with an even number of degrees of freedom is a sum of Poisson
probabilities: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.4.21.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.9
"""Both limits together, unless told otherwise: one true mean in ten lies outside."""


class Mean(NamedTuple):
    """An estimated mean [h] and the limits that hold it with the stated confidence; None where there is none.

    Without any failure there is no estimate and no upper limit, and the lower limit alone bears the confidence.
    """

    value_h: float | None
    low_h: float | None
    high_h: float | None
    seen: int
    """How many failures or repairs it rests on."""


def mtbf(observed_h: float, failures: int, confidence: float = CONFIDENCE) -> Mean:
    """Mean time between failures of machines that ran ``observed_h`` [machine-hours, ≥ 0] with ``failures`` (≥ 0)."""
    _check(observed_h, confidence)
    if failures < 0:
        raise ValueError(f"mtbf: {failures} failures; expected 0 or more")
    if observed_h == 0:
        return Mean(None, None, None, failures)
    if failures == 0:
        return Mean(None, 2 * observed_h / chi_square(confidence, 2), None, 0)
    tail = (1 - confidence) / 2
    return Mean(
        observed_h / failures,
        2 * observed_h / chi_square(1 - tail, 2 * failures + 2),
        2 * observed_h / chi_square(tail, 2 * failures),
        failures,
    )


def mttr(repairs_h: Sequence[float], confidence: float = CONFIDENCE) -> Mean:
    """Mean time to repair of finished repairs [h each, ≥ 0]; nothing is known where there is none."""
    total, count = math.fsum(repairs_h), len(repairs_h)
    _check(total, confidence)
    if not count:
        return Mean(None, None, None, 0)
    tail = (1 - confidence) / 2
    low, high = (2 * total / chi_square(part, 2 * count) for part in (1 - tail, tail))
    return Mean(total / count, low, high, count)


def observed_h(start_s: float, end_s: float, downs: Sequence[tuple[float, float]]) -> float:
    """How long a machine ran between two moments [h]: the time less that of its faults, each counted once.

    Moments are seconds of one clock; ``downs`` may overlap and reach beyond; an empty or negative time gives 0.
    """
    ran_s, reached_s = max(0.0, end_s - start_s), start_s
    for down_s, up_s in sorted(downs):
        first, last = max(down_s, reached_s), min(up_s, end_s)
        if last > first:
            ran_s -= last - first
            reached_s = last
    return max(0.0, ran_s) / 3600


def _check(hours: float, confidence: float) -> None:
    if not (math.isfinite(hours) and hours >= 0):
        raise ValueError(f"repair statistics: {hours} h observed; expected 0 or more")
    if not 0 < confidence < 1:
        raise ValueError(f"repair statistics: confidence {confidence}; expected more than 0 and less than 1")


def chi_square(probability: float, degrees: int) -> float:
    """The quantile: what a chi-square variable of ``degrees`` (even, ≥ 2) falls below with ``probability`` (0 to 1).

    Correct to about ten digits up to some 20,000 degrees. Raises ValueError for anything else.
    """
    if degrees < 2 or degrees % 2 or not 0 < probability < 1:
        raise ValueError(f"chi-square quantile {probability} of {degrees} degrees: expected 0 to 1 of an even number")
    low, high = 0.0, 1.0
    while _below(high, degrees) < probability:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if _below(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _below(value: float, degrees: int) -> float:
    """The probability of a chi-square variable below ``value``: a Poisson count of mean value/2 at least degrees/2."""
    mean, least = value / 2, degrees // 2
    if mean <= 0:
        return 0.0
    # The smaller tail is summed, from its largest term on, so that it keeps its digits.
    count = least if mean < least else least - 1
    term = total = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    if mean < least:
        while term > total * 1e-17:
            count += 1
            term *= mean / count
            total += term
        return total
    while count > 0 and term > total * 1e-17:
        term *= count / mean
        count -= 1
        total += term
    return 1 - total
