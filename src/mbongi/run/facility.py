"""Asks the plant's devices over their protocols, tells what they measure and keeps the record of it."""

import argparse

import uvloop

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.facility.device_board import STATUS_SUBJECT
from mbongi.run.database import use_database
from mbongi.run.only_one import only_one
from mbongi.run.stopping import stop_event

log = get_log(__name__)


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop."""
    use_database()
    with only_one(config.site.data_dir, "facility"):
        return uvloop.run(_run(config))


async def _run(config: Config) -> int:
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first
    from mbongi.facility.daemon.process import FacilityProcess  # noqa: PLC0415
    from mbongi.run import virtual_plant  # noqa: PLC0415 -- nothing else needs it

    stop = stop_event()
    async with ThreadBridge() as bridge:
        try:
            await bridge.call(virtual_plant.enter, config)
        except MbongiError as error:
            log.warning("virtual_plant_not_entered", reason=str(error))
        await FacilityProcess(config, bridge).run(stop)
    log.info("facility_stopped")
    return 0


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
