"""The way back of a campaign: settings that the image changed, a person who ends it, and what machines then run."""

from datetime import timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Role
from mbongi.fleet import (
    campaign_return,
    campaign_work,
    campaigns,
    groups,
    operation_rows,
    operations,
    pacing,
    reconcile,
    services,
)
from mbongi.fleet.action_work import Ending
from mbongi.fleet.errors import OperationRefusedError
from mbongi.fleet.firmware_wording import message_text
from mbongi.fleet.models import Action, CampaignMachine, Machine, Operation
from mbongi.fleet.reading import DetailReport, MachineDetail
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Phase, Stage
from mbongi.fleet.values import ActionKind, ActionStatus, OperationState, ProfileState
from tests.fleet.campaign_bed import CRITERIA, NEW, OLD, POOLS, Bench, campaign_of, state_of, verbs

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
THIEF = [{"url": "stratum+tcp://thief.example:1", "user": "t"}]
ALL_AT_ONCE = CampaignPlan(stages=(Stage(percent=100.0, soak_max_s=7200.0),), criteria=CRITERIA)


@pytest.fixture
def site(people, tmp_path, monkeypatch):
    """Four machines that mine with the old image, both images in the store, and somebody to plan and to approve."""
    monkeypatch.setattr(campaign_work, "LOOK", timedelta(0))
    return Bench(people(Role.SHIFT_LEAD), people(Role.SITE_MANAGER), tmp_path)


def robbed(site):
    """A canary whose image gave it other pools, and that runs its former image again; the operations and the machine.

    The flash back leaves the pools as it finds them.
    """
    operation_id = site.started()
    site.drive(operation_id)
    [first] = site.perform(done=False, pools=THIEF)
    for _ in range(3):
        site.drive(operation_id)
    back = campaign_of(operation_id).roll_back_id
    site.drive(back)
    assert site.perform(version=OLD, pools=THIEF) == [first]
    return operation_id, back, first


def test_the_settings_that_the_image_changed_are_written_back(site):
    operation_id, back, first = robbed(site)
    site.drive(back)
    write = Action.objects.get(operation=back, kind=ActionKind.SET_POOLS)
    assert (write.machine_id, write.arguments["pools"]) == (first, POOLS)
    assert state_of(operation_id) is OperationState.HALTED

    site.perform(version=OLD)
    site.drive(back)
    assert (state_of(operation_id), state_of(back)) == (OperationState.ROLLED_BACK, OperationState.DONE)
    assert site.states()[first] == MachineStep.RETURNED
    assert verbs(back) == ["plan", "start", "extend", "extend", "done"]


def test_settings_that_cannot_be_written_back_leave_the_machine_not_rolled_back(site):
    operation_id, back, first = robbed(site)
    site.drive(back)
    site.perform(version=OLD, done=False, message="the machine refuses")
    site.drive(back)

    row = CampaignMachine.objects.get(machine=first)
    assert row.state == MachineStep.STUCK
    assert "the machine refuses" in row.reason
    assert "not: 1" in operation_rows.operation(operation_id).message


@pytest.mark.parametrize("status", [ActionStatus.DONE, ActionStatus.RUNNING, ActionStatus.REQUESTED])
def test_settings_that_a_person_wrote_since_the_flash_or_is_about_to_write_stay(site, status):
    operation_id, back, first = robbed(site)
    now, is_done = utc_now(), status is ActionStatus.DONE
    Action.objects.create(
        machine_id=first,
        kind=ActionKind.SET_POOLS,
        arguments={"pools": THIEF},
        reason="moved",
        author=site.manager,
        status=status,
        requested_at=now,
        claimed_at=None if status is ActionStatus.REQUESTED else now,
        finished_at=now if is_done else None,
    )
    site.drive(back)
    assert not Action.objects.filter(operation=back, kind=ActionKind.SET_POOLS).exists()
    assert state_of(operation_id) is OperationState.ROLLED_BACK


def test_a_write_back_that_waits_gives_way_to_what_a_person_wrote_meanwhile(site):
    operation_id, back, first = robbed(site)
    campaign_work.drive(back, lambda _question: None)
    [write] = Action.objects.filter(operation=back, kind=ActionKind.SET_POOLS)
    assert write.status == ActionStatus.PLANNED
    now = utc_now()
    Action.objects.create(
        machine_id=first,
        kind=ActionKind.SET_POOLS,
        arguments={"pools": THIEF},
        reason="moved",
        author=site.manager,
        status=ActionStatus.DONE,
        requested_at=now,
        claimed_at=now,
        finished_at=now,
    )
    site.drive(back)

    write.refresh_from_db()
    assert write.status == ActionStatus.CANCELLED
    assert site.states()[first] == MachineStep.RETURNED
    assert state_of(operation_id) is OperationState.ROLLED_BACK


def test_pools_of_a_former_owner_are_not_put_back(site, north):
    operation_id, back, first = robbed(site)
    services.assign(site.manager, [first], north.pk, "contract 7")
    site.drive(back)

    assert not Action.objects.filter(operation=back, kind=ActionKind.SET_POOLS).exists()
    row = CampaignMachine.objects.get(machine=first)
    assert row.state == MachineStep.STUCK
    assert "another owner's" in row.reason
    assert state_of(operation_id) is OperationState.ROLLED_BACK


def halfway(site):
    """A campaign of four flashed machines that is rolled back one at a time: one is back, one is under way."""
    operation_id = site.started(ALL_AT_ONCE)
    site.drive(operation_id)
    flashed = site.perform()
    site.drive(operation_id)
    campaigns.roll_back(site.lead, operation_id, reason="odd noise")
    site.drive(operation_id)
    back = campaign_of(operation_id).roll_back_id
    Operation.objects.filter(pk=back).update(limits={"batch": 1, "failures_max": 5})
    site.drive(back)
    [first] = site.perform(version=OLD)
    site.drive(back)
    [work] = services.claim_actions(10)
    return operation_id, back, first, work, flashed


def end(site, work, operation_id):
    """What is under way ends well, and the process looks."""
    after = {"firmware": OLD, "pools": POOLS}
    services.finish_actions([Ending(work.action_id, done=True, message="ok", after=after, verified=True)])
    for number in campaign_return.ended_by_people():
        site.drive(number)


def test_a_way_back_that_a_person_ends_lets_the_campaign_stand_and_names_who_was_not_brought_back(site):
    operation_id, back, first, work, flashed = halfway(site)
    operations.cancel_operation(site.manager, back, reason="enough for today")
    assert campaign_return.ended_by_people() == [back]
    site.drive(back)
    assert campaign_of(operation_id).phase == Phase.ROLLING_BACK  # One machine is still under way.
    end(site, work, operation_id)

    assert campaign_return.ended_by_people() == []
    assert (campaign_of(operation_id).phase, state_of(operation_id)) == (Phase.STOPPED, OperationState.HALTED)
    rest = set(flashed) - {first, work.machine_id}
    returned = dict.fromkeys([first, work.machine_id], MachineStep.RETURNED)
    assert site.states() == returned | dict.fromkeys(rest, MachineStep.FLASHED)
    message = operation_rows.operation(operation_id).message
    assert all(Machine.objects.get(pk=pk).address in message for pk in rest)
    assert "Machines rolled back: 2; not: 2" in message_text(message)
    assert verbs(operation_id)[-1] == "halt"


def test_after_a_way_back_that_was_ended_the_rest_can_be_rolled_back_once_more(site):
    operation_id, back, first, work, flashed = halfway(site)
    operations.cancel_operation(site.manager, back, reason="enough for today")
    end(site, work, operation_id)
    campaigns.roll_back(site.lead, operation_id, reason="the rest too")
    site.drive(operation_id)
    again = campaign_of(operation_id).roll_back_id
    assert again not in {None, back}
    site.drive(again)
    assert set(site.perform(version=OLD)) == set(flashed) - {first, work.machine_id}
    site.drive(again)

    assert state_of(operation_id) is OperationState.ROLLED_BACK
    assert set(site.states().values()) == {MachineStep.RETURNED}


def test_what_failed_on_one_way_back_is_not_flashed_again_when_the_next_one_is_ended(site):
    operation_id, back, first, work, flashed = halfway(site)
    operations.cancel_operation(site.manager, back, reason="enough for today")
    services.finish_actions([Ending(work.action_id, done=False, message="no answer")])
    site.drive(back)
    campaigns.roll_back(site.lead, operation_id, reason="the rest too")
    site.drive(operation_id)
    again = campaign_of(operation_id).roll_back_id
    operations.cancel_operation(site.manager, again, reason="no")
    site.drive(again)

    rest = dict.fromkeys(set(flashed) - {first, work.machine_id}, MachineStep.FLASHED)
    assert site.states() == rest | {first: MachineStep.RETURNED, work.machine_id: MachineStep.STUCK}


def test_a_way_back_of_which_nothing_had_begun_can_be_ended_too(site):
    operation_id = site.started(ALL_AT_ONCE)
    site.drive(operation_id)
    site.perform(done=False, answer=False)
    for _ in range(3):
        site.drive(operation_id)
    back = campaign_of(operation_id).roll_back_id
    with pytest.raises(OperationRefusedError, match="rolling_back"):
        campaigns.cancel(site.lead, operation_id, reason="enough")
    operations.cancel_operation(site.manager, back, reason="no")
    site.drive(back)
    assert campaign_of(operation_id).phase == Phase.STOPPED
    assert set(site.states().values()) == {MachineStep.FAILED}
    campaigns.cancel(site.lead, operation_id, reason="enough")
    assert state_of(operation_id) is OperationState.CANCELLED


def test_the_list_of_machines_says_which_image_each_runs_after_a_flash_and_after_a_roll_back(site):
    operation_id = site.started()
    site.drive(operation_id)
    [first] = site.perform()
    Machine.objects.update(firmware=OLD, image="")
    site.drive(operation_id)
    row = Machine.objects.get(pk=first)
    assert (row.firmware, row.image) == (NEW, site.image.sha256)

    campaigns.roll_back(site.lead, operation_id, reason="odd noise")
    site.drive(operation_id)
    back = campaign_of(operation_id).roll_back_id
    site.drive(back)
    site.perform(version=OLD)
    site.drive(back)
    row = Machine.objects.get(pk=first)
    assert (row.firmware, row.image) == (OLD, site.old.sha256)


def test_a_flash_that_was_not_verified_says_nothing_of_what_the_machine_runs(site):
    operation_id = site.started()
    site.drive(operation_id)
    [first] = site.perform(done=False, answer=False)
    Machine.objects.update(firmware=OLD, image="")
    site.drive(operation_id)
    row = Machine.objects.get(pk=first)
    assert (row.firmware, row.image) == (OLD, "")
    pacing.advance(operation_id)


@pytest.mark.parametrize("by_hash", [False, True])
def test_a_profile_that_names_the_image_agrees_with_what_the_campaign_flashed(site, by_hash):
    group = groups.add_group(site.manager, "hall", reason="x")
    groups.put_machines(site.manager, group.id, site.ids, reason="x")
    document = {"firmware": site.image.sha256 if by_hash else NEW}
    proposed = groups.propose_profile(site.lead, groups.write_profile(site.lead, group.id, document, reason="x").id)
    if proposed.state is not ProfileState.ACTIVE:
        groups.approve_profile(site.manager, proposed.id, reason="x")
    [first, second, *_rest] = site.ids
    Machine.objects.filter(pk=first).update(firmware=NEW, detail={"firmware": NEW}, detail_at=utc_now())
    Machine.objects.filter(pk=second).update(detail={"firmware": OLD}, detail_at=utc_now())

    found = {plan.machine_id: plan for plan in reconcile.preview(group.id, machine_ids=[first, second]).machines}
    assert list(found) == [second]
    assert (found[second].differences[0].wanted, found[second].differences[0].found) == (NEW, OLD)


def test_what_is_known_of_an_image_ends_with_another_version(site):
    [first, *_rest] = site.ids
    Machine.objects.filter(pk=first).update(firmware=NEW, image=site.image.sha256)
    for version, expected in ((NEW, site.image.sha256), ("", site.image.sha256), (OLD, "")):
        services.record_details([DetailReport(machine_id=first, detail=MachineDetail(firmware=version))])
        assert Machine.objects.get(pk=first).image == expected


def test_a_campaign_that_was_cancelled_with_its_way_back_stays_over(site):
    operation_id, back, _first, work, _flashed = halfway(site)
    for number in (operation_id, back):
        operations.cancel_operation(site.manager, number, reason="enough")
    end(site, work, operation_id)
    assert (campaign_of(operation_id).phase, state_of(operation_id)) == (Phase.OVER, OperationState.CANCELLED)
    assert campaign_return.ended_by_people() == []
