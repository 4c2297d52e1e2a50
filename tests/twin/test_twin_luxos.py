"""LuxOS' virtual machine: answers as captured, one session for all, pools in groups, profiles."""

import json
from typing import Any

import pytest

from mbongi.fleet.values import Family
from mbongi.twin.luxos import LuxOs
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from tests.twin.peers import HandClock, one, rpc, running_site
from tests.twin.test_twin_replies import captured, missing

COMMANDS = ["version", "summary", "stats", "devs", "pools", "config", "fans", "temps", "power", "profiles"]
SITE: dict[str, Any] = {"machines": 1, "families": ("luxos",)}


def firmware(site: VirtualSite) -> LuxOs:
    found = site.places[one(site, Family.LUXOS)].firmware
    assert isinstance(found, LuxOs)
    return found


async def ask(site: VirtualSite, command: str, *parameters: object) -> dict[str, Any]:
    more = {"parameter": ",".join(map(str, parameters))} if parameters else {}
    return await rpc(site, one(site, Family.LUXOS), command, **more)


def code(reply: dict[str, Any]) -> tuple[str, int]:
    [status] = reply["STATUS"]
    return status["STATUS"], status["Code"]


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_is_answered_as_captured(command: str) -> None:
    async with running_site(**SITE) as site:
        reply = await ask(site, command)

    # Go writes whole numbers without a point wherever a figure happens to be whole.
    assert missing(captured("luxos", command), reply, loose=True) == []
    assert code(reply) == ("S", captured("luxos", command)["STATUS"][0]["Code"])


async def test_joined_commands_are_answered_together() -> None:
    async with running_site(**SITE) as site:
        reply = await ask(site, "summary+devs+nonsense")

    assert set(reply) == {"summary", "devs", "nonsense", "id"}
    assert missing(captured("luxos", "devs"), reply["devs"][0], loose=True) == []
    assert code(reply["nonsense"][0]) == ("E", 14)


async def test_an_event_is_listed_as_captured() -> None:
    async with running_site(**SITE) as site:
        site.set_fault(one(site, Family.LUXOS), Fault.BOARD_DEAD)
        reply = await ask(site, "events")
        stats = await ask(site, "stats")

    assert missing(captured("luxos", "events")["EVENTS"][0], reply["EVENTS"][0]) == []
    assert sorted(stats["STATS"][1][f"chain_acn{number}"] for number in (1, 2, 3)) == [0, 77, 77]


async def test_one_program_at_a_time_holds_the_session_and_it_ends_after_a_minute_of_rest() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site:
        mark = (await ask(site, "logon"))["SESSION"][0]["SessionID"]
        assert len(mark) == 8
        assert code(await ask(site, "logon")) == ("E", 402)
        assert (await ask(site, "session"))["SESSION"][0]["SessionID"] == mark
        clock.pass_s(50)
        assert code(await ask(site, "ledset", mark, "red", "blink")) == ("S", 313)
        clock.pass_s(50)
        assert code(await ask(site, "logon")) == ("E", 402)
        clock.pass_s(61)
        assert code(await ask(site, "ledset", mark, "red", "off"))[0] == "E"
        assert code(await ask(site, "logon")) == ("S", 316)


@pytest.mark.parametrize("parameters", [(), ("",), ("wrong",), ("\0",)])
async def test_a_write_without_the_session_changes_nothing(parameters: tuple[str, ...]) -> None:
    async with running_site(**SITE) as site:
        reply = await ask(site, "curtail", *parameters, "sleep")
        machine = site.machine(one(site, Family.LUXOS))

    assert code(reply)[0] == "E"
    assert not machine.asleep


async def test_curtailed_it_hashes_nothing_and_says_so() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site:
        mark = (await ask(site, "logon"))["SESSION"][0]["SessionID"]
        assert code(await ask(site, "curtail", mark, "sleep")) == ("S", 335)
        clock.pass_s(60)
        assert (await ask(site, "summary"))["SUMMARY"][0]["GHS 5s"] == 0
        config = (await ask(site, "config"))["CONFIG"][0]
        pools = (await ask(site, "pools"))["POOLS"]

    assert (config["CurtailMode"], config["IsPowerSupplyOn"]) == ("Sleep", False)
    assert {pool["Status"] for pool in pools} == {"Dead"}


async def test_pools_are_added_behind_and_removed_by_number_and_by_group() -> None:
    async with running_site(**SITE) as site:
        await ask(site, "addpool", "stratum+tcp://new.example:3333", "a.b", "hush")
        rows = (await ask(site, "pools"))["POOLS"]
        assert [row["POOL"] for row in rows] == [0, 1, 2, 3]
        assert rows[3]["URL"] == "stratum+tcp://new.example:3333"
        for number in (2, 1, 0):
            assert code(await ask(site, "removepool", number))[0] == "S"
        machine = site.machine(one(site, Family.LUXOS))
        assert (machine.pools[0].user, machine.pools[0].password, machine.pools[1].url) == ("a.b", "hush", "")
        await ask(site, "addgroup", "second", 1)
        await ask(site, "addpool", "stratum+tcp://other.example:3333", "c.d", "x", 1)
        assert [row["GROUP"] for row in (await ask(site, "pools"))["POOLS"]] == [0, 1]
        await ask(site, "removegroup", 1)
        assert [row["User"] for row in (await ask(site, "pools"))["POOLS"]] == ["a.b"]
        assert code(await ask(site, "removepool", 7))[0] == "E"
        assert "hush" not in json.dumps(await ask(site, "pools"))


async def test_a_lower_profile_draws_its_watts_and_thermal_management_takes_it_back() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site:
        profiles = {row["Profile Name"]: row for row in (await ask(site, "profiles"))["PROFILES"]}
        mark = (await ask(site, "logon"))["SESSION"][0]["SessionID"]
        assert code(await ask(site, "profileset", mark, "415MHz")) == ("S", 321)
        clock.pass_s(1800)
        assert (await ask(site, "config"))["CONFIG"][0]["Profile"] == "415MHz"
        watts = (await ask(site, "power"))["POWER"][0]["Watts"]
        rate = (await ask(site, "summary"))["SUMMARY"][0]["GHS 5s"] / 1e3
        # 415 of 590 MHz; the machine's own spread and its fans stand between the two figures.
        assert rate == pytest.approx(121.8 * 415 / 590, rel=0.05)
        assert watts == pytest.approx(profiles["415MHz"]["Watts"], rel=0.08)
        mark = (await ask(site, "logon"))["SESSION"][0]["SessionID"]
        await ask(site, "atmset", mark, "enabled=true")
        await ask(site, "profileset", mark, "415MHz")
        clock.pass_s(120)
        assert (await ask(site, "config"))["CONFIG"][0]["Profile"] == "default"
