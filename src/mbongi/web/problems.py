"""Answers in JSON, and errors as RFC 9457 problem documents."""

from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils.translation import gettext as _

_encoder = msgspec.json.Encoder()


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What went wrong, for programs and people (RFC 9457). ``field`` names the parameter at fault."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    field: str = ""


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    """Anything that msgspec can encode, as JSON. NaN becomes null."""
    return HttpResponse(_encoder.encode(content), status=status, content_type="application/json", headers=headers)


def problem(status: int, title: str, detail: str = "", *, field: str = "") -> HttpResponse:
    """A problem document."""
    content = _encoder.encode(Problem(title=title, status=status, detail=detail, field=field))
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return HttpResponse(content, status=status, content_type="application/problem+json", headers=headers)


def title_of(status: int) -> str:
    """The short name of a refusal in the reader's language."""
    titles = {
        400: _("The request cannot be used"),
        401: _("Sign in first, or send a valid token"),
        403: _("Not permitted"),
        404: _("Not found"),
        405: _("This method is not offered here"),
        409: _("In conflict with the present state"),
        413: _("Too large"),
        500: _("Something failed on our side"),
        503: _("Not available at the moment"),
    }
    return titles.get(status, titles[500])
