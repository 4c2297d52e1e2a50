"""Targets, compact forms and difficulties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.target import (
    DIFFICULTY_1_TARGET,
    TARGET_MAX,
    bits_of_target,
    difficulty_of_target,
    target_of_bits,
    target_of_difficulty,
    work_of_target,
)
from mbongi.wire.errors import WireError


@pytest.mark.parametrize(
    ("bits", "target"),
    [  # Bitcoin Core, src/test/arith_uint256_tests.cpp, bignum_SetCompact
        (0x01123456, 0x12),
        (0x02123456, 0x1234),
        (0x03123456, 0x123456),
        (0x04123456, 0x12345600),
        (0x05009234, 0x92340000),
        (0x20123456, 0x123456 << 232),
        (0x1D00FFFF, DIFFICULTY_1_TARGET),
    ],
)
def test_compact_forms_stand_for_their_targets(bits: int, target: int) -> None:
    assert target_of_bits(bits) == target


@pytest.mark.parametrize("bits", [0, 0x00123456, 0x01003456, 0x01FEDCBA, 0x04923456, 0xFF123456, -1, 1 << 32])
def test_compact_forms_of_no_target_are_refused(bits: int) -> None:
    with pytest.raises(WireError, match="bits"):
        target_of_bits(bits)


@given(st.integers(1, TARGET_MAX))
def test_a_compact_form_keeps_the_highest_bits(target: int) -> None:
    back = target_of_bits(bits_of_target(target))

    assert back <= target
    assert target - back < max(target >> 15, 1)
    assert bits_of_target(back) == bits_of_target(target)


def test_the_difficulty_of_a_well_known_block() -> None:
    # Block 125,552 of the main chain: 244112.487773…
    assert difficulty_of_target(target_of_bits(0x1A44B9F2)) == pytest.approx(244_112.487773, rel=1e-9)


@pytest.mark.parametrize(("difficulty", "target"), [(1, DIFFICULTY_1_TARGET), (2, DIFFICULTY_1_TARGET // 2)])
def test_a_difficulty_divides_the_first_target(difficulty: float, target: int) -> None:
    assert target_of_difficulty(difficulty) == target


@given(st.floats(1e-9, 1e20))
def test_a_target_is_never_easier_than_its_difficulty(difficulty: float) -> None:
    target = target_of_difficulty(difficulty)
    assert target == TARGET_MAX or difficulty_of_target(target) >= difficulty * (1 - 1e-12)


@pytest.mark.parametrize("difficulty", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_difficulty_is_refused(difficulty: float) -> None:
    with pytest.raises(WireError, match="difficulty"):
        target_of_difficulty(difficulty)


def test_difficulty_1_takes_two_to_the_32_hashes() -> None:
    assert work_of_target(DIFFICULTY_1_TARGET) == 0x1_0001_0001  # Bitcoin Core, chainwork of the first block
