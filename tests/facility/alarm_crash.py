"""Processes that take alarms in and die by SIGKILL at stated points, each going on from the record of the one before.

``python -m tests.facility.alarm_crash DATABASE FOLDER POINT...``: each point has a process of its own, which dies
there; at last one runs to its end. A contact opens and closes; what ``observe`` took is written down, and not said
again.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = 9
"""For each process, at most."""


def owners() -> dict[str, tuple[Any, str, bool]]:
    """Where a process may die: the function around which, and whether before it."""
    from django.db.backends.base.base import BaseDatabaseWrapper  # noqa: PLC0415 -- Django must be set up first

    from mbongi.facility import alarm_journal  # noqa: PLC0415
    from mbongi.facility.daemon import alarm_spool  # noqa: PLC0415

    return {
        "before-spool": (alarm_spool, "_write_all", True),
        "after-write": (alarm_spool, "_write_all", False),
        "after-spool": (alarm_spool.Spool, "append", False),
        "before-rows": (alarm_journal.Journal, "write", True),
        "after-rows": (alarm_journal.Journal, "write", False),
        "before-commit": (BaseDatabaseWrapper, "commit", True),
        "after-commit": (BaseDatabaseWrapper, "commit", False),
        "after-forget": (alarm_spool.Spool, "forget", False),
    }


def die() -> None:
    """As kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str) -> None:
    """Let this process die at the second passing of a point."""
    owner, name, is_before = owners()[point]
    real: Callable[..., Any] = getattr(owner, name)
    passes = [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        passes[0] += 1
        if passes[0] == 2 and is_before:
            die()
        result = real(*args, **kwargs)
        if passes[0] == 2:
            die()
        return result

    setattr(owner, name, wrapped)


def tear() -> None:
    """Let this process die amid the bytes of its second record."""
    from mbongi.facility.daemon import alarm_spool  # noqa: PLC0415

    real, passes = alarm_spool._write_all, [0]

    def torn(file: Any, content: bytes) -> None:
        passes[0] += 1
        if passes[0] == 2:
            file.write(content[: len(content) // 2])
            die()
        real(file, content)

    alarm_spool._write_all = torn


async def run(folder: Path, point: str) -> None:
    """Observe, step, until the death at the point or the end."""
    from mbongi.base.clock import now_ms  # noqa: PLC0415
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415
    from mbongi.facility.daemon.alarm_watch import AlarmWatch  # noqa: PLC0415
    from mbongi.facility.rules.alarm_flood import Plant  # noqa: PLC0415
    from mbongi.facility.rules.alarm_limits import Observation  # noqa: PLC0415

    async with ThreadBridge() as bridge:
        watch = AlarmWatch(folder, bridge, Plant)
        await watch.open()
        if point == "torn-spool":
            tear()
        elif point:
            die_at(point)
        said = folder / "said"
        begin = int(said.read_text()) if said.exists() else 0
        for number in range(begin, begin + CHANGES):
            await watch.observe([Observation("tr-1", "trip", float(number % 2 == 0), is_good=True, at_ms=now_ms())])
            draft = folder / "said.new"
            draft.write_text(str(number + 1))
            draft.replace(said)
            if number % 2:
                await watch.step()
        while await watch.step():
            pass
        watch.close()


def main() -> None:
    """Fork one process for each point; tell each one's end."""
    from mbongi.run.database import use_database  # noqa: PLC0415

    use_database()
    from django.db import connections  # noqa: PLC0415

    connections.databases["default"]["NAME"] = sys.argv[1]
    for point in [*sys.argv[3:], ""]:
        child = os.fork()
        if not child:
            asyncio.run(run(Path(sys.argv[2]), point))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print("ended:", point or "none", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
