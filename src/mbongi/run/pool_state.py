"""What each pool process says of itself in a file, for the supervisor's probe and for ``pool-restart``."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mbongi.base.clock import utc_now
from mbongi.base.config import Config
from mbongi.base.log import get_log

log = get_log(__name__)

WRITE_S: Final = 1.0
AGE_S_MAX: Final = 10.0
"""An older state says nothing."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A process at this moment. ``ready``: it does its part; ``job``: the newest one's number."""

    ready: bool
    job: int = 0
    pid: int = 0
    at_unix_s: float = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether its process runs and wrote it lately."""
        return self.pid > 0 and abs(utc_now().timestamp() - self.at_unix_s) <= AGE_S_MAX and _runs(self.pid)

    @property
    def is_ready(self) -> bool:
        """Whether its process does its part now."""
        return self.ready and self.is_alive


def state_path(config: Config, name: str) -> Path:
    """The file of a process: a shard's number, or the name of the one that makes the work."""
    return config.site.data_dir / "pool" / "sessions" / f"{name}.json"


def read_state(config: Config, name: str) -> State | None:
    """What a process said last; None where it said nothing that can be read."""
    try:
        return msgspec.json.decode(state_path(config, name).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None


async def keep_state(config: Config, name: str, state: Callable[[], State]) -> None:
    """Write the state every WRITE_S, until cancelled. A disk that is full is another's trouble to report."""
    path = state_path(config, name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}")
    while True:
        now = msgspec.structs.replace(state(), pid=os.getpid(), at_unix_s=utc_now().timestamp())
        with contextlib.suppress(OSError):
            draft.write_bytes(msgspec.json.encode(now))
            draft.replace(path)
        await asyncio.sleep(WRITE_S)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
