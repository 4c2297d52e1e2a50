"""The one bridge from asyncio daemons to Django's synchronous services."""

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Scope

P = ParamSpec("P")
R = TypeVar("R")

CALLS_WAITING_MAX = 1_000
"""Calls that wait at a time, at most; further callers wait to be let in."""
IDLE_CHECK_S = 1.0
"""A connection that rested longer is tried before it is used."""


class ThreadBridge:
    """Runs functions one after the other on a thread of their own, with one database connection.

    Calls see the rows of ``scope``. Use as ``async with ThreadBridge() as bridge: await bridge.call(service, ...)``.
    """

    def __init__(self, *, scope: Scope = SITE, waiting_max: int = CALLS_WAITING_MAX) -> None:
        self._scope = scope
        self._places = asyncio.Semaphore(waiting_max)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._used_at = 0.0

    async def __aenter__(self) -> "ThreadBridge":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``function`` on the thread and return what it returns.

        On a connection that proves dead it runs once more on a new one, except where the death came during a commit:
        then nobody knows whether the change is stored, and doing it twice would be worse than the error.
        Cancelling gives up the waiting, not a function that already runs.
        """
        async with self._places:
            loop = asyncio.get_running_loop()
            work = functools.partial(function, *args, **kwargs)
            return await loop.run_in_executor(self._thread, self._run, work)

    async def close(self) -> None:
        """Let running calls end, then close the connection and the thread."""
        loop = asyncio.get_running_loop()
        # Looked up on the thread itself: there `connection` is that thread's own.
        await loop.run_in_executor(self._thread, lambda: connection.close())  # noqa: PLW0108
        await asyncio.to_thread(self._thread.shutdown)

    def _run(self, work: Callable[[], R]) -> R:
        self._drop_dead_connection()
        with acting(self._scope):
            former: Any = connection.connection
            doubts = connection.commits_in_doubt  # type: ignore[attr-defined]
            try:
                return work()
            except (OperationalError, InterfaceError):
                is_dead = former is not None and former.closed
                if not is_dead or connection.commits_in_doubt != doubts:  # type: ignore[attr-defined]
                    raise
                connection.close()
                return work()
            finally:
                self._used_at = time.monotonic()

    def _drop_dead_connection(self) -> None:
        former: Any = connection.connection
        rested = time.monotonic() - self._used_at > IDLE_CHECK_S
        if former is not None and (former.closed or (rested and not connection.is_usable())):
            connection.close()
