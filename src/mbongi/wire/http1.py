"""HTTP/1.1, the client's side: request bytes and an incremental parser of responses. No I/O.

Reads bodies by Content-Length, chunked, or until the connection ends. Source: RFC 9112.
"""

import functools
import re

import httptools
import msgspec

from mbongi.wire.errors import TooLongError, WireError

BODY_BYTES_MAX = 2 * 1024 * 1024
"""More than any device's reply; a device that sends more is not answering our question."""
_TARGET = re.compile(r"[!-~]+")


class Response(msgspec.Struct, gc=False):
    """A whole response; ``keep_alive`` says that the connection takes another request."""

    status: int
    fields: list[tuple[bytes, bytes]]
    """The headers as they came; ``header`` finds one."""
    body: bytes
    keep_alive: bool

    def header(self, name: str) -> str:
        """The value of a header, the last where it comes more than once; empty where it is missing."""
        return _header(self.fields, name)


def _header(fields: list[tuple[bytes, bytes]], name: str) -> str:
    wanted = name.lower().encode("latin-1")
    for found, value in reversed(fields):
        if found.lower() == wanted:
            return value.decode("latin-1")
    return ""


@functools.lru_cache(maxsize=65536)
def _head(method: str, target: str, host: str) -> bytes:
    """The part of a request that is the same with every poll."""
    if not _TARGET.fullmatch(target) or not _TARGET.fullmatch(host):
        raise WireError(f"http request: target {target!r} or host {host!r} holds a blank or control character")
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n".encode("latin-1")


def request(
    method: str, target: str, *, host: str, authorization: str = "", body: bytes | None = None, if_match: str = ""
) -> bytes:
    """The bytes of a request that keeps the connection open; ``body`` is JSON where there is one.

    ``if_match``: only where the resource still has this entity tag. Raises WireError where a part would break out of
    its line.
    """
    head = _head(method, target, host)
    if if_match:
        if "\r" in if_match or "\n" in if_match:
            raise WireError("http request: an entity tag holds a line break")
        head = b"%bIf-Match: %b\r\n" % (head, if_match.encode("latin-1"))
    if authorization:
        if "\r" in authorization or "\n" in authorization:
            raise WireError("http request: authorization holds a line break")
        head = b"%bAuthorization: %b\r\n" % (head, authorization.encode("latin-1"))
    if body is None:
        return head + b"\r\n"
    return b"%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def upload_head(target: str, *, host: str, kind: str, length: int, authorization: str = "") -> bytes:
    """The head of a POST whose body of ``length`` bytes and type ``kind`` follows in pieces; the last on its link.

    Raises WireError where a part would break out of its line.
    """
    if any(sign in authorization + kind for sign in "\r\n"):
        raise WireError("http request: authorization or type holds a line break")
    head = _head("POST", target, host)
    if authorization:
        head += f"Authorization: {authorization}\r\n".encode("latin-1")
    return head + f"Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n".encode("latin-1")


class ResponseParser:
    """Takes the bytes of one connection, gives whole responses, one at a time.

    After an error the connection cannot be used again.
    """

    __slots__ = ("_bytes_max", "_complete", "_fields", "_keep_alive", "_parser", "_parts", "_size")

    def __init__(self, *, bytes_max: int = BODY_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._size = 0
        self._complete = False
        self._keep_alive = False

    @property
    def started(self) -> bool:
        """Whether a response has begun and is not whole."""
        return self._size > 0

    def feed(self, data: bytes) -> Response | None:
        """Take bytes; the response once it is whole.

        Raises WireError for what is no HTTP or for a second response that nobody asked for, TooLongError for a response
        above the limit.
        """
        self._size += len(data)
        if self._size > self._bytes_max:
            raise TooLongError(f"http response: more than {self._bytes_max} bytes")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise WireError("http response: the device wants another protocol") from error
        except httptools.HttpParserError as error:
            raise WireError(f"http response: {error or 'cannot be read'}; it begins {data[:40]!r}") from error
        return self._response(keep_alive=self._keep_alive) if self._complete else None

    def end(self) -> Response:
        """The connection has ended: the response whose end that is. Raises WireError where it was cut off."""
        framed = _header(self._fields, "content-length") or _header(self._fields, "transfer-encoding")
        ends_here = bool(self._parts) and not framed
        if not ends_here:
            raise WireError(f"http response: the connection ended after {self._size} bytes, before the response did")
        return self._response(keep_alive=False)

    def _response(self, *, keep_alive: bool) -> Response:
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        found = Response(self._parser.get_status_code(), self._fields, body, keep_alive)
        self._begin()
        return found

    # What httptools calls.

    def on_message_begin(self) -> None:
        """A response starts: a second one before the first was handed out answers no question of ours."""
        if self._complete:
            raise WireError("http response: more responses than requests")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """The response is whole. Asked now, because the parser forgets it at once."""
        self._complete = True
        self._keep_alive = self._parser.should_keep_alive()
