"""A campaign from its dry run to its end: stages, gates, the stop at the first regression, the way back."""

from datetime import timedelta

import msgspec
import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Role
from mbongi.core.telemetry.errors import StoreUnavailable
from mbongi.fleet import campaign_work, campaigns, images, operation_rows, operations, pacing, services
from mbongi.fleet.action_work import Ending
from mbongi.fleet.errors import ImageRefusedError, NotPermittedError, OperationRefusedError
from mbongi.fleet.models import Action, Campaign, CampaignMachine, Machine, WorkOrder
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Phase, Stage
from mbongi.fleet.values import ActionKind, ActionStatus, Limits, MachineState, OperationKind, OperationState
from tests.fleet.campaign_bed import NEW, OLD, PLAN, Bench, campaign_of, state_of, verbs
from tests.fleet.firmware_site import FakeStore

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


@pytest.fixture
def site(people, tmp_path, monkeypatch):
    """Four machines that mine with the old image, both images in the store, and somebody to plan and to approve."""
    monkeypatch.setattr(campaign_work, "LOOK", timedelta(0))
    return Bench(people(Role.SHIFT_LEAD), people(Role.SITE_MANAGER), tmp_path)


def test_the_dry_run_shows_the_stages_and_who_is_left_out_and_why(site):
    asleep, ordered, busy, dark, same = add_more(5)
    Machine.objects.filter(pk=asleep).update(state=MachineState.SLEEPING)
    Machine.objects.filter(pk=dark).update(state=MachineState.OFF)
    Machine.objects.filter(pk=same).update(firmware=NEW)
    WorkOrder.objects.create(machine_id=ordered, fault="fan", reported_at=utc_now())
    services.request_action(site.lead, [busy], ActionKind.REBOOT, reason="x")
    other = add_more(1, model="Antminer S19", family="whatsminer")

    found = campaigns.preview(site.image.id, [*site.ids, asleep, ordered, busy, dark, same, *other], PLAN)

    assert [len(stage) for stage in found.stages] == [1, 3]
    assert found.left == {asleep: "asleep", ordered: "work_order", busy: "busy", dark: "not_mining", same: "same"}
    assert found.without_image == 0
    assert not Action.objects.filter(kind=ActionKind.UPGRADE).exists()


def add_more(count, **fields):
    """Machines at addresses of their own."""
    now = utc_now()
    facts = {"family": "antminer", "model": "Antminer S21", "firmware": OLD, "hall": 21, "rack": 1} | fields
    facts |= {"state": MachineState.MINING, "state_since": now, "added_at": now, "last_seen_at": now}
    first = Machine.objects.count() + 1
    rows = [Machine(address=f"10.99.0.{first + n}", **facts) for n in range(count)]
    return [row.pk for row in Machine.objects.bulk_create(rows)]


def test_nothing_is_flashed_before_a_second_person_agrees(site):
    row = site.plan()
    assert row.state is OperationState.AWAITING
    site.drive(row.id)
    assert not Action.objects.exists()
    with pytest.raises(OperationRefusedError, match="somebody else"):
        operations.approve_operation(site.manager, plan_by(site, site.manager).id, reason="x")
    with pytest.raises(NotPermittedError):
        operations.approve_operation(site.lead, row.id, reason="x")


def plan_by(site, user):
    return campaigns.plan_campaign(user, site.image.id, site.ids, PLAN, reason="x")


def test_a_good_image_goes_through_all_stages(site):
    operation_id = site.started()
    site.drive(operation_id)
    first = site.perform()
    assert len(first) == 1
    assert Action.objects.get().arguments["image"] == site.image.sha256
    for _ in range(2):
        site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.SOAKING
    assert not Action.objects.filter(status=ActionStatus.REQUESTED).exists()

    site.measured(first)
    for _ in range(2):
        site.drive(operation_id)
    rest = site.perform()
    assert sorted([*first, *rest]) == site.ids
    site.store = FakeStore()
    site.drive(operation_id)
    site.measured(site.ids)
    for _ in range(4):
        site.drive(operation_id)

    assert (state_of(operation_id), campaign_of(operation_id).phase) == (OperationState.DONE, Phase.OVER)
    assert set(site.states().values()) == {MachineStep.FLASHED}
    assert verbs(operation_id) == ["plan", "approve", "start", "extend", "gate", "extend", "gate", "done"]


def test_a_slow_image_stops_at_the_canary_and_is_rolled_back(site):
    operation_id = site.started()
    site.drive(operation_id)
    first = site.perform()
    site.drive(operation_id)
    site.measured(first, factor=0.8)
    for _ in range(2):
        site.drive(operation_id)

    campaign = campaign_of(operation_id)
    assert (campaign.phase, state_of(operation_id)) == (Phase.ROLLING_BACK, OperationState.HALTED)
    back = campaign.roll_back_id
    step = Action.objects.get(operation=back)
    assert (step.machine_id, step.arguments["image"]) == (first[0], site.old.sha256)
    site.drive(back)
    assert site.perform(version=OLD) == first
    site.drive(back)

    assert (state_of(operation_id), state_of(back)) == (OperationState.ROLLED_BACK, OperationState.DONE)
    assert campaign_of(operation_id).phase == Phase.ROLLED_BACK
    assert site.states() == {first[0]: MachineStep.RETURNED} | dict.fromkeys(set(site.ids) - set(first), "waiting")
    assert Action.objects.filter(operation=operation_id).count() == 1
    assert verbs(operation_id)[-3:] == ["gate", "halt", "rolled_back"]
    assert "hashrate" in operation_rows.operation(operation_id).message


@pytest.mark.parametrize("how", ["lost", "robbed", "robbed_later", "dark_later"])
def test_a_lost_or_robbed_machine_stops_the_campaign_without_waiting_for_figures(site, how):
    operation_id = site.started()
    site.drive(operation_id)
    thief = [{"url": "stratum+tcp://thief.example:1", "user": "t"}]
    if how == "lost":
        [first] = site.perform(done=False, answer=False)
    elif how == "robbed":
        [first] = site.perform(done=False, pools=thief)
    else:
        [first] = site.perform()
        site.drive(operation_id)
        Machine.objects.filter(pk=first).update(
            **(
                {"detail": {"pools": thief}, "detail_at": utc_now() + timedelta(seconds=5)}
                if how == "robbed_later"
                else {"state": MachineState.OFF, "state_since": utc_now() - timedelta(hours=1)}
            )
        )
        long_ago = utc_now() - timedelta(hours=2)
        CampaignMachine.objects.filter(machine=first).update(begun_at=long_ago, back_at=long_ago)
    for _ in range(3):
        site.drive(operation_id)

    assert campaign_of(operation_id).phase == Phase.ROLLING_BACK
    assert Action.objects.filter(operation=operation_id).count() == 1
    site.drive(campaign_of(operation_id).roll_back_id)
    site.perform(version=OLD, done=how != "lost", message="not back")
    site.drive(campaign_of(operation_id).roll_back_id)
    assert site.states()[first] == (MachineStep.STUCK if how == "lost" else MachineStep.RETURNED)
    assert state_of(operation_id) is OperationState.ROLLED_BACK


def soaking(site):
    """A campaign whose canary is back since two hours; the operation and the canary."""
    operation_id = site.started()
    site.drive(operation_id)
    [first] = site.perform()
    site.drive(operation_id)
    long_ago = utc_now() - timedelta(hours=2)
    CampaignMachine.objects.filter(machine=first).update(begun_at=long_ago, back_at=long_ago)
    return operation_id, first


def test_a_canary_that_goes_dark_with_the_others_is_not_the_images_doing(site):
    operation_id, first = soaking(site)
    Machine.objects.update(state=MachineState.OFF, state_since=utc_now() - timedelta(hours=1))
    site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.SOAKING

    # The grid is back, and the canary alone stays away.
    Machine.objects.exclude(pk=first).update(state=MachineState.MINING, state_since=utc_now())
    site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.STOPPING


def test_a_canary_that_is_not_seen_yet_after_its_flash_is_given_its_time(site):
    operation_id = site.started()
    site.drive(operation_id)
    [first] = site.perform()
    Machine.objects.filter(pk=first).update(state=MachineState.OFF, state_since=utc_now() - timedelta(hours=1))
    site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.SOAKING


def test_pools_that_we_changed_since_the_flash_are_no_robbery(site):
    operation_id, first = soaking(site)
    ours, now = {"url": "stratum+tcp://ours.example:3333", "user": "acct.1"}, utc_now()
    write = Action.objects.create(
        machine_id=first,
        kind=ActionKind.SET_POOLS,
        arguments={"pools": [ours]},
        reason="moved",
        author=site.manager,
        status=ActionStatus.DONE,
        requested_at=now,
        claimed_at=now,
        finished_at=now,
    )
    Machine.objects.filter(pk=first).update(detail={"pools": [ours]}, detail_at=now)
    site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.SOAKING

    Action.objects.filter(pk=write.pk).update(claimed_at=now - timedelta(days=1))
    site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.STOPPING


def test_a_machine_that_left_the_fleet_holds_up_no_roll_back(site):
    operation_id, first = soaking(site)
    Machine.objects.filter(pk=first).update(retired_at=utc_now(), address=None)
    campaigns.roll_back(site.lead, operation_id, reason="odd noise")
    site.drive(operation_id)
    assert site.states()[first] == MachineStep.STUCK
    assert state_of(operation_id) is OperationState.HALTED


def test_a_planner_who_may_no_more_does_not_take_the_way_back_along(site):
    operation_id, first = soaking(site)
    site.lead.role = Role.AUDITOR
    site.lead.save()
    campaigns.roll_back(site.manager, operation_id, reason="odd noise")
    site.drive(operation_id)
    assert Action.objects.get(operation=campaign_of(operation_id).roll_back_id).machine_id == first


def test_a_way_back_whose_last_step_ends_before_the_next_look_is_closed_all_the_same(site):
    operation_id, _first = soaking(site)
    campaigns.roll_back(site.lead, operation_id, reason="odd noise")
    site.drive(operation_id)
    back = campaign_of(operation_id).roll_back_id
    site.drive(back)
    site.perform(version=OLD, done=False, message="not back")
    pacing.advance(back)
    assert state_of(back) is OperationState.RUNNING

    site.drive(back)
    assert (state_of(operation_id), state_of(back)) == (OperationState.ROLLED_BACK, OperationState.DONE)


def test_what_the_store_does_not_have_cannot_be_rolled_back_and_that_is_said(site):
    images.remove_image(site.lead, site.old.id, data_dir=site.data_dir, reason="x")
    assert campaigns.preview(site.image.id, site.ids, PLAN).without_image == 4
    operation_id = site.started()
    site.drive(operation_id)
    site.perform(done=False, answer=False)
    for _ in range(3):
        site.drive(operation_id)

    assert state_of(operation_id) is OperationState.HALTED
    assert "cannot be rolled back" in operation_rows.operation(operation_id).message
    assert MachineStep.STUCK in site.states().values()


def test_a_stopped_campaign_goes_on_only_by_a_person(site):
    operation_id = site.started(msgspec.structs.replace(PLAN, auto_roll_back=False))
    site.drive(operation_id)
    first = site.perform()
    site.drive(operation_id)
    site.measured(first, factor=0.8)
    for _ in range(3):
        site.drive(operation_id)
    assert (state_of(operation_id), campaign_of(operation_id).phase) == (OperationState.HALTED, Phase.STOPPED)
    operations.resume_operation(site.lead, operation_id, reason="the general button")
    site.drive(operation_id)
    assert state_of(operation_id) is OperationState.HALTED

    campaigns.go_on(site.lead, operation_id, reason="known, and wanted")
    site.drive(operation_id)

    assert len(site.perform()) == 3
    assert campaign_of(operation_id).verdicts.last().outcome == "override"


def test_a_person_who_knows_of_a_lost_machine_is_asked_of_it_once(site):
    operation_id = site.started(msgspec.structs.replace(PLAN, auto_roll_back=False))
    site.drive(operation_id)
    site.perform(done=False, answer=False)
    for _ in range(3):
        site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.STOPPED
    campaigns.go_on(site.lead, operation_id, reason="a dead board, and no matter of the image")
    site.drive(operation_id)
    site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.FLASHING

    site.perform(done=False, answer=False)
    site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.STOPPING


def test_a_person_may_roll_back_at_any_time(site):
    operation_id = site.started()
    site.drive(operation_id)
    site.perform()
    operations.pause_operation(site.lead, operation_id, reason="odd noise")
    campaigns.roll_back(site.lead, operation_id, reason="odd noise")
    site.drive(operation_id)
    with pytest.raises(OperationRefusedError):
        campaigns.roll_back(site.lead, operation_id, reason="again")
    with pytest.raises(OperationRefusedError):
        campaigns.go_on(site.lead, operation_id, reason="no")
    back = campaign_of(operation_id).roll_back_id
    site.drive(back)
    site.perform(version=OLD)
    site.drive(back)
    assert state_of(operation_id) is OperationState.ROLLED_BACK


def test_machines_under_way_are_seen_through_before_the_way_back(site):
    plan = msgspec.structs.replace(PLAN, stages=(Stage(percent=100.0),))
    operation_id = site.started(plan)
    site.drive(operation_id)
    work = services.claim_actions(1)
    services.finish_actions(
        [Ending(work[0].action_id, done=False, message="gone", after={"firmware": None, "pools": None}, verified=False)]
    )
    site.drive(operation_id)
    assert campaign_of(operation_id).phase == Phase.STOPPING
    for _ in range(2):
        site.drive(operation_id)
    assert campaign_of(operation_id).roll_back_id is None

    site.perform()
    site.drive(operation_id)

    assert Action.objects.filter(operation=campaign_of(operation_id).roll_back_id).count() == 4


def test_without_telemetry_the_gate_says_nothing_and_waits(site):
    class Away:
        def rows(self, *_args, **_parameters):
            raise StoreUnavailable("away")

    operation_id = site.started()
    site.drive(operation_id)
    site.perform()
    site.store = Away()
    for _ in range(4):
        site.drive(operation_id)
    assert (state_of(operation_id), campaign_of(operation_id).phase) == (OperationState.RUNNING, Phase.SOAKING)

    Campaign.objects.update(phase_at=utc_now() - timedelta(hours=3))
    site.drive(operation_id)
    assert (state_of(operation_id), campaign_of(operation_id).phase) == (OperationState.HALTED, Phase.STOPPED)


def test_a_gate_that_cannot_say_by_its_limit_calls_a_person(site):
    stages = (Stage(machines=1, soak_s=0.0, soak_max_s=0.0), Stage(percent=100.0))
    operation_id = site.started(msgspec.structs.replace(PLAN, stages=stages))
    site.drive(operation_id)
    site.perform()
    for _ in range(3):
        site.drive(operation_id)
    assert (state_of(operation_id), campaign_of(operation_id).phase) == (OperationState.HALTED, Phase.STOPPED)


def test_a_machine_that_sleeps_when_its_stage_begins_is_left(site):
    operation_id = site.started()
    Machine.objects.update(state=MachineState.SLEEPING)
    for _ in range(4):
        site.drive(operation_id)
    assert set(site.states().values()) == {MachineStep.LEFT}
    assert (state_of(operation_id), Action.objects.count()) == (OperationState.DONE, 0)


def test_a_campaign_is_refused_without_machines_a_trusted_key_or_permission(site, people):
    with pytest.raises(OperationRefusedError, match="no machine"):
        campaigns.plan_campaign(site.lead, site.image.id, [], PLAN, reason="x")
    with pytest.raises(NotPermittedError):
        plan_by(site, people(Role.TECHNICIAN))
    with pytest.raises(OperationRefusedError, match="size"):
        site.plan(CampaignPlan(stages=(Stage(),)))
    operation_id = site.started()
    with pytest.raises(ImageRefusedError, match="a campaign uses it"):
        images.remove_image(site.lead, site.image.id, data_dir=site.data_dir, reason="x")
    images.remove_key(site.manager, site.key, reason="lost")
    with pytest.raises(OperationRefusedError, match="trusted no more"):
        site.plan()
    site.drive(operation_id)
    assert (state_of(operation_id), Action.objects.count()) == (OperationState.HALTED, 0)


def test_an_image_stays_for_a_roll_back_also_where_machines_put_a_name_before_its_version(site):
    Machine.objects.update(firmware=f"Maker {OLD}")
    site.started()
    with pytest.raises(ImageRefusedError, match="a campaign uses it"):
        images.remove_image(site.lead, site.old.id, data_dir=site.data_dir, reason="x")


def test_single_machines_are_flashed_by_nobody(site):
    from mbongi.fleet.errors import ActionRefusedError  # noqa: PLC0415

    with pytest.raises(ActionRefusedError, match="two people"):
        services.request_action(site.manager, site.ids, ActionKind.UPGRADE, {}, reason="x")


def test_an_ended_campaign_leaves_what_was_flashed(site):
    operation_id = site.started()
    site.drive(operation_id)
    site.perform()
    campaigns.cancel(site.lead, operation_id, reason="enough")
    assert (state_of(operation_id), campaign_of(operation_id).phase) == (OperationState.CANCELLED, Phase.OVER)
    assert operation_rows.operations(kinds=[OperationKind.CAMPAIGN])[0].limits == Limits(batch=20, failures_max=5)
