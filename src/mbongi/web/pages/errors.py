"""Error pages, and problems for programs."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import get_language

from mbongi.web.problems import problem, title_of


def for_program(request: HttpRequest) -> bool:
    """Whether a program asks, that wants a problem document rather than a page."""
    return request.path.startswith("/api/") or request.path in {"/metrics", "/live"}


def _error(request: HttpRequest, status: int) -> HttpResponse:
    if for_program(request):
        return problem(status, title_of(status))
    return HttpResponse(_page(request, status), status=status)


def _page(request: HttpRequest, status: int) -> str:
    # Without the request: its user is read from the database, which may be what failed.
    from mbongi.web.context import plain_shell  # noqa: PLC0415 -- the context imports models

    return render_to_string(f"pages/{status}.html", plain_shell(request) | {"language": get_language()})


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """400."""
    return _error(request, 400)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """403."""
    return _error(request, 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """404."""
    return _error(request, 404)


def failed(request: HttpRequest) -> HttpResponse:
    """500; 503 where the database is away, so that people know it passes."""
    away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    answer = _error(request, 503 if away else 500)
    if away:
        answer["Retry-After"] = "10"
    return answer


def csrf(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """A form without a valid token: an old page, or somebody else's."""
    return _error(request, 403)
