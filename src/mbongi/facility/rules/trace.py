"""Where an element's power comes from, what it feeds, and whether its two paths are really two. Pure."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from mbongi.facility.rules.dominators import APART, Dominators, dominators
from mbongi.facility.rules.graph import UNREACHED, Ints
from mbongi.facility.rules.network import Network, Tier, closed_edges


@dataclass(frozen=True, slots=True)
class Trace:
    """Nodes by their distance from the one that was asked for, itself at 0, and the edges between them.

    ``ends`` are the nodes at which it stops: the sources on the way up, the consumers on the way down.
    """

    nodes: Ints
    steps: Ints
    edges: Ints
    ends: Ints


def trace(net: Network, node: int, *, up: bool = True) -> Trace:
    """Everything that ``node`` is fed by (``up``), or that it feeds, through elements in service."""
    may, graph = closed_edges(net), net.graph
    far = graph.distances(np.array([node], np.int32), may, up=up)
    nodes = np.flatnonzero(far != UNREACHED).astype(np.int32)
    nodes = nodes[np.argsort(far[nodes], kind="stable")]
    edges = graph.entering(nodes) if up else graph.leaving(nodes)
    edges = np.unique(edges[may[edges]])
    onward = np.bincount((graph.target if up else graph.source)[edges], minlength=net.count)
    return Trace(nodes, far[nodes], edges, nodes[onward[nodes] == 0])


class Verdict(StrEnum):
    """How far two paths are apart."""

    UNFED = "unfed"
    SINGLE = "single"
    """One path only, or two of one side."""
    SHARED = "shared"
    """Sides A and B, with an element whose trip takes both."""
    MESHED = "meshed"
    """Sides A and B pass through the same elements, yet none of them is needed by both."""
    DISJOINT = "disjoint"


@dataclass(frozen=True, slots=True)
class Diversity:
    """``single_points`` take the element down alone, nearest first; ``shared`` lie on paths of both sides."""

    verdict: Verdict
    single_points: tuple[int, ...]
    shared: tuple[int, ...]


def supply_dominators(net: Network) -> Dominators:
    """Of the power network, from utility feeds and gensets in service, open links included."""
    sources = np.flatnonzero(net.active & ((net.tier == Tier.UTILITY) | (net.tier == Tier.GENSET))).astype(np.int32)
    return dominators(net.graph, sources, closed_edges(net))


def diversity(net: Network, node: int, tree: Dominators) -> Diversity:
    """Whether sides A and B of ``node`` are disjoint all the way to the sources, over links that are closed."""
    may, graph = closed_edges(net) & ~net.normally_open, net.graph
    inputs = graph.entering(np.array([node], np.int32))
    inputs = inputs[may[inputs]]
    reach = [graph.reached(graph.source[inputs[net.side[inputs] == side]], may, up=True) for side in (1, 2)]
    shared = tuple(int(at) for at in np.flatnonzero(reach[0] & reach[1]))
    points = tuple(tree.chain(node))
    if tree.above[node] == APART:
        verdict = Verdict.UNFED
    elif not reach[0].any() or not reach[1].any():
        verdict = Verdict.SINGLE
    elif points:
        verdict = Verdict.SHARED
    else:
        verdict = Verdict.MESHED if shared else Verdict.DISJOINT
    return Diversity(verdict, points, shared)
