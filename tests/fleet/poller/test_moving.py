"""Machines that exchange addresses while they are polled: nothing of one is credited to another."""

import asyncio

import msgspec
import pytest

from mbongi.fleet.poller import Poller
from mbongi.fleet.reading import MachineReading, Target
from mbongi.fleet.values import MachineState
from mbongi.twin.moving import rotate
from mbongi.twin.site import VirtualSite
from tests.fleet.beds import Watch, fleet_of, targets_of, virtual_site

FAMILIES = ("antminer", "whatsminer", "bitaxe", "whatsminer_v3", "avalon", "luxos", "vnish", "braiins")


def known(site: VirtualSite) -> list[Target]:
    """The machines as the registry knows them."""
    return [
        msgspec.structs.replace(target, mac=site.machine(target.address).mac, serial="") for target in targets_of(site)
    ]


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_newcomers_readings_are_never_credited_to_who_was_there(family: str) -> None:
    """The slow tier is an hour away: only what the fast tier sees can tell."""
    async with virtual_site("127.23.0.0/16", machines=2, per_rack=2, families=(family,), time_scale=1.0) as site:
        targets, strangers = known(site), set()
        config = fleet_of(site.config, slow_s=3600.0, timeout_s=2.0)
        poller = Poller(config, targets, on_strangers=strangers.update)
        watch = Watch(poller, targets)
        run = asyncio.create_task(poller.run(watch.on_batch, watch.changes.extend, watch.on_details))
        try:
            await watch.until(lambda: all(_mines(watch.readings.get(each.machine_id)) for each in targets))
            assert all(poller.vouches(each.machine_id) for each in targets)
            rotate(site, 1)
            await asyncio.sleep(0)
            watch.batches.clear()
            await watch.until(lambda: strangers == {each.machine_id for each in targets})
            assert not any(poller.vouches(each.machine_id) for each in targets)
        finally:
            poller.stop()
            await run
        later = [reading for _rack, batch in watch.batches for reading in batch]
        assert all(not _mines(reading) for reading in later), [reading.uptime_s for reading in later]
        assert "another machine answers here" in watch.changes[-1].reason


def _mines(reading: MachineReading | None) -> bool:
    return reading is not None and reading.state == MachineState.MINING
