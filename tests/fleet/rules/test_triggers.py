"""When a curtailment begins and ends by itself."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from mbongi.fleet.rules.triggers import (
    Condition,
    Memory,
    Signal,
    TriggerKind,
    Verdict,
    in_window,
    minutes,
    problem,
    verdict,
)

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)  # a Wednesday


def run(kind: TriggerKind, condition: Condition, course: list[tuple[float, float]]) -> list[tuple[float, Verdict]]:
    """What a course of (seconds, value) brings; NaN is silence."""
    memory, told = Memory(), []
    for at, value in course:
        now = NOON + timedelta(seconds=at)
        signal = Signal(value, 0.0)
        found, memory = verdict(kind, condition, memory, signal, now=now, local=now)
        if found is not Verdict.NOTHING:
            told.append((at, found))
    return told


@pytest.mark.parametrize(
    ("day", "clock", "is_in"),
    [(25, "17:59", False), (25, "18:00", True), (25, "21:59", True), (25, "22:00", False), (28, "19:00", False)],
)
def test_a_schedule_is_of_its_days_and_times(day: int, clock: str, is_in: bool) -> None:
    condition = Condition(days=(0, 1, 2, 3, 4), start="18:00", stop="22:00")

    assert in_window(condition, datetime.fromisoformat(f"2026-11-{day}T{clock}")) is is_in


def test_a_schedule_over_midnight_belongs_to_the_day_that_it_starts() -> None:
    condition = Condition(days=(4,), start="22:00", stop="02:00")  # Friday nights

    assert in_window(condition, datetime(2026, 11, 27, 23, 0))  # noqa: DTZ001 -- the site's clock
    assert in_window(condition, datetime(2026, 11, 28, 1, 59))  # noqa: DTZ001
    assert not in_window(condition, datetime(2026, 11, 27, 1, 0))  # noqa: DTZ001
    assert not in_window(condition, datetime(2026, 11, 28, 23, 0))  # noqa: DTZ001


def test_a_price_begins_above_one_threshold_and_ends_below_another() -> None:
    condition = Condition(begin=120.0, end=90.0, hold_s=60, on_s=300, off_s=600)
    course = [
        (0, 130),
        (30, 100),
        (60, 130),
        (119, 130),
        (120, 130),
        (200, 80),
        (419, 80),
        (420, 80),
        (480, 130),
        (1019, 130),
        (1020, 130),
    ]

    # The dip at 30 s begins the minute anew; it lasts 300 s at least; then it rests for 600 s.
    assert run(TriggerKind.PRICE, condition, course) == [
        (120, Verdict.BEGIN),
        (420, Verdict.END),
        (1020, Verdict.BEGIN),
    ]


def test_a_frequency_begins_below_and_between_the_thresholds_nothing_changes() -> None:
    condition = Condition(begin=49.7, end=49.95, on_s=0, off_s=0)
    course = [(0, 49.9), (1, 49.65), (2, 49.8), (3, 49.94), (4, 49.96), (5, 49.8)]

    assert run(TriggerKind.FREQUENCY, condition, course) == [(1, Verdict.BEGIN), (4, Verdict.END)]


def test_a_signal_that_is_silent_or_old_begins_and_ends_nothing() -> None:
    condition = Condition(begin=49.7, end=49.95, on_s=0, off_s=0)

    assert run(TriggerKind.FREQUENCY, condition, [(0, 49.6), (1, math.nan), (2, math.nan)]) == [(0, Verdict.BEGIN)]
    old = Signal(49.6, age_s=16.0)
    found, _memory = verdict(TriggerKind.FREQUENCY, condition, Memory(), old, now=NOON, local=NOON)
    assert found is Verdict.NOTHING


def test_capacity_begins_while_it_is_limited() -> None:
    course = [(0, math.nan), (1, 5e6), (2, 4e6), (3, math.nan)]

    assert run(TriggerKind.CAPACITY, Condition(), course) == [(1, Verdict.BEGIN), (3, Verdict.END)]


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        (TriggerKind.SCHEDULE, Condition(start="25:00")),
        (TriggerKind.SCHEDULE, Condition(start="18:00", stop="18:00")),
        (TriggerKind.SCHEDULE, Condition(days=())),
        (TriggerKind.PRICE, Condition(begin=100, end=100)),
        (TriggerKind.FREQUENCY, Condition(begin=49.9, end=49.7)),
        (TriggerKind.PRICE, Condition(begin=math.inf, end=1)),
    ],
)
def test_conditions_that_contradict_themselves_are_refused(kind: TriggerKind, condition: Condition) -> None:
    assert problem(kind, condition)


def test_conditions_that_can_be_used_are_not() -> None:
    assert not problem(TriggerKind.SCHEDULE, Condition())
    assert not problem(TriggerKind.PRICE, Condition(begin=2, end=1))
    assert not problem(TriggerKind.FREQUENCY, Condition(begin=49.7, end=49.9))
    assert not problem(TriggerKind.CAPACITY, Condition())
    assert minutes("18:30") == 18 * 60 + 30
    assert minutes("24:00") is None
    assert minutes("7") is None
