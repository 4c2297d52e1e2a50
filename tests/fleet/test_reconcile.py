"""The dry run over a group, and the operation made of it: what differs, what is written, what is left and why."""

from datetime import timedelta

import msgspec
import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import groups, operation_rows, pacing, reconcile, services
from mbongi.fleet.action_work import Ending
from mbongi.fleet.errors import NotPermittedError, OperationRefusedError, UnknownGroupError
from mbongi.fleet.models import Action, Machine
from mbongi.fleet.reading import MachineDetail, PoolDetail
from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    Desired,
    DesiredFan,
    DesiredPool,
    DesiredPower,
    Limits,
    MachineState,
    OperationKind,
    OperationState,
    PowerMode,
)
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
URL = "stratum+tcp://pool.example:3333"
POOLS = Desired(account="acct", pools=(DesiredPool(url=URL, user="{account}.{position}"),))


@pytest.fixture
def active(people, lead):
    """Makes a group with an active profile and machines."""

    def make(desired, ids, name="Hall A"):
        row = groups.add_group(lead, name, reason="x")
        groups.put_machines(lead, row.id, ids, reason="x")
        version = groups.propose_profile(lead, groups.write_profile(lead, row.id, desired, reason="x").id)
        if version.needs_second:
            groups.approve_profile(people(Role.SITE_MANAGER), version.id, reason="x")
        return row.id

    return make


def state_of(machine_id, *, at=None, state=MachineState.MINING, **facts):
    """What a machine stated at its last poll."""
    row = Machine.objects.get(pk=machine_id)
    row.detail = msgspec.to_builtins(MachineDetail(**facts))
    row.detail_at, row.state = at or utc_now(), state.value
    row.save()


def told(machine_id, user="acct.20-03-01", url=URL):
    state_of(machine_id, pools=[PoolDetail(url=url, user=user)], work_mode="normal")


def run(operation_id):
    """Perform the whole operation, each write verified."""
    while not pacing.advance(operation_id).is_over:
        work = services.claim_actions(100)
        services.finish_actions([Ending(each.action_id, done=True, message="ok", verified=True) for each in work])
        Machine.objects.update(last_seen_at=utc_now() + timedelta(seconds=1))


def test_the_dry_run_shows_each_change_per_machine_and_writes_nothing(active):
    right, wrong, thief, silent, late = add_machines(5)
    group_id = active(POOLS, [right, wrong, thief, silent, late])
    told(right)
    told(wrong, user="acct.old")
    told(thief, url="stratum+tcp://thief.example:1")
    state_of(silent, state=MachineState.UNKNOWN, pools=[PoolDetail(url="x", user="y")])
    state_of(late, at=utc_now() - timedelta(hours=1), pools=[PoolDetail(url="x", user="y")])

    found = reconcile.preview(group_id)

    assert (found.number, found.same, found.steps, dict(found.left)) == (1, 1, 2, {"unknown": 2})
    by_id = {plan.machine_id: plan for plan in found.machines}
    assert by_id[wrong].differences[0].field == "worker"
    assert by_id[thief].differences[0].found == "stratum+tcp://thief.example:1 acct.20-03-01"
    assert by_id[thief].changes[0].arguments == {"pools": [{"url": URL, "user": "acct.20-03-03"}]}
    assert not by_id[silent].differences[0].known
    assert not Action.objects.exists()


def test_a_reconciliation_writes_what_differs_within_the_limits_and_says_what_was_left(active, lead):
    ids = add_machines(4)
    group_id = active(msgspec.structs.replace(POOLS, limits=Limits(batch=2)), ids)
    for machine_id in ids[:3]:
        told(machine_id, user="acct.old")

    row = reconcile.reconcile(lead, group_id, reason="new pool")

    assert (row.kind, row.state, row.total, row.limits.batch) == (OperationKind.RECONCILE, OperationState.RUNNING, 3, 2)
    assert row.document["left"] == [{"machine": ids[3], "fields": ["pools"], "why_not": "unknown"}]
    assert pacing.advance(row.id).released == 2
    run(row.id)
    assert operation_rows.operation(row.id).state is OperationState.DONE
    steps = operation_rows.steps(row.id).rows
    assert [step.arguments["pools"][0]["user"] for step in steps] == [f"acct.20-03-0{n}" for n in (1, 2, 3)]
    assert {step.kind for step in steps} == {ActionKind.SET_POOLS}
    assert "hush" not in str([entry.after for entry in ledger.entries(limit=100)])


def test_a_change_of_power_plans_no_write_of_pools(active, lead):
    (machine_id,) = add_machines(1)
    group_id = active(msgspec.structs.replace(POOLS, power=DesiredPower(mode=PowerMode.LOW)), [machine_id])
    told(machine_id)

    row = reconcile.reconcile(lead, group_id, reason="heat")

    (step,) = operation_rows.steps(row.id).rows
    assert (step.kind, step.arguments) == (ActionKind.SET_POWER, {"mode": "low"})
    assert Action.objects.get(pk=step.id).load_w > 0


def test_a_paused_group_is_left_as_it_is_until_it_goes_on(active, lead):
    ids = add_machines(2)
    group_id = active(msgspec.structs.replace(POOLS, limits=Limits(batch=1)), ids)
    for machine_id in ids:
        told(machine_id, user="acct.old")
    row = reconcile.reconcile(lead, group_id, reason="new pool")
    assert pacing.advance(row.id).released == 1
    groups.change_group(lead, group_id, paused=True, reason="a technician is there")

    [first] = services.claim_actions(100)
    services.finish_actions([Ending(first.action_id, done=True, message="ok", verified=True)])
    Machine.objects.update(last_seen_at=utc_now() + timedelta(seconds=1))
    held = pacing.advance(row.id)
    assert (held.released, held.is_over) == (0, False)
    with pytest.raises(OperationRefusedError, match="paused"):
        reconcile.reconcile(lead, group_id, reason="again")

    groups.change_group(lead, group_id, paused=False, reason="done")
    run(row.id)
    assert operation_rows.operation(row.id).state is OperationState.DONE


def test_what_is_planned_already_is_not_planned_again(active, lead):
    ids = add_machines(2)
    group_id = active(POOLS, ids)
    for machine_id in ids:
        told(machine_id, user="acct.old")
    first = reconcile.reconcile(lead, group_id, machine_ids=ids[:1], reason="one", start=False)
    assert first.state is OperationState.PLANNED

    found = reconcile.preview(group_id)
    assert (found.pending, [plan.machine_id for plan in found.machines]) == (1, ids[1:])
    assert reconcile.reconcile(lead, group_id, reason="rest").total == 1
    with pytest.raises(OperationRefusedError, match="nothing to write"):
        reconcile.reconcile(lead, group_id, reason="again")


def test_families_are_asked_for_what_they_can_and_the_rest_is_said(active):
    (bitaxe,) = add_machines(1, family="bitaxe")
    group_id = active(Desired(power=DesiredPower(mode=PowerMode.LOW), fan=DesiredFan(percent=80)), [bitaxe])
    state_of(bitaxe, fan_auto=True)

    found = reconcile.preview(group_id)

    assert [(change.kind, change.why_not) for change in found.machines[0].changes] == [
        (ActionKind.SET_FAN, ""),
        (None, "unable"),
    ]


def test_machines_that_a_profile_put_to_sleep_are_woken_by_the_next_and_others_are_not(active, lead, people):
    slept, by_hand = add_machines(2)
    group_id = active(Desired(power=DesiredPower(mode=PowerMode.SLEEP)), [slept, by_hand])
    state_of(slept, work_mode="normal")
    state_of(by_hand, work_mode="sleep", state=MachineState.SLEEPING)
    run(reconcile.reconcile(lead, group_id, reason="night").id)
    state_of(slept, work_mode="sleep", state=MachineState.SLEEPING)
    groups.propose_profile(lead, groups.write_profile(lead, group_id, {"power": {"mode": "normal"}}, reason="day").id)

    found = reconcile.preview(group_id)

    by_id = {plan.machine_id: [(each.kind, each.why_not) for each in plan.changes] for plan in found.machines}
    assert by_id == {
        slept: [(ActionKind.WAKE, ""), (ActionKind.SET_POWER, "")],
        by_hand: [(None, "asleep")],
    }


def test_owners_are_assigned_at_the_start_by_whoever_may(active, lead, people, tenant):
    north = tenant("north")
    ids = add_machines(2)
    group_id = active(msgspec.structs.replace(POOLS, owner=north.pk), ids)
    for machine_id in ids:
        told(machine_id, user="acct.old")
    reconcile.reconcile(lead, group_id, machine_ids=ids[:1], reason="x")
    assert Machine.objects.get(pk=ids[0]).tenant_id is None

    row = reconcile.reconcile(people(Role.SITE_MANAGER), group_id, machine_ids=ids[1:], reason="x")

    assert Machine.objects.get(pk=ids[1]).tenant_id == north.pk
    # Its own steps are for the new owner.
    steps = Action.objects.filter(operation=row.id).values_list("status", "tenant_id")
    assert list(steps) == [(ActionStatus.PLANNED, north.pk)]


def test_what_cannot_be_reconciled_is_refused(active, lead, people):
    (machine_id,) = add_machines(1)
    group_id = active(POOLS, [machine_id])
    told(machine_id)
    with pytest.raises(OperationRefusedError, match="nothing to write"):
        reconcile.reconcile(lead, group_id, reason="x")
    told(machine_id, user="old")
    with pytest.raises(NotPermittedError):
        reconcile.reconcile(people(Role.TECHNICIAN), group_id, reason="x")
    with pytest.raises(UnknownGroupError):
        reconcile.preview(group_id + 1)
    with pytest.raises(OperationRefusedError, match="no version"):
        reconcile.preview(groups.add_group(lead, "Empty", reason="x").id)
    assert not Action.objects.filter(status=ActionStatus.PLANNED).exists()
