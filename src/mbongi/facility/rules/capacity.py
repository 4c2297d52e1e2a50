"""How much each element carries of what it may, how much can be added below it, and what of that is stranded. Pure.

All of it holds for one state of the plant. What a failed side would hand over to the other one is an outage's question.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbongi.facility.rules.dominators import dominators
from mbongi.facility.rules.graph import Ints, Mask
from mbongi.facility.rules.load_flow import Loads
from mbongi.facility.rules.network import CODE, Network, Reals, Supply
from mbongi.facility.values import ElementKind

BREAKER_SHARE = 0.8
"""Of a breaker's rating, what a lasting load may be. Source: NFPA 70 (NEC) 210.20(A), 215.3: 125 % of such a load."""
NOTHING = -1
UNLIMITED_KW = 1e9
"""Stands for no stated limit, so that differences stay finite."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Per node; kW of all phases together unless said otherwise. ``load_pct`` is of the fullest phase.

    ``free_kw`` is what an element's own rating leaves. ``left_kw`` is what a balanced load below it can add, after
    everything above it and its cooling; ``limited_by`` is what binds: a node, the count of nodes plus an edge, or
    NOTHING. ``deliverable_kw`` is how much of that the elements below can take.
    ``stranded_kw`` is the part of ``free_kw`` that nothing can use, for what is above, below, in phases or in cooling.
    """

    load_pct: Reals
    edge_pct: Reals
    free_kw: Reals
    left_kw: Reals
    deliverable_kw: Reals
    limited_by: Ints

    @property
    def stranded_kw(self) -> Reals:
        """0 where nothing limits the element itself."""
        return np.where(self.free_kw >= UNLIMITED_KW, 0.0, np.maximum(0.0, self.free_kw - self.deliverable_kw))


def capacity(
    net: Network,
    state: Supply,
    loads: Loads,
    *,
    breaker_share: float = BREAKER_SHARE,
    cooling_left_kw: Reals | None = None,
) -> Capacity:
    """Loads against ratings. ``cooling_left_kw`` (N) is what each node's cooling can still take, inf without any."""
    rule = np.where(net.kind == CODE[ElementKind.BREAKER], breaker_share, 1.0)
    at_output = net.by_output & (loads.out_kw.sum(1) > 0)
    power = np.where(at_output[:, None], loads.out_kw, loads.into_kw)
    reactive = np.where(at_output[:, None], loads.out_kvar, loads.into_kvar)
    load_pct, room = _against(power, reactive, net.limit_kva * rule, net.limit_kw * rule)
    none = np.full(net.graph.edges, np.inf)
    edge_pct, edge_room = _against(loads.edge_kw, loads.edge_kvar, net.edge_kva * breaker_share, none)
    own = room if cooling_left_kw is None else np.minimum(room, cooling_left_kw[:, None] / 3)
    own, edge_room = np.where(net.has_phase, own, 0.0), np.where(_edge_phases(net), edge_room, 0.0)
    left, limited_by = _from_above(net, state, own, edge_room)
    usable = _balanced(left, net.has_phase)
    free = np.minimum(UNLIMITED_KW, np.where(net.has_phase, room, 0.0).sum(1))
    below = _to_below(net, state, usable, _balanced(edge_room, _edge_phases(net)))
    return Capacity(load_pct.max(1), edge_pct.max(1, initial=0.0), free, usable, below, limited_by)


def _against(power: Reals, reactive: Reals, limit_kva: Reals, limit_kw: Reals) -> tuple[Reals, Reals]:
    """Percent of the limits by phase, and the kW at the same power factor that they leave."""
    apparent = np.hypot(power, reactive)
    factor = np.divide(power, apparent, out=np.ones_like(power), where=apparent > 0)
    by_kva, by_kw = limit_kva[:, None], limit_kw[:, None]
    room = np.minimum((np.minimum(by_kva, UNLIMITED_KW) - apparent) * factor, np.minimum(by_kw, UNLIMITED_KW) - power)
    return 100.0 * np.maximum(apparent / by_kva, power / by_kw), np.maximum(0.0, room)


def _edge_phases(net: Network) -> Mask:
    found: Mask = (net.phase[:, None] == np.arange(3)) | (net.phase[:, None] == 3)
    return found


def _balanced(room: Reals, has_phase: Mask) -> Reals:
    """What a load adds that is even over the phases which are there."""
    found: Reals = np.minimum(UNLIMITED_KW, np.where(has_phase.all(1), 3 * room.min(1), room.max(1)))
    return found


def _from_above(net: Network, state: Supply, own: Reals, edge_room: Reals) -> tuple[Reals, Ints]:
    """Walk down: each node can take what it leaves itself, what its inputs can bring it, and what they come from."""
    graph, edges_of = net.graph, state.edges_by_layer(net.graph)
    parting = dominators(graph, np.flatnonzero(state.layer == 0).astype(np.int32), state.carries).above
    left = np.where((state.layer >= 0)[:, None], own, 0.0)
    limited_by = np.where(_balanced(own, net.has_phase) < UNLIMITED_KW, np.arange(net.count), NOTHING).astype(np.int32)
    for layer in sorted(edges_of):
        edges = edges_of[layer]
        begin, end = graph.source[edges], graph.target[edges]
        brought = np.minimum(edge_room[edges], left[begin]) * net.efficiency[end][:, None]
        nodes, at = np.unique(end, return_inverse=True)
        together = _over_sides(brought, net.side[edges], at, len(nodes))
        size = _balanced(brought, _edge_phases(net)[edges])
        tightest = _smallest(at, size)
        by_edge = _balanced(edge_room[edges], _edge_phases(net)[edges]) <= _balanced(left[begin], net.has_phase[begin])
        cause = np.where(by_edge, net.count + edges, limited_by[begin])[tightest]
        binds = _balanced(together, net.has_phase[nodes]) < _balanced(own[nodes], net.has_phase[nodes])
        limited_by[nodes] = np.where(binds, cause, limited_by[nodes])
        left[nodes] = np.minimum(own[nodes], together)
        # Inputs that come from one element share what that one has left.
        origin = np.maximum(parting[nodes], 0)
        has, most = _balanced(left[nodes], net.has_phase[nodes]), _balanced(left[origin], net.has_phase[origin])
        shared = (parting[nodes] >= 0) & (has > most)
        left[nodes[shared]] *= (most[shared] / has[shared])[:, None]
        limited_by[nodes[shared]] = limited_by[origin[shared]]
    return left, limited_by


def _over_sides(brought: Reals, side: NDArray[np.int8], at: NDArray[np.intp], count: int) -> Reals:
    """Inputs of one side add up; of sides A and B the weaker one counts, so that both can go on alone."""
    sums = np.zeros((3, count, 3))
    has = np.zeros((3, count), np.bool_)
    np.add.at(sums, (side, at), brought)
    has[side, at] = True
    both = has[1] & has[2]
    pair = np.where(both[:, None], np.minimum(sums[1], sums[2]), sums[1] + sums[2])
    found: Reals = np.minimum(UNLIMITED_KW, sums[0] + pair)
    return found


def _smallest(at: NDArray[np.intp], size: Reals) -> NDArray[np.intp]:
    """For each group of ``at`` (0, 1, …) the position of its smallest ``size``."""
    order = np.lexsort((size, at))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = at[order][1:] != at[order][:-1]
    found: NDArray[np.intp] = order[is_first]
    return found


def _to_below(net: Network, state: Supply, usable: Reals, edge_room: Reals) -> Reals:
    """Walk up: what passes power on can hand out at most what the parts below it can take."""
    graph, edges_of = net.graph, state.edges_by_layer(net.graph)
    found, offered = usable.copy(), np.zeros(net.count)
    passes = np.zeros(net.count, np.bool_)
    for layer in sorted(edges_of, reverse=True):
        edges = edges_of[layer]
        edges = edges[~net.consumes[graph.target[edges]]]
        end = graph.target[edges]
        nodes = np.unique(end)
        found[nodes] = np.where(passes[nodes], np.minimum(usable[nodes], offered[nodes]), usable[nodes])
        np.add.at(offered, graph.source[edges], np.minimum(edge_room[edges], found[end] / net.efficiency[end]))
        passes[graph.source[edges]] = True
    roots = passes & (state.layer == 0)
    found[roots] = np.minimum(usable[roots], offered[roots])
    return found
