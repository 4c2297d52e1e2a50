"""The newest reading of every machine, in columns, with the version at which each last changed.

Written by the hub's task, read by pages in other threads: every public method takes the lock for a moment.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mbongi.core.identity.values import Scope
from mbongi.fleet.values import MachineState
from mbongi.web.figures import stale_s

FIGURES = (
    *("hashrate_ths", "hashrate_av_ths", "hashrate_nominal_ths", "power_w", "power_estimated", "power_limit_w"),
    *("efficiency_jth", "inlet_temp_c", "chip_temp_max_c", "chip_temp_avg_c", "board_temp_max_c", "psu_temp_c"),
    *("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm", "fan_duty_pct", "board_count", "board_expected", "chips"),
    *("chips_expected", "board1_ths", "board2_ths", "board3_ths", "board1_temp_c", "board2_temp_c", "board3_temp_c"),
    *("frequency_mhz", "voltage_v", "accepted", "rejected", "stale", "hw_errors", "reject_ratio", "uptime_s"),
    *("pool_side_ths", "pool_side_low_ths", "pool_side_high_ths", "error_count", "poll_ms", "detail_age_s"),
)
"""The numeric columns of a reading that pages use."""

INDEX = {name: index for index, name in enumerate(FIGURES)}
FANS = ("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm")
AHEAD_S_MAX = 60.0
"""A reading stamped further ahead than this gives way to any other."""
GROWTH = 256
"""Rows added at a time when machines appear."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the machines of a scope whose reading is fresh.

    ``hashrate_ths`` and ``power_w`` are None where no machine has a fresh reading; ``efficiency_jth`` also where
    nothing hashes. ``fresh`` of ``machines`` readings are not stale; ``estimated`` of them estimate their power.
    """

    machines: int
    fresh: int
    estimated: int
    hashrate_ths: float | None
    power_w: float | None
    efficiency_jth: float | None
    states: dict[str, int]
    newest_at: datetime | None


class Board:
    """Columns that grow with the fleet. ``version`` rises with every change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._place: dict[int, int] = {}
        self._figures: Floats = np.full((0, len(FIGURES)), np.nan)
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._tenants: NDArray[np.int64] = np.zeros(0, np.int64)
        self._states: NDArray[np.int64] = np.zeros(0, np.int64)
        self._at: Floats = np.zeros(0)
        self._since: Floats = np.zeros(0)
        self._changed: NDArray[np.int64] = np.zeros(0, np.int64)
        self._pools: dict[int, str] = {}
        self.version = 0

    def apply(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> int:
        """Take newer rows, in columns as the telemetry table has them; the number of machines that changed.

        ``ts`` is in milliseconds since 1970. A row no newer than the known one of its machine is ignored.
        """
        ids = np.asarray(columns["machine_id"], np.int64)
        if not ids.size:
            return 0
        at = np.asarray(columns["ts"], np.float64) / 1000.0
        with self._lock:
            places = np.fromiter((self._place_of(int(one)) for one in ids), np.int64, ids.size)
            held = self._at[places]
            # A row from a clock that ran ahead must not keep later rows out for ever.
            newer = (at > held) | ((held > time.time() + AHEAD_S_MAX) & (at != held))
            if not newer.any():
                return 0
            self.version += 1
            self._write(places[newer], at[newer], newer, columns)
            return int(newer.sum())

    def _write(
        self, places: NDArray[np.int64], at: Floats, newer: NDArray[np.bool_], columns: Mapping[str, Any]
    ) -> None:
        states = np.asarray(columns["state"], np.int64)[newer]
        turned = (self._states[places] != states) | (self._since[places] == 0)
        self._since[places[turned]] = at[turned]
        self._states[places] = states
        self._tenants[places] = np.asarray(columns["tenant_id"], np.int64)[newer]
        self._at[places] = at
        self._changed[places] = self.version
        for index, name in enumerate(FIGURES):
            if name in columns:
                self._figures[places, index] = np.asarray(columns[name], np.float64)[newer]
        for place, pool in zip(
            places, np.asarray(columns.get("pool", ()))[newer] if "pool" in columns else (), strict=False
        ):
            self._pools[int(place)] = str(pool)

    def _place_of(self, machine_id: int) -> int:
        place = self._place.get(machine_id)
        if place is None:
            place = len(self._place)
            if place >= self._ids.size:
                self._grow()
            self._place[machine_id] = place
            self._ids[place] = machine_id
        return place

    def _grow(self) -> None:
        self._figures = np.concatenate([self._figures, np.full((GROWTH, len(FIGURES)), np.nan)])
        more = np.zeros(GROWTH)
        whole = np.zeros(GROWTH, np.int64)
        self._ids, self._tenants, self._states, self._changed = (
            np.concatenate([one, whole]) for one in (self._ids, self._tenants, self._states, self._changed)
        )
        self._at, self._since = np.concatenate([self._at, more]), np.concatenate([self._since, more])

    def reading(self, machine_id: int) -> "Reading | None":
        """The newest reading of one machine, whosever it is; None before the first."""
        with self._lock:
            place = self._place.get(machine_id)
            return None if place is None or self._at[place] == 0 else self._reading(place)

    def values(self, name: str, ids: Sequence[int], now: float) -> tuple[Floats, NDArray[np.bool_]]:
        """A measure of many machines at once, NaN where unknown, and whether each reading is fresh at ``now``."""
        with self._lock:
            places = np.fromiter((self._place.get(one, -1) for one in ids), np.int64, len(ids))
            if not self._at.size:
                return np.full(len(ids), np.nan), np.zeros(len(ids), np.bool_)
            at = np.where((places >= 0) & (self._at[places] > 0), self._at[places], np.nan)
            values = now - at if name == "age_s" else np.where(np.isnan(at), np.nan, self._measure(name)[places])
        return values, now - at <= stale_s()

    def _column(self, name: str) -> Floats:
        return self._figures[:, INDEX[name]]

    def _measure(self, name: str) -> Floats:
        """A column, or a measure computed from columns; NaN where unknown."""
        if name == "hashrate_pct":
            nominal = self._column("hashrate_nominal_ths")
            return self._column("hashrate_ths") / np.where(nominal > 0, nominal, np.nan) * 100.0
        if name == "reject_pct":
            return self._column("reject_ratio") * 100.0
        if name == "fan_rpm":
            fastest: Floats = np.fmax.reduce([self._column(fan) for fan in FANS])
            return fastest
        return self._column(name)

    def _reading(self, place: int) -> "Reading":
        return Reading(
            machine_id=int(self._ids[place]),
            at=float(self._at[place]),
            state=MachineState(int(self._states[place])),
            state_since=float(self._since[place]),
            pool=self._pools.get(place, ""),
            figures=dict(zip(FIGURES, self._figures[place].tolist(), strict=True)),
        )

    def _seen_by(self, scope: Scope) -> NDArray[np.bool_]:
        there = self._at > 0
        if scope.site_wide:
            return there
        own: NDArray[np.bool_] = self._tenants == (scope.tenant_id if scope.tenant_id is not None else -1)
        return there & own

    def totals(self, scope: Scope, now: float) -> Totals:
        """Sums over what ``scope`` may see at ``now`` (seconds since 1970)."""
        with self._lock:
            seen = self._seen_by(scope)
            fresh = seen & (now - self._at <= stale_s())
            hashrate = _sum(self._column("hashrate_ths")[fresh])
            power = _sum(self._column("power_w")[fresh])
            # A stale state is no state: whoever has not answered lately counts as unknown.
            states = np.where(fresh, self._states, int(MachineState.UNKNOWN))[seen]
            newest = float(self._at[seen].max()) if seen.any() else None
            estimated = int((self._column("power_estimated")[fresh] == 1).sum())
        return Totals(
            machines=int(seen.sum()),
            fresh=int(fresh.sum()),
            estimated=estimated,
            hashrate_ths=hashrate,
            power_w=power,
            efficiency_jth=power / hashrate if power is not None and hashrate else None,
            states={state.word: int((states == int(state)).sum()) for state in MachineState},
            newest_at=None if newest is None else datetime.fromtimestamp(newest, UTC),
        )

    def changes(self, scope: Scope, since: int, names: Sequence[str], ids: Sequence[int] = ()) -> dict[str, list[Any]]:
        """What changed after version ``since``, in columns ready for JSON: id, at, state, since and ``names``.

        ``ids`` limits it to those machines. Unknown figures are None.
        """
        with self._lock:
            chosen = self._seen_by(scope) & (self._changed > since)
            if ids:
                chosen &= np.isin(self._ids, np.asarray(ids, np.int64))
            columns: dict[str, list[Any]] = {
                "id": self._ids[chosen].tolist(),
                "at": self._at[chosen].round(1).tolist(),
                "state": self._states[chosen].tolist(),
                "since": self._since[chosen].round(0).tolist(),
            }
            for name in names:
                columns[name] = _plain(self._measure(name)[chosen])
        return columns


@dataclass(frozen=True, slots=True)
class Reading:
    """One machine's newest reading. Times in seconds since 1970; unknown figures are NaN."""

    machine_id: int
    at: float
    state: MachineState
    state_since: float
    pool: str
    figures: dict[str, float]

    def figure(self, name: str) -> float | None:
        """A measure or column by name; None where the machine does not say."""
        value = self._computed(name)
        return value if math.isfinite(value) else None

    def _computed(self, name: str) -> float:
        known = self.figures
        if name == "hashrate_pct":
            nominal = known["hashrate_nominal_ths"]
            return known["hashrate_ths"] / nominal * 100.0 if nominal > 0 else math.nan
        if name == "reject_pct":
            return known["reject_ratio"] * 100.0
        if name == "fan_rpm":
            return max((known[fan] for fan in FANS if math.isfinite(known[fan])), default=math.nan)
        return known[name]

    def age_s(self, now: float) -> float:
        """Seconds since it was taken."""
        return max(0.0, now - self.at)

    def is_stale(self, now: float) -> bool:
        """Whether it is too old to be believed."""
        return self.age_s(now) > stale_s()


def _sum(values: Floats) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.sum()) if finite.size else None


def _plain(values: Floats) -> list[float | None]:
    return [None if math.isnan(one) else one for one in values.round(3).tolist()]


BOARD = Board()
"""This process's board. The hub feeds it; tests fill it themselves."""
