"""Sleep, wake, reboot, pools and settings over the real protocols, with other people's clients where there are any."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from mbongi.fleet.values import Family
from mbongi.twin.antminer import Antminer
from mbongi.twin.antminer_gate import NONCE_S
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Phase
from mbongi.twin.whatsminer import Whatsminer
from mbongi.wire.digest import authorization, parse_challenge
from tests.twin.others_clients import APIError, BTMinerRPCAPI
from tests.twin.peers import HandClock, cgi, one, raw, rpc, running_site, web

pytestmark = pytest.mark.filterwarnings("ignore:passing settings to md5_crypt:DeprecationWarning")
"""pyasic's own use of passlib."""

FAST = 200.0
"""Virtual seconds in one of the world's."""


async def until(condition: Callable[[], bool], *, what: str) -> None:
    for _ in range(800):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain: {what}")


def in_phase(machine: VirtualMachine, phase: Phase) -> Callable[[], bool]:
    def check() -> bool:
        machine.advance()
        return machine.phase is phase

    return check


async def test_an_antminer_sleeps_answers_empty_lists_and_wakes() -> None:
    async with running_site(time_scale=FAST) as site:
        address = one(site, Family.ANTMINER)
        conf = await cgi(site, address, "get_miner_conf")
        assert len(conf["pools"]) == 3

        reply = await cgi(site, address, "set_miner_conf", {**conf, "miner-mode": 1})
        assert reply["code"] == "M000"
        machine = site.machine(address)
        await until(in_phase(machine, Phase.SLEEPING), what="asleep")
        assert (await cgi(site, address, "stats"))["STATS"] == []
        assert (await cgi(site, address, "summary"))["SUMMARY"] == []
        assert (await rpc(site, address, "stats"))["STATS"] == []
        assert (await cgi(site, address, "get_miner_conf"))["bitmain-work-mode"] == "1"

        await cgi(site, address, "set_miner_conf", {**conf, "bitmain-work-mode": "0"})
        await until(in_phase(machine, Phase.MINING), what="awake")
        assert (await cgi(site, address, "stats"))["STATS"][0]["rate_5s"] > 150_000


async def test_an_antminer_takes_pools_and_refuses_a_document_without_them() -> None:
    async with running_site() as site:
        address = one(site, Family.ANTMINER)
        conf = await cgi(site, address, "get_miner_conf")
        wanted = [{"url": "stratum+tcp://new.example:3333", "user": "w.1", "pass": "p"}]

        assert (await cgi(site, address, "set_miner_conf", {**conf, "pools": wanted}))["stats"] == "success"
        [row] = (await rpc(site, address, "pools"))["POOLS"]
        assert (row["URL"], row["User"]) == ("stratum+tcp://new.example:3333", "w.1")

        for broken in ({}, {"pools": "x"}, {"pools": []}, {"pools": wanted, "miner-mode": 9}):
            assert (await cgi(site, address, "set_miner_conf", broken))["stats"] == "error"
        assert (await cgi(site, address, "get_miner_conf"))["pools"][0]["user"] == "w.1"


async def test_an_antminer_refuses_strangers_and_says_when_a_nonce_is_only_old() -> None:
    async with running_site() as site:
        address = one(site, Family.ANTMINER)
        async with web(site, address) as client:
            reply = await client.get("/")
            assert reply.status_code == 401
            challenge = parse_challenge(reply.headers["www-authenticate"])
            assert challenge.realm == "antMiner Configuration"
            assert 'realm="antMiner Configuration"' in reply.headers["www-authenticate"]

            def header(password: str, nonce: str) -> dict[str, str]:
                page = "/cgi-bin/get_blink_status.cgi"
                return {
                    "Authorization": authorization(
                        replace(challenge, nonce=nonce),
                        method="GET",
                        uri=page,
                        user="root",
                        password=password,
                        nc=1,
                        cnonce="c",
                    )
                }

            page = "/cgi-bin/get_blink_status.cgi"
            assert (await client.get(page, headers=header("root", challenge.nonce))).status_code == 200
            wrong = await client.get(page, headers=header("wrong", challenge.nonce))
            assert (wrong.status_code, "stale" in wrong.headers["www-authenticate"]) == (401, False)
            forged = await client.get(page, headers=header("root", "0" * 40))
            assert (forged.status_code, "stale" in forged.headers["www-authenticate"]) == (401, False)

            firmware = site.places[address].firmware
            assert isinstance(firmware, Antminer)
            old = firmware.web.gate.nonce(int(challenge.nonce[:8], 16) - NONCE_S - 5)
            stale = await client.get(page, headers=header("root", old))
            assert parse_challenge(stale.headers["www-authenticate"]).stale


async def test_an_antminer_blinks_reboots_and_changes_its_password() -> None:
    async with running_site(time_scale=FAST) as site:
        address = one(site, Family.ANTMINER)
        assert (await cgi(site, address, "blink", {"blink": "true"}))["code"] == "B000"
        assert (await cgi(site, address, "get_blink_status"))["blink"] is True
        assert (await cgi(site, address, "blink", {"blink": "false"}))["code"] == "B100"

        change = {"curPwd": "root", "newPwd": "better", "confirmPwd": "better"}
        assert (await cgi(site, address, "passwd", change))["stats"] == "success"
        async with web(site, address, password="root") as client:
            assert (await client.get("/cgi-bin/stats.cgi")).status_code == 401
        async with web(site, address, password="better") as client:
            assert (await client.get("/cgi-bin/stats.cgi")).status_code == 200
            assert (await client.get("/cgi-bin/reboot.cgi")).status_code == 200
        await until(lambda: not site.places[address].is_up, what="down")
        with pytest.raises(ConnectionRefusedError):
            await raw(site, address, b'{"command":"version"}')
        await until(lambda: bool(site.places[address].servers), what="up again")
        assert b"Antminer S21" in await raw(site, address, b'{"command":"version"}')


def btminer_client(address: str, port: int, password: str = "admin") -> BTMinerRPCAPI:
    client = BTMinerRPCAPI(address, port=port, api_ver="2.0.5")
    client.pwd = password
    return client


async def test_pyasics_client_writes_to_a_whatsminer() -> None:
    async with running_site(time_scale=FAST) as site:
        address = one(site, Family.WHATSMINER)
        machine, client = site.machine(address), btminer_client(address, site.config.rpc_port)

        await client.update_pools("stratum+tcp://a.example:1", "w1", "p1", "stratum+tcp://b.example:2", "w2", "p2")
        pools = (await rpc(site, address, "pools"))["POOLS"]
        assert [(row["URL"], row["User"]) for row in pools] == [
            ("stratum+tcp://a.example:1", "w1"),
            ("stratum+tcp://b.example:2", "w2"),
        ]

        await client.adjust_power_limit(2500)
        assert (await rpc(site, address, "status"))["Msg"]["power_limit_set"] == "2500"

        assert (await client.power_off())["Msg"] == "API command OK"
        assert (await rpc(site, address, "status"))["Msg"]["mineroff"] == "true"
        await until(in_phase(machine, Phase.SLEEPING), what="asleep")
        await client.power_on()
        assert (await rpc(site, address, "status"))["Msg"]["mineroff"] == "false"

        for set_mode, word in ((client.set_low_power, "Low"), (client.set_high_power, "High")):
            # The machine does it and says nothing.
            with pytest.raises(APIError, match="No data"):
                await set_mode()
            assert (await rpc(site, address, "summary"))["SUMMARY"][0]["Power Mode"] == word

        with pytest.raises(APIError, match="No data"):
            await client.reboot()
        await until(lambda: not site.places[address].is_up, what="down")
        await until(lambda: bool(site.places[address].servers), what="up again")


async def test_a_whatsminer_refuses_writes_while_its_switch_is_off() -> None:
    async with running_site() as site:
        address = one(site, Family.WHATSMINER)
        site.set_api_write(address, allowed=False)

        reply = await rpc(site, address, "get_token")
        assert (reply["STATUS"], reply["Code"], reply["Msg"]) == ("E", 45, "can't access write cmd")
        site.set_api_write(address, allowed=True)
        client = btminer_client(address, site.config.rpc_port)
        await client.get_token()
        site.set_api_write(address, allowed=False)
        with pytest.raises(APIError, match="can't access write cmd"):
            await client.power_off()
        assert site.machine(address).phase is Phase.MINING


async def test_a_whatsminer_refuses_a_wrong_password_a_write_in_the_clear_and_bad_values() -> None:
    async with running_site() as site:
        address = one(site, Family.WHATSMINER)
        with pytest.raises(APIError, match="check token error"):
            await btminer_client(address, site.config.rpc_port, "guess").power_off()
        assert (await rpc(site, address, "power_off", token="x"))["Code"] == 135
        client = btminer_client(address, site.config.rpc_port)
        with pytest.raises(APIError, match="outside"):
            await client.adjust_power_limit(99)
        with pytest.raises(APIError, match="invalid cmd"):
            await client.send_privileged_command("format_disk")
        assert (await rpc(site, address, "noise", enc=1))["STATUS"] == "E"
        assert json.loads(await raw(site, address, b'{"enc":1,"data":"***"}'))["Code"] in {135, 137}
        assert site.machine(address).phase is Phase.MINING


async def test_a_whatsminer_takes_a_percentage_until_its_miner_starts_again() -> None:
    clock = HandClock()
    async with running_site(clock=clock) as site:
        address = one(site, Family.WHATSMINER)
        machine, client = site.machine(address), btminer_client(address, site.config.rpc_port)
        full_w = machine.power_w
        await client.send_privileged_command("set_power_pct_v2", percent="60")
        clock.pass_s(60)
        machine.advance()
        assert machine.power_w == pytest.approx(0.6 * machine.power_limit_w, rel=0.05)
        with pytest.raises(APIError, match="No data"):
            await client.send_privileged_command("restart_btminer")
        with pytest.raises(APIError, match="tuning has not ended"):
            await client.send_privileged_command("set_power_pct", percent="60")
        clock.pass_s(1800)
        machine.advance()
        assert machine.power_w == pytest.approx(full_w, rel=0.05)


async def test_a_whatsminer_powers_off_in_silence_unless_asked_to_answer_first() -> None:
    async with running_site() as site:
        address = one(site, Family.WHATSMINER)
        client = btminer_client(address, site.config.rpc_port)
        with pytest.raises(APIError, match="No data"):
            await client.send_privileged_command("power_off", respbefore="false")
        assert site.machine(address).asleep
        await client.power_on()
        assert (await client.power_off())["Code"] == 131


async def test_a_whatsminers_smaller_settings_are_checked_and_kept() -> None:
    async with running_site(time_scale=FAST) as site:
        address = one(site, Family.WHATSMINER)
        machine, client = site.machine(address), btminer_client(address, site.config.rpc_port)
        firmware = site.places[address].firmware
        assert isinstance(firmware, Whatsminer)
        for name, fields in (
            ("set_target_freq", {"percent": "-10"}),
            ("adjust_upfreq_speed", {"upfreq_speed": "7"}),
            ("set_temp_offset", {"temp_offset": "-5"}),
            ("set_fan_zero_speed", {"fan_zero_speed": "1"}),
            ("set_poweroff_cool", {"poweroff_cool": "0"}),
            ("enable_btminer_fast_boot", {}),
            ("enable_web_pools", {}),
            ("disable_web_pools", {}),
        ):
            assert (await client.send_privileged_command(name, **fields))["Code"] == 131, name
        assert machine.settings.of("kept") == {
            "percent": -10,
            "upfreq_speed": 7,
            "temp_offset": -5,
            "fan_zero_speed": 1,
            "poweroff_cool": 0,
        }
        assert machine.settings.of("switches") == {"btminer_fast_boot": True, "web_pools": False}
        for name, fields in (
            ("set_temp_offset", {"temp_offset": "5"}),
            ("set_power_pct_v2", {"percent": "0"}),
            ("set_power_pct", {}),
            ("pre_power_on", {"complete": "perhaps"}),
        ):
            with pytest.raises(APIError):
                await client.send_privileged_command(name, **fields)
        warm = {"complete": "false", "msg": "wait for adjust temp"}
        assert (await client.send_privileged_command("pre_power_on", **warm))["Msg"]["complete"] == "false"
        assert (await client.send_privileged_command("pre_power_on", **warm))["Msg"]["complete"] == "true"

        await client.adjust_power_limit(2500)
        await client.adjust_power_limit(99999)
        assert machine.power_limit_w == 3300.0
        await client.send_privileged_command("factory_reset")
        await until(lambda: not site.places[address].is_up, what="down")
        await until(lambda: bool(site.places[address].servers), what="up again")
        assert (await rpc(site, address, "get_token"))["Code"] == 45


async def test_a_whatsminer_gives_out_32_tokens_and_no_more() -> None:
    async with running_site() as site:
        address = one(site, Family.WHATSMINER)
        codes = [(await rpc(site, address, "get_token"))["Code"] for _ in range(33)]

    assert codes == [134] * 32 + [136]


async def test_a_bitaxe_takes_settings_pauses_resumes_and_restarts() -> None:
    async with running_site(time_scale=FAST) as site:
        address = one(site, Family.BITAXE)
        machine = site.machine(address)
        async with web(site, address) as client:
            change = {"stratumURL": "new.example", "stratumPort": 4444, "stratumUser": "w", "hostname": "shelf-3"}
            assert (await client.patch("/api/system", json=change)).status_code == 200
            info = (await client.get("/api/system/info")).json()
            assert {key: info[key] for key in change} == change
            assert (await client.patch("/api/system", json={"hostname": 7})).status_code == 400
            assert (await client.patch("/api/system", content=b"{")).status_code == 400

            assert (await client.post("/api/system/pause")).status_code == 200
            await until(in_phase(machine, Phase.SLEEPING), what="paused")
            assert (await client.get("/api/system/info")).json()["hashRate"] == 0
            assert (await client.post("/api/system/resume")).status_code == 200
            await until(in_phase(machine, Phase.MINING), what="resumed")

            assert (await client.post("/api/system/restart")).status_code == 200
            await until(lambda: not site.places[address].is_up, what="down")
            await until(lambda: bool(site.places[address].servers), what="up again")
        async with web(site, address) as client:
            assert (await client.get("/api/system/info")).status_code == 200
