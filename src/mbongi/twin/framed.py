"""The sockets of virtual machines whose messages carry their length: a Whatsminer's port 4433.

A message is a little-endian uint32, the length in bytes, and so many bytes of JSON; length 0 is a sign of life and is
not answered (chosen: the maker's text names it and no answer). Source: MicroBT's public text on API 3.
"""

import asyncio
import struct

from mbongi.twin.firmware import AnswerRpc, Reply
from mbongi.twin.images import BadImageError
from mbongi.twin.listeners import REQUEST_BYTES_MAX, Connection, Host, ImageTaker

CONNECTIONS_MAX = 10
"""Clients at the same time; the maker's limit. One more is turned away at once (chosen)."""
IDLE_S = 300.0
_LENGTH = struct.Struct("<I")


class FramedConnection(Connection):
    """Any number of requests on one connection, answered in order."""

    idle_s = IDLE_S

    def __init__(self, host: Host, answer: AnswerRpc) -> None:
        super().__init__(host)
        self.answer = answer
        self.received = bytearray()
        self.incoming: ImageTaker | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, if there is room for it."""
        super().connection_made(transport)
        if sum(isinstance(each, FramedConnection) for each in self.host.connections) > CONNECTIONS_MAX:
            self.abort()

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole; one that is too long breaks the connection."""
        if self.is_deaf:
            return
        self.expect_within(self.idle_s)
        if self.incoming is not None:
            self._take(data, self.incoming)
            return
        self.received += data
        while len(self.received) >= _LENGTH.size and self.transport is not None:
            [length] = _LENGTH.unpack_from(self.received)
            if length > REQUEST_BYTES_MAX:
                self.abort()
                return
            end = _LENGTH.size + length
            if len(self.received) < end:
                return
            request = bytes(self.received[_LENGTH.size : end])
            del self.received[:end]
            if request and not self.is_deaf:
                self._answer(self.answer(request))

    def _take(self, data: bytes, incoming: ImageTaker) -> None:
        try:
            reply = incoming.feed(data)
        except BadImageError:
            self.abort()
            return
        if reply is not None:
            self.incoming = None
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        if reply.then_image is not None:
            self.incoming = ImageTaker(reply.then_image)
        self.respond(_LENGTH.pack(len(reply.body)) + reply.body, close=False)
