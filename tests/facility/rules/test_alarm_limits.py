"""What readings say of alarms: limits, dead-bands, rates, quality. Numbers by hand."""

import math

import pytest

from mbongi.facility.rules.alarm_limits import Document, Kind, Memory, Observation, Priority, faults_of, judge, remember
from mbongi.facility.rules.alarm_state import Seen

N, ALARM, U = Seen.NORMAL, Seen.ALARM, Seen.UNKNOWN


def define(**fields):
    return Document(**{"title": "x", "tag": "ups-*", "quantity": "temp", "limit": 30.0, **fields})


def seen_of(document, readings, every_ms=1000):
    memory, found = Memory(), []
    for number, value in enumerate(readings):
        good = value is not None
        reading = Observation("ups-1", "temp", value, good, (number + 1) * every_ms)
        found.append(judge(document, memory, reading))
        remember(memory, found[-1], reading)
    return found


@pytest.mark.parametrize("kind", [Kind.HI, Kind.HIHI])
def test_above_a_high_limit_it_is_there_and_within_its_dead_band_it_stays(kind):
    document = define(kind=kind, dead_band=2.0)
    assert seen_of(document, [29, 30, 30.1, 28.5, 28.0, 29.9]) == [N, N, ALARM, ALARM, N, N]


@pytest.mark.parametrize("kind", [Kind.LO, Kind.LOLO])
def test_below_a_low_limit_it_is_there_and_within_its_dead_band_it_stays(kind):
    assert seen_of(define(kind=kind, dead_band=2.0), [31, 29.9, 31.9, 32.0]) == [N, ALARM, ALARM, N]


def test_a_discrete_alarm_is_there_at_its_value_alone():
    assert seen_of(define(kind=Kind.DISCRETE, limit=1.0, dead_band=5.0), [0, 1, 0, 2]) == [N, ALARM, N, N]


def test_a_deviation_counts_on_both_sides_of_the_setpoint():
    document = define(kind=Kind.DEVIATION, setpoint=22.0, limit=3.0)
    assert seen_of(document, [25.0, 25.1, 19.0, 18.9]) == [N, ALARM, N, ALARM]


def test_a_rate_counts_per_minute_up_and_down_and_needs_two_readings():
    document = define(kind=Kind.RATE, limit=7.0)
    # 0.1 per second is 6 per minute, 0.2 is 12.
    assert seen_of(document, [20.0, 20.1, 20.3, 20.1]) == [U, N, ALARM, ALARM]


def test_a_bad_reading_is_unknown_and_the_last_good_one_is_kept_for_the_rate():
    document = define(kind=Kind.RATE, limit=7.0)
    # 1.0 within 2 s across the bad one: 30 per minute.
    assert seen_of(document, [20.0, None, 21.0]) == [U, U, ALARM]
    assert seen_of(define(), [31.0, None, math.nan, math.inf, 29.0]) == [ALARM, U, U, U, N]


def test_a_bad_reading_is_the_alarm_where_quality_is_watched():
    assert seen_of(define(kind=Kind.QUALITY, limit=None), [20.0, None, 20.0]) == [N, ALARM, N]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"title": " "}, "title"),
        ({"limit": None}, "limit"),
        ({"limit": math.nan}, "limit"),
        ({"kind": Kind.DEVIATION}, "setpoint"),
        ({"dead_band": -1.0}, "dead_band"),
        ({"on_delay_s": math.inf}, "on_delay_s"),
        ({"quantity": ""}, "quantity"),
        ({"respond_s": 0.0}, "respond_s"),
        ({"priority": Priority.HIGH}, "response"),
    ],
)
def test_a_definition_that_makes_no_sense_is_found(fields, fault):
    assert fault in faults_of(define(**fields))


def test_a_definition_that_makes_sense_has_no_fault():
    assert faults_of(define(priority=Priority.HIGH, response="Look at the fan.")) == []
    assert faults_of(define(kind=Kind.QUALITY, limit=None)) == []
