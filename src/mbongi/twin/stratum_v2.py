"""A virtual machine's connection to a pool in Stratum V2: the encrypted handshake, then one standard channel."""

import time
from collections.abc import Callable
from typing import Final

from mbongi.twin.pool_client import Login, PoolClient, PoolError
from mbongi.twin.values import PoolTally
from mbongi.twin.work import Found, Work
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.bitcoin.target import TARGET_MAX
from mbongi.wire.noise.handshake import ACT_2_BYTES, Initiator
from mbongi.wire.noise.transport import CipherState, FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import mining, registry, setup
from mbongi.wire.stratum_v2.codes import ErrorCode
from mbongi.wire.stratum_v2.errors import UnknownMessageError
from mbongi.wire.stratum_v2.frames import Frame
from mbongi.wire.stratum_v2.layout import Message

PAYLOAD_BYTES_MAX: Final = 128 * 1024
JOBS_MAX: Final = 16
"""Jobs that wait for their tip; older ones are forgotten."""
CLOCK_TOLERANCE_S: Final = 300
REQUEST: Final = 1
LATE: Final = frozenset({ErrorCode.STALE_SHARE, ErrorCode.INVALID_JOB_ID})


class V2Client(PoolClient):
    """One connection."""

    def __init__(self, login: Login, tally: PoolTally, clock: Callable[[], float]) -> None:
        super().__init__(login, tally, clock)
        self._initiator = Initiator(login.authority_key)
        self._handshake = b""
        self._sending: CipherState | None = None
        self._decryptor: FrameDecryptor | None = None
        self._is_set_up = False
        self._channel = 0
        self._target = 0
        self._jobs: dict[int, mining.NewMiningJob] = {}
        self._tip: mining.SetNewPrevHash | None = None
        self._sequence = 0

    def begin(self) -> None:
        """The first act of the handshake."""
        self.send(self._initiator.act_1())

    def take(self, data: bytes) -> None:
        """The second act, then frames."""
        if self._decryptor is None:
            self._handshake += data
            if len(self._handshake) < ACT_2_BYTES:
                return
            act_2, data = self._handshake[:ACT_2_BYTES], self._handshake[ACT_2_BYTES:]
            session = self._initiator.finish(act_2, now_s=int(time.time()), tolerance_s=CLOCK_TOLERANCE_S)
            self._sending = session.sending
            self._decryptor = FrameDecryptor(session.receiving, payload_bytes_max=PAYLOAD_BYTES_MAX)
            self._say(self._setup())
        for frame in self._decryptor.feed(data):
            self._frame(frame)

    def _setup(self) -> setup.SetupConnection:
        login, version = self.login, setup.VERSION
        flags = mining.SetupFlag.REQUIRES_STANDARD_JOBS
        maker, _, firmware = login.agent.partition("/")
        return setup.SetupConnection(
            setup.Protocol.MINING, version, version, flags, login.host, login.port, maker, "", firmware, login.user
        )

    def _say(self, message: Message) -> None:
        self.send(self._sealed(message))

    def _sealed(self, message: Message) -> bytes:
        assert self._sending is not None
        return encrypt_frame(self._sending, registry.encode(message))

    def _frame(self, frame: Frame) -> None:
        protocol = setup.Protocol.MINING if self._is_set_up else None
        try:
            message = registry.decode(protocol, frame.message_type, frame.payload, frame.extension_type)
        except UnknownMessageError:
            return  # to be discarded, as the specification says of what a side does not know
        if self._is_set_up:
            self._message(message)
        elif isinstance(message, setup.SetupConnectionSuccess):
            self._is_set_up = True
            login = self.login
            self._say(mining.OpenStandardMiningChannel(REQUEST, login.user, login.hashrate_hs, TARGET_MAX))
        elif isinstance(message, setup.SetupConnectionError):
            raise PoolError(f"the set-up is refused: {message.error_code}")

    def _message(self, message: Message) -> None:
        match message:
            case mining.OpenStandardMiningChannelSuccess():
                self._channel, self._target = message.channel_id, message.target
            case mining.OpenMiningChannelError():
                raise PoolError(f"worker {self.login.user} is refused: {message.error_code}")
            case mining.NewMiningJob():
                self._job(message)
            case mining.SetNewPrevHash():
                self._new_tip(message)
            case mining.SetTarget():
                self._target = message.maximum_target
            case mining.SubmitSharesSuccess():
                for number in [each for each in self._unanswered if each <= message.last_sequence_number]:
                    self.answered(number, "")
            case mining.SubmitSharesError():
                self.answered(message.sequence_number, message.error_code, stale=message.error_code in LATE)
            case mining.CloseChannel() | setup.Reconnect():
                raise PoolError("the pool asks to connect anew")

    def _job(self, job: mining.NewMiningJob) -> None:
        if job.min_ntime is None:
            self._jobs[job.job_id] = job
            while len(self._jobs) > JOBS_MAX:
                del self._jobs[next(iter(self._jobs))]
        elif self._tip is not None:
            self._begin(job, self._tip, job.min_ntime)

    def _new_tip(self, tip: mining.SetNewPrevHash) -> None:
        job = self._jobs.pop(tip.job_id, None)
        self._tip = tip
        self._jobs.clear()
        self.work = None
        if job is not None:
            self._begin(job, tip, tip.min_ntime)

    def _begin(self, job: mining.NewMiningJob, tip: mining.SetNewPrevHash, time_s: int) -> None:
        header = Header(
            version=job.version,
            previous_hash=tip.prev_hash,
            merkle_root=job.merkle_root,
            time_s=time_s,
            bits=tip.nbits,
            nonce=0,
        )
        self.take_up(Work.of(header, job_id=job.job_id, target=self._target))

    def share(self, work: Work, found: Found) -> bytes:
        """SubmitSharesStandard."""
        self._sequence += 1
        self.expect_answer(self._sequence, work.difficulty)
        return self._sealed(
            mining.SubmitSharesStandard(
                self._channel, self._sequence, work.job_id, found.nonce, work.time_s, work.version
            )
        )
