"""The records of found blocks on their way into the books: one that cannot be booked holds no other up, and stays."""

from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from mbongi.base.clock import monotonic_s
from mbongi.pool import services
from mbongi.pool.books_state import BooksState
from mbongi.pool.daemon.accounting import ADOPT_S, Records
from mbongi.pool.rules.block_record import BlockRecord, encode_record
from mbongi.pool.services import Taken
from tests.pool.accounts_bed import division, hash_text, record


class Books:
    """Stands for the books: some blocks it cannot book, or it is away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails: dict[str, Exception] = {}
        self.booked: list[str] = []
        monkeypatch.setattr(services, "take_record", self._take)

    def _take(self, each: BlockRecord, _division: Any) -> Taken:
        if each.hash in self.fails:
            raise self.fails[each.hash]
        self.booked.append(each.hash)
        return Taken.BOOKED


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Books:
    return Books(monkeypatch)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    for number in (1, 2, 3):
        (tmp_path / f"{hash_text(number)}.json").write_bytes(encode_record(record(number)))
    return Records(tmp_path, division())


def test_an_error_that_nobody_foresaw_holds_no_other_block_up_and_is_shown_until_it_is_gone(
    books: Books, records: Records, tmp_path: Path
) -> None:
    first = min(hash_text(number) for number in (1, 2, 3))
    books.fails[first] = ValueError("odd row")
    records.step(0)
    records.step(0)
    others = sorted(books.booked)
    state = records.state
    books.fails.clear()
    records.step(0)

    assert others == sorted({hash_text(number) for number in (1, 2, 3)} - {first})
    assert state == BooksState(unbooked=1, reason="ValueError: odd row")
    assert (tmp_path / f"{first}.json").exists()
    assert first in books.booked
    assert records.state == BooksState()


def test_a_database_that_is_away_is_no_fault_of_a_record(books: Books, records: Records) -> None:
    books.fails = {hash_text(number): OperationalError("gone") for number in (1, 2, 3)}

    with pytest.raises(OperationalError):
        records.step(0)

    assert records.state == BooksState()


def test_a_record_that_was_removed_is_no_trouble_any_more(books: Books, records: Records, tmp_path: Path) -> None:
    books.fails[hash_text(2)] = ValueError("odd row")
    records.step(0)
    (tmp_path / f"{hash_text(2)}.json").unlink()
    records.step(0)

    assert records.state == BooksState()


def test_a_share_that_is_on_its_way_is_waited_for_whatever_the_clock_says(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopted: list[str] = []
    monkeypatch.setattr(services, "take_record", lambda *_: Taken.WAITS)
    monkeypatch.setattr(services, "adopt_block", lambda each, _work: adopted.append(each.hash) or True)
    records.step(monotonic_s())  # its record says that it was found long ago
    at_once = list(adopted)
    records.step(monotonic_s() + ADOPT_S + 1)

    assert at_once == []
    assert sorted(adopted) == sorted(hash_text(number) for number in (1, 2, 3))
