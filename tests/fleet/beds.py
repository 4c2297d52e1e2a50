"""A small virtual site with the configuration that reaches it, and a poller whose words are kept."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mbongi.base.config import Fleet, Twin
from mbongi.base.ids import MachineId
from mbongi.fleet.poller import Poller
from mbongi.fleet.reading import DetailReport, MachineDetail, MachineReading, StateChange, Target
from mbongi.fleet.values import Family, MachineState
from mbongi.twin.site import VirtualSite
from tests.embedded import free_ports

WAIT_S = 20.0


class Nobody:
    """An Actor's watcher where no poller runs: it looks at nothing and vouches for nobody."""

    vouched: bool = False

    def poll_soon(self, machine_ids: Iterable[MachineId], *, wholly: bool = False) -> None:
        """Nobody looks."""

    def vouches(self, machine_id: MachineId) -> bool:
        """What the test says."""
        return self.vouched


def fleet_of(twin: Twin, **options: Any) -> Fleet:
    """The configuration that reaches a virtual site; quick periods unless told otherwise."""
    quick = {"fast_s": 0.2, "slow_s": 0.8, "static_s": 3600.0, "timeout_s": 0.5, "workers": 20}
    ports = {"rpc_port": twin.rpc_port, "http_port": twin.http_port, "framed_port": twin.framed_port}
    return Fleet(**(ports | quick | options))


@asynccontextmanager
async def virtual_site(
    network: str,
    *,
    machines: int = 3,
    per_rack: int = 1,
    families: tuple[str, ...] = (),
    time_scale: float = 50.0,
    **options: Any,
) -> AsyncIterator[VirtualSite]:
    """With three machines one of each family: Antminer, Whatsminer, Bitaxe; or of those named, in turn."""
    ports = dict(zip(("rpc_port", "http_port", "framed_port"), free_ports(3), strict=True))
    twin = Twin(machines=machines, per_rack=per_rack, network=network, families=families, **ports)
    site = VirtualSite(twin, time_scale=time_scale, **options)
    await site.start()
    try:
        yield site
    finally:
        await site.close()


def targets_of(site: VirtualSite) -> list[Target]:
    """One target for each machine, in racks as they stand."""
    return [
        Target(
            machine_id=MachineId(number),
            address=address,
            family=place.machine.model.family,
            rack=f"rack {place.machine.rack}",
        )
        for number, (address, place) in enumerate(site.places.items(), start=1)
    ]


class Watch:
    """A poller under way, with the newest reading, state and detail of each machine."""

    def __init__(self, poller: Poller, targets: Sequence[Target]) -> None:
        self.poller, self.targets = poller, targets
        self.batches: list[tuple[str, list[MachineReading]]] = []
        self.changes: list[StateChange] = []
        self.readings: dict[int, MachineReading] = {}
        self.details: dict[int, MachineDetail] = {}

    def on_batch(self, rack: str, readings: Sequence[MachineReading]) -> None:
        self.batches.append((rack, list(readings)))
        self.readings |= {reading.machine_id: reading for reading in readings}

    def on_details(self, reports: Sequence[DetailReport]) -> None:
        self.details |= {report.machine_id: report.detail for report in reports}

    def target(self, family: Family) -> Target:
        return next(target for target in self.targets if target.family is family)

    def state(self, family: Family) -> MachineState:
        reading = self.readings.get(self.target(family).machine_id)
        return MachineState.UNKNOWN if reading is None else MachineState(reading.state)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; fails after WAIT_S."""
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 -- the poller is watched from outside
                await asyncio.sleep(0.02)

    async def until_all(self, state: MachineState) -> None:
        await self.until(lambda: all(self.state(target.family) is state for target in self.targets))


@asynccontextmanager
async def polling(config: Fleet, targets: Sequence[Target]) -> AsyncIterator[Watch]:
    """Poll while the block runs."""
    poller = Poller(config, targets)
    watch = Watch(poller, targets)
    run = asyncio.create_task(poller.run(watch.on_batch, watch.changes.extend, watch.on_details))
    try:
        yield watch
    finally:
        poller.stop()
        await run
