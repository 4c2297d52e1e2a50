"""Who may connect, and how much each may say: the same for the pool's server and for the proxy.

Limits are by connection, by address and by worker. Above them connections are dropped; an address that goes on is shut
out for a while (``addresses``). A slow reader is dropped too, never waited for (``connection``).
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mbongi.base.log import get_log
from mbongi.pool.daemon.addresses import WINDOW_S, Addresses

if TYPE_CHECKING:
    from mbongi.pool.daemon.connection import Connection

log = get_log(__name__)

LOOK_S: Final = 5.0
TLS_HANDSHAKE_S: Final = 10.0
SLICE: Final = 500
"""Connections looked at in one turn of the loop, so that shares need not wait for all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process allows. Rates are taken over ten seconds; an address of IPv6 is its /64."""

    connections_max: int = 20_000
    per_address_max: int = 1_000
    connects_per_s_per_address: float = 100.0
    line_bytes_max: int = 16_384
    bytes_per_s_max: float = 32_768.0
    """Of one connection; a share takes some 130 bytes."""
    bytes_per_s_per_address: float = 4_000_000.0
    shares_per_s_per_worker: float = 2_000.0
    """Accepted, of one worker at one address: a name is no secret, so others must not use up its part."""
    silent_s_max: float = 60.0
    """From connecting to the first authorized worker."""
    idle_s_max: float = 3_600.0
    """Without a word from a miner that has work."""
    strikes_max: int = 5
    ban_s: float = 600.0


class Gate:
    """All connections of one process, and the places where it listens for them."""

    def __init__(self, limits: Limits, now_s: Callable[[], float]) -> None:
        self.limits = limits
        self.connections: set[Connection] = set()
        self.came = self.refused = 0
        """Connections since the start, and those of them that were one too many or from an address shut out."""
        self._now_s = now_s
        self._addresses = Addresses(limits)
        self._bytes_max = limits.bytes_per_s_max * WINDOW_S
        self._listeners: list[asyncio.Server] = []

    # Listening.

    async def listen(
        self, make: Callable[[], asyncio.Protocol], host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> int:
        """Take connections there; returns the port, which the system chooses where 0 is asked for.

        Several processes may listen on one port: the system gives each its part of the connections.
        """
        # A connection counts against the limits from its handshake's end on, so that must not be long in coming.
        handshake_s = TLS_HANDSHAKE_S if tls is not None else None
        listener = await asyncio.get_running_loop().create_server(
            make, host, port, ssl=tls, backlog=4096, reuse_port=True, ssl_handshake_timeout=handshake_s
        )
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    @property
    def port(self) -> int:
        """Where miners connect, the first of several; 0 where they cannot."""
        return int(self._listeners[0].sockets[0].getsockname()[1]) if self._listeners else 0

    @property
    def is_listening(self) -> bool:
        """Whether miners can connect."""
        return bool(self._listeners)

    def send_away(self, reason: str) -> None:
        """Close every connection and take no new one, so that miners go on with their next pool."""
        log.warning("miners_sent_away", connections=len(self.connections), reason=reason)
        self.stop_listening()
        for connection in list(self.connections):
            connection.drop()

    def stop_listening(self) -> None:
        """Take no new connection."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    # Limits.

    def opened(self, connection: "Connection") -> bool:
        """A connection came; False where it is one too many, or from an address that is shut out."""
        self.connections.add(connection)
        self.came += 1
        connection.address, refusal = self._addresses.enter(connection.peer, self._now_s())
        if refusal or len(self.connections) > self.limits.connections_max:
            self.refused += 1
            return False
        return True

    def closed(self, connection: "Connection") -> bool:
        """A connection is gone; False where that was known."""
        if connection not in self.connections:
            return False
        self.connections.discard(connection)
        self._addresses.leave(connection.address)
        return True

    def may_receive(self, connection: "Connection", size: int) -> bool:
        """Whether a connection and its address keep to their rates."""
        received = connection.received = connection.received + size
        is_fair = received <= self._bytes_max or received <= self._bytes_max * connection.weight
        if is_fair and self._addresses.may_receive(connection.address, size):
            return True
        self.strike(connection, "flood")
        return False

    def may_accept(self, connection: "Connection", worker: int, now_s: float) -> bool:
        """Whether a worker keeps to its rate of shares."""
        if self._addresses.may_accept(connection.address, worker, now_s):
            return True
        self.strike(connection, "flood")
        return False

    def strike(self, connection: "Connection", why: str) -> None:
        """An address did what no miner does; shut it out after several times."""
        self._addresses.strike(connection.address, why, self._now_s())

    async def keep_looking(self) -> None:
        """Keep difficulties and limits up to date, until cancelled."""
        window_at_s = self._now_s()
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = self._now_s()
            window_ends = now_s - window_at_s >= WINDOW_S
            if window_ends:
                window_at_s = now_s
                self._addresses.begin_window(now_s)
            for place, connection in enumerate(list(self.connections)):
                self._look_at(connection, now_s, window_ends=window_ends)
                if place % SLICE == SLICE - 1:
                    await asyncio.sleep(0)

    def _look_at(self, connection: "Connection", now_s: float, *, window_ends: bool) -> None:
        if connection.transport is None:
            return
        if connection.received:
            connection.heard_at_s = now_s
        if window_ends:
            connection.received = 0
        limits = self.limits
        is_silent = (
            now_s - connection.heard_at_s > limits.idle_s_max
            if connection.is_ready
            else now_s - connection.opened_at_s > limits.silent_s_max
        )
        if is_silent:
            log.info("silent_connection_dropped", peer=connection.peer, agent=connection.agent)
            connection.drop()
        else:
            connection.look(now_s)
