"""Energy: what dispatch plans and why, what it saves, who steers; and the supply that it plans with."""

from collections.abc import Callable
from typing import Any

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.energy import dispatch_rows, supplies
from mbongi.energy.errors import NotPermittedError, SupplyRefusedError
from mbongi.energy.values import Supply
from mbongi.web import energy_sight
from mbongi.web.guard import needs

PLACE = "/energy/"
SUPPLY_PLACE = "/energy/supply/"


@require_safe
@needs(Permission.ENERGY_VIEW)
def dispatch(request: HttpRequest) -> HttpResponse:
    """The whole page; htmx asks for the part that lives alone."""
    user: Any = request.user
    content = energy_sight.now() | {"may_edit": user.may(Permission.ENERGY_EDIT), "here": "energy"}
    if request.headers.get("HX-Request"):
        return render(request, "parts/energy.html", content)
    return render(request, "pages/energy.html", content | {"tries": dispatch_rows.tries()})


@require_safe
@needs(Permission.ENERGY_VIEW)
def plan(_request: HttpRequest) -> JsonResponse:
    """The newest plan's chart; empty before there is one."""
    newest = dispatch_rows.newest()
    found = None if newest is None else energy_sight.chart(newest.id)
    return JsonResponse(found or {"at": [], "layers": []})


@require_safe
@needs(Permission.ENERGY_VIEW)
def figures(request: HttpRequest) -> HttpResponse:
    """The figures of the last day, from the record of the meters; a part of the page that may come late."""
    row = supplies.in_force()
    content: dict[str, Any] = {"figures": None, "is_away": False}
    if row is not None:
        try:
            content["figures"] = energy_sight.figures(row.supply)
        except (StoreUnavailable, StoreRefused):
            content["is_away"] = True
    return render(request, "parts/energy_figures.html", content)


@require_http_methods(["GET", "POST"])
@needs(Permission.ENERGY_VIEW)
def supply(request: HttpRequest) -> HttpResponse:
    """The supply in force and its versions; a new one is written as a document."""
    user: Any = request.user
    refusal, row = "", supplies.in_force()
    text = _document(Supply() if row is None else row.supply)
    if request.method == "POST":
        text = request.POST.get("document", "")
        try:
            supplies.write(user, supplies.read_document(text.encode()), reason=request.POST.get("reason", ""))
        except SupplyRefusedError as error:
            refusal = error.text
        except NotPermittedError as error:
            raise PermissionDenied from error
        else:
            messages.success(request, _("It is in force once somebody else has approved it."))
            return redirect(SUPPLY_PLACE)
    content = {
        "here": "energy",
        "document": text,
        "refusal": refusal,
        "reason": request.POST.get("reason", ""),
        "in_force": row,
        "versions": supplies.versions(),
        "may_edit": user.may(Permission.ENERGY_EDIT),
        "user_id": user.pk,
    }
    return render(request, "pages/energy_supply.html", content, status=422 if refusal else 200)


def _document(supply: Supply) -> str:
    return msgspec.json.format(msgspec.json.encode(supply), indent=2).decode()


@require_POST
@needs(Permission.ENERGY_EDIT)
def approve(request: HttpRequest, version_id: int) -> HttpResponse:
    """Agree to a version that somebody else wrote."""
    user: Any = request.user
    reason = request.POST.get("reason", "")
    return _attempt(request, lambda: supplies.approve(user, version_id, reason=reason), SUPPLY_PLACE)


@require_POST
@needs(Permission.ENERGY_EDIT)
def switch(request: HttpRequest, word: str) -> HttpResponse:
    """Hand targets to the fleet from now on, or only show them."""
    user: Any = request.user
    if word not in {"on", "off"}:
        raise Http404
    reason = request.POST.get("reason", "")
    return _attempt(request, lambda: supplies.switch(user, on=word == "on", reason=reason), PLACE)


def _attempt(request: HttpRequest, act: Callable[[], object], place: str) -> HttpResponse:
    """Do it and say so, or why not."""
    try:
        act()
    except SupplyRefusedError as error:
        messages.error(request, error.text)
    else:
        messages.success(request, _("Entered."))
    return redirect(place)
