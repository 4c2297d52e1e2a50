"""The last so much work: what crosses its edge counts for its part inside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.windows import SlidingWindow, tides_window_work, window_of

SLICES = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 50), max_size=4), max_size=30)


def test_the_share_on_the_edge_counts_for_its_part_inside() -> None:
    newest_first = [{"a": 4}, {"b": 3}, {"a": 5}, {"c": 100}]

    assert window_of(newest_first, 10) == {"a": 7, "b": 3}
    assert window_of(newest_first, 12) == {"a": 9, "b": 3}
    assert window_of(newest_first, 13) == {"a": 9, "b": 3, "c": 1}


def test_a_window_that_is_not_yet_full_holds_all_there_is() -> None:
    assert window_of([{"a": 4}, {}, {"b": 0}], 10) == {"a": 4}
    assert window_of([], 10) == {}


def test_of_a_slice_of_several_accounts_on_the_edge_each_counts_in_proportion() -> None:
    assert window_of([{"a": 5}, {"a": 40, "b": 60}], 15) == {"a": 9, "b": 6}


@given(SLICES, st.integers(1, 300))
def test_a_window_never_holds_more_than_its_work_nor_less_than_there_is(
    slices: list[dict[str, int]], size: int
) -> None:
    found = window_of(slices, size)

    assert sum(found.values()) == min(size, sum(sum(each.values()) for each in slices))
    assert all(work <= sum(each.get(name, 0) for each in slices) for name, work in found.items())


@given(SLICES, st.integers(1, 300), st.integers(0, 100))
def test_the_window_kept_up_to_date_is_the_one_counted_anew(
    slices: list[dict[str, int]], size: int, smaller_by: int
) -> None:
    sliding = SlidingWindow(size + smaller_by)
    for number, each in enumerate(slices):
        sliding.add(each)
        assert sliding.work() == window_of(reversed(slices[: number + 1]), size + smaller_by)
    sliding.resize(size)

    assert sliding.work() == window_of(reversed(slices), size)


def test_a_tides_window_is_eight_blocks_work() -> None:
    assert tides_window_work(10**24) == 8 * 10**24


@pytest.mark.parametrize("size", [0, -1])
def test_a_window_of_nothing_is_refused(size: int) -> None:
    for make in (lambda: window_of([], size), lambda: SlidingWindow(size), lambda: tides_window_work(size)):
        with pytest.raises(PayoutError):
            make()


def test_work_below_zero_is_refused() -> None:
    with pytest.raises(PayoutError):
        window_of([{"a": 5, "b": -1}], 3)
    with pytest.raises(PayoutError):
        SlidingWindow(3).add({"a": 5, "b": -1})
