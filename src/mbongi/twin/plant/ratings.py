"""How large the virtual plant is built for its machines: transformer, gensets, UPS, air, breakers. Pure."""

import math
from collections.abc import Sequence

from mbongi.twin.plant.cooling import AIR_J_M3_K, DESIGN_RISE_K, FAN_W_PER_M3_S
from mbongi.twin.plant.electric import transformer_kva
from mbongi.twin.plant.values import Rack, Sizes

VOLTS, HZ = 230.0, 50.0
POWER_FACTOR = 0.97
SERVERS, SERVER_IDLE_W, SERVER_BUSY_W = 4, 160.0, 340.0
"""How many, what one draws at rest, and how much more at work (chosen)."""
SWITCH_W = 80.0
MARGIN = 1.25
GENSETS_KW = (12, 16, 20, 30, 45, 60, 80, 100, 125, 160, 200, 250, 320, 400, 500, 640, 800, 1000, 1280, 1600, 2000)
BREAKERS_A = (10, 16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200, 250, 320, 400, 500, 630, 800, 1000, 1250, 1600)
"""Usual ratings."""


def sized(mining_w: float) -> Sizes:
    """What it takes for machines with these nameplates."""
    critical_w = SERVERS * (SERVER_IDLE_W + SERVER_BUSY_W) + 2 * SWITCH_W
    ups_w = 1000.0 * math.ceil(MARGIN * critical_w / 1000.0)
    flow = max(1.1 * mining_w / (AIR_J_M3_K * DESIGN_RISE_K), 0.5)
    house_w = 300.0 + 0.002 * mining_w
    essential_w = 2 * 0.15 * ups_w + critical_w + FAN_W_PER_M3_S * flow + 2_000.0 + house_w
    genset_kw = MARGIN * essential_w / 1000.0
    return Sizes(
        mining_w=mining_w,
        transformer_kva=transformer_kva(MARGIN * (mining_w + essential_w) / POWER_FACTOR),
        genset_w=1000.0 * next((kw for kw in GENSETS_KW if kw >= genset_kw), math.ceil(genset_kw)),
        ups_w=ups_w,
        ups_wh=ups_w / 6.0,
        flow_m3_s=flow,
        pv_w=0.1 * mining_w,
        fuel_l=max(12.0 * essential_w / 1000.0 * 0.35, 200.0),
        water_l=max(mining_w / 10.0, 1_000.0),
        house_w=house_w,
    )


def breaker_a(power_w: float) -> float:
    """The rating of a three-phase breaker for a load; above the usual ones the next thousand amperes."""
    amps = MARGIN * power_w / (3 * VOLTS * POWER_FACTOR)
    return float(next((size for size in BREAKERS_A if size >= amps), 1000 * math.ceil(amps / 1000.0)))


def breakers(racks: Sequence[Rack], sizes: Sizes) -> dict[str, float]:
    """Every breaker and its rating [A]."""
    essential_w = sizes.genset_w / MARGIN
    return {
        "Q-1": breaker_a(sizes.mining_w + essential_w),
        "Q-G1": breaker_a(sizes.genset_w),
        "Q-G2": breaker_a(sizes.genset_w),
        "Q-U1": breaker_a(1.2 * sizes.ups_w),
        "Q-U2": breaker_a(1.2 * sizes.ups_w),
        "Q-C": breaker_a(FAN_W_PER_M3_S * sizes.flow_m3_s + 2_000.0),
        "Q-H": breaker_a(sizes.house_w),
        "Q-PV": breaker_a(sizes.pv_w),
        "Q-M": breaker_a(sizes.mining_w),
        # Of a rack whose machines do not divide by three, one phase carries more than a third.
        **{rack.breaker: breaker_a(3 * max(_phases_w(rack))) for rack in racks},
    }


def _phases_w(rack: Rack) -> list[float]:
    return [sum(outlet.nameplate_w for outlet in rack.outlets if outlet.phase == phase) for phase in range(3)]
