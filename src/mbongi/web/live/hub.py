"""One hub per web process: keeps the board up to date and tells every connected browser that something changed.

Browsers have no queue. Each remembers the version it was sent; when the hub ticks, it gets everything that changed
since, so a slow one skips what it missed and memory does not grow with it. Events are kept EVENTS_MAX back; who is
further behind is told to load the page anew.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Protocol, TypeVar

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.core.identity.scope import acting
from mbongi.core.identity.values import Scope
from mbongi.core.threads import ThreadBridge
from mbongi.facility import alarm_rows
from mbongi.fleet import selectors
from mbongi.fleet.selectors import EventFilter, EventRow
from mbongi.web.live.board import BOARD, Board

log = get_log(__name__)
P = ParamSpec("P")
R = TypeVar("R")

TICK_S = 1.0
"""The board is asked for news this often while somebody looks, and every IDLE_S otherwise."""
IDLE_S = 5.0
EVENTS_S = 2.0
COUNTS_S = 5.0
EVENTS_MAX = 200
SOURCE_LOST_S = 15.0
"""Without an answer of the readings service for so long, pages say so."""
CLIENTS_MAX = 500
"""Streams of one process, at most; the next one is refused with 503."""


class Source(Protocol):
    """Where newest readings come from."""

    async def changes(self) -> Mapping[str, Any]:
        """The columns of the rows that changed since the last call; ``machine_id`` empty when none. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the database counts for one scope."""

    machines: int
    alarms: int
    plant_alarms: int = 0
    """The plant's alarms that nobody has answered."""
    plant_event: int = 0
    """The number of the newest line in their journal: another one, and lists of them are old."""


@dataclass
class Hub:
    """The hub of this process. ``start`` it within its event loop; ``close`` ends its tasks."""

    board: Board = field(default_factory=lambda: BOARD)
    source: Source | None = None
    events: deque[tuple[int, EventRow]] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))
    event_number: int = 0
    """Counts events since the start of this process, so that a browser's place in them is one number."""
    clients: int = 0
    _bridge: ThreadBridge | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _ticked: asyncio.Event = field(default_factory=asyncio.Event)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _answered_s: float = field(default_factory=monotonic_s)
    _counts: dict[Scope, tuple[float, Counts]] = field(default_factory=dict)
    _last_event: int | None = None

    def start(self) -> None:
        """Begin to follow readings and events."""
        if not self._tasks:
            self._bridge = ThreadBridge()
            self._tasks = [asyncio.create_task(self._follow_readings()), asyncio.create_task(self._follow_events())]

    async def close(self) -> None:
        """End the tasks; streams end with their connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._bridge is not None:
            await self._bridge.close()
            self._bridge = None

    async def _asked(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        assert self._bridge is not None, "the hub was asked before it started"
        return await self._bridge.call(function, *args, **kwargs)

    @property
    def source_ok(self) -> bool:
        """Whether the readings service has answered lately."""
        return monotonic_s() - self._answered_s < SOURCE_LOST_S

    @property
    def next_tick(self) -> asyncio.Event:
        """Set at the next tick. Take it before looking, and wait for it after: so no news falls between."""
        return self._ticked

    def tick(self) -> None:
        """Let every waiting stream look for news."""
        former, self._ticked = self._ticked, asyncio.Event()
        former.set()

    def hear(self) -> None:
        """Look for events now: the bus said that there are some."""
        self._wake.set()

    async def counts(self, scope: Scope) -> Counts:
        """What the database counts for a scope, at most COUNTS_S old."""
        known = self._counts.get(scope)
        if known is None or monotonic_s() - known[0] > COUNTS_S:
            found = await self._asked(_counts, scope)
            self._counts[scope] = known = (monotonic_s(), found)
        return known[1]

    def events_after(self, number: int, scope: Scope) -> tuple[int, list[EventRow], bool]:
        """Events newer than ``number`` in the scope, the number to go on from, and whether some were lost."""
        lost = bool(self.events) and number < self.events[0][0] - 1
        seen = [row for one, row in self.events if one > number and _may_see(scope, row)]
        return self.event_number, seen, lost

    async def _follow_readings(self) -> None:
        failed = False
        while True:
            if self.source is not None:
                try:
                    columns = await self.source.changes()
                except (OSError, TimeoutError, RuntimeError, ValueError) as error:
                    if not failed:
                        log.warning("readings_lost", reason=str(error))
                    failed = True
                else:
                    if failed:
                        log.info("readings_returned")
                    failed, self._answered_s = False, monotonic_s()
                    self.board.apply(columns)
            self.tick()
            await asyncio.sleep(TICK_S if self.clients else IDLE_S)

    async def _follow_events(self) -> None:
        failed = False
        while True:
            try:
                rows = await self._asked(self._new_events)
            except Exception as error:  # noqa: BLE001 -- a database that is away must not end the stream of readings
                if not failed:
                    log.warning("events_lost", reason=str(error))
                failed = True
            else:
                if failed:
                    log.info("events_returned")
                failed = False
                for row in rows:
                    self.event_number += 1
                    self.events.append((self.event_number, row))
                if rows:
                    self._counts.clear()
                    self.tick()
            await self._woken(EVENTS_S if self.clients else IDLE_S)

    async def _woken(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _new_events(self) -> list[EventRow]:
        rows = selectors.events(EventFilter(), limit=50).rows
        if self._last_event is None:
            self._last_event = max((row.id for row in rows), default=0)
            return []
        new = sorted((row for row in rows if row.id > (self._last_event or 0)), key=lambda row: row.id)
        if new:
            self._last_event = new[-1].id
        return new


def _may_see(scope: Scope, row: EventRow) -> bool:
    return scope.site_wide or (scope.tenant_id is not None and scope.tenant_id == row.tenant_id)


def _counts(scope: Scope) -> Counts:
    with acting(scope):
        machines, alarms = selectors.counts().total, sum(selectors.open_alarm_counts().values())
        if not scope.site_wide:
            return Counts(machines, alarms)
        return Counts(machines, alarms, alarm_rows.counts().unanswered, alarm_rows.newest_event())


HUB = Hub()
"""This process's hub."""
