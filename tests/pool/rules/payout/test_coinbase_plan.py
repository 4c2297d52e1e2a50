"""The outputs of a coinbase by a plan: to the satoshi, within their limits, and never more than was earned."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.coinbase_plan import (
    OUTPUTS_MAX,
    OUTPUTS_WEIGHT_MAX,
    CoinbasePlan,
    PlannedOutput,
    coinbase_outputs,
    decode_plan,
)

POOL = b"\x00\x14" + bytes(20)
SUBSIDY_SAT = 312_500_000


def script(number: int) -> str:
    return "5120" + number.to_bytes(32, "big").hex()


def plan(*outputs: PlannedOutput, total_work: int, fee_ppm: int = 0) -> CoinbasePlan:
    return CoinbasePlan(made_at_ms=1, fee_ppm=fee_ppm, total_work=str(total_work), outputs=outputs)


def claim(number: int, work: int, **changes: int) -> PlannedOutput:
    return PlannedOutput(script=script(number), work=str(work), **changes)


def values(made: CoinbasePlan, value_sat: int = SUBSIDY_SAT, limit: int = OUTPUTS_MAX) -> list[int]:
    return [each.value_sat for each in coinbase_outputs(made, value_sat, POOL, limit=limit)]


def test_each_gets_its_part_of_the_work_and_the_pool_the_rest() -> None:
    made = plan(claim(1, 60), claim(2, 30), total_work=100, fee_ppm=20_000)

    # The fee is 6,250,000 sat; of the 306,250,000 left 60 and 30 per cent are paid at once.
    assert values(made) == [312_500_000 - 183_750_000 - 91_875_000, 183_750_000, 91_875_000]


def test_small_amounts_debts_and_donations_stay_with_the_pool() -> None:
    made = plan(
        claim(1, 50, donation_ppm=500_000),
        claim(2, 30, debt_sat=90_000_000),
        claim(3, 1, minimum_sat=4_000_000),
        total_work=100,
    )

    assert values(made) == [312_500_000 - 78_125_000 - 3_750_000, 78_125_000, 3_750_000]


def test_no_more_than_the_limit_are_paid_and_the_largest_first() -> None:
    made = plan(*(claim(n, 20 - n) for n in range(20)), total_work=210)

    assert len(values(made, limit=3)) == 4
    assert values(made, limit=3)[1:] == [SUBSIDY_SAT * (20 - n) // 210 for n in range(3)]
    assert values(made, limit=0) == [SUBSIDY_SAT]


amount = st.integers(0, 10**9)


@given(
    st.lists(st.tuples(st.integers(0, 10**30), st.integers(0, 1_000_000), amount, amount), max_size=30),
    st.integers(0, 21 * 10**14),
    st.integers(0, 1_000_000),
    st.integers(0, 40),
)
def test_outputs_add_up_to_the_value_within_weight_and_number(
    rows: list[tuple[int, int, int, int]], value_sat: int, fee_ppm: int, limit: int
) -> None:
    claims = [
        claim(n, work, donation_ppm=gift, minimum_sat=least, debt_sat=debt)
        for n, (work, gift, least, debt) in enumerate(rows)
    ]
    made = decode_plan(plan(*claims, total_work=sum(work for work, *_ in rows) + 7, fee_ppm=fee_ppm).encoded())

    outputs = coinbase_outputs(made, value_sat, POOL, limit=limit)

    assert sum(each.value_sat for each in outputs) == value_sat
    assert outputs[0].script == POOL
    assert outputs[0].value_sat >= value_sat * fee_ppm // 1_000_000
    assert len(outputs) <= 1 + min(limit, OUTPUTS_MAX)
    assert sum(4 * len(each.encode()) for each in outputs[1:]) <= OUTPUTS_WEIGHT_MAX
    assert min(each.value_sat for each in outputs) >= 0


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"total_work": "0"},
        {"total_work": "5"},
        {"total_work": "many"},
        {"fee_ppm": 1_000_001},
        {"outputs": [{"script": script(1), "work": "-1"}]},
        {"outputs": [{"script": "zz", "work": "1"}]},
        {"outputs": [{"script": script(1), "work": "1"}] * 2},
        {"outputs": [{"script": script(1), "work": "1", "debt_sat": -5}]},
        {"outputs": 3},
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    whole = msgspec.to_builtins(plan(claim(1, 60), total_work=100)) | changes

    with pytest.raises(PayoutError, match="coinbase plan: "):
        decode_plan(msgspec.json.encode(whole))
    with pytest.raises(PayoutError, match="coinbase plan: "):
        decode_plan(b'{"version": 1')
