"""Healing over the virtual site: a stuck machine is restarted and mines again; a broken one ends as a work order."""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from mbongi.base.config import Config, Site
from mbongi.core.identity.models import User
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.core.threads import ThreadBridge
from mbongi.fleet import groups, healing, healing_rows, selectors, services
from mbongi.fleet.daemon import healing as healing_daemon
from mbongi.fleet.daemon.process import FleetProcess
from mbongi.fleet.models import Action, HealingRule, WorkOrder
from mbongi.fleet.reading import Found
from mbongi.fleet.rules import conditions
from mbongi.fleet.rules.healing import Cure, Mode, Outcome
from mbongi.fleet.values import Family, MachineState
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from tests.fleet.beds import fleet_of, virtual_site

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
LIMIT_S = 240
QUICK = {"for_s": 1.0, "cool_down_s": 1.0, "prove_s": 3.0, "share_percent": 50.0}
"""Beyond what people may write down, so that the test is short."""


async def until(what: Callable[[], Any], why: Callable[[], Any]) -> None:
    """Wait for something in the database."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await sync_to_async(what)():  # noqa: ASYNC110 -- the database tells nobody
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"not within {LIMIT_S} s: {await sync_to_async(why)()}")


def prepared(site: VirtualSite) -> list[int]:
    lead = User.objects.create(email="lead@example.org", name="Ada", role=Role.SHIFT_LEAD)
    healing.ensure_built_in()
    for key, judge_s in (("hung", 120.0), ("board_missing", 6.0)):
        row = HealingRule.objects.get(key=key)
        healing.change_rule(lead, row.pk, mode=Mode.ON, reason="test")
        document = HealingRule.objects.get(pk=row.pk).document | QUICK | {"judge_s": judge_s}
        HealingRule.objects.filter(pk=row.pk).update(document=document)
    found = [
        Found(address=address, family=Family(place.machine.model.family), model=place.machine.model.name)
        for address, place in site.places.items()
    ]
    ids = list(services.register(found).added)
    # A stuck machine shows no board either: here each rule has its own machine, however the polls fall.
    group = groups.add_group(lead, "bench", reason="test").id
    groups.put_machines(lead, group, [ids[1]], reason="test")
    row = HealingRule.objects.get(key="board_missing")
    HealingRule.objects.filter(pk=row.pk).update(document=row.document | {"groups": [group]})
    return ids


def parts_of(process: FleetProcess) -> list[Coroutine[Any, Any, None]]:
    return [
        process.poller.run(process._on_batch, process._on_states, process._on_details),
        process.recording.run(),
        process.actor.run(),
        process.operating.run(),
        process.healing.run(),
        process.healing.healer.run(),
        process._tick(),
    ]


def states() -> list[MachineState]:
    return [row.state for row in selectors.machines().rows]


def attempts() -> dict[int, list[tuple[Cure, Outcome]]]:
    found: dict[int, list[tuple[Cure, Outcome]]] = {}
    for row in reversed(healing_rows.attempts().rows):
        found.setdefault(row.machine_id, []).append((row.cure, row.outcome))
    return found


@pytest.fixture
async def _connections_closed() -> Any:
    yield
    await sync_to_async(connections.close_all)()


@pytest.mark.usefixtures("_connections_closed")
async def test_a_stuck_machine_is_restarted_once_and_one_that_stays_broken_becomes_a_work_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = conditions.limit
    monkeypatch.setattr(
        conditions, "limit", lambda *which: dataclasses.replace(limit(*which), hold_s=min(1.0, limit(*which).hold_s))
    )
    for name, seconds in (("LOOK_S", 0.3), ("PROVE_LOOK_S", 0.3), ("WARM_UP_S", 1.0)):
        monkeypatch.setattr(healing_daemon, name, seconds)
    async with virtual_site("127.24.0.0/16", machines=3, families=("antminer",), time_scale=60.0) as site:
        config = Config(site=Site(data_dir=tmp_path), fleet=fleet_of(site.config, fast_s=0.5, slow_s=1.0))
        stuck, broken, well = await sync_to_async(prepared)(site)
        async with ThreadBridge() as bridge:
            process = FleetProcess(config, bridge)
            process.healing.healer._warm_up_s = 1.0
            await process.reload_targets()
            tasks = [asyncio.create_task(part) for part in parts_of(process)]
            await until(lambda: states() == [MachineState.MINING] * 3, states)
            for number, fault in ((stuck, Fault.STUCK), (broken, Fault.BOARD_DEAD)):
                site.set_fault(str((await sync_to_async(selectors.machine)(number)).address), fault)

            await until(
                lambda: WorkOrder.objects.exists() and (Cure.REBOOT, Outcome.RECOVERED) in attempts().get(stuck, []),
                lambda: (attempts(), states()),
            )
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await sync_to_async(check)(stuck, broken, well)


def check(stuck: int, broken: int, well: int) -> None:
    assert attempts() == {
        stuck: [(Cure.REBOOT, Outcome.RECOVERED)],
        broken: [(Cure.REBOOT, Outcome.NOT_RECOVERED), (Cure.WORK_ORDER, Outcome.ORDERED)],
    }
    assert Action.objects.filter(machine=stuck, kind="reboot").count() == 1
    assert Action.objects.filter(machine=broken, kind="reboot").count() == 1
    assert not Action.objects.filter(machine=well).exists()
    order = WorkOrder.objects.get()
    assert (order.machine_id, order.fault) == (broken, "hashboard")
    rule = HealingRule.objects.get(key="hung").pk
    words = [entry.action for entry in ledger.entries(subject=f"machine:{stuck}") if entry.actor == f"healing:{rule}"]
    assert sorted(words) == ["fleet.healing.begin", "fleet.healing.recovered", "fleet.machine.reboot.request"]
