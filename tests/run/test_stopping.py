"""A process that is told to stop ends, even where a part of it hangs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import asyncio
from mbongi.run import stopping

stopping.STOP_S_MAX = 0.5

async def deaf():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def main():
    stop = stopping.stop_event()
    task = asyncio.create_task({work}())
    print("begun", flush=True)
    await stop.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print("ended", flush=True)

asyncio.run(main())
"""


def stopped(work: str, *, signals: int) -> tuple[int, str, str]:
    """The exit status, output and errors of a process that ran ``work`` and got SIGTERM so many times."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    for _ in range(signals):
        child.send_signal(signal.SIGTERM)
    output, errors = child.communicate(timeout=30)
    return child.returncode, output, errors


def test_a_process_that_can_stop_does() -> None:
    assert stopped("asyncio.Event().wait", signals=1) == (0, "ended\n", "")


def test_a_process_that_hangs_says_where_and_ends() -> None:
    status, output, errors = stopped("deaf", signals=2)

    assert status == 1
    assert output == ""
    assert "Timeout" in errors
    assert "in main" in errors or "select" in errors or "run_forever" in errors
