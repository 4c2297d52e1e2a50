"""pyasic and pyasic_rs read of the virtual machines what our adapters read. They are the second method.

Both know ports 4028 and 80 only, so this needs root or a lowered unprivileged-port limit
(``sysctl net.ipv4.ip_unprivileged_port_start=80``). Each test has a network of its own: they may run side by side.
"""

import asyncio
from typing import Any

import pytest

from mbongi.base.config import Fleet, Twin
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session
from mbongi.fleet.reading import MachineDetail, MachineReading
from mbongi.fleet.rules.figures import complete
from mbongi.fleet.scan import scan
from mbongi.fleet.values import Family, MachineState
from mbongi.twin.site import VirtualSite
from tests.twin.others_clients import pyasic, pyasic_rs
from tests.twin.peers import HandClock

FAMILIES = [Family.ANTMINER, Family.WHATSMINER, Family.BITAXE]
WAIT_S = 30.0


async def ours(address: str, family: Family) -> tuple[MachineReading, MachineDetail]:
    session = Session(address, Access.of(Fleet()))
    reading, detail = MachineReading(ts=0, machine_id=1), MachineDetail()
    found = await adapter_of(family).poll_static(session, reading, detail)
    assert found.state is MachineState.MINING
    session.slow.put_into(reading, session.slow.at_s)
    complete(reading)
    session.close()
    return reading, detail


async def site_of(hall: int) -> VirtualSite:
    site = VirtualSite(
        Twin(machines=3, per_rack=1, network=f"127.{hall}.0.0/16", rpc_port=4028, http_port=80), clock=HandClock()
    )
    await site.start()
    return site


def rates(reading: MachineReading, boards: int) -> list[float]:
    return [reading.board1_ths, reading.board2_ths, reading.board3_ths][:boards]


def fans(reading: MachineReading, count: int) -> list[float]:
    return [reading.fan1_rpm, reading.fan2_rpm, reading.fan3_rpm, reading.fan4_rpm][:count]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
async def test_pyasic_reads_what_we_read(family: Family) -> None:
    site = await site_of(231 + FAMILIES.index(family))
    try:
        async with asyncio.timeout(WAIT_S):
            address = site.addresses_of(family)[0]
            reading, detail = await ours(address, family)
            client: Any = await pyasic.get_miner(address)
            data = await client.get_data()
    finally:
        await site.close()
    assert float(data.hashrate) == pytest.approx(reading.hashrate_ths, rel=5e-3)
    assert data.mac == detail.mac
    assert data.hostname == detail.hostname
    assert [fan.speed for fan in data.fans] == pytest.approx(fans(reading, len(data.fans)))
    assert sum(board.chips for board in data.hashboards) == reading.chips
    assert [float(board.hashrate) for board in data.hashboards] == pytest.approx(
        rates(reading, len(data.hashboards)), rel=2e-2
    )
    if family is Family.ANTMINER:
        assert data.wattage is None
        assert reading.power_estimated == 1
    else:
        assert data.wattage == pytest.approx(reading.power_w, abs=1)
    if family is not Family.BITAXE:
        assert data.uptime == reading.uptime_s
        assert [str(pool.url) for pool in data.pools] == [pool.url for pool in detail.pools]
        assert data.pools[0].accepted == reading.accepted
        assert data.pools[0].rejected == reading.rejected


@pytest.mark.parametrize("family", FAMILIES)
async def test_pyasic_rs_reads_what_we_read(family: Family) -> None:
    site = await site_of(235 + FAMILIES.index(family))
    try:
        async with asyncio.timeout(WAIT_S):
            address = site.addresses_of(family)[0]
            reading, detail = await ours(address, family)
            data: Any = await (await pyasic_rs.MinerFactory().get_miner(address)).get_data()
    finally:
        await site.close()
    assert data.hashrate.value == pytest.approx(reading.hashrate_ths, rel=5e-3)
    assert data.mac == detail.mac
    assert data.firmware_version
    assert [fan.rpm for fan in data.fans] == pytest.approx(fans(reading, len(data.fans)))
    assert data.total_chips == reading.chips
    assert data.pools[0].pools[0].accepted_shares == reading.accepted
    if family is not Family.ANTMINER:
        assert data.wattage == pytest.approx(reading.power_w, abs=1)


async def test_the_long_tail_adapter_reads_a_machine_as_its_own_adapter_does() -> None:
    site = await site_of(239)
    try:
        async with asyncio.timeout(WAIT_S):
            address = site.addresses_of(Family.BITAXE)[0]
            reading, detail = await ours(address, Family.BITAXE)
            other, other_detail = await ours(address, Family.OTHER)
    finally:
        await site.close()
    assert other.hashrate_ths == pytest.approx(reading.hashrate_ths, rel=1e-3)
    assert other.power_w == pytest.approx(reading.power_w, rel=1e-3)
    assert (other_detail.mac, other_detail.pools[0].url) == (detail.mac, detail.pools[0].url)
    assert other.accepted == reading.accepted


async def test_the_scan_finds_the_makers_own_ports() -> None:
    site = await site_of(240)
    try:
        found = [one async for one in scan(["127.240.1.0-127.240.3.9"], Fleet())]
    finally:
        await site.close()
    assert {one.family for one in found} == set(FAMILIES)
