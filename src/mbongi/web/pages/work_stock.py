"""Spare parts: what there is, what must be bought, and every piece that came or went."""

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from mbongi.core.identity.values import Permission
from mbongi.fleet import stock as fleet_stock
from mbongi.fleet import work_order_rows, work_wording
from mbongi.fleet.errors import NotPermittedError, UnknownPartError, WorkRefusedError
from mbongi.fleet.stock import HAND_MOVES, MoveKind
from mbongi.web.guard import needs


@require_http_methods(["GET", "POST"])
@needs(Permission.WORK_VIEW)
def stock(request: HttpRequest) -> HttpResponse:
    """All parts; POST adds one."""
    refusal = ""
    if request.method == "POST":
        try:
            number = _write(request, None)
        except WorkRefusedError as error:
            refusal = error.text
        else:
            return redirect(f"/workshop/stock/{number}/")
    user: Any = request.user
    parts = work_order_rows.parts()
    content = {
        "here": "work",
        "tab": "stock",
        "parts": parts,
        "low": sum(part.is_low for part in parts),
        "most": max((max(part.stock, part.reorder_point) for part in parts), default=0),
        "may_manage": user.may(Permission.STOCK_MANAGE),
        "given": request.POST,
        "refusal": refusal,
    }
    return render(request, "pages/work_stock.html", content, status=400 if refusal else 200)


def _write(request: HttpRequest, part_id: int | None) -> int:
    user: Any = request.user
    given = request.POST
    try:
        return fleet_stock.write_part(
            user,
            number=given.get("number", ""),
            name=given.get("name", ""),
            fits=given.get("fits", ""),
            reorder_point=_pieces(given.get("reorder_point", "") or "0"),
            part_id=part_id,
        )
    except NotPermittedError as error:
        raise PermissionDenied from error


def _pieces(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise WorkRefusedError(f"pieces {text[:20]!r}: no whole number", _("State how many pieces."))
    return int(text)


@require_http_methods(["GET", "POST"])
@needs(Permission.WORK_VIEW)
def part(request: HttpRequest, part_id: int) -> HttpResponse:
    """One part with its moves; POST with ``step=part`` changes it, else it moves pieces."""
    refusal = ""
    try:
        if request.method == "POST":
            _changed(request, part_id)
            messages.success(request, _("Entered."))
            return redirect(f"/workshop/stock/{part_id}/")
    except WorkRefusedError as error:
        refusal = error.text
    except UnknownPartError as error:
        raise Http404 from error
    try:
        row = work_order_rows.part(part_id)
    except UnknownPartError as error:
        raise Http404 from error
    user: Any = request.user
    content = {
        "here": "work",
        "part": row,
        "moves": work_order_rows.moves(part_id),
        "kinds": [(kind, work_wording.MOVES[kind]) for kind in HAND_MOVES],
        "may_manage": user.may(Permission.STOCK_MANAGE),
        "key": uuid4(),
        "given": request.POST,
        "refusal": refusal,
    }
    return render(request, "pages/work_part.html", content, status=400 if refusal else 200)


def _changed(request: HttpRequest, part_id: int) -> None:
    if request.POST.get("step") == "part":
        _write(request, part_id)
        return
    user: Any = request.user
    try:
        kind, key = MoveKind(request.POST.get("kind", "")), UUID(request.POST.get("key", ""))
    except ValueError as error:
        raise WorkRefusedError(f"stock: {error}", _("The form cannot be used; load the page again.")) from error
    try:
        pieces = _pieces(request.POST.get("pieces", ""))
        fleet_stock.move(user, part_id, kind, pieces, key=key, reason=request.POST.get("reason", ""))
    except NotPermittedError as error:
        raise PermissionDenied from error
