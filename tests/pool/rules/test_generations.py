"""Which difficulty a share counts for, and that no work has two."""

import random

from mbongi.pool.rules.generations import CHANGES_MAX, GENERATIONS, Generations
from mbongi.wire.bitcoin.target import target_of_difficulty


def told(difficulty: float) -> tuple[float, int]:
    return difficulty, target_of_difficulty(difficulty)


def test_a_job_keeps_the_difficulty_that_it_was_given_with() -> None:
    miner = Generations(8.0, 5)
    first = miner.now
    miner.change(32.0, 6)

    assert miner.of(first, 5) == told(8.0)
    assert miner.of(first, 6) == told(8.0)
    assert miner.of(miner.now, 6) == told(32.0)
    assert miner.of(miner.now, 7) == told(32.0)
    assert (miner.difficulty, miner.target) == told(32.0)


def test_work_that_was_never_given_out_counts_for_nothing() -> None:
    miner = Generations(8.0, 5)
    first = miner.now
    miner.change(32.0, 6)

    assert miner.of(first, 4) is None
    assert miner.of(first, 7) is None
    assert miner.of(miner.now, 5) is None
    assert miner.of(miner.now + 1, 6) is None
    assert miner.of(0, 6) is None


def test_shared_work_counts_as_what_was_told_before_it_went_out() -> None:
    miner = Generations(8.0, 5)
    miner.change(32.0, 7)
    miner.change(16.0, 7)

    assert miner.of_shared(5) is None
    assert miner.of_shared(6) == told(8.0)
    assert miner.of_shared(7) == told(8.0)
    assert miner.of_shared(8) == told(16.0)


def test_too_many_changes_on_one_job_are_refused_and_leave_all_as_it_was() -> None:
    miner = Generations(1.0, 5)
    assert all(miner.change(2.0 + number, 5) for number in range(CHANGES_MAX))
    before = miner.now, miner.difficulty

    assert not miner.change(1.0, 5)
    assert (miner.now, miner.difficulty) == before
    assert miner.change(1.0, 6)


def test_what_goes_on_after_a_restart_is_as_if_there_had_been_none() -> None:
    miner = Generations(1.0, 5)
    for number in range(CHANGES_MAX):
        miner.change(2.0 + number, 5)

    again = Generations.of_told(miner.told, miner.changes)

    assert (again.now, again.told) == (miner.now, miner.told)
    assert not again.change(1.0, 5)
    assert again.change(1.0, 6)


def test_no_work_ever_has_two_difficulties() -> None:
    """Each (job, generation), and each job's shared work, is asked for at every step of a long random history."""
    random_ = random.Random(1)
    miner, newest = Generations(1.0, 1), 1
    seen: dict[tuple[int, int], tuple[float, int]] = {}
    for step in range(3_000):
        if random_.random() < 0.05:
            newest += 1
        else:
            miner.change(float(step + 2), newest)
        for number in range(max(newest - 3, 1), newest + 1):
            for generation in range(GENERATIONS):
                found = miner.of(generation, number) if generation else miner.of_shared(number)
                if found is not None:
                    assert seen.setdefault((number, generation), found) == found
