"""Events: what happened, what still lasts."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import selectors, wording
from mbongi.fleet.selectors import EventFilter, EventRow
from mbongi.web.exports import ROWS_MAX, download
from mbongi.web.filters import PAGE_SIZE, QueryError, before, event_filter
from mbongi.web.guard import needs
from mbongi.web.sight import machine_name

EXPORT = (
    *("id", "at", "cleared_at", "severity", "kind", "part", "machine_id", "machine", "address", "model"),
    *("title", "text"),
)


@require_safe
@needs(Permission.MACHINE_VIEW)
def events(request: HttpRequest) -> HttpResponse:
    """One page of events, newest first; htmx asks for the results alone."""
    try:
        filters, start = event_filter(request.GET), before(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "events", "error": error}, status=400)
    page = selectors.events(filters, limit=PAGE_SIZE, before=start)
    query = request.GET.copy()
    query.pop("before", None)
    content = {
        "here": "events",
        "page": page,
        "rows": [(row, title(row), name(row)) for row in page.rows],
        "open_counts": selectors.open_alarm_counts(),
        "kinds": list(wording.KINDS.items()),
        "severities": list(wording.SEVERITIES.items()),
        "query": request.GET,
        "export": query.urlencode(),
        "next_url": f"?{query.urlencode()}&before={page.next_before}" if page.next_before else "",
        "continued": start is not None,
        "narrowed": filters != EventFilter(),
    }
    return render(
        request, "parts/event_rows.html" if request.headers.get("HX-Request") else "pages/events.html", content
    )


def title(row: EventRow) -> str:
    """The short name of what happened."""
    return str(wording.KINDS[row.kind])


def name(row: EventRow) -> str:
    """The machine's name."""
    return machine_name(row.rack_label, row.slot, row.address, row.machine_id)


@require_safe
@needs(Permission.MACHINE_VIEW)
def export(request: HttpRequest, kind: str) -> HttpResponse:
    """The events with the same filters as CSV or JSON."""
    try:
        filters, start = event_filter(request.GET), before(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "events", "error": error}, status=400)
    rows: list[list[Any]] = []
    while len(rows) < ROWS_MAX:
        page = selectors.events(filters, limit=1000, before=start)
        rows += [export_row(row) for row in page.rows]
        start = page.next_before
        if start is None:
            break
    return download("events", kind, EXPORT, rows, page.total)


def export_row(row: EventRow) -> list[Any]:
    """An event as a row of the download."""
    facts: list[Any] = [row.id, row.at, row.cleared_at, row.severity.value, row.kind.value, row.part, row.machine_id]
    return [*facts, name(row), row.address, row.model, title(row), row.text]
