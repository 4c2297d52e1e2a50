"""What operators do with alarms, and the list of definitions: permitted, refused, in the ledger, kept over restarts."""

from datetime import timedelta

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.facility import alarm_answers, alarm_rows, alarms
from mbongi.facility.errors import AlarmRefusedError, NotPermittedError, UnknownAlarmError
from mbongi.facility.models import Alarm, AlarmDefinition
from mbongi.facility.rules.alarm_state import State
from tests.facility.alarm_bed import HOT, OK, TRIP, UP, Bed, at

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


@pytest.fixture
def bed(lead):
    made = Bed(lead)
    made.step(0, ("trip", "tr-1", UP, 0))
    return made


def trip():
    return Alarm.objects.get(tag="tr-1")


def test_an_acknowledgement_is_in_the_ledger_with_its_author_and_repeating_it_changes_nothing(bed, people):
    awa, ben = people(Role.TECHNICIAN), people(Role.TECHNICIAN)
    assert alarm_answers.acknowledge(awa, [trip().pk]) == 1
    assert alarm_answers.acknowledge(ben, [trip().pk]) == 0
    assert (trip().state, trip().answered_by) == (State.ACKNOWLEDGED, awa.actor)
    [entry] = ledger.entries(f"alarm:{trip().pk}")
    assert (entry.action, entry.actor) == ("facility.alarm.acknowledge", awa.actor)


def test_an_alarm_that_returned_is_normal_once_it_is_acknowledged(bed, lead):
    bed.step(5, ("trip", "tr-1", OK, 5))
    alarm_answers.acknowledge(lead, [trip().pk])
    assert trip().state == State.NORMAL
    assert alarm_answers.acknowledge(lead, [trip().pk]) == 0


def test_whoever_may_not_answer_may_not(bed, people):
    trainee, technician = people(Role.TRAINEE), people(Role.TECHNICIAN)
    with pytest.raises(NotPermittedError):
        alarm_answers.acknowledge(trainee, [trip().pk])
    with pytest.raises(NotPermittedError):
        alarm_answers.shelve(trainee, [trip().pk], minutes=5, reason="x")
    with pytest.raises(NotPermittedError):
        alarm_answers.suppress(technician, [trip().pk], reason="x")
    with pytest.raises(NotPermittedError):
        alarms.write_definition(technician, "x", TRIP, reason="x")
    assert trip().state == State.UNACKNOWLEDGED


def test_unknown_alarms_and_none_at_all_are_refused(bed, lead):
    with pytest.raises(UnknownAlarmError):
        alarm_answers.acknowledge(lead, [trip().pk, 999_999])
    with pytest.raises(AlarmRefusedError):
        alarm_answers.acknowledge(lead, [])


@pytest.mark.parametrize(("minutes", "reason"), [(0, "x"), (1441, "x"), (float("nan"), "x"), (15, " ")])
def test_shelving_without_a_sensible_time_or_a_reason_is_refused(bed, lead, minutes, reason):
    with pytest.raises(AlarmRefusedError):
        alarm_answers.shelve(lead, [trip().pk], minutes=minutes, reason=reason)


def test_a_shelved_alarm_rises_by_itself_when_the_time_is_over_though_the_process_was_away(bed, lead):
    until = alarm_answers.shelve(lead, [trip().pk], minutes=15, reason="relay under test")
    assert timedelta(minutes=14) < until - utc_now() <= timedelta(minutes=15)
    Alarm.objects.update(shelved_until=at(900), due_at=at(900))
    bed.step(899)
    assert trip().state == State.SHELVED
    bed.step(4000)
    assert (trip().state, trip().shelved_until) == (State.UNACKNOWLEDGED, None)


def test_a_shelved_alarm_that_cleared_meanwhile_is_normal_at_the_end(bed, lead):
    alarm_answers.shelve(lead, [trip().pk], minutes=15, reason="known")
    bed.step(5, ("trip", "tr-1", OK, 5))
    alarm_answers.unshelve(lead, [trip().pk])
    assert trip().state == State.NORMAL
    with pytest.raises(AlarmRefusedError):
        alarm_answers.unshelve(lead, [trip().pk])


def test_what_was_suppressed_by_a_person_is_released_by_one(bed, lead):
    alarm_answers.suppress(lead, [trip().pk], reason="stopped for the season")
    with pytest.raises(AlarmRefusedError):
        alarm_answers.shelve(lead, [trip().pk], minutes=5, reason="x")
    bed.step(30)
    assert trip().state == State.SUPPRESSED
    alarm_answers.release(lead, [trip().pk], reason="runs again")
    assert trip().state == State.UNACKNOWLEDGED


def test_a_consequence_is_released_by_nobody(bed, lead):
    bed.step(1, ("dark", "rack-1", UP, 1))
    with pytest.raises(AlarmRefusedError):
        alarm_answers.release(lead, [Alarm.objects.get(tag="rack-1").pk], reason="x")


def test_one_alarm_out_of_service_and_back(bed, lead):
    alarm_answers.remove_one(lead, trip().pk, reason="relay broken")
    assert trip().state == State.OUT_OF_SERVICE
    alarms.remove_from_service(lead, "trip", reason="all relays")
    with pytest.raises(AlarmRefusedError):
        alarm_answers.return_one(lead, trip().pk, reason="new relay")
    alarms.return_to_service(lead, "trip", reason="done")
    assert trip().state == State.UNACKNOWLEDGED


def test_an_alarm_that_latches_stays_until_it_is_reset(lead):
    bed = Bed(lead)
    alarms.write_definition(lead, "trip", {**TRIP, "latches": True}, reason="must be looked at")
    bed.step(0, ("trip", "tr-1", UP, 0))
    with pytest.raises(AlarmRefusedError):
        alarm_answers.reset(lead, trip().pk)
    bed.step(5, ("trip", "tr-1", OK, 5))
    alarm_answers.acknowledge(lead, [trip().pk])
    assert trip().state == State.LATCHED_ACKNOWLEDGED
    alarm_answers.reset(lead, trip().pk)
    assert trip().state == State.NORMAL


def test_a_definition_is_versioned_and_its_former_version_is_in_the_ledger(bed, lead):
    assert alarms.write_definition(lead, "hot", {**HOT, "limit": 32.0}, reason="hall B runs warmer") == 2
    assert alarms.write_definition(lead, "hot", {**HOT, "limit": 32.0}, reason="again") == 2
    entry = ledger.entries("alarm_definition:hot")[0]
    assert (entry.before["limit"], entry.after["limit"]) == (30.0, 32.0)
    assert entry.reason == "hall B runs warmer"


@pytest.mark.parametrize(
    ("key", "changes"),
    [("Hot one", {}), ("", {}), ("hot", {"limit": None}), ("hot", {"kind": "warm"}), ("hot", {"x": 1})],
)
def test_a_definition_that_cannot_be_is_refused(bed, lead, key, changes):
    with pytest.raises(AlarmRefusedError):
        alarms.write_definition(lead, key, {**HOT, **changes}, reason="try")


def test_many_definitions_are_entered_all_or_none(bed, lead):
    with pytest.raises(AlarmRefusedError):
        alarms.write_definitions(lead, [("one", HOT), ("two", {**HOT, "limit": None})], reason="list")
    assert not AlarmDefinition.objects.filter(key="one").exists()


def test_a_removed_definition_can_come_back(bed, lead):
    alarms.remove_definition(lead, "hot", reason="no sensor there")
    assert "hot" not in {row.key for row in alarm_rows.definitions()}
    assert alarms.write_definition(lead, "hot", HOT, reason="a sensor") == 2
    assert "hot" in {row.key for row in alarm_rows.definitions()}
