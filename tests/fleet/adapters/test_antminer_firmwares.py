"""Antminers with other makers' firmware: what the adapters read, and what they write, against virtual machines."""

import time
from typing import Any

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet.adapters import luxos_write
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session
from mbongi.fleet.control import execute
from mbongi.fleet.device_errors import DeniedError, RefusedError, RejectedError
from mbongi.fleet.reading import MachineDetail, MachineReading, Stated, Target
from mbongi.fleet.rules.figures import complete
from mbongi.fleet.scan import scan
from mbongi.fleet.values import ActionKind, Family, MachineState
from mbongi.twin.braiins import Braiins
from mbongi.twin.luxos import LuxOs
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault, Phase
from mbongi.twin.vnish import VNish
from tests.fleet.beds import fleet_of, targets_of, virtual_site
from tests.twin.peers import HandClock

FAMILIES = [Family.LUXOS, Family.VNISH, Family.BRAIINS]
NETWORK = "127.23.0.0/16"
NEW = [
    {"url": "stratum+tcp://new.example:3333", "user": "site.m1", "password": "hush"},
    {"url": "stratum+tcp://new2.example:443", "user": "site.m1", "password": "x"},
]
STATED = [{"url": pool["url"], "user": pool["user"]} for pool in NEW]


def one_of(family: Family) -> dict[str, Any]:
    return {"machines": 1, "families": (family.value,)}


def only(site: VirtualSite) -> Target:
    [target] = targets_of(site)
    return target


async def polled(site: VirtualSite, family: Family, tier: str) -> tuple[MachineState, MachineReading, MachineDetail]:
    session = Session(only(site).address, Access.of(fleet_of(site.config)))
    reading, detail = MachineReading(ts=0, machine_id=1), MachineDetail()
    adapter = adapter_of(family)
    try:
        if tier == "fast":
            found = await adapter.poll_fast(session, reading)
        elif tier == "slow":
            found = await adapter.poll_slow(session, reading, detail)
        else:
            found = await adapter.poll_static(session, reading, detail)
    finally:
        session.close()
    session.slow.put_into(reading, session.slow.at_s)
    complete(reading)
    return found.state, reading, detail


async def stated(site: VirtualSite, family: Family) -> Stated:
    session = Session(only(site).address, Access.of(fleet_of(site.config)))
    try:
        return await adapter_of(family).read_desired(session)
    finally:
        session.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tier", ["fast", "slow", "static"])
async def test_what_is_read_is_what_the_machine_is(family: Family, tier: str) -> None:
    async with virtual_site(NETWORK, clock=HandClock(), **one_of(family)) as site:
        machine = site.machine(only(site).address)
        state, reading, detail = await polled(site, family, tier)

    assert state is MachineState.MINING
    assert reading.hashrate_ths == pytest.approx(machine.rate_ths, rel=1e-3)
    assert reading.hashrate_nominal_ths == pytest.approx(machine.model.hashrate_ths, rel=1e-3)
    assert reading.power_w == pytest.approx(machine.power_w, abs=1)
    assert reading.power_estimated == 0
    rates = [reading.board1_ths, reading.board2_ths, reading.board3_ths]
    assert rates == pytest.approx(machine.rates_ths, rel=1e-3)
    assert [reading.fan1_rpm, reading.fan2_rpm, reading.fan3_rpm, reading.fan4_rpm] == pytest.approx(
        machine.rpm, abs=16
    )
    if tier != "fast" or family is not Family.BRAIINS:  # which states it on a page of its own
        assert reading.uptime_s == pytest.approx(machine.elapsed_s, abs=1)
    if tier != "fast":
        assert (reading.accepted, reading.rejected) == (machine.accepted, machine.rejected)
        assert [(pool.url, pool.user) for pool in detail.pools] == [(pool.url, pool.user) for pool in machine.pools]
        assert [pool.active for pool in detail.pools] == [True, False, False]
        assert [board.chips for board in detail.boards] == [machine.model.chips_per_board] * 3
        assert reading.pool == machine.pools[0].url.removeprefix("stratum+tcp://")
    if tier == "static":
        assert (detail.mac, detail.serial, detail.model) == (machine.mac, machine.serial, machine.model.name)
        assert detail.firmware
        assert detail.hostname


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_lost_board_is_missed(family: Family) -> None:
    clock = HandClock()
    async with virtual_site(NETWORK, clock=clock, **one_of(family)) as site:
        clock.now = time.time()  # Braiins OS tells errors by their time
        site.set_fault(only(site).address, Fault.BOARD_DEAD)
        clock.pass_s(60)
        _, reading, detail = await polled(site, family, "static")
        chips = site.machine(only(site).address).model.chips_per_board

    assert (reading.board_count, reading.board_expected) == (2.0, 3.0)
    assert (reading.chips, reading.chips_expected) == (2.0 * chips, 3.0 * chips)
    assert detail.errors


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_scan_names_it(family: Family) -> None:
    async with virtual_site(NETWORK, **one_of(family)) as site:
        machine = site.machine(only(site).address)
        [found] = [one async for one in scan([f"{machine.address}/32"], fleet_of(site.config, timeout_s=10.0))]

    assert (found.family, found.model, found.mac) == (family, machine.model.name, machine.mac)


@pytest.mark.parametrize("family", FAMILIES)
async def test_sleep_and_wake_are_seen_on_the_machine_verified_and_told_apart_from_a_fault(family: Family) -> None:
    clock = HandClock()
    async with virtual_site(NETWORK, clock=clock, **one_of(family)) as site:
        config, target = fleet_of(site.config), only(site)
        machine = site.machine(target.address)
        assert (await execute(config, target, ActionKind.SLEEP, {})).verified
        assert machine.asleep
        clock.pass_s(600)
        for tier in ("fast", "slow"):
            state, reading, _ = await polled(site, family, tier)
            assert state is MachineState.SLEEPING
            assert reading.hashrate_ths == 0
        again = await execute(config, target, ActionKind.SLEEP, {})
        assert again.verified
        assert "already" in again.message
        assert (await execute(config, target, ActionKind.WAKE, {})).verified
        assert not machine.asleep
        clock.pass_s(600)
        assert (await polled(site, family, "fast"))[0] is MachineState.MINING


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [ActionKind.SLEEP, ActionKind.WAKE, ActionKind.REBOOT, ActionKind.SET_POOLS])
async def test_a_dry_run_reads_and_changes_nothing(family: Family, kind: ActionKind) -> None:
    async with virtual_site(NETWORK, **one_of(family)) as site:
        machine = site.machine(only(site).address)
        pools = machine.pools
        arguments = {"pools": NEW} if kind is ActionKind.SET_POOLS else {}
        planned = await execute(fleet_of(site.config), only(site), kind, arguments, dry_run=True)
        machine.advance()

    assert (machine.pools, machine.asleep, machine.phase) == (pools, False, Phase.MINING)
    assert planned.verified is None or planned.before == planned.after


@pytest.mark.parametrize("family", FAMILIES)
async def test_new_pools_replace_all_old_ones_and_no_outcome_shows_their_password(family: Family) -> None:
    async with virtual_site(NETWORK, **one_of(family)) as site:
        machine = site.machine(only(site).address)
        for _ in range(2):  # the same again must leave the same
            outcome = await execute(fleet_of(site.config), only(site), ActionKind.SET_POOLS, {"pools": NEW})
            assert outcome.verified
            assert outcome.after == {"pools": STATED}
            assert [(pool.url, pool.password) for pool in machine.pools] == [
                ("stratum+tcp://new.example:3333", "hush"),
                ("stratum+tcp://new2.example:443", "x"),
                ("", ""),
            ]
            assert "hush" not in repr(outcome)
        assert not machine.asleep


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_reboot_is_seen(family: Family) -> None:
    async with virtual_site(NETWORK, time_scale=5.0, **one_of(family)) as site:
        assert (await execute(fleet_of(site.config), only(site), ActionKind.REBOOT, {})).verified


@pytest.mark.parametrize("family", FAMILIES)
async def test_an_action_on_a_machine_that_is_off_is_an_error(family: Family) -> None:
    async with virtual_site(NETWORK, **one_of(family)) as site:
        site.set_fault(only(site).address, Fault.OFF)
        with pytest.raises(RefusedError):
            await execute(fleet_of(site.config), only(site), ActionKind.SLEEP, {})


# LuxOS alone.


async def test_a_session_that_another_program_holds_is_waited_out_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luxos_write, "SESSION_WAIT_S", 0.0)
    clock = HandClock()
    async with virtual_site(NETWORK, clock=clock, **one_of(Family.LUXOS)) as site:
        firmware = site.places[only(site).address].firmware
        assert isinstance(firmware, LuxOs)
        firmware.writes.hold_session()
        with pytest.raises(RejectedError, match="another program holds its session"):
            await execute(fleet_of(site.config), only(site), ActionKind.SLEEP, {})
        assert not firmware.machine.asleep
        clock.pass_s(61)
        assert (await execute(fleet_of(site.config), only(site), ActionKind.SLEEP, {})).verified
        assert firmware.writes.session_id == ""


async def test_luxos_pools_of_all_groups_are_replaced() -> None:
    async with virtual_site(NETWORK, **one_of(Family.LUXOS)) as site:
        firmware = site.places[only(site).address].firmware
        assert isinstance(firmware, LuxOs)
        firmware.writes.answer("addgroup", ["second", "1"])
        firmware.writes.answer("addpool", ["stratum+tcp://c:1", "u", "p", "1"])
        assert (await execute(fleet_of(site.config), only(site), ActionKind.SET_POOLS, {"pools": NEW})).verified
        assert len(firmware.writes.groups()["GROUPS"]) == 1


@pytest.mark.parametrize("key", ["url", "user", "password"])
async def test_luxos_is_sent_no_comma_and_no_error_shows_the_password(key: str) -> None:
    # Nothing listens at this address: a packet sent would be a refusal instead.
    nobody = Target(machine_id=1, address="127.23.255.1", family=Family.LUXOS)  # type: ignore[arg-type]
    pool = {"url": "stratum+tcp://a:1", "user": "u", "password": "secret word"}
    with pytest.raises(RejectedError, match="commas") as caught:
        await execute(
            Fleet(rpc_port=1, http_port=1), nobody, ActionKind.SET_POOLS, {"pools": [pool | {key: f"{pool[key]},0"}]}
        )
    assert "secret word" not in str(caught.value)


# VNish alone.


def vnish_of(site: VirtualSite) -> VNish:
    found = site.places[only(site).address].firmware
    assert isinstance(found, VNish)
    return found


async def test_the_pools_of_the_firmwares_fee_are_no_pools_of_the_machine() -> None:
    async with virtual_site(NETWORK, **one_of(Family.VNISH)) as site:
        assert vnish_of(site)._pools()[-1]["pool_type"] == "DevFee"
        _, _, detail = await polled(site, Family.VNISH, "slow")
        assert len(detail.pools) == 3


async def test_new_pools_are_in_use_and_not_only_saved() -> None:
    async with virtual_site(NETWORK, **one_of(Family.VNISH)) as site:
        outcome = await execute(fleet_of(site.config), only(site), ActionKind.SET_POOLS, {"pools": NEW})
        assert outcome.verified
        assert "restarts its miner" in outcome.message
        assert not vnish_of(site).writes.restart_required


async def test_pools_of_a_sleeping_machine_do_not_wake_it() -> None:
    async with virtual_site(NETWORK, **one_of(Family.VNISH)) as site:
        machine = site.machine(only(site).address)
        machine.sleep()
        assert (await execute(fleet_of(site.config), only(site), ActionKind.SET_POOLS, {"pools": NEW})).verified
        assert machine.asleep
        assert (await execute(fleet_of(site.config), only(site), ActionKind.WAKE, {})).verified
        assert machine.pools[0].password == "hush"


@pytest.mark.parametrize("family", [Family.VNISH])
async def test_with_a_wrong_password_it_is_read_and_not_written_and_nothing_shows_the_password(family: Family) -> None:
    async with virtual_site(NETWORK, clock=HandClock(), **one_of(family)) as site:
        config = fleet_of(site.config, vnish_password="wrong one", braiins_password="wrong one")
        with pytest.raises(DeniedError) as caught:
            await execute(config, only(site), ActionKind.SLEEP, {})
        assert "wrong one" not in str(caught.value)
        assert not site.machine(only(site).address).asleep
        session = Session(only(site).address, Access.of(config))
        for _ in range(10):  # a poll must not have the machine shut us out
            detail = MachineDetail()
            await adapter_of(family).poll_slow(session, MachineReading(ts=0, machine_id=1), detail)
            assert len(detail.pools) == 3
        session.close()
        assert (await execute(fleet_of(site.config), only(site), ActionKind.SLEEP, {})).verified


async def test_a_token_that_died_is_fetched_anew() -> None:
    async with virtual_site(NETWORK, **one_of(Family.VNISH)) as site:
        session = Session(only(site).address, Access.of(fleet_of(site.config)))
        adapter = adapter_of(Family.VNISH)
        assert await adapter.read_pools(session)
        vnish_of(site).writes.tokens.clear()
        # Open pages are asked without a token, so that a dead one shuts nobody out of them.
        await adapter.poll_fast(session, MachineReading(ts=0, machine_id=1))
        assert (await adapter.sleep(session)).verified
        session.close()


@pytest.mark.parametrize(("fault", "code"), [(Fault.OVERHEAT, "11"), (Fault.FAN_DEAD, "2")])
async def test_a_machine_that_protects_itself_is_at_fault_and_not_asleep(fault: Fault, code: str) -> None:
    clock = HandClock()
    async with virtual_site(NETWORK, clock=clock, **one_of(Family.VNISH)) as site:
        site.set_fault(only(site).address, fault)
        machine = site.machine(only(site).address)
        while machine.phase is not Phase.PROTECTED:
            clock.pass_s(10)
            machine.advance()
        state, _, detail = await polled(site, Family.VNISH, "slow")
    assert state is MachineState.FAULT
    assert [error.code for error in detail.errors] == [code]


# Braiins OS alone.


async def test_braiins_shuts_out_who_lacks_the_password_and_it_is_not_tried_with_every_poll() -> None:
    async with virtual_site(NETWORK, **one_of(Family.BRAIINS)) as site:
        firmware = site.places[only(site).address].firmware
        assert isinstance(firmware, Braiins)
        config = fleet_of(site.config, braiins_password="wrong one", timeout_s=10.0)
        session = Session(only(site).address, Access.of(config))
        for words in ("HTTP 401", "a while ago"):
            with pytest.raises(DeniedError, match=words) as caught:
                await adapter_of(Family.BRAIINS).poll_fast(session, MachineReading(ts=0, machine_id=1))
            assert "wrong one" not in str(caught.value)
        session.close()
        # Its model is told without a password.
        [found] = [one async for one in scan([f"{only(site).address}/32"], config)]
        assert (found.family, found.model, found.mac) == (Family.BRAIINS, "Antminer S21 Pro", "")


async def test_a_braiins_token_that_died_is_fetched_anew() -> None:
    async with virtual_site(NETWORK, **one_of(Family.BRAIINS)) as site:
        firmware = site.places[only(site).address].firmware
        assert isinstance(firmware, Braiins)
        session = Session(only(site).address, Access.of(fleet_of(site.config)))
        adapter = adapter_of(Family.BRAIINS)
        assert await adapter.read_pools(session)
        firmware.writes.tokens.clear()
        assert (await adapter.sleep(session)).verified
        session.close()


async def test_a_braiins_machine_that_was_stopped_is_started() -> None:
    async with virtual_site(NETWORK, **one_of(Family.BRAIINS)) as site:
        machine = site.machine(only(site).address)
        machine.sleep()
        machine.apply(is_stopped=True)
        assert (await execute(fleet_of(site.config), only(site), ActionKind.WAKE, {})).verified
        assert not machine.asleep


@pytest.mark.parametrize(
    ("family", "kind", "wish"),
    [
        (Family.BRAIINS, ActionKind.SET_POWER, {"target_w": 2500}),
        (Family.BRAIINS, ActionKind.SET_FAN, {"percent": 70}),
        (Family.BRAIINS, ActionKind.SET_HOSTNAME, {"hostname": "r01-s02"}),
        # 25 + (2794 - 25) x (490/590)^1.8 and 25 + (3250 - 25) x 0.8^1.8 in whole tens, as the virtual machines state.
        (Family.LUXOS, ActionKind.SET_POWER, {"target_w": 2007}),
        (Family.VNISH, ActionKind.SET_POWER, {"target_w": 2180}),
        (Family.VNISH, ActionKind.SET_HOSTNAME, {"hostname": "r01-s02"}),
    ],
)
async def test_a_setting_is_rehearsed_written_verified_and_leaves_the_rest(
    family: Family, kind: ActionKind, wish: dict[str, Any]
) -> None:
    async with virtual_site(NETWORK, **one_of(family)) as site:
        config, target = fleet_of(site.config), only(site)
        before = await stated(site, family)
        plan = await execute(config, target, kind, wish, dry_run=True)
        assert (plan.verified, await stated(site, family)) == (None, before)
        assert (await execute(config, target, kind, wish)).verified
        after = await stated(site, family)
        assert next(iter(wish.values())) in {after.power_limit_w, after.fan_percent, after.hostname}
        assert (after.pools, after.firmware) == (before.pools, before.firmware)
        assert "nothing was written" in (await execute(config, target, kind, wish)).message
        if kind is not ActionKind.SET_POWER:
            assert (after.mode, after.power_limit_w) == (before.mode, before.power_limit_w)


@pytest.mark.parametrize("watts", [100, 9000])
async def test_a_power_target_out_of_range_is_refused_in_the_machines_words(watts: int) -> None:
    async with virtual_site(NETWORK, **one_of(Family.BRAIINS)) as site:
        with pytest.raises(RejectedError, match="out of range"):
            await execute(fleet_of(site.config), only(site), ActionKind.SET_POWER, {"target_w": watts})


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_sleeping_machine_is_given_no_power_limit(family: Family) -> None:
    async with virtual_site(NETWORK, **one_of(family)) as site:
        site.machine(only(site).address).sleep()
        with pytest.raises(RejectedError, match="nothing was written"):
            await execute(fleet_of(site.config), only(site), ActionKind.SET_POWER, {"target_w": 2500})


@pytest.mark.parametrize("family", [Family.LUXOS, Family.VNISH])
@pytest.mark.parametrize("wish", [{"target_w": 2345}, {"mode": "low"}])
async def test_a_power_that_no_profile_has_is_refused_before_anything_is_written(
    family: Family, wish: dict[str, Any]
) -> None:
    async with virtual_site(NETWORK, **one_of(family)) as site:
        before = await stated(site, family)
        with pytest.raises(RejectedError, match="nothing was written"):
            await execute(fleet_of(site.config), only(site), ActionKind.SET_POWER, wish)
        assert await stated(site, family) == before


async def test_a_profile_that_thermal_management_would_take_back_is_not_set() -> None:
    async with virtual_site(NETWORK, **one_of(Family.LUXOS)) as site:
        firmware = site.places[only(site).address].firmware
        assert isinstance(firmware, LuxOs)
        firmware.machine.apply(atm_enabled=True)
        with pytest.raises(RejectedError, match="ATM"):
            await execute(fleet_of(site.config), only(site), ActionKind.SET_POWER, {"target_w": 2007})
        assert firmware.writes.profile == "default"
