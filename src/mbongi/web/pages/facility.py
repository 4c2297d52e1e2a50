"""The plant's inventory: what there is, where it stands, how it is joined, and what each element carries."""

from typing import Any

import numpy as np
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.facility import inventory_wording as wording
from mbongi.facility import selectors
from mbongi.facility.errors import UnknownElementError
from mbongi.facility.rules.capacity import UNLIMITED_KW
from mbongi.facility.rules.inventory_files import columns, shown
from mbongi.facility.rules.network import Tier
from mbongi.facility.rules.trace import diversity, trace
from mbongi.facility.selectors import ElementFilter
from mbongi.facility.values import CONSUMERS, Element, ElementKind, ElementStatus, LinkKind, Phases, Side
from mbongi.web import facility_sight as sight
from mbongi.web.filters import QueryError, part_query
from mbongi.web.guard import needs
from mbongi.web.pages.ledger import sentence
from mbongi.web.pages.paging import Pager

PAGE = "/facility/"
OVERDUE_MAX = 5
ROWS_MAX = 40
"""Links shown on an element's page in each direction; the list shows the others."""


def element_url(tag: str) -> str:
    """The page of an element."""
    return f"{PAGE}element/?{urlencode({'tag': tag})}"


@require_safe
@needs(Permission.FACILITY_VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """The list of elements with its filter, the tree of places, what is due, and the whole load."""
    user: Any = request.user
    try:
        part = part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    wanted = _filter(request.GET)
    rows, total = selectors.find(wanted, offset=part.offset, limit=part.limit)
    plant, overdue = sight.state(), selectors.overdue(utc_now().date())
    counts = selectors.counts()
    content = {
        "rows": [(row, sight.load_of(plant, row.tag)) for row in rows],
        "total": total,
        "wanted": wanted,
        "kinds": [(kind, wording.KINDS[kind], counts[kind]) for kind in ElementKind if counts.get(kind)],
        "statuses": wording.STATUSES.items(),
        "tree": [(place, depth, count, wording.PLACES[place.kind]) for place, depth, count in selectors.tree()],
        "overdue": overdue[:OVERDUE_MAX],
        "overdue_count": len(overdue),
        "pager": Pager(request.GET, total, part.offset, part.limit),
        "is_empty": not counts,
        "may_edit": user.may(Permission.FACILITY_EDIT),
        "totals": _totals(plant),
    }
    return render(request, "pages/facility.html", content)


def _filter(query: QueryDict) -> ElementFilter:
    kind, status = query.get("kind", ""), query.get("status", "")
    return ElementFilter(
        text=query.get("q", "")[:100],
        kind=ElementKind(kind) if kind in set(ElementKind) else None,
        status=ElementStatus(status) if status in set(ElementStatus) else None,
        place=query.get("place", "")[:100],
        fed_by=query.get("fed_by", "")[:100],
    )


def _totals(plant: Any) -> dict[str, Any]:
    net = plant.power
    sources = net.of_kind(ElementKind.UTILITY_FEED, ElementKind.GENSET)
    joined = np.bincount(net.graph.target, minlength=net.count) > 0
    consumers = net.consumes & net.active & joined
    return {
        "load_kw": float(plant.loads.out_kw[sources].sum()),
        "loss_kw": float(plant.loads.loss_kw.sum()),
        "consumers": int(consumers.sum()),
        "dark": int((consumers & (plant.supply.tier == Tier.DARK)).sum()),
        "over": int((plant.against.load_pct > 100).sum() + (plant.against.edge_pct > 100).sum()),
    }


@require_safe
@needs(Permission.FACILITY_VIEW)
def element(request: HttpRequest) -> HttpResponse:
    """One element: what feeds it, what it feeds, what it carries of what it may, and what was changed on it."""
    row = _element_or_404(request.GET.get("tag", ""))
    user: Any = request.user
    plant = sight.state()
    load = sight.load_of(plant, row.tag)
    content: dict[str, Any] = {
        "element": row,
        "facts": _facts(row),
        "load": load,
        "documents": [
            (each, selectors.version("documents", row.tag, each.title)) for each in selectors.documents(row.tag)
        ],
        "entries": [(each, sentence(each.action)) for each in selectors.history(row.tag, 20)],
        "other_links": [each for each in selectors.links_of(row.tag) if each.kind is not LinkKind.POWER],
        "version": selectors.version("elements", row.tag),
        "may_edit": user.may(Permission.FACILITY_EDIT),
        "link_kinds": wording.LINKS.items(),
        "phases": [each for each in Phases if each],
        "sides": [each for each in Side if each],
        "today": utc_now().date(),
    }
    if load is not None:
        content |= _power(plant, row.tag)
    return render(request, "pages/facility_element.html", content)


def _element_or_404(tag: str) -> Element:
    try:
        return selectors.element(tag)
    except UnknownElementError as error:
        raise Http404 from error


def _facts(row: Element) -> list[tuple[str, str]]:
    left_out = {"tag", "kind", "name", "status", "maintenance_last", "maintenance_next", "maintenance_days"}
    found = [(name, shown(getattr(row, name))) for name in columns("elements") if name not in left_out]
    return [(str(wording.FIELDS[name]), value) for name, value in found if value]


def _power(plant: Any, tag: str) -> dict[str, Any]:
    net, node = plant.power, plant.power.number[tag]
    feeds = sight.wires(plant, tag, up=False)
    up = trace(net, node)
    content = {
        "fed_by": sight.wires(plant, tag, up=True),
        "feeds": feeds[:ROWS_MAX],
        "feeds_more": max(0, len(feeds) - ROWS_MAX),
        "rows": sight.phases_of(plant, tag),
        "neutral_a": float(plant.loads.neutral_a(net)[node]),
        "unbalance": float(plant.loads.unbalance(net)[node]),
        "sources": [net.tags[at] for at in up.ends if at != node],
        "cooled": _cooling(plant, node),
    }
    if net.kind_of(node) in CONSUMERS:
        found = diversity(net, node, plant.tree)
        content |= {
            "verdict": wording.VERDICTS[found.verdict],
            "verdict_style": wording.VERDICT_STYLES[found.verdict],
            "points": [net.tags[at] for at in found.single_points],
        }
    return content


def _cooling(plant: Any, node: int) -> dict[str, float] | None:
    """A cooler's heat against its rating, or what an element's cooling leaves it."""
    net, heat = plant.coolers, plant.heat
    carried = float(heat.loads.into_kw[node].sum())
    if net.graph.out_start[node + 1] > net.graph.out_start[node]:
        return {"heat_kw": carried, "pct": float(heat.against.load_pct[node])}
    left = float(heat.left_kw[node])
    return {"left_kw": left} if left < UNLIMITED_KW else None
