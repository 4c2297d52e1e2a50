"""The states of an alarm: every cell of the table, written down again by hand after ISA-18.2's diagram."""

from datetime import UTC, datetime, timedelta

import pytest

from mbongi.facility.rules.alarm_state import STANDING, TABLE, Change, Condition, Seen, State, after

A, B, C, D, E, F = (
    *(State.NORMAL, State.UNACKNOWLEDGED, State.ACKNOWLEDGED),
    *(State.RETURNED, State.LATCHED, State.LATCHED_ACKNOWLEDGED),
)
G, H, I = State.SHELVED, State.SUPPRESSED, State.OUT_OF_SERVICE  # noqa: E741 -- the standard's letters
# Each change: the state after it for A to I, without latching, while the condition is there. None: refused.
BY_HAND = {
    Change.RAISE: [B, B, C, B, B, B, G, H, I],
    Change.CLEAR: [A, D, A, D, E, F, G, H, I],
    Change.ACKNOWLEDGE: [None, C, C, A, F, F, None, None, None],
    Change.RESET: [None, None, None, None, D, A, None, None, None],
    Change.SHELVE: [G, G, G, G, G, G, G, None, None],
    Change.UNSHELVE: [None, None, None, None, None, None, B, None, None],
    Change.SUPPRESS: [H, H, H, H, H, H, H, H, I],
    Change.RELEASE: [A, B, C, D, E, F, G, B, I],
    Change.REMOVE: [I, I, I, I, I, I, I, I, I],
    Change.RETURN: [None, None, None, None, None, None, None, None, B],
}
T0 = datetime(2026, 3, 1, tzinfo=UTC)


def s(seconds):
    return timedelta(seconds=seconds)


@pytest.mark.parametrize("change", list(Change))
def test_every_cell_of_the_table_is_as_the_standard_has_it(change):
    assert [after(state, change, is_active=True) for state in (A, B, C, D, E, F, G, H, I)] == BY_HAND[change]


def test_the_table_has_a_cell_for_every_state_and_change():
    assert set(TABLE) == {(state, change) for state in State for change in Change}


@pytest.mark.parametrize(("before", "latched"), [(B, E), (C, F)])
def test_an_alarm_that_latches_stays_after_its_condition_went(before, latched):
    assert after(before, Change.CLEAR, is_active=False, latches=True) is latched


@pytest.mark.parametrize(("aside", "end"), [(G, Change.UNSHELVE), (H, Change.RELEASE), (I, Change.RETURN)])
def test_what_was_put_aside_comes_back_as_its_condition_is(aside, end):
    assert after(aside, end, is_active=True) is B
    assert after(aside, end, is_active=False) is A


def test_no_change_brings_an_alarm_whose_condition_is_there_out_of_sight_but_by_putting_it_aside():
    aside = {Change.SHELVE, Change.SUPPRESS, Change.REMOVE, Change.CLEAR, Change.RESET}
    for state in (B, C):
        for change in set(Change) - aside:
            found = after(state, change, is_active=True)
            assert found is None or found in STANDING


def test_a_condition_counts_once_its_on_delay_is_over():
    seen = Condition().see(Seen.ALARM, T0)
    assert not seen.settle(s(10), s(0), T0 + s(9)).is_active
    assert seen.settle(s(10), s(0), T0 + s(10)).is_active


def test_a_condition_that_goes_within_its_on_delay_does_not_count():
    seen = Condition().see(Seen.ALARM, T0).see(Seen.NORMAL, T0 + s(5))
    assert not seen.settle(s(10), s(0), T0 + s(60)).is_active


def test_a_condition_that_comes_back_within_its_off_delay_goes_on():
    up = Condition(is_active=True, seen=Seen.ALARM)
    seen = up.see(Seen.NORMAL, T0).see(Seen.ALARM, T0 + s(5))
    assert seen.settle(s(0), s(10), T0 + s(60)).is_active
    assert not up.see(Seen.NORMAL, T0).settle(s(0), s(10), T0 + s(10)).is_active


def test_what_is_unknown_is_never_normal():
    up = Condition(is_active=True, seen=Seen.ALARM).see(Seen.UNKNOWN, T0)
    assert up.settle(s(0), s(0), T0 + s(3600)).is_active
    returning = Condition(is_active=True, seen=Seen.ALARM).see(Seen.NORMAL, T0).see(Seen.UNKNOWN, T0 + s(5))
    assert returning.settle(s(0), s(10), T0 + s(3600)).is_active
    assert returning.see(Seen.NORMAL, T0 + s(20)).due_at(s(0), s(10)) == T0 + s(30)


def test_an_on_delay_runs_on_while_the_reading_is_unknown():
    seen = Condition().see(Seen.ALARM, T0).see(Seen.UNKNOWN, T0 + s(2))
    assert seen.settle(s(10), s(0), T0 + s(10)).is_active
