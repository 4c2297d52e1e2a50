"""The one-line diagram and the floor plan, drawn level by level from the inventory, with the loads of now on them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.facility import inventory_wording as wording
from mbongi.facility import selectors
from mbongi.facility.plant_state import PlantState
from mbongi.facility.rules.floor_plan import floor_plan
from mbongi.facility.rules.network import Tier
from mbongi.facility.rules.one_line import BOX_H, BOX_W, Box, Wire, draw
from mbongi.facility.values import Place, PlaceKind
from mbongi.web import facility_sight as sight
from mbongi.web.guard import needs
from mbongi.web.pages.facility import element_url

MARGIN = 12.0
FULL_PCT, HIGH_PCT = 100.0, 80.0
LETTER_PX, LINE_PX, VALUE_PX = 8.0, 15.0, 38.0
"""What a letter, a line of text, and a second line with the power need to be written into a place."""
SHEET_PX = 1000.0
"""Width of the floor plan's coordinates, whatever its metres."""


@dataclass(frozen=True, slots=True)
class BoxSight:
    """A box as it is drawn: its texts, how full it is, where it leads."""

    x: float
    y: float
    title: str
    kind: Any
    load_kw: float
    fill: float
    style: str
    url: str
    is_group: bool
    pct: float | None


@require_safe
@needs(Permission.FACILITY_VIEW)
def one_line(request: HttpRequest) -> HttpResponse:
    """The whole plant from its sources down, or what hangs below one element."""
    plant = sight.state()
    net, tag = plant.power, request.GET.get("tag", "")
    if tag and tag not in net.number:
        raise Http404
    drawing = draw(net, net.number[tag] if tag else None)
    content = {
        "tag": tag,
        "boxes": [_box(plant, box) for box in drawing.boxes],
        "wires": [_wire(plant, wire, drawing.boxes) for wire in drawing.wires],
        "box_w": BOX_W,
        "box_h": BOX_H,
        "view": f"{-MARGIN:g} {-MARGIN:g} {drawing.width + 2 * MARGIN:g} {drawing.height + 2 * MARGIN:g}",
        "natural": f"{drawing.width + 2 * MARGIN:.0f}",
        "left_out": drawing.left_out,
        "at": utc_now(),
    }
    return render(request, "pages/facility_one_line.html", content)


def _box(plant: PlantState, box: Box) -> BoxSight:
    net, members = plant.power, np.array(box.members)
    is_group = len(members) > 1
    first = box.members[0]
    limited = np.isfinite(net.limit_kva[members]) | np.isfinite(net.limit_kw[members])
    pct = float(plant.against.load_pct[members][limited].max()) if limited.any() else None
    handed = np.where(net.by_output[members], plant.loads.out_kw[members].sum(1), plant.loads.into_kw[members].sum(1))
    dark = bool((plant.supply.tier[members] == Tier.DARK).all())
    tag = net.tags[first]
    onward = net.graph.out_start[first + 1] > net.graph.out_start[first]
    url = f"?{urlencode({'tag': tag})}" if onward and not is_group else element_url(tag)
    if is_group:
        above = net.graph.source[net.graph.in_edges[net.graph.in_start[first]]]
        url = f"/facility/?{urlencode({'kind': box.kind.value, 'fed_by': net.tags[above]})}"
    return BoxSight(
        box.x,
        box.y,
        f"{len(members)} ×" if is_group else tag,
        wording.KINDS[box.kind],
        float(handed.sum()),
        0.0 if pct is None else BOX_W * min(1.0, pct / FULL_PCT),
        _style(pct, dark=dark),
        url,
        is_group,
        pct,
    )


def _style(pct: float | None, *, dark: bool) -> str:
    if dark:
        return "dark"
    if pct is None:
        return "plain"
    return "over" if pct > FULL_PCT else "high" if pct > HIGH_PCT else "fine"


def _wire(plant: PlantState, wire: Wire, boxes: list[Box]) -> dict[str, Any]:
    begin, end = boxes[wire.source], boxes[wire.target]
    x1, y1 = begin.x + BOX_W / 2, begin.y + BOX_H
    x2, y2 = end.x + BOX_W / 2, end.y
    if begin.row >= end.row:
        # A tie within a row, or back up: from side to side.
        y1, y2 = begin.y + BOX_H / 2, end.y + BOX_H / 2
        path = f"M{x1:g} {y1:g} L{x2:g} {y2:g}"
    else:
        middle = y2 - 14
        path = f"M{x1:g} {y1:g} V{middle:g} H{x2:g} V{y2:g}"
    carries = bool(plant.supply.carries[wire.edges].any())
    pct = float(plant.against.edge_pct[wire.edges].max())
    return {"path": path, "style": "open" if not carries else "over" if pct > FULL_PCT else "live"}


@require_safe
@needs(Permission.FACILITY_VIEW)
def plan(request: HttpRequest) -> HttpResponse:
    """The places within a site, hall or row, coloured by the load of what stands in them."""
    places = selectors.places()
    sites = [place for place in places if place.kind is PlaceKind.SITE]
    code = request.GET.get("place", sites[0].code if sites else "")
    every = {place.code: place for place in places}
    if code and code not in every:
        raise Http404
    content: dict[str, Any] = {"is_empty": not places, "sites": sites, "at": utc_now()}
    if code:
        drawing = floor_plan(places, code)
        scale = SHEET_PX / max(drawing.width_m, 1e-6)
        loads = _loads(places)
        most = max((loads.get(spot.place.code, (0.0, 0))[0] for spot in drawing.spots), default=0.0)
        content |= {
            "here_place": drawing.around,
            "trail": _trail(every, drawing.around),
            "outlines": [_spot(spot, scale, loads, most) for spot in drawing.outlines],
            "spots": [_spot(spot, scale, loads, most) for spot in drawing.spots],
            "width": SHEET_PX,
            "height": max(60.0, drawing.depth_m * scale),
            "is_laid": any(spot.is_laid for spot in drawing.spots),
            "most_kw": most,
            "rows": [
                (spot.place, *loads.get(spot.place.code, (0.0, 0))) for spot in drawing.spots
            ][:60],
        }  # fmt: skip
    return render(request, "pages/facility_plan.html", content)


def _trail(every: dict[str, Place], place: Place) -> list[Place]:
    found = [place]
    while place.parent in every:
        place = every[place.parent]
        found.insert(0, place)
    return found[:-1]


def _loads(places: list[Place]) -> dict[str, tuple[float, int]]:
    """What the consumers in each place draw, and how many there are, with all that lies within it."""
    plant = sight.state()
    drawn = plant.loads.into_kw.sum(1)
    found: dict[str, list[float]] = {}
    for tag, code in selectors.standing():
        node = plant.power.number.get(tag)
        if node is not None and plant.power.consumes[node]:
            one = found.setdefault(code, [0.0, 0])
            one[0], one[1] = one[0] + float(drawn[node]), one[1] + 1
    parents = {place.code: place.parent for place in places}
    sums: dict[str, list[float]] = {}
    for code, (power, count) in found.items():
        at = code
        while at:
            one = sums.setdefault(at, [0.0, 0])
            one[0], one[1] = one[0] + power, one[1] + count
            at = parents.get(at, "")
    return {code: (power, int(count)) for code, (power, count) in sums.items()}


def _spot(spot: Any, scale: float, loads: dict[str, tuple[float, int]], most: float) -> dict[str, Any]:
    power, count = loads.get(spot.place.code, (0.0, 0))
    step = 0 if most <= 0 or power <= 0 else max(1, math.ceil(5 * power / most))
    width, depth = spot.width_m * scale, spot.depth_m * scale
    label = spot.place.name or spot.place.code.removeprefix(spot.place.parent).lstrip("-/ ") or spot.place.code
    has_value = depth >= VALUE_PX and width >= VALUE_PX * 2
    return {
        "place": spot.place,
        "x": f"{spot.x_m * scale:.1f}",
        "y": f"{spot.y_m * scale:.1f}",
        "w": f"{width:.1f}",
        "h": f"{depth:.1f}",
        "cx": f"{spot.x_m * scale + width / 2:.1f}",
        "cy": f"{spot.y_m * scale + depth / 2 + (-3 if has_value else 4):.1f}",
        "label": label if width >= LETTER_PX * len(label) and depth >= LINE_PX else "",
        "has_value": has_value,
        "power_kw": power,
        "count": count,
        "step": step,
        "url": f"?{urlencode({'place': spot.place.code})}"
        if spot.place.kind is not PlaceKind.RACK
        else f"/facility/?{urlencode({'place': spot.place.code})}",
    }
