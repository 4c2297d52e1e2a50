"""Sockets to one machine: raw asyncio protocols, no streams. Time limits are the caller's (``asyncio.timeout``).

A cancelled exchange breaks its connection, so nothing of an old answer reaches a new question.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from mbongi.fleet.device_errors import (
    DeviceError,
    FencedError,
    GarbledError,
    RefusedError,
    SilentError,
    UnreachableError,
)
from mbongi.wire.btminer_v3 import FrameParser
from mbongi.wire.cgminer import REPLY_BYTES_MAX, is_whole
from mbongi.wire.errors import WireError
from mbongi.wire.http1 import Response, ResponseParser


class StaleLinkError(UnreachableError):
    """A kept connection turned out to be closed before it took the question."""


def always() -> bool:
    """Whoever asks for all machines may always ask."""
    return True


def never() -> bool:
    """Whoever had to let go of a machine may not ask it any more."""
    return False


class _Rpc(asyncio.Protocol):
    """One question, one answer, until the device closes or the answer is known to be whole."""

    __slots__ = ("answer", "may_ask", "question", "received", "transport")

    def __init__(self, question: bytes, answer: "asyncio.Future[bytes]", may_ask: Callable[[], bool]) -> None:
        self.question, self.answer, self.may_ask = question, answer, may_ask
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of its own class, so only their use can tell.
        self.transport = cast("asyncio.Transport", transport)
        if self.may_ask():
            self.transport.write(self.question)
        else:
            self.answer.set_exception(FencedError("no longer ours to ask"))
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.received = self.received + data if self.received else data
        if is_whole(data):
            self._settle()
        elif len(self.received) > REPLY_BYTES_MAX:
            if not self.answer.done():
                self.answer.set_exception(GarbledError(f"more than {REPLY_BYTES_MAX} bytes of RPC answer"))
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.received and exc is not None and not self.answer.done():
            self.answer.set_exception(UnreachableError(f"connection broke before an answer: {exc}"))
        self.transport = None
        self._settle()

    def _settle(self) -> None:
        if not self.answer.done():
            self.answer.set_result(self.received)
        if self.transport is not None:
            self.transport.abort()


async def rpc(address: str, port: int, question: bytes, may_ask: Callable[[], bool] = always) -> bytes:
    """Ask on the RPC port, if ``may_ask`` still says so once the connection stands.

    Raises RefusedError, UnreachableError, GarbledError or FencedError.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    try:
        transport, _ = await loop.create_connection(lambda: _Rpc(question, answer, may_ask), address, port)
    except OSError as error:
        raise connection_error(error, port) from error
    try:
        return await answer
    finally:
        transport.abort()


class HttpLink(asyncio.Protocol):
    """One connection for one request at a time; ``is_open`` says whether it takes the next."""

    __slots__ = ("_answer", "_parser", "_transport", "_used")

    def __init__(self) -> None:
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self._used = False

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def used(self) -> bool:
        """Whether it has carried an answer before."""
        return self._used

    async def connect(self, address: str, port: int) -> None:
        """Open it. Raises RefusedError or UnreachableError."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, address, port)
        except OSError as error:
            raise connection_error(error, port) from error

    async def exchange(self, request: bytes) -> Response:
        """Send a request, wait for its response.

        Raises GarbledError for what is no HTTP or ends in the middle, StaleLinkError where the connection ended
        before any byte came.
        """
        transport = self._transport
        if transport is None or self._answer is not None:
            raise StaleLinkError("connection is closed")
        answer = self._answer = asyncio.get_running_loop().create_future()
        transport.write(request)
        try:
            response: Response = await answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None
        self._used = True
        if not response.keep_alive:
            self.close()
        return response

    def close(self) -> None:
        """Break the connection at once."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's word that the connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of a response, or bytes that nobody asked for, which end the connection."""
        answer = self._answer
        if answer is None or answer.done():
            self.close()
            return
        try:
            response = self._parser.feed(data)
        except WireError as error:
            answer.set_exception(GarbledError(str(error)))
            return
        if response is not None:
            answer.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended: perhaps that is the end of the body, perhaps the answer is cut off."""
        self._transport = None
        answer = self._answer
        if answer is None or answer.done():
            return
        if not self._parser.started:
            answer.set_exception(StaleLinkError(f"connection ended before an answer{f': {exc}' if exc else ''}"))
            return
        try:
            answer.set_result(self._parser.end())
        except WireError as error:
            answer.set_exception(GarbledError(str(error)))


class FramedLink(asyncio.Protocol):
    """One connection for one framed question at a time (Whatsminer API 3); ``is_open`` says whether it takes one."""

    __slots__ = ("_answer", "_parser", "_transport", "used")

    def __init__(self) -> None:
        self._parser = FrameParser()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self.used = False
        """Whether it has carried an answer before."""

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    async def connect(self, address: str, port: int) -> None:
        """Open it. Raises RefusedError, SilentError or UnreachableError."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, address, port)
        except OSError as error:
            raise connection_error(error, port) from error

    async def exchange(self, question: bytes) -> bytes:
        """Send a framed question, wait for its answer's bytes.

        Raises GarbledError for an answer that is too long or ends in the middle, StaleLinkError where the connection
        ended before any byte came.
        """
        transport = self._transport
        if transport is None or self._answer is not None:
            raise StaleLinkError("connection is closed")
        answer = self._answer = asyncio.get_running_loop().create_future()
        transport.write(question)
        try:
            found: bytes = await answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None
        self.used = True
        return found

    def close(self) -> None:
        """Break the connection at once."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's word that the connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer; an answer that nobody asked for ends the connection."""
        answer = self._answer
        try:
            messages = self._parser.feed(data)
        except WireError as error:
            if answer is not None and not answer.done():
                answer.set_exception(GarbledError(str(error)))
            self.close()
            return
        if len(messages) > 1 or (messages and (answer is None or answer.done())):
            self.close()
        if messages and answer is not None and not answer.done():
            answer.set_result(messages[0])

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended, perhaps in the middle of an answer."""
        self._transport = None
        answer = self._answer
        if answer is None or answer.done():
            return
        if self._parser.started:
            answer.set_exception(GarbledError("the answer ends in the middle"))
        else:
            answer.set_exception(StaleLinkError(f"connection ended before an answer{f': {exc}' if exc else ''}"))


def connection_error(error: OSError, port: int) -> DeviceError:
    """What a failed connect says about the machine."""
    if isinstance(error, ConnectionRefusedError):
        return RefusedError(f"port {port}: connection refused")
    if isinstance(error, TimeoutError):
        return SilentError(f"port {port}: no answer to the connection")
    return UnreachableError(f"port {port}: {error.strerror or error}")
