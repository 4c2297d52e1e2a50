"""What hosting needs of the fleet process: days read from telemetry, machines that come and go, months closed."""

import asyncio
import time
from collections.abc import Callable

from mbongi.base.log import get_log
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.core.threads import ThreadBridge
from mbongi.fleet import contracts, hosting_readings, hosting_rows, statements
from mbongi.fleet.daemon.persistence import AWAY
from mbongi.fleet.statements import Site

log = get_log(__name__)

TICK_S = 2.0
"""Between two looks for a month to be closed."""
RULES_S = 60.0
GATHER_S = 300.0
"""Between two looks for days to be read."""
LATELY_DAYS = 3
"""How far back each look goes; every WHOLE_S, and at the start, as far as telemetry has its rows."""
WHOLE_S = 6 * 3600.0
GATHER_FOR_S = 30.0
"""How long readings may keep a closing waiting."""


class Hosting:
    """Carries hosting on, from the database alone. While store or database are away, it waits.

    It has a thread and a connection of its own: a day of readings must not keep the machines' states waiting. That the
    database is away is told once, by those who wait on it all the time. ``open_store`` gives the telemetry store, which
    is not asked for before there is a contract.
    """

    def __init__(self, open_store: Callable[[], Store], site: Site) -> None:
        self._open_store, self._site = open_store, site
        self._store: Store | None = None
        self._next_rules = self._next_gather = self._next_whole = 0.0
        self._is_store_away = False

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with ThreadBridge() as bridge:
                await self._go_on(bridge)
        finally:
            if self._store is not None:
                self._store.close()

    async def _go_on(self, bridge: ThreadBridge) -> None:
        while True:
            busy = False
            try:
                busy = await self.look(bridge)
            except AWAY:
                pass
            except (StoreUnavailable, StoreRefused) as error:
                if not self._is_store_away:
                    self._is_store_away = True
                    log.warning("hosting_waits_for_telemetry", error=str(error))
            else:
                if self._is_store_away:
                    self._is_store_away = False
                    log.info("hosting_goes_on")
            await asyncio.sleep(0.0 if busy else TICK_S)

    async def look(self, bridge: ThreadBridge) -> bool:
        """Do what is due; returns whether there is more to do at once. Raises while database or store are away."""
        now_s = time.monotonic()
        if now_s >= self._next_rules:
            await bridge.call(contracts.follow_rules)
            self._next_rules = now_s + RULES_S
        closing = await bridge.call(statements.open_closings)
        if closing:
            await bridge.call(statements.advance, closing[0], self._telemetry(), self._site)
            return True
        if now_s < self._next_gather:
            return False
        if await bridge.call(hosting_rows.has_contracts):
            is_whole = now_s >= self._next_whole
            count = await bridge.call(self._gather, self._site.raw_days if is_whole else LATELY_DAYS)
            if count:
                return True
            if is_whole:
                self._next_whole = now_s + WHOLE_S
        self._next_gather = now_s + GATHER_S
        return False

    def _telemetry(self) -> Store:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _gather(self, days: int) -> int:
        end = time.monotonic() + GATHER_FOR_S
        return hosting_readings.gather(
            self._telemetry(),
            self._site.zone,
            min(days, self._site.raw_days),
            int(time.time()),
            lambda: time.monotonic() < end,
        )
