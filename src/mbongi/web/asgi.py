"""The ASGI application of one web process: static files, Django, and the hub that lives as long as the process."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mbongi.settings")
django.setup()

from asgiref.sync import ThreadSensitiveContext  # noqa: E402 -- Django must be set up first
from django.conf import settings  # noqa: E402
from django.core.handlers.asgi import ASGIHandler  # noqa: E402

from mbongi.base.log import configure_log  # noqa: E402
from mbongi.core.identity.postgresql.base import DatabaseWrapper  # noqa: E402
from mbongi.web.assets import Assets, release  # noqa: E402
from mbongi.web.live.hub import HUB  # noqa: E402
from mbongi.web.live.source import IngestSource  # noqa: E402

THREADS_MAX = 12
"""Pages made at the same time, so database connections of one process, at most; further requests wait their turn."""
DATABASE_S_MAX = 10.0
"""For the database to take a connection, or to answer a statement; then the page says that it is away."""
_PR_SET_PDEATHSIG = 1  # prctl(2)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Handler(ASGIHandler):
    """Django with lasting threads: its own handler makes a thread, and so a database connection, for every request."""

    def __init__(self) -> None:
        super().__init__()
        self._places = asyncio.Semaphore(THREADS_MAX)
        self._resting: list[ThreadPoolExecutor] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request; streams get a thread of their own, because they last."""
        if scope["path"] == "/live":
            await super().__call__(scope, receive, send)
            return
        async with self._places:
            thread = self._resting.pop() if self._resting else ThreadPoolExecutor(1, thread_name_prefix="page")
            try:
                async with ThreadSensitiveContext(executor=thread):
                    await self.handle(scope, receive, send)
            finally:
                self._resting.append(thread)


class Application:
    """Django behind the static files, with the hub started and ended by the server's life span."""

    def __init__(self) -> None:
        log = settings.CONFIG.log
        configure_log(process="web", level=log.level, style=log.style)
        # The server's parent process may be killed; its workers must not keep the port then.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        DatabaseWrapper.answer_s_max = DATABASE_S_MAX
        self._serve = Assets(Handler())
        release()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection, or the life span."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        source = IngestSource(settings.CONFIG, HUB.hear)
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                HUB.source = source
                HUB.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await HUB.close()
                await source.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


application = Application()
