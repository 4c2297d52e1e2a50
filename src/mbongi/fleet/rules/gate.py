"""Whether flashed machines are as good as they were: each against itself before, less what happened to all. Pure.

Figures are means over blocks of some minutes, so that one noisy minute decides nothing. A machine's change is the mean
of its blocks after the flash over that before, less 1; the change of the machines together is the mean of these, less
that of machines which were not flashed (the weather and the grid change them alike). Its standard error is the larger
of what the blocks' scatter within machines gives (Welch) and of what the scatter between machines gives. A regression
is proven where the whole one-sided interval lies beyond what is tolerated; the machines are well where the whole
interval lies within; else there is too little data to say.

Sources: Student's t and Welch's approximation as in the NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.3; the
difference of two proportions with Agresti and Caffo's addition (The American Statistician 54, 2000, 280).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import NormalDist, fmean, median_low, variance
from typing import NamedTuple

import msgspec

BLOCKS_MIN = 3
"""Of one machine on either side, so that it says anything."""
SHARES_MIN = 50


class Criteria(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is tolerated of an image, and how sure one must be.

    ``warm_s`` after a machine is back nothing of it is judged; ``back_s`` is how long it may stay away.
    """

    hashrate_drop_pct: float = 3.0
    efficiency_rise_pct: float = 3.0
    reject_rise_points: float = 0.5
    reboots_max: int = 1
    confidence: float = 0.99
    block_s: float = 300.0
    baseline_s: float = 6 * 3600.0
    warm_s: float = 900.0
    back_s: float = 600.0


def soak_s_min(criteria: Criteria) -> float:
    """How long after its flash a machine can count at the earliest: with whole blocks after its warm-up."""
    return criteria.warm_s + (BLOCKS_MIN + 1) * criteria.block_s


class Outcome(StrEnum):
    """What a gate, or one of its findings, says."""

    PASS = "pass"  # noqa: S105 -- no password
    FAIL = "fail"
    UNDECIDED = "undecided"
    UNSTATED = "unstated"
    """The machines do not state the figure."""


class Mark(StrEnum):
    """What a finding is about."""

    HASHRATE = "hashrate"
    EFFICIENCY = "efficiency"
    REJECTS = "rejects"
    REBOOTS = "reboots"
    LOST = "lost"
    POOLS = "pools"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One figure against its limit: percent of change, points, or a count; ``low`` and ``high`` bound it if known."""

    mark: Mark
    outcome: Outcome
    limit: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    machines: tuple[int, ...] = ()
    """Those that it rests on, where it rests on single ones."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says, and why."""

    outcome: Outcome
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What a machine did before, or after: means of blocks, NaN where unknown; counts over all of them."""

    hashrate_ths: Sequence[float] = ()
    efficiency_jth: Sequence[float] = ()
    accepted: float = 0.0
    rejected: float = 0.0
    reboots: int = 0


@dataclass(frozen=True, slots=True)
class Track:
    """One machine before and after; of a machine that was not flashed the same two times."""

    machine_id: int
    before: Side
    after: Side


@dataclass(frozen=True, slots=True)
class Hard:
    """Machines for which there is no tolerance: not back in time, or with other pools than before."""

    lost: Sequence[int] = ()
    robbed: Sequence[int] = field(default_factory=tuple)


class Change(NamedTuple):
    """A relative change, its standard error, and the degrees of freedom of that."""

    value: float
    error: float
    degrees: float


def judge(criteria: Criteria, flashed: Sequence[Track], control: Sequence[Track], hard: Hard) -> Verdict:
    """The verdict over machines that were flashed, beside machines that were not."""
    findings = (
        _hard(Mark.LOST, hard.lost),
        _hard(Mark.POOLS, hard.robbed),
        _reboots(criteria, flashed, control),
        _figure(Mark.HASHRATE, criteria, flashed, control),
        _figure(Mark.EFFICIENCY, criteria, flashed, control),
        _rejects(criteria, flashed),
    )
    outcomes = {finding.mark: finding.outcome for finding in findings}
    if Outcome.FAIL in outcomes.values():
        return Verdict(outcome=Outcome.FAIL, findings=findings)
    # Shares come slowly: that too few came to prove their ratio holds nothing up, what they prove against it does.
    needed = {outcomes[Mark.HASHRATE], outcomes[Mark.EFFICIENCY]} - {Outcome.UNSTATED}
    passed = needed == {Outcome.PASS} and outcomes[Mark.HASHRATE] is Outcome.PASS
    return Verdict(outcome=Outcome.PASS if passed else Outcome.UNDECIDED, findings=findings)


def _hard(mark: Mark, machines: Sequence[int]) -> Finding:
    outcome = Outcome.FAIL if machines else Outcome.PASS
    return Finding(mark=mark, outcome=outcome, limit=0.0, value=float(len(machines)), machines=tuple(machines))


def _reboots(criteria: Criteria, flashed: Sequence[Track], control: Sequence[Track]) -> Finding:
    """Each machine may restart as often as before, and ``reboots_max`` times more.

    What half of the machines did that were not flashed, was the grid's doing, and is allowed on top.
    """
    grid = median_low([track.after.reboots for track in control]) if control else 0
    allowed = criteria.reboots_max + grid
    over = tuple(track.machine_id for track in flashed if track.after.reboots > allowed + track.before.reboots)
    most = max((track.after.reboots for track in flashed), default=0)
    outcome = Outcome.FAIL if over else Outcome.PASS
    limit = float(criteria.reboots_max)
    return Finding(mark=Mark.REBOOTS, outcome=outcome, limit=limit, value=float(most), machines=over)


def _figure(mark: Mark, criteria: Criteria, flashed: Sequence[Track], control: Sequence[Track]) -> Finding:
    is_rate = mark is Mark.HASHRATE
    limit = criteria.hashrate_drop_pct if is_rate else criteria.efficiency_rise_pct
    stated = [track for track in flashed if _finite(_blocks(mark, track.before))]
    if not stated:
        return Finding(mark=mark, outcome=Outcome.UNDECIDED if is_rate else Outcome.UNSTATED, limit=limit)
    found = change([(_blocks(mark, track.before), _blocks(mark, track.after)) for track in stated])
    if found is None:
        return Finding(mark=mark, outcome=Outcome.UNDECIDED, limit=limit)
    beside = change([(_blocks(mark, track.before), _blocks(mark, track.after)) for track in control])
    if beside is not None:
        found = _less(found, beside)
    reach = student_t(criteria.confidence, found.degrees) * found.error
    low, high = 100 * (found.value - reach), 100 * (found.value + reach)
    worst, best = (-low, -high) if is_rate else (high, low)
    outcome = Outcome.PASS if worst <= limit else Outcome.FAIL if best > limit else Outcome.UNDECIDED
    return Finding(mark=mark, outcome=outcome, limit=limit, value=100 * found.value, low=low, high=high)


def _blocks(mark: Mark, side: Side) -> Sequence[float]:
    return side.hashrate_ths if mark is Mark.HASHRATE else side.efficiency_jth


def _finite(blocks: Sequence[float]) -> list[float]:
    return [block for block in blocks if math.isfinite(block)]


def change(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Change | None:
    """The mean relative change over machines, each given as its blocks before and after; None: too little to say.

    A machine with fewer than BLOCKS_MIN known blocks on a side, or that did nothing before, does not count.
    """
    changes: list[float] = []
    parts: list[tuple[float, int]] = []
    for before, after in ((_finite(before), _finite(after)) for before, after in pairs):
        if min(len(before), len(after)) < BLOCKS_MIN or fmean(before) <= 0:
            continue
        base = fmean(before)
        changes.append(fmean(after) / base - 1.0)
        parts += [(variance(side) / len(side) / base**2, len(side)) for side in (before, after)]
    if not changes:
        return None
    count = len(changes)
    within = sum(part for part, _size in parts) / count**2
    spread = sum(part**2 / (size - 1) for part, size in parts) / count**4
    degrees = within**2 / spread if spread > 0 else float(sum(size - 1 for _part, size in parts))
    between = variance(changes) / count if count > 1 else 0.0
    if between > within:
        return Change(fmean(changes), math.sqrt(between), float(count - 1))
    return Change(fmean(changes), math.sqrt(within), degrees)


def _less(one: Change, other: Change) -> Change:
    """The difference of two changes, Welch's degrees of freedom with it."""
    total = one.error**2 + other.error**2
    spread = one.error**4 / one.degrees + other.error**4 / other.degrees
    degrees = total**2 / spread if spread > 0 else one.degrees
    return Change(one.value - other.value, math.sqrt(total), degrees)


def _rejects(criteria: Criteria, flashed: Sequence[Track]) -> Finding:
    limit = criteria.reject_rise_points
    counts = [
        (sum(side.rejected for side in sides), sum(side.accepted + side.rejected for side in sides))
        for sides in ([track.before for track in flashed], [track.after for track in flashed])
    ]
    (bad_before, all_before), (bad_after, all_after) = counts
    if min(all_before, all_after) < SHARES_MIN:
        return Finding(mark=Mark.REJECTS, outcome=Outcome.UNDECIDED, limit=limit)
    before, after = ((bad + 1) / (of + 2) for bad, of in counts)
    error = math.sqrt(before * (1 - before) / (all_before + 2) + after * (1 - after) / (all_after + 2))
    reach = NormalDist().inv_cdf(criteria.confidence) * error
    value = bad_after / all_after - bad_before / all_before
    low, high = (100 * (after - before + sign * reach) for sign in (-1, 1))
    outcome = Outcome.FAIL if low > limit else Outcome.PASS if high <= limit else Outcome.UNDECIDED
    return Finding(mark=Mark.REJECTS, outcome=outcome, limit=limit, value=100 * value, low=low, high=high)


def student_t(probability: float, degrees: float) -> float:
    """The quantile of Student's t above the median: ``probability`` 0.5 to 1, ``degrees`` above 0."""
    if not 0.5 <= probability < 1 or degrees <= 0:
        raise ValueError(f"t quantile {probability} of {degrees} degrees: expected 0.5 to 1, of more than 0")
    low, high = 0.0, 1.0
    while _below(high, degrees) < probability:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, degrees) < probability else (low, middle)
    return (low + high) / 2


def _below(value: float, degrees: float) -> float:
    return 1 - 0.5 * _beta(degrees / 2, 0.5, degrees / (degrees + value * value))


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun, 26.5.8)."""
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    upper, lower, fraction = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1)), 0.0
    fraction = lower
    for m in range(1, 500):
        term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower, upper = 1 / (1 + term * lower), 1 + term / upper
        fraction *= lower * upper
        term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        lower, upper = 1 / (1 + term * lower), 1 + term / upper
        step = lower * upper
        fraction *= step
        if abs(step - 1) < 1e-14:
            break
    return front * fraction
