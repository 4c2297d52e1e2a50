"""The log of shares: whole batches come back, torn ones do not, names go with them."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.daemon import share_log
from mbongi.pool.daemon.share_log import SHARE_TALLY, LoggedShare, ShareLog, files_of, pack_share, read_shares
from mbongi.pool.errors import ShareLogError


def record(worker: int, nonce: int) -> bytes:
    return pack_share(1, worker, 2, 1024.0, 5000.0, 900_000, 3, nonce, 4, bytes(13), 1, 0, 0, bytes(32))


def read(folder: Path) -> list[tuple[str, int]]:
    return [(name, share.nonce) for path in files_of(folder) for share, name in read_shares(path)]


def test_shares_come_back_with_their_workers_names(tmp_path: Path) -> None:
    log = ShareLog(tmp_path)
    one, two = log.worker("acct.one"), log.worker("acct.été")
    log.append([record(one, 1), record(two, 2)], {one, two})
    log.append([record(one, 3)], {one})
    log.close()

    assert read(tmp_path) == [("acct.one", 1), ("acct.été", 2), ("acct.one", 3)]


@given(cut=st.integers(1, 250))
def test_a_torn_last_batch_is_cut_off_and_the_others_stay(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = ShareLog(folder)
    worker = log.worker("a")
    for number in range(3):
        log.append([record(worker, number)], {worker})
    log.close()
    [path] = files_of(folder)
    data = path.read_bytes()
    path.write_bytes(data[:-cut])

    again = ShareLog(folder)
    again.append([record(again.worker("a"), 9)], {0})
    again.close()

    lost = -(-cut // 112)  # a batch of one share: 16 bytes of head, 96 of share
    assert read(folder) == [("a", number) for number in range(3 - lost)] + [("a", 9)]


def test_a_changed_byte_ends_the_reading_there(tmp_path: Path) -> None:
    log = ShareLog(tmp_path)
    worker = log.worker("a")
    for number in range(3):
        log.append([record(worker, number)], {worker})
    log.close()
    [path] = files_of(tmp_path)
    data = bytearray(path.read_bytes())
    data[-150] ^= 1
    path.write_bytes(data)

    assert read(tmp_path) == [("a", 0)]


def test_a_full_file_is_followed_by_the_next_and_names_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_log, "FILE_BYTES_MAX", 300)
    log = ShareLog(tmp_path)
    worker = log.worker("acct.one")
    for number in range(8):
        log.append([record(worker, number)], {worker})
    log.close()

    assert len(files_of(tmp_path)) > 2
    assert read(tmp_path) == [("acct.one", number) for number in range(8)]


def test_while_no_file_can_follow_a_full_one_no_other_descriptor_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_log, "FILE_BYTES_MAX", 100)
    log = ShareLog(tmp_path)
    worker = log.worker("acct.one")
    log.append([record(worker, 0)], {worker})
    begin = log._begin_file
    monkeypatch.setattr(log, "_begin_file", _no_space)
    for number in range(2):
        with pytest.raises(ShareLogError, match="no new file: No space left on device"):
            log.append([record(worker, 9)], {worker})
        with (tmp_path / f"other{number}").open("wb") as other:  # it gets the number of what was closed last
            with pytest.raises(ShareLogError):
                log.append([record(worker, 9)], {worker})
            os.fstat(other.fileno())
    monkeypatch.setattr(log, "_begin_file", begin)
    log.append([record(worker, 1)], {worker})
    log.close()

    assert read(tmp_path) == [("acct.one", 0), ("acct.one", 1)]


def test_nothing_is_written_behind_a_torn_batch_that_cannot_be_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ShareLog(tmp_path)
    worker, write = log.worker("acct.one"), os.write
    log.append([record(worker, 0)], {worker})

    def torn(descriptor: int, data: bytes) -> int:
        write(descriptor, data[:50])
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("mbongi.pool.daemon.share_log.os.write", torn)
        broken.setattr("mbongi.pool.daemon.share_log.os.ftruncate", lambda *_: _no_space())
        with pytest.raises(ShareLogError, match="cannot write"):
            log.append([record(worker, 9)], {worker})
    log.append([record(worker, 1)], {worker})
    log.close()

    assert read(tmp_path) == [("acct.one", 0), ("acct.one", 1)]


def _no_space() -> None:
    raise OSError(28, "No space left on device")


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShareLogError, match="mend its owner, mode or disk"):
        ShareLog(tmp_path / "file")


def test_the_tally_reads_the_same_fields_as_the_whole_record() -> None:
    share = LoggedShare(1, 2, 3, 4.0, 5.0, 6, 7, 8, 9, bytes(range(13)), 1, 130, 11, bytes(range(32)))
    assert SHARE_TALLY.unpack(pack_share(*msgspec.structs.astuple(share))) == (2, 4.0, 5.0, 130)


def test_a_full_file_waits_for_the_disk_in_the_thread_that_syncs_and_not_where_shares_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_log, "FILE_BYTES_MAX", 100)
    synced, sync = [], os.fdatasync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr("mbongi.pool.daemon.share_log.os.fdatasync", noted)
    log = ShareLog(tmp_path)
    worker = log.worker("acct.one")
    for number in range(3):
        log.append([record(worker, number)], {worker})
    by_appending = list(synced)
    log.sync()
    by_syncing = list(synced)
    log.sync()
    open_ones = {each.readlink().name for each in Path("/proc/self/fd").iterdir() if each.exists()}
    log.close()

    names = [path.name for path in files_of(tmp_path)]
    assert by_appending == []
    assert by_syncing == names, "the oldest first"
    assert synced[: len(by_syncing)] == by_syncing
    assert open_ones & set(names) == {names[-1]}
    assert read(tmp_path) == [("acct.one", number) for number in range(3)]


def test_a_file_that_becomes_full_as_syncing_begins_is_not_closed_under_its_feet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_log, "FILE_BYTES_MAX", 100)
    log = ShareLog(tmp_path)
    worker = log.worker("acct.one")
    log.append([record(worker, 1)], {worker})

    meanwhile = iter([2])

    class Full(list[int]):
        """The thread of the shares comes in between."""

        def __iter__(self) -> Iterator[int]:
            for number in meanwhile:
                log.append([record(worker, number)], {worker})
            return super().__iter__()

    log._full = Full()
    log.sync()
    is_dirty = log.dirty
    log.close()

    assert is_dirty, "what became full meanwhile is synced the next time"
    assert read(tmp_path) == [("acct.one", 1), ("acct.one", 2)]


def test_full_files_that_the_disk_does_not_take_are_no_endless_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_log, "FILE_BYTES_MAX", 100)
    log = ShareLog(tmp_path)
    worker = log.worker("acct.one")
    for number in range(share_log.UNSYNCED_FILES_MAX + 1):
        log.append([record(worker, number)], {worker})

    with pytest.raises(ShareLogError, match="8 full files wait for the disk"):
        log.append([record(worker, 98)], {worker})
    log.sync()
    log.append([record(worker, 99)], {worker})
    log.close()

    assert [number for _, number in read(tmp_path)] == [*range(share_log.UNSYNCED_FILES_MAX + 1), 99]
