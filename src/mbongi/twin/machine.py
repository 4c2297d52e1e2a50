"""One virtual machine: its heat, power, hashrate and counters, and what can be asked of it.

State moves only when somebody looks: ``advance`` steps it from the last look to now, so a machine that nobody asks
costs nothing. The same seed, address and moments give the same figures.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from mbongi.twin import physics
from mbongi.twin.climate import ambient_c
from mbongi.twin.flash import Slots
from mbongi.twin.models import MachineModel
from mbongi.twin.settings import Settable, SimClock
from mbongi.twin.values import POOL_COUNT, Fault, MachineSettings, Phase, PoolEntry, PoolTally

STEP_S: Final = 10.0
LOOK_S: Final = 1.0
"""Looks closer together than this see the same figures."""
FINE_S: Final = 600.0
"""A longer gap is bridged by one exact step, and only its last part is walked in fine ones."""
FAN_TAU_S: Final = 15.0
FAN_STOP_S: Final = 20.0
"""How long a machine with a fan alarm goes on hashing, where its firmware stops it."""
SENSOR_SPREAD_K: Final = 8.0
"""The hottest chip over the mean of its board."""
BLOCKED_AIRFLOW: Final = 0.05
EXHAUST_K: Final = 12.0
"""Rise of the inlet when a machine breathes its own exhaust (OVERHEAT)."""
TERA: Final = 1e12
ACCOUNTS: Final = ("mbongi", "kintele", "djiri")
"""The pool accounts that the racks mine for in turn: the site's own, and two whose machines it hosts."""


class VirtualMachine(Settable):
    """A machine of the virtual site. All times are ``clock`` seconds; ``fault`` is set through ``set_fault``."""

    def __init__(self, *, address: str, model: MachineModel, rack: int, slot: int, seed: int, clock: SimClock) -> None:
        self.address, self.model, self.rack, self.slot = address, model, rack, slot
        self.random = Random(f"{seed}/{address}")  # noqa: S311 -- noise of a simulation
        self.fault = Fault.NONE
        self.fault_since = 0.0
        self.phase = Phase.MINING
        self.phase_until = float("inf")
        self.slots = Slots()
        self.stopped_by = ""
        octets = [int(part) for part in address.split(".")]
        account = ACCOUNTS[(octets[2] - 1) % len(ACCOUNTS)]
        self.user = f"{account}.{octets[1]}x{octets[2]}x{octets[3]}"
        self.mac = "02:4D:42:" + ":".join(f"{octet:02X}" for octet in octets[1:])
        self.serial = f"MB{self.random.randrange(16**8):08X}{octets[2]:03d}{octets[3]:03d}"
        pools = tuple(
            PoolEntry(f"stratum+tcp://{name}.example.pool:3333", self.user, "x") for name in ("btc", "btc2", "btc3")
        )
        limit_w = float(-(-int(model.power_w) // 100) * 100)
        super().__init__(MachineSettings(pools=pools, power_limit_w=limit_w), clock=clock)
        self.has_real_pools = False
        """Whether a miner connects to the pools and counts what they answer; the counters are made up where not."""
        self.has_work = True
        """Without work from any pool the chips stand still."""
        self.has_power = True
        """Whether there is voltage at its outlet."""
        self.air_c: Callable[[float], float] = ambient_c
        """The air that it stands in, at a moment; its place adds ``inlet_rise_k``."""
        self._make_unique()
        self._start_warm()

    def _make_unique(self) -> None:
        random, boards = self.random, self.model.boards
        self.board_serials = [f"{self.serial}B{index}" for index in range(1, boards + 1)]
        self.quality = [random.gauss(1.0, 0.012) for _ in range(boards)]
        self.power_spread = [random.gauss(1.0, 0.015) for _ in range(boards)]
        self.cooling_spread = [random.gauss(1.0, 0.05) for _ in range(boards)]
        self.fan_spread = [random.gauss(1.0, 0.012) for _ in range(self.model.fans)]
        self.inlet_rise_k = random.uniform(1.0, 4.0)
        self.reject_share = min(random.lognormvariate(-6.0, 0.6), 0.05)
        self.weak_board = random.randrange(boards)
        self.weak_fan = random.randrange(self.model.fans)

    def _start_warm(self) -> None:
        """Begin as a machine that has been at work for a while: settled temperatures, counters that fit."""
        now, boards = self.clock(), self.model.boards
        age_s = self.random.uniform(3600.0, 20 * 86400.0)
        self.at = now
        self.booted_at = now - age_s - self.model.boot_s
        self.mining_since = now - age_s
        self.throttle = 1.0
        self.duty = 0.6
        self.inlet_c = self.air_c(now) + self.inlet_rise_k
        self.temps_c = [self.model.target_c] * boards
        self.powers_w = [0.0] * boards
        self.rates_ths = [0.0] * boards
        self.rpm = [0.0] * self.model.fans
        self.frequency_share = 1.0
        self._clear_counters()
        for _ in range(4):
            self._move_heat(FINE_S, now)
        self._hash(age_s)
        self._count(age_s)

    def _clear_counters(self) -> None:
        self.work_th = [0.0] * self.model.boards
        self.hw_errors = [0] * self.model.boards
        self.tallies = [PoolTally() for _ in range(POOL_COUNT)]
        if not self.has_real_pools:
            self.tallies[0].difficulty = self.model.share_difficulty
            self.tallies[0].is_active = True

    # What can be read.

    @property
    def answers(self) -> bool:
        """Whether the machine's network services are up."""
        return self.phase not in {Phase.OFF, Phase.BOOTING}

    @property
    def accepted(self) -> int:
        """Shares that pools took."""
        return sum(tally.accepted for tally in self.tallies)

    @property
    def rejected(self) -> int:
        """Shares that pools refused, late ones not counted."""
        return sum(tally.rejected for tally in self.tallies)

    @property
    def stale(self) -> int:
        """Shares that came too late."""
        return sum(tally.stale for tally in self.tallies)

    @property
    def best_share(self) -> float:
        """The difficulty that the best hash reached."""
        return max(tally.best_share for tally in self.tallies)

    @property
    def last_share_at(self) -> float:
        """When a pool last took a share; 0 before the first."""
        return max(tally.last_share_at for tally in self.tallies)

    @property
    def runs_miner(self) -> bool:
        """Whether the miner program is up, and so connected to its pools."""
        is_up = self.phase in {Phase.WARMING, Phase.MINING, Phase.PROTECTED}
        return is_up and not self.asleep and self.at >= self.mining_since

    def works_for(self, index: int) -> bool:
        """Whether the machine works for a pool now."""
        return self.tallies[index].is_active and (self.has_real_pools or self.rate_ths > 0)

    @property
    def rate_ths(self) -> float:
        """The newest hashrate."""
        return sum(self.rates_ths)

    @property
    def elapsed_s(self) -> float:
        """Since the miner program started."""
        return max(self.at - self.mining_since, 0.0)

    @property
    def average_ths(self) -> float:
        """Mean hashrate since the miner program started."""
        return sum(self.work_th) / self.elapsed_s if self.elapsed_s >= 1 else 0.0

    @property
    def power_w(self) -> float:
        """At the wall."""
        if self.phase is Phase.OFF:
            return 0.0
        return sum(self.powers_w) + self.model.idle_w + physics.fan_power_w(self.model.fan_w_max, self.duty)

    @property
    def hottest_c(self) -> float:
        """The hottest chip."""
        return max(self.chip_max_c(board) for board in range(self.model.boards))

    def chip_max_c(self, board: int) -> float:
        """The hottest chip of a board; its spread over the board grows with the board's power."""
        share = self.powers_w[board] / self.model.board_power_w
        return self.temps_c[board] + SENSOR_SPREAD_K * min(share, 1.2)

    def alive(self, board: int) -> bool:
        """Whether a board is found by the machine."""
        return not (self.fault is Fault.BOARD_DEAD and board == self.weak_board)

    # What can be asked.

    def reboot(self) -> None:
        """Restart the whole machine: it refuses connections for ``boot_s``."""
        self.advance()
        if self.phase is not Phase.OFF:
            self.fault = Fault.NONE if self.fault is Fault.STUCK else self.fault
            self._boot()

    def use_real_pools(self, pools: tuple[PoolEntry, ...]) -> None:
        """From now on a miner connects to the pools, and what they answer is counted."""
        self.has_real_pools = True
        self._clear_counters()
        self.apply(pools=pools)

    def set_fault(self, fault: Fault) -> None:
        """Make something go wrong, or mend it with ``Fault.NONE``."""
        self.advance()
        before, self.fault, self.fault_since = self.fault, fault, self.at
        if fault is Fault.OFF:
            self._go_dark()
        elif before is Fault.OFF and self.has_power:
            self._boot()

    def set_power(self, *, on: bool) -> None:
        """Cut the voltage at its outlet, or give it back: then it boots."""
        if on is self.has_power:
            return
        self.advance()
        self.has_power = on
        if not on:
            self._go_dark()
        elif self.fault is not Fault.OFF:
            self._boot()

    def _go_dark(self) -> None:
        self.slots.cut_power()
        self._halt()
        self.phase, self.phase_until = Phase.OFF, float("inf")

    def _take_effect(self, before: MachineSettings) -> None:
        for index in range(POOL_COUNT):
            if self.has_real_pools and self.pools[index] != before.pools[index]:
                self.tallies[index] = PoolTally()
        image = self.settings.image
        if image is not None and image is not before.image:
            self.slots.write(image, self.clock())

    def _restart(self) -> None:
        if self.phase not in {Phase.OFF, Phase.BOOTING}:
            self._enter_rest()

    def _halt(self) -> None:
        """Chips stop at once; their heat leaves in its own time."""
        self.frequency_share = 0.0
        self.powers_w = [0.0] * self.model.boards
        self.rates_ths = [0.0] * self.model.boards

    def _enter_rest(self) -> None:
        self._halt()
        self.settings = self.settings.changed(power_percent=100.0)
        self.mining_since = self.at + self.model.restart_s
        self._clear_counters()
        self.throttle, self.stopped_by = 1.0, ""
        self.phase, self.phase_until = Phase.WARMING, self.at + self.model.restart_s
        if not self.asleep:
            self.phase_until += self.model.warm_up_s

    def _boot(self) -> None:
        self._halt()
        if self.slots.is_bricked:
            self.phase, self.phase_until = Phase.OFF, float("inf")
            return
        self.booted_at = self.at
        self._clear_counters()
        self.throttle, self.stopped_by = 1.0, ""
        self.phase, self.phase_until = Phase.BOOTING, self.at + self.model.boot_s

    # How it moves.

    def advance(self) -> None:
        """Bring the state up to the present."""
        now = self.clock()
        if self.slots.pending is not None and self.slots.pending[0] <= now:
            self._advance_to(self.slots.pending[0])
            self.slots.install(self)
            self._boot()
        while (due := self._take_due(now)) is not None:
            self._advance_to(max(due.at, self.at))
            self._come_into_force(due)
        self._advance_to(now)

    def _advance_to(self, now: float) -> None:
        if now - self.at < LOOK_S and now < self.phase_until:
            return
        while self.at < now or self.at >= self.phase_until:
            left = now - self.at
            coarse = left - FINE_S if left > FINE_S + STEP_S else STEP_S
            step = min(coarse, left, max(self.phase_until - self.at, 0.0))
            self._step(step)

    def _step(self, dt_s: float) -> None:
        if dt_s > 0:
            self._move_heat(dt_s, self.at + dt_s / 2)
            self.at += dt_s
            self._hash(dt_s)
            self._count(dt_s)
            self._protect(dt_s)
        if self.at >= self.phase_until:
            self._next_phase()
        elif self.slots.wants_reboot(self.phase, self.elapsed_s):
            self._boot()

    def _next_phase(self) -> None:
        if self.phase is Phase.BOOTING:
            self._enter_rest()
            return
        self.phase = Phase.SLEEPING if self.asleep else Phase.MINING
        self.phase_until = float("inf")

    def _goal_share(self) -> float:
        if not self.has_work or self.fault is Fault.STUCK:
            return 0.0
        if self.phase is Phase.MINING:
            return self._full_share() * self.throttle
        if self.phase is Phase.WARMING and not self.asleep:
            done = (self.at - self.mining_since) / self.model.warm_up_s
            # The first third finds chips and hashes nothing, the rest climbs to full frequency.
            return self._full_share() * min(max(done - 1 / 3, 0.0) * 1.5, 1.0)
        return 0.0

    def _full_share(self) -> float:
        model = self.model
        allowed_w = self.power_limit_w * self.settings.power_percent / 100.0
        limit = physics.frequency_share_for((allowed_w - model.idle_w) / (model.power_w - model.idle_w))
        return min({"low": 0.8, "high": 1.1}.get(self.power_mode, 1.0), max(limit, 0.3))

    def _move_heat(self, dt_s: float, moment: float) -> None:
        model, blocked = self.model, self.fault is Fault.OVERHEAT
        self.inlet_c = self.air_c(moment) + self.inlet_rise_k + (EXHAUST_K if blocked else 0.0)
        self.frequency_share = self._goal_share()
        self._turn_fans(dt_s)
        airflow = sum(self.rpm) / (model.fan_rpm_max * model.fans) * (BLOCKED_AIRFLOW if blocked else 1.0)
        for board in range(model.boards):
            share = self.frequency_share if self.alive(board) else 0.0
            nominal_w = model.board_power_w * self.power_spread[board] * self.slots.effects.power_factor
            power = physics.board_power_w(nominal_w, share, self.temps_c[board], model.target_c)
            w_k = physics.conductance_w_k(model.conductance_w_k * self.cooling_spread[board], airflow)
            goal = physics.equilibrium_c(self.inlet_c, power, w_k) + self.slots.effects.temp_offset_k
            self.powers_w[board] = power
            self.temps_c[board] = physics.relax(self.temps_c[board], goal, dt_s, model.heat_capacity_j_k / w_k)

    def _turn_fans(self, dt_s: float) -> None:
        """Fans aim at the airflow that holds the hottest board at the model's target, and lag behind it."""
        model = self.model
        if self.phase is Phase.OFF:
            self.duty, self.rpm = 0.0, [0.0] * model.fans
            return
        needed = max(self.powers_w) / max(model.target_c - self.inlet_c, 1.0)
        goal = physics.airflow_for(model.conductance_w_k * min(self.cooling_spread), needed)
        over = max(self.temps_c) - model.target_c
        goal = min(max(goal + 0.02 * max(over - 1.0, 0.0), model.fan_duty_min), 1.0)
        self.duty = physics.relax(self.duty, goal, dt_s, FAN_TAU_S)
        self.rpm = [
            self.duty * model.fan_rpm_max * spread * self.random.gauss(1.0, 0.004) for spread in self.fan_spread
        ]
        if self.fault is Fault.FAN_DEAD:
            self.rpm[self.weak_fan] = 0.0

    def _hash(self, dt_s: float) -> None:
        for board in range(self.model.boards):
            share = self.frequency_share if self.alive(board) else 0.0
            steady = self.model.board_ths * self.quality[board] * share * self.slots.effects.hashrate_factor
            self.rates_ths[board] = max(steady * self.random.gauss(1.0, 0.012), 0.0)
            self.work_th[board] += steady * dt_s

    def _count(self, dt_s: float) -> None:
        if not self.has_real_pools:
            self._make_up_shares(dt_s)
        model = self.model
        for board in range(model.boards):
            self.hw_errors[board] += physics.poisson(
                self.random,
                0.004 * self.slots.effects.hw_error_factor * self.rates_ths[board] / model.board_ths * dt_s,
            )

    def _make_up_shares(self, dt_s: float) -> None:
        difficulty, tally = self.model.share_difficulty, self.tallies[0]
        found = physics.poisson(self.random, self.rate_ths * TERA * dt_s / (difficulty * 2**32))
        if not found:
            return
        share = min(self.reject_share + self.slots.effects.reject_share, 1.0)
        tally.rejected += min(physics.poisson(self.random, found * share), found)
        tally.stale += physics.poisson(self.random, found * self.reject_share * 0.1)
        tally.accepted += max(found - physics.poisson(self.random, found * share), 0)
        tally.difficulty_accepted, tally.difficulty_rejected, tally.difficulty_stale = (
            count * difficulty for count in (tally.accepted, tally.rejected, tally.stale)
        )
        # The best of n shares above difficulty D is about n x D; one uniform draw gives its spread.
        tally.best_share = max(tally.best_share, difficulty * found / max(self.random.random(), 1e-6))
        tally.last_share_at, tally.last_share_difficulty = self.at, difficulty

    def _protect(self, dt_s: float) -> None:
        model = self.model
        if self.phase is Phase.PROTECTED:
            fan_well = self.stopped_by != "fan" or self.fault is not Fault.FAN_DEAD
            if fan_well and self.hottest_c < model.target_c - 10.0:
                self._enter_rest()
            return
        if self.phase not in {Phase.MINING, Phase.WARMING}:
            return
        stops_for_fans = model.fans > 2 and self.fault is Fault.FAN_DEAD
        if self.hottest_c >= model.shutdown_c:
            self._stop("heat")
        elif stops_for_fans and self.at - self.fault_since >= FAN_STOP_S:
            self._stop("fan")
        elif self.hottest_c >= model.throttle_c:
            self.throttle = max(self.throttle - 0.005 * dt_s, 0.6)
        elif self.hottest_c < model.throttle_c - 6.0:
            self.throttle = min(self.throttle + 0.002 * dt_s, 1.0)

    def _stop(self, reason: str) -> None:
        self._halt()
        self.stopped_by = reason
        self.phase, self.phase_until = Phase.PROTECTED, float("inf")
