"""pyasic and pyasic_rs read of virtual Whatsminers with API 3, and Avalons, what our adapters read and wrote.

Both know the makers' ports only, so this needs root or a lowered unprivileged-port limit
(``sysctl net.ipv4.ip_unprivileged_port_start=80``). Each test has a network of its own: they may run side by side.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mbongi.base.config import Fleet, Twin
from mbongi.fleet.control import execute
from mbongi.fleet.reading import Target
from mbongi.fleet.values import ActionKind, Family
from mbongi.twin.site import VirtualSite
from tests.fleet.adapters.test_other_clients import ours, rates
from tests.twin.others_clients import pyasic, pyasic_rs
from tests.twin.peers import HandClock

WAIT_S = 60.0
POOL = {"url": "stratum+tcp://new.example:3333", "user": "site.m1", "password": "x"}


@asynccontextmanager
async def makers_site(network: str, family: Family, **options: Any) -> AsyncIterator[VirtualSite]:
    """One machine on the ports that the makers use; its clock stands still unless told otherwise."""
    words = (family.value,)
    config = Twin(machines=1, per_rack=1, families=words, network=network, rpc_port=4028, http_port=80)
    site = VirtualSite(config, **(options or {"clock": HandClock()}))
    await site.start()
    try:
        async with asyncio.timeout(WAIT_S):
            yield site
    finally:
        await site.close()


def target_of(address: str, family: Family) -> Target:
    return Target(machine_id=1, address=address, family=family)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")
async def test_pyasic_reads_of_a_whatsminer_with_api_3_what_we_read_and_wrote() -> None:
    async with makers_site("127.230.1.0/24", Family.WHATSMINER_V3) as site:
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
    async with makers_site("127.230.2.0/24", Family.WHATSMINER_V3, clock=clock) as site:
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


@pytest.mark.filterwarnings("ignore")
async def test_pyasic_reads_of_an_avalon_what_we_read_and_wrote() -> None:
    async with makers_site("127.230.3.0/24", Family.AVALON) as site:
        [address] = site.addresses
        reading, detail = await ours(address, Family.AVALON)
        client: Any = await pyasic.get_miner(address)
        data = await client.get_data()
        config = await client.get_config()
        machine = site.machine(address)
        wrote = await client.stop_mining()
    assert type(client).__name__ == "CGMinerAvalon1246"
    assert float(data.hashrate) in (
        pytest.approx(reading.hashrate_ths, rel=1e-3),
        pytest.approx(reading.hashrate_av_ths, rel=1e-3),
    )
    assert float(data.expected_hashrate) == pytest.approx(reading.hashrate_nominal_ths)
    assert data.mac == detail.mac
    assert [fan.speed for fan in data.fans] == pytest.approx(machine.rpm, abs=1)
    assert sum(board.chips for board in data.hashboards) == reading.chips
    assert [float(board.hashrate) for board in data.hashboards] == pytest.approx(rates(reading, 3), rel=1e-3)
    assert data.env_temp == reading.inlet_temp_c
    assert data.wattage_limit == reading.power_limit_w
    assert data.pools[0].accepted == reading.accepted
    assert [pool.url for pool in config.pools.groups[0].pools] == [pool.url for pool in detail.pools]
    assert wrote


async def test_pyasic_rs_reads_of_an_avalon_what_we_read_and_wrote() -> None:
    async with makers_site("127.230.4.0/24", Family.AVALON, time_scale=20.0) as site:
        [address] = site.addresses
        machine = site.machine(address)
        reading, detail = await ours(address, Family.AVALON)
        client: Any = await pyasic_rs.MinerFactory().get_miner(address)
        data = await client.get_data()
        target = target_of(address, Family.AVALON)
        assert (await execute(Fleet(), target, ActionKind.SLEEP, {})).verified
        asleep = await client.get_data()
        assert (await execute(Fleet(), target, ActionKind.WAKE, {})).verified
        assert (await execute(Fleet(), target, ActionKind.SET_POOLS, {"pools": [POOL]})).verified
        [group] = await client.get_pools_config()
        assert await client.set_fault_light(fault=True)
        assert machine.blinking
    assert (client.make, client.model) == ("Avalonminer", "Avalon1246")
    assert data.hashrate.value == pytest.approx(reading.hashrate_ths, rel=5e-2)
    assert data.expected_hashrate.value == pytest.approx(reading.hashrate_nominal_ths)
    assert (data.mac, data.serial_number) == (detail.mac, detail.serial)
    assert data.firmware_version == detail.firmware
    assert data.total_chips == reading.chips
    assert [board.hashrate.value for board in data.hashboards] == pytest.approx(rates(reading, 3), rel=5e-2)
    # It takes what the supply gives out for the machine's power.
    assert data.wattage == pytest.approx(0.91 * reading.power_w, rel=5e-2)
    # It says "mining" of any Avalon that answers.
    assert asleep.hashrate.value == 0
    assert [(str(pool.url), pool.username) for pool in group.pools] == [(POOL["url"], POOL["user"])]
