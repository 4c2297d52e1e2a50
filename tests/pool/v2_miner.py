"""A Stratum V2 client that hashes on the processor, over an encrypted connection."""

import asyncio
from typing import Any, Self

from mbongi.wire.noise.handshake import ACT_2_BYTES, Initiator
from mbongi.wire.noise.transport import FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import mining, registry, setup
from mbongi.wire.stratum_v2.layout import Message
from tests.pool.practice import double

ANY_TARGET = (1 << 256) - 1


class V2Miner:
    """One connection with one channel."""

    speaks = setup.Protocol.MINING

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: list[Message] = []
        self.received: list[Message] = []
        self.channel = 0
        self.prefix = b""
        self.target = 0
        self.sequence = 0
        self.is_extended = False
        self.job: mining.NewMiningJob | mining.NewExtendedMiningJob | None = None
        self.tip: mining.SetNewPrevHash | None = None

    @classmethod
    async def shake_hands(cls, port: int, authority_key: bytes | None, *, now_s: int) -> Self:
        """Connect and finish the handshake; the server must be vouched for by the authority."""
        miner = cls(*await asyncio.open_connection("127.0.0.1", port))
        initiator = Initiator(authority_key)
        miner._writer.write(initiator.act_1())
        try:
            act_2 = await miner._reader.readexactly(ACT_2_BYTES)
            session = initiator.finish(act_2, now_s=now_s, tolerance_s=10)
        except BaseException:
            miner.close()
            raise
        miner._sending, miner._decryptor = session.sending, FrameDecryptor(session.receiving, payload_bytes_max=1 << 20)
        return miner

    def say(self, message: Message) -> None:
        """Send a message."""
        self._writer.write(encrypt_frame(self._sending, registry.encode(message)))

    async def hear(self, kind: Any) -> Any:
        """The next message of a kind, or of one of several; work is taken from those that come before it."""
        async with asyncio.timeout(20):
            while True:
                while self._waiting:
                    message = self._waiting.pop(0)
                    self._note(message)
                    if isinstance(message, kind):
                        return message
                data = await self._reader.read(65_536)
                if not data:
                    raise ConnectionResetError("the pool closed the connection")
                for frame in self._decryptor.feed(data):
                    self._waiting.append(
                        registry.decode(self.speaks, frame.message_type, frame.payload, frame.extension_type)
                    )

    def _note(self, message: Message) -> None:
        self.received.append(message)
        if isinstance(message, mining.NewMiningJob | mining.NewExtendedMiningJob):
            self.job = message
        elif isinstance(message, mining.SetNewPrevHash):
            self.tip = message
        elif isinstance(message, mining.SetTarget):
            self.target = message.maximum_target

    async def set_up(self, flags: int = 0) -> None:
        """Set the connection up."""
        self.say(setup.SetupConnection(self.speaks, 2, 2, flags, "127.0.0.1", 1, "test", "1", "1", ""))
        await self.hear(setup.SetupConnectionSuccess)

    async def open(self, *, extended: bool, user: str = "acct.v2", hashrate_hs: float = 0.0, flags: int = 0) -> None:
        """Set up, open a channel, and wait for its first work."""
        await self.set_up(flags)
        await self.open_channel(extended=extended, user=user, hashrate_hs=hashrate_hs)

    async def open_channel(
        self, *, extended: bool, user: str = "acct.v2", hashrate_hs: float = 0.0, work: bool = True
    ) -> None:
        """Open a channel, which what is solved from now on is for, and wait for its first work, where it gets any."""
        if extended:
            self.say(mining.OpenExtendedMiningChannel(7, user, hashrate_hs, ANY_TARGET, 4))
            answer = await self.hear(mining.OpenExtendedMiningChannelSuccess)
        else:
            self.say(mining.OpenStandardMiningChannel(7, user, hashrate_hs, ANY_TARGET))
            answer = await self.hear(mining.OpenStandardMiningChannelSuccess)
        assert answer.request_id == 7
        self.channel, self.prefix, self.target = answer.channel_id, answer.extranonce_prefix, answer.target
        self.is_extended = extended
        if work:
            await self.hear(mining.SetNewPrevHash)

    def solve(
        self, *, target: int | None = None, rolled: int = 0, extranonce: bytes = bytes(8)
    ) -> mining.SubmitSharesStandard | mining.SubmitSharesExtended:
        """A share that meets the channel's target."""
        job, tip = self.job, self.tip
        assert job is not None
        assert tip is not None
        if isinstance(job, mining.NewExtendedMiningJob):
            whole = self.prefix + extranonce if self.is_extended else self.prefix
            root = double(job.coinbase_tx_prefix + whole + job.coinbase_tx_suffix)
            for each in job.merkle_path:
                root = double(root + each)
        else:
            root = job.merkle_root
        version, time_s = job.version ^ rolled, job.min_ntime or tip.min_ntime
        head = version.to_bytes(4, "little") + tip.prev_hash + root + time_s.to_bytes(4, "little")
        head += tip.nbits.to_bytes(4, "little")
        limit = self.target if target is None else target
        nonce = next(
            nonce
            for nonce in range(1 << 24)
            if int.from_bytes(double(head + nonce.to_bytes(4, "little")), "little") <= limit
        )
        self.sequence += 1
        fields = (self.channel, self.sequence, job.job_id, nonce, time_s, version)
        if self.is_extended:
            return mining.SubmitSharesExtended(*fields, extranonce)
        return mining.SubmitSharesStandard(*fields)

    def close(self) -> None:
        self._writer.close()
