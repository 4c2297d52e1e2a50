"""The one-line diagram: which elements are drawn at a zoom level, and where. Pure.

Sources stand at the top, each element a row below what feeds it. What a level does not draw one by one is one box with
the count and the sum: consumers of one parent always, below an element with many branches of one kind those branches
too. So no level has more than LEVEL_MAX boxes, whatever the plant's size; a box leads to the level below it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mbongi.facility.rules.graph import UNREACHED, Ints
from mbongi.facility.rules.network import Network, Tier, closed_edges
from mbongi.facility.values import ElementKind

LEVEL_MAX = 120
BRANCHES_MAX = 8
"""More branches of one kind under one element are drawn as one box."""
BOX_W, BOX_H, GAP_X, GAP_Y = 160.0, 46.0, 18.0, 44.0


@dataclass(slots=True)
class Box:
    """One element, or several ``members`` of a kind under one parent. ``x``, ``y``: its upper left corner."""

    members: list[int]
    kind: ElementKind
    row: int
    x: float = 0.0
    y: float = 0.0
    above: list[int] = field(default_factory=list)
    """The boxes that feed it, by their numbers."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A line from the lower edge of one box to the upper edge of another."""

    source: int
    target: int
    edges: list[int]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A level: boxes, wires between them by number, and the size of the sheet. ``left_out`` boxes did not fit."""

    boxes: list[Box]
    wires: list[Wire]
    width: float
    height: float
    left_out: int


def draw(net: Network, root: int | None = None) -> Drawing:
    """The whole plant, or what hangs below ``root`` with what feeds it directly."""
    start, rows = _rows(net, root)
    box_of: dict[int, int] = {}
    boxes: list[Box] = []
    front: list[int] = list(map(int, start))
    left_out = 0
    for node in front:
        _add(boxes, box_of, [node], net.kind_of(node), int(rows[node]))
    queue = list(range(len(boxes)))
    while queue:
        box = queue.pop(0)
        if len(boxes[box].members) > 1:
            continue
        groups = _branches(net, boxes[box].members[0], rows, box_of)
        for kind, members in groups:
            if len(boxes) >= LEVEL_MAX:
                left_out += len(members)
                continue
            queue += [_add(boxes, box_of, part, kind, int(rows[part[0]])) for part in _parts(net, members)]
    wires = _wires(net, boxes, box_of)
    width, height = _place(boxes)
    return Drawing(boxes, wires, width, height, left_out)


def _rows(net: Network, root: int | None) -> tuple[Ints, Ints]:
    may = closed_edges(net) & ~net.normally_open
    if root is not None:
        rows = net.graph.distances(np.array([root], np.int32), may)
        feeders = np.unique(net.graph.source[net.graph.entering(np.array([root], np.int32))])
        rows = np.where(rows == UNREACHED, UNREACHED, rows + 1).astype(np.int32)
        rows[feeders] = 0
        return np.concatenate([feeders, [root]]).astype(np.int32), rows
    sources = np.flatnonzero(net.active & (net.tier < Tier.DARK)).astype(np.int32)
    fed = net.graph.distances(sources, may)
    _reached, layer = net.graph.without_rings(may, sources)
    rows = np.where(fed == UNREACHED, UNREACHED, layer).astype(np.int32)
    # A source stands right above what it feeds.
    for node in sources:
        below = net.graph.target[net.graph.leaving(np.array([node], np.int32))]
        below = below[rows[below] > 0]
        if len(below) and rows[node] == 0:
            rows[node] = int(rows[below].min()) - 1
    return sources, rows


def _branches(net: Network, node: int, rows: Ints, box_of: dict[int, int]) -> list[tuple[ElementKind, list[int]]]:
    edges = net.graph.leaving(np.array([node], np.int32))
    edges = edges[closed_edges(net)[edges]] if len(edges) else edges
    groups: dict[ElementKind, list[int]] = {}
    for other in np.unique(net.graph.target[edges]):
        if rows[other] != UNREACHED and int(other) not in box_of:
            groups.setdefault(net.kind_of(int(other)), []).append(int(other))
    return sorted(groups.items(), key=lambda item: list(ElementKind).index(item[0]))


def _parts(net: Network, members: list[int]) -> Iterable[list[int]]:
    together = len(members) > BRANCHES_MAX or (net.consumes[members[0]] and len(members) > 1)
    return [members] if together else [[member] for member in members]


def _add(boxes: list[Box], box_of: dict[int, int], members: list[int], kind: ElementKind, row: int) -> int:
    boxes.append(Box(members, kind, row))
    box_of.update(dict.fromkeys(members, len(boxes) - 1))
    return len(boxes) - 1


def _wires(net: Network, boxes: list[Box], box_of: dict[int, int]) -> list[Wire]:
    found: dict[tuple[int, int], list[int]] = {}
    nodes = np.array(sorted(box_of), np.int32)
    for edge in map(int, net.graph.entering(nodes)):
        begin, end = box_of.get(int(net.graph.source[edge])), box_of[int(net.graph.target[edge])]
        if begin is not None and begin != end:
            found.setdefault((begin, end), []).append(edge)
    for begin, end in found:
        boxes[end].above.append(begin)
    return [Wire(begin, end, edges) for (begin, end), edges in found.items()]


def _place(boxes: list[Box]) -> tuple[float, float]:
    """Rows from above; within a row by the mean place of what feeds each, then apart so that none overlap."""
    by_row: dict[int, list[int]] = {}
    for number, box in enumerate(boxes):
        by_row.setdefault(box.row, []).append(number)
    step = BOX_W + GAP_X
    width = max((len(row) for row in by_row.values()), default=0) * step
    for at, row in enumerate(sorted(by_row)):
        wish = {number: _wish(boxes, number, order) for order, number in enumerate(by_row[row])}
        ordered = sorted(by_row[row], key=lambda number: (wish[number], number))
        xs = _apart(np.array([wish[number] for number in ordered]), step)
        for number, x in zip(ordered, xs, strict=True):
            boxes[number].x, boxes[number].y = float(x), at * (BOX_H + GAP_Y)
    left = min((box.x for box in boxes), default=0.0)
    for box in boxes:
        box.x -= left
    width = max((box.x + BOX_W for box in boxes), default=0.0)
    return width, len(by_row) * (BOX_H + GAP_Y) - GAP_Y if by_row else 0.0


def _wish(boxes: list[Box], number: int, order: int) -> float:
    above = [boxes[each].x for each in boxes[number].above if boxes[each].row < boxes[number].row]
    return sum(above) / len(above) if above else order * 2.0 * (BOX_W + GAP_X)


def _apart(wishes: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Places at least a step apart, in order, as near to the wishes as pushing both ways from their mean allows."""
    offsets = np.arange(len(wishes)) * step
    rising = np.maximum.accumulate(wishes - offsets) + offsets
    falling = np.minimum.accumulate((wishes - offsets)[::-1])[::-1] + offsets
    found: NDArray[np.float64] = (rising + falling) / 2
    return found
