"""Changes of many machines: the list with how far each is, one with its steps, and what people do to it."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from mbongi.core.identity.values import Permission
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import operation_rows, operations, selectors, wording
from mbongi.fleet.errors import UnknownOperationError
from mbongi.fleet.operation_rows import OperationRow
from mbongi.fleet.operation_wording import POSSIBLE, VERBS, reasons
from mbongi.fleet.values import ActionStatus, OperationKind, OperationState
from mbongi.web.filters import QueryError, choices, part_query
from mbongi.web.guard import needs
from mbongi.web.pages.attempts import attempt
from mbongi.web.pages.ledger import actor_names, sentence
from mbongi.web.pages.paging import Pager

PAGE_SIZE = 25
STEPS_SHOWN = 50
_APPROVE, _RUN, _CONTROL = Permission.PROFILE_APPROVE, Permission.OPERATION_RUN, Permission.MACHINE_CONTROL
NEEDED = {"approve": _APPROVE, "start": _RUN, "pause": _CONTROL, "resume": _RUN, "cancel": _RUN}


@require_safe
@needs(Permission.MACHINE_VIEW)
def operation_list(request: HttpRequest) -> HttpResponse:
    """What is under way on top, what is over below, newest first; htmx asks for the results alone."""
    try:
        kinds, part = choices(request.GET, "kind", OperationKind, tuple(OperationKind)), part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    # One more than are shown tells whether there are older ones, without counting them all.
    over = operation_rows.operations(is_over=True, kinds=kinds, limit=PAGE_SIZE + 1, offset=(part.page - 1) * PAGE_SIZE)
    known = (part.page - 1) * PAGE_SIZE + len(over)
    content = {
        "open": operation_rows.operations(is_over=False, kinds=kinds, limit=200) if part.page == 1 else [],
        "over": over[:PAGE_SIZE],
        "pager": Pager(request.GET, known, (part.page - 1) * PAGE_SIZE, PAGE_SIZE),
        "kinds": list(wording.OPERATIONS.items()),
        "query": request.GET,
        "narrowed": bool(kinds),
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "parts/operation_rows.html" if is_part else "pages/operations.html", content)


@require_safe
@needs(Permission.MACHINE_VIEW)
def operation(request: HttpRequest, operation_id: int) -> HttpResponse:
    """One operation; htmx asks for the part that changes alone, again and again until it is over."""
    row = _operation_or_404(operation_id)
    user: Any = request.user
    try:
        statuses = choices(request.GET, "status", ActionStatus, tuple(ActionStatus))
        part = part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    page = operation_rows.steps(
        operation_id, statuses=statuses, limit=STEPS_SHOWN, offset=(part.page - 1) * STEPS_SHOWN
    )
    machines = selectors.machine_rows([step.machine_id for step in page.rows])
    content = {
        "operation": row,
        "under_way": sum(row.steps.get(status, 0) for status in (ActionStatus.REQUESTED, ActionStatus.RUNNING)),
        "counts": {status.value: row.steps.get(status, 0) for status in ActionStatus},
        "verbs": [(verb, VERBS[verb][0]) for verb in _verbs(row, user)],
        "awaits_return": row.state is OperationState.RUNNING and 0 < row.total == row.ended,
        "is_own": row.needs_second and row.author_id == user.pk,
        "steps": [(step, machines.get(step.machine_id)) for step in page.rows],
        "pager": Pager(request.GET, page.total, page.offset, STEPS_SHOWN),
        "statuses": [(status, wording.STATUSES[status], row.steps.get(status, 0)) for status in ActionStatus],
        "status": request.GET.get("status", ""),
        "reasons": reasons(operation_rows.failures(operation_id)) if row.steps.get(ActionStatus.FAILED) else [],
        "left": _left(row),
        "entries": _entries(operation_id, user),
        "may_ledger": user.may(Permission.LEDGER_VIEW),
        "query": request.GET.urlencode(),
        "every": "2s" if row.state is OperationState.RUNNING else "10s",
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "parts/operation.html" if is_part else "pages/operation.html", content)


def _verbs(row: OperationRow, user: Any) -> list[str]:
    verbs = [verb for verb in POSSIBLE.get(row.state, ()) if user.may(NEEDED[verb])]
    return [verb for verb in verbs if verb != "approve" or row.author_id != user.pk]


def _left(row: OperationRow) -> list[tuple[str, int]]:
    """What a reconciliation did not try, by reason: keys of ``wording.WHY_NOT``."""
    found = row.document.get("left_count", {})
    return sorted(((str(reason), int(count)) for reason, count in found.items()), key=lambda pair: -pair[1])


def _entries(operation_id: int, user: Any) -> list[tuple[Any, str, str]]:
    if not user.may(Permission.LEDGER_VIEW):
        return []
    found = ledger.entries(f"operation:{operation_id}", limit=8)
    names = actor_names(found)
    return [(entry, sentence(entry.action), names.get(entry.actor, entry.actor)) for entry in found]


def _operation_or_404(operation_id: int) -> OperationRow:
    try:
        return operation_rows.operation(operation_id)
    except UnknownOperationError as error:
        raise Http404 from error


@require_http_methods(["GET", "POST"])
@needs(Permission.MACHINE_VIEW)
def act(request: HttpRequest, operation_id: int, verb: str) -> HttpResponse:
    """The dialog that asks for the reason: GET shows it, POST does it."""
    if verb not in VERBS:
        raise Http404
    row, user = _operation_or_404(operation_id), request.user
    if request.method != "POST":
        title, meaning = VERBS[verb]
        content = {"operation": row, "verb": verb, "title": title, "meaning": meaning, "asks": verb != "start"}
        return render(request, "parts/operation_form.html", content)
    reason, place = request.POST.get("reason", ""), f"/fleet/operations/{operation_id}/"

    def do() -> str:
        if verb == "start":
            operations.start_operation(user, operation_id)  # type: ignore[arg-type]
        elif verb == "approve":
            operations.approve_operation(user, operation_id, reason=reason, start=True)  # type: ignore[arg-type]
        else:
            service = {
                "pause": operations.pause_operation,
                "resume": operations.resume_operation,
                "cancel": operations.cancel_operation,
            }[verb]
            service(user, operation_id, reason=reason)  # type: ignore[arg-type]
        return place

    return attempt(request, do, otherwise=place, told=_("Entered."))
