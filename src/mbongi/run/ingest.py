"""Runs the ingester: telemetry from the bus into the store, and the newest row of every machine for whoever asks."""

import argparse
import asyncio

import uvloop

from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, BusUnavailable
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.ingest import READY_SUBJECT, Ingester
from mbongi.run.stopping import stop_event
from mbongi.run.tables import site_tables

log = get_log(__name__)

ANSWER_S = 60.0
"""The longest that one insert may take; the store's own limits end queries far earlier."""


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop."""
    uvloop.run(_run(config))
    return 0


async def _run(config: Config) -> None:
    tables = site_tables()
    stopped = stop_event()
    bus = await _connected(config, stopped)
    if bus is None:
        return
    ingester = Ingester(config, bus, Store.open(config, answer_s=ANSWER_S), tables)
    work = asyncio.create_task(ingester.run())
    stop = asyncio.create_task(stopped.wait())
    log.info("ingest_started", tables=[table.name for table in tables])
    await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
    ingester.stop()
    try:
        await work
    finally:
        await bus.close()
    log.info("ingest_stopped")


async def _connected(config: Config, stopped: asyncio.Event) -> Bus | None:
    waited = False
    while not stopped.is_set():
        try:
            return await Bus.open(config, name="ingest", limit_s=5.0)
        except BusUnavailable as error:
            if not waited:
                log.warning("ingest_waits_for_bus", error=str(error))
            waited = True
            await asyncio.sleep(0.5)
    return None


async def ready(config: Config) -> bool:
    """Whether the ingester answers over the bus within a second."""
    try:
        bus = await Bus.open(config, name="probe", limit_s=0.5)
    except BusError:
        return False
    try:
        return await bus.request(READY_SUBJECT, b"", limit_s=0.4) == b"ready"
    except BusError:
        return False
    finally:
        await bus.close()
