"""The status file: small, always whole, written in place so that a full disk can still say so."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mbongi.base.status import FILE_BYTES, FILE_NAME, ProcessStatus, SiteStatus, Watch, read_status, write_status

AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def status(**changes: object) -> SiteStatus:
    given = {
        "at": AT,
        "pid": 1,
        "started_at": AT,
        "processes": (ProcessStatus(name="bus", state="ready", since=AT, pid=2),),
        "disk": Watch(good=True, since=AT),
        "clock": Watch(good=None, since=AT),
    }
    return SiteStatus(**(given | changes))  # type: ignore[arg-type]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_status(tmp_path, status())

    assert read_status(tmp_path) == status()


def test_a_shorter_status_replaces_a_longer_one_whole(tmp_path: Path) -> None:
    write_status(tmp_path, status(disk=Watch(good=False, since=AT, message="full " * 200)))

    write_status(tmp_path, status(processes=()))

    assert read_status(tmp_path) == status(processes=())


def test_the_file_keeps_its_size_and_place_so_that_a_full_disk_can_be_stated(tmp_path: Path) -> None:
    write_status(tmp_path, status())
    before = (tmp_path / FILE_NAME).stat()

    write_status(tmp_path, status(disk=Watch(good=False, since=AT, message="disk full")))

    after = (tmp_path / FILE_NAME).stat()
    assert (before.st_ino, before.st_blocks) == (after.st_ino, after.st_blocks)
    assert after.st_size == FILE_BYTES


def test_without_a_supervisor_ever_there_is_no_status(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None


def test_a_damaged_file_is_no_status(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"at": ')

    assert read_status(tmp_path) is None


def test_a_status_that_nobody_renews_is_stale_also_when_the_clock_went_back() -> None:
    assert not status().is_stale(AT + timedelta(seconds=10))
    assert status().is_stale(AT + timedelta(seconds=21))
    assert status().is_stale(AT - timedelta(hours=1))
