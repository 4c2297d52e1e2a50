"""One miner in Stratum V1 behind the proxy. The hot path is ``_share``.

A share is looked at here first, so that what cannot count never uses the link; then it goes to the pool, and the miner
has its answer when the pool has answered. Only where miners share one channel, and have easier work than the channel,
a share that the pool would not take is answered here: it tells what the miner does, and is worth nothing to the pool.
"""

from typing import TYPE_CHECKING, Final

from mbongi.pool.daemon.proxy.channel import Channel
from mbongi.pool.daemon.v1_connection import ANSWERS, WORKERS_MAX, V1Connection
from mbongi.pool.rules.generations import GENERATIONS, Generations
from mbongi.pool.rules.nominal import NominalHashrate
from mbongi.pool.rules.share import SEEN_BYTES, rolled_version
from mbongi.pool.rules.upstream_work import EXTRANONCE2_BYTES, ActiveJob
from mbongi.pool.rules.vardiff import Vardiff
from mbongi.pool.values import BLOCK_FUTURE_S_MAX, Reject
from mbongi.wire.bitcoin.target import TARGET_MAX, target_of_difficulty
from mbongi.wire.stratum_v1 import replies, requests
from mbongi.wire.stratum_v1.lines import Line
from mbongi.wire.stratum_v1.replies import Code
from mbongi.wire.stratum_v1.requests import Submit
from mbongi.wire.stratum_v2.codes import ErrorCode
from mbongi.wire.stratum_v2.extensions import USER_IDENTITY_BYTES_MAX, pack_user_identity

if TYPE_CHECKING:
    from mbongi.pool.daemon.proxy.server import ProxyServer

CODES: Final[dict[str, Reject]] = {
    ErrorCode.STALE_SHARE: Reject.STALE,
    ErrorCode.INVALID_JOB_ID: Reject.UNKNOWN_JOB,
    ErrorCode.DUPLICATE_SHARE: Reject.DUPLICATE,
    ErrorCode.DIFFICULTY_TOO_LOW: Reject.LOW_DIFFICULTY,
    ErrorCode.INVALID_CHANNEL_ID: Reject.UNKNOWN_JOB,
    ErrorCode.INVALID_USER_IDENTITY: Reject.UNAUTHORIZED,
    ErrorCode.UNKNOWN_USER: Reject.UNAUTHORIZED,
    ErrorCode.VERSION_ROLLING_NOT_ALLOWED: Reject.VERSION_OUT_OF_RANGE,
    ErrorCode.INVALID_NON_ROLLABLE_VERSION_BIT: Reject.VERSION_OUT_OF_RANGE,
    ErrorCode.INTERNAL_ERROR: Reject.UNAVAILABLE,
}
"""What a pool's refusals are in Stratum V1. Any other is told as it is, under the code for what has none of its own."""
UPDATE_S_MIN: Final = 10.0
"""Between two messages to the pool about what one miner does."""
NO_LINK: Final = "No link to a pool at present"


class Downstream(V1Connection):
    """A connection. Made by the proxy, which owns the link and the limits."""

    __slots__ = (
        "_asked",
        "_generations",
        "_mask_told",
        "_told",
        "_update_waits",
        "_updated_at_s",
        "channel",
        "estimate",
        "extranonce1",
        "target_max",
        "user",
        "vardiff",
        "workers",
    )

    server: "ProxyServer"

    def __init__(self, server: "ProxyServer") -> None:
        super().__init__(server)
        self.extranonce1 = b""
        self.user = ""
        """The first who authorized: by this name the pool knows the channel, where it is this miner's alone."""
        self.workers: dict[str, bytes] = {}
        """Authorized names, each with what tells it to the pool beside a share; empty where its channel tells it."""
        self.channel: Channel | None = None
        self.vardiff: Vardiff | None = server.new_vardiff()
        self.estimate = NominalHashrate(server.now_s(), server.hashrate_start_hs)
        self._generations = Generations(server.options.difficulty_start, 0)
        """Of its own difficulties, where it has such; what it gains by confusing them is worth nothing to the pool."""
        self._told = 0.0
        self.target_max = TARGET_MAX
        """The easiest target that it takes, of a channel of its own."""
        self._asked: list[tuple[str, bytes]] = []
        self._mask_told = 0
        self._update_waits = False
        self._updated_at_s = 0.0

    # What it asks.

    def _subscribe(self, id_: bytes, line: Line) -> None:
        self.agent = requests.read_subscribe(line.arguments).agent
        if not self.extranonce1:
            self.extranonce1 = self.server.take_extranonce1()
        session = self.extranonce1.hex()
        self.out.append(
            replies.subscribed(id_, session=session, extranonce1=self.extranonce1, extranonce2_size=EXTRANONCE2_BYTES)
        )
        self._tell_current()

    def _authorize(self, id_: bytes, line: Line) -> None:
        name, _password = requests.read_authorize(line.arguments)
        reason = self.server.refusal(name)
        if name not in self.workers and len(self.workers) + len(self._asked) >= WORKERS_MAX:
            reason = "Too many workers on one connection"
        if not reason and self.user not in {"", name} and not _is_short(name):
            reason = f"Of several workers on one connection names have at most {USER_IDENTITY_BYTES_MAX} bytes"
        if reason:
            self.out.append(replies.error(id_, Code.UNAUTHORIZED, reason))
        elif name in self.workers or self.channel is not None:
            self._admit(name, id_)
        else:
            self._asked.append((name, id_))
            if not self.user:
                self.user = name
                self.server.join(self)

    def _admit(self, name: str, id_: bytes) -> None:
        is_first = not self.workers
        self.workers[name] = self._fields(name)
        self.out.append(replies.accepted(id_))
        if is_first:
            self._tell_current()

    def _fields(self, name: str) -> bytes:
        """What tells a worker to the pool beside its share; empty where the channel has its name already."""
        alone = self.channel is not None and name == self.channel.name
        return pack_user_identity(name) if _is_short(name) and not alone else b""

    def _configure(self, id_: bytes, line: Line) -> None:
        super()._configure(id_, line)
        self._mask_told = self.version_mask

    def _require(self, difficulty: float) -> None:
        if self.vardiff is not None:
            self._retarget(self.vardiff.require(self.server.now_s(), difficulty))
        self.target_max = max(min(self.target_max, target_of_difficulty(difficulty)), 1)
        self._update()

    def _suggest(self, difficulty: float) -> None:
        now_s = self.server.now_s()
        if self.vardiff is not None:
            self._retarget(self.vardiff.suggest(now_s, difficulty))
        self.estimate.guess(now_s, self.server.hashrate_of(difficulty))
        self._update()

    def _update(self) -> None:
        """Tell the pool what has changed; not more often than pools bear, whatever the miner does."""
        now_s = self.server.now_s()
        self._update_waits = now_s - self._updated_at_s < UPDATE_S_MIN
        if not self._update_waits:
            self._updated_at_s = now_s
            self.server.update(self)

    # Its channel.

    def opened(self, channel: Channel) -> None:
        """It has a channel, the first or one in place of another."""
        if self.transport is None:
            self.server.leave(self, channel)
            return
        if self.channel is not None:
            self.server.leave(self, self.channel)
        self.channel = channel
        channel.miners[self] = None
        self.estimate.pause(self.server.now_s())
        for name in self.workers:
            self.workers[name] = self._fields(name)
        was_ready = self.is_ready
        asked, self._asked = self._asked, []
        for name, id_ in asked:
            self._admit(name, id_)
        if was_ready:
            self._tell_current()
        self.server.has_answers(self)

    def not_opened(self, code: str) -> None:
        """The pool gives it no channel."""
        if self.workers or self.transport is None:
            self.drop()  # it has mined elsewhere, and is to go on with its next pool
            return
        for _name, id_ in self._asked:
            self.out.append(replies.error(id_, Code.UNAUTHORIZED, f"The pool refuses the worker: {code}"))
        self._asked.clear()
        self.user = ""
        self.server.has_answers(self)

    def channel_closed(self, channel: Channel, *, by_pool: bool) -> None:
        """The channel is no more; one that the pool ended ends the connection, so that the miner asks anew."""
        if self.channel is channel:
            self.channel = None
            if by_pool:
                self.drop()

    # Shares.

    def _share(self, id_: bytes, share: Submit) -> None:
        channel, fields = self.channel, self.workers.get(share.worker)
        if fields is None:
            self._reject(id_, Reject.UNAUTHORIZED if self.extranonce1 else Reject.NOT_SUBSCRIBED)
            return
        if channel is None or channel.is_full or not channel.link.is_up:
            self._reject(id_, Reject.UNAVAILABLE)
            return
        try:
            number = int(share.job_id, 16)
        except ValueError:
            number = -1
        number, generation = divmod(number, GENERATIONS)
        job = channel.work.job(number)
        set_to = None if job is None else self._set_to(job, generation)
        if job is None or set_to is None:
            stale = channel.work.is_stale(number)
            self._reject(id_, Reject.STALE if stale else Reject.UNKNOWN_JOB)
            return
        version = rolled_version(job.version, share.version_bits, self.version_mask if job.rolls_version else 0)
        refusal = self._refusal(job, share, version)
        if refusal is not None or version is None:
            self._reject(id_, refusal or Reject.VERSION_OUT_OF_RANGE)
            return
        extranonce = self.extranonce1 + share.extranonce2
        hash_ = job.hash(extranonce, version=version, time_s=share.time_s, nonce=share.nonce)
        value = int.from_bytes(hash_, "little")
        if value > set_to[1] and value > job.target:
            self._reject(id_, Reject.LOW_DIFFICULTY)
        elif not channel.work.is_new(hash_[:SEEN_BYTES]):
            self._reject(id_, Reject.DUPLICATE)
        else:
            self._take_share(id_, channel, job, share, version=version, value=value, set_to=set_to, fields=fields)

    def _set_to(self, job: ActiveJob, generation: int) -> tuple[float, int] | None:
        """What the miner was told that shares on this work have to meet: difficulty and target."""
        if self.vardiff is None:
            return job.difficulty, job.target
        return self._generations.of(generation, job.number)

    def _refusal(self, job: ActiveJob, share: Submit, version: int | None) -> Reject | None:
        if version is None:
            return Reject.VERSION_OUT_OF_RANGE
        if len(share.extranonce2) != EXTRANONCE2_BYTES:
            return Reject.MALFORMED
        # The pool's time where that is later: our own clock may have been set wrong.
        latest_s = max(self.server.clock.unix_s(), job.time_min_s) + BLOCK_FUTURE_S_MAX
        if not job.time_min_s <= share.time_s <= latest_s:
            return Reject.TIME_OUT_OF_RANGE
        return None

    def _take_share(
        self,
        id_: bytes,
        channel: Channel,
        job: ActiveJob,
        share: Submit,
        *,
        version: int,
        value: int,
        set_to: tuple[float, int],
        fields: bytes,
    ) -> None:
        """A share that counts: to the pool with it, or where it is too easy for the pool, a yes for it."""
        server, now_s = self.server, self.server.now_s()
        self._strikes = 0
        if value <= job.target:
            if value <= job.tip.target:
                server.found_block(self, share.worker, job)
            channel.submit(
                self,
                id_,
                job,
                extranonce=self.extranonce1 + share.extranonce2,
                version=version,
                time_s=share.time_s,
                nonce=share.nonce,
                now_s=now_s,
                fields=fields if channel.link.tells_workers else b"",
            )
        else:
            server.statistics.accepted_here += 1
            self.out.append(replies.accepted(id_))
        self.estimate.share(now_s, set_to[0])
        if self.vardiff is not None:
            self._retarget(self.vardiff.share(now_s, set_to[0]))

    def _reject(self, id_: bytes, why: Reject) -> None:
        self.server.statistics.rejected[why] += 1
        code, text = ANSWERS[why]
        self.out.append(replies.error(id_, code, NO_LINK if why is Reject.UNAVAILABLE else text))

    def answered(self, id_: bytes, difficulty: float, waited_s: float) -> None:
        """The pool has said yes."""
        self.server.statistics.answered(difficulty, waited_s)
        self._say(replies.accepted(id_))

    def refused(self, id_: bytes, code: str) -> None:
        """The pool has said no."""
        why = CODES.get(code)
        self.server.statistics.refused_by_pool[why or Reject.MALFORMED] += 1
        answer = (Code.OTHER, f"The pool refuses it: {code[:60]}") if why is None else ANSWERS[why]
        self._say(replies.error(id_, *answer))

    def unconfirmed(self, id_: bytes) -> None:
        """The link broke before the pool said anything."""
        self.server.statistics.rejected[Reject.UNCONFIRMED] += 1
        self._say(replies.error(id_, *ANSWERS[Reject.UNCONFIRMED]))

    def _say(self, line: bytes) -> None:
        if self.transport is not None:
            self.out.append(line)
            self.server.has_answers(self)

    # Work.

    @property
    def is_ready(self) -> bool:
        """Whether it mines: subscribed, and somebody authorized."""
        return bool(self.extranonce1 and self.workers)

    def ask_to_reconnect(self) -> None:
        """To the same place, where the next process will listen."""
        self._say(replies.reconnect())

    def look(self, now_s: float) -> None:
        """Time has passed: what it is known to do falls where no share comes."""
        if self.channel is None or not self.is_ready:
            return
        if self.vardiff is not None:
            self._retarget(self.vardiff.idle(now_s))
        if self.estimate.look(now_s) is not None or self._update_waits:
            self._update()
        if self.out:
            self.server.has_answers(self)

    def new_work(self, channel: Channel, job: ActiveJob, *, clean: bool) -> None:
        """Work on this; ``clean``: and on nothing older."""
        if channel is self.channel and self.is_ready and self.transport is not None:
            self._tell(job, clean=clean)
            self.server.has_answers(self)

    def _tell_current(self) -> None:
        job = self.channel.work.current if self.channel is not None else None
        if job is not None and self.is_ready:
            self._tell(job, clean=True)

    def _retarget(self, difficulty: float | None) -> None:
        """Tell a new difficulty of one's own; None stands for the old one."""
        job = self.channel.work.current if self.channel is not None else None
        if difficulty is not None and job is not None and self.is_ready:
            self._tell(job, clean=False)

    def _tell(self, job: ActiveJob, *, clean: bool) -> None:
        generation, difficulty = 0, job.difficulty
        if self.vardiff is not None:
            difficulty = min(self.vardiff.difficulty, job.difficulty)
            told = self._generations
            if difficulty != told.difficulty and not told.change(difficulty, job.number):
                self.server.gate.strike(self, "changes")
                self.drop()
                return
            generation = told.now
        if difficulty != self._told:
            self._told = difficulty
            self.estimate.told(difficulty)
            self.out.append(replies.set_difficulty(difficulty))
        mask = self.version_mask if job.rolls_version else 0
        if mask != self._mask_told:
            self._mask_told = mask
            self.out.append(replies.set_version_mask(mask))
        job_id = f"{job.number * GENERATIONS + generation:x}"
        self.out.append(self.server.prepared(job).line(job_id, job.coinbase_before, clean=clean))

    def flush(self) -> None:
        """Send the answers of this turn of the loop."""
        out, self.out = self.out, []
        if self.transport is not None and out:
            self.transport.write(b"".join(out))


def _is_short(name: str) -> bool:
    """Whether a pool can be told a worker's name beside a share."""
    return len(name.encode()) <= USER_IDENTITY_BYTES_MAX
