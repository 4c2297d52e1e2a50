"""A virtual Avalon: captured shapes, both manners of asking, ascset and its refusals, pools that wait for a reboot."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mbongi.fleet.values import Family
from mbongi.twin.firmware import unix_s
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault, Phase, PoolEntry
from mbongi.wire.avalon import Figures
from tests.twin.peers import WAIT_S, HandClock, one, raw, rpc, running_site
from tests.twin.test_twin_replies import captured, missing

FIGURES = {"stats", "estats"}


@asynccontextmanager
async def alone(**options: Any) -> AsyncIterator[tuple[VirtualSite, str, VirtualMachine]]:
    async with running_site(machines=1, families=("avalon",), **options) as site:
        address = one(site, Family.AVALON)
        yield site, address, site.machine(address)


async def ascset(site: VirtualSite, address: str, words: str) -> tuple[str, int, str]:
    [status] = (await rpc(site, address, "ascset", parameter=f"0,{words}"))["STATUS"]
    return status["STATUS"], status["Code"], status["Msg"]


async def figures(site: VirtualSite, address: str) -> Figures:
    return Figures((await rpc(site, address, "estats"))["STATS"][0]["MM ID0"])


async def down_and_up(site: VirtualSite, address: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while site.places[address].is_up:  # noqa: ASYNC110 -- the machine is watched from outside
            await asyncio.sleep(0.01)
        while not site.places[address].servers:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("command", ["summary", "devs", "devdetails", "pools", "config"])
async def test_it_answers_as_captured(command: str) -> None:
    async with alone() as (site, address, _):
        reply = await rpc(site, address, command)

    assert missing(captured("avalon", command), reply, loose=True) == []


@pytest.mark.parametrize("command", sorted(FIGURES))
async def test_its_text_holds_every_captured_figure(command: str) -> None:
    async with alone() as (site, address, _):
        reply = await rpc(site, address, command)

    real = captured("avalon", "avalon_a_stats")
    assert missing(real, reply, loose=True) == []
    theirs, ours = Figures(real["STATS"][0]["MM ID0"]), Figures(reply["STATS"][0]["MM ID0"])
    assert set(theirs._texts) - set(ours._texts) == set()
    for key in ("PS", "MGHS", "PVT_T1", "PVT_V2", "MW0", "ASICCRC1", "ECHU", "HASHS", "FanR", "MTmax"):
        assert len(ours.numbers(key)) == len(theirs.numbers(key)), key


async def test_its_version_is_an_a_series_machines() -> None:
    async with alone() as (site, address, machine):
        [row] = (await rpc(site, address, "version"))["VERSION"]

    real = captured("avalon", "version")["VERSION"][0]
    # The captured one is of a home machine, with versions of parts that this one has not.
    assert set(real) - set(row) == {"BVERSION", "CGVERSION", "FANMCUVERSION", "HBMCUVERSION", "LVERSION"}
    assert row["MAC"] == machine.mac.replace(":", "").lower()
    assert (row["PROD"], row["MODEL"]) == ("AvalonMiner 1246-83", "1246-83")


async def test_what_is_asked_in_plain_text_is_answered_in_plain_text() -> None:
    async with alone() as (site, address, machine):
        version = await raw(site, address, b"version")
        pools = await raw(site, address, b"pools\n")
        light = await raw(site, address, b"ascset|0,led,1-1")
        machine.advance()
        assert machine.blinking
    assert version.startswith(b"STATUS=S,When=")
    assert b"|VERSION,API=3.7,CGMiner=4.11.1," in version
    assert b"PROD=AvalonMiner 1246-83" in version
    assert pools.count(b"|POOL=") == 3
    assert b"Msg=ASC 0 set OK" in light
    assert version.endswith(b"|\0")


async def test_joined_unknown_and_broken_requests_are_refused() -> None:
    async with alone() as (site, address, _):
        for command in ("devs+pools", "selfdestruct", ""):
            [status] = (await rpc(site, address, command))["STATUS"]
            assert (status["STATUS"], status["Code"]) == ("E", 14)
        assert json.loads((await raw(site, address, b'{"command": \n')).rstrip(b"\0"))["STATUS"][0]["Code"] == 23
        assert json.loads((await raw(site, address, b'{"command":7}')).rstrip(b"\0"))["STATUS"][0]["Code"] == 24
        assert b"Code=14" in await raw(site, address, b"\xff\xfe")


async def test_writes_answer_as_captured() -> None:
    async with alone() as (site, address, _):
        for words, name in (("help", "ascset_help"), ("workmode,set,1", "ascset_workmode")):
            reply = await rpc(site, address, "ascset", parameter=f"0,{words}")
            real = captured("avalon", name)
            assert missing(real, reply) == []
            assert [reply["STATUS"][0][key] for key in ("STATUS", "Code")] == [
                real["STATUS"][0][key] for key in ("STATUS", "Code")
            ]
        moment = unix_s() + 5
        for word in ("softoff", "softon"):
            assert await ascset(site, address, f"{word},1:{moment}") == (
                "I",
                118,
                f"ASC 0 set info: success {word}:{moment}",
            )


async def test_it_falls_asleep_at_the_named_moment_and_wakes_at_another() -> None:
    clock = HandClock()
    async with alone(clock=clock) as (site, address, machine):
        assert (await ascset(site, address, f"softoff,1:{unix_s() + 60}"))[0] == "I"
        clock.pass_s(30)
        assert (await figures(site, address)).text("SoftOFF") == "0"
        clock.pass_s(60)
        off = await figures(site, address)
        assert (off.text("SoftOFF"), off.text("SYSTEMSTATU")) == ("1", "Work: In Idle, Hash Board: 3")
        assert off.number("GHSspd") == 0
        clock.pass_s(600)
        machine.advance()
        assert machine.phase is Phase.SLEEPING
        assert machine.power_w < 60
        assert (await figures(site, address)).numbers("PS")[3:5] == [0, 0]
        assert (await ascset(site, address, "softon,1:1"))[0] == "I"
        machine.advance()
        assert not machine.asleep
        assert await ascset(site, address, "softoff") == ("S", 119, "ASC 0 set OK")
        assert machine.asleep


async def test_pools_are_set_one_by_one_and_come_into_use_with_the_reboot() -> None:
    async with alone(time_scale=200.0) as (site, address, machine):
        before = machine.pools
        new = PoolEntry("stratum+tcp://new.example:3333", "site.m1", "hush")
        words = f"setpool,root,root,0,{new.url},{new.user},{new.password}"
        assert (await ascset(site, address, words))[:2] == ("I", 118)
        assert (await ascset(site, address, "setpool,root,root,2,,,"))[:2] == ("I", 118)
        assert machine.pools == before
        assert await raw(site, address, b'{"command":"ascset","parameter":"0,reboot,0"}') == b""
        await down_and_up(site, address)
        assert machine.pools == (new, before[1], PoolEntry())
        assert [row["URL"] for row in (await rpc(site, address, "pools"))["POOLS"]] == [new.url, before[1].url]


async def test_a_wrong_password_sets_no_pool_and_a_new_one_is_asked_for_from_then_on() -> None:
    async with alone() as (site, address, _):
        pool = "0,stratum+tcp://a.example:1,w,x"
        denied = ("E", 120, "ASC 0 set failed: Auth Failed! password invalid!")
        assert await ascset(site, address, f"setpool,root,guess,{pool}") == denied
        assert await ascset(site, address, "password,guess,better") == denied
        assert (await ascset(site, address, "password,root,better"))[0] == "I"
        assert await ascset(site, address, f"setpool,root,root,{pool}") == denied
        assert (await ascset(site, address, f"setpool,root,better,{pool}"))[0] == "I"
        assert (await ascset(site, address, "password,default"))[0] == "S"
        assert (await ascset(site, address, f"setpool,root,root,{pool}"))[0] == "I"


async def test_a_low_work_mode_clocks_the_chips_down() -> None:
    clock = HandClock()
    async with alone(clock=clock) as (site, address, machine):
        full_ths, full_w = machine.rate_ths, machine.power_w
        assert (await ascset(site, address, "workmode,set,0"))[0] == "S"
        clock.pass_s(1800)
        low = await figures(site, address)
        assert (low.text("WORKMODE"), await ascset(site, address, "workmode,255")) == (
            "0",
            ("I", 118, "ASC 0 set info: WORKMODE[0]"),
        )
        assert machine.rate_ths == pytest.approx(0.8 * full_ths, rel=0.05)
        assert machine.power_w < 0.75 * full_w
        assert low.numbers("PS")[6] == pytest.approx(machine.power_w, abs=1)


@pytest.mark.parametrize(
    "words",
    [
        "explode",
        "softoff,5",
        "softoff,1:soon",
        "workmode,set,9",
        "workmode,1",
        "worklevel,set,2.98 kW",
        "led,9-9",
        "fan-spd,400",
        "setpool,root,root,9,a,b,c",
        "setpool,root,root,0,a",
        "password,root,",
        "hashpower,1",
    ],
)
async def test_words_that_it_does_not_know_are_refused(words: str) -> None:
    async with alone() as (site, address, machine):
        assert (await ascset(site, address, words))[:2] == ("E", 120)
        machine.advance()
        assert machine.phase is Phase.MINING


async def test_light_fan_power_and_other_modules() -> None:
    async with alone() as (site, address, machine):
        assert (await ascset(site, address, "led,1-1"))[0] == "S"
        assert await ascset(site, address, "led,1-255") == ("I", 118, "ASC 0 set info: LED[1]")
        assert (await figures(site, address)).text("Led") == "1"
        assert (await ascset(site, address, "fan-spd,80"))[0] == "S"
        assert (await ascset(site, address, "fan-spd,-1"))[0] == "S"
        assert (await ascset(site, address, "hashpower"))[2].startswith("ASC 0 set info: PS[0 1214 1316 ")
        assert (await ascset(site, address, "bootby"))[0] == "I"
        [status] = (await rpc(site, address, "ascset", parameter="7,led,1-1"))["STATUS"]
        assert (status["STATUS"], status["Code"]) == ("E", 107)
        # As cgminer's description of its interface has it, unlike every other answer.
        assert (await rpc(site, address, "restart"))["STATUS"] == "RESTART"
        async with asyncio.timeout(WAIT_S):
            while machine.phase is not Phase.WARMING:  # noqa: ASYNC110 -- it restarts after its answer
                await asyncio.sleep(0.01)


async def test_a_restored_machine_has_its_makers_password_and_mode() -> None:
    async with alone(time_scale=200.0) as (site, address, machine):
        await ascset(site, address, "password,root,better")
        await ascset(site, address, "workmode,set,0")
        assert await raw(site, address, b"ascset|0,restore") == b""
        await down_and_up(site, address)
        assert machine.power_mode == "normal"
        assert (await ascset(site, address, "password,root,again"))[0] == "I"


async def test_a_lost_board_and_heat_show_in_its_error_words() -> None:
    async with alone() as (site, address, machine):
        site.set_fault(address, Fault.BOARD_DEAD)
        found = await figures(site, address)
        weak = machine.weak_board
        assert [found.numbers("HASHS")[weak], found.numbers("ECHU")[weak], found.number("TA")] == [1, 513, 240]
        assert set(found.numbers(f"PVT_T{weak}")) == {0}
        machine.temps_c[0] = machine.model.throttle_c + 1
        site.set_fault(address, Fault.NONE)
        assert 128 in (await figures(site, address)).numbers("ECHU")
