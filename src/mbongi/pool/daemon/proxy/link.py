"""One encrypted Stratum V2 connection to a pool, as its client: handshake, setup, channels, and frames both ways.

What is to be sent leaves at the end of each turn of the event loop in one write. Whatever the pool says that cannot be
read, or contradicts the protocol, ends the link with the reason.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, cast

from mbongi.base.log import get_log
from mbongi.pool.daemon.connection import notice_death
from mbongi.pool.daemon.proxy.channel import Channel
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.errors import PoolError, UpstreamError
from mbongi.pool.rules.upstream_work import EXTRANONCE_BYTES, Bodies, ChannelWork, UpstreamJob, tip_of
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.handshake import ACT_2_BYTES, Initiator
from mbongi.wire.noise.transport import CipherState, FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import extensions, mining, registry, setup
from mbongi.wire.stratum_v2.errors import UnknownMessageError
from mbongi.wire.stratum_v2.layout import Message

log = get_log(__name__)

CONNECT_S_MAX: Final = 10.0
"""From the first packet to the pool's consent; a slow satellite link needs two."""
CLOCK_TOLERANCE_S: Final = 600
"""How far our clock may be from the pool's."""
PAYLOAD_BYTES_MAX: Final = 512 * 1024
UNSENT_BYTES_MAX: Final = 4 * 1024 * 1024
OPEN_S_MAX: Final = 30.0
"""A channel that was asked for and is neither opened nor refused by then: the pool is not working."""
WORK_S_MAX: Final = 60.0
"""Nor is one that gives a channel no work for so long."""
ANSWER_S_MAX: Final = 300.0
"""Nor is one that has a share to answer and says nothing at all; some answer every tenth share only."""
CHANNELS_MAX: Final = 20_000
OPEN_EXTENDED_SUCCESS: Final = 0x14
VENDOR: Final = "Mbongi"


class Owner(Protocol):
    """Whose link it is."""

    clock: SteadyClock

    def now_s(self) -> float:
        """Unix seconds that never jump."""

    def next_number(self) -> int:
        """Of jobs; never the same twice."""

    def channel_closed(self, channel: Channel, reason: str) -> None:
        """The pool has ended a channel."""

    def link_lost(self, link: "Link", reason: str) -> None:
        """It is gone; every share that waited has been told to its miner."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A channel that was asked for; ``done`` gets it, or None and the pool's reason."""

    name: str
    asked_at_s: float
    done: "Callable[[Channel | None, str], None]"


class Link(asyncio.Protocol):
    """Made by ``connect``; ready once that returns."""

    def __init__(self, address: PoolAddress, owner: Owner, bodies: Bodies, *, extend: bool = True) -> None:
        self.address, self._owner, self._bodies = address, owner, bodies
        self.transport: asyncio.Transport | None = None
        self.channels: dict[int, Channel] = {}
        self.tells_workers = False
        """Whether each share may name its worker (extension 0x0002)."""
        self.lost = asyncio.Event()
        self.is_at_fault = False
        """Whether it was ended because the pool did not do its part, and not because the connection broke."""
        self.was_mute = True
        """Whether the pool has said nothing since its consent, and our wish for extensions that followed it."""
        self.wants: PoolAddress | None = None
        """Where the pool wants us to go instead."""
        self._extend = extend
        self._initiator: Initiator | None = Initiator(address.authority_key)
        self._handshake = b""
        self._sending: CipherState | None = None
        self._decryptor: FrameDecryptor | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_set_up = False
        self._openings: dict[int, Opening] = {}
        self._groups: dict[int, set[int]] = {}
        self._requests = 0
        self._out: list[bytes] = []
        self._heard_at_s = owner.now_s()
        self._retired_until_s: float | None = None

    @classmethod
    async def connect(cls, address: PoolAddress, owner: Owner, bodies: Bodies, *, extend: bool = True) -> "Link":
        """A link whose pool has proven its key and consents; it asks for extensions where ``extend``.

        Raises OSError, TimeoutError, WireError (CertificateError for a wrong key) or UpstreamError.
        """
        link = cls(address, owner, bodies, extend=extend)
        async with asyncio.timeout(CONNECT_S_MAX):
            try:
                await asyncio.get_running_loop().create_connection(lambda: link, address.host, address.port)
                await link._ready
            except BaseException:
                link._abort()
                raise
        return link

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.address.host}:{self.address.port}"

    @property
    def is_up(self) -> bool:
        """Whether shares can go out."""
        return self.transport is not None and self._is_set_up

    # The connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        notice_death(transport)
        assert self._initiator is not None
        self.transport.write(self._initiator.act_1())

    def data_received(self, data: bytes) -> None:
        """The second act of the handshake, then frames."""
        self._heard_at_s = self._owner.now_s()
        try:
            if self._decryptor is None:
                data = self._shake_hands(data)
            if self._decryptor is not None and data:
                for frame in self._decryptor.feed(data):
                    self._take(frame.extension_type, frame.message_type, frame.payload)
        except (WireError, PoolError) as error:
            self.blame(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._fail(UpstreamError(str(exc) if exc else "the pool closed the connection"))

    def pause_writing(self) -> None:
        """The pool does not read."""
        self.blame(UpstreamError(f"the pool leaves {UNSENT_BYTES_MAX} bytes unread"))

    def _shake_hands(self, data: bytes) -> bytes:
        self._handshake += data
        if len(self._handshake) < ACT_2_BYTES:
            return b""
        act_2, rest = self._handshake[:ACT_2_BYTES], self._handshake[ACT_2_BYTES:]
        initiator, self._initiator, self._handshake = self._initiator, None, b""
        assert initiator is not None
        session = initiator.finish(act_2, now_s=int(self._owner.clock.unix_s()), tolerance_s=CLOCK_TOLERANCE_S)
        self._sending = session.sending
        self._decryptor = FrameDecryptor(session.receiving, payload_bytes_max=PAYLOAD_BYTES_MAX)
        address = self.address
        self.send(
            setup.SetupConnection(
                setup.Protocol.MINING, setup.VERSION, setup.VERSION, 0, address.host, address.port, VENDOR, "", "", ""
            )
        )
        return rest

    def _fail(self, error: Exception) -> None:
        """End it, once."""
        if self.lost.is_set():
            return
        self.lost.set()
        self._abort()
        if not self._ready.done():
            self._ready.set_exception(error)
            return
        channels, self.channels = list(self.channels.values()), {}
        openings, self._openings = list(self._openings.values()), {}
        for channel in channels:
            channel.closed(by_pool=False)
        if openings:
            log.info("channels_not_opened", upstream=self.name, channels=len(openings))
        self._owner.link_lost(self, str(error) or type(error).__name__)

    def blame(self, error: Exception) -> None:
        """End it: the pool does not do its part."""
        self.is_at_fault = self.wants is None
        self._fail(error)

    def _abort(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()

    def close(self, reason: str) -> None:
        """Leave the pool."""
        self._fail(UpstreamError(reason))

    def retire(self, until_s: float) -> None:
        """Another link has taken over: stay for the answers that are still to come."""
        self._retired_until_s = until_s

    # Sending.

    def send(self, message: Message, fields: bytes = b"") -> None:
        """Send at the end of this turn of the loop."""
        if self.transport is None:
            return
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(registry.encode(message, fields))

    def _flush(self) -> None:
        out, self._out = self._out, []
        sending = self._sending
        if self.transport is not None and sending is not None:
            self.transport.write(b"".join([encrypt_frame(sending, each) for each in out]))

    def open(
        self, name: str, *, hashrate_hs: float, target_max: int, done: Callable[[Channel | None, str], None]
    ) -> None:
        """Ask for an extended channel."""
        self._requests = (self._requests + 1) & 0xFFFF_FFFF
        self._openings[self._requests] = Opening(name, self._owner.now_s(), done)
        self.send(
            mining.OpenExtendedMiningChannel(self._requests, name, hashrate_hs, target_max, EXTRANONCE_BYTES),
        )

    def leave(self, channel: Channel) -> None:
        """Its miners are gone; it stays known until what it sent is answered."""
        channel.is_left = True
        self.send(mining.CloseChannel(channel.id, "downstream-gone"))
        self._forget_where_done(channel)

    def look(self, now_s: float) -> None:
        """Time has passed: end it where the pool does not do its part."""
        oldest = next(iter(self._openings.values()), None)
        if oldest is not None and now_s - oldest.asked_at_s > OPEN_S_MAX:
            self.blame(UpstreamError(f"no channel for {OPEN_S_MAX:.0f} s"))
            return
        waits = False
        for channel in self.channels.values():
            waits = waits or bool(channel.pending)
            if channel.work.current is None and now_s - channel.opened_at_s > WORK_S_MAX and not channel.is_left:
                self.blame(UpstreamError(f"no work for {WORK_S_MAX:.0f} s"))
                return
        if waits and now_s - max(self._heard_at_s, self._oldest_share_s(now_s)) > ANSWER_S_MAX:
            self.blame(UpstreamError(f"shares without an answer, and nothing heard for {ANSWER_S_MAX:.0f} s"))
        elif self._retired_until_s is not None and (not waits or now_s > self._retired_until_s):
            self._fail(UpstreamError("left for a better one"))

    def _oldest_share_s(self, now_s: float) -> float:
        return min((channel.oldest_s for channel in self.channels.values() if channel.pending), default=now_s)

    # Messages.

    def _take(self, extension_type: int, message_type: int, payload: bytes) -> None:
        protocol = setup.Protocol.MINING if self._is_set_up else None
        self.was_mute = not self._is_set_up
        if message_type == OPEN_EXTENDED_SUCCESS and not extension_type:
            payload = mining.with_group(payload)
        try:
            message = registry.decode(protocol, message_type, payload, extension_type)
        except UnknownMessageError:
            return  # to be discarded, as the specification says of what a side does not know
        handler = self._HANDLERS.get(type(message))
        if handler is not None:
            handler(self, message)

    def _consent(self, message: setup.SetupConnectionSuccess) -> None:
        if message.used_version != setup.VERSION:
            raise UpstreamError(f"the pool speaks version {message.used_version}; expected {setup.VERSION}")
        self._is_set_up = True
        self.was_mute = True
        if self._extend:
            self.send(extensions.RequestExtensions(1, (extensions.WORKER_HASHRATE,)))
        if not self._ready.done():
            self._ready.set_result(None)

    def _refusal(self, message: setup.SetupConnectionError) -> None:
        raise UpstreamError(f"the pool refuses the connection: {message.error_code!r}, flags {message.flags:#x}")

    def _extended(self, message: extensions.RequestExtensionsSuccess) -> None:
        self.tells_workers = extensions.WORKER_HASHRATE in message.supported_extensions

    def _not_extended(self, message: extensions.RequestExtensionsError) -> None:
        missing = [each for each in message.required_extensions if each != extensions.WORKER_HASHRATE]
        if missing:
            raise UpstreamError(f"the pool requires extensions {missing}, which we do not have")

    def _opened(self, message: mining.OpenExtendedMiningChannelSuccess) -> None:
        opening = self._openings.pop(message.request_id, None)
        if opening is None or message.channel_id in self.channels:
            raise UpstreamError(f"channel {message.channel_id} was opened, and nobody asked for it")
        if len(self.channels) >= CHANNELS_MAX:
            raise UpstreamError(f"{CHANNELS_MAX} channels")
        work = ChannelWork(
            prefix=message.extranonce_prefix,
            size=message.extranonce_size,
            target=message.target,
            numbers=self._owner.next_number,
        )
        channel = Channel(message.channel_id, self, opening.name, work, self._owner.now_s())
        self.channels[channel.id] = channel
        self._join(message.group_channel_id, channel.id)
        opening.done(channel, "")

    def _not_opened(self, message: mining.OpenMiningChannelError) -> None:
        opening = self._openings.pop(message.request_id, None)
        if opening is not None:
            opening.done(None, message.error_code)

    def _regroup(self, message: mining.SetGroupChannel) -> None:
        for channel_id in message.channel_ids:
            self._join(message.group_channel_id, channel_id)

    def _join(self, group_id: int, channel_id: int) -> None:
        for members in self._groups.values():
            members.discard(channel_id)
        self._groups = {each: members for each, members in self._groups.items() if members}
        self._groups.setdefault(group_id, set()).add(channel_id)

    def _addressed(self, channel_id: int) -> Iterable[Channel]:
        """A channel, or those of a group; none where the id means none of ours any more."""
        channel = self.channels.get(channel_id)
        if channel is not None:
            return (channel,)
        members = self._groups.get(channel_id, set())
        return [self.channels[each] for each in sorted(members) if each in self.channels]

    def _job(self, message: mining.NewExtendedMiningJob) -> None:
        body = self._bodies.one(message.coinbase_tx_prefix, message.coinbase_tx_suffix, message.merkle_path)
        job = UpstreamJob(message.job_id, body, message.version, message.version_rolling_allowed, message.min_ntime)
        for channel in self._addressed(message.channel_id):
            channel.new_job(job)

    def _new_tip(self, message: mining.SetNewPrevHash) -> None:
        tip = tip_of(message.prev_hash, message.nbits, message.min_ntime)
        for channel in self._addressed(message.channel_id):
            channel.new_tip(message.job_id, tip)

    def _target(self, message: mining.SetTarget) -> None:
        for channel in self._addressed(message.channel_id):
            channel.work.set_target(message.maximum_target)

    def _prefix(self, message: mining.SetExtranoncePrefix) -> None:
        for channel in self._addressed(message.channel_id):
            channel.work.set_prefix(message.extranonce_prefix)

    def _success(self, message: mining.SubmitSharesSuccess) -> None:
        channel = self.channels.get(message.channel_id)
        if channel is not None:
            channel.accepted(message.last_sequence_number, self._owner.now_s())
            self._forget_where_done(channel)

    def _error(self, message: mining.SubmitSharesError) -> None:
        channel = self.channels.get(message.channel_id)
        if channel is not None:
            channel.refused(message.sequence_number, message.error_code)
            self._forget_where_done(channel)

    def _closed(self, message: mining.CloseChannel) -> None:
        for channel in list(self._addressed(message.channel_id)):
            del self.channels[channel.id]
            channel.closed(by_pool=True)
            self._owner.channel_closed(channel, message.reason_code)

    def _update_refused(self, message: mining.UpdateChannelError) -> None:
        log.info("update_refused", upstream=self.name, channel=message.channel_id, code=message.error_code[:60])

    def _reconnect(self, message: setup.Reconnect) -> None:
        host, port = message.new_host or self.address.host, message.new_port or self.address.port
        self.wants = PoolAddress(host, port, self.address.authority_key)
        raise UpstreamError(f"the pool sends us to {host[:100]}:{port}")

    def _forget_where_done(self, channel: Channel) -> None:
        if channel.is_left and not channel.pending:
            self.channels.pop(channel.id, None)

    _HANDLERS: ClassVar[dict[type[Message], Callable[["Link", Any], None]]] = {
        setup.SetupConnectionSuccess: _consent,
        setup.SetupConnectionError: _refusal,
        setup.Reconnect: _reconnect,
        extensions.RequestExtensionsSuccess: _extended,
        extensions.RequestExtensionsError: _not_extended,
        mining.OpenExtendedMiningChannelSuccess: _opened,
        mining.OpenMiningChannelError: _not_opened,
        mining.SetGroupChannel: _regroup,
        mining.NewExtendedMiningJob: _job,
        mining.SetNewPrevHash: _new_tip,
        mining.SetTarget: _target,
        mining.SetExtranoncePrefix: _prefix,
        mining.SubmitSharesSuccess: _success,
        mining.SubmitSharesError: _error,
        mining.CloseChannel: _closed,
        mining.UpdateChannelError: _update_refused,
    }
