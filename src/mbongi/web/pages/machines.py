"""The list of machines, and its downloads."""

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import bulk, group_rows, saved_views, selectors, wording
from mbongi.fleet.selectors import MachineFilter
from mbongi.fleet.values import ActionKind, MachineState
from mbongi.web import sight
from mbongi.web.exports import ROWS_MAX, download
from mbongi.web.filters import QueryError, list_query, machine_filter
from mbongi.web.guard import needs
from mbongi.web.measures import measures
from mbongi.web.pages.paging import Pager

FIGURES = ("hashrate_ths", "hashrate_pct", "power_w", "efficiency_jth", "chip_temp_max_c", "fan_rpm", "reject_pct")
EXPORT = (
    *("id", "address", "hall", "rack", "slot", "family", "model", "mac", "serial", "firmware", "state"),
    *("state_since", "reading_at"),
)


@require_safe
@needs(Permission.MACHINE_VIEW)
def machines(request: HttpRequest) -> HttpResponse:
    """One page of the list; htmx asks for the results alone."""
    try:
        filters, part = machine_filter(request.GET), list_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    page = sight.machines(filters, sort=part.sort, limit=part.limit, offset=part.offset)
    counts, groups, user = selectors.state_counts(filters), group_rows.group_names(), request.user
    content = {
        "page": page,
        "pager": Pager(request.GET, page.total, part.offset, part.limit),
        "columns": [Column(measures()[name], request.GET, part.sort) for name in FIGURES],
        "heads": {name: Head(name, request.GET, part.sort) for name in ("position", "model", "state", "since")},
        "query": request.GET,
        "export": _without(request.GET, "page", "focus").urlencode(),
        "states": [StateTab(state, count, request.GET) for state, count in counts.items()],
        "everywhere": StateTab(None, sum(counts.values()), request.GET),
        "models": selectors.models(),
        "groups": groups,
        "narrowed": filters != MachineFilter(),
        "views": saved_views.views(user),  # type: ignore[arg-type]
        "query_text": _without(request.GET, "page", "focus", "into").urlencode(),
        "bulk_kinds": _bulk_kinds(user),
        "may_group": user.may(Permission.PROFILE_EDIT),  # type: ignore[union-attr]
        "into": request.GET.get("into", ""),
        "live": f"figures={','.join(FIGURES)}&ids={','.join(str(row.id) for row in page.rows)}",
    }
    name = "parts/machine_rows.html" if request.headers.get("HX-Request") else "pages/machines.html"
    return render(request, name, content)


def _bulk_kinds(user: Any) -> list[tuple[ActionKind, Any]]:
    return [(kind, wording.ACTIONS[kind]) for kind in bulk.KINDS] if user.may(Permission.OPERATION_RUN) else []


class StateTab:
    """A state above the list, how many of the machines that fit are in it, and the list of those; None: every state."""

    def __init__(self, state: MachineState | None, count: int, query: QueryDict) -> None:
        self.state, self.count = state, count
        word = "" if state is None else state.word
        self.is_chosen = query.get("state", "") == word
        link = _without(query, "page", "focus", "state")
        if word:
            link["state"] = word
        self.url = "?" + link.urlencode()


class Head:
    """A column head that sorts: the next click turns the order round."""

    def __init__(self, name: str, query: QueryDict, sort: str) -> None:
        self.name = name
        self.aria = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
        # Figures are wanted highest first, names and places lowest first.
        first, second = (f"-{name}", name) if name in measures() else (name, f"-{name}")
        link = _without(query, "page", "sort", "focus")
        link["sort"] = second if sort == first else first
        self.url = "?" + link.urlencode()


class Column(Head):
    """A measure's column head."""

    def __init__(self, measure: Any, query: QueryDict, sort: str) -> None:
        super().__init__(measure.name, query, sort)
        self.measure, self.decimals = measure, measure.decimals
        # In words once for the page, not once for each cell.
        self.short, self.unit = str(measure.short), measure.unit_text


def _without(query: QueryDict, *names: str) -> QueryDict:
    copy = query.copy()
    for name in names:
        copy.pop(name, None)
    return copy


@require_safe
@needs(Permission.MACHINE_VIEW)
def export(request: HttpRequest, kind: str) -> HttpResponse:
    """The list with the same filters and order, every page of it, as CSV or JSON."""
    try:
        filters, part = machine_filter(request.GET), list_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    rows: list[list[Any]] = []
    total, offset = 1, 0
    while offset < min(total, ROWS_MAX):
        page = sight.machines(filters, sort=part.sort, limit=1000, offset=offset)
        rows += [export_row(one) for one in page.rows]
        total, offset = page.total, offset + 1000
    return download("machines", kind, (*EXPORT, *FIGURES), rows, total)


def export_row(one: sight.MachineSight) -> list[Any]:
    """A machine as a row of the download; stale figures are left out, the time of the reading is not."""
    row = one.row
    facts: list[Any] = [
        row.id,
        row.address,
        row.hall,
        row.rack,
        row.slot,
        row.family.value,
        row.model,
        row.mac,
        row.serial,
    ]
    facts += [row.firmware, one.state.word, one.state_since, one.reading_at]
    return facts + [None if one.is_stale else _rounded(one.figure(name), name) for name in FIGURES]


def _rounded(value: float | None, name: str) -> float | None:
    return None if value is None else round(value, measures()[name].decimals + 1)
