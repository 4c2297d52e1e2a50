"""One connection to a template provider, in Stratum V2's Template Distribution protocol. Source: section 7.

A template is whole once its transactions are there, which are asked for as it comes; so that a template for the block
after the next is ready when its tip is found.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from mbongi.base.clock import utc_now
from mbongi.base.log import get_log
from mbongi.pool.errors import NodeDenied, NodeGarbled, NodeSilent, NodeUnreachable
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.handshake import ACT_2_BYTES, Initiator
from mbongi.wire.noise.transport import CipherState, FrameDecryptor, encrypt_frame
from mbongi.wire.stratum_v2 import registry, setup
from mbongi.wire.stratum_v2 import template_distribution as tdp
from mbongi.wire.stratum_v2.errors import UnknownMessageError
from mbongi.wire.stratum_v2.frames import PAYLOAD_BYTES_MAX
from mbongi.wire.stratum_v2.layout import Message

log = get_log(__name__)

CONNECT_S_MAX: Final = 10.0
CLOCK_S: Final = 300
"""By how much the provider's clock may differ from ours."""
TEMPLATES_MAX: Final = 16
"""Kept of one connection; the oldest are forgotten."""
OUTPUT_BYTES: Final = 2_000
"""Room for our outputs in the coinbase."""
OUTPUT_SIGOPS: Final = 40
_READ_BYTES: Final = 1 << 18


@dataclass(slots=True)
class Offered:
    """A template, its transactions once they are known, and the tip that it is for once that is known."""

    message: tdp.NewTemplate
    transactions: tuple[bytes, ...] | None = None
    tip: tdp.SetNewPrevHash | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it can be mined on."""
        return self.transactions is not None and self.tip is not None


class TemplateLink:
    """A connection; made by ``connect``. Errors are NodeErrors."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._name, self._reader, self._writer = name, reader, writer
        self._sending: CipherState
        self._decryptor: FrameDecryptor
        self._tip: tdp.SetNewPrevHash | None = None
        self._templates: OrderedDict[int, Offered] = OrderedDict()
        self._current = -1

    @classmethod
    async def connect(cls, address: PoolAddress) -> "TemplateLink":
        """Connect, shake hands, set up, and say what room we need."""
        name = f"template provider {address.host}:{address.port}"
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                link = cls(name, *await asyncio.open_connection(address.host, address.port))
                try:
                    await link._begin(address)
                except BaseException:
                    link.close()
                    raise
        except NodeDenied:  # an OSError too
            raise
        except TimeoutError as error:
            raise NodeSilent(f"{name}: no connection within {CONNECT_S_MAX:.0f} s") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise NodeUnreachable(f"{name}: {error}") from error
        except WireError as error:
            raise NodeDenied(f"{name}: {error}") from error
        return link

    async def _begin(self, address: PoolAddress) -> None:
        initiator = Initiator(address.authority_key)
        self._writer.write(initiator.act_1())
        act_2 = await self._reader.readexactly(ACT_2_BYTES)
        session = initiator.finish(act_2, now_s=int(utc_now().timestamp()), tolerance_s=CLOCK_S)
        self._sending = session.sending
        self._decryptor = FrameDecryptor(session.receiving, payload_bytes_max=PAYLOAD_BYTES_MAX)
        version = setup.VERSION
        protocol = setup.Protocol.TEMPLATE_DISTRIBUTION
        self._say(
            setup.SetupConnection(protocol, version, version, 0, address.host, address.port, "Mbongi", "", "Mbongi", "")
        )
        async for message in self._messages():
            if isinstance(message, setup.SetupConnectionError):
                raise NodeDenied(f"{self._name}: it refuses the connection: {message.error_code}")
            if isinstance(message, setup.SetupConnectionSuccess):
                break
        self._say(tdp.CoinbaseOutputConstraints(OUTPUT_BYTES, OUTPUT_SIGOPS))

    def _say(self, message: Message) -> None:
        self._writer.write(encrypt_frame(self._sending, registry.encode(message)))

    def close(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()

    async def templates(self) -> AsyncIterator[Offered]:
        """Each template to mine on, the moment it is whole. Ends with an error when the connection does."""
        shown = -1
        try:
            async for message in self._messages():
                self._take(message)
                current = self._templates.get(self._current)
                if current is not None and current.is_whole and self._current != shown:
                    shown = self._current
                    yield current
        except (OSError, WireError) as error:
            raise NodeUnreachable(f"{self._name}: {error}") from error
        raise NodeUnreachable(f"{self._name}: it closed the connection")

    def solve(self, template_id: int, *, version: int, time_s: int, nonce: int, coinbase: bytes) -> None:
        """Hand in a block of a template; the protocol has no answer to it."""
        self._say(tdp.SubmitSolution(template_id, version, time_s, nonce, coinbase))

    async def _messages(self) -> AsyncIterator[Message]:
        """What comes, until the other side closes."""
        while data := await self._reader.read(_READ_BYTES):
            for frame in self._decryptor.feed(data):
                try:
                    yield registry.decode(
                        setup.Protocol.TEMPLATE_DISTRIBUTION, frame.message_type, frame.payload, frame.extension_type
                    )
                except UnknownMessageError:
                    continue

    def _take(self, message: Message) -> None:
        match message:
            case tdp.NewTemplate():
                self._take_template(message)
            case tdp.SetNewPrevHash():
                found = self._templates.get(message.template_id)
                if found is None:
                    raise NodeGarbled(f"{self._name}: a tip for template {message.template_id}, which it never gave")
                self._tip = found.tip = message
                self._current = message.template_id
            case tdp.RequestTransactionDataSuccess():
                found = self._templates.get(message.template_id)
                if found is not None:
                    found.transactions = message.transaction_list
            case tdp.RequestTransactionDataError():
                # It has gone on: another template is on its way.
                log.info("template_data_refused", provider=self._name, reason=message.error_code)

    def _take_template(self, message: tdp.NewTemplate) -> None:
        offered = self._templates[message.template_id] = Offered(message)
        while len(self._templates) > TEMPLATES_MAX:
            self._templates.popitem(last=False)
        if not message.future_template:
            if self._tip is None:
                raise NodeGarbled(f"{self._name}: template {message.template_id} is for a tip that it never named")
            offered.tip, self._current = self._tip, message.template_id
        self._say(tdp.RequestTransactionData(message.template_id))
