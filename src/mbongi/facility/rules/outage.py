"""What goes dark if this trips: one outage in full, and the tables of every single one and of pairs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mbongi.facility.rules.capacity import BREAKER_SHARE, Capacity, capacity
from mbongi.facility.rules.dominators import dominators
from mbongi.facility.rules.graph import Ints, Mask
from mbongi.facility.rules.load_flow import Loads, load_flow
from mbongi.facility.rules.network import Network, Reals, Supply, Tier, closed_edges, supply
from mbongi.facility.rules.trace import supply_dominators
from mbongi.facility.values import ElementKind


class Fate(IntEnum):
    """What an outage does to an element, from nothing to the worst."""

    UNCHANGED = 0
    TRANSFERRED = 1
    """It lost an input and goes on with the others."""
    HELD = 2
    """Batteries hold it until gensets run or a tie is closed."""
    RESTARTED = 3
    """Dark until gensets run or a tie is closed."""
    RUNS_OUT = 4
    """On batteries, with nothing to follow."""
    DARK = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outage. ``fate`` per node; ``autonomy_s`` of each UPS whose batteries hold it, NaN elsewhere.

    ``loads`` and ``against`` are once gensets run and batteries are spent: what gets more than its rating is over
    100 %. ``uncooled`` are the elements that lost all of their cooling.
    """

    fate: NDArray[np.int8]
    autonomy_s: Reals
    loads: Loads
    against: Capacity
    uncooled: Mask

    def overloaded(self, before: Capacity) -> Ints:
        """Nodes that the outage takes over their rating."""
        return np.flatnonzero((self.against.load_pct > 100) & (self.against.load_pct > before.load_pct)).astype(
            np.int32
        )

    def overloaded_edges(self, before: Capacity, breaker_share: float = BREAKER_SHARE) -> Ints:
        """Links whose breaker the outage loads over its whole rating, so that it will trip too."""
        over = self.against.edge_pct * breaker_share > 100
        return np.flatnonzero(over & (self.against.edge_pct > before.edge_pct)).astype(np.int32)


def what_if(
    net: Network,
    tripped: Sequence[int],
    before: Loads,
    *,
    cooling: Network | None = None,
    breaker_share: float = BREAKER_SHARE,
) -> Outcome:
    """Trip elements together. ``before`` are the loads until then, by meters where they were."""
    out = np.zeros(net.count, np.bool_)
    out[list(tripped)] = True
    held = batteried(net)
    normal = supply(net)
    at_once = supply(net, out, without=(Tier.TIE, Tier.GENSET), held=held)
    lasting = supply(net, out, without=(Tier.BATTERY,))
    # From now on consumers draw what they drew, wherever it comes from.
    drew = replace(
        net, demand_kw=np.where(net.consumes & (before.into_kw.sum(1) > 0), before.into_kw.sum(1), net.demand_kw)
    )
    loads = load_flow(drew, lasting)
    return Outcome(
        _fates(net, out, normal, at_once, lasting),
        _autonomy(net, drew, at_once, held),
        loads,
        capacity(net, lasting, loads, breaker_share=breaker_share),
        np.zeros(net.count, np.bool_) if cooling is None else _uncooled(net, cooling, out, normal, lasting),
    )


def batteried(net: Network) -> Ints:
    """UPS that have batteries: a capacity of their own, or a battery in service before them."""
    units = net.of_kind(ElementKind.UPS)
    return units[_stored_kwh(net)[units] > 0]


def _stored_kwh(net: Network) -> Reals:
    may, stored = closed_edges(net), net.capacity_kwh.copy()
    edges = np.flatnonzero(may & (net.tier[net.graph.source] == Tier.BATTERY))
    outputs = np.maximum(1, np.bincount(net.graph.source[edges], minlength=net.count))
    begin = net.graph.source[edges]
    np.add.at(stored, net.graph.target[edges], net.capacity_kwh[begin] / outputs[begin])
    return stored


def _fates(net: Network, out: Mask, normal: Supply, at_once: Supply, lasting: Supply) -> NDArray[np.int8]:
    was_fed, lasts = normal.tier < Tier.DARK, lasting.tier < Tier.DARK
    from_battery, stays = at_once.tier == Tier.BATTERY, at_once.tier < Tier.BATTERY
    # A genset that stands by is no loss.
    was_fed &= (net.tier == Tier.DARK) | (net.tier == Tier.UTILITY) | out
    lost = np.zeros(net.count, np.bool_)
    lost[net.graph.target[normal.carries & ~lasting.carries]] = True
    fate = np.select(
        [~was_fed, out, lasts & stays & lost, lasts & stays, lasts & from_battery, lasts, from_battery],
        [Fate.UNCHANGED, Fate.DARK, Fate.TRANSFERRED, Fate.UNCHANGED, Fate.HELD, Fate.RESTARTED, Fate.RUNS_OUT],
        Fate.DARK,
    )
    return fate.astype(np.int8)


def _autonomy(net: Network, drew: Network, at_once: Supply, held: Ints) -> Reals:
    found = np.full(net.count, np.nan)
    units = held[at_once.tier[held] == Tier.BATTERY]
    output = load_flow(drew, at_once).out_kw.sum(1)[units] / net.efficiency[units]
    found[units] = np.divide(
        3600.0 * _stored_kwh(net)[units], output, out=np.full(len(units), np.inf), where=output > 0
    )
    return found


def _uncooled(net: Network, cooling: Network, out: Mask, normal: Supply, lasting: Supply) -> Mask:
    """What had cooling and has none: coolers that tripped or lost their power pass nothing on."""
    graph = cooling.graph
    went_off = (normal.tier < Tier.DARK) & (lasting.tier == Tier.DARK)
    is_cooled = np.bincount(graph.target, minlength=net.count) > 0
    roots = np.flatnonzero(~is_cooled & (np.bincount(graph.source, minlength=net.count) > 0)).astype(np.int32)
    had = graph.reached(roots[net.active[roots]], closed_edges(cooling))
    down = out | went_off
    has = graph.reached(roots[net.active[roots] & ~down[roots]], closed_edges(cooling, down))
    lost: Mask = is_cooled & had & ~has & ~down
    return lost


@dataclass(frozen=True, slots=True)
class OutageTable:
    """One row per outage. Consumers and their kW: dark until gensets run or a tie is closed, and dark for good."""

    tripped: Ints
    at_once: NDArray[np.int64]
    at_once_kw: Reals
    for_good: NDArray[np.int64]
    for_good_kw: Reals


N1_KINDS = (ElementKind.UTILITY_FEED, ElementKind.TRANSFORMER, ElementKind.PDU)


def n1_table(net: Network, drawn_kw: Reals, kinds: Sequence[ElementKind] = N1_KINDS) -> OutageTable:
    """Every single outage of elements of ``kinds``; ``drawn_kw`` (N) is what consumers draw.

    An outage is over its own batteries: at once means what no utility feed and no UPS holds.
    """
    rows = net.of_kind(*kinds)
    weights = np.stack([net.consumes.astype(np.float64), np.where(net.consumes, drawn_kw, 0.0)], axis=1)
    may = closed_edges(net)
    feeds = np.flatnonzero(net.active & (net.tier == Tier.UTILITY)).astype(np.int32)
    held = batteried(net)
    first = dominators(net.graph, np.union1d(feeds, held[net.active[held]]), may & ~net.normally_open)
    lasting = supply_dominators(net)
    at_once, for_good = first.below(weights)[rows], lasting.below(weights)[rows]
    return OutageTable(
        rows, at_once[:, 0].astype(np.int64), at_once[:, 1], for_good[:, 0].astype(np.int64), for_good[:, 1]
    )


@dataclass(frozen=True, slots=True)
class PairTable:
    """One row per pair: consumers that are dark for good, and how many of them neither outage alone takes."""

    pairs: Ints
    dark: NDArray[np.int64]
    dark_kw: Reals
    beyond_single: NDArray[np.int64]


PAIRS_MAX = 50_000
_BITS = 64


def n2_table(net: Network, drawn_kw: Reals, among: Ints) -> PairTable:
    """Every pair of outages ``among`` some elements, 64 at a time. At most PAIRS_MAX pairs; more are a ValueError."""
    first, second = np.triu_indices(len(among), 1)
    if len(first) > PAIRS_MAX:
        raise ValueError(f"pairs of outages: {len(first)}; at most {PAIRS_MAX}")
    pairs = np.stack([among[first], among[second]], axis=1).astype(np.int32)
    users = np.flatnonzero(net.consumes & (supply(net, without=(Tier.BATTERY,)).tier < Tier.DARK))
    alone = np.zeros((len(users), len(among)), np.bool_)
    for at in range(0, len(among), _BITS):
        part = among[at : at + _BITS]
        alone[:, at : at + _BITS] = _dark(net, np.stack([part, part], axis=1), users)
    dark, beyond, dark_kw = (np.zeros(len(pairs)) for _ in range(3))
    for at in range(0, len(pairs), _BITS):
        rows = slice(at, at + _BITS)
        found = _dark(net, pairs[rows], users)
        dark[rows], dark_kw[rows] = found.sum(0), drawn_kw[users] @ found
        beyond[rows] = (found & ~alone[:, first[rows]] & ~alone[:, second[rows]]).sum(0)
    return PairTable(pairs, dark.astype(np.int64), dark_kw, beyond.astype(np.int64))


def _dark(net: Network, outages: Ints, users: NDArray[np.intp]) -> Mask:
    """Which of ``users`` (rows) up to 64 outages (columns) leave without utility and genset: one bit per outage."""
    graph, may = net.graph, closed_edges(net)
    bits = np.uint64(1) << np.arange(len(outages), dtype=np.uint64)
    up = np.full(net.count, ~np.uint64(0))
    for column in outages.T:
        np.bitwise_and.at(up, column, ~bits)
    edges = graph.in_edges
    fed = np.flatnonzero(np.diff(graph.in_start))
    begin = graph.source[edges]
    walkable = np.where(may[edges], ~np.uint64(0), np.uint64(0))
    own = np.where(net.active & ((net.tier == Tier.UTILITY) | (net.tier == Tier.GENSET)), up, np.uint64(0))
    live = own.copy()
    while True:
        reached = np.zeros_like(live)
        if len(fed):
            reached[fed] = np.bitwise_or.reduceat(live[begin] & walkable, graph.in_start[fed])
        new = own | (reached & up)
        if (new == live).all():
            break
        live = new
    dark: Mask = (live[users, None] & bits) == 0
    return dark
