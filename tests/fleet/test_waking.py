"""A machine that was told to wake and does not is a fault: not left alone as our pause, not excused, and told."""

from datetime import UTC, datetime, timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.fleet import healing_sight, services, waking
from mbongi.fleet.action_work import Ending
from mbongi.fleet.asked_sleeps import WAKE_S, asked_sleeps
from mbongi.fleet.healing import built_in_rules
from mbongi.fleet.models import Action, Event, Machine, Operation
from mbongi.fleet.rules.healing import Cure, Mode, Move, Past, Rule, decide
from mbongi.fleet.values import ActionKind, ActionStatus, EventKind, MachineState, OperationKind, OperationState
from mbongi.fleet.wording import event_text
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


def told(user, machine_id, kind, *, minutes_ago, done=True, dry_run=False):
    """An action that ended so long ago."""
    (row,) = services.request_action(user, [machine_id], kind, reason="grid", dry_run=dry_run)
    (work,) = services.claim_actions(10)
    services.finish_actions([Ending(work.action_id, done=done, message="silence", verified=done)])
    Action.objects.filter(pk=row.id).update(finished_at=utc_now() - timedelta(minutes=minutes_ago))


def asleep():
    (machine_id,) = add_machines(1, state=MachineState.SLEEPING)
    return machine_id


def lasting():
    return dict(Event.objects.filter(kind="not_woken", cleared_at=None).values_list("machine_id", "params"))


def test_our_pause_lasts_until_the_machine_is_told_to_wake_whether_or_not_it_does(lead):
    machine_id = asleep()
    told(lead, machine_id, ActionKind.SLEEP, minutes_ago=90)
    assert healing_sight.asides([machine_id], utc_now()) == {machine_id: "asleep_by_us"}
    told(lead, machine_id, ActionKind.WAKE, minutes_ago=60, dry_run=True)
    assert healing_sight.asides([machine_id], utc_now()) == {machine_id: "asleep_by_us"}

    told(lead, machine_id, ActionKind.WAKE, minutes_ago=30, done=False)
    assert healing_sight.asides([machine_id], utc_now()) == {machine_id: "asleep"}
    Machine.objects.update(state=MachineState.OFF.value)
    assert healing_sight.asides([machine_id], utc_now()) == {}

    told(lead, machine_id, ActionKind.SLEEP, minutes_ago=5)
    assert healing_sight.asides([machine_id], utc_now()) == {machine_id: "asleep_by_us"}


def test_what_a_curtailment_put_to_sleep_though_its_step_failed_is_no_failed_waking(lead):
    """It woke although its waking failed, mined, and was told to sleep: the answer alone was lost."""
    machine_id = asleep()
    told(lead, machine_id, ActionKind.WAKE, minutes_ago=60, done=False)
    assert (waking.look(), set(lasting())) == (1, {machine_id})
    curtailment = {"kind": OperationKind.CURTAIL, "state": OperationState.DONE, "limits": {}, "planned_at": utc_now()}
    operation = Operation.objects.create(**curtailment, reason="grid", author=lead, actor="x")
    told(lead, machine_id, ActionKind.SLEEP, minutes_ago=20, done=False)
    Action.objects.filter(kind=ActionKind.SLEEP).update(operation=operation)

    assert (waking.look(), lasting()) == (1, {})
    Machine.objects.update(state=MachineState.OFF.value)
    assert (waking.look(), set(lasting())) == (1, {machine_id})


def test_it_is_given_ten_minutes_after_a_waking_that_failed(lead):
    machine_id = asleep()
    told(lead, machine_id, ActionKind.WAKE, minutes_ago=9, done=False)
    Machine.objects.update(state=MachineState.FAULT.value)
    assert healing_sight.asides([machine_id], utc_now()) == {machine_id: "settling"}


def test_a_failed_waking_is_told_after_five_minutes_once_and_until_the_machine_mines(lead):
    machine_id = asleep()
    told(lead, machine_id, ActionKind.SLEEP, minutes_ago=90)
    told(lead, machine_id, ActionKind.WAKE, minutes_ago=1, done=False)
    assert (waking.look(), lasting()) == (0, {})
    wake = Action.objects.get(kind="wake")

    later = utc_now() + timedelta(minutes=5)
    assert (waking.look(now=later), waking.look(now=later)) == (1, 0)

    assert lasting() == {machine_id: {"action": wake.pk}}
    assert str(wake.pk) in event_text(EventKind.NOT_WOKEN, "", {"action": wake.pk})
    # It lasts for as long as it does, however long ago that was.
    assert waking.look(now=later + timedelta(days=30)) == 0
    Machine.objects.update(state=MachineState.MINING.value)
    assert (waking.look(now=later), lasting()) == (1, {})
    assert waking.look(now=later) == 0


@pytest.mark.parametrize("then", ["sleep", "wake", "retire"])
def test_it_ends_where_the_machine_is_to_sleep_again_woke_after_all_or_left(lead, manager, then):
    machine_id = asleep()
    told(lead, machine_id, ActionKind.WAKE, minutes_ago=30, done=False)
    assert waking.look() == 1

    if then == "retire":
        services.retire(manager, [machine_id], "scrap")
    else:
        told(lead, machine_id, ActionKind(then), minutes_ago=1)

    waking.look()
    assert lasting() == {}


def test_the_built_in_rule_wakes_it_again_restarts_it_and_ends_with_people(lead):
    machine_id = asleep()
    told(lead, machine_id, ActionKind.WAKE, minutes_ago=60, done=False)
    waking.look(now=utc_now() - timedelta(minutes=40))
    rank, document = built_in_rules()["not_woken"]
    rule = Rule(1, rank, Mode.ON, document)
    (sight,) = healing_sight.sights([rule], utc_now())

    (verdict,) = decide([rule], [sight], Past(), int(utc_now().timestamp() * 1000), {1: 1})

    assert (verdict.move, verdict.cure) == (Move.ACT, Cure.WAKE)
    assert document.steps == (Cure.WAKE, Cure.REBOOT)
    assert document.work_order


def test_time_asleep_is_excused_until_the_waking_that_failed_and_no_longer(lead, north):
    """06:00 to sleep by curtailment, 08:00 told to wake in vain: two hours are excused, the rest of the day is not."""
    (machine_id,) = add_machines(1, tenant=north)
    day = datetime(2026, 11, 3, tzinfo=UTC)
    operation = Operation.objects.create(
        kind=OperationKind.CURTAIL, state=OperationState.DONE, limits={}, reason="x", author=lead, actor="x",
        planned_at=day,
    )  # fmt: skip

    def at(hour, kind, status):
        moment = day + timedelta(hours=hour)
        return Action.objects.create(
            machine_id=machine_id, kind=kind, status=status, operation=operation, reason="x", author=lead,
            requested_at=moment, claimed_at=moment, finished_at=moment,
        )  # fmt: skip

    start = int(day.timestamp())
    span = (start, start + 86_400)
    at(6, ActionKind.SLEEP, ActionStatus.DONE)
    wake = at(8, ActionKind.WAKE, ActionStatus.FAILED)

    (excuse,) = asked_sleeps([machine_id], span, north.pk)[machine_id]
    assert excuse.span == (start + 6 * 3600, start + 8 * 3600)
    # The next month knows of it too: nothing is asleep by us there.
    assert asked_sleeps([machine_id], (span[1], span[1] + 86_400), north.pk) == {machine_id: []}

    Action.objects.filter(pk=wake.pk).update(status=ActionStatus.DONE)
    (excuse,) = asked_sleeps([machine_id], span, north.pk)[machine_id]
    assert excuse.span == (start + 6 * 3600, start + 8 * 3600 + WAKE_S)
