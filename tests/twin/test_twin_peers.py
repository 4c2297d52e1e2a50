"""pyasic and pyasic_rs take the virtual machines for real ones and read what the machines hold.

Both know ports 4028 and 80 only, so this needs root or a lowered unprivileged-port limit
(``sysctl net.ipv4.ip_unprivileged_port_start=80``). Each test has a network of its own: they may run side by side.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mbongi.base.config import Twin
from mbongi.fleet.values import Family
from mbongi.twin.site import VirtualSite
from tests.twin.others_clients import pyasic, pyasic_rs
from tests.twin.peers import HandClock, one

WAIT_S = 30.0
CLASSES = {Family.ANTMINER: "BMMinerS21", Family.WHATSMINER: "BTMinerM50SVH30", Family.BITAXE: "BitAxeSupra"}
MODELS = {
    Family.ANTMINER: ("Antminer", "S21"),
    Family.WHATSMINER: ("Whatsminer", "M50SVH30"),
    Family.BITAXE: ("Bitaxe", "Supra"),
}
FAMILIES = [Family.ANTMINER, Family.WHATSMINER, Family.BITAXE]


@asynccontextmanager
async def makers_site(hall: int) -> AsyncIterator[VirtualSite]:
    """One machine of each family on the ports that the makers use; the clock stands still."""
    config = Twin(machines=3, per_rack=1, network=f"127.{hall}.0.0/16", rpc_port=4028, http_port=80)
    site = VirtualSite(config, clock=HandClock())
    await site.start()
    try:
        yield site
    finally:
        await site.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
async def test_pyasic_identifies_and_reads_the_machine(family: Family) -> None:
    async with makers_site(241 + FAMILIES.index(family)) as site, asyncio.timeout(WAIT_S):
        machine = site.machine(one(site, family))
        client = await pyasic.get_miner(machine.address)
        assert client is not None
        data = await client.get_data()

    assert type(client).__name__ == CLASSES[family]
    assert float(data.hashrate) == pytest.approx(machine.rate_ths, rel=1e-3)
    assert data.mac == machine.mac
    assert data.is_mining
    assert [fan.speed for fan in data.fans] == pytest.approx(machine.rpm, abs=16)
    assert [board.chips for board in data.hashboards] == [machine.model.chips_per_board] * machine.model.boards
    if family is not Family.BITAXE:
        assert data.uptime == int(machine.elapsed_s)
        assert data.pools[0].accepted == machine.accepted
        assert str(data.pools[0].url) == machine.pools[0].url


@pytest.mark.parametrize("family", FAMILIES)
async def test_pyasic_rs_identifies_and_reads_the_machine(family: Family) -> None:
    async with makers_site(245 + FAMILIES.index(family)) as site, asyncio.timeout(WAIT_S):
        machine = site.machine(one(site, family))
        client = await pyasic_rs.MinerFactory().get_miner(machine.address)
        assert client is not None
        data = await client.get_data()

    assert (client.make, client.model) == MODELS[family]
    assert data.hashrate.value == pytest.approx(machine.rate_ths, rel=1e-3)
    assert data.mac == machine.mac
    assert data.is_mining
    assert [fan.rpm for fan in data.fans] == pytest.approx(machine.rpm, abs=16)
    if family is not Family.ANTMINER:
        assert data.wattage == pytest.approx(machine.power_w, abs=1)
    assert data.pools[0].pools[0].accepted_shares == machine.accepted
