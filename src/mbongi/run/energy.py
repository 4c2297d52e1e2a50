"""Plans the site's supply and load every five minutes, and watches for black-outs every second."""

import argparse
import os

import uvloop

from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.energy.heard import STATUS_SUBJECT
from mbongi.run.database import use_database
from mbongi.run.only_one import only_one
from mbongi.run.stopping import stop_event

log = get_log(__name__)


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop."""
    os.nice(5)  # The machines are polled first; the watch needs next to nothing.
    use_database()
    with only_one(config.site.data_dir, "energy"):
        return uvloop.run(_run(config))


async def _run(config: Config) -> int:
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first
    from mbongi.energy.adapters.highs import Highs  # noqa: PLC0415
    from mbongi.energy.daemon.process import EnergyProcess  # noqa: PLC0415

    stop = stop_event()
    async with ThreadBridge() as bridge, ThreadBridge() as planner:
        await EnergyProcess(config, bridge, planner, Highs()).run(stop)
    log.info("energy_stopped")
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
