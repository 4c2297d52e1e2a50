"""Tells the bus what the pool process does: its state every STATUS_S, its workers every minute, and a row of telemetry
for each of them. The pool goes on without the bus: rows wait in memory up to ROWS_BYTES_MAX, then the oldest give way.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, BusUnavailable
from mbongi.core.telemetry.batches import ROWS_MAX
from mbongi.core.telemetry.outgoing import Outgoing
from mbongi.pool.daemon.server import PoolServer
from mbongi.pool.daemon.statistics import MinuteRow, members_of
from mbongi.pool.rules.hashrate import Rate
from mbongi.pool.rules.job import Job
from mbongi.pool.status import (
    STATUS_S,
    STATUS_SUBJECT,
    WORKERS_SUBJECT,
    BestShare,
    Latency,
    NodeStatus,
    PoolStatus,
    TemplateStatus,
    WorkerHashrate,
    WorkerHashrates,
)
from mbongi.pool.telemetry import WORKER, worker_number
from mbongi.pool.values import Protocol, Reject, account_of
from mbongi.wire.bitcoin.target import difficulty_of_target

log = get_log(__name__)

ROWS_BYTES_MAX: Final = 64_000_000
"""Hours of a thousand workers, of ten thousand some twenty minutes."""
MINUTE_S: Final = 60
LOOK_S: Final = 10.0
"""How often it is counted who is connected."""
BUS_RETRY_S: Final = 2.0
WORKERS_PART: Final = 500
DRAIN_S: Final = 2.0
Connect = Callable[[], Awaitable[Bus]]


class Reporter:
    """Reports of one process. ``run`` until cancelled; ``connect`` opens the bus, and raises BusUnavailable."""

    def __init__(
        self,
        server: PoolServer,
        *,
        connect: Connect,
        nodes: Callable[[], Sequence[NodeStatus]],
        newest_fees_sat: Callable[[], int],
        template_age_s: Callable[[], float],
        is_template_stale: Callable[[], bool],
        trouble: Callable[[], str],
    ) -> None:
        self._server, self._connect = server, connect
        self._nodes, self._newest_fees_sat = nodes, newest_fees_sat
        self._template_age_s, self._trouble = template_age_s, trouble
        self._is_template_stale = is_template_stale
        self._outgoing = Outgoing(WORKER, f"pool{server.shard}", bytes_max=ROWS_BYTES_MAX)
        self._bus: Bus | None = None
        self._started_s = server.now_s()
        self._minute_began_s = self._started_s
        self._best: BestShare | None = None

    async def run(self) -> None:
        """Count and tell."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._count())
            tasks.create_task(self._serve_bus())

    async def close(self) -> None:
        """The end: hand over what waits, within DRAIN_S."""
        self._end_minute(self._server.now_s())
        if self._bus is not None:
            await self._outgoing.drain(self._bus, DRAIN_S)
            await self._bus.close()

    # Counting.

    async def _count(self) -> None:
        looked_s = 0.0
        while True:
            now_s, statistics = self._server.now_s(), self._server.statistics
            if monotonic_s() - looked_s >= LOOK_S:
                looked_s = monotonic_s()
                statistics.look(members_of(self._server.sessions), now_s)
            statistics.gather(self._network_difficulty())
            if now_s // MINUTE_S > self._minute_began_s // MINUTE_S:
                self._end_minute(now_s)
                await self._tell_workers(now_s)
            await self._tell_status(now_s)
            await asyncio.sleep(STATUS_S)

    def _network_difficulty(self) -> float:
        job = self._server.current_job
        return 0.0 if job is None else difficulty_of_target(job.template.target)

    def _end_minute(self, now_s: float) -> None:
        span_s = max(now_s - self._minute_began_s, 1e-3)
        rows = self._server.statistics.end_minute(now_s, span_s, self._network_difficulty())
        at_ms, self._minute_began_s = int(self._minute_began_s * 1000), now_s
        for first in range(0, len(rows), ROWS_MAX):
            self._outgoing.put(self._columns(rows[first : first + ROWS_MAX], at_ms, span_s))

    def _columns(self, rows: Sequence[MinuteRow], at_ms: int, span_s: float) -> dict[str, list[Any]]:
        names = [self._server.log.name(row.number) for row in rows]
        counts, rejected = [row.counts for row in rows], [row.rejected for row in rows]
        reasons = (Reject.STALE, Reject.UNKNOWN_JOB, Reject.DUPLICATE, Reject.LOW_DIFFICULTY)
        return {
            "ts": [at_ms] * len(rows),
            "machine_id": [worker_number(name) for name in names],
            "worker": names,
            "account": [account_of(name) for name in names],
            "agent": [row.agent for row in rows],
            "protocol": [row.protocol for row in rows],
            "shard": [self._server.shard] * len(rows),
            **{
                field: [getattr(each, field) for each in counts]
                for field in ("shares", "work", "work_squared", "hardest", "best", "blocks")
            },
            "expected_blocks": [row.expected_blocks for row in rows],
            "rejected": [each.total() for each in rejected],
            **{f"rejected_{reason}": [each[reason] for each in rejected] for reason in reasons},
            "covered_s": [span_s] * len(rows),
        }

    # Telling.

    def status(self, now_s: float) -> PoolStatus:
        """The process at this moment."""
        server, statistics = self._server, self._server.statistics
        told, checked = statistics.told.all(now_s), statistics.checked.all(now_s)
        protocols = [session.protocol for session in server.sessions]
        return PoolStatus(
            shard=server.shard,
            at_ms=int(now_s * 1000),
            started_ms=int(self._started_s * 1000),
            listening=server.gate.is_listening,
            trouble=self._trouble(),
            template_stale=self._is_template_stale(),
            keeps_shares=server.keeps_shares,
            v1_connections=protocols.count(Protocol.STRATUM_V1),
            v2_connections=protocols.count(Protocol.STRATUM_V2),
            workers=statistics.online,
            refused=server.gate.refused,
            accepted=statistics.accepted,
            work=statistics.work,
            rejected=statistics.rejected_by_name(),
            by_firmware={name: dict(counts) for name, counts in statistics.by_firmware.items()},
            windows=statistics.windows(now_s),
            best=self._best_share(now_s),
            blocks=statistics.blocks,
            expected_blocks=statistics.expected_blocks,
            told=Latency(counts=tuple(told.counts), max_ms=told.max_ms),
            checked=Latency(counts=tuple(checked.counts), max_ms=checked.max_ms),
            template=self._template(server.current_job),
            nodes=tuple(self._nodes()),
            rows_dropped=self._outgoing.dropped,
        )

    def _best_share(self, now_s: float) -> BestShare | None:
        best = self._server.statistics.best
        if best is not None and (self._best is None or best[0] > self._best.difficulty):
            name = self._server.log.name(best[1])
            self._best = BestShare(difficulty=best[0], worker=name, at_ms=int(now_s * 1000))
        return self._best

    def _template(self, job: Job | None) -> TemplateStatus | None:
        if job is None:
            return None
        template = job.template
        return TemplateStatus(
            height=template.height,
            fees_sat=template.fees_sat,
            best_fees_sat=max(self._newest_fees_sat(), template.fees_sat),
            value_sat=template.value_sat,
            transactions=template.transaction_count,
            weight=template.weight,
            age_s=self._template_age_s(),
            difficulty=difficulty_of_target(template.target),
        )

    async def _tell_status(self, now_s: float) -> None:
        await self._tell(STATUS_SUBJECT, self.status(now_s))

    async def _tell_workers(self, now_s: float) -> None:
        sights = self._server.statistics.sights(now_s)
        for first in range(0, len(sights), WORKERS_PART):
            workers = []
            for number, tally in sights[first : first + WORKERS_PART]:
                rate, name = Rate.of(tally), self._server.log.name(number)
                workers.append(WorkerHashrate(name, tally.span_s, rate.value, rate.low, rate.high))
            part = WorkerHashrates(shard=self._server.shard, at_ms=int(now_s * 1000), workers=tuple(workers))
            await self._tell(WORKERS_SUBJECT, part)

    async def _tell(self, subject: str, content: msgspec.Struct) -> None:
        if self._bus is not None:
            with contextlib.suppress(BusError):  # whoever listens sees the age of the last word
                await self._bus.tell(f"{subject}.{self._server.shard}", msgspec.json.encode(content))

    async def _serve_bus(self) -> None:
        is_told = False
        while self._bus is None:
            try:
                self._bus = await self._connect()
            except BusUnavailable as error:
                if not is_told:
                    is_told = True
                    log.warning("pool_waits_for_bus", error=str(error))
                await asyncio.sleep(BUS_RETRY_S)
        await self._outgoing.run(self._bus)
