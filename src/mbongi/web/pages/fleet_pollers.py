"""Who asks which machines: the pollers, their slots, and how much comes in time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.fleet import selectors
from mbongi.web.guard import needs
from mbongi.web.live.board import BOARD
from mbongi.web.live.poller_board import POLLERS

IN_TIME = 1.5
"""A reading is in time up to so many fast periods of age: the newest may be one period old and still on its way."""
RACKS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Place:
    """The machines of a hall, or of a rack: how many, and how many of their readings are in time."""

    hall: int | None
    rack: int | None
    label: str
    machines: int
    in_time: int

    @property
    def late(self) -> int:
        """Those whose newest reading is too old, or that have none."""
        return self.machines - self.in_time


@require_safe
@needs(Permission.MACHINE_CONTROL)
def pollers(request: HttpRequest) -> HttpResponse:
    """The page; htmx asks for the part that changes alone, again and again."""
    found, owners = POLLERS.now(), POLLERS.owners()
    racks, halls = _places()
    machines, in_time = sum(place.machines for place in halls), sum(place.in_time for place in halls)
    colours = {one.status.number: place % 6 + 1 for place, one in enumerate(found)}
    content = {
        "pollers": [(one, colours[one.status.number]) for one in found],
        "alive": sum(not one.is_gone for one in found),
        "gone": [one for one in found if one.is_gone],
        "slots": [
            (slot, owner, colours.get(owner or 0) if owner is not None else 0) for slot, owner in enumerate(owners)
        ],
        "slots_open": sum(owner is None for owner in owners),
        "slots_total": len(owners),
        "machines": machines,
        "in_time": in_time,
        "late": machines - in_time,
        "polls_per_s": sum(one.polls_per_s or 0.0 for one in found if not one.is_gone),
        "rounds": sum(one.status.rounds for one in found if not one.is_gone),
        "rounds_late": sum(one.status.rounds_late for one in found if not one.is_gone),
        "halls": halls,
        "latest": sorted((rack for rack in racks if rack.late), key=lambda rack: -rack.late)[:RACKS_SHOWN],
        "fast_s": settings.CONFIG.fleet.fast_s,
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "parts/pollers.html" if is_part else "pages/pollers.html", content)


def _places() -> tuple[list[Place], list[Place]]:
    """Racks and halls with what is in time of their machines."""
    limit_s, now_s = IN_TIME * settings.CONFIG.fleet.fast_s, utc_now().timestamp()
    racks: list[Place] = []
    halls: list[Place] = []
    for hall in selectors.floor():
        counted = [_rack(hall.hall, rack, now_s, limit_s) for rack in hall.racks]
        racks += counted
        sums: list[Any] = [sum(rack.machines for rack in counted), sum(rack.in_time for rack in counted)]
        halls.append(Place(hall.hall, None, "" if hall.hall is None else str(hall.hall), *sums))
    return racks, halls


def _rack(hall: int | None, rack: selectors.FloorRack, now_s: float, limit_s: float) -> Place:
    ages, _fresh = BOARD.values("age_s", [slot.machine_id for slot in rack.slots], now_s)
    return Place(hall, rack.rack, rack.label, len(rack.slots), int(np.count_nonzero(ages <= limit_s)))
