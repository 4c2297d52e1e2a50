"""Which single element stands between each node and all of its sources: the dominator tree. Pure.

A node goes dark when an element trips if, and only if, that element dominates it: every way from any source leads
through it. So one tree answers "what goes dark?" for every element at once.
Source: K. Cooper, T. Harvey, K. Kennedy, A Simple, Fast Dominance Algorithm, 2001; here all nodes step together, and
the distance from the sources orders them, since whatever dominates a node is nearer to them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbongi.facility.rules.graph import UNREACHED, Graph, Ints, Mask, by_layer

ROOT = -1
"""Stands for all sources together: a node below it has no single element between itself and them."""
APART = -2
"""Of a node that no source reaches."""


@dataclass(frozen=True, slots=True)
class Dominators:
    """``above`` is each node's immediate dominator, ROOT or APART; ``depth`` counts from 1 below the root, 0 apart."""

    above: Ints
    depth: Ints

    def chain(self, node: int) -> list[int]:
        """Every element whose trip alone takes ``node`` down, nearest first, without itself."""
        found, at = [], int(self.above[node])
        while at >= 0:
            found.append(at)
            at = int(self.above[at])
        return found

    def below(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each node the sum of ``weights`` (first axis: nodes) over itself and all that goes dark with it."""
        total = np.where((self.depth > 0).reshape(-1, *[1] * (weights.ndim - 1)), weights, 0.0)
        for nodes in by_layer(np.where(self.depth > 1, self.depth, UNREACHED).astype(np.int32), falling=True):
            np.add.at(total, self.above[nodes], total[nodes])
        return total


def dominators(graph: Graph, sources: Ints, may: Mask) -> Dominators:
    """The dominator tree from ``sources`` over edges of ``may``, rings included."""
    # Node 0 of the tree stands for all sources together, so that none of them dominates what another feeds.
    key = np.zeros(graph.count + 1, np.int32)
    far = graph.distances(sources, may)
    key[1:] = far + 1
    above = np.zeros(graph.count + 1, np.int32)
    edges = np.flatnonzero(may & (far[graph.source] != UNREACHED))
    is_source = np.zeros(graph.count, np.bool_)
    is_source[sources] = True
    edges = edges[~is_source[graph.target[edges]]]
    # One edge from each neighbour is enough, the nearest neighbour first: it is where the tree begins.
    order = np.lexsort((graph.source[edges], far[graph.source[edges]], graph.target[edges]))
    begin, end = graph.source[edges][order] + 1, graph.target[edges][order] + 1
    is_new = np.ones(len(end), np.bool_)
    is_new[1:] = (begin[1:] != begin[:-1]) | (end[1:] != end[:-1])
    begin, end = begin[is_new], end[is_new]
    is_first = np.ones(len(end), np.bool_)
    is_first[1:] = end[1:] != end[:-1]
    above[end[is_first]] = begin[is_first]
    _settle(above, key, begin[~is_first], end[~is_first])
    return _tree(above, far)


def _settle(above: Ints, key: Ints, begin: Ints, end: Ints) -> None:
    """Lift each node to where the ways to all its neighbours part, until nothing moves."""
    # Further neighbours of one node are taken in turns; each turn has every node at most once.
    turn = np.arange(len(end), dtype=np.int32)
    starts = np.ones(len(end), np.bool_)
    starts[1:] = end[1:] != end[:-1]
    turn -= np.maximum.accumulate(np.where(starts, turn, 0))
    turns = list(by_layer(turn))
    moved = True
    while moved:
        moved = False
        for part in turns:
            nodes = end[part]
            found = _common(above, key, above[nodes], begin[part])
            if (found != above[nodes]).any():
                above[nodes], moved = found, True


def _common(above: Ints, key: Ints, left: Ints, right: Ints) -> Ints:
    """Where the ways up from ``left`` and ``right`` meet, pair by pair."""
    left, right = left.copy(), right.copy()
    apart = np.flatnonzero(left != right)
    while len(apart):
        one, other = left[apart], right[apart]
        lower, higher = key[one] >= key[other], key[other] >= key[one]
        left[apart] = np.where(lower, above[one], one)
        right[apart] = np.where(higher, above[other], other)
        apart = apart[left[apart] != right[apart]]
    return left


def _tree(above: Ints, far: Ints) -> Dominators:
    depth = np.zeros(len(above), np.int32)
    reached = np.zeros(len(above), np.bool_)
    reached[1:] = far != UNREACHED
    for nodes in by_layer(np.concatenate([np.array([UNREACHED], np.int32), far])):
        depth[nodes] = depth[above[nodes]] + 1
    upper = np.where(reached, above - 1, APART)[1:].astype(np.int32)
    return Dominators(upper, depth[1:])
