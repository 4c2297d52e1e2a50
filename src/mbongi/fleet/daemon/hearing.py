"""Listening for machines that say who they are: UDP, bounded, and nothing believed but the address it comes from."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.config import Fleet
from mbongi.base.log import get_log
from mbongi.fleet import reports
from mbongi.fleet.daemon.persistence import Database
from mbongi.fleet.ranges import AddressRanges
from mbongi.fleet.reports import Heard
from mbongi.fleet.rules.reports import Repeats, read_report

log = get_log(__name__)

WAITING_MAX = 256
"""Reports that wait for the database; what comes beyond is dropped and counted."""
AT_ONCE_MAX = 64
QUIET_S = 3.0
SOURCES_MAX = 4096
LISTEN_AGAIN_S = 30.0
"""A port that another program holds is tried again after so long."""


@dataclass(slots=True)
class HearingStatistics:
    """Datagrams since the start, by what became of them. ``outside``: from no address of the configured ranges."""

    heard: int = 0
    repeated: int = 0
    malformed: int = 0
    outside: int = 0
    dropped: int = 0


class Hearing(asyncio.DatagramProtocol):
    """Hears reports on the configured ports, keeps them, and has ``look`` find out who answers there."""

    def __init__(self, config: Fleet, database: Database, look: Callable[[Sequence[str]], Awaitable[object]]) -> None:
        self._config, self._database, self._look = config, database, look
        self._ranges = AddressRanges(config.ranges)
        self._repeats = Repeats(QUIET_S, SOURCES_MAX)
        self._waiting: deque[Heard] = deque()
        self._wake = asyncio.Event()
        self.statistics = HearingStatistics()
        self.ports: set[int] = set()
        """Those that are listened on at the moment."""

    # What the loop calls.

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Sort it out at once, and cheaply."""
        counts, source = self.statistics, addr[0]
        if source not in self._ranges:
            counts.outside += 1
            return
        claim = read_report(data)
        if claim is None:
            counts.malformed += 1
        elif len(self._waiting) >= WAITING_MAX:
            counts.dropped += 1
        elif self._repeats.is_repeat(source, monotonic_s()):
            counts.repeated += 1
        else:
            counts.heard += 1
            self._waiting.append(Heard(source, claim.address, claim.mac, utc_now()))
            self._wake.set()

    def error_received(self, exc: Exception) -> None:
        """Nothing is ever sent, so there is nothing to do about it."""

    # What the process runs.

    async def run(self) -> None:
        """Listen and keep what is heard, until cancelled. A port that is taken is said, and tried again."""
        if not self._config.report_host:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for port in {self._config.report_port, self._config.report_whatsminer_port}:
                group.create_task(self._listen(port))
            group.create_task(self._keep())

    async def _listen(self, port: int) -> None:
        loop, host, is_told = asyncio.get_running_loop(), self._config.report_host, False
        while True:
            try:
                transport, _protocol = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))
            except OSError as error:
                if not is_told:
                    is_told = True
                    log.warning("reports_not_heard", host=host, port=port, reason=error.strerror or str(error))
                await asyncio.sleep(LISTEN_AGAIN_S)
                continue
            self.ports.add(port)
            log.info("reports_heard", host=host, port=port)
            try:
                await asyncio.Event().wait()
            finally:
                self.ports.discard(port)
                transport.close()

    async def _keep(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _number in range(min(len(self._waiting), AT_ONCE_MAX))]
                await self._take(batch)

    async def _take(self, batch: list[Heard]) -> None:
        unknown = await self._database.insist(reports.hear, batch)
        if not unknown:
            return
        try:
            await self._look(unknown)
        except Exception:
            log.exception("reports_not_looked_at", addresses=len(unknown))
        await self._database.insist(reports.looked_at, unknown)
