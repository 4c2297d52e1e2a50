"""The floor map: where machines stand, coloured by a measure."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import selectors
from mbongi.web.guard import needs
from mbongi.web.measures import measures
from mbongi.web.problems import json_answer
from mbongi.web.sight import machine_name

DEFAULT_MEASURE = "hashrate_pct"


@require_safe
@needs(Permission.MACHINE_VIEW)
def floor(request: HttpRequest) -> HttpResponse:
    """The page; the map itself asks for the layout and follows the stream."""
    shown = [measure for measure in measures().values() if measure.on_map]
    wanted = request.GET.get("measure", DEFAULT_MEASURE)
    chosen = wanted if wanted == "state" or wanted in measures() else DEFAULT_MEASURE
    content = {
        "here": "floor",
        "measures": shown,
        "chosen": chosen,
        "scales": {measure.name: _scale(measure) for measure in shown},
        "live": "ids=all&figures=" + ",".join(measure.name for measure in shown if measure.name != "age_s"),
    }
    return render(request, "pages/floor.html", content)


def _scale(measure: Any) -> dict[str, Any]:
    return {
        "label": str(measure.label),
        "unit": measure.unit_text,
        "decimals": measure.decimals,
        "low": measure.low,
        "high": measure.high,
        "palette": measure.palette,
    }


@require_safe
@needs(Permission.MACHINE_VIEW)
def layout(_request: HttpRequest) -> HttpResponse:
    """Every machine's place, in columns: thousands of machines in a few dozen kilobytes."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("id", "hall", "rack", "slot", "name", "model", "state", "since")
    }
    for hall in selectors.floor():
        for rack in hall.racks:
            for slot in rack.slots:
                name = machine_name(rack.label, slot.slot, slot.address, slot.machine_id)
                row: tuple[Any, ...] = (slot.machine_id, hall.hall, rack.rack, slot.slot, name, slot.model)
                row += (int(slot.state), int(slot.state_since.timestamp()))
                for key, value in zip(columns, row, strict=True):
                    columns[key].append(value)
    return json_answer(columns)
