"""The plant as it is now: who is fed, what flows, what is left, in one piece for pages and alarms."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mbongi.facility import selectors
from mbongi.facility.rules.capacity import BREAKER_SHARE, Capacity, capacity
from mbongi.facility.rules.cooling import Cooling, cooling
from mbongi.facility.rules.dominators import Dominators
from mbongi.facility.rules.load_flow import Loads, load_flow, readings_of
from mbongi.facility.rules.network import Network, Supply, Tier, supply
from mbongi.facility.rules.trace import supply_dominators


@dataclass(frozen=True, slots=True, eq=False)
class PlantState:
    """Arrays over the nodes of ``power``; ``coolers`` has the same nodes. Equal to itself only: caches hold it."""

    power: Network
    coolers: Network
    supply: Supply
    loads: Loads
    heat: Cooling
    against: Capacity
    tree: Dominators
    breaker_share: float


def plant_state(readings: Mapping[str, tuple[float, ...]], *, breaker_share: float = BREAKER_SHARE) -> PlantState:
    """The state by ``readings`` (kW by tag: a total, or three phases), where there are some, and by models elsewhere.

    Meters' readings belong to what they measure (``selectors.metered``), not to the meters; stale ones are left out by
    whoever asks.
    """
    power, coolers = selectors.networks()
    state = supply(power)
    loads = load_flow(power, state, readings_of(power, readings))
    running = ~((state.tier == Tier.DARK) & (np.bincount(power.graph.target, minlength=power.count) > 0))
    heat = cooling(coolers, loads.into_kw.sum(1), running)
    against = capacity(power, state, loads, breaker_share=breaker_share, cooling_left_kw=heat.left_kw)
    return PlantState(power, coolers, state, loads, heat, against, supply_dominators(power), breaker_share)
