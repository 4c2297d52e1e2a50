"""What a hosted machine did, second by second, and what of it counts for its contract. Pure.

Every second of a machine's time under contract is one of: up (it hashes, by its own word), down (off, faulty, starting,
or asleep), silent (asked, and it did not answer) or not seen (nobody asked: a gap of our own). Down and silent seconds
are excused or not; not seen ones, and silent ones while our own network was blind, are unknown, and count neither way.
Decision 31 says why.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from mbongi.fleet.rules.hosting_days import Span, merged, overlap, seconds, split
from mbongi.fleet.rules.hosting_terms import EXCUSED, MILLION, CurtailmentClass, ExcuseClass, Terms
from mbongi.fleet.values import MachineState

UP, DOWN, ASLEEP, SILENT, UNSEEN = "udsnx"
"""The letters of runs; ASLEEP counts as down."""
_LETTER = {
    MachineState.UNKNOWN: SILENT,
    MachineState.OFF: DOWN,
    MachineState.MINING: UP,
    MachineState.SLEEPING: ASLEEP,
    MachineState.STARTING: DOWN,
    MachineState.FAULT: DOWN,
}
_LETTERS = np.array([_LETTER[state] for state in sorted(MachineState)])
_RUN = re.compile(r"([udsnx])(\d+)")
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Readings:
    """One machine's rows of telemetry, as columns: each says what was so for ``span_s`` until ``end_s`` [s, UTC].

    NaN in ``ths`` [TH/s] and ``power_w`` [W]: not stated. ``pool_ths``: what the site's own pool saw of it.
    """

    end_s: npt.NDArray[np.int64]
    span_s: Numbers
    state: npt.NDArray[np.int64]
    ths: Numbers
    power_w: Numbers
    pool_ths: Numbers


@dataclass(frozen=True, slots=True)
class Seen:
    """What readings say of a span: ``runs`` such as ``u3600 x60 d20``, which add up to it.

    Hash-hours in thousandths of TH/s·h, energy in Wh, both rounded once, half to even. ``power_s`` is for how long
    power was stated; ``pool_milli`` is what the pool saw, None where it saw nothing.
    """

    runs: str
    hash_milli: int
    energy_wh: int
    power_s: int
    pool_milli: int | None = None


def seen(rows: Readings, span: Span) -> Seen:
    """What the rows say of the span. Rows in any order; a second that two of them speak of is the earlier one's."""
    order = np.argsort(rows.end_s, kind="stable")
    end = rows.end_s[order]
    stated = np.nan_to_num(rows.span_s[order], nan=0.0)
    start = end - np.rint(np.maximum(stated, 0.0)).astype(np.int64)
    start[1:] = np.maximum(start[1:], np.maximum.accumulate(end)[:-1])
    start, end = np.maximum(start, span[0]), np.minimum(end, span[1])
    length = end - start
    counts = length > 0
    kept, start, end, length = order[counts], start[counts], end[counts], length[counts]
    pool = rows.pool_ths[kept]
    return Seen(
        runs=_runs(start, end, rows.state[kept], span),
        hash_milli=_whole(rows.ths[kept], length, 1000),
        energy_wh=_whole(rows.power_w[kept], length, 1),
        power_s=int(length[np.isfinite(rows.power_w[kept])].sum()),
        pool_milli=_whole(pool, length, 1000) if np.isfinite(pool).any() else None,
    )


def _whole(values: Numbers, length: npt.NDArray[np.int64], times: int) -> int:
    """The sum over time in hours, as a whole number, half to even."""
    return round(float(np.nansum(values.astype(np.float64) * length)) * times / 3600)


def _runs(start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], state: npt.NDArray[np.int64], span: Span) -> str:
    known = (state >= 0) & (state < len(_LETTERS))
    letters = np.where(known, _LETTERS[np.where(known, state, 0)], SILENT)
    runs: list[list[object]] = []
    at = span[0]
    # One look per change: nearly all rows say what the row before them said, and begin where it ends.
    breaks = np.flatnonzero((letters[1:] != letters[:-1]) | (start[1:] != end[:-1])) + 1
    for first, last in zip(np.r_[0, breaks], np.r_[breaks, len(start)], strict=True):
        if first == last:
            continue
        if at < start[first]:
            runs.append([UNSEEN, int(start[first]) - at])
        at = int(end[last - 1])
        runs.append([str(letters[first]), at - int(start[first])])
    if at < span[1]:
        runs.append([UNSEEN, span[1] - at])
    return " ".join(f"{letter}{length}" for letter, length in runs)


@dataclass(frozen=True, slots=True)
class DayRecord:
    """What was seen of a machine on a day (or the part of it, ``span``, that it was under contract)."""

    day: date
    span: Span
    seen: Seen


@dataclass(frozen=True, slots=True)
class Excuse:
    """A span that is excused. ``cause`` names the evidence: ``excuse:3``, ``operation:12``, ``action:40``.

    ``is_sleep``: it comes of a sleep that was asked for, so it ends once the machine is seen to hash again.
    """

    klass: ExcuseClass
    span: Span
    cause: str = ""
    is_sleep: bool = False


@dataclass(slots=True)
class Line:
    """One machine on one day: what a statement's sums are made of. Units as in ``Seen``."""

    machine_id: int
    day: date
    span: Span
    up_s: int = 0
    excused_s: dict[ExcuseClass, int] = field(default_factory=dict)
    unexcused_s: int = 0
    unknown_s: int = 0
    hash_milli: int = 0
    promised_milli: int | None = None
    energy_wh: int = 0
    no_power_s: int = 0
    pool_milli: int | None = None

    @property
    def seconds(self) -> int:
        """How long it was under contract on that day."""
        return self.span[1] - self.span[0]

    @property
    def owed_s(self) -> int:
        """The seconds that the promises speak of: neither excused nor unknown."""
        return self.up_s + self.unexcused_s


def spans_of(record: DayRecord) -> dict[str, list[Span]]:
    """The seconds of each letter. Raises ValueError where the runs do not add up to the record's span."""
    found: dict[str, list[Span]] = {letter: [] for letter in (UP, DOWN, ASLEEP, SILENT, UNSEEN)}
    at = record.span[0]
    for letter, length in _RUN.findall(record.seen.runs):
        found[letter].append((at, at + int(length)))
        at += int(length)
    if at != record.span[1]:
        raise ValueError(f"{record.day}: runs of {at - record.span[0]} s; expected {record.span[1] - record.span[0]}")
    return found


def machine_month(
    machine_id: int,
    records: Iterable[DayRecord],
    excuses: Sequence[Excuse],
    terms: Terms,
    nominal_milli: int | None,
) -> list[Line]:
    """The lines of one machine over a month, day by day.

    ``excuses`` are those that speak of this machine. ``nominal_milli`` is its model's rate in thousandths of TH/s,
    None where nobody states one: then nothing is promised for it.
    """
    days = [(record, spans_of(record)) for record in sorted(records, key=lambda one: one.span)]
    by_class = _by_class(excuses, days, terms)
    left_s = terms.maintenance_s_max
    lines = []
    for record, spans in days:
        if not (spans[DOWN] or spans[ASLEEP] or spans[SILENT]):
            # Most days of most machines: nothing is to be excused.
            line = Line(machine_id, record.day, record.span, up_s=seconds(spans[UP]), unknown_s=seconds(spans[UNSEEN]))
            _measure(line, record.seen, terms, nominal_milli)
            lines.append(line)
            continue
        line = Line(machine_id, record.day, record.span, up_s=seconds(spans[UP]), unknown_s=seconds(spans[UNSEEN]))
        blind, silent = split(spans[SILENT], by_class.get(ExcuseClass.MONITORING, []))
        line.unknown_s += seconds(blind)
        down = merged([*spans[DOWN], *spans[ASLEEP], *silent])
        for klass in EXCUSED:
            within, down = split(down, by_class.get(klass, []))
            if klass is ExcuseClass.MAINTENANCE:
                counted_s = min(seconds(within), left_s)
                left_s -= counted_s
                line.unexcused_s += seconds(within) - counted_s
            else:
                counted_s = seconds(within)
            if counted_s:
                line.excused_s[klass] = counted_s
        line.unexcused_s += seconds(down)
        _measure(line, record.seen, terms, nominal_milli)
        lines.append(line)
    return lines


def _measure(line: Line, what: Seen, terms: Terms, nominal_milli: int | None) -> None:
    line.hash_milli, line.energy_wh, line.pool_milli = what.hash_milli, what.energy_wh, what.pool_milli
    line.no_power_s = max(0, line.up_s - what.power_s)
    if terms.nominal_ppm is not None and nominal_milli is not None:
        line.promised_milli = half_even(nominal_milli * terms.nominal_ppm * line.owed_s, MILLION * 3600)


def _by_class(
    excuses: Sequence[Excuse], days: Sequence[tuple[DayRecord, Mapping[str, list[Span]]]], terms: Terms
) -> dict[ExcuseClass, list[Span]]:
    if not excuses:
        return {}
    up = merged([span for _record, spans in days for span in spans[UP]])
    idle = merged([span for _record, spans in days for span in (*spans[DOWN], *spans[ASLEEP], *spans[SILENT])])
    found: dict[ExcuseClass, list[Span]] = {}
    for excuse in excuses:
        if excuse.klass is ExcuseClass.CURTAILMENT and terms.curtailment is CurtailmentClass.FIRM:
            continue
        span = until_it_hashes(excuse.span, up, idle) if excuse.is_sleep else excuse.span
        found.setdefault(excuse.klass, []).append(span)
    return {klass: merged(spans) for klass, spans in found.items()}


def until_it_hashes(span: Span, up: Sequence[Span], idle: Sequence[Span]) -> Span:
    """The span of a sleep, cut where the machine hashes again after it rested."""
    rested = next((common for each in idle if (common := overlap(each, span))), None)
    if rested is None:
        return span
    again = next((each[0] for each in up if rested[1] <= each[0] < span[1]), None)
    return span if again is None else (span[0], again)


def half_even(numerator: int, denominator: int) -> int:
    """The quotient of whole numbers as a whole number, half to even. ``denominator`` > 0."""
    whole, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2):
        return whole + 1
    return whole
