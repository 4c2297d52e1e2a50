"""Connections to one node: raw asyncio protocols that carry one question at a time. Time limits are the caller's.

A cancelled exchange breaks its connection, so nothing of an old answer reaches a new question.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

from mbongi.pool.errors import NodeError, NodeGarbled, NodeSilent, NodeUnreachable
from mbongi.wire.errors import WireError
from mbongi.wire.http1 import Response, ResponseParser

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""A template of a full block is 8 MB of hex; this is room for several times that."""
CONNECT_S_MAX: Final = 5.0
REOPEN_S: Final = 1.0
"""Between attempts to have a connection ready, and the least life of one that is replaced at once."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A long poll says nothing for minutes; so a node whose power failed is noticed after a minute."""


class StaleLinkError(NodeUnreachable):
    """A kept connection turned out to be closed before any of the answer came; the question may be asked again."""


class NodeLink(asyncio.Protocol):
    """One connection. ``name`` is the node's, for messages; ``on_lost`` is called once when it has ended."""

    def __init__(self, name: str, on_lost: Callable[["NodeLink"], None] | None = None) -> None:
        self.name, self._on_lost = name, on_lost
        self._parser = ResponseParser(bytes_max=ANSWER_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None
        self.used = False
        """Whether it has carried an answer before."""

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    async def connect(self, host: str, port: int) -> None:
        """Open it within CONNECT_S_MAX. Raises NodeUnreachable, NodeSilent."""
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await asyncio.get_running_loop().create_connection(lambda: self, host, port)
        except TimeoutError as error:
            raise NodeSilent(f"node {self.name}: no answer to the connection within {CONNECT_S_MAX:g} s") from error
        except OSError as error:
            raise NodeUnreachable(f"node {self.name}: {error.strerror or error}") from error

    def write(self, parts: Sequence[bytes]) -> "asyncio.Future[Response]":
        """Send a question or its beginning, its first part at once; the answer will be in the future.

        It raises StaleLinkError where the connection ended before an answer began, NodeGarbled for what is no HTTP or
        ends in the middle.
        """
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._answer is not None:
            answer.set_exception(StaleLinkError(f"node {self.name}: the connection is closed"))
            return answer
        self._answer = answer
        for part in parts:
            self._transport.write(part)
        return answer

    def write_more(self, data: bytes) -> None:
        """Send the rest of a question whose beginning was written; nothing where the connection has ended since."""
        if self._transport is not None:
            self._transport.write(data)

    async def exchange(self, parts: Sequence[bytes]) -> Response:
        """Send a question and wait for its answer; raises what ``write`` says."""
        return await self.answered(self.write(parts))

    async def answered(self, answer: "asyncio.Future[Response]") -> Response:
        """Wait for what ``write`` gave."""
        try:
            response = await answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None
        self.used = True
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
        # uvloop's transports are of its own class, so only their use can tell.
        self._transport = cast("asyncio.Transport", transport)
        # With no room to wait in, each write goes to the system at once, under uvloop too.
        self._transport.set_write_buffer_limits(high=0)
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer, or bytes that nobody asked for, which end the connection."""
        answer = self._answer
        if answer is None or answer.done():
            self.close()
            return
        try:
            response = self._parser.feed(data)
        except WireError as error:
            answer.set_exception(NodeGarbled(f"node {self.name}: {error}"))
            return
        if response is not None:
            answer.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ended: perhaps that is the end of the body, perhaps the answer is cut off."""
        self._transport = None
        answer = self._answer
        if answer is not None and not answer.done():
            self._settle(answer, exc)
        if self._on_lost is not None:
            self._on_lost(self)

    def _settle(self, answer: "asyncio.Future[Response]", exc: Exception | None) -> None:
        if not self._parser.started:
            detail = f": {exc}" if exc else ""
            answer.set_exception(StaleLinkError(f"node {self.name}: connection ended before an answer{detail}"))
            return
        try:
            answer.set_result(self._parser.end())
        except WireError as error:
            answer.set_exception(NodeGarbled(f"node {self.name}: {error}"))


class ReadyLink:
    """Keeps one connection open and idle, and opens another whenever it was taken or the node closed it.

    Nodes close idle connections: Bitcoin Core after 30 s (``-rpcservertimeout``), bcoin after 5 s.
    """

    def __init__(self, name: str, host: str, port: int) -> None:
        self._name, self._host, self._port = name, host, port
        self._link: NodeLink | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._is_closed = False

    @property
    def is_ready(self) -> bool:
        """Whether ``take`` would give a connection."""
        return self._link is not None and self._link.is_open

    def keep(self) -> None:
        """Begin, or go on."""
        if not self._is_closed and self._task is None:
            self._wanted.set()
            self._task = asyncio.create_task(self._run())

    def take(self) -> NodeLink | None:
        """The idle connection, which is the caller's from now on; None where none stands."""
        link, self._link = self._link, None
        self._wanted.set()
        return link if link is not None and link.is_open else None

    def close(self) -> None:
        """Break it and open no more."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
        if self._link is not None:
            self._link.close()

    def _lost(self, link: NodeLink) -> None:
        if link is self._link:
            self._link = None
            self._wanted.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            began_s = loop.time()
            link = NodeLink(self._name, self._lost)
            try:
                await link.connect(self._host, self._port)
            except NodeError:  # whoever asks the node reports that; here it is tried again
                self._wanted.set()
            else:
                if link.is_open:
                    self._link = link
                else:
                    self._wanted.set()
            if not self._wanted.is_set():
                await self._wanted.wait()
            await asyncio.sleep(max(0.0, REOPEN_S - (loop.time() - began_s)))
