"""Campaigns on the real virtual site, judged by the gate over what the machines' polls brought into the telemetry.

A good image goes through all stages; then one that makes the machines slower ends at its canary and is rolled back.
"""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.core.identity.models import User
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.core.telemetry.client import Store
from mbongi.fleet import campaign_rows, campaigns, operation_rows, operations
from mbongi.fleet.campaign_telemetry import Span, blocks
from mbongi.fleet.models import Action, Campaign, CampaignMachine, Machine
from mbongi.fleet.rules.gate import Criteria, Mark, Outcome
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Stage
from mbongi.fleet.values import ActionStatus, Family, OperationState
from mbongi.twin.images import NEUTRAL, Effects, build
from tests.fleet.firmware_site import add_image, trust
from tests.fleet.site_bed import SiteBed, wait_for
from tests.fleet.test_curtail_site import check_ledger, person

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
MACHINES = 6
LIMIT_S = 120.0
GOOD, SLOW = "20990101.01.Rel", "20990202.02.Rel"
TIME_SCALE = 100.0
"""A flash takes the virtual machines 0.4 s, their boot 0.5 s, and their warm-up 2.4 s."""
CRITERIA = Criteria(block_s=1.0, baseline_s=10.0, warm_s=4.0, back_s=60.0)
PLAN = CampaignPlan(
    stages=(Stage(machines=2, soak_s=0.0, soak_max_s=60.0), Stage(percent=100.0, soak_s=0.0, soak_max_s=60.0)),
    criteria=CRITERIA,
)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[SiteBed]:
    made = SiteBed(tmp_path, machines=MACHINES, hall=30)
    twin = dataclasses.replace(made.config.twin, time_scale=TIME_SCALE, families=("whatsminer",))
    made.config = dataclasses.replace(made.config, twin=twin, fleet=dataclasses.replace(made.config.fleet, fast_s=0.5))
    with made as running:
        running.start_telemetry()
        yield running


def measured(bed: SiteBed, ids: list[int]) -> bool:
    """Whether the telemetry has what a campaign compares with, of every machine."""
    now = time.time()
    found = blocks(Store.open(bed.config), ids, Span(now - CRITERIA.baseline_s, now), CRITERIA.block_s)
    return all(len(found.get(each, ())) >= 8 for each in ids)


def run(bed: SiteBed, people: tuple[User, User], ids: list[int], version: str, effects: Effects = NEUTRAL) -> int:
    """A campaign of an image of this version, to its end."""
    lead, manager = people
    data = build("whatsminer", version, effects=effects, size_bytes=100_000)
    image = add_image(lead, bed.config.site.data_dir, version, family=Family.WHATSMINER, data=data)
    operation_id = campaigns.plan_campaign(lead, image.id, ids, PLAN, reason="faster").id
    operations.approve_operation(manager, operation_id, reason="agreed", start=True)
    one = operation_rows.operation

    def is_over() -> bool:
        back = campaign_rows.campaign(operation_id).roll_back_id
        return one(operation_id).state.is_over or (back is None and one(operation_id).state is OperationState.HALTED)

    wait_for(is_over, lambda: bed.log("fleet"), limit_s=LIMIT_S)
    return operation_id


def gates(operation_id: int) -> list[tuple[int, str]]:
    """What the gate decided, in its order."""
    return [(row.stage, row.outcome) for row in reversed(campaign_rows.decisions(operation_id))]


def verbs(operation_id: int) -> list[str]:
    """What the ledger says of an operation."""
    subject = f"operation:{operation_id}"
    found = [entry for entry in ledger.entries(limit=1000) if entry.subject == subject]
    return [entry.action.rpartition(".")[2] for entry in reversed(found)]


def test_a_good_image_goes_through_all_stages_and_a_slow_one_is_rolled_back_by_what_was_measured(bed: SiteBed) -> None:
    bed.start_fleet()
    rows = bed.wait_known(MACHINES)
    ids = [row.id for row in rows]
    people = person(Role.SHIFT_LEAD), person(Role.SITE_MANAGER)
    trust(people[1])
    wait_for(lambda: measured(bed, ids), lambda: bed.log("ingest"))

    good = run(bed, people, ids, GOOD)
    assert operation_rows.operation(good).state is OperationState.DONE, operation_rows.operation(good).message
    assert gates(good) == [(0, "pass"), (1, "pass")]
    verdict = campaign_rows.campaign(good).verdict
    assert verdict is not None
    found = {finding.mark: finding.outcome for finding in verdict.findings}
    assert (found[Mark.HASHRATE], found[Mark.EFFICIENCY]) == (Outcome.PASS, Outcome.PASS)
    assert verbs(good) == ["plan", "approve", "start", "extend", "gate", "extend", "gate", "done"]
    assert [bed.twin(f"/machines/{row.address}")["flashes"] for row in rows] == [1] * MACHINES
    image = campaign_rows.campaign(good).image.sha256
    assert set(Machine.objects.values_list("firmware", "image")) == {(GOOD, image)}
    check_ledger(good)

    slow = run(bed, people, ids, SLOW, Effects(hashrate_factor=0.8))
    campaign = Campaign.objects.get(operation=slow)
    assert operation_rows.operation(slow).state is OperationState.ROLLED_BACK
    assert gates(slow) == [(0, "fail")]
    assert "hashrate" in campaign.message
    states = sorted(CampaignMachine.objects.filter(campaign=campaign).values_list("state", flat=True))
    assert states == [MachineStep.RETURNED] * 2 + [MachineStep.WAITING] * 4
    assert sorted(bed.twin(f"/machines/{row.address}")["flashes"] for row in rows) == [1] * 4 + [3] * 2
    assert set(Machine.objects.values_list("firmware", "image")) == {(GOOD, image)}
    assert campaign.roll_back_id is not None
    for number in (slow, campaign.roll_back_id):
        assert set(Action.objects.filter(operation=number).values_list("status", flat=True)) == {ActionStatus.DONE}
        check_ledger(number)
