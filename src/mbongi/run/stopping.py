"""How a process is told to stop, and what ends one that was told and hangs."""

import asyncio
import faulthandler
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

STOP_S_MAX = 12.0
"""Longer than the supervisor waits before it kills: this is for processes whose supervisor is dead."""


def stop_event() -> asyncio.Event:
    """An event of the running loop that SIGTERM and Ctrl-C set.

    A process that still runs STOP_S_MAX later writes where each of its threads stands to its log, and ends with
    status 1: nothing of a site outlives its supervisor, whatever it waits for.
    """
    stop = asyncio.Event()

    def begin() -> None:
        if not stop.is_set():
            stop.set()
            faulthandler.dump_traceback_later(STOP_S_MAX, exit=True)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin)
    return stop


async def run_until(
    stop: asyncio.Event,
    runs: Iterable[Coroutine[Any, Any, None]],
    *,
    first: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Run all of them until ``stop`` is set, then do ``first`` while they still run, and cancel them.

    Where one ends with an error, the others are ended in the same way, and the error is raised.
    """
    tasks = [asyncio.create_task(each) for each in runs]
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
    finally:
        try:
            if first is not None:
                await first()
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
