"""Ties the parts of the fleet process together. Each goes on by itself while bus, database or machines are away."""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec

from mbongi.base.clock import now_ms
from mbongi.base.config import Config
from mbongi.base.ids import MachineId
from mbongi.base.log import get_log
from mbongi.core.bus.cells import Cell
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, BusUnavailable
from mbongi.core.bus.streams import EVENTS
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.outgoing import Outgoing
from mbongi.core.threads import ThreadBridge
from mbongi.fleet import selectors
from mbongi.fleet.daemon.acting import Actor
from mbongi.fleet.daemon.asserting import Asserting
from mbongi.fleet.daemon.curtailing import Curtailing
from mbongi.fleet.daemon.drifting import Drifting
from mbongi.fleet.daemon.driving import drivers
from mbongi.fleet.daemon.following import Following, around
from mbongi.fleet.daemon.healing import Healing
from mbongi.fleet.daemon.hearing import Hearing
from mbongi.fleet.daemon.hosting import Hosting
from mbongi.fleet.daemon.keep_lock import KeepLock
from mbongi.fleet.daemon.leasing import Leasing, Share
from mbongi.fleet.daemon.operating import Operating
from mbongi.fleet.daemon.persistence import AWAY, Database
from mbongi.fleet.daemon.recording import Recording
from mbongi.fleet.daemon.scanning import Scanner, ScanRun
from mbongi.fleet.daemon.telling import Telling
from mbongi.fleet.daemon.vault import Vault
from mbongi.fleet.daemon.verifying import Verifier
from mbongi.fleet.poller import Poller
from mbongi.fleet.ranges import ScanRangeError
from mbongi.fleet.reading import DetailReport, Found, MachineReading, StateChange, Target
from mbongi.fleet.rules.conditions import RuleFigure, Watch
from mbongi.fleet.rules.leases import SLOTS, slot_of
from mbongi.fleet.rules.pool_side import PoolSide
from mbongi.fleet.statements import Site
from mbongi.fleet.telemetry import READING
from mbongi.fleet.values import STATUS_SUBJECT, ConditionChange

log = get_log(__name__)

SCAN_SUBJECT = "fleet.scan"
PROGRESS_SUBJECT = "fleet.scan.progress"
TARGETS_S = 30.0
"""How often the list of machines is read again when nothing says that it changed."""
TICK_S = 2.0
BUS_RETRY_S = 1.0
DRAIN_S = 3.0
LOOK_MAX = 2000
"""Addresses looked at because strangers answer at some, at most in one go."""
FOUND_PART_MAX = 500
"""Found machines of one answer about a scan, so that it fits a message."""
_OPERATION_CHANGED = "event.fleet.operation_changed.v1"
_ACTION_REQUESTED = "event.fleet.action_requested.v1"
_WAKE_KINDS = {
    _ACTION_REQUESTED,
    "event.fleet.machine_changed.v1",
    "event.fleet.group_changed.v1",
}


class FleetStatus(msgspec.Struct, kw_only=True):
    """The process at this moment. ``slots`` of 64 are its share of the machines; one process at a time leads."""

    number: int = 0
    slots: int = SLOTS
    leads: bool = True
    machines: int
    polls: int
    failures: int
    rounds_late: int
    batches_waiting: int
    batches_dropped: int
    rows_waiting: int
    database_away: bool
    report_ports: list[int] = []
    """Where machines' own reports are heard at the moment."""
    reports: int = 0
    reports_ignored: int = 0
    """Repeated, malformed, from outside the ranges, or too many."""


class ScanRequest(msgspec.Struct, kw_only=True):
    """Begin a scan."""

    ranges: tuple[str, ...]
    dry_run: bool = False


class ProgressRequest(msgspec.Struct, kw_only=True):
    """Ask about a scan: how far it is, and what it found from the ``seen``-th machine on."""

    number: int
    seen: int = 0


class ScanReply(msgspec.Struct, kw_only=True):
    """How far a scan is. ``error`` says why there is none, or why it failed."""

    number: int = 0
    total: int = 0
    probed: int = 0
    live: int = 0
    hung: int = 0
    found: list[Found] = []
    is_over: bool = False
    added: int = 0
    seen: int = 0
    moved: int = 0
    displaced: int = 0
    error: str = ""


class FleetProcess:
    """The whole process. ``run`` returns after ``stop`` is set and what waits has been handed over."""

    def __init__(
        self,
        config: Config,
        bridge: ThreadBridge,
        *,
        pool_side: PoolSide | None = None,
        on_bus: Callable[[Bus], Awaitable[None]] | None = None,
        number: int | None = None,
    ) -> None:
        """``on_bus`` is called with the bus once it is there, to subscribe to what other domains tell.

        ``number``: of this process among several, which lease the machines; None: it is alone, and has them all.
        """
        self._config, self.number = config, number or 0
        self._name = "fleet" if number is None else f"fleet-{number}"
        self.share = Share(whole=number is None)
        self._pool_side, self._on_bus = pool_side or PoolSide(), on_bus
        self._database = Database(bridge)
        self._reload = asyncio.Event()
        self.vault = Vault(config.fleet)
        self.moves = Following(self._looked_at, config.fleet)
        self.poller = Poller(
            config.fleet,
            may_ask=self.share.may_ask,
            access_of=self.vault.access,
            on_strangers=self.moves.strangers,
        )
        self.outgoing = Outgoing(READING, "fleet")
        self.recording = Recording(self._database)
        self.scanner = Scanner(config.fleet, self._database, self._reload.set, self.vault)
        self.actor = Actor(
            config.fleet,
            self._database,
            self.poller,
            share=self.share,
            data_dir=config.site.data_dir,
            vault=self.vault,
            on_strangers=self.moves.strangers,
            on_password=self._reload.set,
        )
        self.hearing = Hearing(config.fleet, self._database, self.scanner.look)
        self.curtailing = Curtailing(config, self._database, self.share)
        self.operating = Operating(self._database, self.actor.wake, drivers(config) | self.curtailing.drivers)
        self.verifier = Verifier(self._database)
        self.hosting = Hosting(lambda: Store.open(config), Site.of(config))
        self._telling = Telling(number, self.share, self.poller, self._database)
        self._leasing: Leasing | None = None
        if number is not None:
            keeper = KeepLock(config.site.data_dir)
            busy = self.actor.busy_slots
            self._leasing = Leasing(self.share, keeper, number, on_change=self._on_share, busy_slots=busy)
        self._leading, self._following = asyncio.Event(), asyncio.Event()
        (self._leading if self.share.leads else self._following).set()
        self._targets: list[Target] = []
        self._adopted: set[MachineId] = set()
        self._watch = Watch()
        self.drifting = Drifting(self._database, self._watch, self._note)
        self.healing = Healing(config, self._database, self.operating.wake, self._on_figures)
        self._bus: Bus | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        await self._begin(stop)
        if stop.is_set():
            return
        work = [
            self.poller.run(self._on_batch, self._on_states, self._on_details),
            self.recording.run(),
            self._while_leading(self.scanner.run),
            self._while_leading(self.hearing.run),
            self.actor.run(),
            self._while_leading(self.operating.run),
            self._while_leading(self.hosting.run),
            self._while_leading(Asserting(self._database, self.operating.wake).run),
            self.drifting.run(),
            self._while_leading(self.curtailing.run),
            self.verifier.run(),
            self.healing.run(),
            self._while_leading(self.healing.lead),
            self.moves.run(),
            self._keep_targets(),
            self._tick(),
            self._serve_bus(),
        ]
        tasks = [asyncio.create_task(each) for each in work]
        stopping = asyncio.create_task(stop.wait())
        log.info("fleet_started", machines=len(self.poller.states()), ranges=self._config.fleet.ranges)
        try:
            await self._until_stopped(tasks, stopping)
        finally:
            for task in [*tasks, stopping]:
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            await self._end()

    async def _until_stopped(self, tasks: list[asyncio.Task[Any]], stopping: asyncio.Task[Any]) -> None:
        waiting: set[asyncio.Task[Any]] = {*tasks, stopping}
        while not stopping.done():
            over, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in over - {stopping}:
                # Parts meet the outages they know of themselves; anything else ends the process, which starts anew.
                task.result()

    async def _begin(self, stop: asyncio.Event) -> None:
        """Read what is known; without the database there is nothing to poll, so this waits for it."""
        while not stop.is_set():
            try:
                await self.reload_targets()
            except AWAY:
                await asyncio.sleep(BUS_RETRY_S)
            else:
                return

    async def _end(self) -> None:
        """Hand over what waits, within DRAIN_S each."""
        try:
            async with asyncio.timeout(DRAIN_S):
                await self.recording.flush()
                await self.drifting.flush()
        except TimeoutError:
            log.warning("records_left_behind", rows=len(self.recording))
        if self._bus is not None:
            if self._leasing is not None:
                await self._leasing.leave(_table(self._bus))
            await self.outgoing.drain(self._bus, DRAIN_S)
            await self._bus.close()

    # What the poller says.

    def _on_batch(self, rack: str, readings: Sequence[MachineReading]) -> None:  # noqa: ARG002 -- the rows name it
        sights = self._pool_side.fill(readings)
        self.outgoing.put(readings)
        self.recording.seen(readings)
        self.curtailing.readings(readings)
        self.verifier.readings(readings)
        self.healing.readings(readings)
        self.drifting.readings(readings)
        self._note(self._watch.pool_side(sights))
        self._note(self._watch.readings(readings))

    def _on_states(self, changes: Sequence[StateChange]) -> None:
        self.recording.states(changes)
        self._note(self._watch.states(changes))

    def _on_details(self, reports: Sequence[DetailReport]) -> None:
        self.recording.details(reports)
        self._pool_side.details(reports)
        self._note(self._watch.details(reports, now_ms()))
        self.drifting.details(reports, now_ms())

    def _on_figures(self, figures: Sequence[RuleFigure]) -> None:
        self._note(self._watch.watch_figures(figures, now_ms()))

    def _note(self, changes: list[ConditionChange]) -> None:
        if changes:
            self.recording.conditions(changes)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._note(self._watch.tick(now_ms()))

    # The list of machines.

    async def reload_targets(self) -> None:
        """Read the list of machines and poll this process's share of it. Raises while the database is away."""
        await self.vault.load(self._database)
        self._targets = await self._database.call(selectors.targets)
        new = self._own_ids() - self._adopted
        # Conditions first: what another process saw open is not opened a second time, and is seen to clear.
        self._watch.adopt(new, await self._database.call(selectors.open_conditions) if new else [])
        await self.drifting.reload(self._own_targets(), new, now_ms())
        self._adopted |= new & self._own_ids()
        self._poll_own()

    def _own_targets(self) -> list[Target]:
        return [target for target in self._targets if slot_of(target.machine_id) in self.share.slots]

    def _own_ids(self) -> set[MachineId]:
        return {target.machine_id for target in self._own_targets()}

    async def _looked_at(self, ids: set[MachineId]) -> None:
        """Look at who answers where these machines should be, and at all near them: addresses move together."""
        addresses = around(self._targets, ids)
        if addresses:
            await self.scanner.look(addresses[:LOOK_MAX])

    def _poll_own(self) -> None:
        targets, known = self._own_targets(), self._own_ids()
        self.poller.set_targets(targets, soon=self._leasing is not None)
        self._adopted &= known
        self._watch.keep_only(known)
        self._pool_side.keep_only(known)
        self.drifting.keep_only(known)
        self.recording.keep_only(known)

    def _on_share(self) -> None:
        """The share is another: what is lost is let go of at once; what is gained is read up on first."""
        polled = self.poller.states()
        self.poller.set_targets([target for target in self._own_targets() if target.machine_id in polled])
        self.actor.keep_own()
        self._reload.set()
        for event, is_so in ((self._leading, self.share.leads), (self._following, not self.share.leads)):
            if is_so:
                event.set()
            else:
                event.clear()

    async def _keep_targets(self) -> None:
        while True:
            try:
                async with asyncio.timeout(TARGETS_S):
                    await self._reload.wait()
            except TimeoutError:
                pass
            self._reload.clear()
            try:
                await self.reload_targets()
            except AWAY:
                # A machine taken over is polled all the same, by the list that is known.
                self._poll_own()

    async def _while_leading(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` whenever this process leads, and end it when it no longer does."""
        while True:
            await self._leading.wait()
            doing, over = asyncio.create_task(work()), asyncio.create_task(self._following.wait())
            try:
                await asyncio.wait({doing, over}, return_when=asyncio.FIRST_COMPLETED)
                if doing.done():
                    doing.result()
                await over
            finally:
                doing.cancel()
                over.cancel()
                await asyncio.gather(doing, over, return_exceptions=True)

    # The bus.

    async def _serve_bus(self) -> None:
        """Connect, however long that takes; publish, answer, and listen for what people asked for."""
        self._bus = bus = await self._connected()
        if self._on_bus is not None:
            await self._on_bus(bus)
        await bus.serve(f"{STATUS_SUBJECT}.{self.number}", self._answer_status)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.outgoing.run(bus))
            group.create_task(self._listen(bus))
            group.create_task(self._telling.run(bus))
            group.create_task(self._while_leading(functools.partial(self._answer_scans, bus)))
            group.create_task(self._while_leading(functools.partial(self.curtailing.listen, bus)))
            if self._leasing is not None:
                group.create_task(self._leasing.run(_table(bus)))

    async def _answer_scans(self, bus: Bus) -> None:
        ends = [
            await bus.serve(SCAN_SUBJECT, self._answer_scan),
            await bus.serve(PROGRESS_SUBJECT, self._answer_progress),
        ]
        try:
            await asyncio.Event().wait()
        finally:
            for end in ends:
                await end()

    async def _connected(self) -> Bus:
        is_told = False
        while True:
            try:
                bus = await Bus.open(self._config, name=self._name, limit_s=5.0)
                await self._ensure_streams(bus)
            except BusUnavailable as error:
                if not is_told:
                    is_told = True
                    log.warning("fleet_waits_for_bus", error=str(error))
                await asyncio.sleep(BUS_RETRY_S)
            else:
                return bus

    async def _ensure_streams(self, bus: Bus) -> None:
        """Readings are refused until their stream is there, and nobody else may have made it yet."""
        try:
            await bus.ensure_streams(self._config)
        except BusUnavailable:
            await bus.close()
            raise

    async def _listen(self, bus: Bus) -> None:
        """Look for work as soon as the bus tells of some; without the bus the timers find it."""
        while True:
            try:
                async for delivery in bus.consume(EVENTS, self._name, "event.fleet.>"):
                    if delivery.subject in _WAKE_KINDS:
                        self.actor.wake()
                        # Thousands of steps are told of within seconds, and none changes the list of machines.
                        if delivery.subject != _ACTION_REQUESTED:
                            self._reload.set()
                    elif delivery.subject == _OPERATION_CHANGED:
                        self.operating.wake()
                    await delivery.ack()
            except BusError as error:
                log.debug("fleet_listens_again", error=str(error))
                await asyncio.sleep(BUS_RETRY_S)
                # The bus may have come back with empty hands, on a new disk for instance.
                with contextlib.suppress(BusError):
                    await bus.ensure_streams(self._config)

    async def _answer_status(self, _data: bytes) -> bytes:
        return msgspec.json.encode(self.status())

    def status(self) -> FleetStatus:
        """The process at this moment."""
        statistics, heard = self.poller.statistics, self.hearing.statistics
        return FleetStatus(
            number=self.number,
            slots=len(self.share.slots) if self.share.may_ask() else 0,
            leads=self.share.leads,
            machines=len(self.poller.states()),
            polls=statistics.polls,
            failures=statistics.failures,
            rounds_late=statistics.rounds_late,
            batches_waiting=len(self.outgoing),
            batches_dropped=self.outgoing.dropped,
            rows_waiting=len(self.recording),
            database_away=self._database.is_away,
            report_ports=sorted(self.hearing.ports),
            reports=heard.heard,
            reports_ignored=heard.repeated + heard.malformed + heard.outside + heard.dropped,
        )

    async def _answer_scan(self, data: bytes) -> bytes:
        try:
            request = msgspec.json.decode(data, type=ScanRequest)
            run = self.scanner.start(request.ranges, dry_run=request.dry_run)
        except (msgspec.DecodeError, ScanRangeError) as error:
            return msgspec.json.encode(ScanReply(error=str(error), is_over=True))
        return msgspec.json.encode(scan_reply(run, 0))

    async def _answer_progress(self, data: bytes) -> bytes:
        try:
            request = msgspec.json.decode(data, type=ProgressRequest)
        except msgspec.DecodeError as error:
            return msgspec.json.encode(ScanReply(error=str(error), is_over=True))
        run = self.scanner.find(request.number)
        if run is None:
            return msgspec.json.encode(ScanReply(error=f"scan {request.number}: not known any more", is_over=True))
        return msgspec.json.encode(scan_reply(run, request.seen))


def scan_reply(run: ScanRun, seen: int) -> ScanReply:
    """What there is to tell of a scan to somebody who knows the first ``seen`` found ones."""
    part, result = run.found[seen : seen + FOUND_PART_MAX], run.registration
    return ScanReply(
        number=run.number,
        total=run.progress.total,
        probed=run.progress.probed,
        live=run.progress.live,
        hung=run.progress.hung,
        found=part,
        is_over=run.is_over and seen + len(part) == len(run.found),
        added=len(result.added),
        seen=len(result.seen),
        moved=len(result.moved),
        displaced=len(result.displaced),
        error=run.error,
    )


def _table(bus: Bus) -> Cell:
    """Where the table of leases stands."""
    return Cell(bus, "fleet", "leases")
