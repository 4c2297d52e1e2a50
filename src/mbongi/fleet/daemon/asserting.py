"""Looks, while its process leads, for machines that their profiles want to bring back by themselves."""

import asyncio
import contextlib
from collections.abc import Callable

from mbongi.base.clock import monotonic_s
from mbongi.base.errors import MbongiError
from mbongi.base.log import get_log
from mbongi.fleet import reassertion
from mbongi.fleet.daemon.persistence import AWAY, Database

log = get_log(__name__)

LOOK_S = 5.0
NOTHING_S = 30.0
"""A machine for which nothing could be written is passed over for so long."""


class Asserting:
    """Begins operations; ``on_begun`` is called when it did."""

    def __init__(self, database: Database, on_begun: Callable[[], None], *, look_s: float = LOOK_S) -> None:
        self._database, self._on_begun, self._look_s = database, on_begun, look_s
        self._nothing: dict[int, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(*AWAY):
                await self.look()
            await asyncio.sleep(self._look_s)

    async def look(self) -> None:
        """One look. Raises while the database is away."""
        now = monotonic_s()
        self._nothing = {machine_id: until for machine_id, until in self._nothing.items() if until > now}
        try:
            begun, without = await self._database.call(reassertion.look, but_not=list(self._nothing))
        except MbongiError as error:
            log.warning("reassertion_refused", error=str(error))
            return
        self._nothing |= dict.fromkeys(without, now + NOTHING_S)
        for operation_id in begun:
            log.info("profile_reasserts_itself", operation_id=operation_id)
        if begun:
            self._on_begun()
