"""What curtailment needs of the fleet process: the site's power, the machines' figures, triggers, and its driver."""

import asyncio
from collections.abc import Sequence

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Config
from mbongi.core.bus.client import Bus
from mbongi.fleet import curtail_steps
from mbongi.fleet.daemon.leasing import Share
from mbongi.fleet.daemon.metering import Metering
from mbongi.fleet.daemon.operating import Driver
from mbongi.fleet.daemon.persistence import Database
from mbongi.fleet.daemon.triggering import Triggering
from mbongi.fleet.power_figures import PowerFigures
from mbongi.fleet.reading import MachineReading
from mbongi.fleet.rules.leases import ALL_SLOTS
from mbongi.fleet.values import OperationKind


class Curtailing:
    """One of each process; only the one that leads runs it."""

    def __init__(self, config: Config, database: Database, share: Share) -> None:
        self._figures = PowerFigures()
        self._metering = Metering(
            config.fleet.meters,
            database,
            self._figures,
            fast_s=config.fleet.fast_s,
            is_whole=lambda: share.slots == ALL_SLOTS,
        )
        self._triggering = Triggering(
            database,
            self._metering,
            self._figures,
            timezone=config.site.timezone,
            ramp_kw_s_max=config.fleet.ramp_kw_s_max,
        )

    def readings(self, readings: Sequence[MachineReading]) -> None:
        """What machines state now."""
        self._figures.readings(readings, monotonic_s())

    @property
    def drivers(self) -> dict[OperationKind, Driver]:
        """Who decides on the steps of curtailments."""
        return {OperationKind.CURTAIL: self._drive}

    def _drive(self, operation_id: int) -> None:
        """On the database's thread."""
        curtail_steps.drive(operation_id, self._metering.sight())

    async def run(self) -> None:
        """Measure and look at the triggers until cancelled; for the process that leads."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._metering.run())
            group.create_task(self._triggering.run())

    async def listen(self, bus: Bus) -> None:
        """Hear what other domains tell until cancelled; for the process that leads."""
        await self._triggering.listen(bus)
