"""Triggers: two people, what they begin and end, and what they are told."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import curtail_rows, curtail_triggers, curtailing, operations
from mbongi.fleet.curtail_triggers import Surroundings
from mbongi.fleet.errors import NotPermittedError, OperationRefusedError, UnknownTriggerError
from mbongi.fleet.models import PowerReading
from mbongi.fleet.power_figures import MachinePower
from mbongi.fleet.rules.triggers import Condition, Signal, TriggerKind
from mbongi.fleet.values import CurtailPhase, CurtailWish, OperationState
from tests.fleet.rows import add_machines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
NOON = datetime(2026, 11, 25, 11, 0, tzinfo=UTC)  # 12:00 in Brazzaville


@pytest.fixture(autouse=True)
def machines(as_site):
    ids = add_machines(10)
    PowerReading.objects.create(at=utc_now(), power_w=31_500.0, source="meter")
    return {one: MachinePower(3000.0, 30.0, 70.0, 0.0) for one in ids}


def add(lead, manager, kind, condition=None, **wish):
    row = curtail_triggers.write_trigger(
        lead, "Evening", kind, condition or Condition(), CurtailWish(**wish), reason="tariff"
    )
    return curtail_triggers.approve_trigger(manager, row.id, reason="agreed").id


def look(machines, *, now=NOON, hz=math.nan, hz_age_s=0.0):
    around = Surroundings(machines, Signal(hz, hz_age_s), ZoneInfo("Africa/Brazzaville"), 0.0)
    return curtail_triggers.look(around, now=now)


def test_a_trigger_does_nothing_until_a_second_person_approves_it(lead, manager, people, machines):
    row = curtail_triggers.write_trigger(
        lead,
        "Noon",
        TriggerKind.SCHEDULE,
        Condition(start="11:00", stop="13:00"),
        CurtailWish(reduce_pct=30),
        reason="x",
    )
    assert row.needs_second
    assert look(machines) == 0
    with pytest.raises(NotPermittedError):
        curtail_triggers.approve_trigger(lead, row.id, reason="x")
    with pytest.raises(OperationRefusedError, match="not approved"):
        curtail_triggers.switch_trigger(lead, row.id, on=True, reason="x")
    with pytest.raises(NotPermittedError):
        curtail_triggers.retire_trigger(people(Role.TECHNICIAN), row.id, reason="x")
    own = curtail_triggers.write_trigger(manager, "Own", TriggerKind.CAPACITY, Condition(), CurtailWish(), reason="x")
    with pytest.raises(OperationRefusedError, match="somebody else"):
        curtail_triggers.approve_trigger(manager, own.id, reason="x")
    assert curtail_triggers.approve_trigger(manager, row.id, reason="agreed").is_on
    assert look(machines) == 1
    # Written anew it waits for approval anew.
    changed = curtail_triggers.write_trigger(
        lead, "Noon", TriggerKind.SCHEDULE, Condition(), CurtailWish(reduce_pct=90), reason="x", trigger_id=row.id
    )
    assert changed.needs_second
    assert not changed.is_on


def test_a_schedule_begins_and_ends_by_the_clock_of_the_site(lead, manager, machines):
    number = add(lead, manager, TriggerKind.SCHEDULE, Condition(start="12:00", stop="13:00"), reduce_pct=30)

    assert look(machines, now=NOON - timedelta(minutes=1)) == 0
    assert look(machines, now=NOON) == 1
    begun = curtail_rows.active()
    assert begun.trigger_id == number
    assert begun.actor == f"trigger:{number}"
    assert begun.author == str(lead)
    assert begun.target_w == pytest.approx(31_500 * 0.7)
    assert look(machines, now=NOON + timedelta(minutes=30)) == 0
    assert look(machines, now=NOON + timedelta(hours=1)) == 1
    assert curtail_rows.active().phase is CurtailPhase.WAKE
    entries = [entry.action for entry in ledger.entries(subject=f"trigger:{number}")]
    assert entries == [f"fleet.trigger.{verb}" for verb in ("end", "begin", "approve", "write")]


def test_a_frequency_that_is_stale_begins_nothing(lead, manager, machines):
    condition = Condition(begin=49.7, end=49.95, on_s=0, off_s=0)
    add(lead, manager, TriggerKind.FREQUENCY, condition, reduce_pct=30)

    assert look(machines, hz=49.6, hz_age_s=60) == 0
    assert look(machines, hz=49.6) == 1
    assert look(machines, hz=49.8) == 0
    assert look(machines, hz=49.97) == 1


def test_a_capacity_is_the_target_and_moves_it(lead, manager, machines):
    add(lead, manager, TriggerKind.CAPACITY)
    assert look(machines) == 0
    told = utc_now()
    assert curtail_triggers.hear_signal("capacity", 20_000.0, at=told, source="facility")
    assert look(machines) == 1
    assert curtail_rows.active().target_w == pytest.approx(20_000)
    assert not curtail_triggers.hear_signal("capacity", 1.0, at=told - timedelta(seconds=1), source="late")
    curtail_triggers.hear_signal("capacity", 10_000.0, at=told + timedelta(seconds=1), source="facility")
    look(machines)
    assert curtail_rows.active().target_w == pytest.approx(10_000)
    curtail_triggers.hear_signal("capacity", None, at=told + timedelta(seconds=2), source="facility")
    assert look(machines) == 1
    assert curtail_rows.active().phase is CurtailPhase.WAKE


def test_a_capacity_with_an_end_is_over_then(lead, manager, machines):
    add(lead, manager, TriggerKind.CAPACITY)
    until = NOON + timedelta(minutes=5)
    curtail_triggers.hear_signal("capacity", 20_000.0, at=NOON, source="facility", until=until)

    assert look(machines, now=NOON + timedelta(minutes=4)) == 1
    assert look(machines, now=until) == 1


def test_what_a_person_began_is_lowered_and_not_ended_by_a_trigger(lead, manager, machines):
    curtailing.begin(lead, CurtailWish(reduce_pct=10), machines, reason="x", ramp_kw_s_max=0)
    number = add(lead, manager, TriggerKind.PRICE, Condition(begin=100, end=80, on_s=0, off_s=0), reduce_pct=50)
    curtail_triggers.tell_signal(lead, "price", 120.0, source="test")
    now = utc_now()

    assert look(machines, now=now) == 1
    assert curtail_rows.active().target_w == pytest.approx(31_500 * 0.5)
    curtail_triggers.tell_signal(lead, "price", 60.0, source="test")
    assert look(machines, now=now + timedelta(seconds=1)) == 1
    assert curtail_rows.active().phase is CurtailPhase.SHED
    curtail_triggers.retire_trigger(lead, number, reason="x")
    with pytest.raises(UnknownTriggerError):
        curtail_triggers.trigger(number)


def test_a_capacity_lowers_what_somebody_else_began_and_never_raises_it(lead, manager, machines):
    curtailing.begin(lead, CurtailWish(reduce_pct=10), machines, reason="x", ramp_kw_s_max=0)
    add(lead, manager, TriggerKind.CAPACITY)
    told = utc_now()
    targets = []
    for after_s, capacity_w in enumerate((20_000.0, 10_000.0, 25_000.0)):
        curtail_triggers.hear_signal("capacity", capacity_w, at=told + timedelta(seconds=after_s), source="facility")
        look(machines)
        targets.append(curtail_rows.active().target_w)

    assert targets == [20_000.0, 10_000.0, 10_000.0]


def test_a_capacity_that_lasts_begins_its_own_once_somebody_elses_is_over(lead, manager, machines):
    persons = curtailing.begin(lead, CurtailWish(reduce_pct=50), machines, reason="x", ramp_kw_s_max=0)
    number = add(lead, manager, TriggerKind.CAPACITY)
    curtail_triggers.hear_signal("capacity", 20_000.0, at=utc_now(), source="facility")
    now = utc_now()
    look(machines, now=now)
    assert curtail_rows.active().id == persons.id  # it is deeper than the limit
    operations.finish_operation(persons.id, OperationState.DONE, "all awake")

    look(machines, now=now + timedelta(seconds=1))
    own = curtail_rows.active()
    assert (own.trigger_id, own.target_w) == (number, 20_000.0)
    operations.finish_operation(own.id, OperationState.DONE, "a person ended it")
    look(machines, now=now + timedelta(seconds=2))
    assert curtail_rows.active() is None


def test_an_author_who_may_no_longer_keeps_no_other_trigger_from_its_turn(lead, manager, people, machines):
    number = add(lead, manager, TriggerKind.CAPACITY)
    told = utc_now()
    curtail_triggers.hear_signal("capacity", 20_000.0, at=told, source="facility")
    assert look(machines) == 1
    other = curtail_triggers.write_trigger(
        manager,
        "Noon",
        TriggerKind.SCHEDULE,
        Condition(start="12:00", stop="13:00"),
        CurtailWish(reduce_pct=90),
        reason="x",
    )
    curtail_triggers.approve_trigger(people(Role.SECURITY_OFFICER), other.id, reason="agreed")
    lead.role = Role.AUDITOR
    lead.save()
    curtail_triggers.hear_signal("capacity", 10_000.0, at=told + timedelta(seconds=1), source="facility")

    assert look(machines) == 1
    assert "does not permit" in curtail_triggers.trigger(number).message
    assert curtail_rows.active().target_w == pytest.approx(31_500 * 0.1)


def test_an_end_that_its_author_may_not_call_for_is_tried_again(lead, manager, machines):
    number = add(lead, manager, TriggerKind.SCHEDULE, Condition(start="12:00", stop="13:00"), reduce_pct=30)
    assert look(machines) == 1
    lead.role = Role.AUDITOR
    lead.save()
    for after_s in (0, 1):
        assert look(machines, now=NOON + timedelta(hours=1, seconds=after_s)) == 0
        assert "does not permit" in curtail_triggers.trigger(number).message
    assert curtail_rows.active().phase is CurtailPhase.SHED
    lead.role = Role.SHIFT_LEAD
    lead.save()

    assert look(machines, now=NOON + timedelta(hours=1, seconds=2)) == 1
    assert curtail_rows.active().phase is CurtailPhase.WAKE
    entries = [entry.action for entry in ledger.entries(subject=f"trigger:{number}")]
    assert entries == [f"fleet.trigger.{verb}" for verb in ("end", "begin", "approve", "write")]


def test_what_stands_in_the_way_is_said_and_it_is_tried_again(lead, manager, machines):
    number = add(lead, manager, TriggerKind.SCHEDULE, Condition(start="12:00", stop="13:00"), target_mw=1.0)

    assert look(machines) == 0
    assert "no more than that" in curtail_triggers.trigger(number).message
    PowerReading.objects.create(at=utc_now(), power_w=1.2e6, source="meter")
    assert look(machines) == 1
    assert not curtail_triggers.trigger(number).message


@pytest.mark.parametrize(
    ("kind", "condition", "wish"),
    [
        (TriggerKind.SCHEDULE, Condition(start="x"), CurtailWish(reduce_pct=5)),
        (TriggerKind.SCHEDULE, Condition(), CurtailWish()),
        (TriggerKind.CAPACITY, Condition(), CurtailWish(reduce_pct=5)),
        (TriggerKind.PRICE, Condition(begin=1, end=2), CurtailWish(reduce_pct=5)),
    ],
)
def test_a_trigger_that_cannot_be_used_is_refused(lead, kind, condition, wish):
    with pytest.raises(OperationRefusedError):
        curtail_triggers.write_trigger(lead, "x", kind, condition, wish, reason="x")
    assert not curtail_triggers.triggers()


def test_signals_are_told_by_those_who_may(lead, people):
    with pytest.raises(NotPermittedError):
        curtail_triggers.tell_signal(people(Role.AUDITOR), "price", 1.0, source="x")
    with pytest.raises(OperationRefusedError):
        curtail_triggers.tell_signal(lead, "price", math.nan, source="x")
    with pytest.raises(OperationRefusedError):
        curtail_triggers.tell_signal(lead, "weather", 1.0, source="x")
