"""Binds each request to its user's rows, whether the user signed in or sends an API token."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from mbongi.core.identity import selectors
from mbongi.core.identity.scope import acting, scope_of
from mbongi.core.identity.values import Scope

_SCHEME = "Bearer "


class ScopeMiddleware:
    """Sets the scope for the whole request, its streamed answer included; outside of it nothing is seen.

    ``Authorization: Bearer TOKEN`` makes the token's owner the request's user; a bad token is refused with 401
    rather than taken for an anonymous request.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request within its user's scope."""
        if iscoroutinefunction(self.get_response):
            return self._answer_async(request)
        refusal, scope = _identify(request)
        if refusal is not None:
            return refusal
        with acting(scope):
            response: HttpResponseBase = _keep_scope(self.get_response(request), scope)
        return response

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        refusal, scope = await sync_to_async(_identify)(request)
        if refusal is not None:
            return refusal
        with acting(scope):
            response: HttpResponseBase = _keep_scope(await self.get_response(request), scope)
        return response


def _identify(request: HttpRequest) -> tuple[HttpResponse | None, Scope]:
    header = request.headers.get("Authorization", "")
    if header.startswith(_SCHEME):
        user = selectors.user_for_token(header[len(_SCHEME) :].strip())
        if user is None:
            answer = JsonResponse({"error": "the API token is unknown, revoked or expired"}, status=401)
            answer["WWW-Authenticate"] = "Bearer"
            return answer, scope_of(request.user)
        request.user = user
        # A token is not sent by browsers on their own, so a forged cross-site request cannot carry one.
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]  # noqa: SLF001
        return None, scope_of(user)
    return None, scope_of(request.user)


def _keep_scope(response: Any, scope: Scope) -> Any:
    if getattr(response, "streaming", False):
        content = response.streaming_content
        response.streaming_content = _async_within(content, scope) if response.is_async else _within(content, scope)
    return response


def _within(content: Iterator[bytes], scope: Scope) -> Iterator[bytes]:
    while True:
        with acting(scope):
            part = next(content, None)
        if part is None:
            return
        yield part


async def _async_within(content: AsyncIterator[bytes], scope: Scope) -> AsyncIterator[bytes]:
    while True:
        with acting(scope):
            part = await anext(content, None)
        if part is None:
            return
        yield part
