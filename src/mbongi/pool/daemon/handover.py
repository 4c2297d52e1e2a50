"""A miner that names its session is passed to the process that keeps it, whichever took its connection.

The processes of a machine share their ports, so a miner that connects again may reach any of them. What it did before,
and which of its shares were accepted, one process knows: that one gets the open socket, over a socket of the file
system, with what the miner has said so far. So no part of the search space is ever in two processes.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import msgspec

from mbongi.base.log import get_log

log = get_log(__name__)

WAIT_S_MAX: Final = 3.0
"""So long a miner waits for the process that keeps its session, which may just be starting again. It has no work
meanwhile: more would cost it more than its session is worth."""
RETRY_S: Final = 0.1
BYTES_MAX: Final = 128 * 1024


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A connection on its way to its session.

    ``unsent`` are answers that the miner has not got yet, ``lines`` what it said after asking for the session, ``rest``
    the beginning of a line.
    """

    session: str
    id: bytes
    agent: str
    version_mask: int
    minimum: float
    workers: tuple[str, ...]
    unsent: bytes
    lines: tuple[bytes, ...]
    rest: bytes


_decode = msgspec.msgpack.Decoder(Arrival).decode


class Handover:
    """One process's end. ``take`` gets each socket that others pass on; it owns it from then on."""

    def __init__(
        self, folder: Path, shard: int, others: Collection[int], take: Callable[[socket.socket, Arrival], None]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Paths of sockets are short by law of the kernel; by the folder's descriptor any folder will do.
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._others, self._take = frozenset(others), take
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        (folder / _name(shard)).unlink(missing_ok=True)
        self._socket.bind(self._address(shard))
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._receive)

    def keeps(self, shard: int | None) -> bool:
        """Whether that is another process of this machine."""
        return shard in self._others

    async def send(self, shard: int, descriptor: int, arrival: Arrival) -> bool:
        """Pass a socket on; False where its process does not take it within WAIT_S_MAX."""
        data = msgspec.msgpack.encode(arrival)
        passed = socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor.to_bytes(4, sys.byteorder)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + WAIT_S_MAX
        while len(data) <= BYTES_MAX and self._socket.fileno() >= 0:
            with contextlib.suppress(OSError):  # nobody there yet, or its queue is full
                self._socket.sendmsg([data], [passed], 0, self._address(shard))
                return True
            if loop.time() >= end_s:
                break
            await asyncio.sleep(RETRY_S)
        return False

    def close(self) -> None:
        """Take no more; those on their way find nobody here, and wait for the next process of the shard."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._receive()
            self._socket.close()
            os.close(self._folder)

    def _receive(self) -> None:
        while True:
            try:
                data, descriptors, _flags, _sender = socket.recv_fds(self._socket, BYTES_MAX, 1)
            except BlockingIOError:
                return
            sockets = [socket.socket(fileno=each) for each in descriptors]
            try:
                arrival = _decode(data)
            except msgspec.DecodeError as error:
                log.warning("handover_not_read", error=str(error))
                arrival = None
            for each in sockets:
                if arrival is None:
                    each.close()
                else:
                    self._take(each, arrival)

    def _address(self, shard: int) -> str:
        return f"/proc/self/fd/{self._folder}/{_name(shard)}"


def _name(shard: int) -> str:
    return f"{shard}.handover"
