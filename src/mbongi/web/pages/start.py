"""The page behind a first-account link or an invitation, and small switches of the shell."""

from typing import Any

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mbongi.core.identity import selectors, services
from mbongi.core.identity.errors import AccountError, LinkError
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.wording import role_label
from mbongi.web.context import THEME_COOKIE, THEMES
from mbongi.web.guard import needs

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@require_http_methods(["GET", "POST"])
def start(request: HttpRequest, token: str) -> HttpResponse:
    """Create the account that the link promises, and sign in with it."""
    # Nobody is signed in yet; the link itself is the permission, and the service checks it again.
    with acting(SITE):
        invitation = selectors.invitation_for(token)
        if invitation is None:
            return render(request, "pages/link_spent.html", status=410)
        content: dict[str, Any] = {
            "invitation": invitation,
            "role_label": role_label(invitation.role),
            "name": request.POST.get("name", ""),
            "email": invitation.email or request.POST.get("email", ""),
        }
        if request.method != "POST":
            return render(request, "pages/start.html", content)
        try:
            user = services.accept_invitation(
                token,
                name=content["name"],
                password=request.POST.get("password", ""),
                email=content["email"],
                language=translation.get_language() or "",
            )
        except LinkError:
            return render(request, "pages/link_spent.html", status=410)
        except AccountError as error:
            return render(request, "pages/start.html", content | {"refusals": error.reasons}, status=400)
        login(request, user, backend=BACKEND)
    return redirect("/?welcome")


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Switch to the next theme, for browsers that run no script."""
    now = request.COOKIES.get(THEME_COOKIE, "auto")
    following = THEMES[(THEMES.index(now) + 1) % len(THEMES)] if now in THEMES else "dark"
    back = request.POST.get("next", "/")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    answer = redirect(back if safe else "/")
    answer.set_cookie(THEME_COOKIE, following, max_age=365 * 86400, samesite="Lax", secure=request.is_secure())
    return answer


@require_GET
@needs()
def more(request: HttpRequest) -> HttpResponse:
    """The rest of the navigation, for a phone."""
    return render(request, "pages/more.html", {"here": "more"})


@require_GET
@needs()
def account(request: HttpRequest) -> HttpResponse:
    """The reader's own account: password, second factor, passkeys."""
    return render(request, "pages/account.html", {"here": "account"})
