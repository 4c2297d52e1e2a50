"""Whatsminers with API 3: tiers of polls, states, kept connections, identification. Against a virtual machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session
from mbongi.fleet.control import execute
from mbongi.fleet.device_errors import (
    DeniedError,
    DeviceError,
    GarbledError,
    RefusedError,
    RejectedError,
    UnreachableError,
)
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, Target
from mbongi.fleet.scan import scan
from mbongi.fleet.values import ActionKind, Family, MachineState
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from mbongi.twin.whatsminer_v3 import WhatsminerV3
from tests.embedded import free_ports
from tests.fleet.beds import fleet_of, virtual_site
from tests.twin.peers import HandClock

NETWORK = "127.23.0.0/16"
FAMILY = Family.WHATSMINER_V3
ADAPTER = adapter_of(FAMILY)


@asynccontextmanager
async def alone(**options: Any) -> AsyncIterator[tuple[VirtualSite, Session, Target]]:
    async with virtual_site(NETWORK, machines=1, families=(FAMILY,), **options) as site:
        [address] = site.addresses
        session = Session(address, Access.of(fleet_of(site.config)))
        try:
            yield site, session, Target(machine_id=1, address=address, family=FAMILY)  # type: ignore[arg-type]
        finally:
            session.close()


def firmware_of(site: VirtualSite) -> WhatsminerV3:
    [place] = site.places.values()
    assert isinstance(place.firmware, WhatsminerV3)
    return place.firmware


def blank() -> MachineReading:
    return MachineReading(ts=0, machine_id=1)


async def found_in(site: VirtualSite, **options: Any) -> Found:
    [address] = site.addresses
    [found] = [each async for each in scan([address], fleet_of(site.config, timeout_s=5.0, **options))]
    return found


async def test_the_three_tiers_read_the_machine_over_one_kept_connection() -> None:
    async with alone(clock=HandClock()) as (site, session, target):
        machine, reading, detail = site.machine(target.address), blank(), MachineDetail()
        assert (await ADAPTER.poll_fast(session, blank())).state is MachineState.MINING
        kept = session.framed
        assert (await ADAPTER.poll_static(session, reading, detail)).state is MachineState.MINING
        assert session.framed is kept
        assert len(site.places[target.address].connections) == 1
    assert reading.hashrate_ths == pytest.approx(machine.rate_ths, abs=1e-3)
    assert reading.power_w == pytest.approx(machine.power_w, abs=0.1)
    assert reading.board2_ths == pytest.approx(machine.rates_ths[1], abs=1e-3)
    assert (reading.board_count, reading.chips) == (3.0, 675.0)
    assert reading.model == detail.model == "Whatsminer M60S VK40"
    assert (detail.mac, detail.serial) == (machine.mac, machine.serial)
    assert [pool.url for pool in detail.pools] == [pool.url for pool in machine.pools]
    assert [board.serial for board in detail.boards] == machine.board_serials
    assert session.slow.psu_temp_c == pytest.approx(machine.inlet_c + machine.power_w / 400, abs=0.1)


async def test_a_kept_connection_that_the_machine_closed_is_opened_again_for_a_reading() -> None:
    async with alone() as (site, session, target):
        await ADAPTER.poll_fast(session, blank())
        for connection in tuple(site.places[target.address].connections):
            connection.abort()
        await asyncio.sleep(0)
        assert (await ADAPTER.poll_fast(session, blank())).state is MachineState.MINING


async def test_a_stopped_machine_sleeps_and_a_lost_board_is_missed() -> None:
    clock = HandClock()
    async with alone(clock=clock) as (site, session, target):
        machine = site.machine(target.address)
        machine.sleep()
        clock.pass_s(60)
        assert (await ADAPTER.poll_fast(session, blank())).state is MachineState.SLEEPING
        detail = MachineDetail()
        await ADAPTER.poll_slow(session, blank(), detail)
        assert detail.work_mode == "sleep"

        machine.wake()
        clock.pass_s(20)
        assert (await ADAPTER.poll_fast(session, blank())).state is MachineState.STARTING
        clock.pass_s(600)
        site.set_fault(target.address, Fault.BOARD_DEAD)
        clock.pass_s(10)
        reading = blank()
        await ADAPTER.poll_slow(session, reading, detail)
        assert reading.board_count == 2.0
        assert [error.code for error in detail.errors] == [str(530 + machine.weak_board)]


async def test_firmware_that_does_not_join_filters_is_asked_one_by_one() -> None:
    async with alone() as (site, session, _):
        tables = firmware_of(site).tables
        reads = firmware_of(site).reads
        status = reads["get.miner.status"]
        reads["get.miner.status"] = lambda param: {} if "+" in str(param) else status(param)
        reading, detail = blank(), MachineDetail()
        assert (await ADAPTER.poll_slow(session, reading, detail)).state is MachineState.MINING
        assert (reading.board_count, len(detail.pools), len(detail.boards)) == (3.0, 3, 3)

        tables["summary"] = lambda: None
        with pytest.raises(GarbledError, match="no summary"):
            await ADAPTER.poll_fast(session, blank())


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.HALF_REPLY])
async def test_nonsense_is_an_error_that_names_the_machine(fault: Fault) -> None:
    async with alone() as (site, session, target):
        site.set_fault(target.address, fault)
        with pytest.raises(DeviceError, match=target.address):
            async with asyncio.timeout(5):
                await ADAPTER.poll_fast(session, blank())


async def test_the_scan_tells_it_from_older_whatsminers_by_the_date_and_the_framed_port() -> None:
    async with virtual_site(NETWORK, machines=2, families=("whatsminer", "whatsminer_v3")) as site:
        config = fleet_of(site.config, timeout_s=5.0)
        ranges = [f"{address}" for address in site.addresses]
        found = {each.address: each async for each in scan(ranges, config)}
        assert [found[address].family for address in site.addresses] == [Family.WHATSMINER, Family.WHATSMINER_V3]
        new = found[site.addresses[1]]
        assert (new.model, new.firmware) == ("Whatsminer M60S VK40", "20251209.16.Rel2")
        assert (new.mac, new.serial) == (site.machine(new.address).mac, site.machine(new.address).serial)


async def test_where_the_framed_port_is_shut_it_counts_as_an_older_one() -> None:
    async with alone() as (site, _, _target):
        [shut] = free_ports(1)
        found = await found_in(site, framed_port=shut)

    assert found.family is Family.WHATSMINER


async def test_a_machine_whose_framed_port_alone_is_shut_is_unknown_and_not_off() -> None:
    async with alone() as (site, _, target):
        [shut] = free_ports(1)
        session = Session(target.address, Access.of(fleet_of(site.config, framed_port=shut)))
        with pytest.raises(UnreachableError, match=rf"connection refused, while port {site.config.rpc_port} answers"):
            await ADAPTER.poll_fast(session, blank())
        site.set_fault(target.address, Fault.OFF)
        with pytest.raises(RefusedError):
            await ADAPTER.poll_fast(session, blank())


async def test_a_write_is_signed_with_the_machines_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    async with alone() as (site, _, target):
        for module in ("whatsminer_v3", "btminer_v3_writes"):
            # A machine that never learnt the time counts from its start.
            monkeypatch.setattr(f"mbongi.twin.{module}.unix_s", lambda: 3521)
        outcome = await execute(fleet_of(site.config), target, ActionKind.SLEEP, {})

    assert outcome.verified


async def test_refusals_carry_the_machines_own_words() -> None:
    async with alone() as (site, session, target):
        site.set_api_write(target.address, allowed=False)
        with pytest.raises(DeniedError, match=r"code -4: no permission; is the API switch on"):
            await execute(fleet_of(site.config), target, ActionKind.SLEEP, {})
        site.set_api_write(target.address, allowed=True)
        del firmware_of(site).writes.commands["set.miner.service"]
        with pytest.raises(RejectedError, match=r"code -2: invalid command"):
            await execute(fleet_of(site.config), target, ActionKind.SLEEP, {})
        firmware_of(site).parts["miner"] = lambda: {"type": "M60S_VK40"}
        with pytest.raises(GarbledError, match=r"states no miner.working"):
            await ADAPTER.sleep(session)


async def test_off_and_alone_on_another_port_is_refused() -> None:
    session = Session("127.23.255.9", Access.of(Fleet(rpc_port=1, framed_port=1)))

    assert await ADAPTER.identify(session) is None
    with pytest.raises(DeviceError, match=r"127\.23\.255\.9: port 1: connection refused"):
        await ADAPTER.poll_fast(session, blank())
