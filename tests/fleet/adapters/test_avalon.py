"""Avalons: tiers of polls, states, writes that end half-way, identification. Against a virtual machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet.adapters import avalon_decode, avalon_write
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session
from mbongi.fleet.control import execute
from mbongi.fleet.device_errors import DeniedError, DeviceError, GarbledError, RejectedError
from mbongi.fleet.reading import MachineDetail, MachineReading, Target
from mbongi.fleet.rules.figures import complete
from mbongi.fleet.scan import scan
from mbongi.fleet.values import ActionKind, Family, MachineState
from mbongi.twin.avalon import Avalon
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from mbongi.wire.avalon import Figures, VersionRow
from tests.fleet.beds import fleet_of, virtual_site
from tests.twin.peers import HandClock

NETWORK = "127.23.0.0/16"
ADAPTER = adapter_of(Family.AVALON)
POOLS = {"pools": [{"url": "stratum+tcp://new.example:3333", "user": "site.m1", "password": "hush"}]}


@asynccontextmanager
async def alone(**options: Any) -> AsyncIterator[tuple[VirtualSite, Session, Target]]:
    async with virtual_site(NETWORK, machines=1, families=(Family.AVALON,), **options) as site:
        [address] = site.addresses
        session = Session(address, Access.of(fleet_of(site.config)))
        try:
            yield site, session, Target(machine_id=1, address=address, family=Family.AVALON)  # type: ignore[arg-type]
        finally:
            session.close()


def firmware_of(site: VirtualSite) -> Avalon:
    [place] = site.places.values()
    assert isinstance(place.firmware, Avalon)
    return place.firmware


def blank() -> MachineReading:
    return MachineReading(ts=0, machine_id=1)


async def test_the_three_tiers_read_the_machine() -> None:
    async with alone(clock=HandClock()) as (site, session, target):
        machine, reading, detail = site.machine(target.address), blank(), MachineDetail()
        assert (await ADAPTER.poll_fast(session, blank())).state is MachineState.MINING
        assert (await ADAPTER.poll_static(session, reading, detail)).state is MachineState.MINING
        session.slow.put_into(reading, session.slow.at_s)
        complete(reading)
    assert reading.hashrate_ths == pytest.approx(machine.rate_ths, abs=1e-3)
    assert reading.power_w == pytest.approx(machine.power_w, abs=1)
    assert (reading.board_count, reading.board_expected) == (3.0, 3.0)
    assert (reading.chips, reading.chips_expected) == (360.0, 360.0)
    assert [reading.fan1_rpm, reading.fan2_rpm, reading.fan3_rpm, reading.fan4_rpm] == pytest.approx(machine.rpm, abs=1)
    assert (reading.accepted, reading.rejected, reading.stale) == (machine.accepted, machine.rejected, machine.stale)
    assert reading.model == detail.model == "Avalon A1246 (83T)"
    assert (detail.mac, detail.serial) == (machine.mac, firmware_of(site).dna)
    assert [(pool.url, pool.user) for pool in detail.pools] == [(pool.url, pool.user) for pool in machine.pools]
    assert [board.chips for board in detail.boards] == [120, 120, 120]


async def test_a_machine_told_to_rest_sleeps_and_a_lost_board_is_missed() -> None:
    clock = HandClock()
    async with alone(clock=clock) as (site, session, target):
        machine = site.machine(target.address)
        machine.sleep()
        clock.pass_s(60)
        detail = MachineDetail()
        assert (await ADAPTER.poll_slow(session, blank(), detail)).state is MachineState.SLEEPING
        assert detail.work_mode == "sleep"

        machine.wake()
        clock.pass_s(20)
        assert (await ADAPTER.poll_fast(session, blank())).state is MachineState.STARTING
        clock.pass_s(600)
        site.set_fault(target.address, Fault.BOARD_DEAD)
        clock.pass_s(10)
        reading = blank()
        await ADAPTER.poll_slow(session, reading, detail)
        assert (reading.board_count, reading.chips) == (2.0, 240.0)
        weak = machine.weak_board
        assert [(error.code, error.text) for error in detail.errors] == [
            (f"ECHU[{weak}] 513", f"the board is abnormal (board {weak + 1})"),
            (f"HASHS[{weak}] 1", f"the board is abnormal (board {weak + 1})"),
        ]


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.HALF_REPLY])
async def test_nonsense_is_an_error_that_names_the_machine(fault: Fault) -> None:
    async with alone() as (site, session, target):
        site.set_fault(target.address, fault)
        with pytest.raises(DeviceError, match=target.address):
            await ADAPTER.poll_fast(session, blank())


async def test_an_answer_without_figures_is_an_error() -> None:
    async with alone() as (site, session, _):
        firmware_of(site).tables["estats"] = (70, "CGMiner stats", "STATS", lambda: [{"STATS": 0, "MM ID0": ""}])
        with pytest.raises(GarbledError, match="no figures"):
            await ADAPTER.poll_fast(session, blank())


async def test_the_scan_names_it() -> None:
    async with virtual_site(NETWORK, machines=3, families=("avalon", "whatsminer", "antminer")) as site:
        found = {each.address: each async for each in scan(site.addresses, fleet_of(site.config, timeout_s=5.0))}
        assert [found[address].family for address in site.addresses] == [
            Family.AVALON,
            Family.WHATSMINER,
            Family.ANTMINER,
        ]
        avalon = found[site.addresses[0]]
        assert (avalon.model, avalon.mac) == ("Avalon A1246 (83T)", site.machine(avalon.address).mac)


async def test_firmware_that_cannot_be_woken_is_rebooted() -> None:
    async with alone() as (site, _, target):
        machine, commands = site.machine(target.address), firmware_of(site).writes.commands
        del commands["softon"]
        # As the A13 series does: it wakes with a reboot only.
        commands["reboot"] = lambda _: machine.change(asleep=False, then=machine.reboot) or {}
        machine.sleep()
        outcome = await execute(fleet_of(site.config), target, ActionKind.WAKE, {})
        assert outcome.verified
        assert not machine.asleep


async def test_a_moment_is_named_by_the_machines_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    async with alone() as (site, _, target):
        # The captured A1246 counts from its start: When 24701 beside Elapsed 24684.
        monkeypatch.setattr("mbongi.twin.avalon_writes.unix_s", lambda: 24701)
        outcome = await execute(fleet_of(site.config), target, ActionKind.SLEEP, {})
        assert outcome.verified


async def test_pools_that_the_machine_forgets_with_the_reboot_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avalon_write, "POOLS_VERIFY_S", 2.0)
    async with alone() as (site, _, target):
        writes = firmware_of(site).writes
        machine = site.machine(target.address)
        writes.commands["reboot"] = lambda _: (
            machine.apply(waiting={1: machine.settings.of("waiting")[1]}) or writes.reboot()
        )
        outcome = await execute(fleet_of(site.config), target, ActionKind.SET_POOLS, POOLS)
        assert outcome.verified is False
        assert site.machine(target.address).pools[1].url == ""


async def test_a_wrong_password_is_denied_and_shown_to_nobody() -> None:
    async with alone() as (site, _, target):
        before = site.machine(target.address).pools
        with pytest.raises(DeniedError, match="Auth Failed") as caught:
            await execute(fleet_of(site.config, avalon_password="wrong word"), target, ActionKind.SET_POOLS, POOLS)
        assert "wrong word" not in str(caught.value)
        assert "hush" not in str(caught.value)
        assert site.machine(target.address).pools == before


@pytest.mark.parametrize("sign", [",", "|"])
async def test_a_word_that_would_end_the_command_is_rejected_before_anything_is_sent(sign: str) -> None:
    nobody = Target(machine_id=1, address="127.23.255.1", family=Family.AVALON)  # type: ignore[arg-type]
    pools = {"pools": [{"url": "stratum+tcp://a.example:1", "user": "u", "password": f"x{sign}reboot"}]}
    with pytest.raises(RejectedError, match="a comma or bar"):
        await execute(Fleet(rpc_port=1), nobody, ActionKind.SET_POOLS, pools)


async def test_refusals_carry_the_machines_own_words() -> None:
    async with alone() as (site, session, target):
        del firmware_of(site).writes.commands["softoff"]
        with pytest.raises(RejectedError, match="code 120: ASC 0 set failed: Unknown option: softoff"):
            await execute(fleet_of(site.config), target, ActionKind.SLEEP, {})
        with pytest.raises(RejectedError, match="code 120"):
            await avalon_write.send(session, "explode")


async def test_nobody_there_is_no_avalon() -> None:
    assert await ADAPTER.identify(Session("127.23.255.9", Access.of(Fleet(rpc_port=1)))) is None


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (VersionRow(model="1246-83"), "Avalon A1246 (83T)"),
        (VersionRow(model="15-194"), "Avalon A15 (194T)"),
        (VersionRow(model="Nano3s"), "Avalon Nano3s"),
        (VersionRow(product="AvalonMiner 921"), "AvalonMiner 921"),
    ],
)
def test_models_are_named_alike(row: VersionRow, name: str) -> None:
    assert avalon_decode.model_name(row) == name


@pytest.mark.parametrize(
    ("text", "power_w"),
    [
        # Canaan's A10 manual: the fifth is what the supply gives out.
        ("GHSspd[1] PS[0 1220 1314 140 1839 1308]", 1839.0),
        # A public reply of an A15.
        ("GHSspd[1] PS[0 1209 1187 297 3526 1188 3731] WALLPOWER[3731]", 3731.0),
        ("GHSspd[1] PS[0 1214 1316 242 3189 1320 3504]", 3504.0),
    ],
)
def test_power_is_what_is_drawn_where_it_is_stated(text: str, power_w: float) -> None:
    reading = blank()
    avalon_decode.read_figures(Figures(text), reading)

    assert reading.power_w == power_w


def test_errors_of_every_kind_are_told() -> None:
    found = avalon_decode.errors(Figures("PS[2 0] ECMM[1] POWS[4] ECHU[0 128 512] HASHS[0 1 0] POOLS[1]"))

    assert [error.code for error in found] == [
        "PS 2",
        "ECMM[0] 1",
        "POWS[0] 4",
        "ECHU[1] 128",
        "ECHU[2] 512",
        "HASHS[1] 1",
        "POOLS[0] 1",
    ]
    assert found[3].text == "the board is too hot (board 2)"


async def test_firmware_that_takes_a_mode_with_a_reboot_only_is_rebooted() -> None:
    async with alone() as (site, _, target):
        machine, writes = site.machine(target.address), firmware_of(site).writes
        new = writes.commands["workmode"]
        waiting: list[str] = []

        def old(words: list[str]) -> Any:
            if words[:1] == ["set"]:
                return new(["set", "9"])
            waiting.append(words[0])
            return new(["255"])

        writes.commands["workmode"] = old
        writes.commands["reboot"] = lambda _: new(["set", *waiting]) and writes.reboot()
        outcome = await execute(fleet_of(site.config), target, ActionKind.SET_POWER, {"mode": "low"})
        assert outcome.verified
        assert (machine.power_mode, waiting) == ("low", ["0"])
