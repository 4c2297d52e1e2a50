"""The plant as arrays: who feeds whom, what each carries at most, and which links carry in a given state. Pure.

Supply comes in tiers: a node is fed by the utility if it can be, over normally open links if it cannot, by gensets
where there is no utility, from batteries last. PV alone keeps nothing up, and counts as no supply.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from mbongi.facility.rules.graph import UNREACHED, Graph, Ints, Mask, by_layer
from mbongi.facility.rules.three_phase import SQRT3
from mbongi.facility.values import CONSUMERS, COOLERS, Element, ElementKind, ElementStatus, Link, LinkKind, Phases, Side

LINE_VOLTAGE_V = 400.0
"""Where none is stated. Source: IEC 60038, the usual low voltage of 50 Hz."""
POWER_FACTOR = 1.0
EFFICIENCY = {ElementKind.TRANSFORMER: 0.985, ElementKind.UPS: 0.95}
"""Where none is stated: distribution transformers near their rating, and double conversion; a site states its own."""

KINDS = tuple(ElementKind)
CODE = {kind: code for code, kind in enumerate(KINDS)}
Reals = NDArray[np.float64]


class Tier(IntEnum):
    """What feeds a node."""

    UTILITY = 0
    TIE = 1
    """The utility, over a link that is normally open."""
    GENSET = 2
    BATTERY = 3
    DARK = 4


_TIERS = {
    ElementKind.UTILITY_FEED: Tier.UTILITY,
    ElementKind.GENSET: Tier.GENSET,
    ElementKind.BATTERY: Tier.BATTERY,
}
_PHASE_CODE = {Phases.L1: 0, Phases.L2: 1, Phases.L3: 2, Phases.THREE: 3, Phases.NONE: 3}
_SIDE_CODE = {Side.NONE: 0, Side.A: 1, Side.B: 2}
_OUTPUT_RATED = frozenset({
    ElementKind.TRANSFORMER, ElementKind.UPS, ElementKind.GENSET, ElementKind.UTILITY_FEED, ElementKind.PV,
    ElementKind.BATTERY,
})  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """One kind of links (power or cooling) between all elements. Nodes: arrays of the elements; edges: of the links.

    ``limit_kva`` and ``limit_kw`` are per phase, inf where nothing is stated; ``edge_kva`` is a breaker's rating per
    phase, before any rule. ``phase`` is 0 to 2, or 3 for all three; ``has_phase`` (N, 3) is what its links bring each
    node, all three where no link does. ``by_output`` says that a rating is of the output.
    """

    tags: tuple[str, ...]
    number: dict[str, int]
    links: tuple[str, ...]
    graph: Graph
    kind: NDArray[np.int8]
    active: Mask
    tier: NDArray[np.int8]
    consumes: Mask
    demand_kw: Reals
    tan_phi: Reals
    efficiency: Reals
    limit_kva: Reals
    limit_kw: Reals
    rated_kw: Reals
    by_output: Mask
    has_phase: Mask
    line_v: Reals
    capacity_kwh: Reals
    phase: NDArray[np.int8]
    side: NDArray[np.int8]
    edge_kva: Reals
    normally_open: Mask

    @property
    def count(self) -> int:
        """How many nodes."""
        return len(self.tags)

    def of_kind(self, *kinds: ElementKind) -> Ints:
        """The nodes of some kinds."""
        return np.flatnonzero(np.isin(self.kind, [CODE[kind] for kind in kinds])).astype(np.int32)

    def kind_of(self, node: int) -> ElementKind:
        """What a node is."""
        return KINDS[int(self.kind[node])]


def network(elements: Sequence[Element], links: Iterable[Link], kind: LinkKind = LinkKind.POWER) -> Network:
    """The arrays of an inventory. Links to elements that are not among ``elements`` raise KeyError."""
    number = {element.tag: at for at, element in enumerate(elements)}
    used = [link for link in links if link.kind is kind]
    ends = np.array([(number[link.source], number[link.target]) for link in used], np.int32).reshape(-1, 2)
    graph = Graph.of(len(elements), ends[:, 0], ends[:, 1])
    phase = np.array([_PHASE_CODE[link.phases] for link in used], np.int8)
    voltage = _reals(LINE_VOLTAGE_V if each.rated_v is None else each.rated_v for each in elements)
    has_phase = _phases(graph, phase)
    # A voltage that is stated of something on one phase lies between phase and neutral.
    is_single = np.array([each.phases == 1 and each.rated_v is not None for each in elements], np.bool_)
    line_v = np.where(is_single, voltage * SQRT3, voltage)
    conductors = np.where(has_phase.all(1), 3.0, 1.0)
    rated_kva = _reals(np.inf if each.rated_kva is None else each.rated_kva for each in elements) / conductors
    rated_a = _reals(np.inf if each.rated_a is None else each.rated_a for each in elements)
    power_factor = _reals(POWER_FACTOR if each.power_factor is None else each.power_factor for each in elements)
    breaker_a = _reals(np.inf if link.breaker_a is None else link.breaker_a for link in used)
    return Network(
        tags=tuple(number),
        number=number,
        links=tuple(link.tag for link in used),
        graph=graph,
        kind=np.array([CODE[each.kind] for each in elements], np.int8),
        active=np.array([each.status is ElementStatus.ACTIVE for each in elements], np.bool_),
        tier=np.array([_TIERS.get(each.kind, Tier.DARK) for each in elements], np.int8),
        consumes=np.array([each.kind in CONSUMERS for each in elements], np.bool_),
        demand_kw=_reals(map(demand_of, elements)),
        tan_phi=np.sqrt(1.0 / power_factor**2 - 1.0),
        efficiency=_reals(
            EFFICIENCY.get(each.kind, 1.0) if each.efficiency is None else each.efficiency for each in elements
        ),
        limit_kva=np.minimum(rated_kva, rated_a * line_v / SQRT3 / 1e3),
        limit_kw=_reals(map(_rated_kw, elements)) / conductors,
        rated_kw=_reals(np.inf if each.rated_kw is None else each.rated_kw for each in elements),
        by_output=np.array([each.kind in _OUTPUT_RATED for each in elements], np.bool_),
        has_phase=has_phase,
        line_v=line_v,
        capacity_kwh=_reals(each.capacity_kwh or 0.0 for each in elements),
        phase=phase,
        side=np.array([_SIDE_CODE[link.side] for link in used], np.int8),
        edge_kva=breaker_a * line_v[graph.source] / SQRT3 / 1e3,
        normally_open=np.array([link.normally_open for link in used], np.bool_),
    )


def demand_of(element: Element) -> float:
    """What a consumer is expected to draw, kW: as stated, else its rating; 0 of what consumes nothing of its own."""
    if element.demand_kw is not None:
        return element.demand_kw
    if element.kind not in CONSUMERS or element.kind in COOLERS:
        return 0.0
    return element.rated_kw or 0.0


def _rated_kw(element: Element) -> float:
    # A cooler's rating is the heat that it removes, which is no limit of its supply.
    return np.inf if element.rated_kw is None or element.kind in COOLERS else element.rated_kw


def _phases(graph: Graph, phase: NDArray[np.int8]) -> Mask:
    found = np.zeros((graph.count, 3), np.bool_)
    for at in range(3):
        found[graph.target[(phase == at) | (phase == 3)], at] = True
    found[~found.any(1)] = True
    return found


def _reals(values: Iterable[float]) -> Reals:
    return np.fromiter(values, np.float64)


@dataclass(frozen=True, slots=True)
class Supply:
    """What carries in one state of the plant: each node's tier, the edges that carry, the layers from the sources."""

    tier: NDArray[np.int8]
    carries: Mask
    layer: Ints

    def edges_by_layer(self, graph: Graph) -> dict[int, NDArray[np.intp]]:
        """The edges that carry, by the layer of their targets."""
        edges = np.flatnonzero(self.carries & (self.layer[graph.target] >= 0) & (self.layer[graph.source] >= 0))
        layers = self.layer[graph.target[edges]]
        return {int(layers[part[0]]): edges[part] for part in by_layer(layers)}


def closed_edges(net: Network, tripped: Mask | None = None) -> Mask:
    """The edges between elements that are in service and have not tripped, open links included."""
    up = net.active if tripped is None else net.active & ~tripped
    return up[net.graph.source] & up[net.graph.target]


def supply(
    net: Network, tripped: Mask | None = None, *, without: Iterable[Tier] = (), held: Ints | None = None
) -> Supply:
    """Who is fed by what once ``tripped`` elements are out; ``without`` leaves some sources out.

    Nodes of ``held`` are fed from their own batteries, whatever is before them.
    """
    graph, usable = net.graph, closed_edges(net, tripped)
    up = net.active if tripped is None else net.active & ~tripped
    tier = np.full(net.count, Tier.DARK, np.int8)
    left_out = set(without)
    for step in (Tier.UTILITY, Tier.TIE, Tier.GENSET, Tier.BATTERY):
        starts = up & (net.tier == step) & (step not in left_out)
        if step is Tier.BATTERY and held is not None:
            starts[held] |= up[held]
        roots = np.flatnonzero(starts | (tier < Tier.DARK)).astype(np.int32)
        may = usable & ~net.normally_open if step is Tier.UTILITY else usable
        tier[graph.reached(roots, may) & (tier == Tier.DARK)] = step
    edge_tier = np.where(net.normally_open, np.maximum(tier[graph.source], Tier.TIE), tier[graph.source])
    # A consumer draws from every input that is live; whatever passes power on has one supply at a time.
    draws = net.consumes[graph.target] & ~net.normally_open
    carries = usable & (edge_tier < Tier.DARK) & (draws | (edge_tier == tier[graph.target]))
    own = (net.tier <= tier) & (net.tier < Tier.DARK)
    if held is not None:
        own[held] |= tier[held] == Tier.BATTERY
    carries &= ~own[graph.target]
    carries, layer = graph.without_rings(carries, np.flatnonzero(own & (tier < Tier.DARK)).astype(np.int32))
    return Supply(tier, carries, np.where(tier == Tier.DARK, UNREACHED, layer).astype(np.int32))
