"""The energy process. Three things beside each other: hear the plant, watch it every second, plan every five minutes.

The watch works from memory alone: with database, bus and optimiser away the black-out sequence goes on, and what it
wants is told as soon as somebody hears.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
from django.db import InterfaceError, OperationalError

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.core.threads import ThreadBridge
from mbongi.energy import dispatching, heard, supplies
from mbongi.energy.dispatching import Kept
from mbongi.energy.ports import Solver
from mbongi.energy.rules import watching
from mbongi.energy.rules.blackout import INF, Orders, Phase, State, Times, advance, begin
from mbongi.energy.rules.supply import Memory
from mbongi.energy.values import Readings, Supply

log = get_log(__name__)
AWAY = (OperationalError, InterfaceError)
LOOK_S = 1.0
STEER_S = 10.0
RETRY_S = 5.0
HEAR_S = 60.0
"""So long after the start nothing is handed out while no feed was heard of: no limit is lifted blindly."""


class EnergyProcess:
    """``planner`` and ``bridge`` are a thread with a database connection each: a solver must not hold up the rest."""

    def __init__(self, config: Config, bridge: ThreadBridge, planner: ThreadBridge, solver: Solver) -> None:
        self._config, self._bridge, self._planner, self._solver = config, bridge, planner, solver
        self._zone = ZoneInfo(config.site.timezone)
        self._bus: Bus | None = None
        self.readings: Readings = {}
        self._supply: Supply | None = None
        self._state: State | None = None
        self._orders: Orders | None = None
        self._kept: Kept | None = None
        self._memory: dict[str, Memory] = {}
        self._is_away = False
        self._changed, self._new_supply = asyncio.Event(), asyncio.Event()
        self._supply_id = 0
        self._began_s = time.monotonic()

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop`` is set."""
        tasks = [asyncio.create_task(work()) for work in (self._hear, self._watch, self._steering, self._plan)]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for each in (*tasks, stopping):
                each.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            if self._bus is not None:
                await self._bus.close()

    # The bus.

    async def _hear(self) -> None:
        while True:
            try:
                bus = await Bus.open(self._config, name="energy")
                await bus.hear(heard.OBSERVED_SUBJECT, self._take)
                await bus.serve(heard.STATUS_SUBJECT, self._answer)
            except BusError as error:
                log.debug("energy_hears_again", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            self._bus = bus
            return await _for_ever()

    def _take(self, data: bytes) -> None:
        try:
            heard.take(self.readings, data)
        except msgspec.DecodeError as error:
            log.warning("observations_not_understood", error=str(error))

    async def _answer(self, _data: bytes) -> bytes:
        plan_at = 0 if self._kept is None else int(self._kept.starts_at.timestamp() * 1000)
        return msgspec.msgpack.encode(
            heard.EnergyStatus(
                points=len(self.readings), plan_at_ms=plan_at, phase=self._phase.value, database_away=self._is_away
            )
        )

    # The watch.

    async def _watch(self) -> None:
        while True:
            began_s = time.monotonic()
            await self.look(time.time())
            await asyncio.sleep(max(0.05, LOOK_S - (time.monotonic() - began_s)))

    async def look(self, now_s: float) -> None:
        """One look at the plant; what it calls for is told at once, and kept when it changes."""
        if self._supply is not None and watching.is_watched(self.readings, self._supply):
            plant = watching.plant_of(self._supply)
            seen = watching.seen(self.readings, self._supply, now_s)
            state = begin(plant, now_s, seen) if self._state is None else self._state
            is_first = self._orders is None
            self._state, self._orders = advance(plant, Times(), state, seen, now_s)
            if self._orders.events:
                log.warning("blackout_sequence", phase=self._phase.value, events=self._orders.events)
            if self._orders.events or is_first:
                self._changed.set()
            await self._tell(self._orders, now_s)
        else:
            # What was ordered by a supply whose feeds were measured must not hold for ever under one without.
            self._state = self._orders = None

    async def _tell(self, orders: Orders, now_s: float) -> None:
        if self._bus is None or not self._bus.is_up:
            return
        told = heard.OrdersTold(
            at_ms=int(now_s * 1000),
            phase=self._phase.value,
            runs=sorted(orders.runs),
            source=orders.source.value,
            carried=sorted(orders.carried),
            mining_kw=None if orders.mining_kw == INF else orders.mining_kw,
            events=list(orders.events),
        )
        try:
            await self._bus.tell(heard.ORDERS_SUBJECT, msgspec.msgpack.encode(told))
        except BusError as error:
            log.debug("orders_not_told", error=str(error))

    @property
    def _phase(self) -> Phase:
        return Phase.GRID if self._state is None else self._state.phase

    # What holds now.

    async def _steering(self) -> None:
        """Every STEER_S, and at once when the black-out sequence moves. It may wait for the database."""
        while True:
            self._changed.clear()
            await self._keep(self._bridge, self.steer)
            try:
                async with asyncio.timeout(STEER_S):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def steer(self, bridge: ThreadBridge) -> None:
        """Read the supply in force; keep and hand out what holds."""
        row = await bridge.call(supplies.in_force)
        self._supply = None if row is None else row.supply
        if row is not None and row.id != self._supply_id:
            self._supply_id = row.id
            self._state = self._state if self._phase is not Phase.GRID else None
            self._new_supply.set()
        if self._orders is None and time.monotonic() - self._began_s < HEAR_S:
            return
        readings = dict(self.readings)
        await bridge.call(dispatching.steer, self._kept, self._orders, readings, self._zone, phase=self._phase)

    # The plan.

    async def _plan(self) -> None:
        """At the beginning, at each full five minutes, and when another supply has come into force."""
        while True:
            await self._keep(self._planner, self._make_plan)
            step_s = dispatching.STEP.total_seconds()
            wait_s = step_s - time.time() % step_s if self._kept is not None else RETRY_S
            try:
                async with asyncio.timeout(wait_s + 0.1):
                    await self._new_supply.wait()
            except TimeoutError:
                pass
            self._new_supply.clear()

    async def _make_plan(self, bridge: ThreadBridge) -> None:
        readings = dict(self.readings)
        tags = [] if self._supply is None else [one.tag for one in self._supply.gensets]
        self._memory = dispatching.remember(self._memory, readings, tags, now_s=time.time())
        kept = await bridge.call(
            dispatching.plan_now, self._solver, readings, self._zone, memory=self._memory, now=datetime.now(UTC)
        )
        if kept is not None:
            self._kept = kept
            log.info("dispatch_planned", plan=kept.id, usable=kept.plan is not None)

    async def _keep(self, bridge: ThreadBridge, work: "Callable[[ThreadBridge], Awaitable[None]]") -> None:
        """Do what needs the database; its absence is told once, and stops nothing else."""
        try:
            await work(bridge)
        except AWAY as error:
            if not self._is_away:
                log.warning("database_away", error=str(error).partition("\n")[0])
            self._is_away = True
            return
        except MbongiError:
            log.exception("dispatch_not_done")
            return
        if self._is_away:
            log.info("database_back")
        self._is_away = False


async def _for_ever() -> None:
    await asyncio.Event().wait()
