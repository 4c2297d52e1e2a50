"""What the supervisor knows of the running site, as a small file that every process may read.

The file keeps its size and is written in place, so that it can still say "disk full" on a full disk.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from mbongi.base.errors import MbongiError

FILE_NAME = "status.json"
FILE_BYTES = 32_768
"""Room for some hundred processes; a longer status is a broken invariant."""

ProcessState = Literal["waiting", "starting", "ready", "unready", "restarting", "stopped"]


class StatusError(MbongiError, OSError):
    """The status file cannot be read or written."""


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised process. ``since`` is when ``state`` began; ``pid`` is None while nothing runs."""

    name: str
    state: ProcessState
    since: datetime
    pid: int | None = None
    restarts: int = 0
    message: str = ""


WatchKind = Literal["", "disk_low", "disk_full", "disk_silent", "clock_jump"]


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of the machine. ``good`` is yes, no, or None where it cannot be known; ``since`` when that began.

    ``kind`` names what is wrong, for whoever words it in another language than ``message``.
    """

    good: bool | None
    since: datetime
    kind: WatchKind = ""
    message: str = ""


class SiteStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The site at ``at``, as its supervisor (process ``pid``) saw it."""

    at: datetime
    pid: int
    started_at: datetime
    processes: tuple[ProcessStatus, ...]
    disk: Watch
    clock: Watch

    def is_stale(self, now: datetime, limit_s: float = 20.0) -> bool:
        """True when the supervisor has not written for ``limit_s``: it is dead or hung, and nothing here is certain."""
        return abs((now - self.at).total_seconds()) > limit_s


def write_status(data_dir: Path, status: SiteStatus) -> None:
    """Replace the status in place. Raises StatusError where the file cannot be written."""
    content = msgspec.json.format(msgspec.json.encode(status), indent=1).ljust(FILE_BYTES - 1) + b"\n"
    assert len(content) == FILE_BYTES, f"status of {len(content)} bytes; the file holds {FILE_BYTES}"
    path = data_dir / FILE_NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(descriptor, content, 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StatusError(f"{path}: cannot be written: {error.strerror}") from error


def read_status(data_dir: Path) -> SiteStatus | None:
    """The last status written in ``data_dir``; None when no supervisor ever ran there or the file is unreadable.

    Look at ``is_stale`` before believing it.
    """
    for _attempt in range(3):  # a reader may meet a write half-way
        try:
            return msgspec.json.decode((data_dir / FILE_NAME).read_bytes(), type=SiteStatus)
        except OSError:
            return None
        except msgspec.DecodeError:
            continue
    return None
