"""Air and water of the virtual plant: fan walls, wet pads, the hall's air, and the servers' water loop. Pure."""

from dataclasses import dataclass

from mbongi.twin.physics import relax

AIR_J_M3_K = 1_160.0
"""Of one cubic metre of air and one kelvin: 1.15 kg/m3 at 30 degC and 1,007 J/kg K."""
DESIGN_RISE_K = 12.0
"""Of the air through the machines."""
FAN_W_PER_M3_S = 320.0
"""Of a fan wall at full speed: 160 Pa at an efficiency of a half (chosen)."""
FAN_DUTY_MIN = 0.3
FAN_TAU_S = 20.0
LEAK_SHARE = 0.06
"""Of the hot aisle's air that comes round to the machines' inlets at full flow (chosen)."""
STILL_SHARE = 0.04
"""Of the full air flow that doors and draught give with every fan at rest (chosen)."""
AISLE_TAU_S = 20.0
"""Of the cold aisle's air when the flow changes (chosen)."""
PAD_EFFECTIVENESS = 0.8
"""Cellulose pads, 150 mm (usual 0.75 to 0.9)."""
PAD_TAU_S = 120.0
"""Of pads that get wet or dry."""
PAD_ON_C, PAD_OFF_C = 24.0, 22.0
WATER_J_KG = 2.44e6
"""Latent heat at 25 degC."""
BLEED_SHARE = 0.3
"""Of the water that evaporates, what is let off so that salts do not gather (chosen)."""
WATER_J_L_K = 4_150.0
"""Of a litre at 40 degC and one kelvin."""
LOOP_L_S = 0.1
"""The loop's pump, at full flow (chosen: 4.8 K for 2 kW)."""
REFILL_BELOW, REFILL_TO = 0.4, 0.95


@dataclass(slots=True)
class WaterTank:
    """Feeds the pads; a float valve refills it while the town's water runs."""

    capacity_l: float
    level_l: float
    refill_l_s: float
    is_filling: bool = False
    has_supply: bool = True
    leak_l_s: float = 0.0

    @property
    def level_pct(self) -> float:
        """0..100."""
        return 100.0 * self.level_l / self.capacity_l

    def advance(self, dt_s: float, used_l: float) -> None:
        """Give water, and take some."""
        share = self.level_l / self.capacity_l
        self.is_filling = share < (REFILL_TO if self.is_filling else REFILL_BELOW)
        filled_l = self.refill_l_s * dt_s if self.is_filling and self.has_supply else 0.0
        self.level_l = min(max(self.level_l + filled_l - used_l - self.leak_l_s * dt_s, 0.0), self.capacity_l)


@dataclass(slots=True)
class Hall:
    """Air through two fan walls and a wet pad into the cold aisle, through the machines, and out."""

    flow_m3_s_max: float
    """Of all fan walls."""
    walls: list[bool]
    """Which of them work."""
    supply_c: float
    exhaust_c: float
    inlet_c: float
    """What the machines breathe, before what each adds by its place."""
    duty: float = 0.6
    duty_wanted: float = 0.6
    """What the heat needs with every wall at work."""
    wetness: float = 1.0
    """Of the pad [0..1]."""
    pump_w_rated: float = 550.0
    pump_works: bool = True
    pad_share: float = 1.0
    """Of its effectiveness that a pad still has (a fault clogs it)."""
    pad_wanted: bool = True
    """The controller's."""
    pad_allowed: bool = True
    """Set from the control room."""
    rise_set_k: float = DESIGN_RISE_K
    """The controller's set point: how much warmer the air leaves."""
    is_live: bool = True
    evaporated_l: float = 0.0
    """In all."""
    fan_w: float = 0.0
    pump_w: float = 0.0
    water_l_s: float = 0.0

    @property
    def heat_j_k(self) -> float:
        """Of the air and the steel in the hall: what holds it some seconds (20 air volumes of a second's full flow)."""
        return 60.0 * AIR_J_M3_K * self.flow_m3_s_max

    @property
    def flow_m3_s(self) -> float:
        """Through the walls that work."""
        working = sum(self.walls) / len(self.walls) if self.is_live else 0.0
        return self.flow_m3_s_max * max(self.duty * working, STILL_SHARE)

    def _mixed_c(self) -> float:
        """What the cold aisle tends to: of the exhaust the more, the less the walls move of what the heat needs."""
        needed = self.flow_m3_s_max * max(self.duty_wanted, FAN_DUTY_MIN)
        mixed = 1.0 - (1.0 - LEAK_SHARE) * min(self.flow_m3_s / needed, 1.0)
        return self.supply_c + (self.exhaust_c - self.supply_c) * mixed

    def advance(self, dt_s: float, *, heat_w: float, outside_c: float, wet_bulb: float, tank: WaterTank) -> None:
        """Take the machines' heat out for a while."""
        pumped = self.is_live and self.pump_works and tank.level_l > 0
        self.pad_wanted = outside_c > (PAD_OFF_C if self.pad_wanted else PAD_ON_C)
        is_wet = pumped and self.pad_wanted and self.pad_allowed
        self.wetness = relax(self.wetness, 1.0 if is_wet else 0.0, dt_s, PAD_TAU_S)
        cooled_k = PAD_EFFECTIVENESS * self.pad_share * self.wetness * max(outside_c - wet_bulb, 0.0)
        self.supply_c = outside_c - cooled_k
        self.duty_wanted = min(heat_w / (AIR_J_M3_K * self.flow_m3_s_max * self.rise_set_k), 1.0)
        working = max(sum(self.walls) / len(self.walls), 1e-9)
        goal = min(max(self.duty_wanted / working, FAN_DUTY_MIN), 1.0) if self.is_live else 0.0
        self.duty = relax(self.duty, goal, dt_s, FAN_TAU_S)
        carried_w_k = AIR_J_M3_K * self.flow_m3_s
        self.exhaust_c = relax(self.exhaust_c, self.supply_c + heat_w / carried_w_k, dt_s, self.heat_j_k / carried_w_k)
        self.inlet_c = relax(self.inlet_c, self._mixed_c(), dt_s, AISLE_TAU_S)
        self._use(dt_s, carried_w_k * cooled_k, is_wet=is_wet, tank=tank)

    def _use(self, dt_s: float, latent_w: float, *, is_wet: bool, tank: WaterTank) -> None:
        share = sum(self.walls) / len(self.walls) if self.is_live else 0.0
        self.fan_w = FAN_W_PER_M3_S * self.flow_m3_s_max * share * self.duty**3
        self.pump_w = self.pump_w_rated if is_wet else 0.0
        evaporated = latent_w / WATER_J_KG
        self.water_l_s = evaporated * (1 + BLEED_SHARE)
        self.evaporated_l += evaporated * dt_s
        tank.advance(dt_s, self.water_l_s * dt_s)


@dataclass(slots=True)
class Loop:
    """The servers' water: cold plates, one pump, one dry cooler."""

    plate_w_k: float
    """From the servers' chips to the water at full flow."""
    cooler_w_k: float
    """From the water to the outside air at full fan."""
    chip_c: float
    water_c: float
    set_c: float = 40.0
    fan_w_rated: float = 750.0
    pump_w_rated: float = 370.0
    duty: float = 0.3
    pump_works: bool = True
    cooler_works: bool = True
    is_live: bool = True
    flow: float = 1.0
    """Of full flow [0..1]."""
    fan_w: float = 0.0
    pump_w: float = 0.0
    chips_j_k: float = 20_000.0
    water_j_k: float = 420_000.0
    """A hundred litres."""
    return_c: float = 43.5

    def advance(self, dt_s: float, *, heat_w: float, outside_c: float) -> None:
        """Carry the servers' heat away for a while."""
        pumped = self.is_live and self.pump_works
        self.flow = relax(self.flow, 1.0 if pumped else 0.0, dt_s, 4.0)
        blown = self.is_live and self.cooler_works
        goal = min(max((self.water_c - self.set_c + 3.0) / 6.0, 0.1), 1.0) if blown else 0.0
        self.duty = relax(self.duty, goal, dt_s, FAN_TAU_S)
        # What leaks from chip to air without water: little.
        plate = self.plate_w_k * max(self.flow, 0.01)
        cooler = self.cooler_w_k * max(self.duty**0.8, 0.05) * max(self.flow, 0.05)
        from_chips_w = plate * (self.chip_c - self.water_c)
        self.chip_c = relax(self.chip_c, self.water_c + heat_w / plate, dt_s, self.chips_j_k / plate)
        self.water_c = relax(self.water_c, outside_c + from_chips_w / cooler, dt_s, self.water_j_k / cooler)
        self.return_c = self.water_c + from_chips_w / (WATER_J_L_K * LOOP_L_S * max(self.flow, 0.05))
        self.fan_w = self.fan_w_rated * self.duty**3 if blown else 0.0
        self.pump_w = self.pump_w_rated if pumped else 0.0
