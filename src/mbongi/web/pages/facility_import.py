"""The plant's inventory from files and to files: ours, and NetBox's, with a dry run first."""

from collections import Counter
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.facility import inventory_wording as wording
from mbongi.facility import selectors, submissions
from mbongi.facility.errors import InventoryRefusedError, NotPermittedError
from mbongi.facility.rules import inventory_files, netbox_reading, netbox_writing
from mbongi.facility.rules.inventory_changes import Plan
from mbongi.web.guard import needs

PAGE = "/facility/import/"
ROWS_MAX = 100
"""Changes and faults shown; the counts above them are of all."""


@require_safe
@needs(Permission.FACILITY_VIEW)
def imports(request: HttpRequest) -> HttpResponse:
    """Hand files in, take files out, see what was handed in."""
    user: Any = request.user
    content = {
        "files": [(name, inventory_files.columns(name)) for name in inventory_files.FILES],
        "netbox_in": netbox_reading.FILES,
        "netbox_out": netbox_writing.FILES,
        "rows": submissions.submissions() if user.may(Permission.FACILITY_EDIT) else [],
        "may_edit": user.may(Permission.FACILITY_EDIT),
    }
    return render(request, "pages/facility_import.html", content)


@require_POST
@needs(Permission.FACILITY_EDIT)
def hand_in(request: HttpRequest) -> HttpResponse:
    """Keep the files, and lead to their dry run."""
    user: Any = request.user
    form = "netbox" if request.POST.get("form") == "netbox" else "mbongi"
    known = netbox_reading.FILES if form == "netbox" else tuple(inventory_files.FILES)
    given: dict[str, Any] = {name: request.FILES[name] for name in known if name in request.FILES}
    try:
        left, texts = submissions.BYTES_MAX + 1, {}
        for name, file in given.items():
            # Whatever is beyond the limit is refused by it.
            content = file.read(left)
            left, texts[name] = left - len(content), content.decode("utf-8", "replace")
        number = submissions.hand_in(user, ", ".join(str(file.name) for file in given.values()), form, texts)
    except InventoryRefusedError as error:
        messages.error(request, error.text)
        return redirect(PAGE)
    return redirect(f"{PAGE}{number}/")


@require_safe
@needs(Permission.FACILITY_EDIT)
def dry_run(request: HttpRequest, number: int) -> HttpResponse:
    """What entering would change, or every fault with its line and field."""
    try:
        row, plan = submissions.submission(number), submissions.dry_run(number)
    except InventoryRefusedError as error:
        raise Http404 from error
    return render(request, "pages/facility_submission.html", {"row": row, **_shown(plan)})


def _shown(plan: Plan) -> dict[str, Any]:
    counts = Counter((change.file, change.before is None) for change in plan.changes)
    return {
        "counts": [(name, counts[name, True], counts[name, False]) for name in inventory_files.FILES],
        "same": plan.same,
        "problems": [(each, wording.problem_text(each)) for each in plan.problems[:ROWS_MAX]],
        "problem_count": len(plan.problems),
        "changes": [(each, _differences(each)) for each in plan.changes[:ROWS_MAX]],
        "change_count": len(plan.changes),
        "more": max(0, len(plan.changes) - ROWS_MAX),
    }


def _differences(change: Any) -> list[tuple[Any, str, str]]:
    if change.before is None:
        return []
    return [
        (
            wording.FIELDS.get(name, name),
            inventory_files.shown(getattr(change.before, name)),
            inventory_files.shown(getattr(change.after, name)),
        )
        for name in change.fields
    ]


@require_POST
@needs(Permission.FACILITY_EDIT)
def enter(request: HttpRequest, number: int) -> HttpResponse:
    """Enter all of it, or nothing."""
    user: Any = request.user
    try:
        plan = submissions.enter(user, number, reason=request.POST.get("reason", ""))
        messages.success(request, _("%(count)d changes were entered.") % {"count": len(plan.changes)})
    except InventoryRefusedError as error:
        messages.error(request, error.text)
    except NotPermittedError as error:
        raise PermissionDenied from error
    return redirect(f"{PAGE}{number}/")


@require_safe
@needs(Permission.FACILITY_VIEW)
def export(request: HttpRequest, form: str, name: str) -> HttpResponse:  # noqa: ARG001 -- a view
    """One file of the inventory, in our form or NetBox's."""
    found = selectors.inventory()
    if form == "mbongi" and name in inventory_files.FILES:
        text = inventory_files.write(name, inventory_files.parts(found)[name])
    elif form == "netbox" and name in netbox_writing.FILES:
        text = netbox_writing.write(name, found)
    else:
        raise Http404
    answer = HttpResponse(text, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{settings.CONFIG.site.code}-{form}-{name}.csv"'
    return answer
