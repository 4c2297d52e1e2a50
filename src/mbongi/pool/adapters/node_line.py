"""Signed questions to a node, over a connection that is opened when needed and after every break."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from mbongi.pool.adapters.node_link import NodeLink, StaleLinkError
from mbongi.pool.errors import NodeSilent
from mbongi.wire.http1 import Response, request

UNAUTHORIZED = 401


class Signer:
    """Puts the HTTP head, signed, in front of questions. ``read`` gives the Authorization header's value."""

    def __init__(self, name: str, read: Callable[[], str]) -> None:
        self._name, self._read = name, read
        self._value = ""

    def message(self, parts: Sequence[bytes]) -> list[bytes]:
        """A question in parts with its head in front; reads what signs it only the first time."""
        if not self._value:
            self._value = self._read()
        # The head's end is taken off, to add what states the size of all parts together.
        head = request("POST", "/", host=self._name, authorization=self._value)[:-2]
        fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % sum(map(len, parts))
        return [head + fields + parts[0], *parts[1:]]

    def refreshed(self) -> bool:
        """Read anew what signs; whether it differs. A node that was started again wants its new cookie."""
        before, self._value = self._value, self._read()
        return before != self._value


class Line:
    """One connection, one question at a time."""

    def __init__(self, name: str, host: str, port: int, signer: Signer) -> None:
        self._name, self._host, self._port, self._signer = name, host, port, signer
        self._lock = asyncio.Lock()
        self._link: NodeLink | None = None

    async def exchange(self, parts: Sequence[bytes], limit_s: float) -> Response:
        """Ask, and take the response; each attempt may last ``limit_s``.

        Asked again once where a kept connection proves closed, or where what signed the question has changed.
        Raises NodeUnreachable, NodeSilent, NodeGarbled, and what the signer raises.
        """
        async with self._lock:
            kept = self._link is not None
            try:
                response = await self._once(parts, limit_s)
            except StaleLinkError:
                if not kept:
                    raise
                response = await self._once(parts, limit_s)
            if response.status == UNAUTHORIZED and self._signer.refreshed():
                response = await self._once(parts, limit_s)
            return response

    def close(self) -> None:
        """Break it."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _once(self, parts: Sequence[bytes], limit_s: float) -> Response:
        if self._link is None or not self._link.is_open:
            self._link = None
            link = NodeLink(self._name)
            await link.connect(self._host, self._port)
            self._signer.refreshed()
            self._link = link
        return await within(limit_s, self._name, self._link.exchange(self._signer.message(parts)))


async def within(limit_s: float, name: str, answer: Awaitable[Response]) -> Response:
    """Wait so long and no longer. Raises NodeSilent; a cancelled exchange breaks its connection."""
    try:
        async with asyncio.timeout(limit_s):
            return await answer
    except TimeoutError as error:
        raise NodeSilent(f"node {name}: no answer within {limit_s:g} s") from error
