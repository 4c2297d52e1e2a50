"""Operations from the plan to the end: limits, halts, restarts, and a ledger that lacks nothing."""

from datetime import timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import operation_rows, operations, pacing, services
from mbongi.fleet.action_work import Ending
from mbongi.fleet.errors import (
    ActionRefusedError,
    NotPermittedError,
    OperationRefusedError,
    UnknownMachineError,
    UnknownOperationError,
)
from mbongi.fleet.models import Action, Machine, Operation
from mbongi.fleet.operations import Plan, Step
from mbongi.fleet.values import ActionKind, ActionStatus, Limits, MachineState, OperationKind, OperationState
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


def plan(user, ids, *, kinds=(ActionKind.SLEEP,), load_w=-3500.0, **rest):
    steps = [Step(machine_id, kind, load_w=load_w) for machine_id in ids for kind in kinds]
    facts = {"kind": OperationKind.CURTAIL, "reason": "grid", "limits": Limits(batch=3)} | rest
    return operations.plan_operation(user, Plan(steps=steps, **facts))


def begin(user, ids, **rest):
    return operations.start_operation(user, plan(user, ids, **rest).id).id


def finish(count=None, *, done=True, message="ok"):
    """Perform what is released, as the Actor does."""
    work = services.claim_actions(1000)
    assert count is None or len(work) == count
    services.finish_actions([Ending(each.action_id, done, message, verified=done) for each in work])
    return [each.machine_id for each in work]


def look(operation_id, at=None):
    return pacing.advance(operation_id, now=at)


def state(operation_id):
    return operation_rows.operation(operation_id).state


def verbs(operation_id):
    entries = ledger.entries(subject=f"operation:{operation_id}")
    return [entry.action.removeprefix("fleet.operation.") for entry in reversed(entries)]


def test_an_operation_goes_on_in_batches_to_its_end_and_each_write_is_in_the_ledger(lead):
    ids = add_machines(7)
    row = plan(lead, ids)
    assert (row.state, row.total, row.ended) == (OperationState.PLANNED, 7, 0)
    assert not look(row.id).released
    assert not services.claim_actions()
    operations.start_operation(lead, row.id)

    released = []
    for _ in range(3):
        released.append(look(row.id).released)
        assert look(row.id).released == 0
        finish()
    assert released == [3, 3, 1]
    assert look(row.id).is_over

    row = operation_rows.operation(row.id)
    assert (row.state, row.message, row.ended) == (OperationState.DONE, "7 of 7 steps done, 0 failed", 7)
    assert verbs(row.id) == ["plan", "start", "done"]
    for machine_id in ids:
        entries = ledger.entries(subject=f"machine:{machine_id}")
        assert [entry.action for entry in entries] == ["fleet.machine.sleep.done", "fleet.machine.sleep.request"]
        assert entries[1].after["operation"] == row.id
        assert entries[1].actor == lead.actor


def test_a_look_that_is_repeated_after_a_crash_changes_nothing(lead):
    operation_id = begin(lead, add_machines(5))
    look(operation_id)
    claimed = services.claim_actions(2)  # a process took two, and died before a third

    assert look(operation_id).released == 0
    assert Action.objects.filter(status=ActionStatus.RUNNING).count() == len(claimed) == 2
    assert Action.objects.filter(status=ActionStatus.REQUESTED).count() == 1
    requests = [e for e in ledger.entries(limit=100) if e.action == "fleet.machine.sleep.request"]
    assert len(requests) == 3


def test_it_halts_at_so_many_failed_machines_and_goes_on_when_a_person_lets_it(lead):
    operation_id = begin(lead, add_machines(9), limits=Limits(batch=2, failures_max=2))
    look(operation_id)
    finish(2, done=False, message="no answer")

    assert look(operation_id).released == 0
    row = operation_rows.operation(operation_id)
    assert (row.state, row.message) == (OperationState.HALTED, "2 machines failed; the limit is 2")
    assert [step.message for step in operation_rows.steps(operation_id, statuses=[ActionStatus.FAILED]).rows] == [
        "no answer"
    ] * 2

    operations.resume_operation(lead, operation_id, reason="looked at them")
    assert look(operation_id).released == 2
    finish(1 + 1, done=True)
    assert state(operation_id) is OperationState.RUNNING
    assert verbs(operation_id) == ["plan", "start", "halt", "resume"]


def test_failures_at_the_very_end_do_not_halt_what_is_over(lead):
    operation_id = begin(lead, add_machines(2), limits=Limits(failures_max=1))
    look(operation_id)
    finish(2, done=False)

    assert look(operation_id).is_over
    assert operation_rows.operation(operation_id).message == "0 of 2 steps done, 2 failed"


def test_a_paused_operation_begins_nothing_and_a_cancelled_one_leaves_the_rest_undone(lead, people):
    operation_id = begin(lead, add_machines(8))
    look(operation_id)
    operations.pause_operation(people(Role.TECHNICIAN), operation_id, reason="smoke")
    finish(3)
    assert look(operation_id).released == 0

    row = operations.cancel_operation(lead, operation_id, reason="enough")

    assert (row.state, row.steps) == (OperationState.CANCELLED, {ActionStatus.DONE: 3, ActionStatus.CANCELLED: 5})
    assert ledger.entries(subject=f"operation:{operation_id}", limit=1)[0].after["not_begun"] == 5
    with pytest.raises(OperationRefusedError, match="cancelled"):
        operations.resume_operation(lead, operation_id, reason="x")


def test_a_ramp_releases_load_as_time_passes_and_survives_its_process(lead):
    operation_id = begin(lead, add_machines(20), load_w=-1000.0, limits=Limits(batch=100, ramp_kw_s=2.0))
    start = Operation.objects.get(pk=operation_id).started_at

    released = [look(operation_id, start + timedelta(seconds=second)).released for second in (0.5, 1, 2, 3, 60, 60.1)]

    assert released == [1, 1, 2, 2, 4, 0]


def test_a_machine_that_is_busy_waits_and_the_others_go_on(lead, people):
    ids = add_machines(3)
    (other,) = services.request_action(people(Role.TECHNICIAN), ids[:1], ActionKind.REBOOT, reason="stuck")
    operation_id = begin(lead, ids)

    assert look(operation_id).released == 2
    (work,) = services.claim_actions(1)
    assert work.action_id == other.id
    services.finish_actions([Ending(other.id, done=True, message="ok")])
    assert look(operation_id).released == 1


def test_steps_of_one_machine_follow_one_another_and_end_with_the_first_that_fails(lead):
    ids = add_machines(2)
    kinds = (ActionKind.SLEEP, ActionKind.WAKE)
    operation_id = begin(lead, ids, kind=OperationKind.RECONCILE, kinds=kinds, limits=Limits(batch=10))
    look(operation_id)
    work = services.claim_actions()
    assert [each.kind for each in work] == [ActionKind.SLEEP] * 2
    services.finish_actions(
        [Ending(work[0].action_id, done=False, message="no"), Ending(work[1].action_id, done=True, message="ok")]
    )

    assert look(operation_id).released == 1
    (wake,) = services.claim_actions()
    assert (wake.machine_id, wake.kind) == (work[1].machine_id, ActionKind.WAKE)
    rest = operation_rows.steps(operation_id, statuses=[ActionStatus.CANCELLED]).rows
    assert [(step.machine_id, step.message) for step in rest] == [
        (work[0].machine_id, "an earlier step failed on this machine")
    ]


def test_machines_that_do_not_mine_again_hold_it_up_then_count_as_failed(lead):
    ids = add_machines(4)
    limits = Limits(batch=10, out_of_service_max=2, failures_max=2, settle_s=600)
    operation_id = begin(lead, ids, kinds=(ActionKind.REBOOT,), kind=OperationKind.HEAL, limits=limits)
    look(operation_id)
    rebooted = finish(2)
    Machine.objects.filter(pk__in=rebooted).update(state=MachineState.STARTING.value)
    assert look(operation_id).released == 0

    later = utc_now() + timedelta(seconds=1)
    Machine.objects.filter(pk=rebooted[0]).update(state=MachineState.MINING.value, last_seen_at=later)
    assert look(operation_id).released == 1
    finish(1)

    much_later = utc_now() + timedelta(seconds=601)
    look(operation_id, much_later)
    row = operation_rows.operation(operation_id)
    assert (row.state, row.message) == (OperationState.HALTED, "2 machines failed; the limit is 2")


def test_it_is_over_only_when_the_last_machine_is_seen_to_mine_or_given_up(lead):
    (machine_id,) = add_machines(1, state=MachineState.STARTING)
    operation_id = begin(lead, [machine_id], kinds=(ActionKind.REBOOT,), limits=Limits(settle_s=600))
    look(operation_id)
    finish(1)
    assert not look(operation_id).is_over

    assert look(operation_id, utc_now() + timedelta(seconds=601)).is_over
    assert "1 machines are not seen to mine since" in operation_rows.operation(operation_id).message


def test_a_machine_that_leaves_the_fleet_holds_nothing_up(lead, people):
    ids = add_machines(2)
    operation_id = begin(lead, ids)
    services.retire(people(Role.SITE_MANAGER), ids[:1], "sold")
    look(operation_id)
    finish(1)

    assert look(operation_id).is_over
    assert operation_rows.operation(operation_id).steps[ActionStatus.CANCELLED] == 1


def test_an_operation_that_is_fed_takes_more_steps_and_ends_when_it_is_closed(lead):
    ids = add_machines(3)
    operation_id = begin(lead, ids[:1], kind=OperationKind.CAMPAIGN, is_fed=True)
    look(operation_id)
    finish(1)
    assert not look(operation_id).is_over

    operations.add_steps(operation_id, [Step(machine_id, ActionKind.SLEEP) for machine_id in ids[1:]])
    assert look(operation_id).released == 2
    finish(2)
    operations.close_steps(operation_id)
    assert look(operation_id).is_over
    with pytest.raises(OperationRefusedError):
        operations.add_steps(operation_id, [Step(ids[0], ActionKind.SLEEP)])


def test_one_that_needs_a_second_person_waits_for_somebody_else(lead, people):
    manager = people(Role.SITE_MANAGER)
    row = plan(manager, add_machines(1), second=True)
    assert row.needs_second
    with pytest.raises(OperationRefusedError):
        operations.start_operation(manager, row.id)
    with pytest.raises(OperationRefusedError, match="somebody else"):
        operations.approve_operation(manager, row.id, reason="me")
    with pytest.raises(NotPermittedError):
        operations.approve_operation(lead, row.id, reason="x")

    approved = operations.approve_operation(people(Role.SECURITY_OFFICER), row.id, reason="seen", start=True)

    assert approved.state is OperationState.RUNNING
    assert verbs(row.id) == ["plan", "approve", "start"]


def test_hands_are_few_while_steps_are_as_many_as_there_is_room_for(lead, people):
    ids = add_machines(30)
    services.request_action(people(Role.TECHNICIAN), ids[:10], ActionKind.WAKE, reason="x")
    operation_id = begin(lead, ids[10:], limits=Limits(batch=100))
    look(operation_id)

    work = services.claim_actions(15, by_hand=4)

    assert [each.is_step for each in work] == [False] * 4 + [True] * 11


def test_many_endings_are_one_append_to_the_ledger_and_one_that_is_unknown_spoils_none(lead):
    operation_id = begin(lead, add_machines(300), limits=Limits(batch=1000))
    look(operation_id)
    before = ledger.entries(limit=1)[0].index
    work = services.claim_actions(1000)

    assert services.finish_actions([Ending(each.action_id, done=True, message="ok") for each in work]) == 300
    assert services.finish_actions([Ending(each.action_id, done=False, message="no") for each in work]) == 0

    entries = ledger.entries(limit=300)
    assert entries[0].index == before + 300
    assert len({entry.at for entry in entries}) == 1
    assert {entry.action for entry in entries} == {"fleet.machine.sleep.done"}


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.AUDITOR, Role.TRAINEE, Role.SECURITY_OFFICER])
def test_roles_without_the_permission_plan_nothing(people, role):
    with pytest.raises(NotPermittedError):
        plan(people(role), add_machines(1))


def test_what_cannot_be_planned_is_refused_and_leaves_nothing(lead):
    ids = add_machines(1)
    with pytest.raises(OperationRefusedError, match="no steps"):
        plan(lead, [])
    with pytest.raises(UnknownMachineError):
        plan(lead, [ids[0], 999_999])
    turbo = Plan(OperationKind.HAND, [Step(ids[0], ActionKind.SET_POWER, {"mode": "turbo"})], "x")
    with pytest.raises(ActionRefusedError):
        operations.plan_operation(lead, turbo)
    with pytest.raises(ActionRefusedError, match="no reason"):
        plan(lead, ids, reason=" ")
    with pytest.raises(ActionRefusedError):
        plan(lead, ids, limits=Limits(batch=0))
    with pytest.raises(UnknownOperationError):
        operations.start_operation(lead, 999_999)


def test_tenants_see_operations_of_their_own_alone(lead, tenant):
    north = tenant("north")
    own = plan(lead, add_machines(1, tenant=north), tenant_id=north.pk).id
    ids = Machine.objects.values_list("pk", flat=True)
    plan(lead, list(ids))

    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert [row.id for row in operation_rows.operations()] == [own]
