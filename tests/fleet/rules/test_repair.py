"""Means between failures and to repair, against published tables."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbongi.fleet.rules.repair import chi_square, mtbf, mttr, observed_h

CHI_SQUARE = [
    # NIST/SEMATECH e-Handbook, 1.3.6.7.4, critical values of the chi-square distribution.
    (0.90, 2, 4.605),
    (0.95, 2, 5.991),
    (0.975, 2, 7.378),
    (0.99, 2, 9.210),
    (0.95, 4, 9.488),
    (0.975, 10, 20.483),
    (0.95, 20, 31.410),
    (0.999, 30, 59.703),
    (0.95, 100, 124.342),
    (0.10, 2, 0.211),
    (0.05, 4, 0.711),
    (0.025, 10, 3.247),
    (0.05, 20, 10.851),
    (0.05, 100, 77.929),
]
FACTORS_90 = [
    # NIST/SEMATECH e-Handbook, 8.4.5.1: factors for 90 % confidence intervals of the mean time between failures.
    (1, 0.2108, 19.4958),
    (2, 0.3177, 5.6281),
    (3, 0.3869, 3.6689),
    (5, 0.4756, 2.5379),
    (10, 0.5895, 1.8432),
]


@pytest.mark.parametrize(("probability", "degrees", "value"), CHI_SQUARE)
def test_quantiles_are_those_of_the_published_table(probability: float, degrees: int, value: float) -> None:
    assert chi_square(probability, degrees) == pytest.approx(value, abs=0.0006)


@pytest.mark.parametrize(("failures", "low", "high"), FACTORS_90)
def test_limits_are_the_mean_times_the_published_factors(failures: int, low: float, high: float) -> None:
    found = mtbf(1000.0 * failures, failures, 0.9)
    assert found.value_h == 1000.0
    assert found.low_h == pytest.approx(1000 * low, rel=3e-4)
    assert found.high_h == pytest.approx(1000 * high, rel=3e-4)


def test_two_degrees_of_freedom_are_an_exponential() -> None:
    assert chi_square(0.9, 2) == pytest.approx(-2 * math.log(0.1), rel=1e-12)


def test_without_a_failure_only_the_lower_limit_is_known() -> None:
    # The chance of no failure in T hours at the limit is 1 - confidence: exp(-T/limit) = 0.1.
    found = mtbf(1000.0, 0, 0.9)
    assert found == (None, pytest.approx(1000 / math.log(10)), None, 0)


def test_times_to_repair_have_twice_as_many_degrees_as_repairs() -> None:
    # 5 repairs of 2 h: 20 h / 18.307 and / 3.940, the table's 0.95 and 0.05 of 10 degrees.
    found = mttr([2.0] * 5, 0.9)
    assert found.value_h == 2.0
    assert found.low_h == pytest.approx(20 / 18.307, rel=1e-4)
    assert found.high_h == pytest.approx(20 / 3.940, rel=2e-4)


def test_nothing_seen_gives_nothing() -> None:
    assert mttr([]) == (None, None, None, 0)
    assert mtbf(0.0, 0) == (None, None, None, 0)


@pytest.mark.parametrize("bad", [(-1.0, 0, 0.9), (math.nan, 0, 0.9), (1.0, -1, 0.9), (1.0, 1, 1.0), (1.0, 1, 0.0)])
def test_what_cannot_be_is_refused(bad: tuple[float, int, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        mtbf(*bad)


@settings(deadline=None)
@given(st.floats(1, 1e7), st.integers(1, 2000), st.floats(0.5, 0.99))
def test_limits_hold_the_mean_and_grow_with_confidence(hours: float, failures: int, confidence: float) -> None:
    found = mtbf(hours, failures, confidence)
    wider = mtbf(hours, failures, (1 + confidence) / 2)
    limits = [wider.low_h, found.low_h, found.value_h, found.high_h, wider.high_h]
    assert all(limits)
    assert limits == sorted(limits)


@settings(deadline=None)
@given(st.floats(0.001, 0.999), st.integers(1, 500).map(lambda half: 2 * half))
def test_a_quantile_is_where_the_series_reaches_its_probability(probability: float, degrees: int) -> None:
    # A second method: P(a, x) by its power series, Abramowitz and Stegun 6.5.29.
    half, x = degrees / 2, chi_square(probability, degrees) / 2
    term = total = 1 / half
    count = half
    while term > total * 1e-16:
        count += 1
        term *= x / count
        total += term
    below = total * math.exp(half * math.log(x) - x - math.lgamma(half))
    assert below == pytest.approx(probability, abs=1e-7)


def test_times_of_faults_count_once_and_within_the_period() -> None:
    hour = 3600.0
    assert observed_h(0, 10 * hour, [(hour, 3 * hour), (2 * hour, 4 * hour), (9 * hour, 20 * hour)]) == 6.0
    assert observed_h(10 * hour, 5 * hour, []) == 0.0


@given(st.lists(st.tuples(st.integers(-50, 150), st.integers(-50, 150)), max_size=8))
def test_observed_time_is_that_of_the_seconds_without_a_fault(downs: list[tuple[int, int]]) -> None:
    up = sum(not any(first <= second < last for first, last in downs) for second in range(100))
    assert observed_h(0, 100, downs) * 3600 == pytest.approx(up)
