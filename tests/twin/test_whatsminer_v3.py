"""A virtual Whatsminer with API 3: captured shapes, writes by pyasic's own client, refusals, limits, faults."""

import asyncio
import base64
import hashlib
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mbongi.fleet.values import Family
from mbongi.twin.firmware import unix_s
from mbongi.twin.framed import CONNECTIONS_MAX
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault, Phase, PoolEntry
from tests.twin.others_clients import BTMinerV3RPCAPI
from tests.twin.peers import WAIT_S, HandClock, one, rpc, running_site
from tests.twin.test_twin_replies import captured, missing

FRESH = ("whatsminer_v3",)
READS = {
    "get_device_info": ("get.device.info", None),
    "get_miner_status_summary": ("get.miner.status", "summary"),
    "get_miner_status_edevs": ("get.miner.status", "edevs"),
    "get_miner_status_pools": ("get.miner.status", "pools"),
}


@asynccontextmanager
async def alone(**options: Any) -> AsyncIterator[tuple[VirtualSite, str, VirtualMachine]]:
    async with running_site(machines=1, families=FRESH, **options) as site:
        address = one(site, Family.WHATSMINER_V3)
        yield site, address, site.machine(address)


async def framed(site: VirtualSite, address: str, *documents: dict[str, Any]) -> list[dict[str, Any]]:
    """Every answer to several requests on one connection."""
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(address, site.config.framed_port)
        try:
            found = []
            for document in documents:
                data = json.dumps(document).encode()
                writer.write(struct.pack("<I", len(data)) + data)
                [length] = struct.unpack("<I", await reader.readexactly(4))
                found.append(json.loads(await reader.readexactly(length)))
            return found
        finally:
            writer.close()


async def salt_of(site: VirtualSite, address: str) -> str:
    [found] = await framed(site, address, {"cmd": "get.device.info", "param": "salt"})
    return str(found["msg"]["salt"])


async def write(site: VirtualSite, address: str, name: str, param: Any = None, **more: Any) -> dict[str, Any]:
    """A write, signed here once more after the maker's text, with ``password``, ``ts`` or ``account`` as given."""
    ts = more.pop("ts", unix_s())
    password, salt = more.pop("password", "super"), await salt_of(site, address)
    digest = hashlib.sha256(f"{name}{password}{salt}{ts}".encode()).digest()
    if name in {"set.miner.pools", "set.user.change_passwd"}:
        padder = padding.PKCS7(128).padder()
        plain = padder.update(json.dumps(param).encode()) + padder.finalize()
        encryptor = Cipher(algorithms.AES(digest), modes.ECB()).encryptor()
        param = base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()
    document = {
        "cmd": name,
        "param": param,
        "ts": ts,
        "account": "super",
        "token": base64.b64encode(digest)[:8].decode(),
    }
    [found] = await framed(site, address, document | more)
    return found


@pytest.mark.parametrize("name", list(READS))
async def test_it_answers_as_captured(name: str) -> None:
    command, param = READS[name]
    async with alone() as (site, address, _):
        [reply] = await framed(site, address, {"cmd": command, "param": param})

    assert missing(captured("whatsminer_v3", name), reply, loose=True) == []


async def test_it_states_errors_as_captured_and_none_where_there_are_none() -> None:
    async with alone() as (site, address, _):
        [well] = await framed(site, address, {"cmd": "get.device.info"})
        assert "error-code" not in well["msg"]
        site.set_fault(address, Fault.FAN_DEAD)
        [ill] = await framed(site, address, {"cmd": "get.device.info"})

    [error] = ill["msg"]["error-code"]
    real = captured("whatsminer_v3", "get_device_info_with_errors")["msg"]["error-code"][0]
    assert {key.isdigit() for key in error} == {key.isdigit() for key in real} == {True, False}
    assert set(error) & {"110", "111"}


async def test_one_connection_takes_many_requests_joined_filters_and_signs_of_life() -> None:
    async with alone() as (site, address, machine):
        whole, part, none, unknown = await framed(
            site,
            address,
            {"cmd": "get.miner.status", "param": "summary+pools"},
            {"cmd": "get.device.info", "param": "miner"},
            {"cmd": "get.miner.status"},
            {"cmd": "get.miner.secrets"},
        )
        assert set(whole["msg"]) == {"summary", "pools"}
        assert list(part["msg"]) == ["miner"]
        assert none["msg"] == {}
        assert (unknown["code"], unknown["msg"]) == (-2, "invalid command")
        assert (await framed(site, address, {"cmd": "get.device.info", "param": "keys"}))[0]["code"] == -3

        reader, writer = await asyncio.open_connection(address, site.config.framed_port)
        writer.write(b"\0\0\0\0" + b"\x19\0\0\0" + b'{"cmd":"get.dev')
        await writer.drain()
        writer.write(b'ice.info"}')
        [length] = struct.unpack("<I", await reader.readexactly(4))
        assert json.loads(await reader.readexactly(length))["msg"]["network"]["mac"] == machine.mac
        writer.write(b"\xff\xff\xff\xff")
        assert await reader.read() == b""
        writer.close()


async def test_the_eleventh_client_is_turned_away() -> None:
    async with alone() as (site, address, _), asyncio.timeout(WAIT_S):
        kept = [await asyncio.open_connection(address, site.config.framed_port) for _ in range(CONNECTIONS_MAX + 1)]
        for _, writer in kept:
            writer.write(b'\x1a\0\0\0{"cmd":"get.miner.status"}')
        ends = []
        for reader, writer in kept:
            try:
                ends.append(await reader.read(4))
            except ConnectionResetError:
                ends.append(b"")
            writer.close()

    assert [bool(end) for end in ends] == [True] * CONNECTIONS_MAX + [False]


async def test_the_old_port_says_what_it_is_and_nothing_else() -> None:
    async with alone() as (site, address, _):
        assert (await rpc(site, address, "devdetails"))["DEVDETAILS"][0]["Model"] == "M60S_VK40"
        assert (await rpc(site, address, "get_version"))["Msg"]["fw_ver"] == "20251209.16.Rel2"
        for command in ("summary", "version", "get_token", "summary+devs"):
            assert (await rpc(site, address, command))["Code"] == 14


async def test_pyasics_client_stops_starts_limits_and_reboots_it() -> None:
    async with alone(time_scale=200.0) as (site, address, machine):
        client = BTMinerV3RPCAPI(address, port=site.config.framed_port)

        assert (await client.set_miner_service("stop"))["msg"] == "ok"
        machine.advance()
        assert machine.asleep
        assert (await framed(site, address, {"cmd": "get.device.info"}))[0]["msg"]["miner"]["working"] == "false"
        assert (await client.set_miner_service("start"))["msg"] == "ok"
        assert not machine.asleep
        assert (await client.set_miner_power_limit(2500))["msg"] == "ok"
        assert machine.power_limit_w == 2500.0
        assert (await client.set_system_reboot())["msg"] == "ok"
        async with asyncio.timeout(WAIT_S):
            while site.places[address].is_up:  # noqa: ASYNC110 -- the machine is watched from outside
                await asyncio.sleep(0.01)


async def test_a_limit_and_a_percentage_are_drawn_and_the_percentage_ends_with_the_next_start() -> None:
    clock = HandClock()
    async with alone(clock=clock) as (site, address, machine):
        full_w = machine.power_w
        assert (await write(site, address, "set.miner.power_percent", {"percent": 50, "mode": "fast"}))["code"] == 0
        clock.pass_s(60)
        machine.advance()
        assert machine.power_w == pytest.approx(0.5 * machine.power_limit_w, rel=0.05)
        assert machine.power_w < 0.6 * full_w

        assert (await write(site, address, "set.miner.service", "restart"))["code"] == 0
        refused = await write(site, address, "set.miner.power_percent", {"percent": 50, "mode": "fast"})
        assert (refused["code"], refused["msg"]) == (-1, "frequency tuning has not ended")
        clock.pass_s(1200)
        machine.advance()
        assert machine.phase is Phase.MINING
        assert machine.power_w == pytest.approx(full_w, rel=0.05)


async def test_settings_are_kept_and_read_back() -> None:
    async with alone() as (site, address, machine):
        rows = [{"pool": f"stratum+tcp://{name}.example:3333", "worker": f"w.{name}", "passwd": "p"} for name in "ab"]
        assert (await write(site, address, "set.miner.pools", rows))["code"] == 0
        assert machine.pools[:2] == tuple(PoolEntry(row["pool"], row["worker"], "p") for row in rows)
        assert machine.pools[2] == PoolEntry()
        for name, param in (
            ("set.miner.power_mode", "low"),
            ("set.miner.fastboot", "enable"),
            ("set.fan.temp_offset", -10),
            ("set.fan.zero_speed", 1),
            ("set.fan.poweroff_cool", 0),
            ("set.system.hostname", {"hostname": "rack-3-7"}),
            ("set.system.webpools", "disable"),
            ("set.system.led", [{"color": "red", "period": 200, "duration": 100, "start": 0}]),
            ("set.device.custom_data", {"key": "msg3", "value": "hall 2, rack 3"}),
        ):
            assert (await write(site, address, name, param))["code"] == 0, name
        [info, fan, custom, setting] = await framed(
            site,
            address,
            {"cmd": "get.device.info"},
            {"cmd": "get.fan.setting"},
            {"cmd": "get.device.custom_data"},
            {"cmd": "get.miner.setting"},
        )
    assert info["msg"]["power"]["mode"] == "0"
    assert info["msg"]["network"]["hostname"] == "rack-3-7"
    assert info["msg"]["system"]["ledstatus"] != "auto"
    assert (info["msg"]["miner"]["web-pool"], info["msg"]["miner"]["fast-boot"]) == (0, "enable")
    assert fan["msg"] == {"fan-poweroff-cool": 0, "fan-zero-speed": 1, "fan-temp-offset": -10}
    assert custom["msg"]["msg3"] == "hall 2, rack 3"
    assert setting["msg"]["power-mode"] == "low"


async def test_a_changed_password_signs_from_then_on_and_a_factory_reset_shuts_the_door() -> None:
    async with alone(time_scale=200.0) as (site, address, machine):
        change = {"account": "super", "new": "better", "old": "super"}
        assert (await write(site, address, "set.user.change_passwd", change | {"old": "guess"}))["code"] == -4
        assert (await write(site, address, "set.user.change_passwd", change))["code"] == 0
        assert (await write(site, address, "set.system.led", "auto"))["code"] == -4
        assert (await write(site, address, "set.miner.power_mode", "low", password="better"))["code"] == 0
        assert (await write(site, address, "set.system.factory_reset", password="better"))["code"] == 0
        async with asyncio.timeout(WAIT_S):
            while site.places[address].is_up:  # noqa: ASYNC110 -- the machine is watched from outside
                await asyncio.sleep(0.01)
            while not site.places[address].servers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await write(site, address, "set.system.led", "auto"))["code"] == -4
        assert machine.power_mode == "normal"


async def test_what_is_not_signed_right_is_denied_and_changes_nothing() -> None:
    async with alone() as (site, address, machine):
        stop = ("set.miner.service", "stop")
        assert (await write(site, address, *stop, password="guess"))["code"] == -4
        assert (await write(site, address, *stop, account="admin"))["code"] == -4
        assert (await write(site, address, *stop, account="user1"))["code"] == -4
        assert (await write(site, address, *stop, ts=unix_s() - 3600))["code"] == -4
        assert (await write(site, address, *stop, ts="now"))["code"] == -3
        site.set_api_write(address, allowed=False)
        assert (await write(site, address, *stop))["code"] == -4
        [info] = await framed(site, address, {"cmd": "get.device.info", "param": "system"})
        assert info["msg"]["system"]["apiswitch"] == "0"
        machine.advance()
        assert not machine.asleep


@pytest.mark.parametrize(
    ("name", "param", "code"),
    [
        ("set.miner.format", None, -2),
        ("set.miner.service", "explode", -3),
        ("set.miner.pools", {"pools": [{"url": "a", "user": "b", "pass": "c"}]}, -3),
        ("set.miner.pools", [{"pool": "a"}], -3),
        ("set.miner.pools", [{"pool": "", "worker": "", "passwd": ""}], -1),
        ("set.miner.pools", [], -3),
        ("set.miner.power_limit", 9000, -1),
        ("set.miner.power_limit", "3000", -3),
        ("set.miner.power_mode", "1", -3),
        ("set.miner.power_percent", {"percent": 101, "mode": "fast"}, -3),
        ("set.miner.power_percent", {"percent": 50}, -3),
        ("set.fan.temp_offset", 5, -3),
        ("set.fan.zero_speed", True, -3),
        ("set.system.hostname", {"hostname": ""}, -3),
        ("set.system.led", [], -3),
        ("set.system.webpools", 1, -3),
        ("set.device.custom_data", {"key": "msg11", "value": "x"}, -3),
        ("set.device.custom_data", {"key": "msg1", "value": "x" * 200}, -3),
        ("set.user.change_passwd", {"account": "root", "old": "x", "new": "y"}, -3),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_refused(name: str, param: Any, code: int) -> None:
    async with alone() as (site, address, machine):
        pools, limit_w = machine.pools, machine.power_limit_w
        assert (await write(site, address, name, param))["code"] == code
        assert (machine.pools, machine.power_limit_w, machine.power_mode) == (pools, limit_w, "normal")


async def test_pools_that_cannot_be_opened_are_refused() -> None:
    async with alone() as (site, address, machine):
        pools, ts, salt = machine.pools, unix_s(), await salt_of(site, address)
        digest = hashlib.sha256(f"set.miner.poolssuper{salt}{ts}".encode()).digest()
        token = base64.b64encode(digest)[:8].decode()
        for param in ("", "***", base64.b64encode(b"short").decode(), base64.b64encode(b"0" * 32).decode(), None):
            document = {"cmd": "set.miner.pools", "param": param, "ts": ts, "account": "super", "token": token}
            assert (await framed(site, address, document))[0]["code"] == -3
        assert machine.pools == pools


async def test_faults_show_on_the_framed_port() -> None:
    async with alone(slow_s=0.05) as (site, address, machine):
        site.set_fault(address, Fault.BOARD_DEAD)
        [edevs] = await framed(site, address, {"cmd": "get.miner.status", "param": "edevs"})
        assert {row["id"] for row in edevs["msg"]["edevs"]} == {0, 1, 2} - {machine.weak_board}
        site.set_fault(address, Fault.HALF_REPLY)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await framed(site, address, {"cmd": "get.device.info"})
        site.set_fault(address, Fault.SLOW)
        assert (await framed(site, address, {"cmd": "get.device.info"}))[0]["code"] == 0
        site.set_fault(address, Fault.OFF)
        with pytest.raises(ConnectionRefusedError):
            await framed(site, address, {"cmd": "get.device.info"})
