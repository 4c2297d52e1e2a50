"""Estimates of hashrates, against simulated Poisson miners."""

import random

import pytest

from mbongi.pool.rules.nominal import FALL_MAX, NominalHashrate

PER_DIFFICULTY = 2**48 / 0xFFFF


def mine(
    estimate: NominalHashrate,
    source: random.Random,
    *,
    hashrate_hs: float,
    difficulty: float,
    from_s: float,
    for_s: float,
) -> int:
    """Let a miner work at a difficulty that somebody else holds; how often the estimate moved."""
    estimate.told(difficulty)
    at_s, next_look_s, moves = from_s, from_s, 0
    while at_s < from_s + for_s:
        at_s += source.expovariate(hashrate_hs / (difficulty * PER_DIFFICULTY))
        while next_look_s < min(at_s, from_s + for_s):
            next_look_s += 5.0
            moves += estimate.look(next_look_s) is not None
        if at_s < from_s + for_s:
            estimate.share(at_s, difficulty)
    return moves


@pytest.mark.parametrize("start", [1e9, 1e13, 1e15])
def test_a_wrong_guess_is_found_out_and_a_right_one_stays(start: float) -> None:
    source, off, moves = random.Random(5), [], 0
    for _ in range(40):
        estimate = NominalHashrate(0.0, start)
        mine(estimate, source, hashrate_hs=1e13, difficulty=1e13 * 10 / PER_DIFFICULTY, from_s=0.0, for_s=1800.0)
        off.append(estimate.hashrate_hs / 1e13)
        moves += mine(
            estimate, source, hashrate_hs=1e13, difficulty=1e13 * 10 / PER_DIFFICULTY, from_s=1800.0, for_s=3600.0
        )
    assert sorted(off)[1] > 0.5  # of 40 one may just have been silent for long
    assert sorted(off)[-1] < 2.0
    assert moves <= 40  # once an hour; half of them mend the first estimate


def test_a_machine_that_sleeps_falls_and_one_that_wakes_rises() -> None:
    source, difficulty = random.Random(6), 1e13 * 10 / PER_DIFFICULTY
    estimate = NominalHashrate(0.0, 1e13)
    estimate.told(difficulty)
    for second in range(0, 1200, 5):
        estimate.look(float(second))
    asleep = estimate.hashrate_hs
    mine(estimate, source, hashrate_hs=1e13, difficulty=difficulty, from_s=1200.0, for_s=1200.0)

    assert asleep < 1e13 / 8
    assert 0.5e13 < estimate.hashrate_hs < 2e13


def test_a_silence_is_believed_once_chance_does_not_explain_it() -> None:
    estimate = NominalHashrate(0.0, 1e13)
    estimate.told(1e13 * 10 / PER_DIFFICULTY)  # one in ten seconds is expected
    estimate.share(7.0, 1e13 * 10 / PER_DIFFICULTY)

    assert estimate.look(126.0) is None
    assert estimate.look(128.0) == pytest.approx(1e13 / FALL_MAX)


def test_without_work_or_time_nothing_is_learnt() -> None:
    estimate = NominalHashrate(0.0, 1e13)
    assert estimate.look(1e6) is None  # no difficulty was told
    estimate.told(1.0)
    estimate.pause(1e6)
    assert estimate.look(1e6) is None
    assert estimate.look(1e9) == pytest.approx(1e13 / FALL_MAX)
    estimate.guess(1e9, 0.0)
    assert estimate.hashrate_hs == 1.0
    estimate.guess(1e9, 1e305)
    assert estimate.hashrate_hs == 1e24
