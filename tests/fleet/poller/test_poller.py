"""The poller against virtual machines that fail in every way that they know."""

import asyncio
import math
from contextlib import AbstractAsyncContextManager

import pytest

from mbongi.base.config import Twin
from mbongi.base.ids import MachineId
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.reading import Target
from mbongi.fleet.values import Family, MachineState
from mbongi.twin.antminer import Antminer
from mbongi.twin.firmware import HttpReply
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from tests.fleet.beds import fleet_of, polling, targets_of, virtual_site

NETWORK = "127.23.0.0/16"
FAMILIES = [Family.ANTMINER, Family.WHATSMINER, Family.BITAXE]
ALL = (*FAMILIES, Family.WHATSMINER_V3, Family.AVALON, Family.LUXOS, Family.VNISH, Family.BRAIINS)
STATE_OF = {
    Fault.OFF: MachineState.OFF,
    Fault.HUNG: MachineState.UNKNOWN,
    Fault.HALF_REPLY: MachineState.UNKNOWN,
    Fault.GARBAGE: MachineState.UNKNOWN,
}


def site_of_all() -> AbstractAsyncContextManager[VirtualSite]:
    """One machine of each family."""
    return virtual_site(NETWORK, machines=len(ALL), families=ALL)


async def test_every_machine_gives_a_reading_a_state_and_a_detail() -> None:
    async with site_of_all() as site, polling(fleet_of(site.config), targets_of(site)) as watch:
        await watch.until_all(MachineState.MINING)
        count = len(watch.targets)
        await watch.until(lambda: len(watch.details) == count and len(watch.changes) >= count)
        for target in watch.targets:
            reading, machine = watch.readings[target.machine_id], site.machine(target.address)
            assert reading.hashrate_ths == pytest.approx(machine.rate_ths, rel=0.2)
            assert reading.rack == target.rack
            assert reading.poll_ms > 0
            assert reading.pool == "btc.example.pool:3333"
            assert watch.details[target.machine_id].mac == machine.mac
        assert [change.before for change in watch.changes[:count]] == [None] * count


@pytest.mark.parametrize("fault", list(STATE_OF))
async def test_a_failing_machine_is_never_called_mining_and_comes_back(fault: Fault) -> None:
    async with site_of_all() as site, polling(fleet_of(site.config), targets_of(site)) as watch:
        await watch.until_all(MachineState.MINING)
        for target in watch.targets:
            site.set_fault(target.address, fault)
        await watch.until_all(STATE_OF[fault])
        for target in watch.targets:
            assert math.isnan(watch.readings[target.machine_id].hashrate_ths)
        for target in watch.targets:
            site.set_fault(target.address, Fault.NONE)
        await watch.until_all(MachineState.MINING)


async def test_a_slow_machine_within_the_limit_is_read_and_beyond_it_is_unknown() -> None:
    async with virtual_site(NETWORK, slow_s=0.3) as site:
        for address in site.places:
            site.set_fault(address, Fault.SLOW)
        config = fleet_of(site.config, timeout_s=5.0, fast_s=2.0, slow_s=60.0)
        async with polling(config, targets_of(site)) as watch:
            await watch.until_all(MachineState.MINING)
        config = fleet_of(site.config, timeout_s=0.2)
        async with polling(config, targets_of(site)) as watch:
            await watch.until(lambda: len(watch.changes) == 3)
            assert {change.state for change in watch.changes} == {MachineState.UNKNOWN}


async def test_hung_machines_hold_one_worker_each_and_no_longer_than_the_limit() -> None:
    async with virtual_site(NETWORK, machines=12, per_rack=4) as site:
        targets = targets_of(site)
        for target in targets[:3]:
            site.set_fault(target.address, Fault.HUNG)
        async with polling(fleet_of(site.config, workers=4, timeout_s=0.3), targets) as watch:
            await watch.until(lambda: len(watch.readings) == 12)
            await watch.until(
                lambda: sum(reading.state == MachineState.MINING for reading in watch.readings.values()) == 9
            )
            assert all(watch.readings[target.machine_id].state == MachineState.UNKNOWN for target in targets[:3])


async def test_a_sleeping_machine_is_sleeping_and_not_at_fault() -> None:
    async with virtual_site(NETWORK) as site, polling(fleet_of(site.config), targets_of(site)) as watch:
        await watch.until_all(MachineState.MINING)
        for place in site.places.values():
            place.machine.sleep()
        await watch.until_all(MachineState.SLEEPING)
        for place in site.places.values():
            place.machine.wake()
        await watch.until_all(MachineState.MINING)


async def test_a_lost_board_is_seen_in_the_reading_while_the_machine_mines() -> None:
    async with virtual_site(NETWORK) as site, polling(fleet_of(site.config), targets_of(site)) as watch:
        await watch.until_all(MachineState.MINING)
        for family in (Family.ANTMINER, Family.WHATSMINER):
            site.set_fault(watch.target(family).address, Fault.BOARD_DEAD)
        lost = [watch.target(family).machine_id for family in (Family.ANTMINER, Family.WHATSMINER)]
        await watch.until(lambda: all(watch.readings[one].board_count == 2.0 for one in lost))
        await watch.until(lambda: all(watch.readings[one].error_count >= 1.0 for one in lost))
        assert all(watch.readings[one].board_expected == 3.0 for one in lost)
        await watch.until(lambda: all(watch.details[one].errors for one in lost))


async def test_a_steady_poll_asks_no_second_time_for_a_password() -> None:
    async with virtual_site(NETWORK) as site:
        antminer = site.places[site.addresses_of(Family.ANTMINER)[0]].firmware
        assert isinstance(antminer, Antminer)
        web, answers = antminer.web, list[int]()
        original = web.answer
        web.answer = lambda request: _noted(answers, original(request))  # type: ignore[method-assign]
        async with polling(fleet_of(site.config), targets_of(site)) as watch:
            await watch.until(lambda: answers.count(200) >= 12)
        assert answers.count(401) == 1


async def test_a_nonce_that_became_stale_costs_one_refusal_and_no_reading() -> None:
    async with virtual_site(NETWORK) as site:
        antminer = site.places[site.addresses_of(Family.ANTMINER)[0]].firmware
        assert isinstance(antminer, Antminer)
        web, answers = antminer.web, list[int]()
        original = web.answer
        web.answer = lambda request: _noted(answers, original(request))  # type: ignore[method-assign]
        async with polling(fleet_of(site.config), targets_of(site)) as watch:
            await watch.until(lambda: answers.count(200) >= 3)
            web.gate.secret = b"another"
            count = len(answers)
            await watch.until(lambda: len(answers) >= count + 6)
            assert watch.state(Family.ANTMINER) is MachineState.MINING
        assert answers.count(401) == 2
        assert {change.state for change in watch.changes} == {MachineState.MINING}


async def test_an_antminer_whose_web_refuses_us_is_read_over_rpc() -> None:
    async with virtual_site(NETWORK) as site:
        config = fleet_of(site.config, antminer_password="not the one")
        async with polling(config, targets_of(site)) as watch:
            await watch.until_all(MachineState.MINING)
            reading = watch.readings[watch.target(Family.ANTMINER).machine_id]
            assert reading.chips == 324.0
            assert reading.accepted > 0


async def test_targets_change_while_it_runs() -> None:
    async with virtual_site(NETWORK) as site:
        targets = targets_of(site)
        async with polling(fleet_of(site.config), targets[:1]) as watch:
            await watch.until(lambda: targets[0].machine_id in watch.readings)
            watch.poller.set_targets(targets)
            await watch.until(lambda: len(watch.readings) == 3)
            watch.poller.set_targets(targets[1:])
            await asyncio.sleep(0.3)
            watch.readings.clear()
            await watch.until(lambda: len(watch.readings) == 2)
            assert targets[0].machine_id not in watch.readings
            watch.poller.set_targets([])
            await asyncio.sleep(0.3)
            watch.readings.clear()
            await asyncio.sleep(0.5)
            assert not watch.readings


async def test_a_machine_that_is_asked_for_is_polled_at_once() -> None:
    async with (
        virtual_site(NETWORK) as site,
        polling(fleet_of(site.config, fast_s=600.0, slow_s=3600.0), targets_of(site)) as watch,
    ):
        first = watch.targets[0].machine_id
        await watch.until(lambda: first in watch.details)
        watch.readings.clear()
        watch.details.clear()
        watch.poller.poll_soon([first, MachineId(999)])
        await watch.until(lambda: first in watch.details)


async def test_a_dead_address_is_asked_ever_less_often_but_at_least_once_a_slow_period() -> None:
    dead = [Target(machine_id=MachineId(1), address="127.23.254.254", family=Family.BITAXE, rack="r")]
    config = fleet_of(Twin(rpc_port=9, http_port=9), fast_s=0.05, slow_s=0.4)
    async with polling(config, dead) as watch:
        await watch.until(lambda: len(watch.batches) >= 40)
        polls = watch.poller.statistics.polls
    # 40 rounds take 2 s: five slow periods at least, and the first few tries closer together.
    assert 4 <= polls <= 20
    assert all(readings[0].state == MachineState.OFF for _, readings in watch.batches)


async def test_a_reply_that_breaks_an_adapter_leaves_that_machine_unknown_and_the_others_polled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object) -> None:
        raise IndexError("an adapter's mistake")

    monkeypatch.setattr(adapter_of(Family.BITAXE), "_poll", broken)
    async with virtual_site(NETWORK) as site, polling(fleet_of(site.config), targets_of(site)) as watch:
        others = (Family.ANTMINER, Family.WHATSMINER)
        await watch.until(lambda: all(watch.state(family) is MachineState.MINING for family in others))
        await watch.until(lambda: len(watch.changes) >= 3)
        assert watch.state(Family.BITAXE) is MachineState.UNKNOWN


def _noted(answers: list[int], reply: HttpReply) -> HttpReply:
    answers.append(reply.status)
    return reply
