"""A campaign of a bad image over the virtual site by the real fleet process, which is killed amid a flash of it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.core.identity.values import Role
from mbongi.fleet import campaigns, operation_rows, operations
from mbongi.fleet.models import Action, Campaign, CampaignMachine
from mbongi.fleet.rules.gate import Criteria
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Stage
from mbongi.fleet.values import ActionKind, ActionStatus, OperationState
from mbongi.twin.antminer_web import FILESYSTEM_VERSION
from mbongi.twin.images import Effects, build
from tests.fleet.firmware_site import add_image, trust
from tests.fleet.site_bed import SiteBed, wait_for
from tests.fleet.test_curtail_site import check_ledger, person

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
MACHINES = 3
LIMIT_S = 180.0
NEW = "FR-9.9(hijack)"
PLAN = CampaignPlan(
    stages=(Stage(machines=1, soak_s=0.0), Stage(percent=100.0)), criteria=Criteria(back_s=60.0, warm_s=0.0)
)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[SiteBed]:
    made = SiteBed(tmp_path, machines=MACHINES, hall=29)
    # A flash of four seconds, in which the process can be killed.
    twin = dataclasses.replace(made.config.twin, time_scale=10.0)
    made.config = dataclasses.replace(made.config, twin=twin)
    with made as running:
        yield running


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


def test_a_bad_image_ends_at_the_canary_and_is_rolled_back_though_the_process_is_killed_in_the_flash(
    bed: SiteBed,
) -> None:
    bed.start_fleet()
    rows = bed.wait_known(MACHINES)

    def machines() -> list[dict[str, Any]]:
        return [bed.twin(f"/machines/{row.address}") for row in rows]

    operation_id = begun(bed.config.site.data_dir, [row.id for row in rows])
    wait_for(lambda: any(one["flashing"] for one in machines()), lambda: bed.log("fleet"), limit_s=LIMIT_S)
    bed.kill("fleet")
    bed.start_fleet()
    one = operation_rows.operation
    wait_for(lambda: one(operation_id).state.is_over, lambda: bed.log("fleet"), limit_s=LIMIT_S)

    assert one(operation_id).state is OperationState.ROLLED_BACK
    assert sorted(each["flashes"] for each in machines()) == [0, 0, 2]  # there and back, and no other machine
    [step] = Action.objects.filter(operation=operation_id)
    assert (step.status, step.claims) == (ActionStatus.DONE, 1)
    assert "the image was not sent again" in step.message
    campaign = Campaign.objects.get(operation=operation_id)
    back, pools = Action.objects.filter(operation=campaign.roll_back_id).order_by("pk")
    assert (back.kind, back.machine_id, back.status) == (ActionKind.UPGRADE, step.machine_id, ActionStatus.DONE)
    assert (pools.kind, pools.machine_id, pools.status) == (ActionKind.SET_POOLS, step.machine_id, ActionStatus.DONE)
    # The former image came back and left the pools as they were; these are as before the bad one all the same.
    assert back.after is not None
    assert back.after["pools"][0]["user"] == "thief"
    assert "thief" not in {one["user"] for one in machines()}
    states = sorted(CampaignMachine.objects.values_list("state", flat=True))
    assert states == [MachineStep.RETURNED, MachineStep.WAITING, MachineStep.WAITING]
    for number in (operation_id, back.operation_id):
        check_ledger(number)
