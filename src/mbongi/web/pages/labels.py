"""Sheets of labels for machines and positions, as PDF."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import selectors
from mbongi.fleet.selectors import MachineFilter, MachineRow
from mbongi.web.filters import QueryError, whole
from mbongi.web.guard import needs
from mbongi.web.label_sheets import LABELS_MAX, SHEETS, Label, draw
from mbongi.web.sight import machine_name


@require_safe
@needs(Permission.WORK_VIEW)
def sheet(request: HttpRequest) -> HttpResponse:
    """``what`` machines or positions, of a hall or rack; positions of a rack that is still empty by ``slots``."""
    query = request.GET
    try:
        hall, rack = whole(query, "hall", None, 0, 32767), whole(query, "rack", None, 0, 32767)
        size = SHEETS.get(query.get("sheet", ""), SHEETS["a4-3x8"])
        first = whole(query, "first", 1, 1, size.labels) or 1
        slots = whole(query, "slots", 0, 0, LABELS_MAX) or 0
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "work", "error": error}, status=400)
    if query.get("what") == "positions":
        labels = [_position(*spot) for spot in sorted(_spots(hall, rack, slots))[:LABELS_MAX]]
    else:
        labels = [_machine(row) for row in _machines(hall, rack)]
    answer = HttpResponse(draw(labels, size, first=first, title=_("Labels")), content_type="application/pdf")
    answer["Content-Disposition"] = 'inline; filename="mbongi-labels.pdf"'
    return answer


def _spots(hall: int | None, rack: int | None, slots: int) -> set[tuple[int, int, int]]:
    """The positions at which machines stand, and those of a rack with so many slots."""
    found = {
        (row.hall, row.rack, row.slot)
        for row in _machines(hall, rack)
        if row.hall is not None and row.rack is not None and row.slot is not None
    }
    if hall is not None and rack is not None:
        found |= {(hall, rack, slot) for slot in range(1, slots + 1)}
    return found


def _machines(hall: int | None, rack: int | None) -> list[MachineRow]:
    found: list[MachineRow] = []
    while len(found) < LABELS_MAX:
        page = selectors.machines(MachineFilter(hall=hall, rack=rack), limit=selectors.PAGE_MAX, offset=len(found))
        found += page.rows
        if not page.rows or len(found) >= page.total:
            break
    return found[:LABELS_MAX]


def _machine(row: MachineRow) -> Label:
    name = machine_name(row.rack_label, row.slot, row.address, row.id)
    return Label(name, [row.model, row.serial or row.mac, f"#{row.id}"], f"{_phone()}?m={row.id}")


def _position(hall: int, rack: int, slot: int) -> Label:
    return Label(f"{hall:02d}/{rack:02d}/{slot:02d}", [_("Position")], f"{_phone()}?p={hall}-{rack}-{slot}")


def _phone() -> str:
    return f"{settings.CONFIG.public_url}/workshop/phone/"
