"""The kernel's lock that lets processes of one data folder go on while the bus is away.

Whoever takes a slot holds it alone for that moment; whoever cannot renew, and goes on, holds it together with others in
the same case. So nobody takes anything as long as somebody goes on. The kernel lets go of it however a process ends.
"""

import fcntl
import os
from pathlib import Path


class KeepLock:
    """Held by this process in one way, in the other, or not at all."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self._file = os.open(data_dir / "fleet-keep.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def share(self) -> bool:
        """Hold it with others; False when somebody holds it alone."""
        return self._lock(fcntl.LOCK_SH)

    def alone(self) -> bool:
        """Hold it alone; False when anybody holds it."""
        return self._lock(fcntl.LOCK_EX)

    def release(self) -> None:
        """Let go of it."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """For the end."""
        os.close(self._file)

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
