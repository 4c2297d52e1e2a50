"""Alarms in the facility process: observations come in by ``observe``, what they change is kept before it returns."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from django.db import InterfaceError, OperationalError

from mbongi.base.clock import now_ms
from mbongi.base.log import get_log
from mbongi.core.threads import ThreadBridge
from mbongi.facility import alarm_work, alarms
from mbongi.facility.alarm_work import Record, Site
from mbongi.facility.daemon.alarm_spool import Spool
from mbongi.facility.rules.alarm_detector import Detector, Signal
from mbongi.facility.rules.alarm_flood import Plant
from mbongi.facility.rules.alarm_limits import Document, Observation
from mbongi.facility.rules.alarm_state import Seen

log = get_log(__name__)
T = TypeVar("T")

STEP_S = 1.0
"""Between two steps when nothing is observed: delays, shelvings and waits end within this time."""
RELOAD_S = 5.0
STALE_LOOK_S = 5.0
SIGNALS_MAX = 5_000
"""Of one step."""
AWAY = (OperationalError, InterfaceError)


class AlarmWatch:
    """Judges observations and brings them into the record. ``open`` it, then ``run`` it beside whoever observes.

    ``plant`` gives the power and cooling graph as it is now; it is asked on the database's thread.
    """

    def __init__(self, folder: Path, bridge: ThreadBridge, plant: Callable[[], Plant]) -> None:
        self._spool, self._bridge, self._plant = Spool(folder), bridge, plant
        self._detector = Detector()
        self._lock, self._wake = asyncio.Lock(), asyncio.Event()
        self._versions: dict[int, int] = {}
        self._gone: list[Signal] = []
        """What is watched no longer, and the record is still to be told."""
        self._is_away = False

    async def open(self) -> None:
        """Take up where the record ends; waits while the database is away. Observations are refused before."""
        for path in self._spool.damaged:
            log.error("alarm_spool_damaged", path=str(path))
        await self._insist(alarms.ensure_built_in)
        self._spool.forget(await self._insist(alarm_work.cursor_of, self._spool.name))
        documents = await self._insist(self._load)
        self._detector.restore(await self._insist(alarm_work.remembered), now_ms())
        waiting = (signal for record in self._spool.waiting for signal in record.signals)
        self._detector.replay(waiting)
        # A definition may have been narrowed while nobody watched.
        self._gone = self._detector.load(documents, now_ms())
        log.info("alarms_watched", definitions=len(self._versions), waiting=len(self._spool.waiting))

    async def observe(self, batch: Sequence[Observation]) -> int:
        """Take readings; returns how many alarms they changed, once that is on the disk.

        A time in the future counts as now. Raises OSError (SpoolFullError) where they could not be kept; then they
        count as not seen, and the next readings say the same again.
        """
        now = now_ms()
        async with self._lock:
            return await self._keep(self._detector.see(each._replace(at_ms=min(each.at_ms, now)) for each in batch))

    async def run(self) -> None:
        """Until cancelled. While the database is away, what was observed waits on the disk."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work())
            group.create_task(self._look_for_silence())
            group.create_task(self._follow_definitions())

    async def step(self) -> int:
        """One step: returns how many records still wait. Raises while the database is away."""
        # Never while a thread writes into the spool.
        async with self._lock:
            records = self._next()
        done = await self._bridge.call(self._step, records)
        async with self._lock:
            self._spool.forget(done.seq)
        if done.events:
            log.info("alarms", signals=done.signals, events=done.events)
        return len(self._spool.waiting)

    def close(self) -> None:
        """Close the spool."""
        self._spool.close()

    def _step(self, records: Sequence[Record]) -> alarm_work.Done:
        now = now_ms()
        gives = functools.partial(self._detector.gives, now_ms=now)
        gets = functools.partial(self._detector.gets, now_ms=now)
        return alarm_work.step(self._spool.name, records, Site(self._plant(), gives, gets))

    def _next(self) -> list[Record]:
        found: list[Record] = []
        signals = 0
        for record in self._spool.waiting:
            signals += len(record.signals)
            if found and signals > SIGNALS_MAX:
                break
            found.append(record)
        return found

    async def _keep(self, changes: list[tuple[Signal, Seen]]) -> int:
        if changes:
            try:
                await asyncio.to_thread(self._spool.append, [signal for signal, _before in changes])
            except OSError:
                self._detector.take_back(changes)
                raise
            self._wake.set()
        return len(changes)

    async def _work(self) -> None:
        while True:
            waiting = 0
            try:
                waiting = await self.step()
            except AWAY as error:
                self._note_away(str(error))
            else:
                self._note_back()
            if not waiting:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STEP_S):
                        await self._wake.wait()
            if self._is_away:
                await asyncio.sleep(STEP_S)

    async def _look_for_silence(self) -> None:
        while True:
            await asyncio.sleep(STALE_LOOK_S)
            try:
                async with self._lock:
                    await self._keep(self._detector.tick(now_ms()))
            except OSError as error:
                log.warning("alarm_spool_refused", error=str(error))

    async def _follow_definitions(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_S)
            try:
                with contextlib.suppress(*AWAY):
                    await self._reload()
                await self._release()
            except OSError as error:
                log.warning("alarm_spool_refused", error=str(error))

    async def _reload(self) -> None:
        known = await self._bridge.call(alarm_work.definitions)
        if self._versions == {each.id: each.version for each in known.values()}:
            return
        async with self._lock:
            self._gone += self._detector.load({each.id: each.document for each in known.values()}, now_ms())
            self._versions = {each.id: each.version for each in known.values()}

    async def _release(self) -> None:
        """Tell the record that what is watched no longer is normal. Raises OSError; then the next try tells it."""
        async with self._lock:
            await self._keep([(signal, Seen.UNKNOWN) for signal in self._gone])
            self._gone.clear()

    def _load(self) -> dict[int, Document]:
        known = alarm_work.definitions()
        documents = {each.id: each.document for each in known.values()}
        self._detector.load(documents, now_ms())
        self._versions = {each.id: each.version for each in known.values()}
        return documents

    async def _insist(self, function: Callable[..., T], *args: object) -> T:
        while True:
            try:
                return await self._bridge.call(function, *args)
            except AWAY as error:
                self._note_away(str(error))
                await asyncio.sleep(STEP_S)

    def _note_away(self, error: str) -> None:
        if not self._is_away:
            self._is_away = True
            log.warning("alarms_without_database", error=(error.strip() or "away").splitlines()[0])

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("alarms_with_database_again")
