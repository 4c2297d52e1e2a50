"""Which conditions (alarms) a machine is in, from its states, figures and details. Pure: no sockets, no clock.

A condition opens once its figure has been beyond ``open_at`` for ``hold_s``, and clears when it is back within
``clear_at``; between the two it stays as it was, so that a figure at the limit does not open and clear for ever. A
figure that nobody knows changes nothing. Limits, with unit and source: ``conditions.csv``.
"""

import csv
import functools
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import DetailReport, MachineDetail, MachineReading, StateChange
from mbongi.fleet.rules.drift import DRIFT_KINDS, DriftSight
from mbongi.fleet.rules.healing import Figure
from mbongi.fleet.rules.healing_figures import figure_of
from mbongi.fleet.rules.pool_side import PoolSight
from mbongi.fleet.values import ConditionChange, EventKind, MachineState, Severity

REJECTS_WINDOW_MS = 600_000
REJECTS_SHARES_MIN = 20
"""Fewer shares in a window say nothing about the ratio."""
CODES_MAX = 20
"""Error codes of one machine, at most; further ones are passed over until some clear."""

Key = tuple[MachineId, EventKind, str]
Params = dict[str, str | float]

_STATE_KINDS = {
    EventKind.OFF: MachineState.OFF,
    EventKind.UNKNOWN: MachineState.UNKNOWN,
    EventKind.FAULT: MachineState.FAULT,
}
_RUNNING = {MachineState.MINING.value, MachineState.FAULT.value}
_FANS = ("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm")


@dataclass(frozen=True, slots=True)
class Limit:
    """When a condition opens and clears. ``open_at`` and ``clear_at`` are NaN where the kind has no figure."""

    severity: Severity
    open_at: float
    clear_at: float
    hold_s: float


@functools.cache
def _limits() -> dict[tuple[EventKind, str], Limit]:
    with (files("mbongi.fleet") / "conditions.csv").open(encoding="utf-8") as lines:
        return {
            (EventKind(row["kind"]), row["model"]): Limit(
                Severity(row["severity"]),
                float(row["open_at"] or math.nan),
                float(row["clear_at"] or math.nan),
                float(row["hold_s"] or 0),
            )
            for row in csv.DictReader(lines)
        }


@functools.lru_cache(maxsize=4096)
def limit(kind: EventKind, model: str = "") -> Limit:
    """The limit for a model: the row whose ``model`` begins its name, else the row for all."""
    table = _limits()
    named = [name for (each, name) in table if each is kind and name and model.startswith(name)]
    return table[kind, max(named, key=len, default="")]


class RuleFigure(NamedTuple):
    """The figure of a healing rule, for how long it must last, and the ``part`` of the condition that it makes."""

    part: str
    figure: Figure
    for_s: float


@dataclass(slots=True)
class _Pending:
    since_ms: int
    limit: Limit
    params: Params


@dataclass(slots=True)
class _Shares:
    at_ms: int
    accepted: float
    rejected: float


class Watch:
    """The open conditions of many machines. Each method returns what opened and cleared, in order."""

    def __init__(self) -> None:
        self._open: dict[MachineId, set[tuple[EventKind, str]]] = {}
        self._pending: dict[Key, _Pending] = {}
        self._shares: dict[MachineId, _Shares] = {}
        self._figures: tuple[RuleFigure, ...] = ()

    def adopt(self, machine_ids: Collection[MachineId], conditions: Iterable[Key]) -> None:
        """Take machines over, with those recorded conditions that are theirs, so that none is opened a second time."""
        for machine_id, kind, part in conditions:
            if machine_id in machine_ids:
                self._open.setdefault(machine_id, set()).add((kind, part))

    def keep_only(self, machine_ids: set[MachineId]) -> None:
        """Forget machines that are no longer asked."""
        for table in (self._open, self._shares):
            for machine_id in table.keys() - machine_ids:
                del table[machine_id]
        for key in [key for key in self._pending if key[0] not in machine_ids]:
            del self._pending[key]

    def states(self, changes: Sequence[StateChange]) -> list[ConditionChange]:
        """New states: off, unknown and fault; a machine that is told to rest has no low hashrate and no dead pool."""
        told: list[ConditionChange] = []
        for change in changes:
            for kind, state in _STATE_KINDS.items():
                params: Params = {"reason": change.reason or change.state.word}
                key = (change.machine_id, kind, "")
                self._judge(told, key, change.at_ms, limit(kind), params, is_so=change.state is state)
            if change.state is MachineState.SLEEPING:
                for kind in (EventKind.HASHRATE_LOW, EventKind.POOL_DEAD, EventKind.POOL_SIDE_LOW):
                    self._judge(told, (change.machine_id, kind, ""), change.at_ms, limit(kind), {}, is_so=False)
        return told

    def readings(self, readings: Sequence[MachineReading]) -> list[ConditionChange]:
        """New figures: boards, fans, temperature, hashrate, rejected shares."""
        told: list[ConditionChange] = []
        for reading in readings:
            if reading.state in _RUNNING:
                self._boards(told, reading)
                self._fans(told, reading)
                self._rejects(told, reading)
            if reading.state == MachineState.MINING.value:
                self._hashrate(told, reading)
            self._temperature(told, reading)
            for rule in self._figures:
                self._rule(told, reading, rule)
        return told

    def details(self, reports: Sequence[DetailReport], at_ms: int) -> list[ConditionChange]:
        """New details: error codes and pools."""
        told: list[ConditionChange] = []
        for report in reports:
            self._codes(told, report.machine_id, report.detail, at_ms)
            active = [pool.active for pool in report.detail.pools]
            if active and None not in active:
                key = (report.machine_id, EventKind.POOL_DEAD, "")
                rests = report.detail.work_mode == "sleep"
                self._judge(told, key, at_ms, limit(EventKind.POOL_DEAD), {}, is_so=not any(active) and not rests)
        return told

    def pool_side(self, sights: Sequence[PoolSight]) -> list[ConditionChange]:
        """What the pool sees of machines, beside what they state of themselves."""
        told: list[ConditionChange] = []
        for sight in sights:
            reading = sight.reading
            params: Params = {
                "pool_ths": reading.pool_side_ths,
                "high_ths": reading.pool_side_high_ths,
                "own_ths": sight.own_ths,
            }
            percent = 100 * reading.pool_side_high_ths / sight.own_ths
            self._figure(told, reading, EventKind.POOL_SIDE_LOW, "", percent, params, falling=True)
        return told

    def watch_figures(self, rules: Sequence[RuleFigure], now_ms: int) -> list[ConditionChange]:
        """Go by the figures of exactly these healing rules from now on; what others opened clears."""
        if tuple(rules) == self._figures:
            return []
        self._figures = tuple(rules)
        known = {each.part for each in rules}
        for key in [key for key in self._pending if key[1] is EventKind.RULE]:
            del self._pending[key]
        told: list[ConditionChange] = []
        for machine_id, parts in self._open.items():
            for kind, part in [each for each in parts if each[0] is EventKind.RULE and each[1] not in known]:
                self._judge(told, (machine_id, kind, part), now_ms, limit(kind), {}, is_so=False)
        return told

    def drift(self, sights: Sequence[DriftSight], at_ms: int) -> list[ConditionChange]:
        """What of machines is not as their profiles want it; what they do not state changes nothing."""
        told: list[ConditionChange] = []
        for sight in sights:
            for kind in DRIFT_KINDS:
                params = sight.drifting.get(kind)
                if params is not None or kind not in sight.unknown:
                    key: Key = (sight.machine_id, kind, "")
                    self._judge(told, key, at_ms, limit(kind), dict(params or {}), is_so=params is not None)
        return told

    def tick(self, now_ms: int) -> list[ConditionChange]:
        """Open what has lasted for its hold time. Call every few seconds."""
        due = [key for key, each in self._pending.items() if now_ms - each.since_ms >= each.limit.hold_s * 1000]
        return [self._opened(key, self._pending.pop(key)) for key in due]

    def _boards(self, told: list[ConditionChange], reading: MachineReading) -> None:
        missing = reading.board_expected - reading.board_count
        params: Params = {"boards": reading.board_count, "expected": reading.board_expected}
        self._figure(told, reading, EventKind.BOARD_MISSING, "", missing, params)

    def _fans(self, told: list[ConditionChange], reading: MachineReading) -> None:
        for number, name in enumerate(_FANS, 1):
            rpm = getattr(reading, name)
            if rpm == rpm:  # noqa: PLR0124 -- not NaN, in the cheapest way; this runs for every fan at every poll
                self._figure(told, reading, EventKind.FAN_FAILED, f"fan {number}", rpm, {"rpm": rpm}, falling=True)

    def _temperature(self, told: list[ConditionChange], reading: MachineReading) -> None:
        temp_c = reading.chip_temp_max_c
        if temp_c == temp_c:  # noqa: PLR0124 -- not NaN
            limit_c = limit(EventKind.OVER_TEMPERATURE, reading.model).open_at
            params: Params = {"temp_c": temp_c, "limit_c": limit_c}
            self._figure(told, reading, EventKind.OVER_TEMPERATURE, "", temp_c, params)

    def _hashrate(self, told: list[ConditionChange], reading: MachineReading) -> None:
        if reading.hashrate_nominal_ths > 0:
            percent = 100 * reading.hashrate_ths / reading.hashrate_nominal_ths
            params: Params = {"hashrate_ths": reading.hashrate_ths, "nominal_ths": reading.hashrate_nominal_ths}
            self._figure(told, reading, EventKind.HASHRATE_LOW, "", percent, params, falling=True)

    def _rejects(self, told: list[ConditionChange], reading: MachineReading) -> None:
        machine_id = MachineId(reading.machine_id)
        if math.isnan(reading.accepted + reading.rejected):
            return
        was = self._shares.get(machine_id)
        now = _Shares(reading.ts, reading.accepted, reading.rejected)
        if was is None or now.accepted < was.accepted or now.rejected < was.rejected:
            self._shares[machine_id] = now  # The miner program restarted, and counts from nothing.
            return
        if reading.ts - was.at_ms < REJECTS_WINDOW_MS:
            return
        self._shares[machine_id] = now
        rejected = now.rejected - was.rejected
        shares = now.accepted - was.accepted + rejected
        if shares >= REJECTS_SHARES_MIN:
            percent = 100 * rejected / shares
            self._figure(told, reading, EventKind.REJECTS_HIGH, "", percent, {"percent": percent})

    def _rule(self, told: list[ConditionChange], reading: MachineReading, rule: RuleFigure) -> None:
        value = figure_of(rule.figure.column, reading)
        if value == value:  # noqa: PLR0124 -- not NaN
            key: Key = (MachineId(reading.machine_id), EventKind.RULE, rule.part)
            bound = Limit(Severity.INFO, math.nan, math.nan, rule.for_s)
            params: Params = {"value": value, "column": rule.figure.column}
            self._judge(told, key, reading.ts, bound, params, is_so=rule.figure.is_beyond(value))

    def _codes(self, told: list[ConditionChange], machine_id: MachineId, detail: MachineDetail, at_ms: int) -> None:
        stated = {error.code[:60]: error.text[:200] for error in detail.errors[:CODES_MAX]}
        known = {part for kind, part in self._open.get(machine_id, ()) if kind is EventKind.ERROR_CODE}
        for part in [*sorted(known - stated.keys()), *stated]:
            key: Key = (machine_id, EventKind.ERROR_CODE, part)
            params: Params = {"text": stated.get(part, "")}
            self._judge(told, key, at_ms, limit(EventKind.ERROR_CODE), params, is_so=part in stated)

    def _figure(
        self,
        told: list[ConditionChange],
        reading: MachineReading,
        kind: EventKind,
        part: str,
        value: float,
        params: Params,
        *,
        falling: bool = False,
    ) -> None:
        if math.isnan(value):
            return
        bound = limit(kind, reading.model)
        beyond = value <= bound.open_at if falling else value >= bound.open_at
        within = value >= bound.clear_at if falling else value <= bound.clear_at
        key = (MachineId(reading.machine_id), kind, part)
        if beyond or within:
            self._judge(told, key, reading.ts, bound, params, is_so=beyond)
        else:
            self._pending.pop(key, None)

    def _judge(
        self,
        told: list[ConditionChange],
        key: Key,
        at_ms: int,
        bound: Limit,
        params: Params,
        *,
        is_so: bool,
    ) -> None:
        machine_id, kind, part = key
        is_open = (kind, part) in self._open.get(machine_id, ())
        if not is_so:
            self._pending.pop(key, None)
            if is_open:
                self._open[machine_id].discard((kind, part))
                told.append(ConditionChange(machine_id, kind, part, opened=False, at_ms=at_ms, severity=bound.severity))
        elif not is_open:
            pending = self._pending.setdefault(key, _Pending(at_ms, bound, params))
            pending.params = params
            if at_ms - pending.since_ms >= bound.hold_s * 1000:
                told.append(self._opened(key, self._pending.pop(key)))

    def _opened(self, key: Key, pending: _Pending) -> ConditionChange:
        machine_id, kind, part = key
        self._open.setdefault(machine_id, set()).add((kind, part))
        return ConditionChange(
            machine_id,
            kind,
            part,
            opened=True,
            at_ms=pending.since_ms,
            severity=pending.limit.severity,
            params=pending.params,
        )
