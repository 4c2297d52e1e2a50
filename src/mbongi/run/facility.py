"""Asks the plant's devices over their protocols, tells what they measure and keeps the record of it."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.facility.device_board import STATUS_SUBJECT
from mbongi.facility.rules.device_list import DeviceListError, read_devices
from mbongi.run.database import use_database
from mbongi.run.only_one import only_one
from mbongi.run.stopping import stop_event

if TYPE_CHECKING:
    from mbongi.core.threads import ThreadBridge

log = get_log(__name__)

ACTOR = "process:facility"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``facility`` alone runs the process; ``facility devices FILE`` enters a list of devices."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    devices = commands.add_parser("devices", help="enter the devices of a CSV, or bring those on record to it")
    devices.add_argument("file", type=Path, help="columns tag, protocol, host and more; the guide has them")
    devices.add_argument("--reason", default="list of devices", help="for the ledger")
    devices.add_argument("--dry-run", action="store_true", help="only say what would change")


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:
    """Run until told to stop, or enter a list once."""
    use_database()
    if arguments is not None and arguments.command == "devices":
        return _enter(arguments.file, arguments.reason, dry_run=arguments.dry_run)
    with only_one(config.site.data_dir, "facility"):
        return uvloop.run(_run(config))


def _enter(file: Path, reason: str, *, dry_run: bool) -> int:
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.facility.devices import enter_list  # noqa: PLC0415
    from mbongi.facility.errors import DeviceRefusedError  # noqa: PLC0415

    try:
        with file.open(encoding="utf-8", newline="") as lines:
            drafts = read_devices(lines)
        with acting(SITE):
            found = enter_list(drafts, actor=ACTOR, reason=reason, dry_run=dry_run)
    except (OSError, DeviceListError, DeviceRefusedError) as error:
        text = f" {error.text}" if isinstance(error, DeviceRefusedError) else ""
        print(f"mbongi facility: {file}: {error}.{text}", file=sys.stderr)
        return 1
    verb = "would be" if dry_run else "were"
    print(f"{found.added} devices {verb} added, {found.changed} changed; {found.same} are as the list says")
    return 0


async def _run(config: Config) -> int:
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first
    from mbongi.facility.daemon.alarming import Alarming  # noqa: PLC0415
    from mbongi.facility.daemon.process import FacilityProcess  # noqa: PLC0415

    stop = stop_event()
    # Alarms have a connection of their own: the record of devices must not make them wait.
    async with ThreadBridge() as bridge, ThreadBridge() as alarms_bridge:
        await _begin(config, bridge)
        alarming = Alarming(config, alarms_bridge)
        process = FacilityProcess(config, bridge, listeners=[alarming.take])
        watching, working = asyncio.create_task(alarming.run()), asyncio.create_task(process.run(stop))
        await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            # Without alarms the process is of no use: it ends, and is started anew.
            stop.set()
        else:
            watching.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)
        working.result()
        if not watching.cancelled():
            watching.result()
    log.info("facility_stopped")
    return 0


async def _begin(config: Config, bridge: "ThreadBridge") -> None:
    """The first record of a virtual plant and the first list of alarms; waits while the database is away."""
    from mbongi.facility import starting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.facility.daemon.process import AWAY, RETRY_S  # noqa: PLC0415
    from mbongi.run import virtual_plant  # noqa: PLC0415

    for first in (lambda: virtual_plant.enter(config), starting.enter_alarms):
        while True:
            try:
                await bridge.call(first)
            except AWAY:
                await asyncio.sleep(RETRY_S)
                continue
            except MbongiError as error:
                log.warning("first_record_not_entered", reason=str(error))
            break


async def ready(config: Config) -> bool:
    """Whether the process answers over the bus within a second."""
    try:
        bus = await Bus.open(config, name="probe", limit_s=0.5)
    except BusError:
        return False
    try:
        return bool(await bus.request(STATUS_SUBJECT, b"", limit_s=0.4))
    except BusError:
        return False
    finally:
        await bus.close()
