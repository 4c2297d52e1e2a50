"""What devices say becomes alarms with one root: the virtual plant, its grid lost and its gensets at rest."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from mbongi.base.clock import now_ms
from mbongi.base.config import Config, Site, Twin
from mbongi.core.threads import ThreadBridge
from mbongi.facility import alarm_rows, inventory, starting
from mbongi.facility.daemon.alarming import Alarming
from mbongi.facility.values import Observation, Quality, Quantity
from mbongi.run import virtual_plant
from mbongi.twin.plant.design import designed

pytestmark = pytest.mark.django_db(transaction=True)
UP = {"MTR-F": 230.0, "MTR-1": 230.0, "MTR-2": 230.0, "MTR-3": 230.0}
"""Meters of the feed, the main board, the machines' board, and the cooling."""


def volts(values: dict[str, float]) -> list[Observation]:
    return [
        Observation(tag, Quantity.VOLTAGE_L1_V, value, Quality.GOOD, now_ms(), now_ms())
        for tag, value in values.items()
    ]


def running(tags: Iterable[str], *, is_so: bool) -> list[Observation]:
    return [Observation(tag, Quantity.RUNNING, float(is_so), Quality.GOOD, now_ms(), now_ms()) for tag in tags]


async def test_a_lost_grid_is_one_alarm_and_gensets_at_rest_are_none(tmp_path: Path) -> None:
    async with ThreadBridge() as bridge:
        given = virtual_plant.given_of(designed(Twin(machines=6, per_rack=6)).document())
        await bridge.call(inventory.enter, virtual_plant.Builder(), given, reason="a plant")
        await bridge.call(starting.enter_alarms)
        feeding = Alarming(Config(site=Site(data_dir=tmp_path)), bridge)
        run = asyncio.create_task(feeding.run())
        try:
            feeding.take([*running(("GEN-1", "GEN-2"), is_so=False), *volts(UP), *volts({"GEN-1": 0.0, "GEN-2": 0.0})])
            await asyncio.sleep(2.5)
            assert await bridge.call(alarm_rows.standing) == []
            lost = dict.fromkeys(UP, 0.0)
            async with asyncio.timeout(30):
                while len(await bridge.call(lambda: [*alarm_rows.standing()])) == 0:
                    feeding.take(volts(lost))
                    await asyncio.sleep(0.5)
                while (seen := (await bridge.call(alarm_rows.standing))[0]).consequences < 3:
                    feeding.take(volts(lost))
                    await asyncio.sleep(0.5)
            assert [row.tag for row in await bridge.call(alarm_rows.standing)] == ["FEED-1"]
            consequences = await bridge.call(alarm_rows.consequences, seen.id)
            assert {"MSB-1", "MSB-2"} <= {row.tag for row in consequences}
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
