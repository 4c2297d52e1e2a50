"""One connection in Stratum V2's mining protocol: standard, extended and group channels. Hot path: ``_share``.

Job ids are the pool's job number and the channel's generation of difficulty, as in Stratum V1 (decision 14). A
connection with several channels gets each new job once, for the group of all of them; a channel's first work, and what
follows its change of difficulty, is its own. A channel's first work, and work on a new tip, is a future job with the
SetNewPrevHash that starts it.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mbongi.base.log import get_log
from mbongi.pool.daemon.custom_jobs import NUMBERS_FROM
from mbongi.pool.daemon.statistics import Member
from mbongi.pool.daemon.v2_channels import Channel, fitted
from mbongi.pool.daemon.v2_link import V2Connection
from mbongi.pool.errors import CustomJobError
from mbongi.pool.rules.generations import GENERATIONS
from mbongi.pool.rules.job import EXTRANONCE2_BYTES, MARKS, Job
from mbongi.pool.rules.share import judge
from mbongi.pool.values import VERSION_GENERAL_MASK, Reject
from mbongi.wire.errors import WireError
from mbongi.wire.noise.handshake import Responder
from mbongi.wire.stratum_v2 import extensions, mining, registry, setup
from mbongi.wire.stratum_v2.codes import ErrorCode
from mbongi.wire.stratum_v2.layout import Message

if TYPE_CHECKING:
    from mbongi.pool.daemon.server import PoolServer

log = get_log(__name__)

CHANNELS_MAX: Final = 5_000
"""Of one connection, as a proxy of a whole site may open."""
CHANNELS_PER_WEIGHT: Final = 16
WORKERS_MAX: Final = 20_000
"""Names on the shares of one connection."""
EARLY_MAX: Final = 4
EARLY_S_MAX: Final = 3.0
"""So many custom jobs wait so long for the pool to reach their tip; time is looked at every few seconds."""
GROUP: Final = 0xFFFF_FFFF
"""The one group of each connection."""
CODES: Final[dict[Reject, str]] = {
    Reject.STALE: ErrorCode.STALE_SHARE,
    Reject.UNKNOWN_JOB: ErrorCode.INVALID_JOB_ID,
    Reject.DUPLICATE: ErrorCode.DUPLICATE_SHARE,
    Reject.LOW_DIFFICULTY: ErrorCode.DIFFICULTY_TOO_LOW,
    Reject.TIME_OUT_OF_RANGE: ErrorCode.INVALID_SHARE,
    Reject.VERSION_OUT_OF_RANGE: ErrorCode.INVALID_NON_ROLLABLE_VERSION_BIT,
    Reject.MALFORMED: ErrorCode.BAD_EXTRANONCE_SIZE,
    Reject.UNAUTHORIZED: ErrorCode.INVALID_CHANNEL_ID,
    Reject.UNAVAILABLE: ErrorCode.INTERNAL_ERROR,
}


class V2Session(V2Connection):
    """A connection. Made by the server, which owns jobs, log and limits."""

    __slots__ = ("_channel_ids", "_channels", "_early", "_flags", "_tells_workers", "_workers")

    speaks = setup.Protocol.MINING
    payload_bytes_max = 128 * 1024

    def __init__(self, server: "PoolServer", responder: Responder) -> None:
        super().__init__(server, responder)
        self._flags = 0
        self._channels: dict[int, Channel] = {}
        self._channel_ids = 0
        self._early: list[tuple[float, mining.SetCustomMiningJob]] = []
        """Custom jobs on a tip that the pool has not reached, since when."""
        self._tells_workers = False
        self._workers: dict[str, int] = {}
        """Of shares that name their worker (extension 0x0002), what the log knows it by."""

    def refusal(self, message: setup.SetupConnection) -> tuple[str, int]:
        """Work selection is to be had where the pool takes custom jobs."""
        unsupported = message.flags & mining.SetupFlag.REQUIRES_WORK_SELECTION if self.server.custom is None else 0
        if not unsupported and not self.is_set_up:
            self._flags = message.flags
        return ErrorCode.UNSUPPORTED_FEATURE_FLAGS if unsupported else "", unsupported

    def _extend(self, message: extensions.RequestExtensions) -> None:
        known = tuple(each for each in message.requested_extensions if each == extensions.WORKER_HASHRATE)
        if known:
            self._tells_workers = True
            self.out.append(extensions.RequestExtensionsSuccess(message.request_id, known))
        else:
            self.out.append(extensions.RequestExtensionsError(message.request_id, message.requested_extensions, ()))

    # Channels.

    @property
    def _selects_work(self) -> bool:
        """Whether it mines jobs of its own alone; it gets none of ours."""
        return bool(self._flags & mining.SetupFlag.REQUIRES_WORK_SELECTION)

    def _open_standard(self, message: mining.OpenStandardMiningChannel) -> None:
        if self._selects_work:
            code = ErrorCode.STANDARD_CHANNELS_NOT_SUPPORTED_FOR_CUSTOM_WORK
            self.out.append(mining.OpenMiningChannelError(message.request_id, code))
            return
        channel = self._opened(message, extended=False)
        if channel is not None:
            self.out.append(
                mining.OpenStandardMiningChannelSuccess(
                    message.request_id, channel.id, channel.generations.target, channel.prefix, GROUP
                )
            )
            self._send_work(channel, clean=True)

    def _open_extended(self, message: mining.OpenExtendedMiningChannel) -> None:
        code = ""
        if self._flags & mining.SetupFlag.REQUIRES_STANDARD_JOBS:
            code = ErrorCode.EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS
        elif message.min_extranonce_size > EXTRANONCE2_BYTES:
            code = ErrorCode.MIN_EXTRANONCE_SIZE_TOO_LARGE
        if code:
            self.out.append(mining.OpenMiningChannelError(message.request_id, code))
            return
        channel = self._opened(message, extended=True)
        if channel is not None:
            self.out.append(
                mining.OpenExtendedMiningChannelSuccess(
                    message.request_id,
                    channel.id,
                    channel.generations.target,
                    EXTRANONCE2_BYTES,
                    channel.prefix,
                    GROUP,
                )
            )
            self._send_work(channel, clean=True)

    def _opened(
        self, message: mining.OpenStandardMiningChannel | mining.OpenExtendedMiningChannel, *, extended: bool
    ) -> Channel | None:
        """A new channel; None, with the refusal sent, where the pool opens none."""
        server, name = self.server, message.user_identity
        vardiff = server.new_vardiff()
        code = ErrorCode.UNKNOWN_USER if server.refusal(name) else ""
        if len(self._channels) >= CHANNELS_MAX:
            code = ErrorCode.INTERNAL_ERROR
        if not code:
            vardiff, code = fitted(
                vardiff,
                message.nominal_hash_rate,
                message.max_target,
                now_s=server.now_s(),
                shares_per_minute=server.shares_per_minute,
            )
        if code:
            self.out.append(mining.OpenMiningChannelError(message.request_id, code))
            return None
        self._channel_ids += 1
        channel = Channel(
            self._channel_ids,
            name=name,
            worker=server.log.worker(name),
            extranonce1=server.extranonces.take(),
            vardiff=vardiff,
            newest=server.newest_number,
            extended=extended,
        )
        self._channels[channel.id] = channel
        return channel

    def _update(self, message: mining.UpdateChannel) -> None:
        channel, server = self._channels.get(message.channel_id), self.server
        if channel is None:
            self.out.append(mining.UpdateChannelError(message.channel_id, ErrorCode.INVALID_CHANNEL_ID))
            return
        channel.vardiff, code = fitted(
            channel.vardiff,
            message.nominal_hash_rate,
            message.maximum_target,
            now_s=server.now_s(),
            shares_per_minute=server.shares_per_minute,
        )
        if code:
            self.out.append(mining.UpdateChannelError(message.channel_id, code))
        elif channel.vardiff.difficulty != channel.generations.difficulty:
            self._retarget(channel)

    def _close(self, message: mining.CloseChannel) -> None:
        for id_ in self._addressed(message.channel_id):
            channel = self._channels.pop(id_, None)
            if channel is not None:
                self.server.extranonces.give_back(channel.extranonce1)

    def _addressed(self, channel_id: int) -> list[int]:
        """A channel, or all of the group."""
        return list(self._channels) if channel_id == GROUP else [channel_id]

    def extranonces(self) -> list[bytes]:
        """Those of its channels."""
        return [channel.extranonce1 for channel in self._channels.values()]

    def ask_to_reconnect(self) -> None:
        """To the same place."""
        if self.is_set_up:
            self.move("", 0)

    def _custom_job(self, message: mining.SetCustomMiningJob) -> None:
        ids = message.channel_id, message.request_id
        try:
            job = self._taken(message)
        except CustomJobError as error:
            # A miner may have heard of a new tip a moment before the pool has work on it.
            is_early = error.code == ErrorCode.STALE_CHAIN_TIP and not self.server.was_tip(message.prev_hash)
            if is_early and len(self._early) < EARLY_MAX:
                self._early.append((self.server.now_s(), message))
                return
            log.info("custom_job_refused", peer=self.peer, agent=self.agent, reason=str(error))
            self.out.append(mining.SetCustomMiningJobError(*ids, error.code))
        else:
            self.out.append(mining.SetCustomMiningJobSuccess(*ids, job.number))

    def _again(self) -> None:
        """Look again at the custom jobs that came early."""
        early, self._early = self._early, []
        for _, message in early:
            self._custom_job(message)

    def _taken(self, message: mining.SetCustomMiningJob) -> Job:
        ids, custom = self._addressed(message.channel_id), self.server.custom
        if custom is None or not self._selects_work:
            raise CustomJobError(ErrorCode.JD_NOT_SUPPORTED, "work selection was not set up")
        channels = [self._channels[id_] for id_ in ids if id_ in self._channels]
        if not channels:
            raise CustomJobError(ErrorCode.INVALID_CHANNEL_ID, f"channel {message.channel_id} is not open")
        job = custom.take(message, self)
        for channel in channels:
            # The same block brought again is the same work, which keeps its difficulty (decision 14).
            told = channel.generations
            channel.custom.setdefault(job.number, (job, (told.difficulty, told.target)))
        return job

    # Shares.

    def _standard_share(self, message: mining.SubmitSharesStandard) -> None:
        self._share(message, None)

    def _extended_share(self, message: mining.SubmitSharesExtended) -> None:
        if not (self.rest and self._tells_workers):
            self._share(message, message.extranonce)
            return
        whose = self._whose(self.rest)
        if whose is None:
            self.server.statistics.reject(Reject.UNAUTHORIZED, None)
            code = ErrorCode.INVALID_USER_IDENTITY
            self.out.append(mining.SubmitSharesError(message.channel_id, message.sequence_number, code))
        else:
            self._share(message, message.extranonce, whose)

    def _whose(self, fields: bytes) -> tuple[int, str] | None:
        """Number and name of the worker that a share names; an empty name where it names none, None for a bad one."""
        try:
            name = extensions.user_identity(fields)
        except WireError:
            return None
        if name is None:
            return 0, ""
        worker = self._workers.get(name)
        if worker is None:
            if self.server.refusal(name) or len(self._workers) >= WORKERS_MAX:
                return None
            worker = self._workers[name] = self.server.log.worker(name)
        return worker, name

    def _share(
        self,
        share: mining.SubmitSharesStandard | mining.SubmitSharesExtended,
        rolled: bytes | None,
        whose: tuple[int, str] = (0, ""),
    ) -> None:
        """A share of a channel; ``whose`` where it is not the channel's own worker's."""
        server, channel = self.server, self._channels.get(share.channel_id)
        if channel is None or channel.is_extended != (rolled is not None):
            self._reject(share, Reject.UNAUTHORIZED)
            return
        job, set_to, mark = self._given(channel, share.job_id)
        if job is None or set_to is None:
            self._reject(share, Reject.UNKNOWN_JOB)
            return
        if (share.version ^ job.template.version) & ~VERSION_GENERAL_MASK:
            self._reject(share, Reject.VERSION_OUT_OF_RANGE)
            return
        now_s = server.clock.now_s()
        extranonce = mark + (channel.prefix if rolled is None else channel.extranonce1 + rolled)
        difficulty, target = set_to
        refusal, proof = judge(job, extranonce, share.version, share.ntime, share.nonce, target, now_s)
        if refusal is not None:
            self._reject(share, refusal)
            return
        self._accept(
            job,
            proof,
            extranonce,
            whose if whose[1] else channel.whose,
            difficulty=difficulty,
            now_s=now_s,
            answer=(share.channel_id, share.sequence_number, difficulty),
        )
        if channel.vardiff.share(now_s, difficulty) is not None:
            self._retarget(channel)

    def _given(self, channel: Channel, job_id: int) -> tuple[Job | None, tuple[float, int] | None, bytes]:
        """A job that a channel was given, the difficulty and target of its shares, and its mark in the coinbase."""
        if job_id >= NUMBERS_FROM:
            return *channel.custom.get(job_id, (None, None)), b""
        number, generation = divmod(job_id, GENERATIONS)
        told = channel.generations
        set_to = told.of(generation, number) if generation else told.of_shared(number)
        return self.server.job(number), set_to, MARKS[generation]

    def _reject(self, share: mining.SubmitSharesStandard | mining.SubmitSharesExtended, why: Reject) -> None:
        channel = self._channels.get(share.channel_id)
        self.server.statistics.reject(why, None if channel is None else channel.whose[0])
        self.out.append(mining.SubmitSharesError(share.channel_id, share.sequence_number, CODES[why]))

    # Work.

    @property
    def is_ready(self) -> bool:
        """Whether its client has said what it wants; a proxy may still have no miner, and so no channel."""
        return self.is_set_up

    @property
    def weight(self) -> int:
        """Each channel may send a little, on top of what a connection may."""
        return 1 + len(self._channels) // CHANNELS_PER_WEIGHT

    def members(self) -> Iterable[Member]:
        """The workers of its channels."""
        channels = self._channels.values()
        return [Member(each.whose[0], self.agent, self.protocol, each.vardiff.difficulty) for each in channels]

    def look(self, now_s: float) -> None:
        """Time has passed: difficulties fall where no share comes, and jobs that came early came too early."""
        for since_s, message in self._early:
            if now_s - since_s > EARLY_S_MAX:
                ids = message.channel_id, message.request_id
                self.out.append(mining.SetCustomMiningJobError(*ids, ErrorCode.STALE_CHAIN_TIP))
        self._early = [each for each in self._early if now_s - each[0] <= EARLY_S_MAX]
        for channel in self._channels.values():
            channel.vardiff.idle(now_s)
            if channel.vardiff.difficulty != channel.generations.difficulty:
                self._retarget(channel)
        if self.out:
            self.server.has_answers(self)

    def new_job(self, *, clean: bool) -> None:
        """Tell the newest job, at once: one message for all channels, where there are several."""
        frames = self.server.job_frames
        if self._selects_work:
            if clean:
                for channel in self._channels.values():
                    channel.forget_custom()
                self._again()
                self.server.has_answers(self)
            return
        if frames is None or not self._channels:
            return
        if len(self._channels) > 1 and not self._flags & mining.SetupFlag.REQUIRES_STANDARD_JOBS:
            self.out += frames.shared(GROUP, clean=clean)
        else:
            for channel in self._channels.values():
                self._send_work(channel, clean=clean)
        self.server.has_answers(self)

    def _retarget(self, channel: Channel) -> None:
        """Tell a channel's new difficulty; one change too many for a job is put off."""
        if not channel.generations.change(channel.vardiff.difficulty, self.server.newest_number):
            return
        self.out.append(mining.SetTarget(channel.id, channel.generations.target))
        self._send_work(channel, clean=False)

    def _send_work(self, channel: Channel, *, clean: bool) -> None:
        """The newest job for this channel alone."""
        frames, generation = self.server.job_frames, channel.generations.now
        if frames is None or self._selects_work:
            return
        if channel.is_extended:
            self.out += frames.extended(channel.id, generation, clean=clean)
        else:
            self.out += frames.standard(channel.id, channel.prefix, generation, clean=clean)

    def flush(self, *, kept: bool) -> None:
        """Send what this turn of the loop has to say; ``kept`` says whether its shares are in the log."""
        out, self.out = self.out, []
        self.send([each if isinstance(each, bytes) else registry.encode(each) for each in _answered(out, kept=kept)])

    handlers: ClassVar[dict[type[Message], Callable[["V2Session", Any], None]]] = {
        extensions.RequestExtensions: _extend,
        mining.OpenStandardMiningChannel: _open_standard,
        mining.OpenExtendedMiningChannel: _open_extended,
        mining.UpdateChannel: _update,
        mining.CloseChannel: _close,
        mining.SetCustomMiningJob: _custom_job,
        mining.SubmitSharesStandard: _standard_share,
        mining.SubmitSharesExtended: _extended_share,
    }


def _answered(out: list[Any], *, kept: bool) -> list[Message | bytes]:
    """Messages and frames in their order; a run of accepted shares of one channel is one answer."""
    messages: list[Message | bytes] = []
    accepted_by = -1
    count = total = 0
    for each in out:
        if type(each) is not tuple:
            messages.append(each)
            accepted_by = -1
            continue
        channel_id, sequence, difficulty = each[4]
        if not kept:
            messages.append(mining.SubmitSharesError(channel_id, sequence, CODES[Reject.UNAVAILABLE]))
            continue
        if channel_id == accepted_by:
            messages.pop()
        else:
            accepted_by, count, total = channel_id, 0, 0
        count += 1
        total += max(round(difficulty), 1)
        messages.append(mining.SubmitSharesSuccess(channel_id, sequence, count, total))
    return messages
