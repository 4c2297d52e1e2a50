"""Forms of the plant's inventory: one row is added, changed or removed, with a reason."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from mbongi.core.identity.values import Permission
from mbongi.facility import inventory, selectors
from mbongi.facility import inventory_wording as wording
from mbongi.facility.errors import InventoryRefusedError, NotPermittedError, UnknownElementError
from mbongi.facility.inventory import InventoryFaultyError
from mbongi.facility.rules.inventory_files import FILES, columns, value_of
from mbongi.facility.values import Phases
from mbongi.web.guard import needs
from mbongi.web.pages.facility import PAGE, element_url


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form: its value as text, what may be chosen, and what is wrong with it."""

    name: str
    label: Promise
    value: str
    choices: list[tuple[str, Any]]
    fault: str


@require_http_methods(["GET", "POST"])
@needs(Permission.FACILITY_EDIT)
def edit(request: HttpRequest) -> HttpResponse:
    """The form of one row of a file: ``file`` and its key in the query; without a key a new one."""
    file = request.GET.get("file", "elements")
    if file not in FILES:
        raise Http404
    user: Any = request.user
    given = request.POST if request.method == "POST" else None
    key = request.GET.get("key", "")
    try:
        known = _known(file, key)
        if given is not None:
            values = {name: value_of(file, name, given[name]) for name in columns(file) if name in given}
            version = int(given["version"]) if given.get("version", "").isdigit() else None
            inventory.write(user, file, values, version=version, reason=given.get("reason", ""))
            messages.success(request, _("Entered."))
            return redirect(_back(file, values))
    except UnknownElementError as error:
        raise Http404 from error
    except NotPermittedError as error:
        raise PermissionDenied from error
    except (InventoryRefusedError, ValueError) as error:
        return _form(request, file, key, known=given, version=given.get("version", "") if given else "", error=error)
    return _form(request, file, key, known=known, version=selectors.version(file, key) if key else "")


def _known(file: str, key: str) -> dict[str, Any]:
    if not key:
        return {}
    return selectors.row(file, key)


def _back(file: str, values: dict[str, Any]) -> str:
    if file == "places":
        return f"{PAGE}?{urlencode({'place': values['code']})}"
    return element_url(values["source" if file == "links" else "element" if file == "documents" else "tag"])


def _form(
    request: HttpRequest, file: str, key: str, *, known: Any, version: Any, error: Exception | None = None
) -> HttpResponse:
    faults: dict[str, str] = {}
    if isinstance(error, InventoryFaultyError):
        faults = {each.field: wording.problem_text(each) for each in error.plan.problems}
    prefilled = known if known else request.GET
    fields = [
        Field(name, wording.FIELDS[name], prefilled.get(name, ""), _choices(file, name), faults.get(name, ""))
        for name in columns(file)
    ]
    text = getattr(error, "text", None) or (str(error) if error else "")
    content = {
        "file": file,
        "key": key,
        "fields": fields,
        "version": version,
        "refusal": text,
        "given_reason": request.POST.get("reason", ""),
        "is_new": not key,
        "back": PAGE if not key or file == "places" else element_url(key) if file == "elements" else PAGE,
    }
    return render(request, "pages/facility_edit.html", content, status=400 if error else 200)


def _choices(file: str, name: str) -> list[tuple[str, Any]]:
    if file == "places" and name == "kind":
        return list(wording.PLACES.items())
    if file == "links" and name == "kind":
        return list(wording.LINKS.items())
    found: dict[str, list[tuple[str, Any]]] = {
        "kind": list(wording.KINDS.items()),
        "status": list(wording.STATUSES.items()),
        "numbering": [("u", _("rack units")), ("shelf", _("shelves"))],
        "side": [("", "–"), ("A", "A"), ("B", "B")],
        "normally_open": [("false", _("no")), ("true", _("yes"))],
    }
    if name == "phases":
        words = ("1", "3") if file == "elements" else tuple(each.value for each in Phases if each)
        return [("", "–"), *((word, word) for word in words)]
    return found.get(name, [])


@require_POST
@needs(Permission.FACILITY_EDIT)
def remove(request: HttpRequest) -> HttpResponse:
    """Take a row out of the inventory."""
    user: Any = request.user
    file, key, back = request.POST.get("file", ""), request.POST.getlist("key"), request.POST.get("back", "")
    if file not in FILES or not key:
        raise Http404
    try:
        version = int(request.POST.get("version", "0"))
        inventory.remove(user, file, key, version=version, reason=request.POST.get("reason", ""))
        messages.success(request, _("Removed."))
    except InventoryRefusedError as error:
        messages.error(request, error.text)
    except (UnknownElementError, ValueError) as error:
        raise Http404 from error
    return redirect(element_url(back) if back and selectors.is_known(back) else PAGE)
