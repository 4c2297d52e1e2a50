"""The schemes on stated examples, their sums, and the reserve of FPPS held against ruin as it is simulated."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.amounts import Reward, Terms
from mbongi.pool.rules.payout.schemes import expected_fees_sat, fpps, pplns, reserve_sat, solo, tides
from mbongi.pool.rules.payout.windows import SlidingWindow, tides_window_work

REWARD = Reward(312_500_000, 4_567_891)
FREE = Terms()
WORK = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10**24), min_size=1)


def test_solo_pays_the_finder_all_but_the_fee() -> None:
    assert solo(REWARD, "amina", Terms(fee_ppm=20_000)) == {"amina": 310_726_534, "pool": 6_341_357}


def test_pplns_pays_by_the_last_work_whoever_found_the_block() -> None:
    # Window of 100: b's 30, a's 50, and 20 of c's 80.
    newest_first = [{"b": 30}, {"a": 50}, {"c": 80}, {"d": 1000}]

    assert pplns(Reward(1000, 0), newest_first, 100, FREE) == {"a": 500, "b": 300, "c": 200}


def test_pplns_without_any_share_pays_nobody_by_chance() -> None:
    with pytest.raises(PayoutError, match="nobody"):
        pplns(REWARD, [], 100, FREE)


def test_tides_pays_a_share_in_every_block_until_eight_blocks_work_came_after_it() -> None:
    # The network's blocks take 100; b's share of 100 is followed by a's, ten blocks of 100 each.
    window = SlidingWindow(tides_window_work(100))
    window.add({"b": 100})
    paid = []
    for _ in range(10):
        paid.append(tides(Reward(800, 0), window.work(), FREE).get("b", 0))
        window.add({"a": 100})

    assert paid == [800, 400, 267, 200, 160, 133, 114, 100, 0, 0]


@given(WORK, st.integers(0, 10**6), st.integers(1, 10**25))
def test_every_scheme_pays_out_the_reward_to_the_satoshi(work: dict[str, int], fee_ppm: int, size: int) -> None:
    terms = Terms(fee_ppm)

    for amounts in (
        solo(REWARD, "a", terms),
        pplns(REWARD, [{name: part} for name, part in work.items()], size, terms),
        tides(REWARD, work, terms),
    ):
        assert sum(amounts.values()) == REWARD.total_sat


def test_fpps_pays_the_expected_value_of_a_share() -> None:
    # A thousandth of a block's work is worth a thousandth of its reward: 317,067.891 sat, 4 % of it the fee.
    payout = fpps({"a": 75, "b": 25}, REWARD, 100_000, Terms(fee_ppm=40_000))

    assert payout.amounts == {"a": 228_289, "b": 76_096, "pool": 12_682}
    assert payout.carried == Fraction(891, 1000)


@given(st.lists(st.tuples(WORK, st.integers(10**20, 10**25)), min_size=1, max_size=10))
def test_fpps_loses_no_fraction_of_a_satoshi_over_periods_of_any_difficulty(
    periods: list[tuple[dict[str, int], int]],
) -> None:
    carried, paid = Fraction(0), 0
    for work, network_work in periods:
        payout = fpps(work, REWARD, network_work, Terms(fee_ppm=15_000), carried)
        carried, paid = payout.carried, paid + payout.total_sat

    exact = sum(Fraction(REWARD.total_sat * sum(work.values()), network_work) for work, network_work in periods)
    assert paid == math.floor(exact)
    assert carried == exact - paid


def test_a_share_worth_less_than_a_satoshi_is_carried() -> None:
    payout = fpps({"a": 1}, Reward(1, 0), 3, FREE)

    assert (payout.amounts, payout.carried) == ({}, Fraction(1, 3))


@pytest.mark.parametrize(("network_work", "carried"), [(0, Fraction(0)), (-1, Fraction(0)), (5, Fraction(1))])
def test_fpps_refuses_a_network_without_work(network_work: int, carried: Fraction) -> None:
    with pytest.raises(PayoutError):
        fpps({"a": 1}, REWARD, network_work, FREE, carried)


def test_fees_to_expect_are_the_mean_of_the_last_blocks() -> None:
    assert expected_fees_sat([10, 20, 31]) == 20
    for fees in ([], [5, -1]):
        with pytest.raises(PayoutError):
            expected_fees_sat(fees)


def test_the_reserve_follows_rosenfelds_formula() -> None:
    # R = B ln(1/d) / (2 f): 50 coins, fee 5 %, one in a thousand: 50 * 6.907755279 / 0.1 = 3453.8776 coins.
    assert reserve_sat(Reward(50 * 10**8, 0), 50_000, 0.001) == pytest.approx(3453.8776395 * 10**8, rel=1e-9)


def test_a_pool_with_the_reserve_is_ruined_no_more_often_than_wanted() -> None:
    # In units of the reward, the reserve falls by 1 - f for each expected block of work and rises by 1 at each block;
    # work between blocks is exponential. 2,000 blocks suffice: the drift has then left ruin far behind.
    fee, wanted, pools = 0.1, 0.1, 6000
    reserve = reserve_sat(Reward(10**8, 0), int(fee * 10**6), wanted) / 10**8
    work = np.random.default_rng(20_111_222).exponential(size=(pools, 2000))
    lowest = reserve + (np.arange(2000) - (1 - fee) * work.cumsum(axis=1)).min(axis=1)
    ruined = float(np.mean(lowest < 0))
    # A second method: ruin is exp(-x R) with x from 1 - exp(-x) = (1 - f) x (Lundberg's equation of this walk).
    low, high = fee, 1.0
    for _ in range(60):
        x = (low + high) / 2
        low, high = (x, high) if 1 - math.exp(-x) > (1 - fee) * x else (low, x)
    exact = math.exp(-low * reserve)

    assert exact <= wanted
    assert ruined == pytest.approx(exact, abs=4 * math.sqrt(exact / pools))


@pytest.mark.parametrize(("fee_ppm", "ruin"), [(0, 0.1), (10**6, 0.1), (1000, 0.0), (1000, 1.0)])
def test_no_reserve_is_enough_without_a_fee(fee_ppm: int, ruin: float) -> None:
    with pytest.raises(PayoutError):
        reserve_sat(REWARD, fee_ppm, ruin)
