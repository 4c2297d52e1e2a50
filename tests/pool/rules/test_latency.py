"""Quantiles from a few counters, against the sorted durations themselves."""

import random

import pytest

from mbongi.pool.rules.latency import STEPS, Durations


def test_quantiles_are_right_to_half_a_step() -> None:
    chance = random.Random(3)
    found = sorted(chance.lognormvariate(2.0, 1.0) for _ in range(10_001))
    durations = Durations()
    for each in found:
        durations.add(each)
    for part in (0.1, 0.5, 0.9, 0.99):
        assert durations.quantile(part) == pytest.approx(found[int(part * 10_000)], rel=0.055)
    assert durations.quantile(1.0) == pytest.approx(found[-1], rel=0.055)


def test_nothing_has_no_quantile() -> None:
    assert Durations().quantile(0.5) is None


def test_counters_add_up_and_stay_few() -> None:
    one, other = Durations(), Durations()
    one.add(1.0)
    other.add(100.0)
    both = one + other
    assert both.count == 2
    assert both.max_ms == 100.0
    assert len(both.counts) == STEPS


@pytest.mark.parametrize("duration", [0.0, -1.0, 1e-9, 1e12])
def test_durations_beyond_the_steps_are_counted_in_the_last_one(duration: float) -> None:
    durations = Durations()
    durations.add(duration)
    assert durations.count == 1
