"""The floor plan: which places are drawn at a zoom level, and where. Pure.

A level draws the places right within one place: halls of a site, rows of a hall, racks of a row. A place without a
position of its own is laid out in a grid within its parent. A hall whose racks are few enough shows them at once.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbongi.facility.values import Place, PlaceKind

BOXES_MAX = 400
"""Racks of a hall that are drawn one by one; more are drawn by rows."""
DEFAULT_SIZE_M: Mapping[PlaceKind, tuple[float, float]] = {
    PlaceKind.SITE: (60.0, 40.0),
    PlaceKind.HALL: (24.0, 16.0),
    PlaceKind.ROW: (20.0, 1.2),
    PlaceKind.RACK: (0.8, 1.2),
}
GAP_M = 0.8


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the plan, in metres from the corner of the sheet. ``is_laid`` says that nobody stated where it is."""

    place: Place
    x_m: float
    y_m: float
    width_m: float
    depth_m: float
    is_laid: bool


@dataclass(frozen=True, slots=True)
class FloorPlan:
    """A level: the place around it, outlines of what is between, and the spots that can be opened."""

    around: Place
    outlines: list[Spot]
    spots: list[Spot]
    width_m: float
    depth_m: float


def floor_plan(places: Sequence[Place], code: str) -> FloorPlan:
    """The level within the place ``code``. Raises KeyError where there is none."""
    every = {place.code: place for place in places}
    below: dict[str, list[Place]] = {}
    for place in places:
        below.setdefault(place.parent, []).append(place)
    around = every[code]
    inner = below.get(code, [])
    leaves = _leaves(below, inner)
    deep = around.kind is not PlaceKind.SITE and 0 < len(leaves) <= BOXES_MAX and leaves != inner
    outlines = _laid(around, inner) if deep else []
    spots = [spot for outline in outlines for spot in _inside(outline, below)] if deep else _laid(around, inner)
    return _framed(around, outlines, spots)


def _leaves(below: Mapping[str, Sequence[Place]], places: Sequence[Place]) -> list[Place]:
    """The innermost places of some, themselves where nothing is within them."""
    found: list[Place] = []
    queue = list(places)
    while queue:
        place = queue.pop()
        inner = below.get(place.code, ())
        queue += inner
        if not inner:
            found.append(place)
    return sorted(found, key=lambda place: place.code) if found != list(places) else list(places)


def _inside(outline: Spot, below: Mapping[str, Sequence[Place]]) -> list[Spot]:
    inner = below.get(outline.place.code, ())
    if not inner:
        return [outline]
    laid = _laid(outline.place, inner, origin=(outline.x_m, outline.y_m))
    return [spot for each in laid for spot in _inside(each, below)]


def _laid(around: Place, places: Sequence[Place], origin: tuple[float, float] | None = None) -> list[Spot]:
    """Where places stand: as stated, and those that do not say in a grid from the corner of what is around them."""
    x_m, y_m = origin or (around.x_m or 0.0, around.y_m or 0.0)
    unplaced = [place for place in places if place.x_m is None or place.y_m is None]
    # Rows of a hall one below the other, racks of a row in a line, anything else in a rectangle.
    columns = max(1, math.ceil(math.sqrt(2 * len(unplaced))))
    if unplaced and unplaced[0].kind is PlaceKind.ROW:
        columns = 1
    elif around.kind is PlaceKind.ROW:
        columns = max(1, len(unplaced))
    spots, at = [], 0
    for place in places:
        width, depth = (
            place.width_m or DEFAULT_SIZE_M[place.kind][0],
            place.depth_m or DEFAULT_SIZE_M[place.kind][1],
        )
        if place.x_m is not None and place.y_m is not None:
            spots.append(Spot(place, place.x_m, place.y_m, width, depth, is_laid=False))
            continue
        row, column = divmod(at, columns)
        at += 1
        spots.append(
            Spot(place, x_m + column * (width + GAP_M), y_m + row * (depth + GAP_M), width, depth, is_laid=True)
        )
    return spots


def _framed(around: Place, outlines: Sequence[Spot], spots: Sequence[Spot]) -> FloorPlan:
    """Moved to the corner of the sheet."""
    every = [*outlines, *spots]
    if not every:
        return FloorPlan(around, [], [], *DEFAULT_SIZE_M[around.kind])
    left, top = min(spot.x_m for spot in every), min(spot.y_m for spot in every)
    width = max(spot.x_m + spot.width_m for spot in every) - left
    depth = max(spot.y_m + spot.depth_m for spot in every) - top

    def moved(spot: Spot) -> Spot:
        return Spot(spot.place, spot.x_m - left, spot.y_m - top, spot.width_m, spot.depth_m, is_laid=spot.is_laid)

    return FloorPlan(around, [moved(spot) for spot in outlines], [moved(spot) for spot in spots], width, depth)
