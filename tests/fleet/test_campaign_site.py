"""A campaign over the virtual site by the real fleet process, which dies in the middle of a flash of a bad image."""

import asyncio
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from mbongi.base.config import Config, Site
from mbongi.core.identity.values import Role
from mbongi.core.threads import ThreadBridge
from mbongi.fleet import campaigns, operation_rows, operations
from mbongi.fleet.daemon.process import FleetProcess
from mbongi.fleet.models import Action, Campaign, CampaignMachine
from mbongi.fleet.rules.gate import Criteria
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Stage
from mbongi.fleet.values import ActionStatus, OperationState
from mbongi.twin.antminer_web import FILESYSTEM_VERSION
from mbongi.twin.images import Effects, build
from mbongi.twin.site import VirtualSite
from tests.fleet.beds import fleet_of, virtual_site
from tests.fleet.firmware_site import add_image, trust
from tests.fleet.test_reconcile_site import (  # noqa: F401 -- a fixture
    _connections_closed,
    parts_of,
    person,
    registered,
    stated,
    until,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
NEW = "FR-9.9(hijack)"
PLAN = CampaignPlan(
    stages=(Stage(machines=1, soak_s=0.0), Stage(percent=100.0)), criteria=Criteria(back_s=60.0, warm_s=0.0)
)


def begun(data_dir: Path, ids: list[int]) -> int:
    """A campaign of an image that points its machine at another pool, approved by a second person."""
    lead, manager = person(Role.SHIFT_LEAD), person(Role.SITE_MANAGER)
    trust(manager)
    add_image(lead, data_dir, FILESYSTEM_VERSION)
    thief = Effects(hijack_url="stratum+tcp://10.66.0.1:3333", hijack_user="thief")
    bad = add_image(lead, data_dir, NEW, data=build("antminer", NEW, effects=thief, size_bytes=600_000))
    operation_id = campaigns.plan_campaign(lead, bad.id, ids, PLAN, reason="faster").id
    operations.approve_operation(manager, operation_id, reason="agreed", start=True)
    return operation_id


def flashes(site: VirtualSite) -> list[int]:
    return sorted(place.machine.slots.flashes for place in site.places.values())


@pytest.mark.usefixtures("_connections_closed")
async def test_a_bad_image_ends_at_the_canary_and_is_rolled_back_though_the_process_dies_in_the_flash(
    tmp_path: Path,
) -> None:
    async with virtual_site("127.26.0.0/16", machines=3, families=("antminer",), time_scale=20.0) as site:
        fleet = fleet_of(site.config, fast_s=1.0, slow_s=2.0, static_s=2.0, timeout_s=3.0)
        config = Config(site=Site(data_dir=tmp_path), fleet=fleet)
        ids = await sync_to_async(registered)(site)
        async with ThreadBridge() as bridge:
            first, tasks = await working(config, bridge)
            await until(lambda: stated() == len(ids), stated)
            operation_id = await sync_to_async(begun)(tmp_path, ids)
            await until(
                lambda: any(place.machine.slots.pending for place in site.places.values()),
                lambda: operation_rows.operation(operation_id),
            )
            await ended(tasks)
            del first

            _second, tasks = await working(config, bridge)
            one = operation_rows.operation
            await until(lambda: one(operation_id).state.is_over, lambda: one(operation_id))
            await ended(tasks)
        assert flashes(site) == [0, 0, 2]
        await sync_to_async(check_end)(operation_id)


async def working(config: Config, bridge: ThreadBridge) -> tuple[FleetProcess, list[asyncio.Task[None]]]:
    process = FleetProcess(config, bridge)
    await process.reload_targets()
    return process, [asyncio.create_task(part) for part in parts_of(process)]


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def check_end(operation_id: int) -> None:
    assert operation_rows.operation(operation_id).state is OperationState.ROLLED_BACK
    [step] = Action.objects.filter(operation=operation_id)
    assert (step.status, step.claims) == (ActionStatus.DONE, 1)
    assert "the image was not sent again" in step.message
    campaign = Campaign.objects.get(operation=operation_id)
    [back] = Action.objects.filter(operation=campaign.roll_back_id)
    assert back.machine_id == step.machine_id
    assert back.status == ActionStatus.DONE
    states = sorted(CampaignMachine.objects.values_list("state", flat=True))
    assert states == [MachineStep.RETURNED, MachineStep.WAITING, MachineStep.WAITING]
