"""pyasic and pyasic_rs read of virtual Antminers with other firmware what our adapters read, and what these wrote.

Both know ports 4028 and 80 only, so this needs root or a lowered unprivileged-port limit
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
async def makers_site(network: str, family: Family, clock: HandClock | None = None) -> AsyncIterator[VirtualSite]:
    """One machine on the ports that the makers use."""
    site = VirtualSite(
        Twin(
            machines=1,
            per_rack=1,
            families=(family.value,),
            network=network,
            rpc_port=4028,
            http_port=80,
        ),
        clock=clock or HandClock(),
    )
    await site.start()
    try:
        async with asyncio.timeout(WAIT_S):
            yield site
    finally:
        await site.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("family", "name", "network"),
    [(Family.LUXOS, "LUXMinerS19kPro", "127.248.0.0/16"), (Family.VNISH, "VNishS19", "127.250.0.0/16")],
)
async def test_pyasic_reads_what_we_read(family: Family, name: str, network: str) -> None:
    async with makers_site(network, family) as site:
        [address] = site.addresses
        reading, detail = await ours(address, family)
        client: Any = await pyasic.get_miner(address)
        data = await client.get_data()
        config = await client.get_config()
        machine = site.machine(address)
    assert type(client).__name__ == name
    assert [fan.speed for fan in data.fans] == pytest.approx(machine.rpm, abs=16)
    assert [board.chips for board in data.hashboards] == [machine.model.chips_per_board] * 3
    assert data.wattage == pytest.approx(reading.power_w, abs=1)
    assert data.is_mining
    assert [pool.url for pool in config.pools.groups[0].pools] == [pool.url for pool in detail.pools]
    assert str(data.pools[0].url) == machine.pools[0].url
    assert data.pools[0].accepted == reading.accepted
    assert float(data.hashrate) == pytest.approx(reading.hashrate_ths, rel=5e-2)


@pytest.mark.parametrize(
    ("family", "model", "network"),
    [
        (Family.LUXOS, ("Antminer", "S19KPro"), "127.249.0.0/16"),
        (Family.VNISH, ("Antminer", "S19"), "127.251.0.0/16"),
        (Family.BRAIINS, ("Antminer", "S21Pro"), "127.253.0.0/16"),
    ],
)
async def test_pyasic_rs_reads_what_we_read_and_what_we_wrote(
    family: Family, model: tuple[str, str], network: str
) -> None:
    clock = HandClock()
    async with makers_site(network, family, clock) as site:
        [address] = site.addresses
        reading, detail = await ours(address, family)
        client: Any = await pyasic_rs.MinerFactory().get_miner(address)
        data = await client.get_data()
        target = Target(machine_id=1, address=address, family=family)  # type: ignore[arg-type]
        assert (await execute(Fleet(), target, ActionKind.SET_POOLS, {"pools": [POOL]})).verified
        groups = await client.get_pools_config()
        assert (await execute(Fleet(), target, ActionKind.SLEEP, {})).verified
        clock.pass_s(120)
        asleep = await client.get_data()
    assert (client.make, client.model) == model
    assert data.hashrate.value == pytest.approx(reading.hashrate_ths, rel=5e-3)
    assert data.mac == detail.mac
    assert data.hostname == detail.hostname
    assert data.is_mining
    assert [fan.rpm for fan in data.fans] == pytest.approx(
        [reading.fan1_rpm, reading.fan2_rpm, reading.fan3_rpm, reading.fan4_rpm], abs=16
    )
    assert data.total_chips == reading.chips
    assert data.wattage == pytest.approx(reading.power_w, abs=1)
    assert [board.hashrate.value for board in data.hashboards] == pytest.approx(rates(reading, 3), rel=5e-2)
    assert data.pools[0].pools[0].accepted_shares == reading.accepted
    [group] = [group for group in groups if group.pools]
    pools = [(str(pool.url), pool.username) for pool in group.pools if pool.username != "DevFee"]
    assert pools == [(POOL["url"], POOL["user"])]
    # Of LuxOS it says "mining" of any machine that answers.
    assert family is Family.LUXOS or not asleep.is_mining
    assert asleep.hashrate.value == 0


@pytest.mark.filterwarnings("ignore")
async def test_pyasic_takes_the_virtual_braiins_machine_for_a_real_one() -> None:
    # It reads Braiins OS over gRPC, which the virtual machine does not offer.
    async with makers_site("127.252.0.0/16", Family.BRAIINS) as site:
        client: Any = await pyasic.get_miner(site.addresses[0])
    assert type(client).__name__ == "BOSMinerS21Pro"


async def test_we_read_a_power_target_that_pyasic_rs_wrote() -> None:
    async with makers_site("127.254.4.0/24", Family.BRAIINS) as site:
        [address] = site.addresses
        client: Any = await pyasic_rs.MinerFactory().get_miner(address)
        assert await client.set_power_limit(2600)
        target = Target(machine_id=1, address=address, family=Family.BRAIINS)  # type: ignore[arg-type]
        assert (await execute(Fleet(), target, ActionKind.SET_POWER, {"target_w": 2600})).message.startswith("already")
