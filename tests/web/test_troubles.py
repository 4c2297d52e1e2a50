"""The bar at the top says what is wrong with the site itself, in the reader's language."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import translation

from mbongi.base.status import ProcessState, ProcessStatus, SiteStatus, Watch, WatchKind, write_status
from mbongi.pool.books_state import BooksState, write_books_state
from mbongi.web.troubles import troubles

AT = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def write(folder: Path, *, state: ProcessState = "ready", disk: WatchKind = "", clock: WatchKind = "") -> None:
    processes = (
        ProcessStatus(name="bus", state=state, since=AT),
        ProcessStatus(name="web", state="stopped" if state == "stopped" else "ready", since=AT),
    )
    write_status(
        folder,
        SiteStatus(
            at=AT,
            pid=1,
            started_at=AT,
            processes=processes,
            disk=Watch(good=not disk, since=AT, kind=disk),
            clock=Watch(good=not clock, since=AT, kind=clock),
        ),
    )


@pytest.fixture(autouse=True)
def in_english() -> object:
    with translation.override("en"):
        yield


def test_a_site_that_is_well_shows_no_bar(tmp_path: Path) -> None:
    write(tmp_path)

    assert troubles(tmp_path, AT) == []


def test_where_no_supervisor_runs_there_is_no_bar(tmp_path: Path) -> None:
    assert troubles(tmp_path, AT) == []
    write(tmp_path, state="stopped")
    assert troubles(tmp_path, AT + timedelta(days=1)) == []


@pytest.mark.parametrize(
    ("disk", "clock", "says"),
    [
        ("disk_full", "", "The disk is full"),
        ("disk_low", "", "Little room is left"),
        ("disk_silent", "", "The disk does not answer"),
        ("", "clock_jump", "The clock jumped"),
    ],
)
def test_disk_and_clock_are_stated(tmp_path: Path, disk: WatchKind, clock: WatchKind, says: str) -> None:
    write(tmp_path, disk=disk, clock=clock)

    (text,) = troubles(tmp_path, AT)

    assert text.startswith(says)


@pytest.mark.parametrize("state", ["restarting", "unready"])
def test_a_process_in_trouble_is_named(tmp_path: Path, state: ProcessState) -> None:
    write(tmp_path, state=state)

    assert troubles(tmp_path, AT) == ["Not running as it should: bus. It is started again by itself."]


def test_a_silent_supervisor_makes_everything_unknown(tmp_path: Path) -> None:
    write(tmp_path, disk="disk_full")

    assert troubles(tmp_path, AT + timedelta(minutes=1)) == [
        "The site's supervisor is silent: what runs and what does not is unknown."
    ]


def test_blocks_that_cannot_be_booked_are_stated_until_they_are(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "pool").mkdir()
    write_books_state(tmp_path / "pool", BooksState(unbooked=2, reason="ValueError: x"))
    [said] = troubles(tmp_path, AT)
    write_books_state(tmp_path / "pool", BooksState())

    assert said.startswith("Found blocks that the pool's accounts cannot book: 2.")
    assert troubles(tmp_path, AT) == []
