"""A change of pools over the virtual site by the real fleet process: faulty writes, kill -9, end state, ledger."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
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
from mbongi.fleet import groups, operation_rows, reconcile, selectors, services
from mbongi.fleet.daemon import acting
from mbongi.fleet.daemon.process import FleetProcess
from mbongi.fleet.models import Action
from mbongi.fleet.reading import Found
from mbongi.fleet.values import (
    ActionStatus,
    Desired,
    DesiredPool,
    Family,
    Limits,
    OperationState,
    ProfileState,
)
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Fault
from mbongi.twin.write_faults import WriteFault
from tests.fleet.beds import fleet_of, virtual_site
from tests.fleet.site_bed import SiteBed, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
MACHINES = 24
BED_MACHINES = 12
"""As many as the bed's network has room for."""
URL, SECOND_URL = "stratum+tcp://10.20.0.1:3333", "stratum+tcp://10.20.0.2:3333"
LIMIT_S = 240


def person(role: Role) -> User:
    user, _made = User.objects.get_or_create(email=f"{role}@example.org", defaults={"name": "Ada", "role": role})
    return user


def group_with(machine_ids: list[int], limits: Limits) -> int:
    """A group of these machines whose profile, approved by a second person, wants them on another pool."""
    lead, manager = person(Role.SHIFT_LEAD), person(Role.SITE_MANAGER)
    group_id = groups.add_group(lead, "Hall A", reason="test").id
    groups.put_machines(lead, group_id, machine_ids, reason="test")
    pools = (
        DesiredPool(url=URL, user="{account}.{group}-{id}-first"),
        DesiredPool(url=SECOND_URL, user="{account}.{group}-{id}-second"),
    )
    desired = Desired(account="moved", pools=pools, limits=limits)
    proposed = groups.propose_profile(lead, groups.write_profile(lead, group_id, desired, reason="own pool").id)
    assert proposed.state is ProfileState.PROPOSED
    groups.approve_profile(manager, proposed.id, reason="agreed")
    return group_id


def check_ledger(operation_id: int) -> None:
    """Each step that began has one request and one end, and the operation its whole course."""
    for step in operation_rows.steps(operation_id, limit=1000).rows:
        entries = [
            (entry.action.rpartition(".")[2], entry.after["operation"])
            for entry in ledger.entries(subject=f"machine:{step.machine_id}")
            if entry.action.startswith("fleet.machine.set_pools.") and entry.after["operation"] == operation_id
        ]
        end = "done" if step.status is ActionStatus.DONE else "fail"
        assert entries == [(end, operation_id), ("request", operation_id)], step
    verbs = [entry.action for entry in ledger.entries(subject=f"operation:{operation_id}")]
    assert [verb.rpartition(".")[2] for verb in verbs] == ["done", "start", "plan"]


async def until(what: Callable[[], object], why: Callable[[], object]) -> None:
    """Wait for something in the database."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await sync_to_async(what)():  # noqa: ASYNC110 -- the database tells nobody
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"not within {LIMIT_S} s: {await sync_to_async(why)()}")


def registered(site: VirtualSite) -> list[int]:
    found = [
        Found(address=address, family=Family(place.machine.model.family), model=place.machine.model.name)
        for address, place in site.places.items()
    ]
    return list(services.register(found).added)


def stated() -> int:
    """How many machines have said what their pools are."""
    return sum(bool(row.detail.get("pools")) for row in selectors.machines().rows)


def reconciled(group_id: int) -> int:
    return reconcile.reconcile(person(Role.SHIFT_LEAD), group_id, reason="own pool").id


def parts_of(process: FleetProcess) -> list[Coroutine[Any, Any, None]]:
    """All that works on machines and database; the bus is left out."""
    polling = process.poller.run(process._on_batch, process._on_states, process._on_details)
    return [polling, process.recording.run(), process.actor.run(), process.operating.run()]


@pytest.fixture
async def _connections_closed() -> AsyncIterator[None]:
    """The thread that asks the database for asynchronous tests keeps a connection, which would hold up its removal."""
    yield
    await sync_to_async(connections.close_all)()


FAULTS = {
    WriteFault.LIES: "does not state the new",
    WriteFault.HALF: "does not state the new",
    WriteFault.WIPES: "does not state the new",
    WriteFault.REFUSES: "the machine answered",
    WriteFault.HANGS_BEFORE: "no answer within",
    WriteFault.HANGS_AFTER: "the machine states the new",
    WriteFault.REBOOTS: "the machine states the new",
    WriteFault.LATE: "the machine states the new",
}
"""What the step of a machine with each fault says at its end."""
TAKEN = {WriteFault.HANGS_AFTER, WriteFault.REBOOTS, WriteFault.LATE}
"""The faults after which a machine has what was asked for, and is not told twice."""


@pytest.mark.usefixtures("_connections_closed")
async def test_pools_of_24_machines_are_changed_though_some_lie_hang_reboot_or_do_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "ANSWER_S", 6.0)
    async with virtual_site("127.23.0.0/16", machines=MACHINES, per_rack=8, time_scale=20.0) as site:
        # Mostly Antminers: one whose every answer stays out, and one for each fault of its next write.
        mute, *others = list(site.places)
        faulty = dict(zip(FAULTS, others, strict=False))
        config = Config(
            site=Site(data_dir=tmp_path),
            fleet=fleet_of(site.config, fast_s=1.0, slow_s=2.0, timeout_s=3.0),
        )
        ids = await sync_to_async(registered)(site)
        async with ThreadBridge() as bridge:
            process = FleetProcess(config, bridge)
            await process.reload_targets()
            tasks = [asyncio.create_task(part) for part in parts_of(process)]
            await until(lambda: stated() == MACHINES, stated)
            for fault, address in faulty.items():
                site.machine(address).set_write_fault(fault, times=1)
            group_id = await sync_to_async(group_with)(ids, Limits(batch=12, settle_s=5.0))
            operation_id = await sync_to_async(reconciled)(group_id)
            site.set_fault(mute, Fault.HUNG)
            one = operation_rows.operation

            await until(lambda: one(operation_id).state.is_over, lambda: one(operation_id))
            await sync_to_async(check_faults)(site, operation_id, faulty, mute)

            # Mended, the machines that differ are seen at their next poll, and another run ends the work.
            site.set_fault(mute, Fault.NONE)
            failed = 1 + len(faulty) - len(TAKEN)
            await until(lambda: reconcile.preview(group_id).steps == failed, lambda: reconcile.preview(group_id))
            second_id = await sync_to_async(reconciled)(group_id)
            await until(lambda: one(second_id).state.is_over, lambda: one(second_id))

            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await sync_to_async(check_end)(site, second_id, failed)


def check_faults(site: VirtualSite, operation_id: int, faulty: dict[WriteFault, str], mute: str) -> None:
    row = operation_rows.operation(operation_id)
    failed = {mute} | {address for fault, address in faulty.items() if fault not in TAKEN}
    assert row.state is OperationState.DONE
    assert row.steps == {ActionStatus.DONE: MACHINES - len(failed), ActionStatus.FAILED: len(failed)}
    steps = operation_rows.steps(operation_id, limit=1000).rows
    told = {selectors.machine(step.machine_id).address: step for step in steps}
    assert {address for address, step in told.items() if step.status is ActionStatus.FAILED} == failed
    assert "no answer" in told[mute].message
    for fault, address in faulty.items():
        assert FAULTS[fault] in told[address].message, fault
        assert site.machine(address).write_count == 1, fault
    wanted = [(URL, "first"), (SECOND_URL, "second")]
    for machine in selectors.machines().rows:
        assert machine.address is not None
        found = [(pool.url, pool.user) for pool in site.machine(machine.address).pools if pool.url]
        expected = [(url, f"moved.Hall-A-{machine.id}-{word}") for url, word in wanted]
        if machine.address in {faulty[WriteFault.HALF], faulty[WriteFault.WIPES]}:
            assert found == expected[:1]
        else:
            assert (found == expected) == (machine.address not in failed)
    check_ledger(operation_id)


def check_end(site: VirtualSite, operation_id: int, failed: int) -> None:
    assert operation_rows.operation(operation_id).steps == {ActionStatus.DONE: failed}
    for machine in selectors.machines().rows:
        assert machine.address is not None
        found = [(pool.url, pool.user) for pool in site.machine(machine.address).pools if pool.url]
        assert found == [
            (URL, f"moved.Hall-A-{machine.id}-first"),
            (SECOND_URL, f"moved.Hall-A-{machine.id}-second"),
        ], machine
    check_ledger(operation_id)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[SiteBed]:
    with SiteBed(tmp_path, machines=BED_MACHINES, hall=2) as running:
        yield running


def test_an_operation_survives_kill_9_in_its_middle_and_no_step_is_lost_or_written_down_twice(bed: SiteBed) -> None:
    bed.start_fleet()
    machines = bed.wait_known(BED_MACHINES)
    wait_for(lambda: stated() == BED_MACHINES, lambda: bed.log("fleet"))
    group_id = group_with([machine.id for machine in machines], Limits(batch=3, settle_s=30.0))
    operation_id = reconciled(group_id)

    def counts() -> Counter[str]:
        return Counter(Action.objects.filter(operation=operation_id).values_list("status", flat=True))

    wait_for(lambda: counts()["done"] + counts()["running"] >= 3, lambda: bed.log("fleet"))
    bed.kill("fleet")
    left = counts()
    assert left["planned"] > 0, left

    bed.start_fleet()

    wait_for(
        lambda: operation_rows.operation(operation_id).state.is_over,
        lambda: f"{operation_rows.operation(operation_id)} {bed.log('fleet')}",
        limit_s=LIMIT_S,
    )
    row = operation_rows.operation(operation_id)
    assert (row.state, row.steps) == (OperationState.DONE, {ActionStatus.DONE: BED_MACHINES}), row
    check_ledger(operation_id)
