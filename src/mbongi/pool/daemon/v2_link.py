"""What Stratum V2's connections have in common: the handshake, frames, the setup, and sending."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mbongi.base.log import get_log
from mbongi.pool.daemon.connection import PoolConnection
from mbongi.pool.errors import PoolError
from mbongi.pool.values import Protocol
from mbongi.wire.errors import WireError
from mbongi.wire.noise.handshake import ACT_1_BYTES, Responder
from mbongi.wire.noise.transport import CipherState, FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import registry, setup
from mbongi.wire.stratum_v2.codes import ErrorCode
from mbongi.wire.stratum_v2.errors import UnknownMessageError
from mbongi.wire.stratum_v2.frames import Frame
from mbongi.wire.stratum_v2.layout import Message

if TYPE_CHECKING:
    from mbongi.pool.daemon.server import PoolServer

log = get_log(__name__)

UNSENT_BYTES_MAX: Final = 4 * 1024 * 1024


class V2Connection(PoolConnection):
    """A connection that speaks one of Stratum V2's protocols, which its class names with the messages that it takes."""

    __slots__ = ("_decryptor", "_handshake", "_responder", "_sending", "is_set_up", "rest")

    protocol = Protocol.STRATUM_V2
    unsent_bytes_max = UNSENT_BYTES_MAX
    speaks: ClassVar[setup.Protocol]
    payload_bytes_max: ClassVar[int]
    handlers: ClassVar[dict[type[Message], Callable[[Any, Any], None]]]
    """What is done with each message; others are discarded."""

    def __init__(self, server: "PoolServer", responder: Responder) -> None:
        super().__init__(server)
        self._responder = responder
        self._handshake = b""
        self._sending: CipherState | None = None
        self._decryptor: FrameDecryptor | None = None
        self.is_set_up = False
        self.rest = b""
        """What stands behind the fields of the message that is being taken: those of extensions."""

    @abstractmethod
    def refusal(self, message: setup.SetupConnection) -> tuple[str, int]:
        """Why a client cannot be served, an empty code where it can, and the flags that we do not support."""

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
        except (WireError, PoolError) as error:
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
        self._decryptor = FrameDecryptor(session.receiving, payload_bytes_max=self.payload_bytes_max)
        if self.transport is not None:
            self.transport.write(act_2)
        return rest

    def _take(self, frame: Frame) -> None:
        protocol = self.speaks if self.is_set_up else None
        try:
            message, self.rest = registry.decode_with_rest(protocol, frame)
        except UnknownMessageError:
            return  # to be discarded, as the specification says of what a side does not know
        handler = self.handlers.get(type(message))
        if handler is not None:
            if self.is_set_up:
                handler(self, message)
        elif isinstance(message, setup.SetupConnection):
            self._set_up(message)

    def _set_up(self, message: setup.SetupConnection) -> None:
        code, unsupported = self.refusal(message)
        if message.protocol != self.speaks:
            code = ErrorCode.UNSUPPORTED_PROTOCOL
        elif not message.min_version <= setup.VERSION <= message.max_version:
            code = ErrorCode.PROTOCOL_VERSION_MISMATCH
        if code or self.is_set_up:
            self.out.append(setup.SetupConnectionError(unsupported, code or ErrorCode.INTERNAL_ERROR))
            return
        self.is_set_up = True
        self.agent = f"{message.vendor} {message.firmware}".strip()
        self.out.append(setup.SetupConnectionSuccess(setup.VERSION, 0))

    def move(self, host: str, port: int) -> None:
        """Ask the client to connect there from now on; an empty host and port 0 stand for the present ones."""
        self.out.append(setup.Reconnect(host, port))
        self.server.has_answers(self)

    def send(self, frames: Iterable[bytes]) -> None:
        """Seal frames and write them. Only once the handshake is over."""
        sending = self._sending
        if self.transport is not None and sending is not None:
            self.transport.write(b"".join([encrypt_frame(sending, each) for each in frames]))
