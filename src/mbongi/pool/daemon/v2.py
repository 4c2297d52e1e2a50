"""One connection in Stratum V2: the encrypted handshake, then standard and extended channels. Hot path: ``_share``.

Each channel has its own difficulty, and a part of the search space that no other has. Job ids are the pool's job number
and the channel's generation of difficulty, as in Stratum V1: a new target is told together with the same work under a
new id. A channel's first work, and work on a new tip, is a future job with the SetNewPrevHash that starts it.
"""

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mbongi.base.log import get_log
from mbongi.pool.daemon.connection import PoolConnection
from mbongi.pool.daemon.statistics import Member
from mbongi.pool.daemon.targets import GENERATIONS, Targets
from mbongi.pool.errors import DifficultyError
from mbongi.pool.rules.job import EXTRANONCE2_BYTES
from mbongi.pool.rules.share import judge, merkle_root_of
from mbongi.pool.rules.vardiff import Vardiff, difficulty_of_hashrate
from mbongi.pool.values import VERSION_GENERAL_MASK, Protocol, Reject
from mbongi.wire.bitcoin.target import difficulty_of_target, target_of_difficulty
from mbongi.wire.errors import WireError
from mbongi.wire.noise.handshake import ACT_1_BYTES, Responder
from mbongi.wire.noise.transport import CipherState, FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import mining, registry, setup
from mbongi.wire.stratum_v2.codes import ErrorCode
from mbongi.wire.stratum_v2.errors import UnknownMessageError
from mbongi.wire.stratum_v2.frames import Frame
from mbongi.wire.stratum_v2.layout import Message

if TYPE_CHECKING:
    from mbongi.pool.daemon.server import PoolServer

log = get_log(__name__)

CHANNELS_MAX: Final = 5_000
"""Of one connection, as a proxy of a whole site may open."""
PAYLOAD_BYTES_MAX: Final = 128 * 1024
UNSENT_BYTES_MAX: Final = 4 * 1024 * 1024
GROUP: Final = 0xFFFF_FFFF
"""The one group of each connection. Nothing is sent to it: every channel gets its own messages."""
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


class Channel:
    """One miner, or what a proxy makes of several."""

    __slots__ = ("extranonce1", "id", "is_extended", "name", "targets", "vardiff", "worker")

    def __init__(
        self, id_: int, *, name: str, worker: int, extranonce1: bytes, vardiff: Vardiff, extended: bool
    ) -> None:
        self.id, self.name, self.worker, self.is_extended = id_, name, worker, extended
        self.extranonce1, self.vardiff = extranonce1, vardiff
        self.targets = Targets(vardiff.difficulty)

    @property
    def prefix(self) -> bytes:
        """What the pool sets of the extranonce: all of it where the miner rolls headers only."""
        return self.extranonce1 if self.is_extended else self.extranonce1 + bytes(EXTRANONCE2_BYTES)

    @property
    def target(self) -> int:
        """What its hashes must meet now."""
        return self.targets.current[1]

    def retarget(self) -> None:
        """Begin a generation with the difficulty in force."""
        self.targets.begin(self.vardiff.difficulty)


class V2Session(PoolConnection):
    """A connection. Made by the server, which owns jobs, log and limits."""

    __slots__ = (
        "_channel_ids",
        "_channels",
        "_decryptor",
        "_handshake",
        "_is_set_up",
        "_responder",
        "_sending",
    )

    protocol = Protocol.STRATUM_V2
    unsent_bytes_max = UNSENT_BYTES_MAX

    def __init__(self, server: "PoolServer", responder: Responder) -> None:
        super().__init__(server)
        self._responder = responder
        self._handshake = b""
        self._sending: CipherState | None = None
        self._decryptor: FrameDecryptor | None = None
        self._is_set_up = False
        self._channels: dict[int, Channel] = {}
        self._channel_ids = 0

    def data_received(self, data: bytes) -> None:
        """The first act of the handshake, then frames. Whatever cannot be read ends the connection."""
        if not self.server.gate.may_receive(self, len(data)):
            self.drop()
            return
        try:
            if self._decryptor is None:
                data = self._shake_hands(data)
            if self._decryptor is not None and data:
                for frame in self._decryptor.feed(data):
                    self._take(frame)
        except (WireError, DifficultyError) as error:
            log.info("v2_connection_ended", peer=self.peer, agent=self.agent, reason=str(error))
            self.server.gate.strike(self, "nonsense")
            self.drop()
        if self.out:
            self.server.has_answers(self)

    def _shake_hands(self, data: bytes) -> bytes:
        """Collect the first act and answer it; what follows it."""
        self._handshake += data
        if len(self._handshake) < ACT_1_BYTES:
            return b""
        act_1, rest = self._handshake[:ACT_1_BYTES], self._handshake[ACT_1_BYTES:]
        act_2, session = self._responder.answer(act_1)
        self._sending, self._handshake = session.sending, b""
        self._decryptor = FrameDecryptor(session.receiving, payload_bytes_max=PAYLOAD_BYTES_MAX)
        if self.transport is not None:
            self.transport.write(act_2)
        return rest

    # Messages.

    def _take(self, frame: Frame) -> None:
        protocol = setup.Protocol.MINING if self._is_set_up else None
        try:
            message = registry.decode(protocol, frame.message_type, frame.payload, frame.extension_type)
        except UnknownMessageError:
            return  # to be discarded, as the specification says of what a side does not know
        handler = self._HANDLERS.get(type(message))
        if handler is not None and (self._is_set_up or isinstance(message, setup.SetupConnection)):
            handler(self, message)

    def _set_up(self, message: setup.SetupConnection) -> None:
        refusal = ""
        unsupported = message.flags & mining.SetupFlag.REQUIRES_WORK_SELECTION
        if message.protocol != setup.Protocol.MINING:
            refusal = ErrorCode.UNSUPPORTED_PROTOCOL
        elif not message.min_version <= setup.VERSION <= message.max_version:
            refusal = ErrorCode.PROTOCOL_VERSION_MISMATCH
        elif unsupported:
            refusal = ErrorCode.UNSUPPORTED_FEATURE_FLAGS
        if refusal or self._is_set_up:
            self.out.append(setup.SetupConnectionError(unsupported, refusal or ErrorCode.INTERNAL_ERROR))
            return
        self._is_set_up = True
        self.agent = f"{message.vendor} {message.firmware}".strip()
        self.out.append(setup.SetupConnectionSuccess(setup.VERSION, 0))

    def _open_standard(self, message: mining.OpenStandardMiningChannel) -> None:
        channel = self._opened(message, extended=False)
        if channel is not None:
            self.out.append(
                mining.OpenStandardMiningChannelSuccess(
                    message.request_id, channel.id, channel.target, channel.prefix, GROUP
                )
            )
            self._send_work(channel, clean=True)

    def _open_extended(self, message: mining.OpenExtendedMiningChannel) -> None:
        if message.min_extranonce_size > EXTRANONCE2_BYTES:
            code = ErrorCode.MIN_EXTRANONCE_SIZE_TOO_LARGE
            self.out.append(mining.OpenMiningChannelError(message.request_id, code))
            return
        channel = self._opened(message, extended=True)
        if channel is not None:
            self.out.append(
                mining.OpenExtendedMiningChannelSuccess(
                    message.request_id, channel.id, channel.target, EXTRANONCE2_BYTES, channel.prefix, GROUP
                )
            )
            self._send_work(channel, clean=True)

    def _opened(
        self, message: mining.OpenStandardMiningChannel | mining.OpenExtendedMiningChannel, *, extended: bool
    ) -> Channel | None:
        """A new channel; None, with the refusal sent, where the pool opens none."""
        name, vardiff = message.user_identity, self.server.new_vardiff()
        code = ErrorCode.UNKNOWN_USER if self.server.refusal(name) else ""
        if len(self._channels) >= CHANNELS_MAX:
            code = ErrorCode.INTERNAL_ERROR
        if not code:
            code = self._fit(vardiff, message.nominal_hash_rate, message.max_target)
        if code:
            self.out.append(mining.OpenMiningChannelError(message.request_id, code))
            return None
        self._channel_ids += 1
        channel = Channel(
            self._channel_ids,
            name=name,
            worker=self.server.log.worker(name),
            extranonce1=self.server.new_extranonce1(),
            vardiff=vardiff,
            extended=extended,
        )
        channel.retarget()
        self._channels[channel.id] = channel
        return channel

    def _fit(self, vardiff: Vardiff, hashrate_hs: float, target_max: int) -> str:
        """Set a channel's difficulty to what its miner states; the code of the refusal, or an empty text."""
        if not (math.isfinite(hashrate_hs) and hashrate_hs >= 0):
            return ErrorCode.INVALID_NOMINAL_HASHRATE
        if target_max <= 0:
            return ErrorCode.MAX_TARGET_OUT_OF_RANGE
        now_s = self.server.now_s()
        try:
            if hashrate_hs > 0:
                vardiff.suggest(now_s, difficulty_of_hashrate(hashrate_hs, self.server.shares_per_minute))
            if target_max < target_of_difficulty(vardiff.difficulty):
                vardiff.require(now_s, difficulty_of_target(target_max))
        except DifficultyError:
            return ErrorCode.MAX_TARGET_OUT_OF_RANGE
        fits = target_of_difficulty(vardiff.difficulty) <= target_max
        return "" if fits else ErrorCode.MAX_TARGET_OUT_OF_RANGE

    def _update(self, message: mining.UpdateChannel) -> None:
        channel = self._channels.get(message.channel_id)
        if channel is None:
            self.out.append(mining.UpdateChannelError(message.channel_id, ErrorCode.INVALID_CHANNEL_ID))
            return
        before = channel.vardiff.difficulty
        code = self._fit(channel.vardiff, message.nominal_hash_rate, message.maximum_target)
        if code:
            self.out.append(mining.UpdateChannelError(message.channel_id, code))
        if channel.vardiff.difficulty != before:
            self._retarget(channel)

    def _close(self, message: mining.CloseChannel) -> None:
        if message.channel_id == GROUP:
            self._channels.clear()
        self._channels.pop(message.channel_id, None)

    def _custom_job(self, message: mining.SetCustomMiningJob) -> None:
        code = ErrorCode.JD_NOT_SUPPORTED
        self.out.append(mining.SetCustomMiningJobError(message.channel_id, message.request_id, code))

    # Shares.

    def _standard_share(self, message: mining.SubmitSharesStandard) -> None:
        self._share(message, None)

    def _extended_share(self, message: mining.SubmitSharesExtended) -> None:
        self._share(message, message.extranonce)

    def _share(self, share: mining.SubmitSharesStandard | mining.SubmitSharesExtended, rolled: bytes | None) -> None:
        server, channel = self.server, self._channels.get(share.channel_id)
        if channel is None or channel.is_extended != (rolled is not None):
            self._reject(share, Reject.UNAUTHORIZED)
            return
        job, set_to = server.job(share.job_id // GENERATIONS), channel.targets.get(share.job_id % GENERATIONS)
        if job is None or set_to is None:
            self._reject(share, Reject.UNKNOWN_JOB)
            return
        if (share.version ^ job.template.version) & ~VERSION_GENERAL_MASK:
            self._reject(share, Reject.VERSION_OUT_OF_RANGE)
            return
        now_s, extranonce = server.now_s(), channel.prefix if rolled is None else channel.extranonce1 + rolled
        refusal, header, hash_ = judge(
            job,
            extranonce=extranonce,
            version=share.version,
            time_s=share.ntime,
            nonce=share.nonce,
            target=set_to[1],
            now_s=now_s,
        )
        if refusal is not None:
            self._reject(share, refusal)
            return
        self._accept(
            job,
            header,
            hash_,
            extranonce=extranonce,
            worker=channel.worker,
            name=channel.name,
            difficulty=set_to[0],
            answer=(share.channel_id, share.sequence_number, set_to[0]),
        )
        if channel.vardiff.share(now_s, set_to[0]) is not None:
            self._retarget(channel)

    def _reject(self, share: mining.SubmitSharesStandard | mining.SubmitSharesExtended, why: Reject) -> None:
        channel = self._channels.get(share.channel_id)
        self.server.statistics.reject(why, None if channel is None else channel.worker)
        self.out.append(mining.SubmitSharesError(share.channel_id, share.sequence_number, CODES[why]))

    # Work.

    @property
    def is_ready(self) -> bool:
        """Whether it takes work: a channel is open."""
        return bool(self._channels)

    def members(self) -> Iterable[Member]:
        """The workers of its channels."""
        channels = self._channels.values()
        return [Member(each.worker, self.agent, self.protocol, each.vardiff.difficulty) for each in channels]

    def look(self, now_s: float) -> None:
        """Time has passed: difficulties fall where no share comes."""
        for channel in self._channels.values():
            if channel.vardiff.idle(now_s) is not None:
                self._retarget(channel)
        if self.out:
            self.server.has_answers(self)

    def new_job(self, *, clean: bool) -> None:
        """Tell the newest job, at once."""
        for channel in self._channels.values():
            self._send_work(channel, clean=clean)
        if self.out:
            self.server.has_answers(self)

    def _retarget(self, channel: Channel) -> None:
        channel.retarget()
        self.out.append(mining.SetTarget(channel.id, channel.target))
        self._send_work(channel, clean=False)

    def _send_work(self, channel: Channel, *, clean: bool) -> None:
        job = self.server.current_job
        if job is None:
            return
        template, job_id = job.template, job.number * GENERATIONS + channel.targets.generation
        min_time_s = None if clean else template.time_s
        if channel.is_extended:
            self.out.append(
                mining.NewExtendedMiningJob(
                    channel.id,
                    job_id,
                    min_time_s,
                    template.version,
                    True,  # noqa: FBT003 -- version rolling is allowed
                    template.branch,
                    job.coinbase.before,
                    job.coinbase.after,
                )
            )
        else:
            root = merkle_root_of(job, channel.prefix)
            self.out.append(mining.NewMiningJob(channel.id, job_id, min_time_s, template.version, root))
        if clean:
            self.out.append(
                mining.SetNewPrevHash(channel.id, job_id, template.previous_hash, template.time_s, template.bits)
            )

    def flush(self, *, kept: bool) -> None:
        """Send what this turn of the loop has to say; ``kept`` says whether its shares are in the log."""
        out, self.out = self.out, []
        sending = self._sending
        if self.transport is None or sending is None:
            return
        messages = _answered(out, kept=kept)
        self.transport.write(b"".join([encrypt_frame(sending, registry.encode(each)) for each in messages]))

    _HANDLERS: ClassVar[dict[type[Message], Callable[["V2Session", Any], None]]] = {
        setup.SetupConnection: _set_up,
        mining.OpenStandardMiningChannel: _open_standard,
        mining.OpenExtendedMiningChannel: _open_extended,
        mining.UpdateChannel: _update,
        mining.CloseChannel: _close,
        mining.SetCustomMiningJob: _custom_job,
        mining.SubmitSharesStandard: _standard_share,
        mining.SubmitSharesExtended: _extended_share,
    }


def _answered(out: list[Any], *, kept: bool) -> list[Message]:
    """Messages in their order; a run of accepted shares of one channel is one answer."""
    messages: list[Message] = []
    for each in out:
        if type(each) is not tuple:
            messages.append(each)
            continue
        channel_id, sequence, difficulty = each[4]
        if not kept:
            messages.append(mining.SubmitSharesError(channel_id, sequence, CODES[Reject.UNAVAILABLE]))
            continue
        count, total = 1, max(round(difficulty), 1)
        last = messages[-1] if messages else None
        if isinstance(last, mining.SubmitSharesSuccess) and last.channel_id == channel_id:
            messages.pop()
            count, total = last.new_submits_accepted_count + 1, last.new_shares_sum + total
        messages.append(mining.SubmitSharesSuccess(channel_id, sequence, count, total))
    return messages
