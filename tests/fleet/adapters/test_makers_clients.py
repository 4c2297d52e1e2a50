"""pyasic and pyasic_rs read of virtual Whatsminers with API 3 what our adapter reads, and what it wrote.

The makers' ports are fixed in both; see ``test_firmware_clients``.
"""

from typing import Any

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet.control import execute
from mbongi.fleet.reading import Target
from mbongi.fleet.values import ActionKind, Family
from tests.fleet.adapters.test_firmware_clients import POOL, makers_site
from tests.fleet.adapters.test_other_clients import ours, rates
from tests.twin.others_clients import pyasic, pyasic_rs
from tests.twin.peers import HandClock


def target_of(address: str, family: Family) -> Target:
    return Target(machine_id=1, address=address, family=family)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")
async def test_pyasic_reads_of_a_whatsminer_with_api_3_what_we_read_and_wrote() -> None:
    async with makers_site(230, Family.WHATSMINER_V3) as site:
        [address] = site.addresses
        reading, detail = await ours(address, Family.WHATSMINER_V3)
        client: Any = await pyasic.get_miner(address)
        data = await client.get_data()
        target = target_of(address, Family.WHATSMINER_V3)
        assert (await execute(Fleet(), target, ActionKind.SET_POOLS, {"pools": [POOL]})).verified
        config = await client.get_config()
        wrote = await client.stop_mining()
        machine = site.machine(address)
        machine.advance()
    assert type(client).__name__ == "BTMinerM60SVK40"
    # Its hashrate is the mean since the start.
    assert float(data.hashrate) == pytest.approx(reading.hashrate_av_ths, rel=1e-3)
    assert (data.mac, data.hostname, data.serial_number) == (detail.mac, detail.hostname, detail.serial)
    assert [fan.speed for fan in data.fans] == [reading.fan1_rpm, reading.fan2_rpm]
    assert sum(board.chips for board in data.hashboards) == reading.chips
    assert data.wattage == pytest.approx(reading.power_w, abs=1)
    assert data.uptime == reading.uptime_s
    assert [(pool.url, pool.user) for pool in config.pools.groups[0].pools] == [(POOL["url"], POOL["user"])]
    assert wrote
    assert machine.asleep


async def test_pyasic_rs_reads_of_a_whatsminer_with_api_3_what_we_read_and_wrote() -> None:
    clock = HandClock()
    async with makers_site(234, Family.WHATSMINER_V3, clock) as site:
        [address] = site.addresses
        reading, detail = await ours(address, Family.WHATSMINER_V3)
        client: Any = await pyasic_rs.MinerFactory().get_miner(address)
        data = await client.get_data()
        target = target_of(address, Family.WHATSMINER_V3)
        assert (await execute(Fleet(), target, ActionKind.SET_POOLS, {"pools": [POOL]})).verified
        [group] = await client.get_pools_config()
        assert (await execute(Fleet(), target, ActionKind.SLEEP, {})).verified
        clock.pass_s(60)
        asleep = await client.get_data()
        # The other way round: what it hides and signs, the virtual machine opens.
        assert await client.resume()
        assert await client.set_power_limit(2980)
        limited = await client.get_data()
    assert (client.make, client.model) == ("Whatsminer", "M60SVK40")
    assert data.hashrate.value == pytest.approx(reading.hashrate_ths, rel=1e-3)
    assert (data.mac, data.hostname, data.firmware_version) == (detail.mac, detail.hostname, detail.firmware)
    assert [fan.rpm for fan in data.fans] == pytest.approx([reading.fan1_rpm, reading.fan2_rpm])
    assert data.total_chips == reading.chips
    assert data.wattage == pytest.approx(reading.power_w, abs=1)
    assert [board.hashrate.value for board in data.hashboards] == pytest.approx(rates(reading, 3), rel=5e-2)
    assert (data.is_mining, asleep.is_mining) == (True, False)
    assert [(str(pool.url), pool.username) for pool in group.pools] == [(POOL["url"], POOL["user"])]
    assert "2980" in str(limited.tuning_target)
