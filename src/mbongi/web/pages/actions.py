"""Asking something of machines: reason, rehearsal (before → after), confirmation, outcome."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.core.identity.selectors import others_who_may
from mbongi.core.identity.values import Permission
from mbongi.fleet import actions as fleet_actions
from mbongi.fleet import operations, selectors, wording
from mbongi.fleet.errors import (
    ActionRefusedError,
    NotPermittedError,
    OperationRefusedError,
    ProfileRefusedError,
    UnknownActionError,
    UnknownMachineError,
    UnknownOperationError,
)
from mbongi.fleet.pool_rules import POOLS_MAX
from mbongi.fleet.values import HAND_KINDS, ActionKind, ActionStatus
from mbongi.web.guard import needs
from mbongi.web.pages.machine import machine_or_404


@require_http_methods(["GET", "POST"])
@needs(Permission.MACHINE_CONTROL)
def ask(request: HttpRequest, machine_id: int, kind: str) -> HttpResponse:
    """The dialog: GET shows it, POST with ``step=rehearse`` begins the rehearsal, ``step=do`` the action itself."""
    if kind not in HAND_KINDS:
        raise Http404
    one, chosen = machine_or_404(machine_id), ActionKind(kind)
    content: dict[str, Any] = {
        "machine": one,
        "kind": chosen,
        "title": wording.ACTIONS[chosen],
        "reason": request.POST.get("reason", ""),
        "pools": _pool_fields(request, one.row.detail),
    }
    if request.method != "POST":
        return render(request, "parts/action_form.html", content)
    rehearse = request.POST.get("step") != "do"
    arguments = {"pools": _given_pools(request)} if chosen is ActionKind.SET_POOLS else {}
    try:
        rows = fleet_actions.request_action(
            request.user,  # type: ignore[arg-type]
            [machine_id],
            chosen,
            arguments,
            reason=content["reason"],
            dry_run=rehearse,
        )
    except ActionRefusedError as error:
        return render(request, "parts/action_form.html", content | {"refusal": error.text})
    except NotPermittedError:
        return render(request, "pages/403.html", status=403)
    except UnknownMachineError as error:
        raise Http404 from error
    return render(request, "parts/action_state.html", _state(rows[0], request.user))


@require_safe
@needs(Permission.MACHINE_VIEW)
def action_state(request: HttpRequest, action_id: int) -> HttpResponse:
    """How far an action has come; the dialog asks again until it has ended."""
    try:
        row = selectors.action(action_id)
    except UnknownActionError as error:
        raise Http404 from error
    return render(request, "parts/action_state.html", _state(row, request.user))


@require_POST
@needs(Permission.MACHINE_VIEW)
def decide(request: HttpRequest, action_id: int, decision: str) -> HttpResponse:
    """A second person approves or refuses new pools; whoever asked for them may withdraw them."""
    user: Any = request.user
    try:
        row = selectors.action(action_id)
        reason, operation_id = request.POST.get("reason", ""), row.operation_id or 0
        if decision == "approve":
            operations.approve_operation(user, operation_id, reason=reason, start=True)
        else:
            operations.refuse_operation(user, operation_id, reason=reason)
    except (OperationRefusedError, ProfileRefusedError) as error:
        return render(request, "parts/action_state.html", _state(row, user) | {"refusal": error.text})
    except NotPermittedError:
        return render(request, "pages/403.html", status=403)
    except (UnknownActionError, UnknownOperationError) as error:
        raise Http404 from error
    return render(request, "parts/action_state.html", _state(selectors.action(action_id), user))


def _state(row: selectors.ActionRow, user: Any) -> dict[str, Any]:
    return _second(row, user) | {
        "action": row,
        "machine": machine_or_404(row.machine_id),
        "kind": row.kind,
        "title": wording.ACTIONS[row.kind],
        "status": wording.STATUSES[row.status],
        "changes": changes(row.before, row.after),
        "pools": row.arguments.get("pools", []),
        # What a rehearsal and a verified action say in words is what the changes show.
        "told": row.dry_run and row.status is ActionStatus.DONE,
    }


def _second(row: selectors.ActionRow, user: Any) -> dict[str, Any]:
    """Who may decide on an action that awaits a second person."""
    if not row.awaits_second:
        return {}
    is_own = row.author_id == user.pk
    return {
        "is_own": is_own,
        "may_approve": not is_own and user.may(Permission.PROFILE_APPROVE),
        "nobody_else": is_own and not others_who_may(Permission.PROFILE_APPROVE, user),
    }


def changes(before: Any, after: Any) -> list[tuple[str, str, str, bool]]:
    """What differs between two settings: name, before, after, and whether it differs."""
    left, right = _flat(before), _flat(after)
    return [
        (key, left.get(key, "–"), right.get(key, "–"), left.get(key) != right.get(key)) for key in {**left, **right}
    ]


def _flat(value: Any, name: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        return {k: v for key, one in value.items() for k, v in _flat(one, f"{name} {key}".strip()).items()}
    if isinstance(value, list):
        return {k: v for i, one in enumerate(value, 1) for k, v in _flat(one, f"{name} {i}".strip()).items()}
    words = {True: _("yes"), False: _("no"), None: "–", "": "–"}
    return {name.replace("_", " "): words[value] if isinstance(value, bool | None) or value == "" else str(value)}


def _pool_fields(request: HttpRequest, detail: Any) -> list[dict[str, str]]:
    given = [{"url": url, "user": user} for url, user in _typed_pools(request)]
    known = [{"url": pool.get("url", ""), "user": pool.get("user", "")} for pool in detail.get("pools", ())]
    shown = (given if request.method == "POST" else known)[:POOLS_MAX]
    return shown + [{"url": "", "user": ""}] * (POOLS_MAX - len(shown))


def _given_pools(request: HttpRequest) -> list[dict[str, str]]:
    return [{"url": url, "user": user} for url, user in _typed_pools(request) if url or user]


def _typed_pools(request: HttpRequest) -> list[tuple[str, str]]:
    pairs = zip(request.POST.getlist("url"), request.POST.getlist("user"), strict=False)
    return [(url.strip(), user.strip()) for url, user in pairs]
