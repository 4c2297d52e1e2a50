"""Ties the parts of the facility process together. Each goes on by itself while bus, database or devices are away."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec
from django.db import InterfaceError, OperationalError

from mbongi.base.clock import monotonic_s, now_ms
from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, BusUnavailable
from mbongi.core.telemetry.outgoing import Outgoing
from mbongi.core.threads import ThreadBridge
from mbongi.facility import device_rows
from mbongi.facility.adapters.redfish import RedfishReader
from mbongi.facility.daemon.polling import OnObservations, Polling
from mbongi.facility.device_board import (
    CAP_SUBJECT,
    DEVICES_SUBJECT,
    OBSERVED_SUBJECT,
    PART_MAX,
    STATUS_SUBJECT,
    TOLD_S,
    TRY_SUBJECT,
    WHOLE_S,
    CapReply,
    CapRequest,
    DevicesTold,
    FacilityStatus,
    Observed,
    TriedValue,
    TryReply,
    TryRequest,
)
from mbongi.facility.device_box import unseal
from mbongi.facility.device_errors import DeviceError
from mbongi.facility.ports import DeviceTarget
from mbongi.facility.rules.point_maps import MapError
from mbongi.facility.telemetry import POINT, columns_of
from mbongi.facility.values import Found, Observation, Quality
from mbongi.facility.values import Protocol as Spoken

log = get_log(__name__)

AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError)
"""What the database's absence looks like; anything else is an error of the call."""
DEVICES_S = 3.0
"""How often the records of devices are looked at for a change."""
RETRY_S = 1.0
DRAIN_S = 3.0
STORE_S = 1.0
"""Observations of so long go into the telemetry together."""
WAITING_MAX = 200_000
"""Observations that wait for a part of the process that keeps them, at most."""
TRIES_MAX = 8
"""Devices tried at the same time, at most; the next waits."""


class Watch(Protocol):
    """A part of the process that must see every observation and keep what it makes of them, such as the alarms."""

    async def open(self) -> None:
        """Take up where it ended; may wait for the database."""

    async def run(self) -> None:
        """Work until cancelled."""

    async def observe(self, batch: Sequence[Observation]) -> object:
        """Take observations, in their order. Raises OSError where they cannot be kept; then the next say the same."""


class FacilityProcess:
    """The whole process. ``run`` returns after ``stop`` is set and what waits has been handed over."""

    def __init__(
        self,
        config: Config,
        bridge: ThreadBridge,
        *,
        listeners: Sequence[OnObservations] = (),
        watches: Sequence[Watch] = (),
        on_bus: Callable[[Bus], Awaitable[None]] | None = None,
    ) -> None:
        """``listeners`` take every observation as it comes, in this process; they neither block nor raise.

        ``watches`` are opened, run and handed every observation; ``on_bus`` is called with the bus once it is there.
        """
        self._config, self._bridge = config, bridge
        self._listeners, self._on_bus = tuple(listeners), on_bus
        self._fed = [_Fed(watch) for watch in watches]
        self.polling = Polling(self._take)
        self.outgoing = Outgoing(POINT, "facility")
        self._to_store: list[Observation] = []
        self._to_tell: list[Observation] = []
        self._version: object = None
        self._database_away = False
        self._bus: Bus | None = None
        self._tries = asyncio.Semaphore(TRIES_MAX)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        work: list[Coroutine[Any, Any, None]] = [
            self.polling.run(),
            self._keep_devices(),
            self._store(),
            self._serve_bus(),
            *(fed.run() for fed in self._fed),
        ]
        tasks = [asyncio.create_task(each) for each in work]
        stopping = asyncio.create_task(stop.wait())
        log.info("facility_started")
        try:
            waiting: set[asyncio.Task[Any]] = {*tasks, stopping}
            while not stopping.done():
                over, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in over - {stopping}:
                    # Parts meet the outages they know of themselves; anything else ends the process.
                    task.result()
        finally:
            for task in [*tasks, stopping]:
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            await self._end()

    async def _end(self) -> None:
        self._flush()
        if self._bus is not None:
            await self.outgoing.drain(self._bus, DRAIN_S)
            await self._bus.close()

    # What the devices say.

    def _take(self, observations: Sequence[Observation]) -> None:
        self._to_store += observations
        if self._bus is not None:
            self._to_tell += observations
        for listener in self._listeners:
            listener(observations)
        for fed in self._fed:
            fed.put(observations)

    async def _store(self) -> None:
        """Hand what came over to the telemetry; while the bus is away it waits there."""
        while True:
            await asyncio.sleep(STORE_S)
            self._flush()

    def _flush(self) -> None:
        rows, self._to_store = self._to_store, []
        for start in range(0, len(rows), PART_MAX):
            self.outgoing.put(columns_of(rows[start : start + PART_MAX]))

    # The record of devices.

    async def _keep_devices(self) -> None:
        """Follow the record; while the database is away those that are known go on."""
        while True:
            try:
                version = await self._bridge.call(device_rows.version)
                if version != self._version:
                    self.polling.set_devices(await self._bridge.call(device_rows.targets))
                    self._version = version
            except AWAY as error:
                if not self._database_away:
                    log.warning("database_away", error=(str(error).strip() or type(error).__name__).splitlines()[0])
                self._database_away = True
            else:
                if self._database_away:
                    log.info("database_back")
                self._database_away = False
            await asyncio.sleep(DEVICES_S)

    # The bus.

    async def _serve_bus(self) -> None:
        """Connect, however long that takes; publish, tell, and answer."""
        bus = await self._connected()
        if self._on_bus is not None:
            await self._on_bus(bus)
        await bus.serve(STATUS_SUBJECT, self._answer_status)
        await bus.serve(TRY_SUBJECT, self._answer_try)
        await bus.serve(CAP_SUBJECT, self._answer_cap)
        self._bus = bus
        async with asyncio.TaskGroup() as group:
            group.create_task(self.outgoing.run(bus))
            group.create_task(self._tell(bus))

    async def _connected(self) -> Bus:
        is_told = False
        while True:
            try:
                bus = await Bus.open(self._config, name="facility", limit_s=5.0)
                try:
                    await bus.ensure_streams(self._config)
                except BusUnavailable:
                    await bus.close()
                    raise
            except BusUnavailable as error:
                if not is_told:
                    is_told = True
                    log.warning("facility_waits_for_bus", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return bus

    async def _tell(self, bus: Bus) -> None:
        """Tell what is new each second, and all there is every WHOLE_S; while the bus is away nobody hears it."""
        whole_s = 0.0
        while True:
            news, self._to_tell = self._to_tell, []
            if monotonic_s() >= whole_s:
                news, whole_s = self.polling.observations(), monotonic_s() + WHOLE_S
            try:
                for start in range(0, len(news), PART_MAX):
                    part = Observed(observations=news[start : start + PART_MAX])
                    await bus.tell(OBSERVED_SUBJECT, msgspec.msgpack.encode(part))
                states = DevicesTold(at_ms=now_ms(), devices=self.polling.states())
                await bus.tell(DEVICES_SUBJECT, msgspec.msgpack.encode(states))
            except BusError:
                whole_s = 0.0
            await asyncio.sleep(TOLD_S)

    async def _answer_status(self, _data: bytes) -> bytes:
        states = self.polling.states()
        status = FacilityStatus(
            devices=len(states),
            answering=sum(bool(one.good_ms) and not one.error for one in states),
            points=len(self.polling.observations()),
            batches_waiting=len(self.outgoing),
            batches_dropped=self.outgoing.dropped,
            database_away=self._database_away,
        )
        return msgspec.json.encode(status)

    async def _answer_try(self, data: bytes) -> bytes:
        asked = msgspec.json.decode(data, type=TryRequest)
        began_s = monotonic_s()
        async with self._tries:
            reply = await self._tried(asked)
        took_ms = 1000.0 * (monotonic_s() - began_s)
        return msgspec.json.encode(msgspec.structs.replace(reply, took_ms=took_ms))

    async def _tried(self, asked: TryRequest) -> TryReply:
        reader = None
        try:
            reader = self.polling.wiring.reader(_target(asked), lambda _found: None)
            async with asyncio.timeout(asked.timeout_s + 1.0):
                found = await reader.read()
        except DeviceError as error:
            return TryReply(error=error.kind, detail=str(error))
        except (MapError, ConfigError) as error:
            return TryReply(error="map", detail=str(error))
        except Exception as error:  # whatever a stranger answers is told to whoever tried
            log.exception("device_try_broke", tag=asked.tag, protocol=asked.protocol.value)
            return TryReply(error="broken", detail=f"{type(error).__name__}: {error}")
        finally:
            if reader is not None:
                await reader.close()
        return TryReply(values=[_tried(one) for one in found])

    async def _answer_cap(self, data: bytes) -> bytes:
        asked = msgspec.json.decode(data, type=CapRequest)
        target = self.polling.target(asked.device_id)
        if target is None or target.protocol is not Spoken.REDFISH:
            return msgspec.json.encode(CapReply(error="missing", detail="this server is not asked at present"))
        try:
            change = await RedfishReader(target).cap(asked.watts, dry_run=asked.dry_run)
        except DeviceError as error:
            return msgspec.json.encode(CapReply(error=error.kind, detail=str(error)))
        return msgspec.json.encode(CapReply(before_w=change.before_w, after_w=change.after_w))


class _Fed:
    """A watch and what waits to be seen by it; at WAITING_MAX the newest of each point stays."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._waiting: list[Observation] = []
        self._wake = asyncio.Event()

    def put(self, observations: Sequence[Observation]) -> None:
        self._waiting += observations
        if len(self._waiting) > WAITING_MAX:
            newest = {one.point: one for one in self._waiting}
            log.warning("observations_folded", kept=len(newest), left_out=len(self._waiting) - len(newest))
            self._waiting = list(newest.values())
        self._wake.set()

    async def run(self) -> None:
        await self._watch.open()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run())
            group.create_task(self._feed())

    async def _feed(self) -> None:
        is_told = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            try:
                await self._watch.observe(batch)
            except OSError as error:
                if not is_told:
                    log.warning("observations_not_kept", error=str(error))
                is_told = True
                await asyncio.sleep(RETRY_S)
            else:
                is_told = False


def _target(asked: TryRequest) -> DeviceTarget:
    return DeviceTarget(
        tag=asked.tag,
        protocol=asked.protocol,
        host=asked.host,
        port=asked.port,
        selector=asked.selector,
        map_name=asked.map_name,
        timeout_s=asked.timeout_s,
        credentials=unseal(asked.tag, asked.protocol, asked.user, asked.sealed),
        maps=device_rows.own_maps(),
    )


def _tried(found: Found) -> TriedValue:
    known = found.value == found.value
    return TriedValue(found.quantity, found.value if known else None, found.quality if known else Quality.BAD)
