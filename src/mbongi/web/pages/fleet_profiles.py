"""The versions of a group's profile: written in a form, compared, decided on by a second person, rehearsed, applied."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import group_rows, groups, reconcile, selectors
from mbongi.fleet.errors import ActionRefusedError, UnknownProfileError
from mbongi.fleet.group_rows import ProfileRow
from mbongi.fleet.rules.desired import TEMPLATE_FIELDS
from mbongi.fleet.values import Desired, ProfileState
from mbongi.web.filters import QueryError, part_query, whole
from mbongi.web.guard import needs
from mbongi.web.pages.attempts import attempt
from mbongi.web.pages.fleet_groups import group_or_404
from mbongi.web.pages.paging import Pager
from mbongi.web.profile_sight import MODES, document_of, field_lines, form_given, form_of, pool_lines
from mbongi.web.tenants import tenant_names

MACHINES_SHOWN = 50


def _profile_or_404(profile_id: int) -> ProfileRow:
    try:
        return group_rows.profile(profile_id)
    except UnknownProfileError as error:
        raise Http404 from error


def _columns(before: ProfileRow, after: ProfileRow) -> list[str]:
    return [_("version %(n)d") % {"n": row.number} for row in (before, after)]


@require_http_methods(["GET", "POST"])
@needs(Permission.PROFILE_EDIT)
def edit(request: HttpRequest, group_id: int) -> HttpResponse:
    """The form of a new version, beginning with the newest one that was not refused."""
    row = group_or_404(group_id)
    versions = [each for each in group_rows.profiles(group_id) if each.state is not ProfileState.REFUSED]
    begin = versions[0].desired if versions else Desired()
    content: dict[str, Any] = {
        "group": row,
        "begin": versions[0] if versions else None,
        "modes": list(MODES.items()),
        "tenants": tenant_names().items(),
        "template_fields": ", ".join(f"{{{name}}}" for name in TEMPLATE_FIELDS),
    }
    if request.method != "POST":
        return render(request, "pages/profile_edit.html", content | {"form": form_of(begin)})

    reason = request.POST.get("reason", "")
    try:
        made = groups.write_profile(request.user, group_id, document_of(request.POST), reason=reason)  # type: ignore[arg-type]
    except ActionRefusedError as error:
        content |= {"form": form_given(request.POST), "refusal": error.text, "reason": reason}
        return render(request, "pages/profile_edit.html", content, status=400)
    messages.success(request, _("Written down as a draft. Look at what it changes, then propose it."))
    return redirect(f"/fleet/profiles/{made.id}/")


@require_safe
@needs(Permission.MACHINE_VIEW)
def version(request: HttpRequest, profile_id: int) -> HttpResponse:
    """One version: what it changes, who decided, and what may be done with it."""
    row, user = _profile_or_404(profile_id), request.user
    former = next((each for each in group_rows.profiles(row.group_id) if each.number == row.former), None)
    before, is_own = (None if former is None else former.desired), row.author_id == user.pk
    names, may_edit = tenant_names(), user.may(Permission.PROFILE_EDIT)  # type: ignore[union-attr]
    may_approve = user.may(Permission.PROFILE_APPROVE)  # type: ignore[union-attr]
    is_proposed, is_draft = row.state is ProfileState.PROPOSED, row.state is ProfileState.DRAFT
    content = {
        "version": row,
        "former": former,
        "columns": None if former is None else _columns(former, row),
        "pools": pool_lines(before, row.desired),
        "fields": field_lines(before, row.desired, names),
        "may_propose": is_draft and is_own and may_edit,
        "may_approve": is_proposed and may_approve and not is_own,
        "may_refuse": row.state.is_open and (may_approve or (is_own and may_edit)),
        "waits_for_second": is_proposed and is_own,
        "is_own": is_own,
    }
    return render(request, "pages/profile.html", content)


@require_POST
@needs(Permission.MACHINE_VIEW)
def decide(request: HttpRequest, profile_id: int, verb: str) -> HttpResponse:
    """Propose, approve or refuse a version."""
    row, place, reason = _profile_or_404(profile_id), f"/fleet/profiles/{profile_id}/", request.POST.get("reason", "")
    user: Any = request.user

    def do() -> str:
        if verb == "propose":
            groups.propose_profile(user, profile_id)
        elif verb == "approve":
            groups.approve_profile(user, profile_id, reason=reason)
        elif verb == "refuse":
            groups.refuse_profile(user, profile_id, reason=reason)
        else:
            raise Http404
        now = group_rows.profile(profile_id)
        return f"/fleet/groups/{row.group_id}/rehearsal/" if now.state is ProfileState.ACTIVE else place

    return attempt(request, do, otherwise=place, told=_("Entered."))


@require_safe
@needs(Permission.MACHINE_VIEW)
def diff(request: HttpRequest, group_id: int) -> HttpResponse:
    """Any two versions of a profile side by side."""
    row, versions = group_or_404(group_id), group_rows.profiles(group_id)
    by_number = {each.number: each for each in versions}
    try:
        left, right = whole(request.GET, "from", None, 1, 2**31 - 1), whole(request.GET, "to", None, 1, 2**31 - 1)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    after = by_number.get(right or max(by_number, default=0))
    before = by_number.get(left or (after.former if after and after.former else 0))
    if after is None:
        raise Http404
    older = None if before is None else before.desired
    content = {
        "group": row,
        "versions": versions,
        "before": before,
        "after": after,
        "columns": None if before is None else _columns(before, after),
        "pools": pool_lines(older, after.desired),
        "fields": field_lines(older, after.desired, tenant_names()),
    }
    return render(request, "pages/profile_diff.html", content)


@require_http_methods(["GET", "POST"])
@needs(Permission.MACHINE_VIEW)
def rehearsal(request: HttpRequest, group_id: int) -> HttpResponse:
    """What bringing the group to its profile would do to each machine; POST with a reason does it."""
    row, user = group_or_404(group_id), request.user
    if request.method == "POST":
        reason = request.POST.get("reason", "")

        def do() -> str:
            made = reconcile.reconcile(user, group_id, reason=reason)  # type: ignore[arg-type]
            return f"/fleet/operations/{made.id}/"

        return attempt(request, do, otherwise=f"/fleet/groups/{group_id}/rehearsal/")
    try:
        part, found = part_query(request.GET), reconcile.preview(group_id)
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    except ActionRefusedError as error:
        return render(request, "pages/rehearsal.html", {"group": row, "refusal": error.text})
    offset = (part.page - 1) * MACHINES_SHOWN
    shown = found.machines[offset : offset + MACHINES_SHOWN]
    machines = selectors.machine_rows([plan.machine_id for plan in shown])
    kinds: dict[Any, int] = {}
    for plan in found.machines:
        for change in plan.changes:
            if change.kind is not None:
                kinds[change.kind] = kinds.get(change.kind, 0) + 1
    content = {
        "group": row,
        "found": found,
        "kinds": sorted(kinds.items(), key=lambda pair: -pair[1]),
        "left": found.left.most_common(),
        "rows": [(plan, machines.get(plan.machine_id)) for plan in shown],
        "pager": Pager(request.GET, len(found.machines), offset, MACHINES_SHOWN),
        "may_run": user.may(Permission.OPERATION_RUN),  # type: ignore[union-attr]
    }
    return render(request, "pages/rehearsal.html", content)
