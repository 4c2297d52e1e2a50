"""API tokens of the reader: issue, see, revoke. A secret is shown once."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from mbongi.base.clock import utc_now
from mbongi.core.identity import selectors, services
from mbongi.core.identity.errors import AccountError
from mbongi.core.identity.values import Permission
from mbongi.web.guard import needs

DAYS = (7, 30, 90, 365)
USES: dict[Permission, Promise] = {
    Permission.MACHINE_VIEW: gettext_lazy("See machines, readings and events"),
    Permission.MACHINE_CONTROL: gettext_lazy("Sleep, wake and reboot machines"),
    Permission.MACHINE_MANAGE: gettext_lazy("Set pools"),
    Permission.PROFILE_EDIT: gettext_lazy("Write groups' profiles"),
    Permission.OPERATION_RUN: gettext_lazy("Run operations"),
    Permission.LEDGER_VIEW: gettext_lazy("Read the ledger"),
    Permission.METRICS_VIEW: gettext_lazy("Read the metrics"),
}
"""What a token can be for; managing accounts is never a program's work."""


@require_http_methods(["GET", "POST"])
@needs(Permission.API_TOKEN_OWN)
def tokens(request: HttpRequest) -> HttpResponse:
    """The list; POST issues a token and shows its secret this once."""
    user: Any = request.user
    content: dict[str, Any] = {"days": DAYS, "chosen_days": 90, "name": "", "chosen": {Permission.MACHINE_VIEW}}
    status = 200
    if request.method == "POST":
        content["name"] = request.POST.get("name", "")
        content["chosen"] = {use for use in USES if use.value in request.POST.getlist("use")}
        days = request.POST.get("days", "")
        content["chosen_days"] = int(days) if days in map(str, DAYS) else 0
        try:
            expires = utc_now() + timedelta(days=content["chosen_days"])
            content["secret"] = services.issue_token(user, content["name"], expires, content["chosen"])
            content |= {"name": "", "issued": content["name"]}
        except AccountError as error:
            content["refusals"], status = error.reasons, 400
    content |= {
        "here": "tokens",
        "uses": [(use, label) for use, label in USES.items() if user.may(use)],
        "tokens": [
            (token, [USES[use] for use in USES if use in token.permitted()]) for token in selectors.tokens(user)
        ],
        "now": utc_now(),
    }
    return render(request, "pages/tokens.html", content, status=status)


@require_POST
@needs(Permission.API_TOKEN_OWN)
def revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    """End a token."""
    if services.revoke_token(request.user, token_id):  # type: ignore[arg-type]
        messages.success(request, _("The token is revoked; programs that use it are refused from now on."))
    return redirect("/tokens/")
