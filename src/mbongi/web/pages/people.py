"""Accounts and invitations."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.base.ids import TenantId
from mbongi.core.identity import rules, selectors, services
from mbongi.core.identity.errors import AccountError, NotPermittedError
from mbongi.core.identity.values import Permission, Role
from mbongi.core.identity.wording import role_label
from mbongi.web.guard import needs


@require_safe
@needs(Permission.ACCOUNT_VIEW)
def people(request: HttpRequest) -> HttpResponse:
    """Everybody with an account, and who is invited."""
    return render(request, "pages/people.html", _content(request))


def _content(request: HttpRequest) -> dict[str, Any]:
    user: Any = request.user
    manages = user.may(Permission.ACCOUNT_MANAGE)
    roles = [(role.value, role_label(role)) for role in Role if rules.may_manage(Role(user.role), role)]
    return {
        "here": "people",
        "users": [(one, role_label(one.role), manages and one.pk != user.pk) for one in selectors.users()],
        "invitations": [(one, role_label(one.role)) for one in selectors.open_invitations().exclude(email="")],
        "manages": manages,
        "roles": roles,
        "tenants": list(selectors.tenants()),
        "role": Role.TECHNICIAN.value,
    }


@require_POST
@needs(Permission.ACCOUNT_MANAGE)
def invite(request: HttpRequest) -> HttpResponse:
    """Make an invitation; its link is shown this once, for the site works without outside mail."""
    content = _content(request)
    role, email, tenant = (request.POST.get(name, "").strip() for name in ("role", "email", "tenant"))
    try:
        chosen = Role(role)
        tenant_id = TenantId(int(tenant)) if tenant.isascii() and tenant.isdigit() else None
        _invitation, path = services.invite(request.user, email=email, role=chosen, tenant_id=tenant_id)  # type: ignore[arg-type]
    except NotPermittedError as error:
        raise PermissionDenied from error
    except (AccountError, ValueError) as error:
        reasons = error.reasons if isinstance(error, AccountError) else [_("Choose a role.")]
        return render(
            request, "pages/people.html", content | {"refusals": reasons, "email": email, "role": role}, status=400
        )
    link = request.build_absolute_uri(path)
    return render(request, "pages/people.html", _content(request) | {"link": link, "invited": email})


@require_POST
@needs(Permission.ACCOUNT_MANAGE)
def withdraw(request: HttpRequest, invitation_id: int) -> HttpResponse:
    """Make an invitation's link useless."""
    try:
        services.withdraw_invitation(request.user, invitation_id)  # type: ignore[arg-type]
    except AccountError as error:
        raise Http404 from error
    messages.success(request, _("The invitation is withdrawn."))
    return redirect("/people/")


@require_http_methods(["GET", "POST"])
@needs(Permission.ACCOUNT_MANAGE)
def person(request: HttpRequest, user_id: int) -> HttpResponse:
    """Change an account's role, or close and reopen it, with a reason."""
    user = selectors.users().filter(pk=user_id).first()
    if user is None:
        raise Http404
    content = _content(request) | {"person": user, "person_role": role_label(user.role)}
    if request.method != "POST":
        return render(request, "pages/person.html", content)
    reason, tenant = request.POST.get("reason", "").strip(), request.POST.get("tenant", "")
    if not reason:
        return render(request, "pages/person.html", content | {"refusals": [_("State a reason.")]}, status=400)
    try:
        services.change_account(
            request.user,  # type: ignore[arg-type]
            user_id,
            role=Role(request.POST.get("role", user.role)),
            tenant_id=TenantId(int(tenant)) if tenant.isascii() and tenant.isdigit() else None,
            active=request.POST.get("active") == "1",
            reason=reason,
        )
    except NotPermittedError as error:
        raise PermissionDenied from error
    except (AccountError, ValueError) as error:
        reasons = error.reasons if isinstance(error, AccountError) else [_("Choose a role.")]
        return render(request, "pages/person.html", content | {"refusals": reasons, "reason": reason}, status=400)
    messages.success(request, _("The account of %(name)s is changed.") % {"name": user.name})
    return redirect("/people/")
