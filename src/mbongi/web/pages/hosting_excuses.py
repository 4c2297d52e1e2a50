"""What excuses downtime: entered by one person of the site, agreed to by another."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from mbongi.core.identity.values import Permission
from mbongi.fleet import contracts, hosting_rows, hosting_wording, selectors
from mbongi.fleet.errors import HostingRefusedError, NotPermittedError, UnknownContractError
from mbongi.fleet.rules.hosting_terms import ExcuseClass
from mbongi.fleet.values import ProfileState
from mbongi.web import hosting_forms, hosting_sight
from mbongi.web.filters import QueryError, part_query
from mbongi.web.guard import needs
from mbongi.web.pages.hosting import content


@require_http_methods(["GET", "POST"])
@needs(Permission.HOSTING_VIEW)
def excuses(request: HttpRequest) -> HttpResponse:
    """All excuses, those to decide on first; POST enters one. Tenants see what counts on their contract's page."""
    user: Any = request.user
    if user.tenant_id is not None:
        raise Http404
    refusal = ""
    if request.method == "POST":
        try:
            _entered(request)
        except HostingRefusedError as error:
            refusal = error.text
        except NotPermittedError as error:
            raise PermissionDenied from error
        else:
            messages.success(request, _("Entered; it counts once somebody else agrees."))
            return redirect("/hosting/excuses/")
    try:
        part = part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "hosting", "error": error}, status=400)
    decided = [ProfileState.ACTIVE, ProfileState.REFUSED]
    found = content(
        request,
        tab="excuses",
        waiting=hosting_rows.excuses(states=[ProfileState.PROPOSED]),
        decided=hosting_rows.excuses(states=decided, limit=part.limit, offset=part.offset),
        classes=[(each.value, hosting_wording.CLASSES[each]) for each in ExcuseClass],
        contracts=hosting_rows.contracts(),
        halls=[hall.hall for hall in selectors.floor() if hall.hall is not None],
        given=request.POST,
        refusal=refusal,
    )
    return render(request, "pages/hosting_excuses.html", found, status=400 if refusal else 200)


def _entered(request: HttpRequest) -> None:
    user: Any = request.user
    given = hosting_forms.excuse_of(request.POST.dict(), hosting_sight.site().zone)
    try:
        contracts.enter_excuse(user, given.pop("klass"), given.pop("since"), given.pop("until"), **given)
    except UnknownContractError as error:
        raise HostingRefusedError(str(error), _("There is no such contract.")) from error


@require_POST
@needs(Permission.HOSTING_VIEW)
def decide(request: HttpRequest, excuse_id: int, word: str) -> HttpResponse:
    """Agree to an excuse, refuse it, or withdraw one's own."""
    user: Any = request.user
    act = {"approve": contracts.approve_excuse, "refuse": contracts.refuse_excuse}[word]
    try:
        act(user, excuse_id, reason=request.POST.get("reason", ""))
    except UnknownContractError as error:
        raise Http404 from error
    except NotPermittedError as error:
        raise PermissionDenied from error
    except HostingRefusedError as error:
        messages.error(request, error.text)
    else:
        messages.success(request, _("Decided."))
    return redirect("/hosting/excuses/")
