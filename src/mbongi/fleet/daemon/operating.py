"""Carries operations on, from the database alone: a process that died leaves nothing that the next one lacks."""

import asyncio
from collections.abc import Callable, Mapping

from django.db import IntegrityError

from mbongi.base.errors import MbongiError
from mbongi.base.log import get_log
from mbongi.fleet import campaign_return, operations, pacing
from mbongi.fleet.daemon.persistence import AWAY, Database
from mbongi.fleet.values import OperationKind

log = get_log(__name__)

TICK_S = 0.5
"""Between two looks while something runs: a ramp rises in steps of so long."""
LOOK_S = 2.0
"""Between two looks while nothing runs and nobody says that something does."""

Driver = Callable[[int], None]
"""Called with an operation's id before each look at it, on the database's thread: it may add steps or end it."""


class Operating:
    """Releases the steps of running operations; ``on_release`` is called when there is work for the Actor.

    ``drivers`` decide for kinds whose steps are not all known when they are planned.
    """

    def __init__(
        self, database: Database, on_release: Callable[[], None], drivers: Mapping[OperationKind, Driver] | None = None
    ) -> None:
        self._database, self._on_release = database, on_release
        self._drivers = dict(drivers or {})
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Carry on what runs, until cancelled."""
        while True:
            self._wake.clear()
            try:
                is_running = await self._look()
            except AWAY:
                is_running = False
            if is_running:
                await asyncio.sleep(TICK_S)
                continue
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _look(self) -> bool:
        running = await self._database.call(pacing.running_operations)
        for operation_id, kind in running:
            if not await self._drive(operation_id, kind):
                continue
            try:
                told = await self._database.call(pacing.advance, operation_id)
            except IntegrityError:
                # Somebody asked one of its machines for something at this very moment; the next look passes it over.
                log.info("operation_looks_again", operation_id=operation_id)
                continue
            if told.released:
                log.info("operation_goes_on", operation_id=operation_id, released=told.released)
                self._on_release()
            if told.is_over:
                log.info("operation_over", operation_id=operation_id)
        if OperationKind.CAMPAIGN in self._drivers:
            for operation_id in await self._database.call(campaign_return.ended_by_people):
                await self._drive(operation_id, OperationKind.CAMPAIGN)
        return bool(running)

    async def _drive(self, operation_id: int, kind: OperationKind) -> bool:
        """Ask its driver; what that cannot decide halts this operation and no other."""
        if kind not in self._drivers:
            return True
        try:
            await self._database.call(self._drivers[kind], operation_id)
        except MbongiError as error:
            log.warning("operation_halted", operation_id=operation_id, error=str(error))
            await self._database.call(operations.halt_operation, operation_id, str(error))
            return False
        return True
