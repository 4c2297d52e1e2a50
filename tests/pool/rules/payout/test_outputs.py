"""What a coinbase pays at once, what waits, and that both add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.outputs import OutputLimits, Recipient, coinbase_split, payable

P2WPKH = Recipient(script_bytes=22, minimum_sat=294)
ROOMY = OutputLimits(outputs=100, weight=100_000)


def test_large_earnings_are_paid_in_the_coinbase_and_small_ones_wait() -> None:
    result = coinbase_split({"a": 5000, "b": 293, "c": 294, "pool": 13}, {}, dict.fromkeys("abc", P2WPKH), ROOMY)

    assert result.outputs == (("a", 5000), ("c", 294))
    assert result.pool_sat == 306
    assert result.changes == {"b": 293, "pool": 13}


def test_a_balance_from_before_is_paid_along_as_far_as_the_others_leave_money_for_it() -> None:
    earned = {"a": 1000, "b": 200, "pool": 50}

    result = coinbase_split(earned, {"a": 240, "b": 40}, dict.fromkeys("ab", P2WPKH), ROOMY)
    scarce = coinbase_split(earned, {"a": 400, "b": 40}, dict.fromkeys("ab", P2WPKH), ROOMY)

    assert (result.outputs, result.pool_sat) == ((("a", 1240),), 10)
    assert result.changes == {"a": -240, "b": 200, "pool": 50}
    assert (scarce.outputs, scarce.pool_sat) == ((("a", 1250),), 0)
    assert scarce.changes == {"a": -250, "b": 200, "pool": 50}


def test_a_small_balance_and_small_earnings_together_reach_the_minimum() -> None:
    result = coinbase_split({"a": 200, "pool": 800}, {"a": 100}, {"a": P2WPKH}, ROOMY)

    assert result.outputs == (("a", 300),)


def test_a_debt_is_kept_back_first() -> None:
    result = coinbase_split({"a": 1000}, {"a": -600}, {"a": P2WPKH}, ROOMY)

    assert (result.outputs, result.pool_sat, result.changes) == ((("a", 400),), 600, {"a": 600})


def test_limits_of_outputs_and_weight_leave_the_smaller_claims_waiting() -> None:
    earned = {"a": 3000, "b": 2000, "c": 1000}
    recipients = dict.fromkeys("abc", P2WPKH)
    # An output to 22 bytes of script is 8 + 1 + 22 bytes of four weight units each.
    assert P2WPKH.output_weight == 124

    by_number = coinbase_split(earned, {}, recipients, OutputLimits(outputs=2, weight=10_000))
    by_weight = coinbase_split(earned, {}, recipients, OutputLimits(outputs=9, weight=124))

    assert by_number.outputs == (("a", 3000), ("b", 2000))
    assert by_weight.outputs == (("a", 3000),)
    assert by_weight.changes == {"b": 2000, "c": 1000}


def test_of_equal_claims_the_name_that_sorts_first_is_paid_first() -> None:
    limits = OutputLimits(outputs=1, weight=10_000)

    assert coinbase_split({"b": 500, "a": 500}, {}, dict.fromkeys("ab", P2WPKH), limits).outputs == (("a", 500),)


SATS = st.integers(0, 10_000)
ACCOUNTS = st.sampled_from("abcdefgh")


@given(
    st.dictionaries(ACCOUNTS, SATS),
    st.dictionaries(ACCOUNTS, st.integers(-5_000, 10_000)),
    st.dictionaries(ACCOUNTS, st.builds(Recipient, st.integers(1, 300), SATS)),
    st.builds(OutputLimits, st.integers(0, 8), st.integers(0, 4000)),
)
def test_the_coinbase_pays_exactly_the_reward_and_balances_change_by_what_the_pool_keeps(
    earned: dict[str, int], balances: dict[str, int], recipients: dict[str, Recipient], limits: OutputLimits
) -> None:
    result = coinbase_split(earned, balances, recipients, limits)

    paid = dict(result.outputs)
    assert sum(paid.values()) + result.pool_sat == sum(earned.values())
    assert sum(result.changes.values()) == result.pool_sat >= 0
    assert len(paid) <= limits.outputs
    assert sum(recipients[name].output_weight for name in paid) <= limits.weight
    for name in set(earned) | set(balances):
        before = balances.get(name, 0)
        after = before + result.changes.get(name, 0)
        assert after == before + earned.get(name, 0) - paid.get(name, 0)
        assert after >= min(before, 0), "nobody is paid more than is owed"


def test_a_batch_pays_balances_in_full_from_the_minimum_on() -> None:
    balances = {"a": 293, "b": 294, "c": 9000, "d": 10_000, "debtor": -5}

    assert payable(balances, dict.fromkeys(["a", "b", "c", "debtor"], P2WPKH), ROOMY) == (("c", 9000), ("b", 294))
    assert payable(balances, {"debtor": Recipient(22, 0)}, ROOMY) == ()


def test_earnings_below_zero_are_refused() -> None:
    with pytest.raises(PayoutError):
        coinbase_split({"a": 5, "b": -5}, {}, {}, ROOMY)
