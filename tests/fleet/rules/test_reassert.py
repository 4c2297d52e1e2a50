"""When a machine that drifts again and again is written again, and when it is left to people; times by hand."""

import pytest

from mbongi.fleet.rules.reassert import Course, Next, course

HOUR = 3600.0


def test_a_first_drift_is_dealt_with_at_once():
    assert course([], 1000.0, 1000.0) == Course(Next.NOW, 0, 1000.0)


@pytest.mark.parametrize(
    ("tries", "due"),
    [([0.0], 120.0), ([0.0, 130.0], 130.0 + 240.0), ([0.0, 130.0, 400.0], 400.0 + 480.0)],
)
def test_each_further_try_waits_twice_as_long(tries, due):
    drift = tries[-1] + 10.0

    assert course(tries, drift, due - 1.0).next is Next.LATER
    assert course(tries, drift, due) == Course(Next.NOW, len(tries), due)


def test_after_four_tries_in_a_row_it_is_left_to_people_for_good():
    tries = [0.0, 130.0, 400.0, 900.0]

    assert course(tries, 910.0, 920.0) == Course(Next.NEVER, 4)
    assert course(tries, 910.0, 910.0 + 1000 * HOUR).next is Next.NEVER


def test_a_drift_a_day_after_the_last_try_begins_anew():
    tries = [0.0, 130.0, 400.0, 900.0]

    assert course(tries, 900.0 + 24 * HOUR, 900.0 + 24 * HOUR).next is Next.NEVER
    assert course(tries, 901.0 + 24 * HOUR, 901.0 + 24 * HOUR) == Course(Next.NOW, 0, 901.0 + 24 * HOUR)


def test_a_drift_that_comes_late_after_its_tries_is_not_put_off():
    assert course([0.0], 500.0, 500.0).next is Next.NOW
