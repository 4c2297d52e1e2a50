"""Replays that people asked for, each made by a process of its own, so that the poller has no day of rows beside it."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE

from mbongi.base.config import Config, as_environment
from mbongi.base.log import get_log
from mbongi.fleet import healing_replay
from mbongi.fleet.daemon.persistence import AWAY, Database

log = get_log(__name__)

LOOK_S = 1.0
REPLAY_S_MAX = 900.0
"""A replay that takes longer is ended."""


class Replaying:
    """Makes replays one after the other; one that was interrupted is made anew."""

    def __init__(self, config: Config, database: Database) -> None:
        self._config, self._database = config, database

    async def run(self) -> None:
        """Until cancelled. While the database is away, it waits."""
        while True:
            with contextlib.suppress(*AWAY):
                number = await self._database.call(healing_replay.begin_next)
                if number is not None:
                    await self._make(number)
                    continue
            await asyncio.sleep(LOOK_S)

    async def _make(self, number: int) -> None:
        log.info("replay_begins", number=number)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mbongi.cli", "healing", "make", str(number)),
            env=os.environ | as_environment(self._config),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        error = ""
        try:
            async with asyncio.timeout(REPLAY_S_MAX):
                _out, said = await process.communicate()
            if process.returncode:
                lines = said.decode(errors="replace").strip().splitlines()
                error = lines[-1] if lines else f"ended with status {process.returncode}"
        except TimeoutError:
            error = f"not over within {REPLAY_S_MAX:g} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        log.info("replay_over", number=number, error=error)
        # Also where it said nothing and made nothing, so that it is not tried for ever.
        await self._database.insist(healing_replay.fail, number, error or "it ended without a result")
