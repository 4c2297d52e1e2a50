"""Serves the table of routes: permission, body, errors."""

from collections.abc import Callable
from itertools import groupby

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from mbongi.base.errors import MbongiError
from mbongi.core.telemetry.errors import StoreUnavailable
from mbongi.fleet.errors import (
    ActionRefusedError,
    MachineBusyError,
    NotPermittedError,
    UnknownActionError,
    UnknownMachineError,
)
from mbongi.web.api.routes import ROUTES, Route
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
    if not request.user.may(route.permission):
        detail = _("This needs the permission %(name)s.") % {"name": route.permission.value}
        return problem(403, title_of(403), detail)
    if number and not (number.isascii() and number.isdigit() and len(number) <= 10 and int(number) <= ID_MAX):
        return problem(404, title_of(404))
    try:
        call = Call(request, int(number or 0), _body(route, request))
        return json_answer(route.view(call), route.status)
    except (MbongiError, RequestDataTooBig, msgspec.DecodeError, UnicodeDecodeError) as error:
        return _refusal(error)


def _refusal(error: Exception) -> HttpResponse:
    match error:
        case QueryError():
            return problem(400, title_of(400), error.text, field=error.field)
        case MachineBusyError():
            return problem(409, title_of(409), error.text)
        case ActionRefusedError():
            return problem(400, title_of(400), error.text)
        case StoreUnavailable():
            return problem(503, title_of(503), _("The telemetry store does not answer; try again in a moment."))
        case msgspec.DecodeError() | UnicodeDecodeError():
            return problem(400, title_of(400), str(error))
    statuses = {RequestDataTooBig: 413, UnknownMachineError: 404, UnknownActionError: 404, NotPermittedError: 403}
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
