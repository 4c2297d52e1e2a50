"""A node's word that its tip moved, over ZMQ: Bitcoin Core's ``zmqpubhashblock``.

Anybody on the network could say so, and messages may be lost; so each is a hint to ask the node, never a fact.
Source: Bitcoin Core, doc/zmq.md.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import zmq
import zmq.asyncio
from zmq.utils.monitor import recv_monitor_message

from mbongi.base.log import get_log

log = get_log(__name__)

OnTip = Callable[[str], None]
"""Called with the new tip's hash as people write it, or with an empty text: something may have been missed, ask the
node. Must not block."""
TOPIC: Final = b"hashblock"
RECONNECT_MS, RECONNECT_MS_MAX = 200, 5_000
HEARTBEAT_MS: Final = 10_000
"""A node whose power failed is noticed after two of them; both ends of ZMQ 4.2 and newer answer heartbeats."""
WAITING_MAX: Final = 1_000
"""Messages that wait for us; above it new ones are dropped, which the sequence shows."""
_HASH_BYTES: Final = 32
_SEQUENCES: Final = 1 << 32


class TipFeed:
    """Listens at one endpoint, such as ``tcp://127.0.0.1:28332``, until ``run`` is cancelled."""

    def __init__(self, endpoint: str, on_tip: OnTip) -> None:
        self.endpoint, self._on_tip = endpoint, on_tip
        self.is_connected: bool | None = None
        """None before the first attempt has ended."""
        self.missed = 0
        """Messages that were lost on the way, as far as the sequence shows."""
        self.garbled = 0
        self._expected: int | None = None

    async def run(self) -> None:
        """Listen; ZMQ itself connects anew after every break. Raises ValueError for what is no endpoint."""
        context = zmq.asyncio.Context()
        try:
            subscriber = context.socket(zmq.SUB)
            for option, value in (
                (zmq.RECONNECT_IVL, RECONNECT_MS),
                (zmq.RECONNECT_IVL_MAX, RECONNECT_MS_MAX),
                (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
                (zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_MS),
                (zmq.RCVHWM, WAITING_MAX),
                (zmq.MAXMSGSIZE, 1024),
                (zmq.IPV6, 1),
            ):
                subscriber.setsockopt(option, value)
            subscriber.subscribe(TOPIC)
            monitor = subscriber.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
            try:
                subscriber.connect(self.endpoint)
            except zmq.ZMQError as error:
                raise ValueError(f"node's ZMQ endpoint {self.endpoint!r}: {error}; expected tcp://host:port") from error
            await asyncio.gather(self._listen(subscriber), self._watch(monitor))
        finally:
            context.destroy(linger=0)

    async def _listen(self, subscriber: zmq.asyncio.Socket) -> None:
        while True:
            self.take(await subscriber.recv_multipart())

    async def _watch(self, monitor: zmq.asyncio.Socket) -> None:
        """Follow the connection: after a break, whatever happened meanwhile was not heard."""
        while True:
            event = (await recv_monitor_message(monitor))["event"]
            was_connected, self.is_connected = self.is_connected, event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if self.is_connected:
                log.info("node_feed_connected", endpoint=self.endpoint)
                self._on_tip("")
            elif was_connected:
                log.warning("node_feed_lost", endpoint=self.endpoint)

    def take(self, parts: list[bytes]) -> None:
        """One message: topic, hash, and a sequence number that counts the topic's messages since the node's start."""
        if len(parts) != 3 or parts[0] != TOPIC or len(parts[1]) != _HASH_BYTES or len(parts[2]) != 4:
            self.garbled += 1
            self._on_tip("")
            return
        sequence = int.from_bytes(parts[2], "little")
        expected, self._expected = self._expected, (sequence + 1) % _SEQUENCES
        # A sequence that goes back is that of a node started anew.
        if expected is not None and sequence > expected:
            self.missed += sequence - expected
        self._on_tip(parts[1].hex())
