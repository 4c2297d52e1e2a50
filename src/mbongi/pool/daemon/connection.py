"""What connections of every kind have in common: the transport, its end, and the record of an accepted share."""

import asyncio
import contextlib
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from mbongi.base.log import get_log
from mbongi.pool import values
from mbongi.pool.daemon.addresses import NOWHERE
from mbongi.pool.daemon.gate import Gate
from mbongi.pool.daemon.share_log import BLOCK_FLAG, pack_share
from mbongi.pool.daemon.statistics import Member
from mbongi.pool.rules.job import Job
from mbongi.pool.rules.share import Proof
from mbongi.wire.bitcoin.target import DIFFICULTY_1_TARGET

if TYPE_CHECKING:
    from mbongi.pool.daemon.server import PoolServer

log = get_log(__name__)

KEEPALIVE_IDLE_S, KEEPALIVE_S, KEEPALIVE_TRIES = 60, 20, 3
UNACKNOWLEDGED_MS_MAX = 120_000
"""Sent and not acknowledged for so long: the other end is gone. Source of both: tcp(7)."""
_header_numbers = struct.Struct("<I64xI4xI").unpack
"""Version, time and nonce of a header."""


class Host(Protocol):
    """Whose connections they are: the pool's server, or the proxy."""

    gate: Gate

    def now_s(self) -> float:
        """Unix seconds that never jump."""

    def closed(self, connection: Any) -> None:
        """A connection is gone."""

    def has_answers(self, connection: Any) -> None:
        """Send a connection's answers at the end of this turn of the loop."""


class Connection(asyncio.Protocol, ABC):
    """A miner's or a proxy's connection; the host made it and owns its jobs and limits."""

    __slots__ = ("address", "agent", "heard_at_s", "opened_at_s", "out", "peer", "received", "server", "transport")

    server: Host
    unsent_bytes_max: ClassVar[int]
    """A reader slower than this is dropped, never waited for."""

    def __init__(self, server: Host) -> None:
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.address = NOWHERE
        self.agent = ""
        self.opened_at_s = self.heard_at_s = server.now_s()
        self.received = 0
        """Bytes in the present window of the limits."""
        self.out: list[Any] = []
        """Answers of this turn of the loop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=self.unsent_bytes_max)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        notice_death(transport)
        if not self.server.gate.opened(self):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        """It is gone."""
        self.transport = None
        self.server.closed(self)

    def pause_writing(self) -> None:
        """What we sent is not being read."""
        log.info("slow_reader_dropped", peer=self.peer, agent=self.agent)
        self.drop()

    def drop(self) -> None:
        """Break the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """End the connection once what was written is out."""
        if self.transport is not None:
            self.transport.close()

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it has said who it is."""

    @property
    def weight(self) -> int:
        """How many times the bytes of one miner it may send."""
        return 1

    @abstractmethod
    def look(self, now_s: float) -> None:
        """Time has passed: difficulties fall where no share comes."""


class PoolConnection(Connection):
    """A connection to the pool itself, whose shares are kept here.

    Among the answers in ``out`` are tuples: a share with what answers it once it is kept.
    """

    __slots__ = ()

    protocol: ClassVar[values.Protocol]
    server: "PoolServer"

    def extranonces(self) -> Iterable[bytes]:
        """The parts of the search space that it holds, which are free once it is gone."""
        return ()

    @abstractmethod
    def ask_to_reconnect(self) -> None:
        """Tell the miner to connect anew, as this process ends."""

    @abstractmethod
    def members(self) -> Iterable[Member]:
        """The workers on it."""

    @abstractmethod
    def new_job(self, *, clean: bool) -> None:
        """Tell the newest job, at once."""

    @abstractmethod
    def flush(self, *, kept: bool) -> None:
        """Send the answers of this turn of the loop; ``kept`` says whether its shares are in the log."""

    def _accept(
        self,
        job: Job,
        proof: Proof,
        extranonce: bytes,
        whose: tuple[int, str],
        *,
        difficulty: float,
        now_s: float,
        answer: Any,
    ) -> None:
        """Hand in a block where the share makes one, and put the share up for keeping and answering.

        ``whose`` is its worker's number and name.
        """
        server, template = self.server, job.template
        header, hash_, value = proof
        worker, name = whose
        is_block = value <= template.target
        if is_block:
            server.found_block(job, header, extranonce, name)
        if not server.gate.may_accept(self, worker, now_s):
            self.drop()
            return
        version, time_s, nonce = _header_numbers(header)
        record = pack_share(
            server.clock.unix_ms(now_s),
            worker,
            job.number,
            difficulty,
            DIFFICULTY_1_TARGET / value,
            template.height,
            time_s,
            nonce,
            version,
            extranonce,
            self.protocol,
            BLOCK_FLAG if is_block else 0,
            server.shard,
            hash_,
        )
        self.out.append((record, worker, job, hash_, answer))


def notice_death(transport: asyncio.BaseTransport) -> None:
    """Have the system ask whether the other end still lives, and break the connection where it does not."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family == socket.AF_UNIX:
        return
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_TRIES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS_MAX)
