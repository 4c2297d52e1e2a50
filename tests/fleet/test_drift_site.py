"""A machine whose pool somebody changes on its own web page: told at the next poll, counted, brought back, recorded."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from mbongi.base.config import Config, Site
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.core.threads import ThreadBridge
from mbongi.fleet import groups, operation_rows, selectors
from mbongi.fleet.daemon.asserting import Asserting
from mbongi.fleet.daemon.process import FleetProcess
from mbongi.fleet.models import Action, Diversion, Event, Machine
from mbongi.fleet.values import Desired, DesiredPool, EventKind, Limits, OperationState
from tests.fleet.beds import fleet_of, virtual_site
from tests.fleet.test_reconcile_site import person, reconciled, registered, stated, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
URL, USER = "stratum+tcp://10.20.0.1:3333", "{account}.{id}"
THIEF = "stratum+tcp://10.66.6.6:3333"


@pytest.fixture
async def _connections_closed() -> AsyncIterator[None]:
    """The thread that asks the database for asynchronous tests keeps a connection, which would hold up its removal."""
    yield
    await sync_to_async(connections.close_all)()


def group_of(machine_ids: list[int]) -> int:
    """A group whose profile, approved by a second person, re-asserts itself."""
    lead, manager = person(Role.SHIFT_LEAD), person(Role.SITE_MANAGER)
    group_id = groups.add_group(lead, "Hall A", reason="test").id
    groups.put_machines(lead, group_id, machine_ids, reason="test")
    pool, limits = DesiredPool(url=URL, user=USER), Limits(settle_s=5.0)
    desired = Desired(account="acct", pools=(pool,), reassert=True, limits=limits)
    version = groups.propose_profile(lead, groups.write_profile(lead, group_id, desired, reason="own pool").id)
    groups.approve_profile(manager, version.id, reason="agreed")
    return group_id


def hijack(address: str, port: int) -> None:
    """What anybody in the machines' network can do to this family, which asks for no password."""
    fields = {"stratumURL": "10.66.6.6", "stratumPort": 3333, "stratumUser": "thief"}
    for method, path, body in (("PATCH", "/api/system", json.dumps(fields)), ("POST", "/api/system/restart", "")):
        request = urllib.request.Request(f"http://{address}:{port}{path}", body.encode(), method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as reply:
            reply.read()


def drifting() -> set[int]:
    kinds = [EventKind.POOL_DRIFT, EventKind.WORKER_DRIFT]
    return set(Event.objects.filter(kind__in=kinds, cleared_at=None).values_list("machine_id", flat=True))


@pytest.mark.usefixtures("_connections_closed")
async def test_a_hijacked_machine_is_told_counted_and_brought_back_with_everything_in_the_ledger(
    tmp_path: Path,
) -> None:
    async with virtual_site("127.24.0.0/16", machines=2, per_rack=2, families=("bitaxe",)) as site:
        config = Config(
            site=Site(data_dir=tmp_path), fleet=fleet_of(site.config, fast_s=1.0, slow_s=3.0, timeout_s=3.0)
        )
        ids = await sync_to_async(registered)(site)
        async with ThreadBridge() as bridge:
            process = FleetProcess(config, bridge)
            await process.reload_targets()
            polling = process.poller.run(process._on_batch, process._on_states, process._on_details)
            parts = [polling, process.recording.run(), process.actor.run(), process.operating.run()]
            parts += [process.drifting.run(), process._keep_targets()]
            tasks = [asyncio.create_task(part) for part in parts]
            await until(lambda: stated() == len(ids), stated)
            group_id = await sync_to_async(group_of)(ids)
            process._reload.set()  # as the bus tells it to do
            await until(lambda: drifting() == set(ids), drifting)
            first = await sync_to_async(reconciled)(group_id)
            await until(lambda: operation_rows.operation(first).state.is_over and not drifting(), drifting)
            await until(lambda: not Diversion.objects.filter(until=None).exists(), list)
            past = await sync_to_async(Diversion.objects.count)()
            stolen = ids[0]
            address = (await sync_to_async(selectors.machine)(stolen)).address or ""

            await asyncio.to_thread(hijack, address, site.config.http_port)

            await until(lambda: drifting() == {stolen}, drifting)
            counted = Diversion.objects.filter(machine=stolen, url=THIEF, until=None)
            await until(lambda: counted.filter(hashes_th__gt=0).exists(), lambda: list(counted.values()))
            asserting = Asserting(process._database, process.operating.wake, look_s=0.2)
            tasks.append(asyncio.create_task(asserting.run()))
            await until(
                lambda: not drifting() and not Diversion.objects.filter(until=None).exists(),
                lambda: (list(Diversion.objects.values()), list(Action.objects.values())),
            )

            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await sync_to_async(check)(stolen, first, past)


def check(stolen: int, first: int, past: int) -> None:
    diversion = Diversion.objects.filter(machine=stolen, url=THIEF).get()
    assert (diversion.user, diversion.hashes_th > 0) == ("thief", True)
    assert Diversion.objects.count() == past + 1
    assert Machine.objects.get(pk=stolen).detail["pools"][0]["user"] == f"acct.{stolen}"
    [row] = [each for each in operation_rows.operations() if each.id != first]
    assert (row.state, row.actor.startswith("profile:")) == (OperationState.DONE, True)
    assert [step.machine_id for step in operation_rows.steps(row.id).rows] == [stolen]
    assert {entry.actor for entry in ledger.entries(subject=f"operation:{row.id}")} == {row.actor}
    verbs = [entry.action.removeprefix("fleet.machine.") for entry in ledger.entries(subject=f"machine:{stolen}")]
    told = [verb for verb in reversed(verbs) if verb.startswith(("diversion", "set_pools"))][-4:]
    assert told == ["diversion.begin", "set_pools.request", "set_pools.done", "diversion.end"], verbs
