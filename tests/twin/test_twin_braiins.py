"""Braiins OS' virtual machine: documents as captured, everything behind a token, one group of pools, a power target."""

from typing import Any

import httpx
import pytest

from mbongi.fleet.values import Family
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from tests.twin.peers import HandClock, one, rpc, running_site, web
from tests.twin.test_twin_replies import captured, missing

SITE: dict[str, Any] = {"machines": 1, "families": ("braiins",)}
PAGES = [
    "actions/locate",
    "cooling/state",
    "miner/details",
    "miner/hw/hashboards",
    "miner/stats",
    "network",
    "performance/tuner-state",
    "pools",
    "version",
]


def address_of(site: VirtualSite) -> str:
    return one(site, Family.BRAIINS)


async def sign_in(client: httpx.AsyncClient, password: str = "root") -> None:
    reply = await client.post("/api/v1/auth/login", json={"username": "root", "password": password})
    reply.raise_for_status()
    client.headers["Authorization"] = reply.json()["token"]


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_holds_what_was_captured(page: str) -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        await sign_in(client)
        reply = (await client.get(f"/api/v1/{page}")).json()

    real = captured("braiins", page.replace("/", "_").replace("-", "_"))
    # What was null there may be something here; the second captured pool had taken no share.
    gaps = [gap for gap in missing(real, reply, loose=True) if "NoneType captured" not in gap]
    assert gaps == []


async def test_the_configuration_and_an_error_hold_what_was_captured() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site, web(site, address_of(site)) as client:
        site.set_fault(address_of(site), Fault.BOARD_DEAD)
        await sign_in(client)
        found = (await client.get("/api/v1/configuration/miner")).json()
        assert missing(captured("braiins", "configuration_miner"), found) == []
        errors = (await client.get("/api/v1/miner/errors")).json()["errors"]
        real = next(row for row in captured("braiins", "miner_errors")["errors"] if row["error_codes"])
        assert missing(real, errors[0]) == []
        assert len((await client.get("/api/v1/miner/hw/hashboards")).json()["hashboards"]) == 2


async def test_without_a_living_token_nothing_is_told_or_done() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site, web(site, address_of(site)) as client:
        assert (await client.get("/api/v1/miner/details")).status_code == 401
        assert (await client.put("/api/v1/actions/pause")).status_code == 401
        wrong = await client.post("/api/v1/auth/login", json={"username": "root", "password": "guess"})
        assert wrong.status_code == 401
        await sign_in(client)
        for _ in range(3):  # each use lets it live on
            clock.pass_s(3000)
            assert (await client.get("/api/v1/miner/details")).status_code == 200
        clock.pass_s(3601)
        assert (await client.get("/api/v1/miner/details")).status_code == 401
        assert not site.machine(address_of(site)).asleep


async def test_what_it_is_is_told_without_a_password() -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        reply = await client.post("/graphql", json={"query": "{ bosminer { info { modelName } } }"})
        assert reply.json() == {"data": {"bosminer": {"info": {"modelName": "Antminer S21 Pro"}}}}
        unknown = (await client.post("/graphql", json={"query": "{ nonsense }"})).json()
        assert unknown["data"] is None
        version = await rpc(site, address_of(site), "version")
        assert "BOSer" in version["STATUS"][0]["Description"]


async def test_pause_resume_and_stop_say_whether_it_was_so_already() -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        await sign_in(client)
        actions = ("pause", "pause", "resume", "resume", "stop")
        answers = [(await client.put(f"/api/v1/actions/{action}")).json() for action in actions]
        assert answers == [False, True, False, True, False]
        assert (await client.get("/api/v1/miner/details")).json()["status"] == 1


async def test_pools_are_replaced_as_a_whole_or_not_at_all() -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        await sign_in(client)
        machine = site.machine(address_of(site))
        before = machine.pools
        for bad in ([], [{"name": "a", "pools": []}], [{"name": "a", "pools": [{"user": "u"}]}], {"name": "a"}):
            assert (await client.put("/api/v1/pools/batch", json=bad)).status_code == 400
        assert machine.pools == before
        group = {"name": "a", "pools": [{"url": "stratum+tcp://new.example:3333", "user": "u", "password": "hush"}]}
        reply = await client.put("/api/v1/pools/batch", json=[group])
        assert reply.json()[0]["pools"][0]["url"] == "stratum+tcp://new.example:3333"
        assert (machine.pools[0].password, machine.pools[1].url) == ("hush", "")
        assert "hush" not in (await client.get("/api/v1/pools")).text


async def test_a_power_target_is_drawn_and_one_out_of_range_refused() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site, web(site, address_of(site)) as client:
        await sign_in(client)
        limits = (await client.get("/api/v1/configuration/constraints")).json()["tuner_constraints"]["power_target"]
        for watts in (limits["min"]["watt"] - 1, limits["max"]["watt"] + 1):
            assert (await client.put("/api/v1/performance/power-target", json={"watt": watts})).status_code == 400
        assert (await client.put("/api/v1/performance/power-target", json={"watt": 2500})).status_code == 200
        clock.pass_s(1800)
        stats = (await client.get("/api/v1/miner/stats")).json()
    # The machine's own spread and its fans stand between the two figures.
    assert stats["power_stats"]["approximated_consumption"]["watt"] == pytest.approx(2500, rel=0.08)


async def test_a_changed_password_ends_all_tokens() -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        await sign_in(client)
        assert (await client.put("/api/v1/auth/password", json={"password": "new"})).status_code == 204
        assert (await client.get("/api/v1/miner/details")).status_code == 401
        await sign_in(client, "new")
        assert (await client.get("/api/v1/miner/details")).status_code == 200
