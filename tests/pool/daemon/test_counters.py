"""Numbers that are given once, over any kind of end of the process."""

import itertools
import os
import threading
from pathlib import Path

import pytest

from mbongi.pool.daemon.counters import DurableCounter, Extranonces
from mbongi.pool.errors import ShareLogError


def take(path: Path, count: int, **options: int) -> list[int]:
    """Numbers of a process that is killed after them: nothing is written at its end."""
    counter = DurableCounter(path, below=options.get("below", 1 << 24), step=options.get("step", 4))
    return list(itertools.islice(counter, count))


def test_no_number_comes_twice_over_restarts(tmp_path: Path) -> None:
    found = [number for count in (1, 4, 5, 0, 9, 3) for number in take(tmp_path / "n", count)]

    assert found[0] == 1
    assert found == sorted(set(found))


def test_numbers_begin_again_below_their_end(tmp_path: Path) -> None:
    assert take(tmp_path / "n", 7, below=6, step=2) == [1, 2, 3, 4, 5, 1, 2]


@pytest.mark.parametrize("text", ["0\n", "-4\n", "99999999999\n"])
def test_a_number_that_cannot_be_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "n").write_text(text)
    assert take(tmp_path / "n", 1) == [1]


def test_a_file_that_is_no_counter_is_an_error_and_not_a_new_beginning(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("x")
    with pytest.raises(ShareLogError, match="expected a number"):
        take(tmp_path / "n", 1)


def test_counting_goes_on_where_nothing_can_be_written(tmp_path: Path) -> None:
    counter = DurableCounter(tmp_path / "n", below=100, step=2)
    (tmp_path / ".n").mkdir()
    assert list(itertools.islice(counter, 6)) == [1, 2, 3, 4, 5, 6]


def test_nobody_who_takes_a_number_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = DurableCounter(tmp_path / "n", below=1 << 24, step=4)
    writers, sync = [], os.fsync

    def noted(descriptor: int) -> None:
        writers.append(threading.current_thread())
        sync(descriptor)

    monkeypatch.setattr("mbongi.pool.daemon.counters.os.fsync", noted)
    found = list(itertools.islice(counter, 40))

    assert found == list(range(1, 41))
    assert len(writers) >= 9, "one for each stretch but the first"
    assert threading.main_thread() not in writers


def test_what_is_given_was_on_the_disk_before_as_the_next_process_sees_it(tmp_path: Path) -> None:
    counter = DurableCounter(tmp_path / "n", below=1 << 24, step=4)
    for number in itertools.islice(counter, 30):
        assert number < int((tmp_path / "n").read_text())


def test_an_extranonce_is_held_by_one_at_a_time() -> None:
    parts = Extranonces(7, itertools.cycle([1, 2, 3]))

    held = [parts.take() for _ in range(2)]
    parts.hold(b"\x07\x00\x00\x03")
    parts.give_back(held[0])

    assert held == [b"\x07\x00\x00\x01", b"\x07\x00\x00\x02"]
    assert parts.take() == held[0], "the only one that nobody holds"
