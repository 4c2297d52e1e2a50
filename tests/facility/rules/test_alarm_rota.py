"""Shifts and steps of the rota: days and hours by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from mbongi.facility.rules.alarm_limits import Priority
from mbongi.facility.rules.alarm_rota import Channel, Duty, Rota, retry_after

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def duty(**fields):
    return Duty(**{"name": "Awa", "channel": Channel.SMS, "address": "+242", **fields})


@pytest.mark.parametrize(
    ("hours", "on"), [(5.9, False), (6, True), (17.99, True), (18, False), (24 + 7, True), (5 * 24 + 7, False)]
)
def test_a_day_shift_is_on_between_its_hours_on_its_days(hours, on):
    assert duty(days="12345", begins="06:00", ends="18:00").is_on(MONDAY + timedelta(hours=hours)) is on


@pytest.mark.parametrize(
    ("hours", "on"), [(3, False), (18, True), (23.9, True), (24 + 5.9, True), (24 + 6, False), (24 + 18, False)]
)
def test_a_night_shift_belongs_to_the_day_on_which_it_begins(hours, on):
    assert duty(days="1", begins="18:00", ends="06:00").is_on(MONDAY + timedelta(hours=hours)) is on


def test_a_shift_with_one_time_for_both_is_on_all_day():
    assert all(duty().is_on(MONDAY + timedelta(hours=hours)) for hours in range(0, 168, 5))


def test_steps_tell_those_whom_the_priority_concerns():
    rota = Rota(
        duties=(
            duty(name="a", priority=Priority.LOW),
            duty(name="b", priority=Priority.HIGH, after_min=15),
            duty(name="c", priority=Priority.MEDIUM, after_min=15),
        )
    )
    assert rota.steps == [0, 15]
    assert [each.name for each in rota.told(0, Priority.LOW, MONDAY)] == ["a"]
    assert [each.name for each in rota.told(1, Priority.MEDIUM, MONDAY)] == ["c"]
    assert [each.name for each in rota.told(1, Priority.HIGH, MONDAY)] == ["b", "c"]
    assert rota.told(2, Priority.HIGH, MONDAY) == []
    assert rota.due_at(1, MONDAY) == MONDAY + timedelta(minutes=15)
    assert rota.due_at(2, MONDAY) is None


def test_the_wait_for_the_next_try_doubles_up_to_ten_minutes():
    assert [retry_after(tries).total_seconds() for tries in (0, 1, 2, 6, 50)] == [10, 20, 40, 600, 600]
