"""From a machine's rows of telemetry to the spans of its conditions, many rows at a time. Pure.

This says of the past what ``conditions.Watch`` says of the present: a test plays the same rows to both. What telemetry
does not hold (the machines' error codes, what the pool saw, dead pools) is not found here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mbongi.fleet.rules.conditions import REJECTS_SHARES_MIN, REJECTS_WINDOW_MS, Limit, limit
from mbongi.fleet.rules.healing import Rule
from mbongi.fleet.rules.healing_figures import figures_of, needed_for
from mbongi.fleet.values import EventKind, MachineState

GAP_MS = 60_000
"""What nobody saw for so long does not go on: a condition that had not opened yet begins anew."""
_FANS = ("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm")
_STATES = {
    EventKind.OFF: MachineState.OFF,
    EventKind.UNKNOWN: MachineState.UNKNOWN,
    EventKind.FAULT: MachineState.FAULT,
}
NEEDED: Mapping[EventKind, tuple[str, ...]] = {
    **dict.fromkeys(_STATES, ()),
    EventKind.BOARD_MISSING: ("board_count", "board_expected"),
    EventKind.FAN_FAILED: _FANS,
    EventKind.OVER_TEMPERATURE: ("chip_temp_max_c",),
    EventKind.HASHRATE_LOW: ("hashrate_ths", "hashrate_nominal_ths"),
    EventKind.REJECTS_HIGH: ("accepted", "rejected"),
}
"""The conditions that telemetry tells, and the columns that each is seen by, besides the state."""
_RUNNING = (MachineState.MINING.value, MachineState.FAULT.value)

Numbers = npt.NDArray[Any]
Columns = Mapping[str, Numbers]


class Span(NamedTuple):
    """A condition from its beginning to its end [ms since 1970, UTC]; it counts from ``opened_ms`` on.

    ``cleared_ms`` None: it was not seen to end.
    """

    kind: EventKind
    part: str
    since_ms: int
    opened_ms: int
    cleared_ms: int | None


def columns_for(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The columns that these rules are judged by, besides time, machine and state."""
    kinds = {kind for rule in rules for kind in rule.document.kinds}
    names = [name for kind in sorted(kinds) for name in NEEDED.get(kind, ())]
    names += [
        name for rule in rules if rule.document.figure is not None for name in needed_for(rule.document.figure.column)
    ]
    return tuple(dict.fromkeys(names))


def spans(rules: Sequence[Rule], model: str, columns: Columns) -> list[Span]:
    """The conditions of one machine that these rules go by, from its rows in order of ``ts`` [ms]."""
    kinds = sorted({kind for rule in rules for kind in rule.document.kinds if kind in NEEDED})
    seen = _Seen.of(columns["ts"])
    found: list[Span] = []
    for kind in kinds:
        for part, judged, codes in _codes(kind, model, columns):
            found += _spans(kind, part, seen, judged, codes, limit(kind, model).hold_s)
    for rule in rules:
        figure = rule.document.figure
        if figure is None:
            continue
        values = figures_of(figure.column, columns)
        judged = np.flatnonzero(~np.isnan(values))
        beyond = values > figure.above if figure.above is not None else values < (figure.below or 0.0)
        found += _spans(EventKind.RULE, rule.part, seen, judged, np.where(beyond[judged], 1, -1), rule.document.for_s)
    return found


class _Seen(NamedTuple):
    """When the machine was looked at: the time of each row, and of the last row before anything was missed."""

    at_ms: Numbers
    until_ms: Numbers

    @classmethod
    def of(cls, at_ms: Numbers) -> "_Seen":
        """From the rows' times."""
        if not len(at_ms):
            return cls(at_ms, at_ms)
        ends = np.append(np.flatnonzero(np.diff(at_ms) > GAP_MS), len(at_ms) - 1)
        return cls(at_ms, at_ms[ends[np.searchsorted(ends, np.arange(len(at_ms)))]])


def _codes(kind: EventKind, model: str, columns: Columns) -> Iterable[tuple[str, Numbers, Numbers]]:
    """For each part: the rows that judge it, and 1 where it was beyond its limit, -1 where well within, 0 between."""
    state, bound = columns["state"], limit(kind, model)
    if kind in _STATES:
        yield "", np.arange(len(state)), np.where(state == _STATES[kind].value, 1, -1)
    elif kind is EventKind.BOARD_MISSING:
        yield "", *_judged(_where(state, columns["board_expected"] - columns["board_count"]), bound)
    elif kind is EventKind.FAN_FAILED:
        for number, name in enumerate(_FANS, 1):
            yield f"fan {number}", *_judged(_where(state, columns[name]), bound, falling=True)
    elif kind is EventKind.OVER_TEMPERATURE:
        yield "", *_judged(columns["chip_temp_max_c"], bound)
    elif kind is EventKind.HASHRATE_LOW:
        yield "", *_hashrate(state, columns, bound)
    elif kind is EventKind.REJECTS_HIGH:
        yield "", *_judged(_rejects(state, columns), bound)


def _where(state: Numbers, values: Numbers) -> Numbers:
    return np.where(np.isin(state, _RUNNING), values, np.nan)


def _judged(values: Numbers, bound: Limit, *, falling: bool = False) -> tuple[Numbers, Numbers]:
    judged = np.flatnonzero(~np.isnan(values))
    values = values[judged]
    beyond = values <= bound.open_at if falling else values >= bound.open_at
    within = values >= bound.clear_at if falling else values <= bound.clear_at
    return judged, beyond.astype(np.int8) - (within & ~beyond)


def _hashrate(state: Numbers, columns: Columns, bound: Limit) -> tuple[Numbers, Numbers]:
    nominal = columns["hashrate_nominal_ths"].astype(np.float64)
    is_known = (state == MachineState.MINING.value) & (nominal > 0)
    percent = np.divide(100.0 * columns["hashrate_ths"], nominal, out=np.full(len(state), np.nan), where=is_known)
    # A machine that rests has no low hashrate.
    percent[state == MachineState.SLEEPING.value] = np.inf
    return _judged(percent, bound, falling=True)


def _rejects(state: Numbers, columns: Columns) -> Numbers:
    """The percentage rejected since the last look, ten minutes apart; NaN where nobody looks."""
    found = np.full(len(state), np.nan)
    accepted, rejected = columns["accepted"], columns["rejected"]
    known = np.flatnonzero(np.isin(state, _RUNNING) & ~np.isnan(accepted + rejected))
    at_ms, accepted, rejected = columns["ts"][known], accepted[known], rejected[known]
    # Where each window that begins at a row ends, and where the next row lies that counts from less.
    ends = np.searchsorted(at_ms, at_ms + REJECTS_WINDOW_MS)
    has_falls = bool((np.diff(accepted) < 0).any() or (np.diff(rejected) < 0).any())
    was = 0
    while was < len(at_ms) - 1:
        now = int(ends[was])
        fell = _fall(accepted[was : now + 1], rejected[was : now + 1]) if has_falls else 0
        if fell:
            was += fell  # The miner program restarted, and counts from nothing.
            continue
        if now >= len(at_ms):
            break
        refused = float(rejected[now] - rejected[was])
        shares = float(accepted[now] - accepted[was]) + refused
        if shares >= REJECTS_SHARES_MIN:
            found[known[now]] = 100 * refused / shares
        was = now
    return found


def _fall(accepted: Numbers, rejected: Numbers) -> int:
    """The first row that counts less than the one at the beginning; 0: none does."""
    return int(((accepted < accepted[0]) | (rejected < rejected[0])).argmax())


def _spans(kind: EventKind, part: str, seen: _Seen, judged: Numbers, codes: Numbers, hold_s: float) -> list[Span]:
    if not (codes == 1).any():
        return []
    hold_ms, at_ms, until_ms = int(hold_s * 1000), seen.at_ms[judged], seen.until_ms[judged]
    gaps = np.diff(until_ms) != 0
    starts = np.append(np.flatnonzero(np.append(True, (np.diff(codes) != 0) | gaps)), len(codes))
    found: list[Span] = []
    is_open = False
    for start, after in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        code, since_ms = int(codes[start]), int(at_ms[start])
        if is_open and code == -1:
            found[-1] = found[-1]._replace(cleared_ms=since_ms)
            is_open = False
        elif not is_open and code == 1:
            # Until the next word on it, or as long as the machine was looked at.
            ends = after == len(codes) or gaps[after - 1]
            last_ms = int(until_ms[after - 1] if ends else at_ms[after])
            if last_ms - since_ms >= hold_ms:
                found.append(Span(kind, part, since_ms, since_ms + hold_ms, None))
                is_open = True
    return found
