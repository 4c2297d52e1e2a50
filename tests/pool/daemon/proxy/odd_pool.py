"""A Stratum V2 pool that says just what a test has it say, over an encrypted connection; it is none of ours."""

import asyncio
import time
from typing import Any, TypeVar

from mbongi.wire.noise.certificate import PoolAddress, sign_certificate
from mbongi.wire.noise.handshake import ACT_1_BYTES, Responder
from mbongi.wire.noise.secp import EllSwiftKey, new_secret, x_only_of_secret
from mbongi.wire.noise.transport import FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import mining, registry, setup
from mbongi.wire.stratum_v2.frames import pack_frame
from mbongi.wire.stratum_v2.layout import Message

Kind = TypeVar("Kind", bound=Message)
EASY_TARGET = (0xFFFF << 208) << 24
"""Every 256th hash or so."""
BEFORE = bytes.fromhex("01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20")
AFTER = bytes.fromhex("ffffffff0100f2052a0100000016") + bytes(22) + bytes(4)


class OddPool:
    """One connection at a time."""

    def __init__(self) -> None:
        authority, key = new_secret(), EllSwiftKey.generate()
        now_s = int(time.time())
        certificate = sign_certificate(
            authority, server_key=key.x_only(), valid_from_s=now_s - 60, not_valid_after_s=now_s + 3600
        )
        self._responder = Responder(key, certificate)
        self._authority_key = x_only_of_secret(authority)
        self._server: asyncio.Server | None = None
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None
        self._sending: Any = None
        self.connections = 0
        self.is_gone = asyncio.Event()

    async def __aenter__(self) -> "OddPool":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = PoolAddress("127.0.0.1", self._server.sockets[0].getsockname()[1], self._authority_key)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()
        await asyncio.sleep(0.05)

    def drop(self) -> None:
        if self._writer is not None:
            self._writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.is_gone.clear()
        self._writer = writer
        try:
            act_2, session = self._responder.answer(await reader.readexactly(ACT_1_BYTES))
            writer.write(act_2)
            self._sending, decryptor = session.sending, FrameDecryptor(session.receiving, payload_bytes_max=1 << 20)
            protocol = None
            while data := await reader.read(65_536):
                for frame in decryptor.feed(data):
                    message = registry.decode(protocol, frame.message_type, frame.payload, frame.extension_type)
                    protocol = setup.Protocol.MINING
                    self._heard.put_nowait(message)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.is_gone.set()

    def say(self, *messages: Message) -> None:
        assert self._writer is not None
        self._writer.write(b"".join([encrypt_frame(self._sending, registry.encode(each)) for each in messages]))

    async def hear(self, kind: type[Kind]) -> Kind:
        """The next message of a kind; others are passed over."""
        async with asyncio.timeout(20):
            while True:
                message = await self.next()
                if isinstance(message, kind):
                    return message

    async def next(self) -> Message:
        """The next message."""
        return await self._heard.get()

    async def consent(self, flags: int = 0) -> None:
        await self.hear(setup.SetupConnection)
        self.say(setup.SetupConnectionSuccess(2, flags))

    async def open(
        self,
        channel: int = 1,
        *,
        size: int = 8,
        with_group: bool = True,
        prefix: bytes = b"pool",
        target: int = EASY_TARGET,
        group: int = 77,
        work: bool = True,
    ) -> mining.OpenExtendedMiningChannel:
        """Open the channel that is asked for next, and give it work on a first tip."""
        asked = await self.hear(mining.OpenExtendedMiningChannel)
        success = registry.encode(
            mining.OpenExtendedMiningChannelSuccess(asked.request_id, channel, target, size, prefix, group)
        )
        assert self._writer is not None
        if not with_group:
            success = pack_frame(0, 0x14, success[6:-4])
        self._writer.write(encrypt_frame(self._sending, success))
        if work:
            self.say(self.job(channel, 1), self.tip(channel, 1))
        return asked

    def job(
        self, channel: int, number: int, *, time_s: int | None = None, rolls: bool = True
    ) -> mining.NewExtendedMiningJob:
        before = BEFORE + number.to_bytes(2, "big")
        return mining.NewExtendedMiningJob(channel, number, time_s, 0x2000_0000, rolls, (b"\5" * 32,), before, AFTER)

    def tip(self, channel: int, number: int, *, tip: int = 1, time_s: int = 1_700_000_000) -> mining.SetNewPrevHash:
        return mining.SetNewPrevHash(channel, number, bytes([tip]) * 32, time_s, 0x1D00FFFF)
