"""A small HTTP/1.1 server for the gateway: whole requests in, whole responses out, over httptools' parser.

Limits: CONNECTIONS_MAX connections, HEADER_BYTES_MAX of head, a body of ``body_bytes_max``, IDLE_S without a byte.
Past them the answer is 503, 431 or 413, and the connection ends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

import httptools

from mbongi.base.log import get_log

log = get_log(__name__)

CONNECTIONS_MAX = 256
HEADER_BYTES_MAX = 65_536
IDLE_S = 120.0
URL_BYTES_MAX = 1_048_576
"""ClickHouse's own limit for a URL; clients put query parameters there."""


@dataclass(slots=True)
class Request:
    """One request. Header names are lower-case."""

    method: str = "GET"
    path: str = "/"
    query: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class Response:
    """One response."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """One client; its requests are answered one after another."""

    def __init__(self, handler: Handler, open_now: set["Connection"], body_bytes_max: int) -> None:
        self._handler = handler
        self._open_now = open_now
        self._body_bytes_max = body_bytes_max
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._request = Request()
        self._url = bytearray()
        self._body: list[bytes] = []
        self._body_bytes = self._header_bytes = 0
        self._ready: list[tuple[Request, bool]] = []
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client, or turn it away when there are too many."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, not asyncio's
        if len(self._open_now) >= CONNECTIONS_MAX:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._open_now.add(self)
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget the client. A query that runs for it goes on to its own time limit."""
        self._open_now.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._rest()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(HTTPStatus.NOT_IMPLEMENTED)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError, UnicodeDecodeError):
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._end_if_idle)

    def _end_if_idle(self) -> None:
        if self._task is None and self._transport is not None:
            self._transport.close()
        else:
            self._rest()

    # --- httptools' callbacks ---

    def on_message_begin(self) -> None:
        self._request, self._url, self._body = Request(), bytearray(), []
        self._body_bytes = self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > URL_BYTES_MAX:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_BYTES_MAX:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._request.headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._body_bytes_max:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            self._body = []
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        request = self._request
        path, _, query = bytes(self._url).partition(b"?")
        request.method = self._parser.get_method().decode("ascii")
        request.path, request.query = path.decode("latin-1"), query
        request.body, self._body = b"".join(self._body), []
        self._ready.append((request, self._parser.should_keep_alive()))
        if self._task is None and self._transport is not None:
            self._transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while self._ready and self._transport is not None:
                request, keep_alive = self._ready.pop(0)
                try:
                    response = await self._handler(request)
                except Exception:
                    log.exception("gateway_request_failed", path=request.path)
                    response = Response(500, b"Internal error\n")
                self._send(response, keep_alive=keep_alive, head_only=request.method == "HEAD")
        finally:
            self._task = None
            if self._transport is not None:
                self._rest()
                if not self._transport.is_closing():
                    self._transport.resume_reading()

    def _send(self, response: Response, *, keep_alive: bool, head_only: bool = False) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            **response.headers,
            "Content-Length": str(len(response.body)),
            "Connection": "keep-alive" if keep_alive else "close",
        }
        head = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._transport.write(head.encode("latin-1", "replace") + b"\r\n")
        if not head_only:
            self._transport.write(response.body)
        if not keep_alive:
            self._transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(Response(status, f"{status.phrase}\n".encode()), keep_alive=False)


async def serve(handler: Handler, host: str, port: int, *, body_bytes_max: int) -> asyncio.Server:
    """Listen, and answer every request by ``handler``. Raises OSError when the address is taken."""
    open_now: set[Connection] = set()
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(handler, open_now, body_bytes_max), host, port, backlog=256)
