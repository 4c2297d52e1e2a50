"""Hashrates and their intervals, against published tables, and against miners simulated with known rates."""

import math
import random

import pytest

from mbongi.pool.rules.hashrate import Rate, Tally, chi_square_quantile, gamma_part, luck, luck_interval, work_interval
from mbongi.pool.rules.vardiff import HASHES_PER_DIFFICULTY

Z95, Z90, Z99 = 1.959963984540054, 1.6448536269514722, 2.5758293035489004


def ones(count: int) -> Tally:
    """Shares of difficulty 1 in a second."""
    return Tally(1.0, count, float(count), float(count), 1.0)


@pytest.mark.parametrize(
    ("z", "freedom", "published"),
    # The table of critical values of chi-square in the NIST/SEMATECH e-Handbook, section 1.3.6.7.4.
    [(Z95, 1, 5.024), (Z90, 1, 3.841), (Z95, 2, 7.378), (Z90, 10, 18.307), (-Z90, 10, 3.940), (-Z95, 10, 3.247),
     (Z95, 30, 46.979), (-Z95, 30, 16.791), (Z95, 100, 129.561), (-Z95, 100, 74.222), (-Z90, 100, 77.929)],
)  # fmt: skip
def test_chi_square_quantiles_are_those_of_the_tables(z: float, freedom: float, published: float) -> None:
    assert chi_square_quantile(z, freedom) == pytest.approx(published, abs=6e-4)


def test_the_two_ways_to_a_quantile_meet_where_one_gives_way() -> None:
    for z in (Z90, Z95, -Z95, Z99, -Z99):
        exact, formula = chi_square_quantile(z, 399.999), chi_square_quantile(z, 400.0)
        assert exact == pytest.approx(formula, rel=5e-5)


def test_the_incomplete_gamma_function_has_its_closed_forms() -> None:
    for x in (0.01, 0.5, 1.0, 3.0, 10.0, 40.0):
        assert gamma_part(1.0, x) == pytest.approx(1 - math.exp(-x), rel=1e-12)
        assert gamma_part(0.5, x) == pytest.approx(math.erf(math.sqrt(x)), rel=1e-12)
        poisson = sum(math.exp(-x) * x**n / math.factorial(n) for n in range(5))
        assert gamma_part(5.0, x) == pytest.approx(1 - poisson, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # 95 % limits of a Poisson count, as printed in tables after Garwood (for one: Johnson, Kemp, Kotz, section 4.7.3).
    [(0, 0.0, 3.689), (1, 0.025, 5.572), (2, 0.242, 7.225), (5, 1.623, 11.668), (10, 4.795, 18.390),
     (20, 12.217, 30.888), (30, 20.241, 42.827), (50, 37.111, 65.919), (100, 81.364, 121.627)],
)  # fmt: skip
def test_shares_of_one_difficulty_have_the_exact_interval_of_a_count(count: int, low: float, high: float) -> None:
    found = work_interval(ones(count))
    assert found == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))


def test_a_rate_is_work_by_time() -> None:
    rate = Rate.of(Tally(60.0, 6, 6 * 1024.0, 6 * 1024.0**2, 1024.0))
    assert rate.value == pytest.approx(6 * 1024 * HASHES_PER_DIFFICULTY / 60)
    assert rate.low < rate.value < rate.high


def test_the_interval_does_not_depend_on_the_unit_of_difficulty() -> None:
    one, thousand = Tally(9.0, 3, 7.0, 21.0, 4.0), Tally(9.0, 3, 7e3, 21e6, 4e3)
    assert Rate.of(thousand).high == pytest.approx(1000 * Rate.of(one).high)
    assert Rate.of(thousand).low == pytest.approx(1000 * Rate.of(one).low)


def test_no_share_bounds_the_rate_by_the_difficulty_in_force() -> None:
    silent = Rate.of(Tally(60.0, hardest=64.0))
    assert silent.value == silent.low == 0.0
    assert silent.high == pytest.approx(3.689 * 64 * HASHES_PER_DIFFICULTY / 60, rel=1e-3)


def test_no_time_has_no_rate() -> None:
    assert Rate.of(Tally(0.0, 5, 5.0, 5.0, 1.0)) == Rate(0.0, 0.0, 0.0)


def test_the_interval_of_mixed_difficulties_holds_the_truth_as_often_as_it_says() -> None:
    chance, held, rounds = random.Random(7), 0, 2000
    # Three miners, each with a difficulty of its own, together 20 units of work a second.
    miners = [(1.0, 10.0), (2.0, 6.0), (8.0, 4.0)]
    for _ in range(rounds):
        tally = Tally(1.0)
        for difficulty, rate in miners:
            count, at = 0, chance.expovariate(rate / difficulty)
            while at < 1.0:
                count, at = count + 1, at + chance.expovariate(rate / difficulty)
            tally += Tally(1.0, count, count * difficulty, count * difficulty**2, difficulty)
        low, high = work_interval(tally)
        held += low <= 20.0 <= high
    assert 0.945 <= held / rounds <= 0.995


def test_luck_is_found_by_expected_with_the_interval_of_a_count() -> None:
    assert luck(3, 2.0) == 1.5
    assert luck(0, 0.0) is None
    assert luck_interval(10, 10.0) == (pytest.approx(0.4795, abs=1e-4), pytest.approx(1.8390, abs=1e-4))
    assert luck_interval(0, 0.0) is None
