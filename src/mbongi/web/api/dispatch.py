"""Serves the table of routes: permission, body, errors."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from mbongi.base.errors import MbongiError
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.fleet.errors import (
    ActionRefusedError,
    MachineBusyError,
    NotPermittedError,
    UnknownActionError,
    UnknownContractError,
    UnknownGroupError,
    UnknownImageError,
    UnknownMachineError,
    UnknownMoveError,
    UnknownOperationError,
    UnknownOrderError,
    UnknownPartError,
    UnknownProfileError,
    UnknownRuleError,
    UnknownTriggerError,
)
from mbongi.pool.errors import NotPermittedError as PoolNotPermittedError
from mbongi.pool.errors import PayoutError, PayoutRefusedError, UnknownPaymentError
from mbongi.web.api.pool_views import NotHereError
from mbongi.web.api.route import Route
from mbongi.web.api.routes import ROUTES
from mbongi.web.api.views import Call
from mbongi.web.filters import ID_MAX, QueryError
from mbongi.web.problems import json_answer, problem, title_of

BODY_MAX = 1_000_000


def patterns() -> list[URLPattern]:
    """One URL per path; the methods on it share it."""
    ordered = sorted(ROUTES, key=lambda route: route.path)
    grouped = {one: {route.method: route for route in routes} for one, routes in groupby(ordered, key=lambda r: r.path)}
    return [path(one.lstrip("/").replace("{id}", "<str:number>"), _endpoint(routes)) for one, routes in grouped.items()]


def _endpoint(routes: dict[str, Route]) -> Callable[..., HttpResponse]:
    def endpoint(request: HttpRequest, number: str = "") -> HttpResponse:
        method = "GET" if request.method == "HEAD" else request.method or ""
        route = routes.get(method)
        if route is None:
            answer = problem(405, title_of(405))
            answer["Allow"] = ", ".join(sorted(routes))
            return answer
        return _answer(route, request, number)

    return endpoint


def _answer(route: Route, request: HttpRequest, number: str) -> HttpResponse:
    if not request.user.is_authenticated:
        return problem(401, title_of(401), _("Send the header “Authorization: Bearer TOKEN”."))
    if not any(request.user.may(each) for each in route.permissions):
        detail = _("This needs the permission %(name)s.") % {"name": route.permission_text}
        return problem(403, title_of(403), detail)
    if number and not (number.isascii() and number.isdigit() and len(number) <= 10 and int(number) <= ID_MAX):
        return problem(404, title_of(404))
    try:
        call = Call(request, int(number or 0), _body(route, request))
        return json_answer(route.view(call), route.status)
    except (MbongiError, RequestDataTooBig, msgspec.DecodeError, UnicodeDecodeError) as error:
        return _refusal(error)


_WORDED: tuple[tuple[type[Exception], int, Callable[[Any], str]], ...] = (
    (QueryError, 400, lambda error: error.text),
    (MachineBusyError, 409, lambda error: error.text),
    (ActionRefusedError, 400, lambda error: error.text),
    (PayoutRefusedError, 400, lambda error: error.text),
    (PayoutError, 409, str),
    (StoreUnavailable, 503, lambda _error: _("The telemetry store does not answer; try again in a moment.")),
    (StoreRefused, 503, lambda _error: _("The telemetry store does not answer; try again in a moment.")),
    (msgspec.DecodeError, 400, str),
    (UnicodeDecodeError, 400, str),
)


def _refusal(error: Exception) -> HttpResponse:
    for kind, worded_status, detail in _WORDED:
        if isinstance(error, kind):
            field = error.field if isinstance(error, QueryError) else ""
            return problem(worded_status, title_of(worded_status), detail(error), field=field)
    statuses = {
        RequestDataTooBig: 413,
        UnknownMachineError: 404,
        UnknownActionError: 404,
        UnknownContractError: 404,
        UnknownGroupError: 404,
        UnknownImageError: 404,
        UnknownMoveError: 404,
        UnknownOperationError: 404,
        UnknownRuleError: 404,
        UnknownOrderError: 404,
        UnknownProfileError: 404,
        UnknownTriggerError: 404,
        UnknownPartError: 404,
        UnknownPaymentError: 404,
        NotHereError: 404,
        NotPermittedError: 403,
        PoolNotPermittedError: 403,
    }
    status = statuses.get(type(error))
    if status is None:
        raise error
    return problem(status, title_of(status))


def _body(route: Route, request: HttpRequest) -> msgspec.Struct | None:
    if route.body is None:
        return None
    kind = request.content_type
    if kind != "application/json":
        raise QueryError("Content-Type", _("expected application/json"))
    content = request.body
    if len(content) > BODY_MAX:
        raise RequestDataTooBig
    return msgspec.json.decode(content, type=route.body)
