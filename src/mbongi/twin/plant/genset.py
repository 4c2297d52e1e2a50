"""Diesel gensets with their start, load steps, fuel and tank. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from mbongi.twin.physics import relax

CRANK_S, CRANK_REST_S, ATTEMPTS_MAX = 4.0, 6.0, 3
RUN_UP_S = 5.0
"""From firing to rated speed and voltage."""
WARM_UP_S = 6.0
COOL_DOWN_S = 120.0
IDLE_L_H_KW, SLOPE_L_H_KW = 0.08415, 0.246
"""Consumption: per kW of rating and per kW delivered. Source: Skarstein and Uhlen 1989, as in HOMER."""
OVERLOAD_SHARE, OVERLOAD_S = 1.1, 10.0
"""The overload that is borne so long. Source: ISO 8528-1, 10 % for one hour in twelve; the trip's delay is chosen."""
HZ, DIP_HZ, STALL_SHARE, RECOVER_S = 50.0, 5.0, 1.3, 2.0
"""A full load at once dips the speed by a tenth (ISO 8528-5, class G2) for seconds; above STALL_SHARE it stalls."""
COOLANT_RUN_C, COOLANT_TAU_S = 86.0, 240.0
RPM = 1500.0


class GensetState(StrEnum):
    """What a genset is doing."""

    STOPPED = "stopped"
    CRANKING = "cranking"
    RESTING = "resting"
    """Between two attempts."""
    RUN_UP = "run_up"
    WARM_UP = "warm_up"
    READY = "ready"
    """May be loaded, or is."""
    COOL_DOWN = "cool_down"
    FAILED = "failed"
    """Locked out by its controller until it is reset."""


@dataclass(slots=True)
class FuelTank:
    """A day tank."""

    capacity_l: float
    level_l: float
    leak_l_s: float = 0.0

    @property
    def level_pct(self) -> float:
        """0..100."""
        return 100.0 * self.level_l / self.capacity_l

    def take(self, litres: float) -> None:
        """Burn or lose fuel."""
        self.level_l = max(self.level_l - litres, 0.0)


@dataclass(slots=True, eq=False)
class Genset:
    """One set with its controller."""

    rated_w: float
    random: Random = field(repr=False)
    state: GensetState = GensetState.STOPPED
    start_fails_p: float = 0.0
    """The chance that an attempt to start fails (a fault)."""
    mode: str = "auto"
    """``stop``, ``auto`` or ``manual``."""
    started_by_hand: bool = False
    attempts: int = 0
    since_s: float = 0.0
    """In this state."""
    load_w: float = 0.0
    hz: float = 0.0
    coolant_c: float = 30.0
    run_s: float = 36_000.0
    starts: int = 42
    energy_wh: float = 3.6e6
    fuel_l: float = 1_300.0
    """Burnt in all."""
    overload_s: float = 0.0
    alarm: str = ""
    """Why it is locked out: ``fail_to_start``, ``overload``, ``fuel``, ``under_speed``; empty where it is not."""

    @property
    def runs(self) -> bool:
        """Whether the engine turns by itself."""
        return self.state in {GensetState.RUN_UP, GensetState.WARM_UP, GensetState.READY, GensetState.COOL_DOWN}

    @property
    def is_ready(self) -> bool:
        """Whether it may be loaded."""
        return self.state in {GensetState.READY, GensetState.COOL_DOWN}

    def fuel_l_h(self, load_w: float) -> float:
        """While it runs."""
        return IDLE_L_H_KW * self.rated_w / 1000.0 + SLOPE_L_H_KW * load_w / 1000.0

    def reset(self) -> None:
        """What the controller's reset button does: the lock-out ends."""
        self.alarm, self.attempts = "", 0
        if self.state is GensetState.FAILED:
            self._enter(GensetState.STOPPED)

    def advance(self, dt_s: float, *, wanted: bool, load_w: float, air_c: float, tank: FuelTank) -> None:
        """Move on; ``wanted`` is the changeover's demand, obeyed in ``auto``; ``load_w`` what it carries."""
        wanted = self.mode != "stop" and (wanted if self.mode == "auto" else self.started_by_hand)
        self.since_s += dt_s
        if self.runs and tank.level_l <= 0:
            self._fail("fuel")
        self._sequence(wanted)
        self._carry(dt_s, load_w if self.is_ready else 0.0)
        burnt = self.fuel_l_h(self.load_w) * dt_s / 3600.0 if self.runs else 0.0
        tank.take(burnt)
        self.fuel_l += burnt
        self.run_s += dt_s if self.runs else 0.0
        self.coolant_c = relax(self.coolant_c, COOLANT_RUN_C if self.runs else air_c, dt_s, COOLANT_TAU_S)

    def _enter(self, state: GensetState) -> None:
        self.state, self.since_s = state, 0.0

    def _fail(self, alarm: str) -> None:
        self.alarm, self.load_w = alarm, 0.0
        self._enter(GensetState.FAILED)

    def _sequence(self, wanted: bool) -> None:
        state, since_s = self.state, self.since_s
        if state is GensetState.FAILED:
            return
        if not wanted:
            self._wind_down()
        elif state in {GensetState.STOPPED, GensetState.COOL_DOWN}:
            self.attempts = 0
            self._enter(GensetState.READY if state is GensetState.COOL_DOWN else GensetState.CRANKING)
        elif state is GensetState.CRANKING and since_s >= CRANK_S:
            self._fire()
        elif state is GensetState.RESTING and since_s >= CRANK_REST_S:
            self._enter(GensetState.CRANKING)
        elif state is GensetState.RUN_UP and since_s >= RUN_UP_S:
            self._enter(GensetState.WARM_UP)
        elif state is GensetState.WARM_UP and since_s >= WARM_UP_S:
            self._enter(GensetState.READY)

    def _wind_down(self) -> None:
        if self.state is GensetState.READY:
            self._enter(GensetState.COOL_DOWN)
        elif self.state is not GensetState.COOL_DOWN or self.since_s >= COOL_DOWN_S or self.mode == "stop":
            self._enter(GensetState.STOPPED)

    def _fire(self) -> None:
        self.attempts += 1
        if self.random.random() >= self.start_fails_p:
            self.starts += 1
            self._enter(GensetState.RUN_UP)
        elif self.attempts >= ATTEMPTS_MAX:
            self._fail("fail_to_start")
        else:
            self._enter(GensetState.RESTING)

    def _carry(self, dt_s: float, load_w: float) -> None:
        step = max(load_w - self.load_w, 0.0) / self.rated_w
        self.load_w = load_w
        self.energy_wh += load_w * dt_s / 3600.0
        if not self.runs:
            self.hz, self.overload_s = 0.0, 0.0
            return
        if self.state is GensetState.RUN_UP:
            self.hz = HZ * min(self.since_s / RUN_UP_S, 1.0)
            return
        self.hz = relax(self.hz, HZ, dt_s, RECOVER_S) - DIP_HZ * step
        self.overload_s = self.overload_s + dt_s if load_w > OVERLOAD_SHARE * self.rated_w else 0.0
        if load_w > STALL_SHARE * self.rated_w:
            self._fail("under_speed")
        elif self.overload_s >= OVERLOAD_S:
            self._fail("overload")
