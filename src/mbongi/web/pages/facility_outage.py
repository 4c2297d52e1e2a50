"""What if: what goes dark when elements trip, and the tables of single outages and of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.facility import inventory_wording as wording
from mbongi.facility.plant_state import PlantState
from mbongi.facility.rules.network import Network
from mbongi.facility.rules.outage import Fate, Outcome, n1_table, n2_table, what_if
from mbongi.facility.values import ElementKind
from mbongi.web import facility_sight as sight
from mbongi.web.guard import needs

TRIPS_MAX = 12
ROWS_MAX = 25
WORST_MAX = 12
PAIR_ELEMENTS_MAX = 60
"""Feeds, gensets, transformers, UPS and switchboards whose pairs are looked at, at most; the others are named."""
_MAJOR = (
    ElementKind.UTILITY_FEED, ElementKind.GENSET, ElementKind.TRANSFORMER, ElementKind.UPS,
    ElementKind.MV_SWITCHBOARD, ElementKind.LV_SWITCHBOARD,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FateRow:
    """Who shares a fate: elements that pass power on by name, consumers by number and kW."""

    label: Any
    style: str
    elements: list[str]
    more: int
    consumers: int
    consumers_kw: float


@require_safe
@needs(Permission.FACILITY_VIEW)
def outage(request: HttpRequest) -> HttpResponse:
    """Choose what trips; see what it does."""
    plant = sight.state()
    net = plant.power
    asked = list(dict.fromkeys(tag.strip() for tag in request.GET.getlist("tag") if tag.strip()))[:TRIPS_MAX]
    tripped = [tag for tag in asked if tag in net.number]
    content: dict[str, Any] = {
        "tripped": tripped,
        "unknown": [tag for tag in asked if tag not in net.number],
        "offers": [net.tags[node] for node in net.of_kind(*_MAJOR)][:500],
        "is_empty": net.count == 0,
    }
    if tripped:
        content |= _outcome(plant, tripped)
    elif net.count:
        content |= _tables(plant)
    return render(request, "pages/facility_what_if.html", content)


def _outcome(plant: PlantState, tripped: Sequence[str]) -> dict[str, Any]:
    net = plant.power
    nodes = [net.number[tag] for tag in tripped]
    found = what_if(net, nodes, plant.loads, cooling=plant.coolers, breaker_share=plant.breaker_share)
    drawn = plant.loads.into_kw.sum(1)
    dark = net.consumes & (found.fate >= Fate.RESTARTED)
    return {
        "fates": [row for row in (_fate(net, found, fate, drawn) for fate in wording.FATES) if row],
        "autonomy": [(net.tags[at], float(found.autonomy_s[at])) for at in np.flatnonzero(~np.isnan(found.autonomy_s))],
        "over": [
            (net.tags[at], float(found.against.load_pct[at]))
            for at in found.overloaded(plant.against)[:ROWS_MAX]
        ],
        "over_links": [
            (net.links[at], float(found.against.edge_pct[at] * plant.breaker_share))
            for at in found.overloaded_edges(plant.against, plant.breaker_share)[:ROWS_MAX]
        ],
        "uncooled": [net.tags[at] for at in np.flatnonzero(found.uncooled)[:ROWS_MAX]],
        "uncooled_count": int(found.uncooled.sum()),
        "dark_count": int(dark.sum()),
        "dark_kw": float(drawn[dark].sum()),
        "dark_for_good_kw": float(drawn[net.consumes & (found.fate >= Fate.RUNS_OUT)].sum()),
        "of_kw": float(drawn[net.consumes].sum()),
    }  # fmt: skip


def _fate(net: Network, found: Outcome, fate: Fate, drawn: Any) -> FateRow | None:
    nodes = np.flatnonzero(found.fate == fate)
    if not len(nodes):
        return None
    users = nodes[net.consumes[nodes]]
    others = [net.tags[at] for at in nodes[~net.consumes[nodes]]]
    return FateRow(
        wording.FATES[fate],
        wording.FATE_STYLES[fate],
        others[:ROWS_MAX],
        max(0, len(others) - ROWS_MAX),
        len(users),
        float(drawn[users].sum()),
    )


@dataclass(frozen=True, slots=True)
class SingleRow:
    """An outage in the table."""

    tag: str
    kind: Any
    at_once: int
    at_once_kw: float
    for_good: int
    for_good_kw: float


@lru_cache(maxsize=1)
def _tables(plant: PlantState) -> dict[str, Any]:
    net = plant.power
    drawn = plant.loads.into_kw.sum(1)
    table = n1_table(net, drawn)
    order = np.lexsort((-table.for_good_kw, -table.at_once_kw))
    worst = [at for at in order if table.at_once[at]][:WORST_MAX]
    among = net.of_kind(*_MAJOR)
    among = among[net.active[among]][:PAIR_ELEMENTS_MAX]
    pairs = n2_table(net, drawn, among)
    beyond = np.flatnonzero(pairs.beyond_single)
    beyond = beyond[np.argsort(-pairs.dark_kw[beyond], kind="stable")][:WORST_MAX]
    return {
        "single": [
            SingleRow(
                net.tags[table.tripped[at]], wording.KINDS[net.kind_of(int(table.tripped[at]))],
                int(table.at_once[at]), float(table.at_once_kw[at]), int(table.for_good[at]),
                float(table.for_good_kw[at]),
            )
            for at in worst
        ],
        "single_of": len(table.tripped),
        "single_harmless": int((table.at_once == 0).sum()),
        "pairs": [
            (*(net.tags[node] for node in pairs.pairs[at]), int(pairs.beyond_single[at]), float(pairs.dark_kw[at]))
            for at in beyond
        ],
        "pairs_of": len(pairs.pairs),
        "most_kw": float(max([table.at_once_kw.max(initial=0.0), *pairs.dark_kw[beyond]], default=0.0)),
    }  # fmt: skip
