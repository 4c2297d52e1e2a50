"""Headers that every answer carries, questions that no database can be asked, and the reader's own language."""

from collections.abc import Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.decorators import sync_and_async_middleware

from mbongi.web.pages.errors import bad_request, for_program
from mbongi.web.problems import problem, title_of

CONTENT_SECURITY_POLICY = "; ".join((
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",  # allauth draws the TOTP code as a data: picture
    "connect-src 'self'",
    "manifest-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LANGUAGE_COOKIE = "django_language"


@sync_and_async_middleware
def headers(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Add the security headers; forbid caches to keep what a signed-in person saw."""

    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return _dressed(request, await get_response(request))

        return answer_async  # type: ignore[return-value]

    def answer(request: HttpRequest) -> HttpResponseBase:
        return _dressed(request, get_response(request))

    return answer


def _dressed(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code >= 400 and for_program(request):
        response = _as_problem(response)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _as_problem(response: HttpResponseBase) -> HttpResponseBase:
    """Whatever layer refused a program: it gets a problem document."""
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return response
    replaced = problem(response.status_code, title_of(response.status_code))
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in response.headers:
            replaced.headers[name] = response.headers[name]
    return replaced


@sync_and_async_middleware
def no_nul(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Refuse an address with a NUL in it: PostgreSQL takes none in a text, and no name here has one."""

    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            return bad_request(request) if _has_nul(request) else await get_response(request)

        return answer_async  # type: ignore[return-value]

    def answer(request: HttpRequest) -> HttpResponseBase:
        return bad_request(request) if _has_nul(request) else get_response(request)

    return answer


def _has_nul(request: HttpRequest) -> bool:
    return "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", "")


class LanguageMiddleware:
    """The language of the account wins over the browser's, a choice made in this browser over both."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer in the account's language unless this browser carries a choice."""
        language = getattr(request.user, "language", "")
        if language and LANGUAGE_COOKIE not in request.COOKIES:
            translation.activate(language)
            request.LANGUAGE_CODE = language
        return self.get_response(request)
