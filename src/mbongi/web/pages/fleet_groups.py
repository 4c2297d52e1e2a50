"""Groups of machines: the list, one with its profile and its machines, and the changes that people make to it."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import group_rows, groups, moves, operation_rows, reconcile, selectors
from mbongi.fleet.errors import ActionRefusedError, UnknownGroupError
from mbongi.fleet.group_rows import GroupRow
from mbongi.fleet.selectors import MachineFilter
from mbongi.fleet.values import MachineState
from mbongi.web import sight
from mbongi.web.guard import needs
from mbongi.web.pages.attempts import attempt
from mbongi.web.profile_sight import field_lines, pool_lines
from mbongi.web.tenants import tenant_names

SHOWN = 12


def group_or_404(group_id: int) -> GroupRow:
    """The group, or a page that says there is none."""
    try:
        return group_rows.group(group_id)
    except UnknownGroupError as error:
        raise Http404 from error


@require_safe
@needs(Permission.MACHINE_VIEW)
def group_list(request: HttpRequest) -> HttpResponse:
    """Every group with its machines by state; how many fulfil their profile is looked into as each row is seen."""
    states = group_rows.states_by_group()
    user: Any = request.user
    content = {
        "rows": [(row, states.get(row.id, {})) for row in group_rows.groups()],
        "ungrouped": selectors.machines(MachineFilter(group_id=0), limit=1).total,
        "may_edit": user.may(Permission.PROFILE_EDIT),
        "moves": _moves(user, None),
    }
    return render(request, "pages/groups.html", content)


def _moves(user: Any, group_id: int | None) -> list[tuple[moves.MoveRow, bool, bool]]:
    """Moves that wait for a second person, whether the reader may agree to each, and whether it is their own."""
    may = user.may(Permission.PROFILE_APPROVE)
    return [(row, may and row.author_id != user.pk, row.author_id == user.pk) for row in moves.open_moves(group_id)]


@require_safe
@needs(Permission.MACHINE_VIEW)
def group(request: HttpRequest, group_id: int) -> HttpResponse:
    """One group."""
    row, user = group_or_404(group_id), request.user
    versions = group_rows.profiles(group_id)
    active = next((each for each in versions if each.number == row.active), None)
    states = group_rows.states_by_group().get(group_id, {})
    names = tenant_names()
    page = selectors.machines(MachineFilter(group_id=group_id), limit=SHOWN)
    content = {
        "group": row,
        "versions": versions,
        "active": active,
        "open_version": next((each for each in versions if each.number == row.open), None),
        "pools": [] if active is None else pool_lines(None, active.desired),
        "fields": [] if active is None else field_lines(None, active.desired, names),
        "states": [(state, states.get(state, 0)) for state in MachineState],
        "state_counts": states,
        "machines": sight.sights(page.rows),
        "total": page.total,
        "operations": operation_rows.operations(group_id=group_id, limit=5),
        "owner": names.get(row.tenant_id or 0, ""),
        "moves": _moves(user, group_id),
        "may_edit": user.may(Permission.PROFILE_EDIT),  # type: ignore[union-attr]
        "may_run": user.may(Permission.OPERATION_RUN),  # type: ignore[union-attr]
    }
    return render(request, "pages/group.html", content)


@require_safe
@needs(Permission.MACHINE_VIEW)
def standing(request: HttpRequest, group_id: int) -> HttpResponse:
    """How many of its machines are as the profile says: the part of a page that takes a while with many machines."""
    row = group_or_404(group_id)
    try:
        found = None if row.active is None else reconcile.preview(group_id)
    except ActionRefusedError:
        found = None  # its last version was withdrawn at this moment
    is_large = request.GET.get("as") == "card"
    content = {"group": row, "found": found}
    return render(request, "parts/group_standing_card.html" if is_large else "parts/group_standing.html", content)


@require_POST
@needs(Permission.PROFILE_EDIT)
def add(request: HttpRequest) -> HttpResponse:
    """Add a group."""
    form = request.POST

    def do() -> str:
        made = groups.add_group(
            request.user,  # type: ignore[arg-type]
            form.get("name", ""),
            note=form.get("note", ""),
            reason=form.get("reason", ""),
        )
        return f"/fleet/groups/{made.id}/"

    return attempt(request, do, otherwise="/fleet/groups/", told=_("The group is there. Put machines into it next."))


@require_POST
@needs(Permission.PROFILE_EDIT)
def change(request: HttpRequest, group_id: int) -> HttpResponse:
    """Change its note, or whether drift in it is left alone."""
    form, place = request.POST, f"/fleet/groups/{group_id}/"

    def do() -> str:
        groups.change_group(
            request.user,  # type: ignore[arg-type]
            group_id,
            note=form.get("note"),
            paused=form["paused"] == "1" if "paused" in form else None,
            reason=form.get("reason", ""),
        )
        return place

    return attempt(request, do, otherwise=place, told=_("Entered."))


@require_POST
@needs(Permission.MACHINE_VIEW)
def decide_move(request: HttpRequest, move_id: int, verb: str) -> HttpResponse:
    """Agree to a move into a group that somebody else asked for, or refuse or withdraw it."""
    reason, user = request.POST.get("reason", ""), request.user

    def do() -> str:
        if verb == "approve":
            moves.approve_move(user, move_id, reason=reason)  # type: ignore[arg-type]
        elif verb == "refuse":
            moves.refuse_move(user, move_id, reason=reason)  # type: ignore[arg-type]
        else:
            raise Http404
        return "/fleet/groups/"

    return attempt(request, do, otherwise="/fleet/groups/", told=_("Entered."))
