"""What somebody does to many chosen machines at once: looked at first, then done; and the views they keep."""

import hashlib
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from mbongi.core.identity.values import Permission
from mbongi.fleet import bulk, groups, saved_views, selectors, wording
from mbongi.fleet.errors import ActionRefusedError
from mbongi.fleet.values import ActionKind, Limits
from mbongi.web.filters import ID_MAX, QueryError, machine_filter, whole
from mbongi.web.guard import needs
from mbongi.web.pages.attempts import attempt
from mbongi.web.pages.fleet_groups import group_or_404

SHOWN = 12
_TO_GROUP = "group:"


@require_POST
@needs(Permission.MACHINE_CONTROL)
def bulk_page(request: HttpRequest) -> HttpResponse:
    """What would be done to the chosen machines, each that is left with its reason; ``step=do`` does it."""
    form = request.POST
    try:
        ids = _chosen(form)
    except (QueryError, ValueError):
        ids = []
    back = f"/machines/?{form.get('query', '')}"
    if not ids:
        return attempt(request, _nothing, otherwise=back)
    if form.get("step") == "do" and form.get("all") == "1" and form.get("seen") != _mark(ids):
        return attempt(request, _changed, otherwise=back)
    what = form.get("what", "")
    try:
        if what.startswith(_TO_GROUP):
            return _to_group(request, what, ids, back)
        return _action(request, what, ids, back)
    except QueryError:
        return attempt(request, _nothing, otherwise=back)
    except ActionRefusedError as error:
        return attempt(request, _raising(error), otherwise=back)


def _chosen(form: QueryDict) -> list[int]:
    """The machines that were ticked, or all that fit the list's filter."""
    if form.get("all") == "1":
        return [int(one) for one in selectors.machine_ids(machine_filter(QueryDict(form.get("query", ""))))]
    return [int(one) for one in form.getlist("id") if one.isascii() and one.isdigit() and int(one) <= ID_MAX]


def _mark(ids: list[int]) -> str:
    """Of which machines a dry run was shown, so that nothing is done to others that came to fit since."""
    return hashlib.sha256(",".join(map(str, sorted(ids))).encode()).hexdigest()


def _changed() -> str:
    text = _("Other machines fit the filter by now; look again at what would be done.")
    raise ActionRefusedError("bulk: other machines fit than those of the dry run", text)


def _nothing() -> str:
    raise ActionRefusedError("bulk: no machine chosen", _("Choose machines first."))


def _raising(error: ActionRefusedError) -> Any:
    def again() -> str:
        raise error

    return again


def _content(request: HttpRequest, ids: list[int], back: str, **more: Any) -> dict[str, Any]:
    form = request.POST
    machines = selectors.machine_rows(ids[:SHOWN])
    content = {
        "ids": [] if form.get("all") == "1" else ids,
        "all": form.get("all", ""),
        "seen": _mark(ids),
        "query": form.get("query", ""),
        "what": form.get("what", ""),
        "count": len(ids),
        "machines": [machines[one] for one in ids[:SHOWN] if one in machines],  # type: ignore[index]
        "back": back,
        "given": form,
    }
    return content | more


def _to_group(request: HttpRequest, what: str, ids: list[int], back: str) -> HttpResponse:
    number = whole(QueryDict(f"group={what.removeprefix(_TO_GROUP)}"), "group", None, 0, ID_MAX) or None
    name = "" if number is None else group_or_404(number).name
    if request.POST.get("step") != "do":
        waiting = len(groups.waiting_for(number, ids))
        return render(
            request, "pages/bulk.html", _content(request, ids, back, into=name, is_group=True, waiting=waiting)
        )

    def do() -> str:
        put = groups.put_machines(request.user, number, ids, reason=request.POST.get("reason", ""))  # type: ignore[arg-type]
        if put.waiting:
            text = ngettext(
                "%(n)d machine waits until a second person agrees.",
                "%(n)d machines wait until a second person agrees.",
                put.waiting,
            )
            messages.info(request, text % {"n": put.waiting})
        return back if number is None else f"/fleet/groups/{number}/"

    return attempt(request, do, otherwise=back, told=_("Entered."))


def _action(request: HttpRequest, what: str, ids: list[int], back: str) -> HttpResponse:
    if what not in set(bulk.KINDS):
        return attempt(request, _nothing, otherwise=back)
    kind = ActionKind(what)
    if request.POST.get("step") == "do":

        def do() -> str:
            limits = Limits(batch=_number(request, "batch") or 0, ramp_kw_s=_number(request, "ramp_kw_s") or None)
            reason = request.POST.get("reason", "")
            made = bulk.do(request.user, kind, ids, limits=limits, reason=reason)  # type: ignore[arg-type]
            return f"/fleet/operations/{made.id}/"

        return attempt(request, do, otherwise=back)
    chosen = bulk.look(kind, ids)
    content = _content(
        request,
        ids,
        back,
        kind=kind,
        title=wording.ACTIONS[kind],
        steps=len(chosen.steps),
        left=chosen.left.most_common(),
        left_count=chosen.left.total(),
        load_w=chosen.load_w,
        limits=Limits(),
    )
    return render(request, "pages/bulk.html", content)


def _number(request: HttpRequest, name: str) -> int | None:
    try:
        return whole(request.POST, name, None, 0, 1_000_000)
    except QueryError as error:
        raise ActionRefusedError(str(error), error.text) from error


@require_POST
@needs(Permission.MACHINE_VIEW)
def keep_view(request: HttpRequest) -> HttpResponse:
    """Keep the filter and order of the list under a name."""
    form = request.POST

    def do() -> str:
        made = saved_views.save_view(
            request.user,  # type: ignore[arg-type]
            form.get("name", ""),
            QueryDict(form.get("query", "")).urlencode(),
            shared=form.get("shared") == "1",
        )
        return f"/machines/?{made.query}"

    return attempt(request, do, otherwise="/machines/", told=_("The view is kept."))


@require_POST
@needs(Permission.MACHINE_VIEW)
def remove_view(request: HttpRequest, view_id: int) -> HttpResponse:
    """Remove one of the reader's own views."""
    saved_views.remove_view(request.user, view_id)  # type: ignore[arg-type]
    return redirect("/machines/")
