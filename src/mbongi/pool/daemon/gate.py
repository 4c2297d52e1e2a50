"""Who may connect, and how much each may say: the same for the pool's server and for the proxy.

Limits are by connection and by address. Above them connections are dropped; an address that goes on is shut out for a
while. A slow reader is dropped too, never waited for (``connection``).
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mbongi.base.log import get_log

if TYPE_CHECKING:
    from mbongi.pool.daemon.connection import Connection

log = get_log(__name__)

LOOK_S: Final = 5.0
_RATE_LOOKS: Final = 2
_STRIKES_LOOKS: Final = 120


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection and one address may use. Above it they are dropped; addresses are shut out for a while."""

    connections_max: int = 20_000
    per_address_max: int = 1_000
    line_bytes_max: int = 16_384
    bytes_per_s_max: int = 32_768
    """Over ten seconds; a share takes some 130 bytes."""
    silent_s_max: float = 60.0
    """From connecting to the first authorized worker."""
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
        self._per_address: Counter[str] = Counter()
        self._strikes: Counter[str] = Counter()
        self._banned: dict[str, float] = {}
        self._received: Counter[Connection] = Counter()
        self._listeners: list[asyncio.Server] = []

    # Listening.

    async def listen(
        self, make: Callable[[], asyncio.Protocol], host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> int:
        """Take connections there; returns the port, which the system chooses where 0 is asked for."""
        listener = await asyncio.get_running_loop().create_server(make, host, port, ssl=tls, backlog=4096)
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    @property
    def is_listening(self) -> bool:
        """Whether miners can connect."""
        return bool(self._listeners)

    def send_away(self, reason: str) -> None:
        """Close every connection and take no new one, so that miners go on with their next pool."""
        log.warning("miners_sent_away", connections=len(self.connections), reason=reason)
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self.connections):
            connection.drop()

    # Limits.

    def opened(self, connection: "Connection") -> bool:
        """A connection came; False where it is one too many, or from an address that is shut out."""
        banned_until = self._banned.get(connection.peer, 0.0)
        full = len(self.connections) >= self.limits.connections_max
        crowded = self._per_address[connection.peer] >= self.limits.per_address_max
        self.connections.add(connection)
        self._per_address[connection.peer] += 1
        self.came += 1
        if full or crowded or banned_until > self._now_s():
            self.refused += 1
            return False
        return True

    def closed(self, connection: "Connection") -> bool:
        """A connection is gone; False where that was known."""
        if connection not in self.connections:
            return False
        self.connections.discard(connection)
        self._received.pop(connection, None)
        self._per_address[connection.peer] -= 1
        if self._per_address[connection.peer] <= 0:
            del self._per_address[connection.peer]
        return True

    def may_receive(self, connection: "Connection", size: int) -> bool:
        """Whether a connection keeps to its rate."""
        self._received[connection] += size
        if self._received[connection] <= self.limits.bytes_per_s_max * 10:
            return True
        self.strike(connection, "flood")
        return False

    def strike(self, connection: "Connection", why: str) -> None:
        """An address did what no miner does; shut it out after several times."""
        peer = connection.peer
        self._strikes[peer] += 1
        if self._strikes[peer] >= self.limits.strikes_max:
            del self._strikes[peer]
            self._banned[peer] = self._now_s() + self.limits.ban_s
            log.warning("address_shut_out", peer=peer, reason=why, seconds=self.limits.ban_s)

    async def keep_looking(self) -> None:
        """Keep difficulties and limits up to date, until cancelled."""
        rounds = 0
        while True:
            await asyncio.sleep(LOOK_S)
            rounds += 1
            now_s = self._now_s()
            for connection in list(self.connections):
                connection.look(now_s)
                if not connection.is_ready and now_s - connection.opened_at_s > self.limits.silent_s_max:
                    connection.drop()
            if rounds % _RATE_LOOKS == 0:
                self._received.clear()
            self._banned = {peer: until for peer, until in self._banned.items() if until > now_s}
            if rounds % _STRIKES_LOOKS == 0:
                self._strikes.clear()
