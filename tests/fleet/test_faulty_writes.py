"""What becomes of actions on machines whose writes go wrong: one machine of each family, by the real actor."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import pytest

from mbongi.base.clock import utc_now
from mbongi.base.ids import ActionId
from mbongi.fleet import services
from mbongi.fleet.action_work import Ending, Work
from mbongi.fleet.adapters import avalon_write, verifying
from mbongi.fleet.daemon import acting
from mbongi.fleet.daemon.acting import Actor
from mbongi.fleet.values import ActionKind, Family
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.site import VirtualSite
from mbongi.twin.write_faults import WriteFault
from tests.fleet.beds import Nobody, fleet_of, targets_of, virtual_site

ALL = (
    Family.ANTMINER,
    Family.WHATSMINER,
    Family.WHATSMINER_V3,
    Family.BRAIINS,
    Family.BITAXE,
    Family.VNISH,
    Family.LUXOS,
    Family.AVALON,
)
IN_ONE = ALL[:4]
"""Families whose pools are one write; the others take several, or a restart besides."""
NOT_IN_STEPS = ALL[:6]
"""All but those whose pools are several writes."""
NEW = [("stratum+tcp://one.example:3333", "site.m1"), ("stratum+tcp://two.example:3333", "site.m2")]
POOLS = {"pools": [{"url": url, "user": user, "password": "hush"} for url, user in NEW]}
LIMIT_S = 60.0


class Record:
    """Stands for the database: gives these actions out once, keeps how they end."""

    def __init__(self, works: list[Work]) -> None:
        self.works, self.count, self.endings = works, len(works), dict[int, Ending]()
        self.over = asyncio.Event()

    async def insist(self, function: object, *arguments: Any, **_: object) -> list[Work]:
        if function is not services.finish_actions:
            return []
        self.endings |= {ending.action_id: ending for ending in arguments[0]}
        if len(self.endings) == self.count:
            self.over.set()
        return []

    async def call(self, *_: object, **__: object) -> list[Work]:
        works, self.works = self.works, []
        return works


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "ANSWER_S", 3.0)
    monkeypatch.setattr(verifying, "VERIFY_S", 3.0)
    monkeypatch.setattr(verifying, "DOWN_S", 20.0)
    monkeypatch.setattr(avalon_write, "POOLS_VERIFY_S", 8.0)


@contextlib.asynccontextmanager
async def site_of(families: tuple[Family, ...]) -> AsyncIterator[VirtualSite]:
    """One machine of each; a reboot of a minute takes two seconds, a late setting half of one."""
    async with virtual_site("127.23.0.0/16", machines=len(families), families=tuple(families), time_scale=30.0) as site:
        yield site


async def performed(
    site: VirtualSite, kind: ActionKind, arguments: Mapping[str, Any]
) -> dict[Family, tuple[Ending, VirtualMachine]]:
    """Do this to all machines; how it ended for each."""
    now, targets = utc_now(), targets_of(site)
    works = [
        Work(
            action_id=ActionId(int(target.machine_id)),
            machine_id=target.machine_id,
            address=target.address,
            family=Family(target.family),
            model="",
            kind=kind,
            arguments=dict(arguments),
            dry_run=False,
            is_step=False,
            requested_at=now,
            claimed_at=now,
            interrupted=False,
        )
        for target in targets
    ]
    record = Record(works)
    actor = Actor(fleet_of(site.config, timeout_s=2.0), record, Nobody())
    task = asyncio.create_task(actor.run())
    try:
        async with asyncio.timeout(LIMIT_S):
            await record.over.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return {
        Family(target.family): (record.endings[target.machine_id], site.machine(target.address)) for target in targets
    }


def pools_of(machine: VirtualMachine) -> list[tuple[str, str]]:
    return [(pool.url, pool.user) for pool in machine.pools if pool.url]


def set_faults(site: VirtualSite, fault: WriteFault, *, times: int | None = None) -> None:
    for address in site.addresses:
        site.machine(address).set_write_fault(fault, times=times)


def writes(machines: Iterable[VirtualMachine]) -> list[int]:
    return [machine.write_count for machine in machines]


async def test_a_write_that_is_answered_and_not_done_is_never_called_done() -> None:
    async with site_of(ALL) as site:
        set_faults(site, WriteFault.LIES)
        found = await performed(site, ActionKind.SET_POOLS, POOLS)
    for family, (ending, machine) in found.items():
        assert (ending.done, pools_of(machine)[0][0]) == (False, "stratum+tcp://btc.example.pool:3333"), family
        assert "does not state the new setting" in ending.message, family


async def test_a_refusal_is_told_in_the_machines_words() -> None:
    async with site_of(ALL) as site:
        set_faults(site, WriteFault.REFUSES)
        found = await performed(site, ActionKind.SET_POOLS, POOLS)
    words = {
        Family.ANTMINER: "M001 Invalid configuration!",
        Family.WHATSMINER: "command failed",
        Family.WHATSMINER_V3: "failed",
        Family.BRAIINS: "Internal error",
        Family.BITAXE: "Wrong API input",
        Family.VNISH: "Command failed",
        Family.LUXOS: "Command failed",
        Family.AVALON: "ASC 0 set failed",
    }
    for family, (ending, machine) in found.items():
        assert not ending.done, family
        assert words[family] in ending.message, family
        assert pools_of(machine)[0][0] == "stratum+tcp://btc.example.pool:3333", family
        assert machine.write_count == 1, family


async def test_without_an_answer_and_without_effect_the_machine_is_read_and_nothing_is_sent_twice() -> None:
    async with site_of(ALL) as site:
        set_faults(site, WriteFault.HANGS_BEFORE, times=1)
        found = await performed(site, ActionKind.SET_POOLS, POOLS)
    for family, (ending, machine) in found.items():
        assert not ending.done, family
        assert "no answer within 3 s" in ending.message, family
        assert "does not state the new setting" in ending.message, family
        assert machine.write_count == 1, family


@pytest.mark.parametrize("fault", [WriteFault.HANGS_AFTER, WriteFault.REBOOTS])
async def test_what_was_taken_without_an_answer_is_found_by_reading_and_not_written_twice(fault: WriteFault) -> None:
    async with site_of(NOT_IN_STEPS) as site:
        set_faults(site, fault, times=1)
        found = await performed(site, ActionKind.SET_POOLS, POOLS)
    for family, (ending, machine) in found.items():
        assert ending.done, (family, ending)
        assert ending.verified, family
        assert "the machine states the new setting" in ending.message, family
        assert pools_of(machine)[:2] == NEW, family
        sets = [write for write in machine.writes if any("pools" in name for name in write.wanted)]
        # VNish saves, then puts to use; a reboot does the latter too.
        assert len(sets) == 1 + (family is Family.VNISH and fault is WriteFault.HANGS_AFTER), family


async def test_pools_of_several_writes_that_break_off_are_told_and_another_try_ends_them() -> None:
    async with site_of(ALL[6:]) as site:
        set_faults(site, WriteFault.HANGS_AFTER, times=1)
        first = await performed(site, ActionKind.SET_POOLS, POOLS)
        second = await performed(site, ActionKind.SET_POOLS, POOLS)
    assert not any(ending.done for ending, _ in first.values())
    for family, (ending, machine) in second.items():
        assert ending.done, family
        assert pools_of(machine) == NEW, family


async def test_a_late_setting_is_waited_for() -> None:
    async with site_of(NOT_IN_STEPS) as site:
        set_faults(site, WriteFault.LATE)
        found = await performed(site, ActionKind.SET_POOLS, POOLS)
    for family, (ending, machine) in found.items():
        assert ending.verified, (family, ending)
        assert pools_of(machine)[:2] == NEW, family


@pytest.mark.parametrize("fault", [WriteFault.HALF, WriteFault.WIPES])
async def test_half_of_what_was_asked_for_is_not_done(fault: WriteFault) -> None:
    async with site_of(NOT_IN_STEPS) as site:
        set_faults(site, fault)
        found = await performed(site, ActionKind.SET_POOLS, POOLS)
    for family, (ending, machine) in found.items():
        assert not ending.done, (family, ending)
        assert pools_of(machine) != NEW, family


async def test_a_power_change_sends_an_antminers_pools_as_they_were_and_tells_when_it_lost_them() -> None:
    async with site_of((Family.ANTMINER,)) as site:
        machine = site.machine(site.addresses[0])
        before = machine.pools
        ((ending, _),) = (await performed(site, ActionKind.SLEEP, {})).values()
        assert ending.verified
        assert machine.pools == before
        assert machine.writes[-1].wanted["pools"] == machine.writes[-1].taken["pools"]
        set_faults(site, WriteFault.WIPES, times=1)
        ((ending, _),) = (await performed(site, ActionKind.WAKE, {})).values()
        assert (ending.done, ending.message) == (False, "the machine also changed pools")
        assert machine.pools[0] == before[0]


@pytest.mark.parametrize(
    ("fault", "done"),
    [
        (WriteFault.LIES, False),
        (WriteFault.HANGS_BEFORE, False),
        (WriteFault.HANGS_AFTER, True),
        (WriteFault.REBOOTS, True),
        (WriteFault.LATE, True),
    ],
)
async def test_a_restart_counts_once_the_machine_was_seen_to_go_down(fault: WriteFault, done: bool) -> None:
    async with site_of(ALL) as site:
        set_faults(site, fault, times=1)
        found = await performed(site, ActionKind.REBOOT, {})
    for family, (ending, machine) in found.items():
        assert ending.done is done, (family, ending)
        assert machine.write_count == 1, family
