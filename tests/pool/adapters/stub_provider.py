"""A template provider on loopback that says what a test tells it to say."""

import asyncio
from typing import Self

from mbongi.base.clock import utc_now
from mbongi.wire.bitcoin.hashing import coinbase_branch
from mbongi.wire.bitcoin.script import height_push
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from mbongi.wire.noise.certificate import PoolAddress, sign_certificate
from mbongi.wire.noise.handshake import ACT_1_BYTES, Responder
from mbongi.wire.noise.secp import EllSwiftKey, new_secret, x_only_of_secret
from mbongi.wire.noise.transport import CipherState, FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import registry, setup
from mbongi.wire.stratum_v2 import template_distribution as tdp
from mbongi.wire.stratum_v2.layout import Message
from tests.pool.practice import double


def spend(number: int) -> bytes:
    """A made-up transaction with a witness."""
    inputs = (TxIn(outpoint=OutPoint(bytes([number]) * 32, 0), witness=(b"sig",)),)
    return Transaction(inputs=inputs, outputs=(TxOut(number, b"\x51"),)).encode()


def commitment(transactions: list[bytes]) -> bytes:
    """The output that commits to the witnesses. Source: BIP 141."""
    level = [bytes(32), *(double(each) for each in transactions)]
    while len(level) > 1:
        level += level[-1:] * (len(level) % 2)
        level = [double(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
    return bytes(8) + b"\x26\x6a\x24\xaa\x21\xa9\xed" + double(level[0] + bytes(32))


class StubProvider:
    """Takes one connection at a time; ``heard`` is what came on it after the setup."""

    def __init__(self) -> None:
        self._secret, self._key = new_secret(), EllSwiftKey.generate()
        self.authority_key = x_only_of_secret(self._secret)
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.data: dict[int, list[bytes]] = {}
        self.connections = 0
        self.refuses = ""
        self._writer: asyncio.StreamWriter | None = None
        self._sending: CipherState | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()
        await self._server.wait_closed()

    @property
    def address(self) -> PoolAddress:
        return PoolAddress("127.0.0.1", self.port, self.authority_key)

    def hang_up(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def say(self, message: Message) -> None:
        assert self._writer is not None
        assert self._sending is not None
        self._writer.write(encrypt_frame(self._sending, registry.encode(message)))

    def offer(
        self, template_id: int, transactions: list[bytes], *, future: bool, height: int = 500, **changes: object
    ) -> None:
        """Give a template; its transactions are given when they are asked for."""
        self.data[template_id] = transactions
        fields: dict[str, object] = {
            "template_id": template_id,
            "future_template": future,
            "version": 0x2000_0000,
            "coinbase_tx_version": 2,
            "coinbase_prefix": height_push(height),
            "coinbase_tx_input_sequence": 0xFFFF_FFFE,
            "coinbase_tx_value_remaining": 50_000 + len(transactions),
            "coinbase_tx_outputs_count": 1,
            "coinbase_tx_outputs": commitment(transactions),
            "coinbase_tx_locktime": height - 1,
            "merkle_path": tuple(coinbase_branch([Transaction.parse(each).txid for each in transactions])),
        }
        self.say(tdp.NewTemplate(**(fields | changes)))  # type: ignore[arg-type]

    def tip(self, template_id: int, previous_hash: bytes, time_s: int = 1_700_000_000) -> None:
        """Name the tip that a template is for."""
        self.say(tdp.SetNewPrevHash(template_id, previous_hash, time_s, 0x207FFFFF, (1 << 255) - 1))

    async def next(self, kind: type[Message]) -> Message:
        async with asyncio.timeout(20):
            while not isinstance(message := await self.heard.get(), kind):
                pass
            return message

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now_s = int(utc_now().timestamp())
        certificate = sign_certificate(
            self._secret, server_key=self._key.x_only(), valid_from_s=now_s - 60, not_valid_after_s=now_s + 60
        )
        try:
            act_2, session = Responder(self._key, certificate).answer(await reader.readexactly(ACT_1_BYTES))
            writer.write(act_2)
            decryptor = FrameDecryptor(session.receiving, payload_bytes_max=1 << 20)
            while data := await reader.read(65_536):
                for frame in decryptor.feed(data):
                    protocol = setup.Protocol.TEMPLATE_DISTRIBUTION
                    self._take(registry.decode(protocol, frame.message_type, frame.payload), writer, session.sending)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _take(self, message: Message, writer: asyncio.StreamWriter, sending: CipherState) -> None:
        self._writer, self._sending = writer, sending
        if isinstance(message, setup.SetupConnection):
            self.connections += 1
            self.say(
                setup.SetupConnectionError(0, self.refuses) if self.refuses else setup.SetupConnectionSuccess(2, 0)
            )
            return
        if isinstance(message, tdp.RequestTransactionData):
            found = self.data.get(message.template_id)
            if found is None:
                self.say(tdp.RequestTransactionDataError(message.template_id, "stale-template-id"))
            else:
                self.say(tdp.RequestTransactionDataSuccess(message.template_id, b"", tuple(found)))
        self.heard.put_nowait(message)
