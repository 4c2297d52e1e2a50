"""What becomes of an action that an earlier process left under way, on real virtual machines."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.base.config import Fleet, Twin
from mbongi.base.ids import ActionId, MachineId
from mbongi.fleet.action_work import Ending, Work
from mbongi.fleet.daemon import acting
from mbongi.fleet.daemon.acting import Actor
from mbongi.fleet.values import ActionKind, Family
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault, Phase
from tests.embedded import free_ports
from tests.fleet.beds import Nobody


class Record:
    """Stands for the database: one action is interrupted, its ending is kept."""

    def __init__(self, work: Work) -> None:
        self.work, self.endings, self.over = work, [], asyncio.Event()

    async def insist(self, function, *arguments, **options):
        if function is acting.interrupted_actions:
            return [self.work]
        ((ending,),) = arguments
        assert isinstance(ending, Ending)
        self.endings.append(ending)
        self.over.set()
        return None

    async def call(self, function, *arguments, **options):
        return []


@contextlib.asynccontextmanager
async def one_machine(time_scale: float) -> AsyncIterator[VirtualSite]:
    rpc_port, http_port = free_ports(2)
    twin = Twin(machines=1, network="127.25.8.0/24", rpc_port=rpc_port, http_port=http_port, control_port=0)
    running = VirtualSite(twin, time_scale=time_scale)
    await running.start()
    yield running
    await running.close()


@pytest.fixture
async def site() -> AsyncIterator[VirtualSite]:
    async with one_machine(1.0) as running:
        yield running


@pytest.fixture
async def fast_site() -> AsyncIterator[VirtualSite]:
    """Its reboot of a minute takes two seconds."""
    async with one_machine(30.0) as running:
        yield running


async def resumed(site: VirtualSite, kind: ActionKind, *, begun_s_ago: float, requested_s_ago: float = 0) -> Ending:
    (address,) = site.addresses
    now = utc_now()
    work = Work(
        action_id=ActionId(1),
        machine_id=MachineId(7),
        address=address,
        family=Family(site.machine(address).model.family),
        model="Antminer S21",
        kind=kind,
        arguments={},
        dry_run=False,
        is_step=False,
        requested_at=now - timedelta(seconds=max(begun_s_ago, requested_s_ago)),
        claimed_at=now - timedelta(seconds=begun_s_ago),
        interrupted=True,
    )
    record = Record(work)
    config = Fleet(rpc_port=site.config.rpc_port, http_port=site.config.http_port, timeout_s=1.0)
    actor = Actor(config, record, Nobody())
    task = asyncio.create_task(actor.run())
    try:
        async with asyncio.timeout(40):
            await record.over.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    (ending,) = record.endings
    return ending


def phase(site: VirtualSite) -> Phase:
    machine = site.machine(site.addresses[0])
    machine.advance()
    return machine.phase


async def test_a_setting_that_the_machine_states_already_is_not_written_again(site):
    first = await resumed(site, ActionKind.SLEEP, begun_s_ago=2)
    assert "sent again" in first.message

    ending = await resumed(site, ActionKind.SLEEP, begun_s_ago=2)

    assert ending.done
    assert ending.verified
    assert "nothing was sent again" in ending.message


async def test_a_reboot_that_did_not_happen_by_its_uptime_is_told_again(site):
    ending = await resumed(site, ActionKind.REBOOT, begun_s_ago=120)

    assert ending.done
    assert "its uptime showed no restart, so it was told again" in ending.message
    assert phase(site) is Phase.BOOTING


async def test_a_reboot_that_happened_is_not_repeated(fast_site):
    address = fast_site.addresses[0]
    fast_site.machine(address).reboot()
    assert phase(fast_site) is Phase.BOOTING

    ending = await resumed(fast_site, ActionKind.REBOOT, begun_s_ago=400)

    assert ending.done
    assert ending.verified
    assert "so it was not told again" in ending.message
    assert phase(fast_site) is not Phase.BOOTING


async def test_a_reboot_of_a_machine_that_says_nothing_is_left_alone_and_told_so(site, monkeypatch):
    monkeypatch.setattr(acting, "RESUME_S_MIN", 0.5)
    site.set_fault(site.addresses[0], Fault.HUNG)

    ending = await resumed(site, ActionKind.REBOOT, begun_s_ago=400)

    assert not ending.done
    assert "no answer within 1 s" in ending.message
    assert "it was not told again" in ending.message


async def test_a_reboot_that_was_asked_for_long_ago_is_not_begun_now(site):
    ending = await resumed(site, ActionKind.REBOOT, begun_s_ago=1000)

    assert not ending.done
    assert "too late to tell it now" in ending.message
    assert phase(site) is not Phase.BOOTING
