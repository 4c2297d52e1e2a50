"""A directed multigraph in compressed rows, and walks over it, without a Python step per node. Pure.

Nodes and edges are numbered from 0. A mask says which edges may be walked; nodes are left out by the edges around them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Mask = NDArray[np.bool_]
UNREACHED = -1


@dataclass(frozen=True, slots=True)
class Graph:
    """Edges by number (``source``, ``target``), and for each node which edges leave and enter it."""

    count: int
    source: Ints
    target: Ints
    out_start: Ints
    out_edges: Ints
    in_start: Ints
    in_edges: Ints

    @classmethod
    def of(cls, count: int, source: Ints, target: Ints) -> "Graph":
        """The graph of ``count`` nodes; ``source`` and ``target`` hold one entry per edge."""
        source, target = source.astype(np.int32), target.astype(np.int32)
        return cls(count, source, target, *_rows(count, source), *_rows(count, target))

    @property
    def edges(self) -> int:
        """How many there are."""
        return len(self.source)

    def leaving(self, nodes: Ints) -> Ints:
        """The edges that leave any of ``nodes``."""
        return _gather(self.out_start, self.out_edges, nodes)

    def entering(self, nodes: Ints) -> Ints:
        """The edges that enter any of ``nodes``."""
        return _gather(self.in_start, self.in_edges, nodes)

    def distances(self, roots: Ints, may: Mask, *, up: bool = False) -> Ints:
        """Steps from the nearest of ``roots`` over edges of ``may``, with ``up`` against them; or UNREACHED."""
        far = np.full(self.count, UNREACHED, np.int32)
        far[roots] = 0
        walk, end = (self.entering, self.source) if up else (self.leaving, self.target)
        front, step = np.unique(roots).astype(np.int32), 0
        while len(front):
            step += 1
            edges = walk(front)
            found = end[edges[may[edges]]]
            front = np.unique(found[far[found] == UNREACHED])
            far[front] = step
        return far

    def reached(self, roots: Ints, may: Mask, *, up: bool = False) -> Mask:
        """Which nodes can be walked to from any of ``roots``, themselves included."""
        found: Mask = self.distances(roots, may, up=up) != UNREACHED
        return found

    def layers(self, may: Mask) -> tuple[Ints, Mask]:
        """The longest way to each node over edges of ``may``, and which nodes lie on or behind a ring (-1 there)."""
        open_edges = np.bincount(self.target[may], minlength=self.count)
        layer = np.full(self.count, UNREACHED, np.int32)
        front, step = np.flatnonzero(open_edges == 0).astype(np.int32), 0
        while len(front):
            layer[front] = step
            edges = self.leaving(front)
            ends, times = np.unique(self.target[edges[may[edges]]], return_counts=True)
            open_edges[ends] -= times
            front, step = ends[open_edges[ends] == 0], step + 1
        return layer, layer == UNREACHED

    def without_rings(self, may: Mask, roots: Ints) -> tuple[Mask, Ints]:
        """``may`` with every ring opened where it is farthest from ``roots``, and the layers of what is left."""
        layer, in_ring = self.layers(may)
        if not in_ring.any():
            return may, layer
        far = self.distances(roots, may)
        inside = may & in_ring[self.source] & in_ring[self.target]
        kept = may & ~(inside & (far[self.source] >= far[self.target]))
        return kept, self.layers(kept)[0]


def by_layer(keys: Ints, *, falling: bool = False) -> Iterator[NDArray[np.intp]]:
    """Positions of equal ``keys`` together, by rising or falling key; negative keys are left out."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = int(np.searchsorted(ordered, 0))
    cuts = np.flatnonzero(np.diff(ordered[first:])) + first + 1
    groups = np.split(order[first:], cuts - first) if first < len(order) else []
    return iter(reversed(groups) if falling else groups)


def _rows(count: int, keys: Ints) -> tuple[Ints, Ints]:
    start = np.zeros(count + 1, np.int32)
    np.cumsum(np.bincount(keys, minlength=count), out=start[1:])
    return start, np.argsort(keys, kind="stable").astype(np.int32)


def _gather(start: Ints, edges: Ints, nodes: Ints) -> Ints:
    first = start[nodes]
    counts = start[nodes + 1] - first
    total = int(counts.sum())
    begin = np.repeat(first - (np.cumsum(counts) - counts), counts)
    return edges[begin + np.arange(total, dtype=np.int32)]
