"""The pool's server: its connections, the jobs that they work on, and the one place where shares are kept and answered.

Answers of one turn of the event loop leave together at its end: first the shares go to the log in one write, then each
connection gets its answers. A share is never answered with yes before it is in the log.
"""

import asyncio
import itertools
import secrets
import socket
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.pool.daemon.connection import PoolConnection
from mbongi.pool.daemon.counters import EXTRANONCE_NUMBERS, Extranonces
from mbongi.pool.daemon.custom_jobs import CustomJobs
from mbongi.pool.daemon.declaration_session import DeclarationSession
from mbongi.pool.daemon.declarator import Declarator
from mbongi.pool.daemon.gate import SLICE, Gate, Limits
from mbongi.pool.daemon.handover import Arrival, Handover
from mbongi.pool.daemon.sessions import Kept, Sessions, shard_of, write_sessions
from mbongi.pool.daemon.share_log import NAME_BYTES_MAX, ShareLog
from mbongi.pool.daemon.statistics import Statistics
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.daemon.v1 import V1Session, job_line
from mbongi.pool.daemon.v2 import V2Session
from mbongi.pool.daemon.v2_jobs import JobFrames
from mbongi.pool.errors import ShareLogError
from mbongi.pool.rules.job import Job
from mbongi.pool.rules.vardiff import Vardiff
from mbongi.pool.values import Reject
from mbongi.wire.bitcoin.hashing import sha256d
from mbongi.wire.noise.handshake import Responder

log = get_log(__name__)

NAME_CHARACTERS_MAX: Final = 128
JOBS_KEPT: Final = 64
JOB_S_MAX: Final = 600.0
"""A job older than this is forgotten, and a share for it unknown."""
SEEN_MAX: Final = 2_000_000
"""Hashes remembered over all jobs (some 200 MB); above it the oldest job is forgotten."""
SYNC_S: Final = 0.5
FOLLOW_S: Final = 5.0
"""How often the system's clock is looked at."""
TIPS_KNOWN: Final = 32
FOUND_KNOWN: Final = 100
"""Blocks found lately: a declared one is told twice, as a share and by itself."""
PART_LOOK_S: Final = 0.05
KEEP_S_MAX: Final = 2.0
"""So long answers wait for a found block to be kept; a disk that hangs must not end the mining."""
OnBlock = Callable[[Job, bytes, bytes, str], "asyncio.Future[None] | None"]
"""Called with job, header, extranonce and worker the moment a block is found. Must not block; what it returns is done
when the block is kept, and no share is answered before: what was acknowledged survives ``kill -9``."""


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
        extranonces: Extranonces | None = None,
        clock: SteadyClock | None = None,
    ) -> None:
        self.log, self.shard = share_log, shard
        self.clock = clock or SteadyClock()
        self.gate = Gate(limits or Limits(), self.now_s)
        self.extranonces = extranonces or Extranonces(shard, itertools.count(secrets.randbelow(EXTRANONCE_NUMBERS)))
        self.resumable = Sessions(shard, self.extranonces, self.clock.unix_s)
        self.statistics = Statistics()
        self._difficulty = difficulty or Difficulty()
        self._on_block = on_block
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._current: Job | None = None
        self._told_tip = b""
        self._lines: dict[tuple[int, bool], bytes] = {}
        self._frames: JobFrames | None = None
        self.custom: CustomJobs | None = None
        """Jobs that miners bring; None where the pool takes none."""
        self._tips: deque[bytes] = deque(maxlen=TIPS_KNOWN)
        self._found: deque[bytes] = deque(maxlen=FOUND_KNOWN)
        self._marks: dict[int, set[bytes]] = {}
        self._marks_until_s = 0.0
        self._by_session: dict[str, V1Session] = {}
        self.handover: Handover | None = None
        """Where other processes of this machine share its ports."""
        self._passing: set[asyncio.Task[None]] = set()
        self._answering: dict[PoolConnection, None] = {}
        """In the order of their first word of this turn; each once, or its shares would be kept twice."""
        self._keeping: set[asyncio.Future[None]] = set()
        """Found blocks on their way to the disk."""
        self._held: dict[PoolConnection, None] = {}
        """Connections whose shares wait for these."""
        self._saving = asyncio.Lock()
        self._log_failed = self._save_failed = False

    # Listening.

    async def listen(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Take Stratum V1 connections there; returns the port, which the system chooses where 0 is asked for."""
        return await self.gate.listen(lambda: V1Session(self), host, port, tls=tls)

    async def listen_v2(self, host: str, port: int, responder: Callable[[], Responder]) -> int:
        """Take Stratum V2 connections there; ``responder`` gives the one whose certificate is valid now."""
        return await self.gate.listen(lambda: V2Session(self, responder()), host, port)

    async def listen_declarations(
        self, host: str, port: int, responder: Callable[[], Responder], declarator: Declarator
    ) -> int:
        """Take connections of Stratum V2's Job Declaration protocol there."""
        return await self.gate.listen(lambda: DeclarationSession(self, responder(), declarator), host, port)

    async def run(self) -> None:
        """Keep the log on the disk, difficulties and limits up to date, until cancelled."""
        await asyncio.gather(self._keep_synced(), self._follow_clock(), self.gate.keep_looking())

    async def part(self, *, within_s: float) -> None:
        """Ask all miners to connect again, and answer what they still send, until they are gone or the time is up."""
        self.gate.stop_listening()
        if self.handover is not None:
            self.handover.close()
        log.info("miners_asked_to_reconnect", connections=len(self.sessions))
        for session in list(self.sessions):
            session.ask_to_reconnect()
        end_s = self.now_s() + within_s
        while self.sessions and self.now_s() < end_s:  # noqa: ASYNC110 -- the last answers may go out any time
            await asyncio.sleep(PART_LOOK_S)
        for session in list(self.sessions):
            session.close()
        await asyncio.sleep(PART_LOOK_S)

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
        return self.clock.now_s()

    # Jobs.

    def publish(self, job: Job) -> None:
        """Give a job to every miner. One on another tip than the last makes all earlier ones stale."""
        self._add(job)
        clean, self._told_tip = job.template.previous_hash != self._told_tip, job.template.previous_hash
        if self.custom is not None:
            self.custom.moved(clean=clean)
        began_s, now_s = monotonic_s(), self.now_s()
        self.statistics.checked.add((now_s - job.made_at_s) * 1000.0, now_s)
        for session in self.sessions:
            session.new_job(clean=clean)
        if self.sessions:
            # After the answers of this turn of the loop, among which connections of Stratum V2 get their work.
            asyncio.get_running_loop().call_soon(self._told, began_s)

    def _told(self, began_s: float) -> None:
        self.statistics.told.add((monotonic_s() - began_s) * 1000.0, self.now_s())

    def restore(self, jobs: Iterable[Job]) -> None:
        """Know jobs that were given out before, oldest first, so that shares for them count; nobody is told."""
        for job in jobs:
            if job.number not in self._jobs:
                self._add(job)

    def expect(self, marks: dict[int, set[bytes]]) -> None:
        """Know the shares that were accepted before a restart: by job number, the first bytes of their hashes.

        Those of jobs that never come again are forgotten once a job of that time would be too old.
        """
        self._marks, self._marks_until_s = marks, self.now_s() + JOB_S_MAX

    def _add(self, job: Job) -> None:
        """Make it the newest job."""
        last = self._current
        if last is None or last.template.previous_hash != job.template.previous_hash:
            for each in self._jobs.values():
                each.retire()
            self._tips.append(job.template.previous_hash)
        job.seen |= self._marks.pop(job.number, set())
        self._jobs[job.number] = job
        self._current = job
        self._lines, self._frames = {}, None
        self._forget_old_jobs()

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

    def was_tip(self, block_hash: bytes) -> bool:
        """Whether there was work on this block lately, or is."""
        return block_hash in self._tips

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
        if isinstance(connection, V1Session):
            self._by_session.pop(connection.session, None)
        kept = self._kept(connection)
        if kept is not None:
            self.resumable.lose(kept)
        else:
            for extranonce1 in connection.extranonces():
                self.extranonces.give_back(extranonce1)

    def assign(self, session: V1Session, wish: str) -> tuple[str, bytes]:
        """Session id and extranonce1: the former ones where the miner names a session that it has lost.

        A connection that the miner lost may still look open from here; it ends now.
        """
        held = self._by_session.get(wish) if wish else None
        if held is not None:
            held.drop()
            self.closed(held)
        kept = self.resumable.take(wish) if wish else None
        if kept is None:
            found = self.resumable.new_id(), self.extranonces.take()
        else:
            session.take_up(kept)
            found = kept.session, kept.extranonce1
        self._by_session[found[0]] = session
        return found

    def passes_on(self, session: V1Session, wish: str, id_: bytes) -> bool:
        """Pass a miner on to the process of this machine that keeps the session it names; False where none does."""
        owner = shard_of(wish)
        if owner is None or self.handover is None or not self.handover.keeps(owner):
            return False
        set_out = session.set_out(wish, id_)
        if set_out is None:
            return False
        task = asyncio.create_task(self._pass_on(session, owner, *set_out))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        return True

    async def _pass_on(
        self, session: V1Session, owner: int, transport: asyncio.Transport, arrival: Callable[[], Arrival]
    ) -> None:
        handover = self.handover
        while transport.get_write_buffer_size() and not transport.is_closing():  # noqa: ASYNC110 -- it has no event
            await asyncio.sleep(PART_LOOK_S)
        await asyncio.sleep(0)  # by now it has set aside the lines that came together
        if not transport.is_closing():
            descriptor = transport.get_extra_info("socket").fileno()
            if handover is not None and await handover.send(owner, descriptor, arrival()):
                transport.abort()
            else:
                session.stay(arrival())

    def take_over(self, connection: socket.socket, arrival: Arrival) -> None:
        """A miner whose session this process keeps, and which another process was reached by."""
        task = asyncio.create_task(self._take_over(connection, arrival))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _take_over(self, connection: socket.socket, arrival: Arrival) -> None:
        connection.setblocking(False)  # noqa: FBT003 -- the library's
        loop = asyncio.get_running_loop()
        try:
            _transport, session = await loop.connect_accepted_socket(lambda: V1Session(self), connection)
        except OSError:
            connection.close()
            return
        if session.transport is not None:  # else it was refused, and its session stays to be asked for again
            session.arrive(arrival)

    def _kept(self, connection: PoolConnection) -> Kept | None:
        """What is kept of a connection; None where nothing is to be taken up again."""
        return connection.kept(self.clock.unix_s()) if isinstance(connection, V1Session) else None

    async def save_sessions(self, path: Path) -> None:
        """Write what may be taken up after a restart, one after the other. Logged once where that fails."""
        async with self._saving:
            await self._save_sessions(path)

    async def _save_sessions(self, path: Path) -> None:
        kept = self.resumable.lost()
        for place, session in enumerate(list(self.sessions)):
            found = self._kept(session) if session.transport is not None else None
            if found is not None:
                kept.append(found)
            if place % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        try:
            await asyncio.to_thread(write_sessions, path, kept)
        except OSError as error:
            if not self._save_failed:
                self._save_failed = True
                log.error("sessions_not_kept", file=str(path), error=error.strerror)  # noqa: TRY400
            return
        self._save_failed = False

    def refusal(self, user: str) -> str:
        """Why a worker may not mine here; empty where it may."""
        if not 0 < len(user) <= NAME_CHARACTERS_MAX:
            return f"A user name has 1 to {NAME_CHARACTERS_MAX} characters"
        # Bytes that are no UTF-8, which Stratum V2 allows, could not be told to anybody.
        if not user.isprintable() or len(user.encode()) > NAME_BYTES_MAX:
            return f"A user name has printable characters, at most {NAME_BYTES_MAX} bytes"
        if not self.log.has_room(user):
            return "The pool has no room for more workers at present"
        return ""

    # Answers.

    def found_block(self, job: Job, header: bytes, extranonce: bytes, worker: str) -> None:
        """A block was found: out with it before anything else. A block that is known already is left alone."""
        block_hash = sha256d(header)
        if block_hash in self._found:
            return
        self._found.append(block_hash)
        self.statistics.blocks += 1
        keeping = self._on_block(job, header, extranonce, worker)
        if keeping is not None and not keeping.done():
            self._keeping.add(keeping)
            keeping.add_done_callback(self._go_on)
            asyncio.get_running_loop().call_later(KEEP_S_MAX, self._go_on, keeping)

    def _go_on(self, keeping: "asyncio.Future[None]") -> None:
        """A block is kept, or was waited for long enough: answer what waited for it."""
        if keeping in self._keeping:
            self._keeping.discard(keeping)
            if not keeping.done():
                log.error("block_not_kept_in_time", seconds=KEEP_S_MAX)
            self._answer()

    def has_answers(self, connection: PoolConnection) -> None:
        """Send a connection's answers at the end of this turn of the loop."""
        if not self._answering:
            asyncio.get_running_loop().call_soon(self._answer)
        self._answering[connection] = None

    def _answer(self) -> None:
        sessions, self._answering = self._answering, {}
        if self._keeping:  # called again when the block is kept; whoever has no share to be kept is answered now
            self._held |= {each: None for each in sessions if any(type(word) is tuple for word in each.out)}
            sessions = {each: None for each in sessions if each not in self._held}
        elif self._held:
            sessions, self._held = self._held | sessions, {}
        shares = [each for session in sessions for each in session.out if type(each) is tuple]
        kept = self._keep(shares) if shares else True
        for session in sessions:
            if session.out:
                self._flush(session, kept=kept)

    def _flush(self, session: PoolConnection, *, kept: bool) -> None:
        """Whatever is wrong with one connection, the others' shares must not stay behind and be kept once more."""
        try:
            session.flush(kept=kept)
        except Exception:
            log.exception("answers_not_sent", peer=session.peer, agent=session.agent)
            session.drop()

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

    async def _follow_clock(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_S)
            self.clock.follow()
            self._forget_old_marks()

    def _forget_old_marks(self) -> None:
        """Not before there is work: until then a job from before the restart may still come as the newest."""
        if self._marks and self._current is not None and self.now_s() > self._marks_until_s:
            self._marks = {}
