"""Work orders: the board, the list, one order, statistics, and the labels for machines and positions."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import selectors, work_order_rows, work_orders, work_wording
from mbongi.fleet.errors import NotPermittedError, UnknownMachineError, UnknownOrderError, WorkRefusedError
from mbongi.fleet.rules.work_orders import Clash, EntryKind, Fault, WorkState
from mbongi.fleet.selectors import MachineFilter
from mbongi.fleet.work_order_rows import OrderFilter, OrderRow, Repairs
from mbongi.fleet.work_orders import NewWork, Receipt
from mbongi.web.exports import ROWS_MAX, download
from mbongi.web.filters import QueryError, choices, part_query, text, whole
from mbongi.web.guard import needs
from mbongi.web.pages.paging import Pager
from mbongi.web.qr import qr_svg
from mbongi.web.sight import machine_name

PERIODS = (30, 90, 365)
LABELS_MAX = 240
"""Labels of one sheet; more are on the next page."""
EXPORT = (
    *("id", "machine_id", "position", "address", "model", "serial", "fault", "state", "note", "technician"),
    *("reported_at", "taken_at", "fixed_at", "verified_at", "cancelled_at"),
)
KINDS: dict[WorkState, tuple[EntryKind, ...]] = {
    WorkState.OPEN: (EntryKind.TAKE, EntryKind.FIX, EntryKind.NOTE, EntryKind.CANCEL),
    WorkState.TAKEN: (EntryKind.FIX, EntryKind.RELEASE, EntryKind.NOTE, EntryKind.CANCEL),
    WorkState.FIXED: (EntryKind.NOTE, EntryKind.REOPEN),
    WorkState.VERIFIED: (EntryKind.NOTE,),
    WorkState.CANCELLED: (EntryKind.NOTE,),
}
VERBS: dict[EntryKind, Promise] = {
    EntryKind.TAKE: gettext_lazy("Take"),
    EntryKind.RELEASE: gettext_lazy("Give back"),
    EntryKind.FIX: gettext_lazy("It is fixed"),
    EntryKind.NOTE: gettext_lazy("Add a note"),
    EntryKind.REOPEN: gettext_lazy("Open again"),
    EntryKind.CANCEL: gettext_lazy("Cancel the order"),
}


@require_safe
@needs(Permission.WORK_VIEW)
def board(request: HttpRequest) -> HttpResponse:
    """What is to be done, by how far it has come."""
    columns = [(state, page) for state, page in work_order_rows.board().items()]
    low = [part for part in work_order_rows.parts() if part.is_low]
    return render(request, "pages/work_board.html", _content(tab="board", columns=columns, low=low))


def _content(**content: Any) -> dict[str, Any]:
    return {"here": "work"} | content


@require_safe
@needs(Permission.WORK_VIEW)
def orders(request: HttpRequest) -> HttpResponse:
    """One page of the list."""
    try:
        filters, part = order_filter(request), part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "work", "error": error}, status=400)
    page = work_order_rows.orders(filters, limit=part.limit, offset=part.offset)
    export = request.GET.copy()
    export.pop("page", None)
    content = _content(
        tab="list",
        rows=page.rows,
        pager=Pager(request.GET, page.total, part.offset, part.limit),
        query=request.GET,
        export=export.urlencode(),
        states=list(work_wording.STATES.items()),
        faults=list(work_wording.FAULTS.items()),
    )
    name = "parts/work_rows.html" if request.headers.get("HX-Request") else "pages/work_list.html"
    return render(request, name, content)


def order_filter(request: HttpRequest) -> OrderFilter:
    """The orders that a query asks for. Raises QueryError."""
    query = request.GET
    return OrderFilter(
        states=choices(query, "state", WorkState, tuple(WorkState)),
        faults=choices(query, "fault", Fault, tuple(Fault)),
        machine_id=whole(query, "machine", None, 1, 2**31 - 1),
        text=text(query, "q"),
    )


@require_safe
@needs(Permission.WORK_VIEW)
def export(request: HttpRequest, kind: str) -> HttpResponse:
    """The list with the same filters, every page of it, as CSV or JSON."""
    try:
        filters = order_filter(request)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "work", "error": error}, status=400)
    rows: list[list[Any]] = []
    total, offset = 1, 0
    while offset < min(total, ROWS_MAX):
        page = work_order_rows.orders(filters, limit=work_order_rows.PAGE_MAX, offset=offset)
        rows += [_export_row(row) for row in page.rows]
        total, offset = page.total, offset + work_order_rows.PAGE_MAX
    return download("work-orders", kind, EXPORT, rows, total)


def _export_row(row: OrderRow) -> list[Any]:
    position = f"{row.rack_label}/{row.slot:02d}" if row.rack_label and row.slot is not None else ""
    return [
        *(row.id, row.machine_id, position, row.address, row.model, row.serial, row.fault.value, row.state.value),
        *(row.note, row.technician, row.reported_at, row.taken_at, row.fixed_at, row.verified_at, row.cancelled_at),
    ]


@require_safe
@needs(Permission.WORK_VIEW)
def order(request: HttpRequest, order_id: int) -> HttpResponse:
    """One order with everything that was entered on it."""
    try:
        row = work_order_rows.order(order_id)
    except UnknownOrderError as error:
        raise Http404 from error
    user: Any = request.user
    kinds = KINDS[row.state] if user.may(Permission.WORK_DO) else ()
    if not user.may(Permission.STOCK_MANAGE):
        kinds = tuple(kind for kind in kinds if kind is not EntryKind.CANCEL)
    if row.state is WorkState.TAKEN and row.technician_id != user.pk:
        kinds = tuple(kind for kind in kinds if kind not in {EntryKind.FIX, EntryKind.RELEASE})
    content = _content(
        order=row,
        entries=work_order_rows.entries(order_id),
        way=_way(row),
        kinds=[(kind, VERBS[kind]) for kind in kinds],
        parts=work_order_rows.parts() if kinds else [],
        may_work=bool(kinds),
        keys=[uuid4() for _number in range(3)],
    )
    return render(request, "pages/work_order.html", content)


def _way(row: OrderRow) -> list[tuple[WorkState, datetime | None]]:
    is_cancelled = row.state is WorkState.CANCELLED
    last = (WorkState.CANCELLED, row.cancelled_at) if is_cancelled else (WorkState.VERIFIED, row.verified_at)
    return [
        (WorkState.OPEN, row.reported_at),
        (WorkState.TAKEN, row.taken_at),
        (WorkState.FIXED, row.fixed_at),
        last,
    ]


@require_POST
@needs(Permission.WORK_DO)
def enter(request: HttpRequest, order_id: int) -> HttpResponse:
    """Enter something on an order; the form's key makes a second click harmless."""
    try:
        entry = _entry_of(request, order=order_id)
        told(request, _enter(request, entry))
    except WorkRefusedError as error:
        messages.error(request, error.text)
    return redirect(f"/workshop/{order_id}/")


def _entry_of(request: HttpRequest, **rest: Any) -> NewWork:
    given = request.POST
    about = given.get("about", "")
    try:
        pieces = int(given.get("pieces") or 0)
        entry = NewWork(
            key=UUID(given.get("key", "")),
            kind=EntryKind(given.get("kind", "")),
            at=datetime.now(UTC),
            text=given.get("text", "").strip()[: work_orders.TEXT_MAX],
            part=given.get("part", "")[:60],
            pieces=max(-work_orders.PIECES_MAX, min(work_orders.PIECES_MAX, pieces)),
            about=UUID(about) if about else None,
            **rest,
        )
    except ValueError as error:
        raise WorkRefusedError(f"work order: {error}", _("The form cannot be used; load the page again.")) from error
    return entry


def _enter(request: HttpRequest, entry: NewWork) -> Receipt:
    user: Any = request.user
    try:
        return work_orders.enter_one(user, entry)
    except NotPermittedError as error:
        raise PermissionDenied from error


def told(request: HttpRequest, receipt: Receipt) -> None:
    """Say what became of an entry."""
    if receipt.clash:
        clash = work_wording.CLASHES[Clash(receipt.clash)]
        messages.warning(request, _("Kept as a conflict: %(why)s") % {"why": clash})
    elif receipt.outcome == "joined":
        messages.warning(request, _("This fault is reported already; your report was added to its order."))
    else:
        messages.success(request, _("Entered."))


@require_http_methods(["GET", "POST"])
@needs(Permission.WORK_DO)
def new(request: HttpRequest) -> HttpResponse:
    """Report a fault of one machine."""
    try:
        machine = selectors.machine(whole(request.GET, "machine", 0, 0, 2**31 - 1) or 0)
    except (UnknownMachineError, QueryError) as error:
        raise Http404 from error
    known = work_order_rows.orders(OrderFilter(machine_id=machine.id), limit=20)
    content = _content(
        machine=machine,
        name=machine_name(machine.rack_label, machine.slot, machine.address, machine.id),
        faults=list(work_wording.FAULTS.items()),
        open=[one for one in known.rows if not one.state.is_over],
        given=request.POST,
        key=request.POST.get("key") or uuid4(),
    )
    if request.method != "POST":
        return render(request, "pages/work_new.html", content)
    try:
        fault = Fault(request.POST.get("fault", ""))
        receipt = _enter(request, _entry_of(request, machine_id=machine.id, fault=fault))
    except (WorkRefusedError, ValueError) as error:
        refusal = error.text if isinstance(error, WorkRefusedError) else _("Choose what is wrong.")
        return render(request, "pages/work_new.html", content | {"refusal": refusal}, status=400)
    told(request, receipt)
    return redirect(f"/workshop/{receipt.order}/")


@require_safe
@needs(Permission.WORK_VIEW)
def statistics(request: HttpRequest) -> HttpResponse:
    """Mean times between failures and to repair, with their intervals."""
    try:
        days = whole(request.GET, "days", 90, 1, 3660) or 90
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "work", "error": error}, status=400)
    found = work_order_rows.repairs(days)
    most = max((count for _fault, count in found.faults), default=0)
    content = _content(
        tab="statistics",
        repairs=found,
        days=days,
        periods=PERIODS,
        axes=_axes(found),
        percent=round(100 * found.confidence),
        most=most,
        fitting=[one for one in found.models if one.observed_h or one.repair.seen],
    )
    return render(request, "pages/work_statistics.html", content)


def _axes(found: Repairs) -> dict[str, tuple[float, float]]:
    """The ends of the lines that means are drawn on [h]."""
    axes = {}
    for name in ("mtbf", "repair", "hands_on"):
        means = [getattr(model, name) for model in found.models]
        ends = [end for mean in means for end in (mean.low_h, mean.value_h, mean.high_h) if end]
        axes[name] = (min(ends) / 1.3, max(ends) * 1.3) if ends else (0.0, 0.0)
    return axes


@require_safe
@needs(Permission.WORK_VIEW)
def labels(request: HttpRequest) -> HttpResponse:
    """Labels to print, of machines or of positions, rack by rack."""
    try:
        hall, rack = whole(request.GET, "hall", None, 0, 32767), whole(request.GET, "rack", None, 0, 32767)
        part = part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "work", "error": error}, status=400)
    racks = [(each.hall, one.rack) for each in selectors.floor() for one in each.racks]
    if hall is None and rack is None and racks:
        hall, rack = racks[0]
    by_position = request.GET.get("what") == "positions"
    page = selectors.machines(
        MachineFilter(hall=hall, rack=rack), limit=LABELS_MAX, offset=(part.page - 1) * LABELS_MAX
    )
    made = [label for row in page.rows if (label := _label(row, by_position=by_position))]
    content = _content(
        tab="labels",
        labels=made,
        racks=racks,
        hall=hall,
        rack=rack,
        by_position=by_position,
        pager=Pager(request.GET, page.total, page.offset, LABELS_MAX),
    )
    return render(request, "pages/work_labels.html", content)


def _label(row: selectors.MachineRow, *, by_position: bool) -> dict[str, Any] | None:
    name = machine_name(row.rack_label, row.slot, row.address, row.id)
    if by_position:
        if row.hall is None or row.rack is None or row.slot is None:
            return None
        link, below = f"?p={row.hall}-{row.rack}-{row.slot}", [_("Position")]
    else:
        link, below = f"?m={row.id}", [row.model, row.serial or row.mac or f"#{row.id}"]
    url = f"{settings.CONFIG.public_url}/workshop/phone/{link}"
    return {"name": name, "below": below, "qr": qr_svg(url, name), "url": url}
