"""The pool's server: its connections, the jobs that they work on, and the one place where shares are kept and answered.

Answers of one turn of the event loop leave together at its end: first the shares go to the log in one write, then each
connection gets its answers. A share is never answered with yes before it is in the log.
"""

import asyncio
import secrets
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from mbongi.base.clock import monotonic_s, utc_now
from mbongi.base.log import get_log
from mbongi.pool.daemon.connection import PoolConnection
from mbongi.pool.daemon.gate import Gate, Limits
from mbongi.pool.daemon.share_log import ShareLog
from mbongi.pool.daemon.statistics import Statistics
from mbongi.pool.daemon.v1 import V1Session, job_line, new_session_id
from mbongi.pool.daemon.v2 import V2Session
from mbongi.pool.daemon.v2_jobs import JobFrames
from mbongi.pool.errors import ShareLogError
from mbongi.pool.rules.generations import Generations
from mbongi.pool.rules.job import EXTRANONCE1_BYTES, Job
from mbongi.pool.rules.vardiff import Vardiff
from mbongi.pool.values import Reject
from mbongi.wire.noise.handshake import Responder

log = get_log(__name__)

JOBS_KEPT: Final = 64
JOB_S_MAX: Final = 600.0
"""A job older than this is forgotten, and a share for it unknown."""
SEEN_MAX: Final = 2_000_000
"""Hashes remembered over all jobs (some 200 MB); above it the oldest job is forgotten."""
SYNC_S: Final = 0.5
RESUME_S_MAX: Final = 600.0
"""How long a lost connection's session may be taken up again."""
SESSIONS_REMEMBERED: Final = 20_000
OnBlock = Callable[[Job, bytes, bytes, str], None]
"""Called with job, header, extranonce and worker the moment a block is found. Must not block."""


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Of shares: where a connection begins, between what it may move, and how often shares should come."""

    start: float = 16_384.0
    minimum: float = 1.0
    maximum: float = 2.0**50
    shares_per_minute: float = 6.0


class PoolServer:
    """All connections of one process. Every call comes from its event loop, but for ``ShareLog.sync``."""

    def __init__(
        self,
        share_log: ShareLog,
        *,
        on_block: OnBlock,
        difficulty: Difficulty | None = None,
        limits: Limits | None = None,
        shard: int = 0,
    ) -> None:
        self.log, self.shard = share_log, shard
        self.gate = Gate(limits or Limits(), self.now_s)
        self.statistics = Statistics()
        self._difficulty = difficulty or Difficulty()
        self._on_block = on_block
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._current: Job | None = None
        self._lines: dict[tuple[int, bool], bytes] = {}
        self._frames: JobFrames | None = None
        self._extranonces = secrets.randbelow(1 << 24)
        self._resumable: OrderedDict[str, tuple[bytes, Generations, float]] = OrderedDict()
        self._answering: list[PoolConnection] = []
        self._wall_offset_s = utc_now().timestamp() - monotonic_s()
        self._log_failed = False

    # Listening.

    async def listen(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Take Stratum V1 connections there; returns the port, which the system chooses where 0 is asked for."""
        return await self.gate.listen(lambda: V1Session(self), host, port, tls=tls)

    async def listen_v2(self, host: str, port: int, responder: Callable[[], Responder]) -> int:
        """Take Stratum V2 connections there; ``responder`` gives the one whose certificate is valid now."""
        return await self.gate.listen(lambda: V2Session(self, responder()), host, port)

    async def run(self) -> None:
        """Keep the log on the disk, difficulties and limits up to date, until cancelled."""
        await asyncio.gather(self._keep_synced(), self.gate.keep_looking())

    @property
    def sessions(self) -> "set[PoolConnection]":
        """The connections there are."""
        return cast("set[PoolConnection]", self.gate.connections)

    @property
    def keeps_shares(self) -> bool:
        """Whether the last shares could be written."""
        return not self._log_failed

    def now_s(self) -> float:
        """Unix seconds that never jump: a clock set back must not refuse honest shares."""
        return monotonic_s() + self._wall_offset_s

    # Jobs.

    def publish(self, job: Job) -> None:
        """Give a job to every miner. One on another tip than the last makes all earlier ones stale."""
        last = self._current
        clean = last is None or last.template.previous_hash != job.template.previous_hash
        if clean:
            for each in self._jobs.values():
                each.retire()
        self._jobs[job.number] = job
        self._current = job
        self._lines, self._frames = {}, None
        self._forget_old_jobs()
        began_s, now_s = monotonic_s(), self.now_s()
        self.statistics.checked.add((now_s - job.made_at_s) * 1000.0, now_s)
        for session in self.sessions:
            session.new_job(clean=clean)
        if self.sessions:
            # After the answers of this turn of the loop, among which connections of Stratum V2 get their work.
            asyncio.get_running_loop().call_soon(self._told, began_s)

    def _told(self, began_s: float) -> None:
        self.statistics.told.add((monotonic_s() - began_s) * 1000.0, self.now_s())

    def work_line(self, generation: int, *, clean: bool) -> bytes:
        """The newest job as a line, the same bytes for all connections of a generation; empty where there is none."""
        if self._current is None:
            return b""
        line = self._lines.get((generation, clean))
        if line is None:
            line = self._lines[generation, clean] = job_line(self._current, generation, clean=clean)
        return line

    @property
    def current_job(self) -> Job | None:
        """The newest job; None before the first."""
        return self._current

    @property
    def job_frames(self) -> JobFrames | None:
        """The newest job as frames; None before the first."""
        if self._frames is None and self._current is not None:
            self._frames = JobFrames(self._current)
        return self._frames

    @property
    def newest_number(self) -> int:
        """The newest job's number; 0 before the first."""
        return self._current.number if self._current is not None else 0

    def job(self, number: int) -> Job | None:
        """A job that was given out; None for an unknown or forgotten one."""
        return self._jobs.get(number)

    def _forget_old_jobs(self) -> None:
        oldest_s, seen = self.now_s() - JOB_S_MAX, sum(len(job.seen) for job in self._jobs.values())
        while len(self._jobs) > 1:
            job = next(iter(self._jobs.values()))
            if len(self._jobs) <= JOBS_KEPT and job.made_at_s > oldest_s and seen <= SEEN_MAX:
                return
            seen -= len(job.seen)
            self._jobs.popitem(last=False)

    # Connections.

    def new_vardiff(self) -> Vardiff:
        """A connection's difficulty at its start."""
        limits = self._difficulty
        return Vardiff(
            self.now_s(),
            start=limits.start,
            minimum=limits.minimum,
            maximum=limits.maximum,
            shares_per_minute=limits.shares_per_minute,
        )

    @property
    def shares_per_minute(self) -> float:
        """How often each miner's shares should come."""
        return self._difficulty.shares_per_minute

    def closed(self, connection: PoolConnection) -> None:
        """A connection is gone; a session of Stratum V1 may be taken up again for a while."""
        if not self.gate.closed(connection):
            return
        if isinstance(connection, V1Session) and connection.session and connection.workers:
            self._resumable[connection.session] = (
                connection.extranonce1,
                connection.generations,
                self.now_s(),
            )
            while len(self._resumable) > SESSIONS_REMEMBERED:
                self._resumable.popitem(last=False)

    def assign(self, session: V1Session, wish: str) -> tuple[str, bytes]:
        """Session id and extranonce1: the former ones where the miner names a session that was lost lately."""
        found = self._resumable.pop(wish, None) if wish else None
        if found is not None and self.now_s() - found[2] <= RESUME_S_MAX:
            session.take_up(found[1])
            return wish, found[0]
        return new_session_id(), self.new_extranonce1()

    def new_extranonce1(self) -> bytes:
        """A part of the search space that nobody else has; its first byte tells processes apart."""
        self._extranonces = (self._extranonces + 1) % (1 << 24)
        return bytes([self.shard]) + self._extranonces.to_bytes(EXTRANONCE1_BYTES - 1, "big")

    def refusal(self, user: str) -> str:
        """Why a worker may not mine here; empty where it may."""
        return "" if 0 < len(user) <= 128 else "A user name has 1 to 128 characters"

    # Answers.

    def found_block(self, job: Job, header: bytes, extranonce: bytes, worker: str) -> None:
        """A share made a block: out with it before anything else."""
        self.statistics.blocks += 1
        self._on_block(job, header, extranonce, worker)

    def has_answers(self, connection: PoolConnection) -> None:
        """Send a connection's answers at the end of this turn of the loop."""
        if not self._answering:
            asyncio.get_running_loop().call_soon(self._answer)
        self._answering.append(connection)

    def _answer(self) -> None:
        sessions, self._answering = self._answering, []
        shares = [each for session in sessions for each in session.out if type(each) is tuple]
        kept = self._keep(shares) if shares else True
        for session in sessions:
            if session.out:
                session.flush(kept=kept)

    def _keep(self, shares: "list[tuple[bytes, int, Job, bytes, Any]]") -> bool:
        """Log the shares; False, and forget them, where that fails."""
        records = [each[0] for each in shares]
        try:
            self.log.append(records, {each[1] for each in shares})
        except ShareLogError as error:
            for _record, _worker, job, hash_, _id in shares:
                job.seen.discard(hash_[:8])
            self.statistics.rejected[Reject.UNAVAILABLE] += len(shares)
            if not self._log_failed:
                self._log_failed = True
                log.error("share_log_failed", error=str(error))  # noqa: TRY400 -- an outage is no bug
            return False
        if self._log_failed:
            self._log_failed = False
            log.info("share_log_recovered")
        self.statistics.kept(records)
        return True

    # Upkeep.

    async def _keep_synced(self) -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            try:
                await asyncio.to_thread(self.log.sync)
            except ShareLogError as error:
                log.error("share_log_failed", error=str(error))  # noqa: TRY400
