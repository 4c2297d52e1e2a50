"""One process of a kind per data folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from mbongi.base.errors import MbongiError


class AlreadyRunsError(MbongiError, RuntimeError):
    """Another process of this kind works on this data folder: two would do each thing twice."""


@contextlib.contextmanager
def only_one(data_dir: Path, name: str, *, among_equals: bool = False) -> Iterator[None]:
    """Hold ``name`` in this data folder; the kernel lets go of it however the process ends. Raises AlreadyRunsError.

    ``among_equals``: together with others who do likewise, so that nobody holds it alone meanwhile.
    """
    path = lock_path(data_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if among_equals else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            other = file.read().strip() or "unknown"
            raise AlreadyRunsError(
                f"{name}: process {other} works on {data_dir} already; stop that one first"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def is_held(data_dir: Path, name: str) -> bool:
    """Whether some process holds ``name`` in this data folder."""
    try:
        with lock_path(data_dir, name).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def lock_path(data_dir: Path, name: str) -> Path:
    """The file that is locked."""
    return data_dir / f"{name}.lock"
