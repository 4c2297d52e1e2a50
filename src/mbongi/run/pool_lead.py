"""What makes the pool's work, in the one process that does: follows the nodes, makes jobs of their templates."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.pool.adapters.node_beside import NodeBeside
from mbongi.pool.daemon.counters import JOB_NUMBERS, DurableCounter
from mbongi.pool.daemon.direct import DirectPayouts
from mbongi.pool.daemon.heads import Heads
from mbongi.pool.daemon.job_store import JobStore
from mbongi.pool.daemon.job_stream import Beat
from mbongi.pool.daemon.server import JOB_S_MAX
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.daemon.work import Payout, Work
from mbongi.pool.rules.heads import Standing
from mbongi.pool.rules.job import Job
from mbongi.pool.rules.payout.coinbase_plan import PLAN_FILE
from mbongi.pool.status import NodeStatus
from mbongi.pool.terms import payout_script
from mbongi.run.pool_nodes import CHAINS, feeds_of, limits_of, nodes_of, with_source
from mbongi.wire.bitcoin.address import networks
from mbongi.wire.bitcoin.target import TARGET_MAX, target_of_difficulty

TAG_BYTES_MAX: Final = 40
JOB_NUMBERS_STEP: Final = 16


def payout_of(config: Config, clock: SteadyClock) -> Payout:
    """What the pool's blocks pay to. Raises ConfigError."""
    script, limit = payout_script(config), config.pool.coinbase_outputs
    path = config.site.data_dir / "pool" / PLAN_FILE
    direct = DirectPayouts(path, script, limit=limit, now_s=clock.unix_s) if limit else None
    return Payout(script, tag_of(config), direct)


class Lead:
    """The nodes and the work on them. ``on_job`` and ``on_trouble`` as of ``Work``."""

    def __init__(
        self, config: Config, clock: SteadyClock, *, on_job: Callable[[Job], None], on_trouble: Callable[[str], None]
    ) -> None:
        folder = config.site.data_dir / "pool" / "jobs"
        self.clock, self._on_job, self._on_trouble = clock, on_job, on_trouble
        self.nodes = with_source(config, nodes_of(config))
        chains = CHAINS[config.pool.network]
        self.heads = Heads(self.nodes, limits=limits_of(config), chains=chains, unix_s=clock.unix_s)
        self._feeds = feeds_of(config, self.heads.look)
        self._jobs = JobStore(folder)
        self.work = Work(
            self.heads,
            payout_of(config, clock),
            halving_blocks=networks()[config.pool.network].halving_blocks,
            now_s=clock.now_s,
            numbers=DurableCounter(folder / "numbers", below=JOB_NUMBERS, step=JOB_NUMBERS_STEP),
            on_job=self._take_job,
            on_trouble=self._take_trouble,
            without_work_s=config.pool.without_work_s,
            target_max=target_max_of(config),
        )
        self._writing: set[asyncio.Future[None]] = set()
        self._trouble = ""
        self._newest = 0

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """What is to be run."""
        return [self.heads.run(), self.work.run(), *(feed.run() for feed in self._feeds)]

    async def close(self) -> None:
        """Once nothing of it runs any more."""
        await asyncio.gather(*self._writing, return_exceptions=True)
        for node in self.nodes:
            await node.close()

    def kept_jobs(self) -> list[Job]:
        """The work of the process before, so that shares for it count."""
        return self._jobs.newest(unix_s=self.clock.unix_s(), now_s=self.clock.now_s(), age_s_max=JOB_S_MAX)

    def beat(self) -> Beat:
        """How the work stands."""
        return Beat(
            job=self._newest,
            trouble=self._trouble,
            template_age_s=self.work.template_age_s,
            template_stale=self.work.is_stale,
            newest_fees_sat=self.work.newest_fees_sat,
            nodes=tuple(self._node_statuses()),
        )

    def take_solution(self, begin_hex: bytes) -> None:
        """A block that another process found: to the source of its template, which only this one is connected to."""
        for node in self.nodes:
            if isinstance(node, NodeBeside):
                node.hand_over(begin_hex)

    def _node_statuses(self) -> list[NodeStatus]:
        now_s, choice = monotonic_s(), self.heads.choice
        verdicts = choice.verdicts
        return [
            NodeStatus(
                name=head.name,
                standing=str(verdicts[head.name].standing if head.name in verdicts else Standing.UNHEARD),
                reason=verdicts[head.name].reason if head.name in verdicts else "",
                height=head.blocks,
                heard_s=now_s - head.heard_at_s if head.heard_at_s is not None else None,
                followed=head.name == choice.name,
            )
            for head in self.heads.heads
        ]

    def _take_job(self, job: Job) -> None:
        self._newest = job.number
        self._on_job(job)
        writing = asyncio.ensure_future(asyncio.to_thread(self._jobs.keep, job))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    def _take_trouble(self, reason: str) -> None:
        self._trouble = reason
        self._on_trouble(reason)


def tag_of(config: Config) -> bytes:
    """The pool's mark in its blocks. Raises ConfigError."""
    tag = config.pool.tag.encode()
    if len(tag) > TAG_BYTES_MAX:
        raise ConfigError(f"pool.tag: {len(tag)} bytes; at most {TAG_BYTES_MAX}")
    return tag


def target_max_of(config: Config) -> int:
    """What a hash must meet at least to be handed in as a block."""
    least = config.pool.block_difficulty_min
    return target_of_difficulty(least) if least > 0 else TARGET_MAX
