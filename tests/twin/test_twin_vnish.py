"""VNish's virtual machine: open reads, writes behind a token, settings that wait for a restart, presets."""

from typing import Any

import httpx
import pytest

from mbongi.fleet.values import Family
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from tests.twin.peers import HandClock, one, rpc, running_site, web

SITE: dict[str, Any] = {"machines": 1, "families": ("vnish",)}
POOL = {"url": "new.example:3333", "user": "a.b", "pass": "hush"}


async def unlocked(client: httpx.AsyncClient, password: str = "admin") -> dict[str, str]:
    reply = await client.post("/api/v1/unlock", json={"pw": password})
    reply.raise_for_status()
    return {"Authorization": f"Bearer {reply.json()['token']}"}


def address_of(site: VirtualSite) -> str:
    return one(site, Family.VNISH)


async def test_reads_are_open_and_name_the_firmware() -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        assert "AnthillOS" in (await client.get("/")).text
        for page in ("info", "summary", "status", "chains", "chains/factory-info", "settings"):
            assert (await client.get(f"/api/v1/{page}")).status_code == 200
        assert (await client.get("/api/v1/nonsense")).status_code == 404
        version = await rpc(site, address_of(site), "version")
    assert version["VERSION"][0]["Type"] == "Antminer S19 (Vnish 1.2.7)"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}])
@pytest.mark.parametrize("page", ["settings", "mining/stop", "system/reboot"])
async def test_a_write_without_a_token_changes_nothing(page: str, headers: dict[str, str]) -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        before = (await client.get("/api/v1/settings")).json()
        reply = await client.post(f"/api/v1/{page}", json={"miner": {"pools": [POOL]}}, headers=headers)
        assert reply.status_code == 401
        assert (await client.get("/api/v1/settings")).json() == before
        assert not site.machine(address_of(site)).asleep


async def test_who_guesses_passwords_is_shut_out_for_a_while() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site, web(site, address_of(site)) as client:
        statuses = [(await client.post("/api/v1/unlock", json={"pw": "guess"})).status_code for _ in range(6)]
        assert statuses == [403] * 5 + [429]
        assert (await client.post("/api/v1/unlock", json={"pw": "admin"})).status_code == 429
        clock.pass_s(61)
        assert (await client.post("/api/v1/unlock", json={"pw": "admin"})).status_code == 200


async def test_saved_pools_wait_for_a_restart_and_a_reboot_is_one() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site, web(site, address_of(site)) as client:
        machine = site.machine(address_of(site))
        headers = await unlocked(client)
        reply = await client.post("/api/v1/settings", json={"miner": {"pools": [POOL]}}, headers=headers)
        assert reply.json() == {"restart_required": True, "reboot_required": False}
        assert (await client.get("/api/v1/settings")).json()["miner"]["pools"] == [POOL]
        assert machine.pools[0].user != "a.b"
        assert (await client.post("/api/v1/mining/restart", headers=headers)).content == b""
        assert (machine.pools[0].url, machine.pools[0].password) == ("stratum+tcp://new.example:3333", "hush")
        assert machine.pools[1].url == ""
        assert not (await client.get("/api/v1/status")).json()["restart_required"]

        await client.post("/api/v1/settings", json={"miner": {"pools": [POOL | {"user": "c.d"}]}}, headers=headers)
        machine.reboot()
        clock.pass_s(120)
        site.places[address_of(site)].after_reply()
        machine.advance()
        assert (await client.get("/api/v1/status")).json()["restart_required"] is False
        assert machine.pools[0].user == "c.d"


async def test_a_preset_draws_its_watts_and_one_that_does_not_exist_is_taken_silently() -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site, web(site, address_of(site)) as client:
        presets = [row["name"] for row in (await client.get("/api/v1/autotune/presets")).json()]
        headers = await unlocked(client)
        document = {"miner": {"overclock": {"preset": "12345"}}}
        reply = await client.post("/api/v1/settings", json=document, headers=headers)
        assert (reply.status_code, reply.json()["restart_required"]) == (200, False)

        document["miner"]["overclock"]["preset"] = presets[4]
        await client.post("/api/v1/settings", json=document, headers=headers)
        await client.post("/api/v1/mining/restart", headers=headers)
        clock.pass_s(1800)
        stats = (await client.get("/api/v1/summary")).json()["miner"]
    # At 80 % of the frequency; the machine's own spread and its fans stand between the two figures.
    assert stats["power_consumption"] == pytest.approx(int(presets[4]), rel=0.08)
    assert stats["hr_realtime"] == pytest.approx(0.8 * 95_000, rel=0.05)
    assert stats["hr_nominal"] == pytest.approx(0.8 * 95_000, rel=0.01)


async def test_a_changed_password_ends_all_tokens() -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        headers = await unlocked(client)
        wrong = {"password": {"current": "wrong", "pw": "new"}}
        assert (await client.post("/api/v1/settings", json=wrong, headers=headers)).status_code == 500
        right = {"password": {"current": "admin", "pw": "new"}}
        assert (await client.post("/api/v1/settings", json=right, headers=headers)).status_code == 200
        assert (await client.post("/api/v1/mining/stop", headers=headers)).status_code == 401
        assert (await client.post("/api/v1/mining/stop", headers=await unlocked(client, "new"))).status_code == 200


@pytest.mark.parametrize(
    ("fault", "state"), [(Fault.FAN_DEAD, "failure"), (Fault.BOARD_DEAD, "mining"), (Fault.NONE, "mining")]
)
async def test_its_state_is_in_the_firmwares_words(fault: Fault, state: str) -> None:
    clock = HandClock()
    async with running_site(clock=clock, **SITE) as site, web(site, address_of(site)) as client:
        site.set_fault(address_of(site), fault)
        clock.pass_s(60)
        found = (await client.get("/api/v1/status")).json()
        chains = (await client.get("/api/v1/summary")).json()["miner"]["chains"]
    assert found["miner_state"] == state
    assert ("failure_code" in found) == (state == "failure")
    assert sum(chain["status"]["state"] == "failure" for chain in chains) == (fault is Fault.BOARD_DEAD)


async def test_the_light_follows_what_is_asked_or_toggles() -> None:
    async with running_site(**SITE) as site, web(site, address_of(site)) as client:
        assert (await client.post("/api/v1/find-miner", json={"on": True})).json() == {"on": True}
        assert (await client.post("/api/v1/find-miner", json={"on": True})).json() == {"on": True}
        assert (await client.post("/api/v1/find-miner")).json() == {"on": False}
