"""Inventories: import from NetBox with a dry run, export in its format."""

import csv
import io
import json
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import inventory
from mbongi.fleet.errors import ActionRefusedError, NotPermittedError
from mbongi.fleet.netbox_client import fetch
from mbongi.fleet.rules.netbox import KINDS, Device, NetboxError, read_csv
from mbongi.web.exports import cell
from mbongi.web.filters import QueryError, part_query
from mbongi.web.guard import needs
from mbongi.web.pages.paging import Pager

PAGE = "/fleet/onboarding/netbox/"
BYTES_MAX = 16 * 1024 * 1024
ENTER_S = 2.0
"""How long one request enters positions: so often its bar moves."""
FILES = ("devices", "interfaces", "mac-addresses")


@require_safe
@needs(Permission.MACHINE_PLACE)
def netbox(request: HttpRequest) -> HttpResponse:
    """The inventories that were handed in, and the files of ours."""
    user: Any = request.user
    content = {
        "rows": inventory.listings(),
        "url": settings.CONFIG.fleet.netbox_url,
        "kinds": KINDS,
        "may_import": user.may(Permission.MACHINE_MANAGE),
    }
    return render(request, "pages/netbox.html", content)


@require_POST
@needs(Permission.MACHINE_MANAGE)
def hand_in(request: HttpRequest) -> HttpResponse:
    """Read an inventory, from files or from the configured NetBox, and lead to its dry run."""
    user: Any = request.user
    try:
        source, devices = _read(request)
        number = inventory.keep(user, source, devices)
    except NetboxError as error:
        messages.error(request, str(error))
        return redirect(PAGE)
    except ActionRefusedError as error:
        messages.error(request, error.text)
        return redirect(PAGE)
    return redirect(f"{PAGE}{number}/")


def _read(request: HttpRequest) -> tuple[str, list[Device]]:
    fleet = settings.CONFIG.fleet
    if request.POST.get("from") == "netbox":
        if not fleet.netbox_url:
            raise NetboxError(_("No NetBox is configured (fleet.netbox_url)."))
        return fleet.netbox_url, fetch(fleet.netbox_url, fleet.netbox_token)
    given: dict[str, Any] = {name: request.FILES[name] for name in FILES if name in request.FILES}
    if "devices" not in given:
        raise NetboxError(_("Choose the file of devices."))
    if sum(file.size or 0 for file in given.values()) > BYTES_MAX:
        raise NetboxError(_("The files are too large."))
    texts = {name: file.read().decode("utf-8", "replace") for name, file in given.items()}
    return str(given["devices"].name), read_csv(texts)


@require_safe
@needs(Permission.MACHINE_PLACE)
def dry_run(request: HttpRequest, listing_id: int) -> HttpResponse:
    """What entering an inventory would change."""
    user: Any = request.user
    try:
        row, lines, part = inventory.listing(listing_id), inventory.compare(listing_id), part_query(request.GET)
    except ActionRefusedError as error:
        raise Http404 from error
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    counts = {
        word: sum(line.verdict == word for line in lines) for word in ("place", "same", "open", "unknown", "twice")
    }
    chosen = request.GET.get("verdict", "")
    seen = [line for line in lines if not chosen or line.verdict == chosen]
    content = {
        "listing": row,
        "lines": seen[part.offset : part.offset + part.limit],
        "counts": counts,
        "chosen": chosen,
        "pager": Pager(request.GET, len(seen), part.offset, part.limit),
        "may_import": user.may(Permission.MACHINE_MANAGE),
    }
    return render(request, "pages/netbox_diff.html", content)


@require_POST
@needs(Permission.MACHINE_MANAGE)
def enter(request: HttpRequest, listing_id: int) -> HttpResponse:
    """Enter the positions of an inventory, some seconds of them; the page that shows how far asks for the rest."""
    user: Any = request.user
    reason, page = request.POST.get("reason", ""), f"{PAGE}{listing_id}/"
    try:
        counts = inventory.apply(user, listing_id, reason=reason, for_s=ENTER_S)
        if left := counts.get("left", 0):
            done = counts.get("place", 0)
            content = {"id": listing_id, "reason": reason, "done": done, "total": done + left}
            is_part = request.headers.get("HX-Request")
            template = "parts/entering.html" if is_part else "pages/netbox_entering.html"
            return render(request, template, content | {"listing": inventory.listing(listing_id)})
        messages.success(request, _("%(count)d machines were placed.") % {"count": counts.get("place", 0)})
    except ActionRefusedError as error:
        messages.error(request, error.text)
    except NotPermittedError as error:
        raise PermissionDenied from error
    if request.headers.get("HX-Request"):
        answer = HttpResponse(status=204)
        answer["HX-Redirect"] = page
        return answer
    return redirect(page)


@require_safe
@needs(Permission.MACHINE_VIEW)
def export(request: HttpRequest, kind: str, form: str) -> HttpResponse:  # noqa: ARG001 -- a view
    """One kind of NetBox's objects, of our machines, as its import takes it: CSV or JSON."""
    if kind not in KINDS:
        raise Http404
    rows = inventory.export(kind, settings.CONFIG.site.code)
    if form == "json":
        response = HttpResponse(json.dumps(rows), content_type="application/json")
    else:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["name"])
        writer.writeheader()
        writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
        response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="netbox-{kind}.{form}"'
    return response
