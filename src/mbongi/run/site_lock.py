"""One supervisor per data folder, and an end for what a killed supervisor left behind."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from mbongi.base.errors import ConfigError, MbongiError

SITE_MARK = "MBONGI_SUPERVISED_SITE"
"""In the environment of every supervised process and of what it starts: the data folder it works on."""
LEFTOVER_S_MAX = 12.0


class SiteRunsError(MbongiError, RuntimeError):
    """Another supervisor runs this data folder."""


@contextlib.contextmanager
def site_lock(data_dir: Path) -> Iterator[None]:
    """Hold the data folder; the kernel lets go of it however this process ends. Raises SiteRunsError, ConfigError."""
    path = data_dir / "up.lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="ascii")
    except OSError as error:
        raise ConfigError(
            f"site.data_dir: {data_dir}: cannot be used: {error.strerror}; mend its owner or mode, or name another"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise SiteRunsError(
                f"{data_dir}: this site runs already (process {file.read().strip() or 'unknown'}); stop it there with "
                "Ctrl-C, or name another folder in MBONGI_SITE_DATA_DIR"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def end_leftovers(data_dir: Path) -> list[int]:
    """Stop what still runs of this site after its supervisor was killed: SIGTERM, then SIGKILL. Returns their ids."""
    found = leftovers(data_dir)
    _signal(found, signal.SIGTERM)
    deadline_s = time.monotonic() + LEFTOVER_S_MAX
    while (alive := leftovers(data_dir)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    _signal(alive, signal.SIGKILL)
    while alive and leftovers(data_dir) and time.monotonic() < deadline_s + 2.0:
        time.sleep(0.05)
    return found


def leftovers(data_dir: Path) -> list[int]:
    """The processes that carry this site's mark, this one apart."""
    mark = f"{SITE_MARK}={data_dir}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return [pid for pid in found if pid != os.getpid()]


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
