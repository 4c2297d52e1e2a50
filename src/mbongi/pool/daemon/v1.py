"""One miner's connection in Stratum V1. The hot path is ``_share``.

A job's id is its number and the connection's generation of difficulty, in hex. A new difficulty is a new generation,
told together with the same work under a new id, so that each share counts for just the difficulty its miner was told.
"""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mbongi.pool.daemon.connection import Connection
from mbongi.pool.errors import DifficultyError
from mbongi.pool.rules.job import EXTRANONCE2_BYTES, Job
from mbongi.pool.rules.share import judge, rolled_version
from mbongi.pool.values import VERSION_ROLLING_MASK, Protocol, Reject
from mbongi.wire.bitcoin.target import DIFFICULTY_1_TARGET, difficulty_of_target, target_of_difficulty
from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.stratum_v1 import replies, requests
from mbongi.wire.stratum_v1.lines import Line, LineBuffer, decode_line
from mbongi.wire.stratum_v1.replies import Code
from mbongi.wire.stratum_v1.requests import Submit
from mbongi.wire.stratum_v1.submits import decode_submit

if TYPE_CHECKING:
    from mbongi.pool.daemon.server import PoolServer

GENERATIONS: Final = 256
GENERATIONS_KEPT: Final = 8
"""Difficulties of the past that shares on earlier jobs still count for."""
WORKERS_MAX: Final = 64
"""Workers of one connection; a proxy that needs more opens more."""
UNSENT_BYTES_MAX: Final = 256 * 1024
"""A reader slower than this is dropped, never waited for."""
STRIKES_MAX: Final = 32
"""Lines in a row that mean nothing, until the connection is closed."""
ANSWERS: Final[dict[Reject, tuple[Code, str]]] = {
    Reject.STALE: (Code.JOB_NOT_FOUND, "Stale: the chain has moved on"),
    Reject.UNKNOWN_JOB: (Code.JOB_NOT_FOUND, "Job not found"),
    Reject.DUPLICATE: (Code.DUPLICATE, "Duplicate share"),
    Reject.LOW_DIFFICULTY: (Code.LOW_DIFFICULTY, "Low difficulty share"),
    Reject.UNAUTHORIZED: (Code.UNAUTHORIZED, "Unauthorized worker"),
    Reject.NOT_SUBSCRIBED: (Code.NOT_SUBSCRIBED, "Not subscribed"),
    Reject.TIME_OUT_OF_RANGE: (Code.OTHER, "Time out of range"),
    Reject.VERSION_OUT_OF_RANGE: (Code.OTHER, "Version bits outside the mask"),
    Reject.MALFORMED: (Code.OTHER, "Malformed share"),
    Reject.UNAVAILABLE: (Code.OTHER, "Pool cannot keep shares at present"),
}


class V1Session(Connection):
    """A connection. Made by the server, which owns jobs, log and limits."""

    __slots__ = (
        "_buffer",
        "_generation",
        "_strikes",
        "_targets",
        "extranonce1",
        "session",
        "vardiff",
        "version_mask",
        "workers",
    )

    protocol = Protocol.STRATUM_V1
    unsent_bytes_max = UNSENT_BYTES_MAX

    def __init__(self, server: "PoolServer") -> None:
        super().__init__(server)
        self.session = ""
        self.extranonce1 = b""
        self.version_mask = 0
        self.workers: dict[str, int] = {}
        self.vardiff = server.new_vardiff()
        self._buffer = LineBuffer(bytes_max=server.limits.line_bytes_max)
        self._generation = 0
        self._targets: dict[int, tuple[float, int]] = {0: _with_target(self.vardiff.difficulty)}
        self._strikes = 0

    # Lines.

    def data_received(self, data: bytes) -> None:
        """Lines, or parts of some."""
        if not self.server.may_receive(self, len(data)):
            self.drop()
            return
        try:
            lines = self._buffer.feed(data)
        except TooLongError:
            self.server.strike(self, "too_long")
            self.drop()
            return
        for raw in lines:
            self._take(raw)
            if self.transport is None:
                return
        if self.out:
            self.server.has_answers(self)

    def _take(self, raw: bytes) -> None:
        usual = decode_submit(raw)
        if usual is not None:
            self._share(*usual)
            return
        try:
            line = decode_line(raw)
        except WireError:
            self._strike()
            return
        if line.method is None:
            return  # an answer to something that we told: nothing to do
        handler = self._HANDLERS.get(line.method)
        id_ = bytes(line.id)
        if handler is None:
            self._strike()
            self.out.append(replies.error(id_, Code.OTHER, "Unknown method"))
            return
        try:
            handler(self, id_, line)
        except (WireError, DifficultyError) as error:
            self._strike()
            self.out.append(replies.error(id_, Code.OTHER, str(error)))

    def _strike(self) -> None:
        self._strikes += 1
        if self._strikes >= STRIKES_MAX:
            self.server.strike(self, "nonsense")
            self.drop()

    def _subscribe(self, id_: bytes, line: Line) -> None:
        wish = requests.read_subscribe(line.arguments)
        self.agent = wish.agent
        if not self.extranonce1:
            self.session, self.extranonce1 = self.server.assign(self, wish.session)
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

    def _configure(self, id_: bytes, line: Line) -> None:
        wish = requests.read_configure(line.arguments)
        answer: dict[str, Any] = {}
        for name in wish.extensions:
            if name == "version-rolling":
                self.version_mask = wish.version_mask & VERSION_ROLLING_MASK
                enough = self.version_mask.bit_count() >= wish.version_bits_min
                self.version_mask = self.version_mask if enough else 0
                answer[name] = bool(self.version_mask)
                if self.version_mask:
                    answer["version-rolling.mask"] = f"{self.version_mask:08x}"
            elif name == "minimum-difficulty":
                answer[name] = wish.difficulty_min is not None
                if wish.difficulty_min is not None:
                    self._retarget(self.vardiff.require(self.server.now_s(), wish.difficulty_min))
            else:
                answer[name] = name == "subscribe-extranonce"
        self.out.append(replies.result(id_, answer))

    def _suggest_difficulty(self, id_: bytes, line: Line) -> None:
        self._suggest(id_, requests.read_difficulty(line.arguments))

    def _suggest_target(self, id_: bytes, line: Line) -> None:
        self._suggest(id_, difficulty_of_target(min(requests.read_target(line.arguments), DIFFICULTY_1_TARGET << 31)))

    def _suggest(self, id_: bytes, difficulty: float) -> None:
        changed = self.vardiff.suggest(self.server.now_s(), difficulty)
        self.out.append(replies.accepted(id_))
        self._retarget(changed)

    def _yes(self, id_: bytes, _line: Line) -> None:
        self.out.append(replies.accepted(id_))

    def _ping(self, id_: bytes, _line: Line) -> None:
        self.out.append(replies.result(id_, "pong"))

    def _no_transactions(self, id_: bytes, _line: Line) -> None:
        self.out.append(replies.result(id_, []))

    # Shares.

    def _submit(self, id_: bytes, line: Line) -> None:
        """A share in an unusual form."""
        try:
            share = requests.read_submit(line.arguments)
        except WireError:
            self._strike()
            self._reject(id_, Reject.MALFORMED)
            return
        self._share(id_, share)

    def _share(self, id_: bytes, share: Submit) -> None:
        server = self.server
        try:
            number = int(share.job_id, 16)
        except ValueError:
            number = -1
        worker = self.workers.get(share.worker)
        if worker is None:
            self._reject(id_, Reject.UNAUTHORIZED if self.extranonce1 else Reject.NOT_SUBSCRIBED)
            return
        job = server.job(number // GENERATIONS)
        set_to = self._targets.get(number % GENERATIONS)
        if job is None or set_to is None or number < 0:
            self._reject(id_, Reject.UNKNOWN_JOB)
            return
        version = rolled_version(job.template.version, share.version_bits, self.version_mask)
        if version is None:
            self._reject(id_, Reject.VERSION_OUT_OF_RANGE)
            return
        now_s, extranonce = server.now_s(), self.extranonce1 + share.extranonce2
        refusal, header, hash_ = judge(
            job,
            extranonce=extranonce,
            version=version,
            time_s=share.time_s,
            nonce=share.nonce,
            target=set_to[1],
            now_s=now_s,
        )
        if refusal is not None:
            self._reject(id_, refusal)
            return
        self._strikes = 0
        self._accept(
            job,
            header,
            hash_,
            extranonce=extranonce,
            worker=worker,
            name=share.worker,
            difficulty=set_to[0],
            answer=id_,
        )
        self._retarget(self.vardiff.share(now_s, set_to[0]))

    def _reject(self, id_: bytes, why: Reject) -> None:
        self.server.statistics.rejected[why] += 1
        code, text = ANSWERS[why]
        self.out.append(replies.error(id_, code, text))

    # Work.

    @property
    def is_ready(self) -> bool:
        """Whether it takes work: subscribed, and somebody authorized."""
        return bool(self.extranonce1 and self.workers)

    def new_job(self, *, clean: bool) -> None:
        """Tell the newest job, at once."""
        if self.is_ready and self.transport is not None:
            self.transport.write(self.server.work_line(self._generation, clean=clean))

    def flush(self, *, kept: bool) -> None:
        """Send the answers of this turn of the loop; ``kept`` says whether its shares are in the log."""
        out, self.out = self.out, []
        if self.transport is not None:
            self.transport.write(b"".join([_answered(each, kept=kept) for each in out]))

    def restart_difficulty(self) -> None:
        """Begin with the difficulty that ``vardiff`` has now: nothing was told yet."""
        self._targets = {self._generation: _with_target(self.vardiff.difficulty)}

    def look(self, now_s: float) -> None:
        """Time has passed: the difficulty falls where no share comes."""
        difficulty = self.vardiff.idle(now_s) if self.is_ready else None
        if difficulty is not None:
            self._retarget(difficulty)
            self.server.has_answers(self)

    def _retarget(self, difficulty: float | None) -> None:
        """Tell a new difficulty; None stands for the old one."""
        if difficulty is None:
            return
        self._generation = (self._generation + 1) % GENERATIONS
        self._targets[self._generation] = _with_target(difficulty)
        if len(self._targets) > GENERATIONS_KEPT:
            del self._targets[next(iter(self._targets))]
        if self.is_ready:
            self._send_work()

    def _send_work(self) -> None:
        self.out.append(replies.set_difficulty(self.vardiff.difficulty))
        line = self.server.work_line(self._generation, clean=False)
        if line:
            self.out.append(line)

    _HANDLERS: ClassVar[dict[str, Callable[["V1Session", bytes, Line], None]]] = {
        "mining.subscribe": _subscribe,
        "mining.authorize": _authorize,
        "mining.configure": _configure,
        "mining.suggest_difficulty": _suggest_difficulty,
        "mining.suggest_target": _suggest_target,
        "mining.extranonce.subscribe": _yes,
        "mining.submit": _submit,
        "mining.ping": _ping,
        "mining.capabilities": _yes,
        "mining.multi_version": _yes,
        "pong": _yes,
        "mining.get_transactions": _no_transactions,
    }


def _answered(each: "bytes | tuple[bytes, int, Job, bytes, bytes]", *, kept: bool) -> bytes:
    if type(each) is not tuple:
        return each  # type: ignore[return-value]
    if kept:
        return replies.accepted(each[4])
    code, text = ANSWERS[Reject.UNAVAILABLE]
    return replies.error(each[4], code, text)


def _with_target(difficulty: float) -> tuple[float, int]:
    return difficulty, target_of_difficulty(difficulty)


def new_session_id() -> str:
    """What a miner shows to go on where it was."""
    return secrets.token_hex(8)


def job_line(job: Job, generation: int, *, clean: bool) -> bytes:
    """``mining.notify`` of a job for connections of one generation."""
    template = job.template
    return replies.notify(
        f"{job.number * GENERATIONS + generation:x}",
        previous_hash=template.previous_hash,
        coinbase_before=job.coinbase.before,
        coinbase_after=job.coinbase.after,
        branch=template.branch,
        version=template.version,
        bits=template.bits,
        time_s=template.time_s,
        clean=clean,
    )
