"""The mining pool: follows the nodes, gives work to miners, keeps their shares, hands in their blocks."""

import argparse
import asyncio
import contextlib
from pathlib import Path

import uvloop

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.config import Config
from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusUnavailable
from mbongi.pool.daemon.blocks import Blocks
from mbongi.pool.daemon.counters import JOB_NUMBERS, DurableCounter
from mbongi.pool.daemon.heads import Heads
from mbongi.pool.daemon.job_store import JobStore
from mbongi.pool.daemon.reporting import Reporter
from mbongi.pool.daemon.server import JOB_S_MAX
from mbongi.pool.daemon.work import Payout, Work
from mbongi.pool.rules.heads import Standing
from mbongi.pool.rules.job import Job
from mbongi.pool.status import NodeStatus
from mbongi.pool.terms import payout_script
from mbongi.run import practice
from mbongi.run.declaring import declarator_of
from mbongi.run.pool_nodes import CHAINS, feeds_of, limits_of, nodes_of, with_provider
from mbongi.run.serving import Serving
from mbongi.run.stopping import stop_event
from mbongi.wire.bitcoin.address import networks
from mbongi.wire.bitcoin.target import TARGET_MAX, target_of_difficulty
from mbongi.wire.noise.certificate import sign_certificate
from mbongi.wire.noise.handshake import Responder
from mbongi.wire.noise.secp import EllSwiftKey, new_secret, x_only_of_secret

log = get_log(__name__)

TAG_BYTES_MAX = 40
CERTIFICATE_S = 86_400
CLOCK_TOLERANCE_S = 3_600
"""How far a miner's clock may be behind ours."""


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop."""
    return uvloop.run(_run(config))


async def ready(config: Config) -> bool:
    """Whether miners can connect: there is work."""
    try:
        async with asyncio.timeout(0.8):
            _reader, writer = await asyncio.open_connection(config.pool.host, config.pool.port)
            writer.transport.abort()
    except OSError:
        return False
    return True


class Pool:
    """The parts of one pool process, wired together."""

    def __init__(self, config: Config) -> None:
        self._config = config = practice.fitted(config)
        folder = config.site.data_dir / "pool"
        payout = Payout(payout_script(config), tag_of(config))
        self.nodes = with_provider(config, nodes_of(config))
        self.heads = Heads(self.nodes, limits=limits_of(config), chains=CHAINS[config.pool.network])
        self.feeds = feeds_of(config, self.heads.look)
        self.identity = Identity(config.site.data_dir / "secrets")
        self.serving = Serving(
            config,
            shard=config.pool.shard,
            on_block=self._on_block,
            responder=self.identity.responder,
            authority_key=self.identity.authority_key,
        )
        self.jobs = JobStore(folder / "jobs")
        self._restore()
        self.blocks = Blocks(
            folder / "blocks",
            self.nodes,
            self.heads,
            now_s=self.serving.server.now_s,
            pool_script=payout.script,
            shard=config.pool.shard,
        )
        self.work = Work(
            self.heads,
            payout,
            halving_blocks=networks()[config.pool.network].halving_blocks,
            now_s=self.serving.server.now_s,
            numbers=DurableCounter(folder / "jobs" / "numbers", below=JOB_NUMBERS, step=16),
            on_job=self._on_job,
            on_trouble=self.serving.take_trouble,
            target_max=_target_max(config),
        )
        self.serving.declarator = declarator_of(self.serving.server, self.nodes, lambda: self.work.transactions)
        self.reporter = Reporter(
            self.serving.server,
            connect=lambda: _bus(config),
            nodes=self._node_statuses,
            newest_fees_sat=lambda: self.work.newest_fees_sat,
            template_age_s=lambda: self.work.template_age_s,
            is_template_stale=lambda: self.work.is_stale,
            trouble=lambda: self.serving.trouble,
        )
        self._writing: set[asyncio.Future[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set."""
        runs = [
            self.heads.run(),
            self.work.run(),
            self.blocks.run(),
            self.serving.run(),
            self.reporter.run(),
            *(feed.run() for feed in self.feeds),
        ]
        tasks = [asyncio.create_task(each) for each in runs]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            await self.serving.stop()
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, *self._writing, return_exceptions=True)
            await self.reporter.close()
            for node in self.nodes:
                await node.close()

    def _on_block(self, job: Job, header: bytes, extranonce: bytes, worker: str) -> None:
        self.blocks.found(job, header, extranonce, worker)

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

    def _on_job(self, job: Job) -> None:
        self.serving.take_job(job)
        writing = asyncio.ensure_future(asyncio.to_thread(self.jobs.keep, job))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    def _restore(self) -> None:
        """Take up the work of the process before, so that shares for it count."""
        server = self.serving.server
        unix_s, now_s = server.clock.unix_s(), server.now_s()
        server.restore(self.jobs.newest(unix_s=unix_s, now_s=now_s, age_s_max=JOB_S_MAX))


class Identity:
    """What the pool proves itself with in Stratum V2: an authority's key, and a server key that it vouches for.

    Both are made on first use and kept; certificates are short, and made anew long before they end.
    """

    def __init__(self, folder: Path) -> None:
        self._authority = practice.authority_secret(folder)
        self._key = EllSwiftKey.of_secret(
            bytes.fromhex(stored_key(folder / "pool-server.key", new_secret().hex().encode()))
        )
        self.authority_key = x_only_of_secret(self._authority)
        self._renew_at_s = 0
        self._responder: Responder | None = None

    def responder(self) -> Responder:
        """The server's side of handshakes, with a certificate that is valid now."""
        now_s = int(utc_now().timestamp())
        if self._responder is None or not self._renew_at_s - CERTIFICATE_S < now_s < self._renew_at_s:
            certificate = sign_certificate(
                self._authority,
                server_key=self._key.x_only(),
                valid_from_s=now_s - CLOCK_TOLERANCE_S,
                not_valid_after_s=now_s + CERTIFICATE_S,
            )
            self._renew_at_s = now_s + CERTIFICATE_S // 2
            self._responder = Responder(self._key, certificate)
        return self._responder


async def _bus(config: Config) -> Bus:
    """The bus, with its streams; raises BusUnavailable."""
    bus = await Bus.open(config, name="pool", limit_s=5.0)
    try:
        await bus.ensure_streams(config)
    except BusUnavailable:
        await bus.close()
        raise
    return bus


def tag_of(config: Config) -> bytes:
    """The pool's mark in its blocks. Raises ConfigError."""
    tag = config.pool.tag.encode()
    if len(tag) > TAG_BYTES_MAX:
        raise ConfigError(f"pool.tag: {len(tag)} bytes; at most {TAG_BYTES_MAX}")
    return tag


def _target_max(config: Config) -> int:
    least = config.pool.block_difficulty_min
    return target_of_difficulty(least) if least > 0 else TARGET_MAX


async def _run(config: Config) -> int:
    with contextlib.suppress(asyncio.CancelledError):
        await Pool(config).run(stop_event())
    return 0
