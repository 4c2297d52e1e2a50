"""Tells on the bus how this process polls, for whoever looks. Nobody waits for it, and nothing is lost without it."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.fleet.daemon.leasing import Share
from mbongi.fleet.poller import Poller
from mbongi.fleet.poller_status import POLLERS_SUBJECT, TOLD_S, PollerStatus

if TYPE_CHECKING:
    from mbongi.fleet.daemon.persistence import Database


class Telling:
    """``run`` tells until it is cancelled."""

    def __init__(
        self,
        number: int | None,
        share: Share,
        poller: Poller,
        database: "Database",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._number, self._share, self._poller, self._database, self._clock = number, share, poller, database, clock
        self._started_ms = self._since_ms = self._now_ms()
        self._slots: tuple[int, ...] = ()

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def status(self) -> PollerStatus:
        """The poller at this moment."""
        slots = tuple(sorted(self._share.slots)) if self._share.may_ask() else ()
        if slots != self._slots:
            self._slots, self._since_ms = slots, self._now_ms()
        statistics = self._poller.statistics
        return PollerStatus(
            number=self._number or 0,
            started_ms=self._started_ms,
            slots=slots,
            slots_since_ms=self._since_ms,
            is_whole=self._number is None,
            leads=self._share.leads,
            machines=len(self._poller.states()),
            polls=statistics.polls,
            failures=statistics.failures,
            rounds=statistics.rounds,
            rounds_late=statistics.rounds_late,
            database_away=self._database.is_away,
        )

    async def run(self, bus: Bus) -> None:
        """Tell it again and again; while the bus is away nobody hears it."""
        while True:
            try:
                status = self.status()
                await bus.tell(f"{POLLERS_SUBJECT}.{status.number}", msgspec.json.encode(status))
            except BusError:
                pass
            await asyncio.sleep(TOLD_S)
