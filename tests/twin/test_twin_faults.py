"""Every fault, as a client sees it, and that it ends."""

import asyncio
import json
import time
from typing import Any

import httpx
import pytest

from mbongi.fleet.values import Family
from mbongi.twin.errors import TwinError, UnknownAddressError
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from tests.twin.peers import HandClock, one, raw, rpc, running_site, web

WITH_HTTP = [Family.ANTMINER, Family.BITAXE]
WITH_RPC = [Family.ANTMINER, Family.WHATSMINER]


async def connects(site: VirtualSite, address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def ends(reader: asyncio.StreamReader) -> bool:
    """Whether the connection breaks or ends without a byte."""
    try:
        async with asyncio.timeout(5.0):
            return await reader.read() == b""
    except ConnectionResetError:
        return True


def port_of(site: VirtualSite, family: Family) -> int:
    return site.config.http_port if family is Family.BITAXE else site.config.rpc_port


@pytest.mark.parametrize("family", [Family.ANTMINER, Family.WHATSMINER, Family.BITAXE])
async def test_a_machine_switched_off_refuses_and_answers_again_after_its_boot(family: Family) -> None:
    async with running_site(time_scale=300.0) as site:
        address = one(site, family)
        port = port_of(site, family)
        reader, writer = await asyncio.open_connection(address, port)
        site.set_fault(address, Fault.OFF)

        assert not await connects(site, address, port)
        assert await ends(reader)
        writer.close()

        site.set_fault(address, Fault.NONE)
        assert not await connects(site, address, port)
        for _ in range(500):
            if site.places[address].servers:
                break
            await asyncio.sleep(0.01)
        assert await connects(site, address, port)


@pytest.mark.parametrize("family", WITH_RPC)
async def test_a_hung_machine_accepts_and_never_answers_until_mended(family: Family) -> None:
    async with running_site() as site:
        address = one(site, family)
        site.set_fault(address, Fault.HUNG)
        reader, writer = await asyncio.open_connection(address, site.config.rpc_port)
        writer.write(b'{"command":"summary"}')
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read()

        site.set_fault(address, Fault.NONE)
        assert await ends(reader)
        writer.close()
        assert "SUMMARY" in await rpc(site, address, "summary")


async def test_a_hung_machine_holds_its_web_clients_too() -> None:
    async with running_site() as site:
        address = one(site, Family.BITAXE)
        site.set_fault(address, Fault.HUNG)
        async with web(site, address) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/api/system/info", timeout=0.3)


async def test_a_slow_machine_answers_late_and_right() -> None:
    async with running_site(slow_s=0.4) as site:
        address = one(site, Family.ANTMINER)
        site.set_fault(address, Fault.SLOW)
        started = time.monotonic()
        reply = await rpc(site, address, "summary")

    assert reply["SUMMARY"]
    assert time.monotonic() - started >= 0.4


@pytest.mark.parametrize("family", WITH_RPC)
async def test_half_a_reply_ends_in_the_middle(family: Family) -> None:
    async with running_site() as site:
        address = one(site, family)
        site.set_fault(address, Fault.HALF_REPLY)
        found = await raw(site, address, b'{"command":"pools"}')

    assert found.startswith(b"{")
    with pytest.raises(json.JSONDecodeError):
        json.loads(found.rstrip(b"\0"))


@pytest.mark.parametrize("fault", [Fault.HALF_REPLY, Fault.GARBAGE])
@pytest.mark.parametrize("family", WITH_HTTP)
async def test_a_broken_web_answer_is_seen_as_broken(family: Family, fault: Fault) -> None:
    async with running_site() as site:
        address = one(site, family)
        site.set_fault(address, fault)
        async with web(site, address) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/api/system/info")


@pytest.mark.parametrize("family", WITH_RPC)
async def test_garbage_is_no_json(family: Family) -> None:
    async with running_site() as site:
        address = one(site, family)
        site.set_fault(address, Fault.GARBAGE)
        found = await raw(site, address, b'{"command":"summary"}')

    assert found
    with pytest.raises(ValueError, match=r"."):
        json.loads(found)


async def test_a_dead_board_is_missing_from_every_answer() -> None:
    clock = HandClock()
    async with running_site(clock=clock) as site:
        ant, whats, axe = (one(site, family) for family in (Family.ANTMINER, Family.WHATSMINER, Family.BITAXE))
        for address in (ant, whats, axe):
            site.set_fault(address, Fault.BOARD_DEAD)
        clock.pass_s(60)

        row = (await rpc(site, ant, "stats"))["STATS"][1]
        lost = site.machine(ant).weak_board + 1
        assert (row[f"chain_acn{lost}"], row[f"chain_rate{lost}"], row["miner_count"]) == (0, "", 2)
        assert len((await rpc(site, whats, "devs"))["DEVS"]) == 2
        assert next(iter((await rpc(site, whats, "get_error_code"))["Msg"]["error_code"][0])) in {"540", "541", "542"}
        async with web(site, axe) as client:
            assert (await client.get("/api/system/info")).json()["hashRate"] == 0


async def test_a_dead_fan_reads_zero_and_is_named_as_the_fault() -> None:
    clock = HandClock()
    async with running_site(clock=clock) as site:
        address = one(site, Family.ANTMINER)
        site.set_fault(address, Fault.FAN_DEAD)
        clock.pass_s(120)
        async with web(site, address, password="root") as client:
            stats = (await client.get("/cgi-bin/stats.cgi")).json()["STATS"][0]
            flags = (await client.get("/cgi-bin/summary.cgi")).json()["SUMMARY"][0]["status"]

    assert stats["fan"][site.machine(address).weak_fan] == 0
    assert {flag["type"]: flag["status"] for flag in flags}["fans"] == "e"
    assert stats["rate_5s"] == 0


async def test_overheating_shows_in_the_answers() -> None:
    clock = HandClock()
    async with running_site(clock=clock) as site:
        address = one(site, Family.WHATSMINER)
        site.set_fault(address, Fault.OVERHEAT)
        for _ in range(12):
            clock.pass_s(10)
            site.machine(address).advance()
        row = (await rpc(site, address, "summary"))["SUMMARY"][0]
        errors = (await rpc(site, address, "get_error_code"))["Msg"]["error_code"]

    assert row["Chip Temp Max"] > 95
    assert any(code in {"350", "351", "352"} for error in errors for code in error)


async def test_many_machines_fail_and_mend_at_the_same_addresses_again_and_again() -> None:
    async with running_site(machines=10, per_rack=2, time_scale=1000.0) as site:
        for _ in range(3):
            for address in site.addresses:
                site.set_fault(address, Fault.OFF)
            for address in site.addresses:
                site.set_fault(address, Fault.NONE)
            for _ in range(500):
                if all(place.servers for place in site.places.values()):
                    break
                await asyncio.sleep(0.01)
            for address in site.addresses_of(Family.WHATSMINER):
                assert "SUMMARY" in await rpc(site, address, "summary")


# The control interface.


async def asked(site: VirtualSite, method: str, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.config.control_port}", trust_env=False) as client:
        return await client.request(method, path, **options)


async def test_faults_are_set_over_http() -> None:
    async with running_site(control=True) as site:
        address = one(site, Family.BITAXE)
        assert (await asked(site, "GET", "/health")).json() == {"machines": 3, "practice": None}
        assert {row["address"] for row in (await asked(site, "GET", "/machines")).json()} == set(site.addresses)

        reply = await asked(site, "POST", f"/machines/{address}/fault", json={"fault": "off"})
        assert (reply.status_code, reply.json()["fault"], reply.json()["phase"]) == (200, "off", "off")
        assert not await connects(site, address, site.config.http_port)
        assert (await asked(site, "GET", f"/machines/{address}")).json()["hashrate_ths"] == 0


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "said"),
    [
        ("POST", "/machines/{address}/fault", {"json": {"fault": "sick"}}, 400, "expected one of none, off, hung"),
        ("POST", "/machines/{address}/fault", {"content": b"{"}, 400, "no JSON object"),
        ("POST", "/machines/127.24.9.9/fault", {"json": {"fault": "off"}}, 404, "no virtual machine"),
        ("POST", "/machines/{address}/api-write", {"json": {"allowed": True}}, 400, "expected a Whatsminer"),
        ("POST", "/machines/{address}/love", {"json": {}}, 404, "no such page"),
        ("GET", "/nowhere", {}, 404, "no such page"),
        ("DELETE", "/machines", {}, 405, "expected GET or POST"),
        ("GET", "/machines", {"headers": {"Origin": "http://evil.example"}}, 403, "local programs only"),
        ("GET", "/machines", {"headers": {"Host": "evil.example"}}, 403, "local programs only"),
    ],
)
async def test_the_control_interface_says_what_is_wrong(
    method: str, path: str, options: dict[str, Any], status: int, said: str
) -> None:
    async with running_site(control=True) as site:
        reply = await asked(site, method, path.format(address=one(site, Family.ANTMINER)), **options)

    assert reply.status_code == status
    assert said in reply.json()["error"]


async def test_a_fault_for_a_machine_that_is_not_there_is_an_error() -> None:
    async with running_site() as site:
        with pytest.raises(UnknownAddressError, match=r"127\.24\.77\.1"):
            site.set_fault("127.24.77.1", Fault.OFF)


async def test_a_busy_port_is_one_clear_line_and_leaves_nothing_open() -> None:
    async with running_site() as site:
        second = VirtualSite(site.config)
        with pytest.raises(TwinError, match=r"127\.24\.1\.1: rpc port \d+: already in use; stop the program"):
            await second.start()
        assert not any(place.servers for place in second.places.values())
