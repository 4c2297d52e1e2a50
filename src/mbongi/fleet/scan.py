"""The scan: which addresses of a range live, and what machines they are.

Two steps, each with bounded concurrency: probe the ports, then identify what accepted a connection. Silence is met
with a second try: at once for a port, and for a machine after all others are done, when nothing competes with it.
Addresses are made as they are needed, so a /8 costs no memory.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from mbongi.base.config import Fleet
from mbongi.base.log import get_log
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session
from mbongi.fleet.device_errors import DeniedError, DeviceError, SilentError
from mbongi.fleet.open_files import raise_open_files
from mbongi.fleet.probe import OutOfFilesError, Port, probe
from mbongi.fleet.ranges import AddressRanges, ScanRangeError
from mbongi.fleet.reading import Found
from mbongi.fleet.values import Family

__all__ = ["Progress", "ScanRangeError", "range_size", "scan"]
log = get_log(__name__)

PROBE_S = 2.0
PROBE_TRIES = 2
PROBES_MAX = 512
"""Addresses probed at the same time, at most; fewer where file descriptors are short."""
_Order = tuple[Family, ...]
FAMILIES: _Order = (
    Family.ANTMINER,
    Family.WHATSMINER_V3,
    Family.WHATSMINER,
    Family.AVALON,
    Family.BITAXE,
    Family.LUXOS,
    Family.VNISH,
    Family.BRAIINS,
)
"""In which order a machine with both ports open is asked what it is; the first that knows it has it."""
RPC_FAMILIES: _Order = (Family.WHATSMINER_V3, Family.WHATSMINER, Family.AVALON, Family.ANTMINER, Family.LUXOS)
"""Likewise where only the RPC port is open."""
HTTP_FAMILIES: _Order = (Family.BITAXE, Family.ANTMINER, Family.VNISH, Family.BRAIINS)
"""Likewise where only the web is."""
PROBES_IN_A_TURN = 16
"""Connections begun in one turn of the loop, so that identification and its time limits keep their pace."""
FOUND_WAITING_MAX = 1000
"""Results that wait for the caller; beyond, the scan waits."""
_OUT_OF_FILES_PAUSE_S = 0.2


@dataclass(slots=True)
class Progress:
    """How far a scan is. ``live`` counts addresses that accepted a connection; ``hung`` those that then kept silent."""

    total: int
    probed: int = 0
    live: int = 0
    identified: int = 0
    hung: int = 0


Item = TypeVar("Item")
OnProgress = Callable[[Progress], None]
Candidates = Callable[[str, Family], Sequence[str]]
"""Passwords that a machine of a family at an address may have besides the common one."""


def _no_others(_address: str, _family: Family) -> Sequence[str]:
    return ()


def range_size(ranges: Iterable[str]) -> int:
    """How many addresses the ranges hold. Raises ScanRangeError."""
    return len(AddressRanges(ranges))


async def scan(
    ranges: Iterable[str],
    config: Fleet,
    *,
    on_progress: OnProgress | None = None,
    candidates: Candidates = _no_others,
) -> AsyncIterator[Found]:
    """Every live address of the ranges, as it is found.

    ``on_progress`` is called after each address; it must not block. Raises ScanRangeError before anything is sent.
    """
    run = _Scan(AddressRanges(ranges), config, on_progress, candidates)
    task = asyncio.get_running_loop().create_task(run.run())
    try:
        while (found := await run.results.get()) is not None:
            yield found
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Scan:
    """One scan under way."""

    def __init__(
        self, ranges: AddressRanges, config: Fleet, on_progress: OnProgress | None, candidates: Candidates
    ) -> None:
        self.config, self.on_progress, self.candidates = config, on_progress, candidates
        self.access = Access.of(config)
        self.ports = tuple(dict.fromkeys((config.rpc_port, config.http_port)))
        self.addresses: Iterator[str] = iter(ranges)
        self.progress = Progress(total=len(ranges))
        self.results: asyncio.Queue[Found | None] = asyncio.Queue(FOUND_WAITING_MAX)
        files = raise_open_files()
        self.identify_count = max(1, min(config.workers, files // 4))
        self.probe_count = max(1, min(PROBES_MAX, (files - self.identify_count) // len(self.ports)))
        self.gate = asyncio.Semaphore(PROBES_IN_A_TURN)
        self.live: asyncio.Queue[tuple[str, tuple[int, ...]] | None] = asyncio.Queue(4 * self.identify_count)
        self.silent: list[tuple[str, tuple[int, ...]]] = []

    async def run(self) -> None:
        """Probe, identify, try the silent ones again; then put the end mark."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._probe_all())
                for _ in range(self.identify_count):
                    group.create_task(self._identify_live())
            await _at_most(max(1, self.identify_count // 4), iter(self.silent), self._identify_again)
        except asyncio.CancelledError:
            raise  # the caller has gone; nobody reads an end mark
        except BaseException:
            await self.results.put(None)
            raise
        await self.results.put(None)

    # Step one.

    async def _probe_all(self) -> None:
        await _at_most(self.probe_count, self.addresses, self._probe)
        for _ in range(self.identify_count):
            await self.live.put(None)

    async def _probe(self, address: str) -> None:
        found, left = dict.fromkeys(self.ports, Port.SILENT), list(self.ports)
        for _ in range(PROBE_TRIES):
            found |= dict(zip(left, await self._tried(address, left), strict=True))
            left = [port for port, state in found.items() if state is Port.SILENT]
            if not left or Port.OPEN in found.values():
                break
        ports = tuple(port for port, state in found.items() if state is Port.OPEN)
        self.progress.probed += 1
        if ports:
            self.progress.live += 1
            await self.live.put((address, ports))
        self._tell()

    async def _tried(self, address: str, ports: list[int]) -> list[Port]:
        """Probe once; short of file descriptors, wait until others are done with theirs."""
        while True:
            try:
                return await probe(address, ports, limit_s=PROBE_S, gate=self.gate)
            except OutOfFilesError:
                await asyncio.sleep(_OUT_OF_FILES_PAUSE_S)

    # Step two.

    async def _identify_live(self) -> None:
        while (entry := await self.live.get()) is not None:
            address, ports = entry
            try:
                await self._report(await self._identify(address, ports))
            except SilentError:
                self.silent.append(entry)

    async def _identify_again(self, entry: tuple[str, tuple[int, ...]]) -> None:
        address, ports = entry
        try:
            found = await self._identify(address, ports)
        except SilentError:
            self.progress.hung += 1
            found = Found(address=address, ports=ports, hung=True)
        await self._report(found)

    async def _report(self, found: Found) -> None:
        self.progress.identified += found.family is not None
        self._tell()
        await self.results.put(found)

    async def _identify(self, address: str, ports: tuple[int, ...]) -> Found:
        """What the address is. Raises SilentError where it says nothing within the limit."""
        session = Session(address, self.access)
        heard, found = False, None
        try:
            async with asyncio.timeout(self.config.timeout_s):
                for family in self._order(ports):
                    try:
                        found = await adapter_of(family).identify(session)
                    except DeviceError as error:
                        log.debug("scan_identify", address=address, family=family, reason=str(error))
                        heard = True
                        continue
                    heard = True
                    if found is not None:
                        break
                else:
                    return Found(address=address, ports=ports)
        except TimeoutError as error:
            if not heard:
                raise SilentError(f"{address}: no answer within {self.config.timeout_s:g} s") from error
            return Found(address=address, ports=ports)
        finally:
            session.close()
        if not found.mac:
            found = await self._unlocked(found)
        return msgspec.structs.replace(found, ports=ports)

    async def _unlocked(self, found: Found) -> Found:
        """The machine as it shows itself to who knows its password, where one of the candidates is that."""
        assert found.family is not None
        for word in self.candidates(found.address, found.family):
            session = Session(found.address, self.access.with_password(found.family, word), keep_links=False)
            try:
                async with asyncio.timeout(self.config.timeout_s):
                    # Tried before it is identified, for which a session must be fresh.
                    await adapter_of(found.family).read_identity(session.with_password(found.family, word))
                    return await adapter_of(found.family).identify(session) or found
            except DeniedError:
                continue
            except (DeviceError, TimeoutError):
                return found
            finally:
                session.close()
        return found

    def _order(self, ports: tuple[int, ...]) -> tuple[Family, ...]:
        """Which families to try first: those that use the open ports."""
        if self.config.http_port not in ports:
            own = RPC_FAMILIES
        elif self.config.rpc_port not in ports:
            own = HTTP_FAMILIES
        else:
            own = FAMILIES
        return (*own, Family.OTHER) if self.config.long_tail else own

    def _tell(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.progress)


async def _at_most(count: int, items: Iterator[Item], do: Callable[[Item], Awaitable[None]]) -> None:
    """Do something with every item, with so many at a time; one iterator feeds them all."""

    async def work() -> None:
        for item in items:
            await do(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(work())
