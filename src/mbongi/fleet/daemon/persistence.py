"""Calls to the database that wait out its absence."""

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError

from mbongi.base.log import get_log
from mbongi.core.threads import ThreadBridge

log = get_log(__name__)

P = ParamSpec("P")
R = TypeVar("R")
RETRY_S = 1.0
AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError)
"""What the database's absence looks like; anything else is an error of the call."""


class Database:
    """The thread bridge, with an outage logged once and its end once."""

    def __init__(self, bridge: ThreadBridge) -> None:
        self._bridge = bridge
        self._is_away = False

    @property
    def is_away(self) -> bool:
        """Whether the last call found no database."""
        return self._is_away

    async def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """One call. Raises what it raises; OperationalError or InterfaceError while the database is away."""
        try:
            result = await self._bridge.call(function, *args, **kwargs)
        except AWAY as error:
            if not self._is_away:
                self._is_away = True
                log.warning("database_away", error=_first_line(error))
            raise
        if self._is_away:
            self._is_away = False
            log.info("database_back")
        return result

    async def insist(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call until the database is there. Only for calls that may be repeated. Raises any other error."""
        while True:
            try:
                return await self.call(function, *args, **kwargs)
            except AWAY:
                await asyncio.sleep(RETRY_S)


def _first_line(error: Any) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
