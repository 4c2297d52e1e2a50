"""Virtual machines that change addresses, and that tell who they are."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import pytest

from mbongi.base.config import Twin
from mbongi.twin.control import Control
from mbongi.twin.errors import TwinError, UnknownAddressError
from mbongi.twin.firmware import HttpRequest
from mbongi.twin.moving import move, rotate
from mbongi.twin.report import payload, report, report_rack
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from tests.embedded import free_ports

NETWORK = "127.23.0.0/16"
FAMILIES = ("antminer", "whatsminer", "bitaxe", "luxos")


@pytest.fixture
async def site() -> AsyncIterator[VirtualSite]:
    """Two racks of two: Antminers, Whatsminers; and one Bitaxe, and a LuxOS."""
    rpc, http, bitmain, microbt = free_ports(4)
    twin = Twin(
        machines=8,
        per_rack=2,
        network=NETWORK,
        families=FAMILIES,
        rpc_port=rpc,
        http_port=http,
        report_port=bitmain,
        report_whatsminer_port=microbt,
    )
    running = VirtualSite(twin)
    await running.start()
    yield running
    await running.close()


async def answers(site: VirtualSite, address: str) -> bool:
    try:
        _reader, writer = await asyncio.open_connection(address, site.config.http_port)
    except OSError:
        return False
    writer.close()
    return True


async def until(site: VirtualSite, address: str) -> None:
    async with asyncio.timeout(10):
        while not await answers(site, address):  # noqa: ASYNC110 -- the machine is watched from outside
            await asyncio.sleep(0.02)


async def test_a_moved_machine_keeps_who_it_is_and_answers_at_its_new_address_alone(site: VirtualSite) -> None:
    old, new = "127.23.1.1", "127.23.9.7"
    mac = site.machine(old).mac
    move(site, old, new)
    await until(site, new)
    assert site.machine(new).mac == mac
    assert not await answers(site, old)
    with pytest.raises(UnknownAddressError):
        site.machine(old)


@pytest.mark.parametrize("new", ["127.23.1.2", "127.24.1.1", "nowhere"])
async def test_an_address_that_is_taken_or_outside_changes_nothing(site: VirtualSite, new: str) -> None:
    before = list(site.places)
    with pytest.raises(TwinError):
        move(site, "127.23.1.1", new)
    assert list(site.places) == before
    assert await answers(site, "127.23.1.1")


async def test_a_rack_that_rotates_answers_everywhere_with_other_machines(site: VirtualSite) -> None:
    before = {address: site.machine(address).mac for address in ("127.23.1.1", "127.23.1.2")}
    assert rotate(site, 1) == {"127.23.1.1": "127.23.1.2", "127.23.1.2": "127.23.1.1"}
    for address in before:
        await until(site, address)
    after = {address: site.machine(address).mac for address in before}
    assert after == dict(zip(before, reversed(before.values()), strict=True))
    with pytest.raises(TwinError, match="two or more"):
        rotate(site, 99)


async def test_the_button_tells_address_and_mac_from_the_machines_own_address_and_again(site: VirtualSite) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", site.config.report_port))
        heard.settimeout(0)
        report(site, "127.23.1.1")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            first = await loop.sock_recvfrom(heard, 200)
            again = await loop.sock_recvfrom(heard, 200)
    assert first[0] == b"127.23.1.1,02:4d:42:17:01:01"
    assert first[1][0] == "127.23.1.1"
    assert again[0] == first[0]


async def test_each_family_has_its_text_or_no_button(site: VirtualSite) -> None:
    assert payload(site.machine("127.23.2.1")) == b"IP:127.23.2.1MAC:02:4d:42:17:02:01\n"
    assert payload(site.machine("127.23.4.1")) == b"127.23.4.1,02:4d:42:17:04:01"
    with pytest.raises(TwinError, match="no such button"):
        payload(site.machine("127.23.3.1"))
    site.set_fault("127.23.1.1", Fault.OFF)
    with pytest.raises(TwinError, match="off"):
        report(site, "127.23.1.1")
    assert report_rack(site, 1) == 1


async def test_all_of_it_is_reached_over_the_control_interface(site: VirtualSite) -> None:
    control = Control(site, port=0)

    def ask(path: str, **document: object) -> tuple[int, dict]:
        body = json.dumps(document).encode()
        reply = control.answer_http(HttpRequest("POST", path, {"host": "127.0.0.1"}, body))
        return reply.status, json.loads(reply.body)

    assert ask("/racks/1/report") == (200, {"pressed": 2})
    assert ask("/machines/127.23.2.1/report")[0] == 200
    assert ask("/machines/127.23.3.1/report")[0] == 400
    status, moved = ask("/machines/127.23.3.1/address", address="127.23.3.9")
    assert (status, moved["address"]) == (200, "127.23.3.9")
    assert ask("/dhcp", rack=2) == (200, {"127.23.2.1": "127.23.2.2", "127.23.2.2": "127.23.2.1"})
    assert ask("/dhcp", rack="x")[0] == 400
    assert ask("/machines/127.23.3.1/report")[0] == 404
    await until(site, "127.23.3.9")
