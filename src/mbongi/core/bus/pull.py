"""A durable pull consumer that keeps a bounded window of messages asked for, so that none is dropped and none idles."""

import asyncio
import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from mbongi.base.clock import monotonic_s
from mbongi.core.bus.errors import BusUnavailable

EXPIRES_S = 10.0
"""A request for messages lives this long on the server; without any sign for half as long again it is repeated."""


@dataclass(slots=True)
class Delivery:
    """One message of a stream.

    ``seq`` counts in the stream, ``consumer_seq`` the deliveries of its consumer; ``stored_ns`` is when the bus stored
    it (Unix).
    """

    subject: str
    data: bytes
    headers: dict[str, str]
    stream: str
    seq: int
    consumer_seq: int
    stored_ns: int
    redelivered: bool
    reply: str
    _client: Client

    async def ack(self) -> None:
        """Done with this message (with ``ack_all``: and all before it). Lost acknowledgements lead to redelivery."""
        with suppress(nats.errors.Error, OSError):
            await self._client.publish(self.reply, b"+ACK")

    async def nak(self) -> None:
        """Not now: have it delivered again."""
        with suppress(nats.errors.Error, OSError):
            await self._client.publish(self.reply, b"-NAK")


class Pull:
    """Messages of one durable consumer. Held and asked for together are never more than ``window``."""

    def __init__(self, client: Client, stream: str, durable: str, window: int) -> None:
        self._client = client
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._inbox = client.new_inbox()
        self._window = window
        self._held: deque[Delivery] = deque()
        self._credit = 0
        self._heard_at = 0.0
        self._arrived = asyncio.Event()
        self._subscription: Subscription | None = None
        self.gone = False
        """True when the server says that the consumer or its stream no longer exists: open it again."""

    async def start(self) -> None:
        """Listen; nothing is asked for before the first ``take``."""
        self._subscription = await self._client.subscribe(self._inbox, cb=self._on_message)

    async def take(self, count: int, *, wait_s: float) -> list[Delivery]:
        """Up to ``count`` messages as soon as there are any; an empty list when none came within ``wait_s``.

        Raises BusUnavailable when the consumer no longer exists.
        """
        end = monotonic_s() + wait_s
        while not self._held:
            if self.gone:
                raise BusUnavailable(f"{self._next_subject}: the consumer no longer exists")
            await self._ask()
            left_s = end - monotonic_s()
            if left_s <= 0:
                return []
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, 1.0)):
                    await self._arrived.wait()
        taken = [self._held.popleft() for _ in range(min(count, len(self._held)))]
        await self._ask()
        return taken

    def forget_credit(self) -> None:
        """After a reconnect the server no longer knows what was asked for."""
        self._credit = 0

    async def close(self) -> None:
        """Stop listening. What was delivered and not acknowledged comes again, to the next who opens this durable."""
        if self._subscription is not None:
            with suppress(nats.errors.Error, OSError):
                await self._subscription.unsubscribe()

    async def _ask(self) -> None:
        now = monotonic_s()
        if self._credit > 0 and now - self._heard_at > EXPIRES_S * 1.5:
            self._credit = 0
        room = self._window - len(self._held) - self._credit
        if room < max(1, self._window // 2) or not self._client.is_connected:
            return
        self._credit += room
        self._heard_at = now
        request = json.dumps({"batch": room, "expires": int(EXPIRES_S * 1e9)}).encode()
        with suppress(nats.errors.Error, OSError):
            await self._client.publish(self._next_subject, request, self._inbox)

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = monotonic_s()
        reply = message.reply
        if not reply.startswith("$JS.ACK."):
            self._on_status(message.headers or {})
            return
        self._credit = max(0, self._credit - 1)
        self._held.append(_delivery(message, reply, self._client))
        self._arrived.set()

    def _on_status(self, headers: dict[str, str]) -> None:
        # 404 and 408 end a request and give the rest of it back; 409 does so too, unless the consumer is gone.
        pending = headers.get("Nats-Pending-Messages", "")
        self._credit = max(0, self._credit - int(pending)) if pending.isdigit() else 0
        description = headers.get("Description", "").lower()
        self.gone = self.gone or "consumer deleted" in description or headers.get("Status") == "503"
        self._arrived.set()


def _delivery(message: Msg, reply: str, client: Client) -> Delivery:
    # $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp>.<pending>, counted from the end
    # because a domain and an account may stand before the stream.
    parts = reply.split(".")
    return Delivery(
        subject=message.subject,
        data=message.data,
        headers=message.headers or {},
        stream=parts[-7],
        seq=int(parts[-4]),
        consumer_seq=int(parts[-3]),
        stored_ns=int(parts[-2]),
        redelivered=parts[-5] != "1",
        reply=reply,
        _client=client,
    )


async def open_pull(  # noqa: PLR0913
    client: Client,
    js: JetStreamContext,
    stream: str,
    durable: str,
    *,
    subject: str = ">",
    ack_all: bool = False,
    ack_s: float = 30.0,
    window: int = 1_000,
    pending_max: int = 20_000,
    afresh: bool = False,
) -> Pull:
    """Make the durable consumer if it is new, and open it.

    ``ack_all``: one acknowledgement stands for all messages before it; ``ack_s``: redelivery after this silence;
    ``pending_max``: delivered and unacknowledged, at most. ``afresh``: make the consumer anew from its last
    acknowledgement, so that everything after it is delivered in order and at once, whoever it was delivered to before.
    Raises BusUnavailable.
    """
    wanted = ConsumerConfig(
        durable_name=durable,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.ALL if ack_all else AckPolicy.EXPLICIT,
        ack_wait=ack_s,
        max_ack_pending=pending_max,
        filter_subject=None if subject == ">" else subject,
    )
    pull = Pull(client, stream, durable, window)
    try:
        if afresh:
            acknowledged = await _forget(js, stream, durable)
            wanted.deliver_policy, wanted.opt_start_seq = DeliverPolicy.BY_START_SEQUENCE, acknowledged + 1
        await js.add_consumer(stream, wanted)
        await pull.start()
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise BusUnavailable(f"consumer {durable} of {stream}: {error or type(error).__name__}") from error
    return pull


async def _forget(js: JetStreamContext, stream: str, durable: str) -> int:
    """Remove a consumer; returns the stream sequence up to which all was acknowledged, 0 where it was not there."""
    try:
        info = await js.consumer_info(stream, durable)
        await js.delete_consumer(stream, durable)
    except nats.js.errors.NotFoundError:
        return 0
    return info.ack_floor.stream_seq if info.ack_floor else 0
