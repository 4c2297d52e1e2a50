"""Looks at the triggers of curtailment every few seconds, and hears the signals that some of them wait for."""

import asyncio
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from mbongi.base.clock import monotonic_s
from mbongi.base.errors import MbongiError
from mbongi.base.log import get_log
from mbongi.core.bus import messages
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, MessageError
from mbongi.core.bus.pull import Delivery
from mbongi.core.bus.streams import EVENTS
from mbongi.fleet import curtail_triggers
from mbongi.fleet.curtail_triggers import Surroundings
from mbongi.fleet.daemon.metering import Metering
from mbongi.fleet.daemon.persistence import AWAY, Database
from mbongi.fleet.heard import EnergyPrice, PowerCapacity
from mbongi.fleet.power_figures import PowerFigures
from mbongi.fleet.rules.triggers import Signal, TriggerKind

log = get_log(__name__)

LOOK_S = 2.0
BUS_RETRY_S = 1.0
SUBJECTS = (messages.subject_of(PowerCapacity), messages.subject_of(EnergyPrice))


class Triggering:
    """What it begins is told over the bus as any operation is, so it is carried on at once."""

    def __init__(
        self,
        database: Database,
        metering: Metering,
        figures: PowerFigures,
        *,
        timezone: str,
        ramp_kw_s_max: float,
    ) -> None:
        self._database, self._metering, self._figures = database, metering, figures
        self._zone, self._ramp_kw_s_max = ZoneInfo(timezone), ramp_kw_s_max
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._database.call(self._look)
            except AWAY:
                pass
            except MbongiError:
                log.exception("triggers_not_looked_at")
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _look(self) -> int:
        """On the database's thread."""
        hz, at_s = self._metering.frequency
        around = Surroundings(
            figures=self._figures.newest(monotonic_s()),
            frequency=Signal(hz, monotonic_s() - at_s),
            zone=self._zone,
            ramp_kw_s_max=self._ramp_kw_s_max,
        )
        return curtail_triggers.look(around)

    async def listen(self, bus: Bus) -> None:
        """Hear signals until cancelled."""
        async with asyncio.TaskGroup() as group:
            for subject in SUBJECTS:
                group.create_task(self._hear(bus, subject))

    async def _hear(self, bus: Bus, subject: str) -> None:
        name = "fleet-" + subject.split(".")[2].replace("_", "-")
        while True:
            try:
                async for delivery in bus.consume(EVENTS, name, subject):
                    await self._take(bus, delivery)
            except BusError as error:
                log.debug("triggers_listen_again", error=str(error))
                await asyncio.sleep(BUS_RETRY_S)

    async def _take(self, bus: Bus, delivery: Delivery) -> None:
        try:
            kind, value, at_ms, source, until_ms = _signal(messages.decode(delivery.subject, delivery.data))
            at, until = _moment(min(at_ms, int(time.time() * 1000))), None if until_ms is None else _moment(until_ms)
        except (MessageError, ValueError, OverflowError) as error:
            await bus.dead_letter(delivery, str(error))
            return
        # A clock ahead of ours must not make what it says last beyond what is said after it: ``at`` is now at most.
        await self._database.insist(curtail_triggers.hear_signal, kind, value, at=at, source=source, until=until)
        await delivery.ack()
        self._wake.set()


def _signal(told: object) -> tuple[str, float | None, int, str, int | None]:
    if isinstance(told, PowerCapacity):
        if told.available_w is not None and not 0 <= told.available_w <= 1e11:
            raise ValueError(f"capacity {told.available_w} W; expected 0 to 1e11")
        return TriggerKind.CAPACITY, told.available_w, told.at_ms, told.source, told.until_ms
    assert isinstance(told, EnergyPrice)
    return TriggerKind.PRICE, told.per_mwh, told.at_ms, told.source, None


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
