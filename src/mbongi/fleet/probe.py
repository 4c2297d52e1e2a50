"""Whether ports of an address accept a connection: one socket each, broken off at once."""

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from enum import Enum

_GRACE_S = 0.05
"""After the limit, one more turn of the loop: an answer that came while the loop was busy still counts."""
_NO_ROUTE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.EHOSTDOWN}
_RESET_AT_CLOSE = b"\1\0\0\0\0\0\0\0"


class Port(Enum):
    """What became of a connection attempt."""

    OPEN = "open"
    REFUSED = "refused"
    SILENT = "silent"
    """Nothing came back: no machine, or a packet was lost."""
    NO_ROUTE = "no route"


class OutOfFilesError(OSError):
    """No file descriptor is left for a probe; try again when some are free."""


async def probe(address: str, ports: Sequence[int], *, limit_s: float, gate: asyncio.Semaphore) -> list[Port]:
    """Try to connect to each port, all at the same time. Raises OutOfFilesError.

    ``gate`` bounds how many connections are begun in one turn of the loop: many may wait for silence, but where
    refusals come at once a thousand probes would keep everything else from its turn.
    """
    attempts: list[_Attempt] = []
    try:
        async with gate:
            attempts.extend(_Attempt(address, port) for port in ports)
            await asyncio.sleep(0)
        if any(attempt.found is None for attempt in attempts):
            await _answers(attempts, limit_s)
        return [attempt.found or Port.SILENT for attempt in attempts]
    finally:
        for attempt in attempts:
            attempt.sock.close()


class _Attempt:
    """One connection attempt; ``found`` is None while it is open-ended."""

    __slots__ = ("found", "sock")

    def __init__(self, address: str, port: int) -> None:
        try:
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise OutOfFilesError(error.errno, os.strerror(error.errno or 0)) from error
        # A reset instead of a farewell: no connection of a scan lingers here or on the device.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        code = self.sock.connect_ex((address, port))
        self.found = None if code == errno.EINPROGRESS else _meaning(code)

    def settle(self) -> None:
        """The kernel knows."""
        self.found = _meaning(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))


async def _answers(attempts: list[_Attempt], limit_s: float) -> None:
    """Wait until every attempt is settled or the limit is over."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    waiting = [attempt for attempt in attempts if attempt.found is None]
    left = len(waiting)

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    def settle(attempt: _Attempt) -> None:
        nonlocal left
        attempt.settle()
        loop.remove_writer(attempt.sock)
        left -= 1
        if left == 0:
            finish()

    for attempt in waiting:
        loop.add_writer(attempt.sock, settle, attempt)
    timer = loop.call_later(limit_s, lambda: loop.call_later(_GRACE_S, finish))
    try:
        await done
    finally:
        timer.cancel()
        for attempt in waiting:
            loop.remove_writer(attempt.sock)


def _meaning(code: int) -> Port:
    if code == 0:
        return Port.OPEN
    if code in {errno.ECONNREFUSED, errno.ECONNRESET}:
        return Port.REFUSED
    return Port.NO_ROUTE if code in _NO_ROUTE else Port.SILENT
