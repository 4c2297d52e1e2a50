"""The virtual machines' answers have the captured replies' keys, and the same types."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from mbongi.fleet.values import Family
from mbongi.twin.values import Fault
from tests.twin.peers import cgi, one, raw, rpc, running_site, web

CAPTURES = Path(__file__).parent / "captures"

# A real machine with fewer fans, or a model with three instead of four chain slots, omits nothing else.
ANTMINER = ["version", "summary", "stats", "pools", "devs"]
WHATSMINER = ["summary", "devs", "pools", "status", "get_version", "get_miner_info", "get_psu", "get_error_code"]


def captured(family: str, name: str) -> Any:
    return json.loads((CAPTURES / family / f"{name}.json").read_text(encoding="utf-8"))


def kind(value: Any, *, loose: bool) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number" if loose else type(value).__name__
    return type(value).__name__


def missing(real: Any, virtual: Any, where: str = "", *, loose: bool = False) -> list[str]:
    """What a captured document has and a virtual one lacks or has of another type."""
    if kind(real, loose=loose) != kind(virtual, loose=loose):
        return [f"{where}: {kind(real, loose=loose)} captured, {kind(virtual, loose=loose)} here"]
    if isinstance(real, dict):
        found = [f"{where}.{key}: missing" for key in real if key not in virtual]
        for key in real.keys() & virtual.keys():
            found += missing(real[key], virtual[key], f"{where}.{key}", loose=loose)
        return found
    if isinstance(real, list) and real:
        if not virtual:
            return [f"{where}: empty"]
        pairs = zip(real, virtual, strict=False)
        return [text for a, b in pairs for text in missing(a, b, f"{where}[]", loose=loose)]
    return []


@pytest.mark.parametrize("command", ANTMINER)
async def test_an_antminers_api_answers_as_captured(command: str) -> None:
    async with running_site() as site:
        reply = await rpc(site, one(site, Family.ANTMINER), command)

    # The S19 Pro of the capture names its 30 minute rate twice, once without "rate_" in summary: both are kept.
    assert missing(captured("antminer", command), reply) == []


async def test_an_antminers_system_info_answers_as_captured() -> None:
    async with running_site() as site:
        reply = await cgi(site, one(site, Family.ANTMINER), "get_system_info")

    assert missing(captured("antminer", "system_info"), reply) == []
    assert reply["minertype"] == "Antminer S21"


@pytest.mark.parametrize("command", WHATSMINER)
async def test_a_whatsminer_answers_as_captured(command: str) -> None:
    async with running_site() as site:
        reply = await rpc(site, one(site, Family.WHATSMINER), command)

    assert missing(captured("whatsminer", command), reply) == []


async def test_a_whatsminer_states_errors_as_captured() -> None:
    async with running_site() as site:
        address = one(site, Family.WHATSMINER)
        site.set_fault(address, Fault.FAN_DEAD)
        reply = await rpc(site, address, "get_error_code")

    real = captured("whatsminer", "get_error_code_with_errors")
    [error], shape = reply["Msg"]["error_code"], real["Msg"]["error_code"][0]
    assert {type(value) for value in error.values()} == {type(value) for value in shape.values()} == {str}
    assert set(error) <= {"110", "111"}


async def test_a_whatsminer_answers_joined_commands_together() -> None:
    async with running_site() as site:
        reply = await rpc(site, one(site, Family.WHATSMINER), "summary+devs+pools")

    assert set(reply) == {"summary", "devs", "pools", "id"}
    for name in ("summary", "devs", "pools"):
        assert missing(captured("whatsminer", name), reply[name][0]) == []


async def test_a_bitaxe_answers_as_captured() -> None:
    async with running_site() as site, web(site, one(site, Family.BITAXE)) as client:
        reply = (await client.get("/api/system/info")).json()
        home = (await client.get("/")).text

    # JavaScript has one kind of number, and the capture mixes 1000 and 521.25 freely.
    assert missing(captured("bitaxe", "system_info"), reply, loose=True) == []
    assert "<title>AxeOS</title>" in home


async def test_an_antminer_ends_its_answer_with_nul_and_refuses_joined_and_unknown_commands() -> None:
    async with running_site() as site:
        address = one(site, Family.ANTMINER)
        assert (await raw(site, address, b'{"command":"version"}')).endswith(b"}\0")
        for command in ("summary+stats", "devdetails", "selfdestruct"):
            [status] = (await rpc(site, address, command))["STATUS"]
            assert (status["STATUS"], status["Code"], status["Msg"]) == ("E", 14, "Invalid command")


@pytest.mark.parametrize(
    "request_bytes", [b"version\n", b"[1,2]", b'{"command": \n', b"\xff\xfe\x00", b'{"command":7}']
)
async def test_a_request_that_is_no_command_is_answered_with_an_error(request_bytes: bytes) -> None:
    async with running_site() as site:
        for family in (Family.ANTMINER, Family.WHATSMINER):
            reply = json.loads((await raw(site, one(site, family), request_bytes)).rstrip(b"\0"))
            status = reply["STATUS"] if isinstance(reply["STATUS"], str) else reply["STATUS"][0]["STATUS"]
            assert status == "E"


async def test_a_request_in_two_pieces_is_answered_whole() -> None:
    async with running_site() as site:
        reader, writer = await asyncio.open_connection(one(site, Family.ANTMINER), site.config.rpc_port)
        writer.write(b'{"comm')
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b'and":"version"}')
        assert b"Antminer S21" in await reader.read()
        writer.close()
