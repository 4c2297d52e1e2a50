"""One miner's connection in Stratum V1. The hot path is ``_share``.

A job's id is its number and the connection's generation of difficulty, in hex. A new difficulty is a new generation,
told together with new work: the generation stands in the coinbase too (decision 14), so that each share counts for just
the difficulty that its work was given with.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mbongi.pool.daemon.connection import PoolConnection
from mbongi.pool.daemon.handover import Arrival
from mbongi.pool.daemon.sessions import Kept
from mbongi.pool.daemon.statistics import Member
from mbongi.pool.daemon.v1_connection import ANSWERS, WORKERS_MAX, V1Connection
from mbongi.pool.rules.generations import GENERATIONS, Generations
from mbongi.pool.rules.job import EXTRANONCE2_BYTES, MARKS, Job
from mbongi.pool.rules.share import judge, rolled_version
from mbongi.pool.values import Protocol, Reject
from mbongi.wire.stratum_v1 import replies, requests
from mbongi.wire.stratum_v1.lines import Line
from mbongi.wire.stratum_v1.replies import Code
from mbongi.wire.stratum_v1.requests import Submit

if TYPE_CHECKING:
    from mbongi.pool.daemon.server import PoolServer


class V1Session(V1Connection, PoolConnection):
    """A connection. Made by the server, which owns jobs, log and limits."""

    __slots__ = ("_later", "_moving", "extranonce1", "generations", "session", "vardiff", "workers")

    protocol = Protocol.STRATUM_V1
    server: "PoolServer"

    def __init__(self, server: "PoolServer") -> None:
        super().__init__(server)
        self.session = ""
        self.extranonce1 = b""
        self.workers: dict[str, int] = {}
        self.vardiff = server.new_vardiff()
        self.generations = Generations(self.vardiff.difficulty, server.newest_number)
        self._moving: asyncio.Transport | None = None
        self._later: list[bytes] = []

    # What it asks.

    def _subscribe(self, id_: bytes, line: Line) -> None:
        wish = requests.read_subscribe(line.arguments)
        self.agent = wish.agent
        if not self.extranonce1:
            if self.server.passes_on(self, wish.session, id_):
                return
            self._begin(id_, wish.session)
            return
        self._subscribed(id_)

    def _begin(self, id_: bytes, wish: str) -> None:
        self.session, self.extranonce1 = self.server.assign(self, wish)
        self._subscribed(id_)

    def _subscribed(self, id_: bytes) -> None:
        self.out.append(
            replies.subscribed(
                id_, session=self.session, extranonce1=self.extranonce1, extranonce2_size=EXTRANONCE2_BYTES
            )
        )
        if self.workers:
            self._send_work()

    def _authorize(self, id_: bytes, line: Line) -> None:
        user, _password = requests.read_authorize(line.arguments)
        reason = self.server.refusal(user)
        if reason or (user not in self.workers and len(self.workers) >= WORKERS_MAX):
            self.out.append(replies.error(id_, Code.UNAUTHORIZED, reason or "Too many workers on one connection"))
            return
        is_first = not self.workers
        self.workers[user] = self.server.log.worker(user)
        self.out.append(replies.accepted(id_))
        if is_first and self.extranonce1:
            self._send_work()

    def _require(self, difficulty: float) -> None:
        self._retarget(self.vardiff.require(self.server.now_s(), difficulty))

    def _suggest(self, difficulty: float) -> None:
        self._retarget(self.vardiff.suggest(self.server.now_s(), difficulty))

    # Shares.

    def _share(self, id_: bytes, share: Submit) -> None:
        server = self.server
        try:
            number = int(share.job_id, 16)
        except ValueError:
            number = -1
        name = share.worker
        worker = self.workers.get(name)
        if worker is None:
            self._reject(id_, Reject.UNAUTHORIZED if self.extranonce1 else Reject.NOT_SUBSCRIBED)
            return
        job_number, generation = divmod(number, GENERATIONS)
        job, set_to = server.job(job_number), self.generations.of(generation, job_number)
        if job is None or set_to is None or number < 0:
            self._reject(id_, Reject.UNKNOWN_JOB, worker)
            return
        version = rolled_version(job.template.version, share.version_bits, self.version_mask)
        if version is None:
            self._reject(id_, Reject.VERSION_OUT_OF_RANGE, worker)
            return
        now_s, extranonce = server.clock.now_s(), MARKS[generation] + self.extranonce1 + share.extranonce2
        difficulty, target = set_to
        refusal, proof = judge(job, extranonce, version, share.time_s, share.nonce, target, now_s)
        if refusal is not None:
            self._reject(id_, refusal, worker)
            return
        self._strikes = 0
        self._accept(job, proof, extranonce, (worker, name), difficulty=difficulty, now_s=now_s, answer=id_)
        changed = self.vardiff.share(now_s, difficulty)
        if changed is not None:
            self._retarget(changed)

    def _reject(self, id_: bytes, why: Reject, worker: int | None = None) -> None:
        self.server.statistics.reject(why, worker)
        code, text = ANSWERS[why]
        self.out.append(replies.error(id_, code, text))

    # Work.

    @property
    def is_ready(self) -> bool:
        """Whether it takes work: subscribed, and somebody authorized."""
        return bool(self.extranonce1 and self.workers)

    def members(self) -> Iterable[Member]:
        """The workers that authorized."""
        difficulty = self.vardiff.difficulty
        return [Member(number, self.agent, self.protocol, difficulty) for number in self.workers.values()]

    def new_job(self, *, clean: bool) -> None:
        """Tell the newest job, at once; behind what waits to be said, where an older job may be among it."""
        if self.is_ready and self.transport is not None:
            line = self.server.work_line(self.generations.now, clean=clean)
            if self.out:
                self.out.append(line)
                self.server.has_answers(self)
            else:
                self.transport.write(line)

    def flush(self, *, kept: bool) -> None:
        """Send the answers of this turn of the loop; ``kept`` says whether its shares are in the log."""
        out, self.out = self.out, []
        if self.transport is not None:
            answer = replies.accepted if kept else _not_kept
            answers = [each if type(each) is bytes else answer(each[4]) for each in out]
            self.transport.write(b"".join(answers))

    def kept(self, unix_s: float) -> Kept | None:
        """What to keep of it, so that it may be taken up again; None before there is anything."""
        if not self.is_ready:
            return None
        return Kept(
            session=self.session,
            extranonce1=self.extranonce1,
            told=self.generations.told,
            changes=self.generations.changes,
            version_mask=self.version_mask,
            workers=tuple(self.workers),
            lost_at_s=unix_s,
        )

    def take_up(self, kept: Kept) -> None:
        """Go on where a lost session was: the same difficulty, and its earlier work still counts."""
        self.generations = Generations.of_told(kept.told, kept.changes)
        for name in kept.workers:
            self.workers[name] = self.server.log.worker(name)
        self.version_mask = self.version_mask or kept.version_mask
        former = self.generations.difficulty
        self.vardiff.suggest(self.server.now_s(), former)
        if self.vardiff.difficulty != former:
            self._retarget(self.vardiff.difficulty)

    # To the process that keeps its session, see ``handover``.

    def _left_over(self, lines: list[bytes]) -> None:
        self._later = lines

    def set_out(self, session: str, id_: bytes) -> tuple[asyncio.Transport, Callable[[], Arrival]] | None:
        """Read no more here; the open transport, and what is to be told of it. None where it cannot be passed on."""
        transport = self.transport
        if transport is None or transport.get_extra_info("ssl_object") is not None:
            return None  # what TLS has agreed on stays in this process
        transport.pause_reading()
        self.transport, self._moving = None, transport
        unsent, self.out = b"".join(self.out), []

        def arrival() -> Arrival:
            return Arrival(
                session=session,
                id=id_,
                agent=self.agent,
                version_mask=self.version_mask,
                minimum=self.vardiff.minimum,
                workers=tuple(self.workers),
                unsent=unsent,
                lines=tuple(self._later),
                rest=self._buffer.rest,
            )

        return transport, arrival

    def stay(self, arrival: Arrival) -> None:
        """It was not taken there: a new session begins here."""
        if self._moving is None or self._moving.is_closing():
            return
        self.transport, self._moving, self._later = self._moving, None, []
        self.transport.resume_reading()
        self.transport.write(arrival.unsent)
        self._begin(arrival.id, "")
        self._go_on(arrival.lines, b"")

    def arrive(self, arrival: Arrival) -> None:
        """It was passed on by another process; to be called once it is connected."""
        self.agent, self.version_mask = arrival.agent, arrival.version_mask
        for name in arrival.workers:
            self.workers[name] = self.server.log.worker(name)
        self._require(arrival.minimum)
        if self.transport is not None:
            self.transport.write(arrival.unsent)
        self._begin(arrival.id, arrival.session)
        self._go_on(arrival.lines, arrival.rest)

    def _go_on(self, lines: Iterable[bytes], rest: bytes) -> None:
        self.server.has_answers(self)
        said = b"".join([line + b"\n" for line in lines]) + rest
        if said:
            self.data_received(said)

    def extranonces(self) -> list[bytes]:
        """Its own."""
        return [self.extranonce1] if self.extranonce1 else []

    def ask_to_reconnect(self) -> None:
        """To the same place: without a host, because firmwares refuse an empty one."""
        self.out.append(replies.reconnect())
        self.server.has_answers(self)

    def show(self, text: str) -> None:
        """A message for the person at the machine."""
        self.out.append(replies.show_message(text))
        self.server.has_answers(self)

    def look(self, now_s: float) -> None:
        """Time has passed: the difficulty falls where no share comes, or a change that was put off can be told."""
        if self.is_ready:
            self.vardiff.idle(now_s)
            if self.vardiff.difficulty != self.generations.difficulty:
                self._retarget(self.vardiff.difficulty)
                self.server.has_answers(self)

    def _retarget(self, difficulty: float | None) -> None:
        """Tell a new difficulty; None stands for the old one. One change too many for a job is put off."""
        if difficulty is None or not self.generations.change(difficulty, self.server.newest_number):
            return
        if self.is_ready:
            self._send_work()

    def _send_work(self) -> None:
        self.out.append(replies.set_difficulty(self.generations.difficulty))
        line = self.server.work_line(self.generations.now, clean=False)
        if line:
            self.out.append(line)


def _not_kept(id_: bytes) -> bytes:
    code, text = ANSWERS[Reject.UNAVAILABLE]
    return replies.error(id_, code, text)


def job_line(job: Job, generation: int, *, clean: bool) -> bytes:
    """``mining.notify`` of a job for connections of one generation."""
    template = job.template
    return replies.notify(
        f"{job.number * GENERATIONS + generation:x}",
        previous_hash=template.previous_hash,
        coinbase_before=job.coinbase.before + MARKS[generation],
        coinbase_after=job.coinbase.after,
        branch=template.branch,
        version=template.version,
        bits=template.bits,
        time_s=template.time_s,
        clean=clean,
    )
