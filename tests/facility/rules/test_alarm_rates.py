"""Rates against the limits of ISA-18.2: small courses of alarms counted by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from mbongi.facility.rules.alarm_limits import Priority
from mbongi.facility.rules.alarm_rates import Rise, rates

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def rise(seconds, number=1, priority=Priority.LOW, lasts=None):
    at = T0 + timedelta(seconds=seconds)
    return Rise(number, at, priority, None if lasts is None else at + timedelta(seconds=lasts))


def over(rises, hours=4, operators=1):
    return rates(rises, T0, T0 + timedelta(hours=hours), operators=operators)


@pytest.mark.parametrize(
    ("count", "acceptable", "manageable"), [(24, True, True), (48, False, True), (49, False, False)]
)
def test_six_an_hour_are_acceptable_and_twelve_manageable(count, acceptable, manageable):
    found = over([rise(number * 60, number) for number in range(count)])
    assert found.per_operator_hour == count / 4
    assert (found.is_acceptable, found.is_manageable) == (acceptable, manageable)


def test_two_operators_share_the_alarms_and_each_hour_is_counted():
    found = over([rise(0), rise(3599), rise(3600), rise(14_399), rise(14_400)], operators=2)
    assert found.per_operator_hour == 0.5
    assert found.hours == [2, 1, 0, 1]


def test_ten_in_ten_minutes_are_no_flood_and_eleven_are():
    assert over([rise(number * 50, number) for number in range(10)]).floods == 0
    found = over([rise(number * 50, number) for number in range(11)])
    assert (found.floods, found.most_in_10_min) == (1, 11)


def test_a_flood_lasts_until_fewer_than_five_are_within_ten_minutes():
    # The eleventh at 500 s begins it; the fifth from the end, at 300 s, leaves the ten minutes at 900 s: 400 s.
    found = over([rise(number * 50, number) for number in range(11)])
    assert found.flood_percent == pytest.approx(100 * 400 / 14_400)


def test_two_floods_apart_are_two():
    first = [rise(number * 50, number) for number in range(11)]
    later = [rise(7200 + number * 50, number) for number in range(11)]
    found = over([*first, *later])
    assert found.floods == 2
    assert found.flood_percent == pytest.approx(100 * 800 / 14_400)


def test_shares_by_priority_and_the_ten_most_frequent():
    rises = [rise(n * 100, n % 12, Priority.HIGH if n < 2 else Priority.LOW) for n in range(24)]
    rises += [rise(3000, 99), rise(4000, 99), rise(5000, 99)]
    found = over(rises)
    assert found.shares[Priority.HIGH] == pytest.approx(100 * 2 / 27)
    assert found.top[0] == (99, 3)
    assert len(found.top) == 10
    assert found.top_percent == pytest.approx(100 * 21 / 27)


def test_chattering_is_three_times_in_a_minute_and_fleeting_is_gone_within_ten_seconds():
    rises = [rise(0, 1), rise(30, 1), rise(60, 1), rise(0, 2), rise(31, 2), rise(62, 2), rise(0, 3, lasts=9)]
    found = over([*rises, rise(0, 4, lasts=10)])
    assert (found.chattering, found.fleeting) == ([1], [3])


def test_a_span_without_alarms_has_rates_of_nothing():
    found = over([])
    assert (found.per_operator_hour, found.most_in_10_min, found.floods, found.top_percent) == (0, 0, 0, 0)
