"""Shares from the logs into the accounts: each once, in one order, whatever interrupts it."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import transaction
from django.db.models import Sum

from mbongi.pool import selectors
from mbongi.pool.daemon import importer as importer_module
from mbongi.pool.daemon import share_log
from mbongi.pool.daemon.importer import Importer
from mbongi.pool.daemon.share_log import files_of, shard_folder
from mbongi.pool.errors import CursorMovedError
from mbongi.pool.models import Account, Block, Cursor, Slice, SliceWork, Worker, WorkerMinute
from mbongi.pool.rules.payout.amounts import work_of_difficulty
from mbongi.pool.rules.tally import SLICE_MS
from tests.pool.accounts_bed import BEGIN_MS, MINUTE_MS, Logged, Logs, hash_text

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
ONE = work_of_difficulty(1.0)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    found = Logs(tmp_path)
    yield found
    found.close()


def importer(logs: Logs) -> Importer:
    return Importer(logs.root, lambda name: name.startswith("bcrt1"))


def take_in(logs: Logs, by: Importer | None = None) -> None:
    each = by or importer(logs)
    while each.step():
        pass


def shares_by_worker() -> dict[str, int]:
    return dict(Worker.objects.values_list("name", "shares"))


def test_shares_become_workers_accounts_minutes_and_a_slice(logs: Logs) -> None:
    logs.write([Logged("ada.one", 1), Logged("ada.two", 2, difficulty=2.0), Logged("bcrt1qx", 3, protocol=2)])
    logs.write([Logged("ada.one", 4, time_ms=BEGIN_MS + MINUTE_MS)])

    take_in(logs)

    assert shares_by_worker() == {"ada.one": 2, "ada.two": 1, "bcrt1qx": 1}
    assert dict(Account.objects.values_list("name", "payout_address")) == {"ada": "", "bcrt1qx": "bcrt1qx"}
    ada = Worker.objects.get(name="ada.one")
    assert (int(ada.work), ada.best) == (2 * ONE, 1.5)
    assert (ada.last_share_at - ada.first_share_at).total_seconds() == 60
    minutes = WorkerMinute.objects.order_by("worker__name", "minute")
    found = [(each.worker.name, each.protocol, each.shares, int(each.work)) for each in minutes]
    two = work_of_difficulty(2.0)
    assert found == [("ada.one", 1, 1, ONE), ("ada.one", 1, 1, ONE), ("ada.two", 1, 1, two), ("bcrt1qx", 2, 1, ONE)]
    slice_ = Slice.objects.get()
    assert (slice_.sequence, int(slice_.work), slice_.shares, slice_.is_closed) == (1, 3 * ONE + two, 4, False)
    assert SliceWork.objects.aggregate(all=Sum("work"))["all"] == Decimal(3 * ONE + two)
    [cursor] = selectors.cursors()
    assert (cursor.shard, cursor.shares, cursor.replays, cursor.damaged_bytes) == (0, 4, 0, 0)


def test_taking_in_goes_on_where_it_stood_in_a_new_process_too(logs: Logs) -> None:
    first = importer(logs)
    for number in range(10):
        logs.write([Logged("ada.one", number)])
        take_in(logs, first if number < 5 else None)

    assert shares_by_worker() == {"ada.one": 10}
    assert Slice.objects.get().shares == 10


def test_nothing_is_booked_where_the_transaction_fails_and_all_of_it_afterwards(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.write([Logged("ada.one", 1), Logged("ben.one", 2)])
    working = importer(logs)
    real = importer_module.import_shares

    def dying(*arguments: object) -> None:
        with transaction.atomic():
            real(*arguments)  # type: ignore[arg-type]
            raise ConnectionError("killed before the commit")

    monkeypatch.setattr(importer_module, "import_shares", dying)
    with pytest.raises(ConnectionError):
        working.step()
    assert not Worker.objects.exists()
    monkeypatch.setattr(importer_module, "import_shares", real)
    take_in(logs, working)

    assert shares_by_worker() == {"ada.one": 1, "ben.one": 1}


def test_a_commit_whose_answer_was_lost_is_not_repeated(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.write([Logged("ada.one", 1)])
    working = importer(logs)
    real = importer_module.import_shares

    def committing_then_dying(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        raise ConnectionError("the answer was lost")

    monkeypatch.setattr(importer_module, "import_shares", committing_then_dying)
    with pytest.raises(ConnectionError):
        working.step()
    monkeypatch.setattr(importer_module, "import_shares", real)
    logs.write([Logged("ada.one", 2)])
    take_in(logs, working)

    assert shares_by_worker() == {"ada.one": 2}


def test_two_at_once_cannot_both_book(logs: Logs) -> None:
    logs.write([Logged("ada.one", 1)])
    slow, fast = importer(logs), importer(logs)
    real = importer_module.import_shares

    def overtaken(*arguments: object) -> None:
        importer_module.import_shares = real
        take_in(logs, fast)
        real(*arguments)  # type: ignore[arg-type]

    importer_module.import_shares = overtaken  # type: ignore[assignment]
    with pytest.raises(CursorMovedError, match="shares of shard 0: taken in up to byte"):
        slow.step()
    take_in(logs, slow)

    assert shares_by_worker() == {"ada.one": 1}


def test_a_torn_end_is_not_there_yet(logs: Logs) -> None:
    logs.write([Logged("ada.one", 1)])
    logs.write([Logged("ada.one", 2)])
    [path] = files_of(shard_folder(logs.root, 0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    working = importer(logs)
    take_in(logs, working)
    assert shares_by_worker() == {"ada.one": 1}

    path.write_bytes(whole)
    take_in(logs, working)

    assert shares_by_worker() == {"ada.one": 2}
    assert Cursor.objects.get().damaged_bytes == 0


def test_a_torn_end_that_the_pool_cuts_off_at_its_start_is_no_damage(logs: Logs) -> None:
    logs.write([Logged("ada.one", 1)])
    logs.write([Logged("ada.one", 2)])
    logs.close()
    [path] = files_of(shard_folder(logs.root, 0))
    path.write_bytes(path.read_bytes()[:-5])
    working = importer(logs)
    take_in(logs, working)
    logs.write([Logged("ada.one", 3)])
    take_in(logs, working)

    assert shares_by_worker() == {"ada.one": 2}
    assert Cursor.objects.get().damaged_bytes == 0


def test_damage_in_the_middle_is_stepped_over_and_counted(logs: Logs) -> None:
    logs.write([Logged("ada.one", 1)])
    [path] = files_of(shard_folder(logs.root, 0))
    begin = path.stat().st_size
    logs.write([Logged("ada.one", 2)])
    end = path.stat().st_size
    logs.write([Logged("ada.one", 3)])
    data = bytearray(path.read_bytes())
    data[begin + 30] ^= 0xFF
    path.write_bytes(data)

    take_in(logs)
    take_in(logs)

    assert shares_by_worker() == {"ada.one": 2}
    assert Cursor.objects.get().damaged_bytes == end - begin


def test_shares_whose_names_are_damaged_are_kept_under_a_name_of_their_own(logs: Logs) -> None:
    logs.write([Logged("ada.one", 1)])
    logs.write([Logged("ada.one", 2)])
    [path] = files_of(shard_folder(logs.root, 0))
    data = bytearray(path.read_bytes())
    data[20] ^= 0xFF
    path.write_bytes(data)

    take_in(logs)

    assert shares_by_worker() == {".unknown": 2}


def test_a_share_that_a_restarted_pool_let_in_again_counts_once(logs: Logs) -> None:
    logs.write([Logged("ada.one", 1), Logged("ada.one", 2)])
    working = importer(logs)
    take_in(logs, working)
    logs.restart()
    logs.write([Logged("ada.one", 2), Logged("ada.one", 3), Logged("ada.one", 3)])
    take_in(logs, working)
    logs.restart()
    logs.write([Logged("ada.one", 1), Logged("ada.one", 4)])
    take_in(logs)

    assert shares_by_worker() == {"ada.one": 4}
    [cursor] = selectors.cursors()
    assert (cursor.shares, cursor.replays) == (4, 3)


def test_a_share_repeated_at_another_shard_counts_once_too(logs: Logs) -> None:
    logs.write([Logged("ada.one", 1)], shard=0)
    logs.write([Logged("ada.one", 1), Logged("ada.one", 2)], shard=3)

    take_in(logs)

    assert shares_by_worker() == {"ada.one": 2}
    assert [(each.shard, each.shares, each.replays) for each in selectors.cursors()] == [(0, 1, 0), (3, 1, 1)]


def test_shards_are_put_in_the_order_of_their_shares_time(logs: Logs) -> None:
    logs.write([Logged("ada.one", n, time_ms=BEGIN_MS + 10 * n, is_block=n == 2) for n in range(4)], shard=0)
    logs.write([Logged("ben.one", 100 + n, time_ms=BEGIN_MS + 10 * n + 5) for n in range(4)], shard=1)

    take_in(logs)

    [block] = Block.objects.all()
    assert (block.hash, block.worker.name) == (hash_text(2), "ada.one")
    parts = SliceWork.objects.order_by("slice", "worker__name").values_list("slice", "worker__name", "shares")
    assert list(parts) == [(1, "ada.one", 3), (1, "ben.one", 2), (2, "ada.one", 1), (2, "ben.one", 2)]


def test_a_shard_that_is_far_behind_does_not_come_after_what_is_younger(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_log, "FILE_BYTES_MAX", 200)
    for n in range(6):
        logs.write([Logged("ada.one", n, time_ms=BEGIN_MS + 10 * n)], shard=0)
    logs.write([Logged("ben.one", 100, time_ms=BEGIN_MS + 55, is_block=True)], shard=1)

    working = importer(logs)
    assert working.step()
    assert "ben.one" not in shares_by_worker()
    take_in(logs, working)

    [block] = Block.objects.all()
    assert int(block.work_since) == 7 * ONE
    assert len(files_of(shard_folder(logs.root, 0))) > 1


def test_a_window_ends_with_the_blocks_own_share(logs: Logs) -> None:
    logs.write([Logged("ada.one", n, is_block=n in {2, 4}) for n in range(6)])

    take_in(logs)

    slices = list(Slice.objects.values_list("sequence", "shares", "is_closed"))
    assert slices == [(1, 3, True), (2, 2, True), (3, 1, False)]
    blocks = Block.objects.order_by("slice").values_list("slice", "work_since", "share_work")
    assert list(blocks) == [(1, Decimal(3 * ONE), Decimal(ONE)), (2, Decimal(2 * ONE), Decimal(ONE))]


@pytest.mark.parametrize("at_once", [False, True])
def test_no_slice_reaches_over_a_half_hours_end(logs: Logs, at_once: bool) -> None:
    begin_ms = BEGIN_MS // SLICE_MS * SLICE_MS
    for minute in range(0, 65, 5):
        logs.write([Logged("ada.one", minute, time_ms=begin_ms + minute * MINUTE_MS)])
        if not at_once:
            take_in(logs)

    take_in(logs)

    assert list(Slice.objects.values_list("shares", "is_closed")) == [(6, True), (6, True), (1, False)]


def test_names_that_no_honest_miner_sends_are_kept_as_far_as_they_can_be(logs: Logs) -> None:
    logs.write([Logged("ada\0.one", 1), Logged("é" * 128, 2), Logged(".fee", 3), Logged("...", 4)])

    take_in(logs)

    assert set(Account.objects.values_list("name", flat=True)) == {"ada\ufffd", "é" * 127, "fee", "-"}
    assert all(len(name.encode()) <= 255 for name in shares_by_worker())


def test_files_go_only_when_they_are_wholly_taken_in_old_and_not_the_newest(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_log, "FILE_BYTES_MAX", 200)
    for n in range(4):
        logs.write([Logged("ada.one", n)])
    folder = shard_folder(logs.root, 0)
    before, working = files_of(folder), importer(logs)
    later_s = before[-1].stat().st_mtime + 10

    assert working.remove_old_files(later_s) == 0
    working.step()
    assert working.remove_old_files(before[0].stat().st_mtime - 10) == 0
    take_in(logs, working)
    removed = working.remove_old_files(later_s)

    assert removed == len(before) - 1 > 0
    assert files_of(folder) == before[-1:]
    logs.write([Logged("ada.one", 9)])
    take_in(logs)
    assert shares_by_worker() == {"ada.one": 5}
