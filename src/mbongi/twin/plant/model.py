"""The virtual plant in motion: what is live, what flows, what gets warm. Pure, and the same for the same seed.

Each step looks from the sources down for what has voltage, then from the loads up for what flows, so that at every
moment the feed's meter shows machines, losses and cooling, less what the panels give.
"""

from collections import deque
from random import Random

from mbongi.twin.climate import ambient_c
from mbongi.twin.plant import weather
from mbongi.twin.plant.changeover import FEEDER_S, Changeover, Position, is_good
from mbongi.twin.plant.cooling import Hall, Loop, WaterTank
from mbongi.twin.plant.design import Design
from mbongi.twin.plant.electric import Breaker, Transformer
from mbongi.twin.plant.genset import FuelTank, Genset
from mbongi.twin.plant.loads import RackLoad, Servers
from mbongi.twin.plant.ratings import HZ, POWER_FACTOR, VOLTS, breakers
from mbongi.twin.plant.ups import Ups

STEP_S_MAX = 1.0
"""A longer time is walked in steps of this length."""
WALK_STEPS_MAX = 600
"""At most so many at once; what is beyond is passed over."""
EVENTS_MAX = 500
PANEL_EFFICIENCY = 0.8
"""Of panels and their inverter, against the panels' rating."""
UPS_SIDES = {"A": "UPS-1", "B": "UPS-2"}


class PlantModel:
    """The whole plant. ``grid_v`` and ``grid_hz`` are set by drills, machines' loads by whoever runs them."""

    def __init__(self, design: Design, *, seed: int, now_s: float) -> None:
        self.design, self.seed, self.now_s = design, seed, now_s
        sizes = design.sizes
        self.grid_v, self.grid_hz = VOLTS, HZ
        self.transformer = Transformer.of(sizes.transformer_kva)
        self.transformer_failed = False
        self.breakers = {tag: Breaker(amps) for tag, amps in breakers(design.racks, sizes).items()}
        self.feeder_held = False
        """Whether the machines' breaker was opened by hand, and so does not close by itself."""
        self.changeover = Changeover()
        self.gensets = {
            f"GEN-{number}": Genset(sizes.genset_w, Random(f"{seed}/GEN-{number}"))  # noqa: S311 -- a simulation
            for number in (1, 2)
        }
        self.fuel = FuelTank(sizes.fuel_l, 0.9 * sizes.fuel_l)
        self.upses = {tag: Ups(sizes.ups_w, sizes.ups_wh) for tag in UPS_SIDES.values()}
        self.racks = [RackLoad.of(rack) for rack in design.racks]
        self.servers = Servers()
        air = ambient_c(now_s)
        self.outside_c, self.humidity = air, weather.humidity_pct(air)
        self.wet_bulb = weather.wet_bulb_c(air, self.humidity)
        cool = self.wet_bulb + 1.0
        self.hall = Hall(sizes.flow_m3_s, [True, True], supply_c=cool, exhaust_c=cool + 10.0, inlet_c=cool + 0.6)
        self.water = WaterTank(sizes.water_l, 0.8 * sizes.water_l, refill_l_s=sizes.water_l / 3600.0)
        self.loop = Loop(plate_w_k=100.0, cooler_w_k=400.0, chip_c=55.0, water_c=40.0)
        self.panels_failed = False
        self.panels_w = self.mining_w = self.feed_w = self.loss_w = self.board_w = self.house_w = 0.0
        self.panels_wh = 0.0
        self.energy_wh = {"MTR-F": 1_000.0, "MTR-1": 0.0, "MTR-2": 0.0, "MTR-3": 0.0, "MTR-4": 0.0}
        self.faults: dict[str, str] = {}
        self.held: dict[str, float] = {}
        """What frozen sensors show."""
        self.events: deque[tuple[float, str, str]] = deque(maxlen=EVENTS_MAX)
        """(moment, tag, state), the newest last: what changed."""
        self._states: dict[str, str] = {}
        self.turn = 0
        """Grows with every step, so that others see whether anything may have changed."""

    def settle(self) -> None:
        """As after long work with the present loads."""
        self.advance(self.now_s)
        for _ in range(300):
            self._step(5.0)
        self.transformer.settle(self.outside_c, self.board_w / POWER_FACTOR / self.transformer.rated_va)
        self._step(0.0)
        self.events.clear()
        self._states = self.states()

    def advance(self, now_s: float) -> None:
        """Bring the plant up to a moment."""
        for _ in range(WALK_STEPS_MAX):
            left_s = now_s - self.now_s
            if left_s <= 0:
                return
            step_s = min(left_s, STEP_S_MAX)
            self.now_s += step_s
            self._step(step_s)
        self.now_s = now_s

    def look(self) -> None:
        """Let what was switched take effect at once."""
        self._step(0.0)

    # From the sources down: what has voltage.

    @property
    def grid_good(self) -> bool:
        """Whether the transformer gives usable voltage to the changeover switch."""
        return is_good(self.grid_v, self.grid_hz, VOLTS) and not self.transformer_failed and self.closed("Q-1")

    @property
    def board_live(self) -> bool:
        """The main switchboard."""
        if self.changeover.position is Position.GRID:
            return self.grid_good
        return self.changeover.position is Position.GENSETS and bool(self._carrying())

    @property
    def board_v(self) -> float:
        """Per phase, against neutral."""
        if not self.board_live:
            return 0.0
        return self.grid_v if self.changeover.position is Position.GRID else VOLTS

    @property
    def board_hz(self) -> float:
        """Of whichever source stands."""
        if not self.board_live:
            return 0.0
        return self.grid_hz if self.changeover.position is Position.GRID else self._carrying()[0].hz

    @property
    def machines_live(self) -> bool:
        """The machines' switchboard."""
        return self.board_live and self.closed("Q-M")

    def closed(self, tag: str) -> bool:
        """Whether a breaker is."""
        return self.breakers[tag].is_closed

    def _carrying(self) -> list[Genset]:
        return [
            genset
            for number, genset in enumerate(self.gensets.values(), start=1)
            if genset.is_ready and self.closed(f"Q-G{number}")
        ]

    # A step.

    def _step(self, dt_s: float) -> None:
        self.turn += 1
        self.outside_c = ambient_c(self.now_s)
        self.humidity = weather.humidity_pct(self.outside_c)
        self.wet_bulb = weather.wet_bulb_c(self.outside_c, self.humidity)
        self.changeover.advance(dt_s, grid=self.grid_good, gensets=bool(self._carrying()))
        self._hold_feeder()
        self._feed_racks(dt_s)
        self._feed_servers(dt_s)
        self._cool(dt_s)
        self._flow(dt_s)
        self._run_gensets(dt_s)
        self._carry_breakers(dt_s)
        states = self.states()
        for tag, state in states.items():
            if self._states.get(tag, state) != state:
                self.events.append((self.now_s, tag, state))
        self._states = states

    def _hold_feeder(self) -> None:
        """The machines' breaker opens as voltage goes, and closes again only on the grid."""
        breaker, changeover = self.breakers["Q-M"], self.changeover
        if not self.board_live or changeover.position is not Position.GRID:
            breaker.is_closed = False
        elif changeover.on_grid_s >= FEEDER_S and not (self.feeder_held or breaker.is_tripped):
            breaker.is_closed = True

    def _feed_racks(self, dt_s: float) -> None:
        live = self.machines_live
        for load in self.racks:
            load.advance(dt_s, live=live and self.closed(load.rack.breaker))
        self.mining_w = sum(load.power_w for load in self.racks)

    def _feed_servers(self, dt_s: float) -> None:
        feeds = {side: self.upses[tag].is_live for side, tag in UPS_SIDES.items()}
        self.servers.advance(dt_s, feeds=feeds, chip_c=self.loop.chip_c)
        loads = self.servers.sides_w()
        for number, (side, tag) in enumerate(UPS_SIDES.items(), start=1):
            mains = self.board_live and self.closed(f"Q-U{number}")
            self.upses[tag].advance(dt_s, loads[side], mains=mains)

    def _cool(self, dt_s: float) -> None:
        live = self.board_live and self.closed("Q-C")
        self.hall.is_live = self.loop.is_live = live
        self.hall.advance(dt_s, heat_w=self.mining_w, outside_c=self.outside_c, wet_bulb=self.wet_bulb, tank=self.water)
        self.loop.advance(dt_s, heat_w=self.servers.heat_w, outside_c=self.outside_c)

    @property
    def cooling_w(self) -> float:
        """Fans, pumps and the dry cooler."""
        return self.hall.fan_w + self.hall.pump_w + self.loop.fan_w + self.loop.pump_w

    @property
    def ups_input_w(self) -> float:
        """Into both UPS."""
        return sum(ups.input_w for ups in self.upses.values())

    def _flow(self, dt_s: float) -> None:
        self.house_w = self.design.sizes.house_w if self.board_live and self.closed("Q-H") else 0.0
        loads_w = self.mining_w + self.ups_input_w + self.cooling_w + self.house_w
        on_grid = self.board_live and self.changeover.position is Position.GRID
        sun_w = self.design.sizes.pv_w * weather.irradiance_w_m2(self.now_s, self.seed) / 1000.0 * PANEL_EFFICIENCY
        works = on_grid and self.closed("Q-PV") and not self.panels_failed
        # Nothing is sent into the grid: the inverter holds back what the site does not take.
        self.panels_w = min(sun_w, loads_w) if works else 0.0
        self.board_w = loads_w - self.panels_w
        through_w = self.board_w if on_grid else 0.0
        is_live = self.grid_v > 0 and not self.transformer_failed
        self.loss_w = self.transformer.loss_w(through_w / POWER_FACTOR, live=is_live)
        self.feed_w = through_w + self.loss_w
        self.transformer.advance(dt_s, self.outside_c, through_w / POWER_FACTOR, live=is_live)
        flows = (self.feed_w, self.board_w, self.mining_w, self.cooling_w, self.ups_input_w)
        for tag, power_w in zip(self.energy_wh, flows, strict=True):
            self.energy_wh[tag] += power_w * dt_s / 3600.0
        self.panels_wh += self.panels_w * dt_s / 3600.0

    def _run_gensets(self, dt_s: float) -> None:
        on_gensets = self.changeover.position is Position.GENSETS
        carrying = self._carrying() if on_gensets else []
        share_w = self.board_w / len(carrying) if carrying else 0.0
        self.fuel.take(self.fuel.leak_l_s * dt_s)
        for genset in self.gensets.values():
            genset.advance(
                dt_s,
                wanted=self.changeover.wants_gensets,
                load_w=share_w if genset in carrying else 0.0,
                air_c=self.outside_c,
                tank=self.fuel,
            )

    def _carry_breakers(self, dt_s: float) -> None:
        amps = 1.0 / (3 * VOLTS * POWER_FACTOR)
        inrush = [0.0, 0.0, 0.0]
        phases = [0.0, 0.0, 0.0]
        for load in self.racks:
            currents = [power_w * 3 * amps + more for power_w, more in zip(load.phases_w, load.inrush_a, strict=True)]
            self.breakers[load.rack.breaker].advance(dt_s, max(currents))
            for phase in range(3):
                phases[phase] += load.phases_w[phase] * 3 * amps
                inrush[phase] += load.inrush_a[phase]
        machines_a = max(phase + more for phase, more in zip(phases, inrush, strict=True))
        rest_a = (self.board_w - self.mining_w) * amps
        on_grid = self.changeover.position is Position.GRID
        self.breakers["Q-1"].advance(dt_s, machines_a + rest_a if on_grid else 0.0)
        self.breakers["Q-M"].advance(dt_s, machines_a)
        for number, genset in enumerate(self.gensets.values(), start=1):
            self.breakers[f"Q-G{number}"].advance(dt_s, genset.load_w * amps)
        for number, ups in enumerate(self.upses.values(), start=1):
            self.breakers[f"Q-U{number}"].advance(dt_s, ups.input_w * amps)
        for tag, power_w in (("Q-C", self.cooling_w), ("Q-H", self.house_w), ("Q-PV", self.panels_w)):
            self.breakers[tag].advance(dt_s, power_w * amps)

    # What can be read.

    def machine_phases_a(self) -> list[float]:
        """Currents of the machines' board, with what empty capacitors take."""
        volts = max(self.board_v, 1.0)
        return [
            sum(load.phases_w[phase] / volts / POWER_FACTOR + load.inrush_a[phase] for load in self.racks)
            for phase in range(3)
        ]

    def states(self) -> dict[str, str]:
        """A word for everything that can stand in more than one way."""
        found = {"FEED-1": "live" if is_good(self.grid_v, self.grid_hz, VOLTS) else "dead"}
        found["ATS-1"] = str(self.changeover.position)
        found["MSB-1"] = "live" if self.board_live else "dead"
        found["MSB-2"] = "live" if self.machines_live else "dead"
        for tag, breaker in self.breakers.items():
            found[tag] = "closed" if breaker.is_closed else "tripped" if breaker.is_tripped else "open"
        for tag, genset in self.gensets.items():
            found[tag] = str(genset.state) + (f" {genset.alarm}" if genset.alarm else "")
        for tag, ups in self.upses.items():
            found[tag] = "failed" if ups.is_failed else "empty" if ups.is_empty else _source(ups)
        for load in self.racks:
            found[load.rack.pdu] = "live" if load.is_live else "dead"
        for side in "AB":
            found[f"PDU-{side}"] = "live" if self.servers.live[side] else "dead"
        for number, server in enumerate(self.servers.servers, start=1):
            found[f"SRV-{number}"] = "on" if server.power_w > 0 else "off"
        return found


def _source(ups: Ups) -> str:
    return "on battery" if ups.on_battery else "on line"
