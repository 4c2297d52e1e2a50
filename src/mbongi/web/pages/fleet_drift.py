"""Drift: what is not as profiles want it, work that went elsewhere, and what profiles did about it by themselves."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import drift_rows, group_rows, selectors, wording
from mbongi.fleet.rules.drift import DRIFT_KINDS
from mbongi.fleet.rules.pool_side import Comparison, compare
from mbongi.fleet.selectors import EventFilter
from mbongi.fleet.values import EventKind
from mbongi.web import sight
from mbongi.web.filters import QueryError, choices, part_query, whole
from mbongi.web.guard import needs
from mbongi.web.pages.paging import Pager

PERIODS = {24: 1, 168: 7, 720: 30}
"""Hours, and days for people."""
ROWS = 20
LINES = 4
"""Pools with a line in the chart."""


@require_safe
@needs(Permission.MACHINE_VIEW)
def drift(request: HttpRequest) -> HttpResponse:
    """The whole page."""
    try:
        hours, part = _hours(request), part_query(request.GET)
        kinds = choices(request.GET, "kind", EventKind, DRIFT_KINDS)
        group_id = whole(request.GET, "group", None, 1, 2**31 - 1)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    page = drift_rows.drifting(kinds=kinds, group_id=group_id, limit=part.limit, offset=part.offset)
    totals = drift_rows.pool_totals(hours=hours)
    reverting = selectors.events(EventFilter(kinds=[EventKind.REVERTS], is_open=True), limit=1).total
    content: dict[str, Any] = {
        "rows": [(row, sight.machine_name(*_place(row.machine)), wording.DRIFT_NEXT[row.then]) for row in page.rows],
        "pager": Pager(request.GET, page.total, part.offset, part.limit),
        "count": drift_rows.count(),
        "reverting": reverting,
        "kinds": [(kind, wording.KINDS[kind]) for kind in DRIFT_KINDS],
        "groups": group_rows.groups(),
        "query": request.GET,
        "hours": hours,
        "periods": list(PERIODS.items()),
        "totals": totals,
        "lines": totals[:LINES],
        "lasting": sum(one.lasting for one in totals),
        "diverted_h": 1e12 * sum(one.hashes_th for one in totals),
        "diversions": [
            (row, sight.machine_name(_label(row), row.slot, row.address, row.machine_id))
            for row in drift_rows.diversions(limit=ROWS)
        ],
        "reassertions": [(row, wording.OPERATION_STATES[row.state]) for row in drift_rows.reassertions(ROWS)],
        "seen_less": seen_less(),
    }
    return render(request, "pages/drift.html", content)


@require_safe
@needs(Permission.MACHINE_VIEW)
def series(request: HttpRequest) -> HttpResponse:
    """The diverted hashrate over time to the pools that took the most."""
    try:
        hours = _hours(request)
    except QueryError as error:
        return JsonResponse({"error": str(error)}, status=400)
    pools = [one.url for one in drift_rows.pool_totals(hours=hours)[:LINES]]
    at, lines = drift_rows.series(hours=hours, pools=pools)
    return JsonResponse({"at": at, "columns": {str(number): lines[url] for number, url in enumerate(pools)}})


def _hours(request: HttpRequest) -> int:
    return whole(request.GET, "hours", 24, 1, 24 * 366) or 24


def _place(row: selectors.MachineRow) -> tuple[str, int | None, str | None, int]:
    return row.rack_label, row.slot, row.address, row.id


def _label(row: drift_rows.DiversionRow) -> str:
    return "" if row.hall is None or row.rack is None else f"{row.hall:02d}/{row.rack:02d}"


def comparison(one: sight.MachineSight) -> Comparison | None:
    """What the pool sees of a machine beside what it states, from its newest reading; None where one is not known."""
    if one.is_stale:
        return None
    names = ("hashrate_ths", "pool_side_ths", "pool_side_low_ths", "pool_side_high_ths")
    own, pool, low, high = (one.figure(name) for name in names)
    if own is None or pool is None or low is None or high is None:
        return None
    return compare(own_ths=own, pool_ths=pool, low_ths=low, high_ths=high)


def seen_less() -> list[dict[str, Any]]:
    """Machines of which the pool sees significantly less than they state, with where the bars of each lie."""
    events = selectors.events(EventFilter(kinds=[EventKind.POOL_SIDE_LOW], is_open=True), limit=ROWS).rows
    rows = selectors.machine_rows([event.machine_id for event in events])
    found = []
    for event in events:
        if event.machine_id in rows:
            [one] = sight.sights([rows[event.machine_id]])
            found.append({"event": event, "name": one.name, "comparison": (told := comparison(one)), "bar": bar(told)})
    return found


def bar(told: Comparison | None) -> dict[str, str] | None:
    """Where the parts of the picture lie, in hundredths of its width: interval, estimate, the machine's own word."""
    if told is None:
        return None
    top = 1.1 * max(told.own_ths, min(told.high_ths, 1.6 * told.own_ths))
    left, right = (100 * min(each / top, 1.0) for each in (told.low_ths, told.high_ths))
    own, pool = 100 * told.own_ths / top, 100 * told.pool_ths / top
    return {"left": f"{left:.1f}", "width": f"{max(right - left, 1):.1f}", "own": f"{own:.1f}", "pool": f"{pool:.1f}"}
