"""The mining pool: follows the nodes, gives work to miners, keeps their shares, hands in their blocks.

With ``pool.processes`` above 1 this process makes the work, and ``pool-server`` processes take the miners' connections.
"""

import argparse
import asyncio
import contextlib
from typing import Final

import uvloop

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.pool.daemon.job_stream import SOLUTION_SUBJECT, Beat, JobStream
from mbongi.pool.daemon.shipping import Receiver
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.rules.job import Job
from mbongi.run import practice
from mbongi.run.memory import return_large_buffers
from mbongi.run.only_one import only_one
from mbongi.run.pool_lead import Lead
from mbongi.run.pool_shard import Shard, bus_when_up
from mbongi.run.pool_state import State, keep_state, read_state
from mbongi.run.stopping import run_until, stop_event

LEAD: Final = "work"
"""What the process that makes the work is called beside the numbers of those that serve miners."""


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop."""
    if config.pool.follows:
        raise ConfigError("pool.follows: work comes over the bus here; run `mbongi pool-server --shard N` instead")
    name = f"pool-{config.pool.shard}" if config.pool.processes == 1 else f"pool-{LEAD}"
    return_large_buffers()
    with only_one(config.site.data_dir, name):
        return uvloop.run(_run(practice.fitted(config)))


async def ready(config: Config) -> bool:
    """Whether there is work: miners can connect, or ``pool-server`` processes get it."""
    if config.pool.processes > 1:
        state = read_state(config, LEAD)
        return state is not None and state.is_ready
    try:
        async with asyncio.timeout(0.8):
            _reader, writer = await asyncio.open_connection(config.pool.host, config.pool.port)
            writer.transport.abort()
    except OSError:
        return False
    return True


class Pool:
    """Everything in one process."""

    def __init__(self, config: Config) -> None:
        clock = SteadyClock()
        self._config = config
        self.lead = Lead(
            config,
            clock,
            on_job=self._take_job,
            on_trouble=self._take_trouble,
        )
        shard = config.pool.shard
        self.shard = Shard(config, clock, shard=shard, nodes=self.lead.nodes, tips=self.lead.heads, beat=self.lead.beat)
        self.shard.serve_declarations(lambda: self.lead.work.transactions)
        self.shard.serving.server.restore(self.lead.kept_jobs())

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        await run_until(stop, [*self.lead.runs(), *self.shard.runs()], first=self.shard.serving.stop)
        await self.shard.close()
        await self.lead.close()

    def _take_job(self, job: Job) -> None:
        self.shard.serving.take_job(job)

    def _take_trouble(self, reason: str) -> None:
        self.shard.serving.take_trouble(reason)


class Leading:
    """The process that makes the work for several."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stream = JobStream(self._beat)
        self.lead = Lead(
            config, SteadyClock(), on_job=self._stream.publish, on_trouble=lambda _reason: self._stream.say()
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        await run_until(stop, [*self.lead.runs(), self._tell(), keep_state(self._config, LEAD, self._state)])
        await self.lead.close()

    def _beat(self) -> Beat:
        return self.lead.beat()

    def _state(self) -> State:
        beat = self._beat()
        return State(ready=bool(beat.job) and not beat.trouble, job=beat.job)

    async def _tell(self) -> None:
        bus = await bus_when_up(self._config, "pool")
        pool = self._config.pool
        own_shards = frozenset(range(pool.shard, pool.shard + pool.processes))
        receiver = Receiver(self._config.site.data_dir / "pool" / "shares", own_shards=own_shards)
        try:
            await bus.hear(SOLUTION_SUBJECT, self.lead.take_solution)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._stream.run(bus))
                tasks.create_task(receiver.run(bus))
        finally:
            await bus.close()


async def _run(config: Config) -> int:
    with contextlib.suppress(asyncio.CancelledError):
        part = Pool(config) if config.pool.processes == 1 else Leading(config)
        await part.run(stop_event())
    return 0
