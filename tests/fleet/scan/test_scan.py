"""The scan: every live address is found, and what it is."""

import asyncio
import socket

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet import scan as scan_module
from mbongi.fleet.ranges import ScanRangeError
from mbongi.fleet.reading import Found
from mbongi.fleet.scan import Progress, range_size, scan
from mbongi.fleet.values import Family
from mbongi.twin.values import Fault
from tests.embedded import free_ports
from tests.fleet.beds import fleet_of, virtual_site

NETWORK = "127.23.0.0/16"


async def found_in(ranges: list[str], config: Fleet) -> dict[str, Found]:
    return {one.address: one async for one in scan(ranges, config)}


async def test_every_machine_is_found_with_its_family_model_and_identity() -> None:
    async with virtual_site(NETWORK, machines=30, per_rack=10) as site:
        steps: list[tuple[int, int]] = []

        def on_progress(progress: Progress) -> None:
            steps.append((progress.probed, progress.identified))

        config = fleet_of(site.config, timeout_s=5.0)
        found = {one.address: one async for one in scan(["127.23.0.0/21"], config, on_progress=on_progress)}
        assert set(found) == set(site.places)
        for address, one in found.items():
            machine = site.machine(address)
            assert one.family is machine.model.family
            assert one.mac == machine.mac
            assert one.model.startswith(machine.model.name)
            assert not one.hung
        assert found["127.23.1.1"].ports == (site.config.rpc_port, site.config.http_port)
        assert steps[-1] == (2048, 30)


async def test_hung_machines_are_found_and_called_hung_and_do_not_hold_up_the_rest() -> None:
    async with virtual_site(NETWORK, machines=30, per_rack=10) as site:
        hung = set(list(site.places)[::4])
        for address in hung:
            site.set_fault(address, Fault.HUNG)
        found = await found_in(["127.23.1.0-127.23.3.255"], fleet_of(site.config, timeout_s=1.0, workers=16))
        assert set(found) == set(site.places)
        assert {address for address, one in found.items() if one.hung} == hung
        assert all(one.family is not None for address, one in found.items() if address not in hung)


async def test_a_machine_that_is_off_is_not_live() -> None:
    async with virtual_site(NETWORK) as site:
        off = next(iter(site.places))
        site.set_fault(off, Fault.OFF)
        assert set(await found_in(["127.23.1.0-127.23.3.9"], fleet_of(site.config))) == set(site.places) - {off}


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.HALF_REPLY])
async def test_what_answers_nonsense_is_live_and_not_named(fault: Fault) -> None:
    async with virtual_site(NETWORK) as site:
        for address in site.places:
            site.set_fault(address, fault)
        found = await found_in(["127.23.1.0-127.23.3.9"], fleet_of(site.config, timeout_s=2.0))
        assert set(found) == set(site.places)
        assert all(one.family is None and not one.hung for one in found.values())


async def test_something_else_that_listens_is_live_and_not_named() -> None:
    port, rpc_port = free_ports(2)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuse, "127.23.9.9", port)
    async with server:
        found = await found_in(["127.23.9.0/28"], Fleet(http_port=port, rpc_port=rpc_port, timeout_s=2.0))
    assert [(one.address, one.family, one.hung) for one in found.values()] == [("127.23.9.9", None, False)]


async def test_an_address_that_swallows_connections_is_tried_twice_and_then_not_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scan_module, "PROBE_S", 0.05)
    [port] = free_ports(1)
    # A listener whose queue is full drops further connections, as a silent network does.
    with socket.socket() as listener:
        listener.bind(("127.23.9.8", port))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(("127.23.9.8", port))
        found = await found_in(["127.23.9.8"], Fleet(http_port=port, rpc_port=port, timeout_s=0.2))
        for filler in fillers:
            filler.close()
    assert found == {}


async def test_few_file_descriptors_make_it_slower_and_not_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "raise_open_files", lambda: 8)
    async with virtual_site(NETWORK, machines=20, per_rack=10) as site:
        assert set(await found_in(["127.23.0.0/22"], fleet_of(site.config, timeout_s=5.0))) == set(site.places)


async def test_a_caller_that_stops_early_ends_the_scan() -> None:
    async with virtual_site(NETWORK, machines=20, per_rack=10) as site:
        stream = scan(["127.23.0.0/16"], fleet_of(site.config))
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        assert len(asyncio.all_tasks()) < 40


async def test_a_bad_range_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(ScanRangeError):
        await found_in(["10.0.0.0/99"], Fleet())
    with pytest.raises(ScanRangeError):
        range_size(["nonsense"])
    assert range_size(["10.20.0.0/20", "10.20.0.5"]) == 4096


async def test_an_empty_range_finds_nothing() -> None:
    assert await found_in([], Fleet()) == {}


async def test_all_families_are_among_the_found() -> None:
    async with virtual_site(NETWORK) as site:
        found = await found_in(["127.23.1.1,127.23.2.1 127.23.3.1"], fleet_of(site.config, timeout_s=5.0))
        assert {one.family for one in found.values()} == {Family.ANTMINER, Family.WHATSMINER, Family.BITAXE}
