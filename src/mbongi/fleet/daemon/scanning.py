"""Looking for machines: at the start, every ``rescan_s``, and when somebody asks. One scan at a time."""

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Fleet
from mbongi.base.log import get_log
from mbongi.fleet import services
from mbongi.fleet.daemon.persistence import Database
from mbongi.fleet.daemon.vault import Vault
from mbongi.fleet.ranges import ScanRangeError
from mbongi.fleet.reading import Found
from mbongi.fleet.registry import former_addresses
from mbongi.fleet.scan import Progress, range_size, scan
from mbongi.fleet.services import Registration

log = get_log(__name__)

REGISTER_S = 1.0
"""While a scan is under way, what it has found is entered this often, so that machines are polled at once."""
KEPT_MAX = 8
"""Scans whose results can still be asked for; the oldest is forgotten."""


@dataclass(slots=True)
class ScanRun:
    """One scan: how far it is, what it found, and what became of that."""

    number: int
    ranges: tuple[str, ...]
    dry_run: bool
    progress: Progress
    found: list[Found] = field(default_factory=list)
    registration: Registration = field(default_factory=Registration)
    is_over: bool = False
    error: str = ""


class Scanner:
    """Runs scans and enters what they find. ``on_change`` is called when machines were added or moved."""

    def __init__(
        self, config: Fleet, database: Database, on_change: Callable[[], None], vault: Vault | None = None
    ) -> None:
        self._config, self._database, self._on_change = config, database, on_change
        self._vault = vault or Vault(config)
        self._one_at_a_time = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._runs: dict[int, ScanRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Scan the configured ranges now and every ``rescan_s``, until cancelled."""
        while self._config.ranges:
            started_s = monotonic_s()
            run = self._new(self._config.ranges, dry_run=False)
            await self.perform(run)
            if run.error:
                log.error("scan_failed", ranges=run.ranges, error=run.error)
            await asyncio.sleep(max(1.0, self._config.rescan_s - (monotonic_s() - started_s)))

    def start(self, ranges: tuple[str, ...], *, dry_run: bool) -> ScanRun:
        """Begin a scan on somebody's word, after the present one. Raises ScanRangeError."""
        run = self._new(ranges, dry_run=dry_run)
        task = asyncio.get_running_loop().create_task(self.perform(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return run

    async def look(self, addresses: Sequence[str]) -> ScanRun:
        """Look at single addresses at once, beside whatever scan is under way, and enter what is there.

        Somebody looks where those were known too that are found: two machines may carry one MAC, and neither has moved.
        """
        run = ScanRun(0, tuple(addresses), dry_run=False, progress=Progress(total=len(addresses)))
        await self._perform(run, with_former=True)
        return run

    def find(self, number: int) -> ScanRun | None:
        """A scan by its number; None when it is forgotten."""
        return self._runs.get(number)

    def _new(self, ranges: tuple[str, ...], *, dry_run: bool) -> ScanRun:
        run = ScanRun(next(self._numbers), ranges, dry_run, Progress(total=range_size(ranges)))
        self._runs[run.number] = run
        while len(self._runs) > KEPT_MAX:
            del self._runs[next(iter(self._runs))]
        return run

    async def perform(self, run: ScanRun) -> None:
        """Carry a scan out; a failure is in its ``error``."""
        async with self._one_at_a_time:
            try:
                await self._perform(run)
            except ScanRangeError as error:
                run.error = str(error)
            except Exception as error:
                log.exception("scan_broke", ranges=run.ranges)
                run.error = f"{type(error).__name__}: {error}"
            finally:
                run.is_over = True

    async def _found(self, run: ScanRun, *, with_former: bool) -> AsyncIterator[Found]:
        def keep_progress(progress: Progress) -> None:
            run.progress = progress

        ask = functools.partial(scan, config=self._config, candidates=self._vault.candidates)
        async for found in ask(run.ranges, on_progress=keep_progress):
            yield found
        if with_former and (former := await self._database.insist(former_addresses, run.found, run.ranges)):
            async for found in ask(former):
                yield found

    async def _perform(self, run: ScanRun, *, with_former: bool = False) -> None:
        entered, due_s = 0, monotonic_s() + REGISTER_S
        async for found in self._found(run, with_former=with_former):
            run.found.append(found)
            if not run.dry_run and monotonic_s() >= due_s:
                part, entered = run.found[entered:], len(run.found)
                await self._register(run, part, complete=False)
                due_s = monotonic_s() + REGISTER_S
        if not run.dry_run:
            await self._register(run, run.found, complete=True)
        result = run.registration
        log.info(
            "scan_over",
            addresses=run.progress.total,
            live=len(run.found),
            added=len(result.added),
            moved=len(result.moved),
            displaced=len(result.displaced),
            dry_run=run.dry_run,
        )

    async def _register(self, run: ScanRun, found: list[Found], *, complete: bool) -> None:
        result = await self._database.insist(
            services.register, found, position=self._config.position, complete=complete
        )
        total = run.registration
        total.added += result.added
        total.moved += result.moved
        total.displaced += result.displaced
        if complete:
            total.seen = [machine_id for machine_id in result.seen if machine_id not in set(total.added)]
        if result.added or result.moved or result.displaced:
            self._on_change()
