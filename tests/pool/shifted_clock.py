"""A command whose wall clock a file sets off: ``python -m tests.pool.shifted_clock FILE pool``.

Everything of the process that asks for the time of day is told the shifted one; monotonic time and what the kernel
writes beside files is left alone. The file holds by how many seconds, and how long a jump lasts until it is followed.
"""

import sys
import time
from datetime import datetime, timedelta
from pathlib import Path


def main() -> int:
    """Shift first, for others keep the functions that they import; then run the command."""
    file, *words = sys.argv[1:]
    path, wall_ns = Path(file), time.time_ns
    from mbongi.base import clock  # noqa: PLC0415

    now = clock.utc_now

    def offset_s() -> float:
        found, settled = map(float, path.read_text(encoding="ascii").split())
        if steady := sys.modules.get("mbongi.pool.daemon.steady_clock"):
            steady.SETTLED_S = settled  # type: ignore[attr-defined]
        return found

    def utc_now() -> datetime:
        return now() + timedelta(seconds=offset_s())

    clock.utc_now = utc_now
    time.time = lambda: wall_ns() / 1e9 + offset_s()
    time.time_ns = lambda: wall_ns() + int(offset_s() * 1e9)
    from mbongi.cli import main as command  # noqa: PLC0415

    return command(words)


if __name__ == "__main__":
    sys.exit(main())
