"""Bringing machines in: how far it has come, and the rack walk on a phone."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import credentials, onboarding_rows, placing
from mbongi.fleet.errors import ActionRefusedError, NotPermittedError, UnknownMachineError
from mbongi.fleet.placing import NUMBER_MAX, PlacingQuestionError, Spot, checked_spot
from mbongi.web.filters import QueryError, part_query, whole
from mbongi.web.guard import needs
from mbongi.web.middleware import HEADERS
from mbongi.web.pages.paging import Pager

WALK = "/fleet/onboarding/walk/"
CAMERA = HEADERS["Permissions-Policy"].replace("camera=()", "camera=(self)")
LABEL_MAX = 64
WHATS = ("position", "password", "unknown")


@require_safe
@needs(Permission.MACHINE_PLACE)
def onboarding(request: HttpRequest) -> HttpResponse:
    """How many machines have come how far, and those that wait."""
    try:
        part = part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    what = request.GET.get("what", "")
    progress = onboarding_rows.progress()
    what = what if what in WHATS else "position" if progress.unplaced else "password"
    rows, total = onboarding_rows.waiting(limit=part.limit, offset=part.offset, what=what)
    user: Any = request.user
    content = {
        "progress": progress,
        "steps": _steps(progress),
        "what": what,
        "rows": rows,
        "total": total,
        "pager": Pager(request.GET, total, part.offset, part.limit),
        "may_rotate": user.may(Permission.CREDENTIAL_MANAGE) and user.may(Permission.OPERATION_RUN),
        "done": onboarding_rows.placements(user),
        "ports": settings.CONFIG.fleet.report_host
        and f"{settings.CONFIG.fleet.report_port}, {settings.CONFIG.fleet.report_whatsminer_port}",
    }
    return render(request, "pages/onboarding.html", content)


def _steps(progress: onboarding_rows.Progress) -> list[tuple[str, int, int, str]]:
    """Each step's word, how many have it behind them, of how many, and what its list is called."""
    can = progress.found - progress.exempt
    return [
        (_("Machines found"), progress.found, progress.found, ""),
        (_("Identified"), progress.identified, progress.found, "unknown"),
        (_("Placed"), progress.placed, progress.found, "position"),
        (_("Password changed"), progress.changed, can, "password"),
    ]


@require_POST
@needs(Permission.CREDENTIAL_MANAGE)
def rotate(request: HttpRequest) -> HttpResponse:
    """Give all machines with the common password one of their own, or all machines a new one."""
    user: Any = request.user
    try:
        row = credentials.rotate(
            user, reason=request.POST.get("reason", ""), only_common=request.POST.get("all") != "yes"
        )
    except ActionRefusedError as error:
        messages.error(request, error.text)
        return redirect("/fleet/onboarding/")
    except NotPermittedError as error:
        raise PermissionDenied from error
    return redirect(f"/fleet/operations/{row.id}/")


# The walk.


@require_safe
@needs(Permission.MACHINE_PLACE)
def walk(request: HttpRequest) -> HttpResponse:
    """The walk's page. ``?p=HALL-RACK-SLOT`` from a position's label begins it there, ``?m=ID`` offers a machine.

    ``?label=`` does too: a serial number or MAC, typed where the browser reads no codes.
    """
    user: Any = request.user
    spot = _spot_of(request.GET.get("p", ""))
    if spot is not None:
        placing.walk_to(user, spot)
        return redirect(WALK)
    content = {
        "sight": onboarding_rows.walk(user),
        "number_max": NUMBER_MAX,
        "scanned": _scanned(request),
        "label": request.GET.get("label", ""),
    }
    name = "parts/walk.html" if request.headers.get("HX-Request") else "pages/walk.html"
    answer = render(request, name, content)
    # The one page that may open the camera: it reads labels.
    answer["Permissions-Policy"] = CAMERA
    return answer


def _spot_of(text: str) -> Spot | None:
    parts = text.split("-")
    if len(parts) != 3 or not all(_is_number(part) and len(part) <= 5 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    return Spot(*numbers) if max(numbers) <= NUMBER_MAX else None


def _is_number(text: str) -> bool:
    """What ``int`` reads and a column holds."""
    return text.isascii() and text.isdigit() and len(text) < 11


def _scanned(request: HttpRequest) -> onboarding_rows.WaitingRow | None:
    if label := request.GET.get("label", "").strip():
        return onboarding_rows.machine_by_label(label[:LABEL_MAX])
    number = request.GET.get("m", "")
    return onboarding_rows.machine_row(int(number)) if _is_number(number) else None


@require_POST
@needs(Permission.MACHINE_PLACE)
def walk_to(request: HttpRequest) -> HttpResponse:
    """Stand before another slot, or end the walk."""
    user: Any = request.user
    if request.POST.get("end"):
        placing.end_walk(user)
        return redirect("/fleet/onboarding/")
    try:
        numbers = [whole(request.POST, name, None, 0, NUMBER_MAX) for name in ("hall", "rack", "slot")]
        hall, rack, slot = (number for number in numbers if number is not None)
        step = -1 if request.POST.get("step") == "-1" else 1
        placing.walk_to(user, checked_spot(hall, rack, slot), step=step)
    except (QueryError, ValueError):
        text = _("Hall, rack and slot are numbers from 0 to %(limit)d.") % {"limit": NUMBER_MAX}
        messages.error(request, text)
    return redirect(WALK)


@require_POST
@needs(Permission.MACHINE_PLACE)
def place(request: HttpRequest) -> HttpResponse:
    """Confirm a machine for the slot that the form names; a question is asked back."""
    user: Any = request.user
    given = request.POST
    spot = _spot_of(given.get("p", ""))
    if spot is None or not _is_number(given.get("machine", "")):
        raise Http404
    answers = {name: given.get(name) == "yes" for name in ("moved", "replace")}
    try:
        placing.place(
            user,
            int(given["machine"]),
            spot,
            moved=answers["moved"],
            replace=answers["replace"],
            rotate=settings.CONFIG.fleet.rotate_at_placement,
        )
    except PlacingQuestionError as error:
        answers[error.question] = True
        content = {"question": error.text, "spot": spot, "machine": given["machine"], "answers": answers}
        return render(request, "pages/walk_question.html", content, status=409)
    except ActionRefusedError as error:
        messages.error(request, error.text)
    except UnknownMachineError as error:
        raise Http404 from error
    return redirect(WALK)


@require_POST
@needs(Permission.MACHINE_PLACE)
def undo(request: HttpRequest, placement_id: int) -> HttpResponse:
    """Take a placement back."""
    user: Any = request.user
    try:
        placing.undo(user, placement_id)
        messages.success(request, _("Taken back."))
    except ActionRefusedError as error:
        messages.error(request, error.text)
    return redirect(WALK if onboarding_rows.walk(user) else "/fleet/onboarding/")
