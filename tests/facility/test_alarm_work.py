"""What becomes of observations in the record: alarms, their journal, roots, delays, and that nothing comes twice."""

import pytest
from django.db import DatabaseError, transaction

from mbongi.core.bus import outbox
from mbongi.facility import alarm_answers, alarm_work, alarms
from mbongi.facility.errors import AlarmRefusedError
from mbongi.facility.models import Alarm, AlarmEvent
from mbongi.facility.rules.alarm_flood import Plant, Sense
from mbongi.facility.rules.alarm_limits import Supply
from mbongi.facility.rules.alarm_state import State
from tests.facility.alarm_bed import OK, T0, UNKNOWN, UP, Bed, at

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


@pytest.fixture
def bed(lead):
    return Bed(lead)


def states(**wanted):
    return {alarm.tag: State(alarm.state) for alarm in Alarm.objects.filter(**wanted)}


def lines():
    rows = AlarmEvent.objects.order_by("id").values_list("alarm__tag", "change", "before", "after")
    return [" ".join(row) for row in rows]


def test_an_alarm_rises_and_clears_with_its_lines_in_the_journal(bed, lead):
    bed.step(0, ("trip", "tr-1", UP, 0))
    bed.step(5, ("trip", "tr-1", OK, 4))
    [alarm] = Alarm.objects.all()
    assert (alarm.raised_at, alarm.cleared_at, alarm.state) == (at(0), at(4), State.RETURNED)
    assert lines() == ["tr-1 raise normal unacknowledged", "tr-1 clear unacknowledged returned"]
    assert alarm_answers.acknowledge(lead, [alarm.pk]) == 1
    alarm.refresh_from_db()
    assert (alarm.state, alarm.answered_by) == (State.NORMAL, lead.actor)


def test_a_record_that_comes_again_changes_nothing(bed):
    record = bed.record(("trip", "tr-1", UP, 0))
    for _again in range(3):
        alarm_work.step("spool", [record], bed.site, now=at(1))
    assert lines() == ["tr-1 raise normal unacknowledged"]
    assert alarm_work.cursor_of("spool") == 1


def test_all_that_came_and_went_while_the_database_was_away_is_in_the_journal(bed):
    records = [bed.record(("trip", "tr-1", UP if n % 2 == 0 else OK, n)) for n in range(6)]
    alarm_work.step("spool", records, bed.site, now=at(600))
    assert [line.split()[1] for line in lines()] == ["raise", "clear"] * 3
    assert list(AlarmEvent.objects.order_by("id").values_list("at", flat=True)) == [at(n) for n in range(6)]


def test_an_on_delay_ends_at_its_own_time_though_nothing_is_observed_and_the_process_was_away(bed):
    bed.step(0, ("hot", "room-1", UP, 0))
    bed.step(29)
    assert lines() == []
    bed.step(500)
    assert Alarm.objects.get().raised_at == at(30)


def test_a_delay_that_was_over_between_two_readings_has_its_alarm_however_late_they_are_read(bed):
    bed.step(900, ("hot", "room-1", UP, 0), ("hot", "room-1", OK, 40), ("hot", "room-1", UP, 130))
    assert [line.split()[1] for line in lines()] == ["raise", "clear", "raise"]
    assert list(AlarmEvent.objects.order_by("id").values_list("at", flat=True)) == [at(30), at(100), at(160)]


def test_an_unknown_reading_clears_nothing(bed):
    bed.step(0, ("trip", "tr-1", UP, 0))
    bed.step(600, ("trip", "tr-1", UNKNOWN, 5))
    alarm = Alarm.objects.get()
    assert (alarm.active, alarm.state, alarm.seen) == (True, State.UNACKNOWLEDGED, UNKNOWN)


def test_a_tripped_transformer_is_one_alarm_and_what_follows_is_recorded_under_it(bed):
    bed.step(0, *(("dark", f"rack-{n}", UP, 0) for n in (1, 2)))
    bed.step(2, ("trip", "tr-1", UP, 1), ("dark", "rack-3", UP, 2), ("dark", "rack-4", UP, 2))
    root = Alarm.objects.get(tag="tr-1")
    assert states(root=None) == {"tr-1": State.UNACKNOWLEDGED}
    assert states(root=root) == {f"rack-{n}": State.SUPPRESSED for n in (1, 2, 3, 4)}
    assert sum(line.endswith("raise normal unacknowledged") for line in lines()) == 5
    assert AlarmEvent.objects.filter(root=root, change="suppress").count() == 4


def test_a_consequence_is_told_to_nobody_before_its_root_had_time_to_be_heard(bed):
    bed.step(0, ("dark", "rack-1", UP, 0), ("trip", "tr-1", UP, 0))
    bed.step(0, ("hot", "room-1", UP, 0))
    assert Alarm.objects.get(tag="rack-1").escalate_at is None
    assert Alarm.objects.get(tag="tr-1").escalate_at == at(0)


def test_a_consequence_that_lasts_after_its_root_went_rises_by_itself(bed):
    bed.step(0, ("trip", "tr-1", UP, 0), *(("dark", f"rack-{n}", UP, 1) for n in (1, 2)))
    bed.step(100, ("trip", "tr-1", OK, 100))
    assert states(tag="rack-1") == {"rack-1": State.SUPPRESSED}
    bed.step(110, ("dark", "rack-1", OK, 110))
    bed.step(159)
    assert states(tag__startswith="rack") == {"rack-1": State.NORMAL, "rack-2": State.SUPPRESSED}
    bed.step(160)
    assert states(tag="rack-2") == {"rack-2": State.UNACKNOWLEDGED}
    assert Alarm.objects.get(tag="rack-2").root is None


def test_a_root_that_comes_back_within_that_time_keeps_its_consequences(bed):
    bed.step(0, ("trip", "tr-1", UP, 0), ("dark", "rack-1", UP, 1))
    bed.step(10, ("trip", "tr-1", OK, 10))
    bed.step(20, ("trip", "tr-1", UP, 20))
    bed.step(200)
    assert states(root__tag="tr-1") == {"rack-1": State.SUPPRESSED}


def test_consequences_stay_under_a_root_that_was_shelved(bed, lead):
    bed.step(0, ("trip", "tr-1", UP, 0), ("dark", "rack-1", UP, 1))
    alarm_answers.shelve(lead, [Alarm.objects.get(tag="tr-1").pk], minutes=10, reason="known")
    bed.step(300, ("dark", "rack-2", UP, 299))
    # Two and more minutes after the trip nothing is its consequence by LEAD alone: the loss lasts, so it is one.
    assert states(root__tag="tr-1") == {"rack-1": State.SUPPRESSED, "rack-2": State.SUPPRESSED}


def test_a_silent_root_is_concluded_and_says_so_until_its_own_device_speaks(bed):
    bed.step(0, *(("dark", f"rack-{n}", UP, 0) for n in (1, 2, 3, 4)))
    assert not Alarm.objects.filter(tag="tr-1").exists()
    bed.step(3)
    [root] = Alarm.objects.filter(definition__key="power-lost-inferred")
    assert (root.tag, root.state) == ("tr-1", State.UNACKNOWLEDGED)
    assert "not stated by itself" in AlarmEvent.objects.get(alarm=root).reason
    assert set(states(root=root)) == {f"rack-{n}" for n in (1, 2, 3, 4)}
    bed.step(20, ("trip", "tr-1", UP, 19))
    root.refresh_from_db()
    assert root.state == State.RETURNED
    assert set(states(root__definition__key="trip")) == {f"rack-{n}" for n in (1, 2, 3, 4)}


def test_a_silent_root_clears_once_nothing_that_it_feeds_is_dark(bed):
    bed.step(0, *(("dark", f"rack-{n}", UP, 0) for n in (1, 2, 3, 4)))
    for number in range(10):
        bed.step(1 + number)
    assert AlarmEvent.objects.filter(alarm__tag="tr-1").count() == 1
    bed.step(60, *(("dark", f"rack-{n}", OK, 60) for n in (1, 2, 3, 4)))
    bed.step(61)
    assert set(states().values()) == {State.NORMAL, State.RETURNED}


def test_nothing_is_concluded_of_an_element_that_feeds_something_bright(lead):
    bed = Bed(lead, gets=lambda tag, _supply: Sense.GOOD if tag == "rack-4" else Sense.UNKNOWN)
    bed.step(0, *(("dark", f"rack-{n}", UP, 0) for n in (1, 2, 3)))
    assert states(root=None) == {f"rack-{n}": State.UNACKNOWLEDGED for n in (1, 2, 3)}


def test_two_thousand_dark_racks_are_one_alarm(lead):
    plant = Plant([("tr-1", f"rack-{n}", Supply.POWER) for n in range(2000)])
    bed = Bed(lead, plant)
    bed.step(0, *(("dark", f"rack-{n}", UP, 0) for n in range(1000)))
    bed.step(3, ("trip", "tr-1", UP, 2), *(("dark", f"rack-{n}", UP, 3) for n in range(1000, 2000)))
    told = Alarm.objects.exclude(state__in=[State.SUPPRESSED, State.NORMAL, State.RETURNED])
    assert [alarm.tag for alarm in told] == ["tr-1"]
    assert Alarm.objects.filter(root__tag="tr-1", root__definition__key="trip").count() == 2000


def test_an_alarm_taken_out_of_service_still_keeps_its_record_and_rises_when_it_is_back(bed, lead):
    alarms.remove_from_service(lead, "trip", reason="relay under test")
    bed.step(0, ("trip", "tr-1", UP, 0))
    assert states() == {"tr-1": State.OUT_OF_SERVICE}
    assert lines() == ["tr-1 raise out_of_service out_of_service"]
    alarms.return_to_service(lead, "trip", reason="done")
    assert states() == {"tr-1": State.UNACKNOWLEDGED}


def test_a_definition_with_an_active_alarm_is_not_removed(bed, lead):
    bed.step(0, ("trip", "tr-1", UP, 0))
    with pytest.raises(AlarmRefusedError):
        alarms.remove_definition(lead, "trip", reason="tidy")
    bed.step(1, ("trip", "tr-1", OK, 1))
    alarms.remove_definition(lead, "trip", reason="tidy")


def test_each_step_tells_the_bus_what_changed(bed):
    before = len(outbox.waiting())
    bed.step(0, ("trip", "tr-1", UP, 0))
    [message] = outbox.waiting()[before:]
    assert message.subject == "event.facility.alarms.v1"
    assert b'"tag":"tr-1"' in message.data


def test_the_journal_refuses_to_be_changed(bed):
    bed.step(0, ("trip", "tr-1", UP, 0))
    with pytest.raises(DatabaseError), transaction.atomic():
        AlarmEvent.objects.update(change="clear")
    with pytest.raises(DatabaseError), transaction.atomic():
        AlarmEvent.objects.all().delete()
    assert AlarmEvent.objects.get().at == T0
