"""Division to the satoshi: nothing is lost, nothing is made, and the order of the miners plays no part."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.amounts import PPM, Reward, Terms, split, work_of_difficulty

COINS = st.integers(0, 21 * 10**14)
NAMES = st.text("abcdefgh", min_size=1, max_size=3)
WEIGHTS = st.dictionaries(NAMES, st.integers(0, 10**26), min_size=1).filter(lambda weights: sum(weights.values()) > 0)


def test_the_largest_remainders_get_what_is_left_over() -> None:
    # The example of the largest remainder method with Hare's quota that textbooks of apportionment give.
    votes = {"yellow": 47_000, "white": 16_000, "red": 15_900, "green": 12_000, "blue": 6_000, "pink": 3_100}

    assert split(10, votes) == {"yellow": 5, "white": 2, "red": 1, "green": 1, "blue": 1, "pink": 0}


def test_of_equal_remainders_the_name_that_sorts_first_goes_first() -> None:
    assert split(5, {"c": 1, "b": 1, "a": 1}) == {"a": 2, "b": 2, "c": 1}


@given(COINS, WEIGHTS)
def test_parts_add_up_to_the_whole_and_differ_from_the_quota_by_less_than_one(
    amount: int, weights: dict[str, int]
) -> None:
    parts = split(amount, weights)

    total = sum(weights.values())
    assert sum(parts.values()) == amount
    assert all(abs(parts[name] - Fraction(amount * weights[name], total)) < 1 for name in parts)
    assert set(parts) == {name for name, weight in weights.items() if weight}
    assert split(amount, dict(reversed(weights.items()))) == parts


@pytest.mark.parametrize(("amount", "weights"), [(-1, {"a": 1}), (1, {"a": 2, "b": -1}), (1, {}), (1, {"a": 0})])
def test_what_cannot_be_divided_is_refused(amount: int, weights: dict[str, int]) -> None:
    with pytest.raises(PayoutError):
        split(amount, weights)


def test_the_fee_comes_off_first_and_donations_off_what_an_account_gets() -> None:
    # 1 % of 1,000,000 is 10,000; of the 990,000, three quarters and one; a donates 10 % of its 742,500.
    terms = Terms(fee_ppm=10_000, fee_account="site", donations_ppm={"a": 100_000}, donation_account="school")

    amounts = terms.shared(1_000_000, {"a": 3, "b": 1})

    assert amounts == {"a": 668_250, "b": 247_500, "school": 74_250, "site": 10_000}


def test_fees_and_donations_are_rounded_in_the_miners_favour() -> None:
    assert Terms(fee_ppm=19_999, donations_ppm={"a": PPM // 2}).shared(50, {"a": 3, "b": 47}) == {
        "a": 2,
        "b": 47,
        "donations": 1,
    }


@given(COINS, WEIGHTS, st.integers(0, PPM), st.dictionaries(NAMES, st.integers(0, PPM)), NAMES, NAMES)
def test_with_any_fee_and_donations_the_whole_is_kept(
    amount: int, weights: dict[str, int], fee_ppm: int, donations_ppm: dict[str, int], fee_account: str, school: str
) -> None:
    terms = Terms(fee_ppm, fee_account, donations_ppm, school)

    amounts = terms.shared(amount, weights)

    assert sum(amounts.values()) == amount
    assert all(sat > 0 for sat in amounts.values())
    assert terms.fee_sat(amount) * PPM <= amount * fee_ppm


def test_terms_and_rewards_out_of_range_are_refused() -> None:
    with pytest.raises(PayoutError, match="fee: 1000001 ppm"):
        Terms(fee_ppm=PPM + 1)
    with pytest.raises(PayoutError, match="amina: -1 ppm"):
        Terms(donations_ppm={"amina": -1})
    with pytest.raises(PayoutError, match="reward"):
        Reward(-1, 0)


def test_work_is_whole_from_a_practice_chain_to_the_main_chain() -> None:
    # Difficulty 1 is 2**32 * 65536/65535 hashes, 4,295,032,833 by Bitcoin Core's GetBlockProof of the genesis block's
    # bits; regtest's easiest target (bits 207fffff) takes two.
    assert work_of_difficulty(1.0) == 4_295_032_833
    assert work_of_difficulty(0xFFFF * 2.0**208 / (0x7FFFFF * 2.0**232)) == 2
    assert work_of_difficulty(1.5 * 2.0**46) == 3 * 2**77 * 65536 // 65535
