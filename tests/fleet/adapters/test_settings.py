"""Power, fans and network names: each written alone, verified, and refused where the family cannot be told."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Access, Session
from mbongi.fleet.control import execute, scorecards
from mbongi.fleet.device_errors import RejectedError
from mbongi.fleet.reading import Stated, Target
from mbongi.fleet.values import ActionKind, Family
from mbongi.twin.antminer import Antminer
from mbongi.twin.site import VirtualSite
from tests.fleet.beds import fleet_of, targets_of, virtual_site
from tests.twin.peers import cgi

NETWORK = "127.23.0.0/16"
FAMILIES = (Family.ANTMINER, Family.WHATSMINER, Family.BITAXE, Family.WHATSMINER_V3, Family.AVALON)
CAN: dict[ActionKind, dict[Family, dict[str, Any]]] = {
    ActionKind.SET_POWER: {
        Family.ANTMINER: {"mode": "low"},
        Family.WHATSMINER: {"mode": "high"},
        Family.WHATSMINER_V3: {"mode": "low"},
        Family.AVALON: {"mode": "low"},
    },
    ActionKind.SET_FAN: {Family.ANTMINER: {"percent": 70}, Family.BITAXE: {"percent": 70}},
    ActionKind.SET_HOSTNAME: {
        Family.WHATSMINER: {"hostname": "r01-s02"},
        Family.BITAXE: {"hostname": "r01-s03"},
        Family.WHATSMINER_V3: {"hostname": "r01-s04"},
    },
}
STATED: dict[ActionKind, Any] = {
    ActionKind.SET_POWER: lambda found: found.mode,
    ActionKind.SET_FAN: lambda found: found.fan_percent,
    ActionKind.SET_HOSTNAME: lambda found: found.hostname,
}
CASES = [(kind, family, wish) for kind, families in CAN.items() for family, wish in families.items()]
CANNOT = [(kind, family) for kind, families in CAN.items() for family in FAMILIES if family not in families]


def site_of_all() -> AbstractAsyncContextManager[VirtualSite]:
    """One machine of each family."""
    return virtual_site(NETWORK, machines=len(FAMILIES), families=FAMILIES)


def target(site: VirtualSite, family: Family) -> Target:
    return next(target for target in targets_of(site) if target.family is family)


async def stated(site: VirtualSite, family: Family) -> Stated:
    session = Session(target(site, family).address, Access.of(fleet_of(site.config)))
    try:
        return await adapter_of(family).read_desired(session)
    finally:
        session.close()


@pytest.mark.parametrize(("kind", "family", "wish"), CASES)
async def test_a_setting_is_rehearsed_written_verified_and_not_written_again(
    kind: ActionKind, family: Family, wish: dict[str, Any]
) -> None:
    async with site_of_all() as site:
        config, one = fleet_of(site.config), target(site, family)
        before = await stated(site, family)
        (wanted,) = wish.values()

        plan = await execute(config, one, kind, wish, dry_run=True)
        assert (plan.verified, await stated(site, family)) == (None, before)

        done = await execute(config, one, kind, wish)
        assert done.verified
        after = await stated(site, family)
        assert STATED[kind](after) == wanted
        assert (after.pools, after.firmware) == (before.pools, before.firmware)

        again = await execute(config, one, kind, wish)
        assert "nothing was written" in again.message


@pytest.mark.parametrize(("kind", "family"), CANNOT)
async def test_what_a_family_cannot_be_told_is_refused_before_anything_is_written(
    kind: ActionKind, family: Family
) -> None:
    async with site_of_all() as site:
        before = await stated(site, family)
        with pytest.raises(RejectedError, match="nothing was written"):
            await execute(fleet_of(site.config), target(site, family), kind, next(iter(CAN[kind].values())))
        assert await stated(site, family) == before
        assert any(each.status == "exempt" and each.reason for each in scorecards()[family])


async def test_fans_are_given_back_to_the_machine() -> None:
    async with site_of_all() as site:
        for family in (Family.ANTMINER, Family.BITAXE):
            one = target(site, family)
            await execute(fleet_of(site.config), one, ActionKind.SET_FAN, {"percent": 60})
            assert (await stated(site, family)).fan_auto is False

            assert (await execute(fleet_of(site.config), one, ActionKind.SET_FAN, {"percent": None})).verified
            assert (await stated(site, family)).fan_auto is True


@pytest.mark.parametrize("family", [Family.WHATSMINER, Family.WHATSMINER_V3])
async def test_a_power_limit_is_set_on_a_whatsminer_rehearsed_and_not_written_again(family: Family) -> None:
    async with site_of_all() as site:
        config, one = fleet_of(site.config), target(site, family)
        plan = await execute(config, one, ActionKind.SET_POWER, {"target_w": 3000}, dry_run=True)
        assert plan.verified is None
        assert (await execute(config, one, ActionKind.SET_POWER, {"target_w": 3000})).verified
        assert (await stated(site, family)).power_limit_w == 3000
        again = await execute(config, one, ActionKind.SET_POWER, {"target_w": 3000})
        assert "nothing was written" in again.message


@pytest.mark.parametrize("family", [Family.ANTMINER, Family.AVALON])
async def test_a_power_limit_is_refused_where_there_is_none(family: Family) -> None:
    async with site_of_all() as site:
        with pytest.raises(RejectedError, match="no limit in watts"):
            await execute(fleet_of(site.config), target(site, family), ActionKind.SET_POWER, {"target_w": 3000})


@pytest.mark.parametrize("family", [Family.WHATSMINER, Family.WHATSMINER_V3, Family.AVALON])
async def test_a_mode_that_the_family_does_not_know_is_refused(family: Family) -> None:
    async with site_of_all() as site:
        with pytest.raises(RejectedError, match="nothing was written"):
            await execute(fleet_of(site.config), target(site, family), ActionKind.SET_POWER, {"mode": "sleep"})


@pytest.mark.parametrize("family", [Family.ANTMINER, Family.WHATSMINER, Family.WHATSMINER_V3, Family.AVALON])
async def test_a_sleeping_machine_is_not_woken_by_a_power_mode(family: Family) -> None:
    async with site_of_all() as site:
        config, one = fleet_of(site.config), target(site, family)
        await execute(config, one, ActionKind.SLEEP, {})
        with pytest.raises(RejectedError, match="wake it first"):
            await execute(config, one, ActionKind.SET_POWER, {"mode": "low"})
        assert site.machine(one.address).asleep


@pytest.mark.parametrize("wish", [{}, {"mode": "low", "target_w": 3000}, {"mode": "turbo"}, {"watts": 3000}])
async def test_a_power_setting_that_says_not_exactly_one_thing_is_refused(wish: dict[str, Any]) -> None:
    async with site_of_all() as site:
        with pytest.raises(RejectedError):
            await execute(fleet_of(site.config), target(site, Family.WHATSMINER), ActionKind.SET_POWER, wish)


@pytest.mark.parametrize(
    ("kind", "wish"), [(ActionKind.SET_POWER, {"mode": "low"}), (ActionKind.SET_FAN, {"percent": 70})]
)
async def test_no_change_of_power_or_fans_touches_the_pools_of_an_antminers_whole_document(
    kind: ActionKind, wish: dict[str, Any]
) -> None:
    async with site_of_all() as site:
        one = target(site, Family.ANTMINER)
        firmware = site.places[one.address].firmware
        assert isinstance(firmware, Antminer)
        pools = [
            {"url": f"stratum+tcp://p{n}.example:3333", "user": f"acct.{n}", "pass": f"secret {n}"} for n in (1, 2, 3)
        ]
        document = await cgi(site, one.address, "get_miner_conf")
        await cgi(site, one.address, "set_miner_conf", document | {"pools": pools})
        was = site.machine(one.address).pools

        assert (await execute(fleet_of(site.config), one, kind, wish)).verified

        assert site.machine(one.address).pools == was
        assert [pool.password for pool in was] == ["secret 1", "secret 2", "secret 3"]
