"""Profiles that re-assert themselves: within limits, never endlessly, and never in a person's way."""

from datetime import timedelta

import msgspec
import pytest

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import groups, operation_rows, operations, pacing, reassertion, reconcile, services
from mbongi.fleet.action_work import Ending
from mbongi.fleet.models import Action, Event, Machine, Operation, Profile, WorkOrder
from mbongi.fleet.operations import Plan, Step
from mbongi.fleet.reading import MachineDetail, PoolDetail
from mbongi.fleet.values import (
    ActionKind,
    ConditionChange,
    Desired,
    DesiredPool,
    EventKind,
    OperationKind,
    OperationState,
)
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
URL = "stratum+tcp://pool.example:3333"
DESIRED = Desired(account="acct", pools=(DesiredPool(url=URL, user="{account}.{position}"),), reassert=True)


@pytest.fixture
def group(lead, manager):
    """Makes a group with machines and an active profile."""

    def make(ids, desired=DESIRED):
        row = groups.add_group(lead, "Hall A", reason="x")
        groups.put_machines(lead, row.id, ids, reason="x")
        version = groups.propose_profile(lead, groups.write_profile(lead, row.id, desired, reason="x").id)
        groups.approve_profile(manager, version.id, reason="x")
        return row.id

    return make


def hijack(machine_id, at=None, opened=True):
    """What the fleet process writes when a machine states a foreign pool, or its own again."""
    at = at or utc_now()
    url, user = ("stratum+tcp://thief:1", "x") if opened else (URL, "acct.20-03-01")
    detail = MachineDetail(pools=[PoolDetail(url=url, user=user, active=True)])
    Machine.objects.filter(pk=machine_id).update(detail=msgspec.to_builtins(detail), detail_at=at)
    change = ConditionChange(
        MachineId(machine_id), EventKind.POOL_DRIFT, "", opened=opened, at_ms=int(at.timestamp() * 1000)
    )
    services.record_conditions([change])


def finish(operation_id, done=True):
    """Perform the operation's steps, and see it to its end."""
    while not pacing.advance(operation_id).is_over:
        work = services.claim_actions(100)
        services.finish_actions([Ending(each.action_id, done=done, message="ok", verified=done) for each in work])
        Machine.objects.update(last_seen_at=utc_now() + timedelta(seconds=1))


def age(seconds):
    """Everything that happened lies so much further back."""
    by = timedelta(seconds=seconds)
    for operation in Operation.objects.all():
        Operation.objects.filter(pk=operation.pk).update(planned_at=operation.planned_at - by)
    for event in Event.objects.all():
        Event.objects.filter(pk=event.pk).update(at=event.at - by)
    for profile in Profile.objects.all():
        Profile.objects.filter(pk=profile.pk).update(decided_at=profile.decided_at - by)


def alarms():
    return set(Event.objects.filter(kind=EventKind.REVERTS, cleared_at=None).values_list("machine_id", flat=True))


def test_a_machine_that_drifts_is_brought_back_in_the_name_of_the_profile(group, manager):
    one, other = add_machines(2)
    group_id = group([one, other])
    hijack(one)

    [operation_id], _ = reassertion.look()

    row = operation_rows.operation(operation_id)
    assert (row.state, row.actor.partition(":")[0], row.author_id) == (OperationState.RUNNING, "profile", manager.pk)
    assert [(step.machine_id, step.kind) for step in operation_rows.steps(operation_id).rows] == [
        (one, ActionKind.SET_POOLS)
    ]
    entries = ledger.entries(subject=f"operation:{operation_id}")
    assert {entry.actor for entry in entries} == {row.actor}
    assert row.group_id == group_id
    assert reassertion.look() == ([], [])  # it is under way


@pytest.mark.parametrize("desired", [msgspec.structs.replace(DESIRED, reassert=False)])
def test_a_profile_that_does_not_say_so_leaves_drift_alone(group, desired):
    ids = add_machines(1)
    group(ids, desired)
    hijack(ids[0])

    assert reassertion.look() == ([], [])


def test_nothing_is_done_while_the_group_is_paused_and_all_once_it_goes_on(group, lead):
    ids = add_machines(1)
    group_id = group(ids)
    hijack(ids[0])
    groups.change_group(lead, group_id, paused=True, reason="visit")
    assert reassertion.look() == ([], [])

    groups.change_group(lead, group_id, paused=False, reason="over")

    assert len(reassertion.look()[0]) == 1


def test_a_machine_that_somebody_works_on_or_that_another_operation_has_is_left_alone(group, lead):
    repaired, curtailed, free = add_machines(3)
    group([repaired, curtailed, free])
    for machine_id in (repaired, curtailed, free):
        hijack(machine_id)
    WorkOrder.objects.create(machine_id=repaired, fault="fan", reported_at=utc_now())
    operations.plan_operation(lead, Plan(OperationKind.CURTAIL, [Step(curtailed, ActionKind.SLEEP)], "grid"))

    [operation_id], _ = reassertion.look()

    assert [step.machine_id for step in operation_rows.steps(operation_id).rows] == [free]


def test_a_machine_that_reverts_again_and_again_is_tried_four_times_ever_later_and_ends_before_a_person(group, lead):
    [machine_id] = add_machines(1)
    group_id = group([machine_id])
    waits = []
    for number in range(4):
        hijack(machine_id)
        if number:
            assert reassertion.look() == ([], [])
            age(120 * 2 ** (number - 1) + 1)
            waits.append(120 * 2 ** (number - 1))
        [operation_id], _ = reassertion.look()
        finish(operation_id)
        hijack(machine_id, opened=False)
    assert waits == [120, 240, 480]
    hijack(machine_id)
    age(7 * 86_400)
    Machine.objects.update(detail_at=utc_now())

    assert reassertion.look() == ([], [])

    assert alarms() == {machine_id}
    age(86_400)
    Machine.objects.update(detail_at=utc_now())
    assert reassertion.look() == ([], [])
    # A person deals with it: what they do begins the count anew.
    finish(reconcile.reconcile(lead, group_id, reason="I looked").id)
    reassertion.look()
    assert alarms() == set()


def test_the_alarm_ends_with_the_drift(group):
    [machine_id] = add_machines(1)
    group([machine_id])
    for number in range(4):
        hijack(machine_id)
        age(600 if number else 0)
        finish(reassertion.look()[0][0])
    reassertion.look()
    assert alarms() == {machine_id}

    hijack(machine_id, opened=False)
    reassertion.look()

    assert alarms() == set()


def test_a_write_that_fails_counts_as_a_try(group):
    [machine_id] = add_machines(1)
    group([machine_id])
    hijack(machine_id)

    finish(reassertion.look()[0][0], done=False)

    assert reassertion.look() == ([], [])
    age(121)
    assert len(reassertion.look()[0]) == 1


def test_nobody_left_who_may_run_operations_means_nothing_is_written(group, lead, manager):
    [machine_id] = add_machines(1)
    group([machine_id])
    hijack(machine_id)
    for person in (lead, manager):
        person.role = Role.AUDITOR
        person.save()

    assert reassertion.look() == ([], [machine_id])
    assert not Action.objects.exists()


def test_a_drift_that_cannot_be_written_begins_no_operation(group):
    [machine_id] = add_machines(1)
    group([machine_id])
    hijack(machine_id)
    Machine.objects.update(detail_at=utc_now() - timedelta(hours=1))  # too old to say how it is set now

    assert reassertion.look() == ([], [machine_id])
