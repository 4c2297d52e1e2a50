"""Cooling by the same arithmetic: heat is a load, coolers are what carries it, kW by kW. Pure.

What is cooled gives off what it draws: a machine its own, a PDU all that hangs on it, a hall's board the whole hall. So
cooling links lead to whichever element stands for a zone; an element within another's zone has none of its own.
"""

from dataclasses import dataclass, replace

import numpy as np

from mbongi.facility.rules.capacity import Capacity, capacity
from mbongi.facility.rules.load_flow import Loads, load_flow
from mbongi.facility.rules.network import CODE, Network, Reals, Tier, supply
from mbongi.facility.values import COOLERS


@dataclass(frozen=True, slots=True)
class Cooling:
    """``loads`` are kW of heat, a third in each column; ``left_kw`` is what each element's coolers can still take.

    inf where nothing cools an element, as far as the links say.
    """

    loads: Loads
    against: Capacity
    left_kw: Reals


def cooling(net: Network, heat_kw: Reals, running: Reals | None = None) -> Cooling:
    """The cooling network under ``heat_kw`` (N); ``running`` (N) is false for coolers without power."""
    is_cooler = np.isin(net.kind, [CODE[kind] for kind in COOLERS])
    is_cooled = np.bincount(net.graph.target, minlength=net.count) > 0
    gives = np.bincount(net.graph.source, minlength=net.count) > 0
    active = net.active if running is None else net.active & running.astype(np.bool_)
    heat = replace(
        net,
        active=active,
        tier=np.where(gives & ~is_cooled, Tier.UTILITY, Tier.DARK).astype(np.int8),
        consumes=~is_cooler,
        demand_kw=np.where(is_cooled & ~is_cooler, heat_kw, 0.0),
        tan_phi=np.zeros(net.count),
        efficiency=np.ones(net.count),
        limit_kva=np.full(net.count, np.inf),
        limit_kw=np.where(is_cooler, net.rated_kw, np.inf) / 3,
        by_output=np.zeros(net.count, np.bool_),
    )
    state = supply(heat)
    loads = load_flow(heat, state)
    found = capacity(heat, state, loads)
    return Cooling(loads, found, np.where(is_cooled, found.left_kw, np.inf))
