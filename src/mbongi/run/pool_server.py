"""One of several pool processes that take miners' connections: its work comes over the bus from `mbongi pool`."""

import argparse
import asyncio
import contextlib
from typing import Final

import uvloop

from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError
from mbongi.pool.daemon.heads import Heads
from mbongi.pool.daemon.job_stream import SOLUTION_SUBJECT, JobFeed
from mbongi.pool.daemon.shipping import Shipper
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.rules.job import Job
from mbongi.run import practice
from mbongi.run.memory import return_large_buffers
from mbongi.run.only_one import only_one
from mbongi.run.pool_nodes import CHAINS, limits_of, nodes_of
from mbongi.run.pool_shard import Shard, bus_when_up
from mbongi.run.pool_state import read_state
from mbongi.run.stopping import run_until, stop_event
from mbongi.wire.bitcoin.hashing import display

log = get_log(__name__)

DAY_S: Final = 86_400.0
SOLUTIONS_MAX: Final = 100
"""Found blocks that wait for the bus; more are not told."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which one it is."""
    parser.add_argument("--shard", type=int, required=True, metavar="N", help="its number, from pool.shard on")


def main(config: Config, arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    first, count = config.pool.shard, config.pool.processes
    if not first <= arguments.shard < first + count:
        raise ConfigError(
            f"--shard {arguments.shard}: expected {first}..{first + count - 1} (pool.shard, pool.processes)"
        )
    if count == 1 and not config.pool.follows:
        raise ConfigError("pool.processes: 1, so `mbongi pool` serves the miners itself; set it to 2 or more")
    return_large_buffers()
    with only_one(config.site.data_dir, f"pool-{arguments.shard}"):
        return uvloop.run(_run(practice.fitted(config), arguments.shard))


def ready(config: Config, shard: int) -> bool:
    """Whether that shard takes connections."""
    state = read_state(config, str(shard))
    return state is not None and state.is_ready


class PoolServerProcess:
    """A shard, and the feed that gives it work."""

    def __init__(self, config: Config, shard: int) -> None:
        self._config, self._number = config, shard
        clock = SteadyClock()
        self._nodes = nodes_of(config)
        chains = CHAINS[config.pool.network]
        self._heads = Heads(self._nodes, limits=limits_of(config), chains=chains, unix_s=clock.unix_s)
        self.shard = Shard(
            config, clock, shard=shard, nodes=self._nodes, tips=self._heads, beat=lambda: self._feed.beat
        )
        self.shard.serve_declarations(tuple)
        self._solutions: asyncio.Queue[bytes] = asyncio.Queue(SOLUTIONS_MAX)
        if config.pool.template_provider or config.pool.ipc:
            self.shard.tell_solution = self._tell_solution
        serving = self.shard.serving
        self._feed = JobFeed(
            clock=clock,
            on_job=serving.take_job,
            restore=serving.server.restore,
            on_trouble=serving.take_trouble,
            is_on_tip=self._is_on_tip,
            without_work_s=config.pool.without_work_s,
        )

    def _is_on_tip(self, job: Job) -> bool:
        """Whether this process's own nodes say so; False where none can say."""
        return display(job.template.previous_hash) == self._heads.best_hash

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        await run_until(stop, [self._heads.run(), *self.shard.runs(), self._follow()], first=self.shard.serving.stop)
        await self.shard.close()
        for node in self._nodes:
            await node.close()

    def _tell_solution(self, begin_hex: bytes) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._solutions.put_nowait(begin_hex)

    async def _tell_solutions(self, bus: Bus) -> None:
        """Without the bus the source is not told; the nodes have the block all the same."""
        while True:
            begin_hex = await self._solutions.get()
            try:
                await bus.tell(SOLUTION_SUBJECT, begin_hex)
            except BusError as error:
                log.warning("solution_not_handed_over", reason=str(error))

    async def _follow(self) -> None:
        bus = await bus_when_up(self._config, f"pool-feed-{self._number}")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._feed.run(bus))
                tasks.create_task(self._tell_solutions(bus))
                if self._config.pool.follows:
                    folder = self._config.site.data_dir / "pool" / "shares"
                    keep_s = self._config.pool.share_log_days * DAY_S
                    tasks.create_task(Shipper(folder, self._number, keep_s=keep_s).run(bus))
        finally:
            await bus.close()


async def _run(config: Config, shard: int) -> int:
    with contextlib.suppress(asyncio.CancelledError):
        await PoolServerProcess(config, shard).run(stop_event())
    return 0
