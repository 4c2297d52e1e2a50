"""Actions on machines: read, change only what was asked for, verify. Against virtual machines of each family."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet.adapters.session import Access
from mbongi.fleet.control import execute, scorecards
from mbongi.fleet.device_errors import DeniedError, RefusedError, RejectedError
from mbongi.fleet.ports import PoolSetting
from mbongi.fleet.reading import Target
from mbongi.fleet.values import HAND_KINDS, ActionKind, Family
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault, Phase
from tests.fleet.beds import fleet_of, targets_of, virtual_site
from tests.twin.peers import cgi

FAMILIES = [Family.ANTMINER, Family.WHATSMINER, Family.BITAXE, Family.WHATSMINER_V3, Family.AVALON]
POOLS = {"pools": [{"url": "stratum+tcp://new.example:3333", "user": "site.m1", "password": "hush"}]}
NETWORK = "127.23.0.0/16"


def site_of_all(**options: Any) -> AbstractAsyncContextManager[VirtualSite]:
    """One machine of each family."""
    return virtual_site(NETWORK, machines=len(FAMILIES), families=tuple(FAMILIES), **options)


def target(site: VirtualSite, family: Family) -> Target:
    return next(target for target in targets_of(site) if target.family is family)


@pytest.mark.parametrize("family", FAMILIES)
async def test_sleep_and_wake_are_seen_on_the_machine_and_verified(family: Family) -> None:
    async with site_of_all() as site:
        config, one = fleet_of(site.config), target(site, family)
        machine = site.machine(one.address)

        slept = await execute(config, one, ActionKind.SLEEP, {})
        assert slept.verified
        assert machine.asleep

        again = await execute(config, one, ActionKind.SLEEP, {})
        assert again.verified
        assert "already" in again.message

        woken = await execute(config, one, ActionKind.WAKE, {})
        assert woken.verified
        assert not machine.asleep


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", HAND_KINDS)
async def test_a_dry_run_reads_and_changes_nothing(family: Family, kind: ActionKind) -> None:
    async with site_of_all() as site:
        one = target(site, family)
        machine = site.machine(one.address)
        pools = machine.pools
        planned = await execute(
            fleet_of(site.config), one, kind, POOLS if kind is ActionKind.SET_POOLS else {}, dry_run=True
        )
        machine.advance()
        assert machine.pools == pools
        assert not machine.asleep
        assert machine.phase is Phase.MINING
        assert planned.verified is None or planned.before == planned.after


@pytest.mark.parametrize("family", FAMILIES)
async def test_new_pools_are_written_with_their_password_which_no_outcome_shows(family: Family) -> None:
    async with site_of_all() as site:
        one = target(site, family)
        outcome = await execute(fleet_of(site.config), one, ActionKind.SET_POOLS, POOLS)
        assert outcome.verified
        assert outcome.after == {"pools": [{"url": "stratum+tcp://new.example:3333", "user": "site.m1"}]}
        machine = site.machine(one.address)
        assert (machine.pools[0].url, machine.pools[0].user) == ("stratum+tcp://new.example:3333", "site.m1")
        assert machine.pools[0].password == "hush"
        assert "hush" not in repr(outcome)


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_reboot_is_seen(family: Family) -> None:
    async with site_of_all(time_scale=5.0) as site:
        outcome = await execute(fleet_of(site.config), target(site, family), ActionKind.REBOOT, {})
        assert outcome.verified


async def test_an_antminers_whole_configuration_but_the_work_mode_is_kept() -> None:
    async with site_of_all() as site:
        one = target(site, Family.ANTMINER)
        await cgi(
            site,
            one.address,
            "set_miner_conf",
            await cgi(site, one.address, "get_miner_conf") | {"bitmain-fan-ctrl": True, "bitmain-fan-pwm": "77"},
        )
        before = await cgi(site, one.address, "get_miner_conf")
        assert before["bitmain-fan-pwm"] == "77"
        await execute(fleet_of(site.config), one, ActionKind.SLEEP, {})
        after = await cgi(site, one.address, "get_miner_conf")
        assert after == before | {"bitmain-work-mode": "1"}


async def test_waking_an_antminer_in_low_power_mode_leaves_that_mode() -> None:
    async with site_of_all() as site:
        one = target(site, Family.ANTMINER)
        document = await cgi(site, one.address, "get_miner_conf") | {"miner-mode": "3"}
        await cgi(site, one.address, "set_miner_conf", document)
        outcome = await execute(fleet_of(site.config), one, ActionKind.WAKE, {})
        assert outcome.before == outcome.after == {"work_mode": "low"}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"pools": []},
        {"pools": [{"url": "", "user": "u", "password": "secret word"}]},
        {"pools": [{"url": "a:1\nb", "user": "u", "password": "secret word"}]},
        {"pools": [{"url": 5, "user": "u", "password": "secret word"}]},
        {"pools": [{"url": "a:1", "user": "u", "password": "secret word"}] * 4},
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
async def test_pools_that_cannot_be_used_are_rejected_before_anything_is_sent(
    family: Family, arguments: dict[str, Any]
) -> None:
    # Nothing listens at this address: a packet sent would be a refusal instead.
    nobody = Target(machine_id=1, address="127.23.255.1", family=family)  # type: ignore[arg-type]
    with pytest.raises(RejectedError) as caught:
        await execute(Fleet(rpc_port=1, http_port=1, framed_port=1), nobody, ActionKind.SET_POOLS, arguments)
    assert "secret word" not in str(caught.value)


async def test_a_bitaxe_is_not_told_of_a_pool_whose_protocol_it_does_not_speak() -> None:
    nobody = Target(machine_id=1, address="127.23.255.1", family=Family.BITAXE)  # type: ignore[arg-type]
    pools = {"pools": [{"url": "stratum2+tcp://127.0.0.1:3336", "user": "u", "password": "x"}]}

    with pytest.raises(RejectedError, match="AxeOS speaks Stratum V1 only"):
        await execute(Fleet(rpc_port=1, http_port=1, framed_port=1), nobody, ActionKind.SET_POOLS, pools)


@pytest.mark.parametrize("family", FAMILIES)
async def test_an_action_on_a_machine_that_is_off_is_an_error(family: Family) -> None:
    async with site_of_all() as site:
        one = target(site, family)
        site.set_fault(one.address, Fault.OFF)
        with pytest.raises(RefusedError):
            await execute(fleet_of(site.config), one, ActionKind.SLEEP, {})


@pytest.mark.parametrize("family", [Family.ANTMINER, Family.WHATSMINER, Family.WHATSMINER_V3])
async def test_a_wrong_password_is_an_error_that_does_not_show_it(family: Family) -> None:
    async with site_of_all() as site:
        words = ("antminer_password", "whatsminer_password", "whatsminer_v3_password")
        config = fleet_of(site.config, **dict.fromkeys(words, "wrong word"))
        with pytest.raises(DeniedError) as caught:
            await execute(config, target(site, family), ActionKind.SLEEP, {})
        assert "wrong word" not in str(caught.value)


def test_nothing_that_holds_a_password_shows_it() -> None:
    assert "hush" not in repr(PoolSetting(url="u", user="v", password="hush"))
    assert "hush" not in repr(
        Access.of(
            Fleet(
                antminer_password="hush",
                whatsminer_password="hush",
                whatsminer_v3_password="hush",
                avalon_password="hush",
            )
        )
    )


def test_every_familys_scorecard_gives_a_reason_for_each_exemption() -> None:
    for family, lines in scorecards().items():
        assert lines, family
        for line in lines:
            assert line.status in {"done", "exempt"}
            assert line.reason or line.status == "done"
