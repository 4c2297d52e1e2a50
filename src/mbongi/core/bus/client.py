"""The bus as every process uses it: acknowledged publishing, durable pull consumers, and request and reply.

Limits, and what happens there: at most IN_FLIGHT_MAX messages wait for an acknowledgement, the next publisher waits
its turn; a publisher tries again under the same message id until its time limit, then gets an error that says why. A
consumer holds at most its window of messages. While the bus is away nothing is buffered by the client library.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Config
from mbongi.base.keys import stored_key
from mbongi.base.log import get_log
from mbongi.core.bus.errors import BusError, BusFull, BusUnavailable, PublishRefused
from mbongi.core.bus.pull import Delivery, Pull, open_pull
from mbongi.core.bus.streams import DUPLICATE_WINDOW_S, EPOCH, ensure_streams, renew_epoch

log = get_log(__name__)

IN_FLIGHT_MAX = 512
ACK_S_MAX = 5.0
"""The longest wait for one acknowledgement before the message is published again under the same id."""
RETRY_S = 0.25
CONNECT_S = 10.0
PUBLISH_S = 30.0

Handler = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Ack:
    """Where a message was stored. ``duplicate``: it was there already, under the same message id."""

    stream: str
    seq: int
    duplicate: bool = False


class _AckError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _AckReply(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _AckError | None = None


_ack_decoder = msgspec.json.Decoder(_AckReply)


def bus_token(config: Config) -> str:
    """The key of the embedded bus; empty where ``bus.url`` names a server, whose URL then carries its own."""
    return "" if config.bus.url else stored_key(config.site.data_dir / "secrets" / "bus.key")


class Bus:
    """One connection to the bus. Make it with ``Bus.connect`` or ``Bus.open``; it reconnects by itself."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._client = Client()
        self._js: JetStreamContext = self._client.jetstream(timeout=5)
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Ack]] = {}
        self._window = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._up = asyncio.Event()
        self._closing = False
        self.generation = 0
        """Grows with every reconnect: the server may be another, or have come back from its disk."""
        self._dead_kinds: set[str] = set()
        self._pulls: list[Pull] = []

    @classmethod
    async def open(cls, config: Config, *, name: str, limit_s: float = CONNECT_S) -> Self:
        """Connect to the configured bus with its key. Raises as ``connect``."""
        return await cls.connect(config.bus_url, name=name, token=bus_token(config), limit_s=limit_s)

    @classmethod
    async def connect(cls, url: str, *, name: str, token: str = "", limit_s: float = CONNECT_S) -> Self:
        """Connect within ``limit_s``. A user, password or token in the URL wins over ``token``.

        Raises BusUnavailable when nothing answers in that time, or the key is refused.
        """
        bus = cls(name)
        parts = urlsplit(url)
        options: dict[str, Any] = {"token": token} if token and not parts.username else {}
        where = f"{parts.hostname}:{parts.port or 4222}"
        try:
            async with asyncio.timeout(limit_s):
                await bus._start(url, options)
        except (TimeoutError, OSError, nats.errors.Error) as error:
            bus._closing = True
            with suppress(Exception):
                await bus._client.close()
            why = str(error) or "no answer"
            raise BusUnavailable(f"bus {unquote(where)}: not connected within {limit_s:g} s: {why}") from error
        return bus

    async def _start(self, url: str, options: dict[str, Any]) -> None:
        await self._client.connect(
            url,
            name=self._name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,  # type: ignore[arg-type]  # seconds, slept as they are
            connect_timeout=2,
            ping_interval=10,
            max_outstanding_pings=2,
            allow_reconnect=True,
            error_cb=self._on_error,
            disconnected_cb=self._on_down,
            reconnected_cb=self._on_up,
            **options,
        )
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_ack)
        self._up.set()

    @property
    def is_up(self) -> bool:
        """Whether the bus is reachable at this moment, as far as the connection knows."""
        return self._up.is_set()

    @property
    def js(self) -> JetStreamContext:
        """The library's JetStream interface, for what this class does not wrap."""
        return self._js

    async def ensure_streams(self, config: Config) -> None:
        """Make or mend the site's streams. Raises BusUnavailable."""
        try:
            await ensure_streams(self._js, config.bus)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"bus streams: cannot be made: {error or type(error).__name__}") from error

    async def stream_position(self, stream: str) -> tuple[int, int]:
        """The stream's epoch and its last sequence number. Raises BusUnavailable."""
        try:
            info = await self._js.stream_info(stream)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"bus stream {stream}: {error or type(error).__name__}") from error
        return int((info.config.metadata or {}).get(EPOCH, 0)), info.state.last_seq

    async def purge_before(self, stream: str, seq: int) -> None:
        """Remove the messages before ``seq``, which are kept elsewhere by now. Raises BusUnavailable."""
        try:
            await self._js.purge_stream(stream, seq=seq)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"bus stream {stream}: cannot be purged: {error or type(error).__name__}") from error

    async def renew_epoch(self, stream: str) -> int:
        """Give a stream whose sequence numbers can no longer be trusted a new epoch. Raises BusUnavailable."""
        try:
            return await renew_epoch(self._js, stream)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"bus stream {stream}: no new epoch: {error or type(error).__name__}") from error

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str,
        limit_s: float = PUBLISH_S,
        headers: Mapping[str, str] | None = None,
    ) -> Ack:
        """Store one message, once, however often it has to be sent: ``message_id`` names it for ten minutes.

        Raises BusFull or BusUnavailable when ``limit_s`` [s, below 600] is over, PublishRefused at once when the bus
        can never take it. After BusUnavailable the message may be stored: publish it again under the same id.
        """
        assert limit_s < DUPLICATE_WINDOW_S, "the bus would have forgotten the message id"
        give_up_at = monotonic_s() + limit_s
        header = {**(headers or {}), "Nats-Msg-Id": message_id}
        async with self._window:
            while True:
                left_s = max(0.001, give_up_at - monotonic_s())
                try:
                    return await self._attempt(subject, data, header, min(ACK_S_MAX, left_s))
                except PublishRefused:
                    raise
                except BusError:
                    if monotonic_s() + RETRY_S >= give_up_at:
                        raise
                await asyncio.sleep(RETRY_S)

    async def publish_many(
        self, messages: Iterable[tuple[str, bytes, str]], *, limit_s: float = PUBLISH_S, window: int = 256
    ) -> list[Ack]:
        """Publish ``(subject, data, message_id)`` with at most ``window`` on their way; acks in the given order.

        Raises the first error after the others have ended. Order of storage is not promised: publish singly for that.
        """
        gate = asyncio.Semaphore(window)
        tasks: list[asyncio.Task[Ack]] = []

        async def one(subject: str, data: bytes, message_id: str) -> Ack:
            try:
                return await self.publish(subject, data, message_id=message_id, limit_s=limit_s)
            finally:
                gate.release()

        for subject, data, message_id in messages:
            await gate.acquire()
            tasks.append(asyncio.create_task(one(subject, data, message_id)))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if isinstance(result, Ack)]

    async def pull(self, stream: str, durable: str, *, ack_all: bool = False, **options: Any) -> Pull:
        """A durable consumer from which batches are taken; see ``pull.open_pull`` for the options."""
        pull = await open_pull(self._client, self._js, stream, durable, ack_all=ack_all, **options)
        self._pulls.append(pull)
        return pull

    async def consume(
        self, stream: str, durable: str, subject: str = ">", *, window: int = 256
    ) -> AsyncIterator[Delivery]:
        """Each message of the stream in order, from where this durable name stopped.

        ``await delivery.ack()`` when done: what is not acknowledged within 30 s comes again.
        """
        pull = await self.pull(stream, durable, subject=subject, window=window)
        try:
            while True:
                for delivery in await pull.take(window, wait_s=5.0):
                    yield delivery
        finally:
            self._pulls.remove(pull)
            await pull.close()

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Put a message that cannot be understood aside under ``dead.<subject>``, and take it off its consumer.

        Logged once per subject. Raises as ``publish``; the message then stays where it is.
        """
        if delivery.subject not in self._dead_kinds:
            self._dead_kinds.add(delivery.subject)
            log.warning("message_put_aside", subject=delivery.subject, reason=reason)
        headers = {"Mbongi-Reason": " ".join(reason.split())[:500], "Mbongi-Seq": str(delivery.seq)}
        message_id = f"dead:{delivery.stream}:{delivery.seq}:{delivery.stored_ns}"
        await self.publish(f"dead.{delivery.subject}", delivery.data, message_id=message_id, headers=headers)

    async def request(self, subject: str, data: bytes, *, limit_s: float = 2.0) -> bytes:
        """Ask whoever serves ``subject``. Raises BusUnavailable when nobody does, or nobody answers in time."""
        if not self.is_up:
            raise BusUnavailable(f"request {subject}: the bus is away")
        try:
            reply = await self._client.request(subject, data, timeout=limit_s)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise BusUnavailable(f"request {subject}: {error or 'no answer'}") from error
        return bytes(reply.data)

    async def serve(self, subject: str, handler: Handler) -> Callable[[], Awaitable[None]]:
        """Answer requests for ``subject``; several servers of one subject share them. A handler's error is logged and
        leaves its caller to time out. What it returns ends it."""

        async def answer(message: Msg) -> None:
            try:
                await message.respond(await handler(message.data))
            except (nats.errors.Error, OSError):
                pass  # The caller sees its time limit pass; the outage itself is logged once, elsewhere.
            except Exception:
                log.exception("request_failed", subject=subject)

        subscription = await self._client.subscribe(subject, queue="servers", cb=answer)

        async def end() -> None:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

        return end

    async def newest(self, stream: str, subject: str) -> bytes | None:
        """The newest message that the stream keeps of a subject; None where there is none. Raises BusUnavailable."""
        try:
            found = await self._js.get_last_msg(stream, subject)
        except nats.js.errors.NotFoundError:
            return None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise BusUnavailable(f"bus stream {stream}: {error or type(error).__name__}") from error
        return bytes(found.data or b"")

    async def tell(self, subject: str, data: bytes) -> None:
        """Say something to whoever listens at this moment: not acknowledged, and kept by no stream whose subjects it
        is not among. Raises BusUnavailable while the bus is away, PublishRefused for what it can never take."""
        if not self.is_up:
            raise BusUnavailable(f"tell {subject}: the bus is away")
        try:
            await self._client.publish(subject, data)
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError) as error:
            raise PublishRefused(f"tell {subject}, {len(data)} bytes: {error}") from error
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"tell {subject}: {error or type(error).__name__}") from error

    async def hear(self, subject: str, on_data: Callable[[bytes], None]) -> None:
        """Call ``on_data`` with whatever passes on ``subject`` from now on; what passes during an outage is missed.
        An error of ``on_data`` is logged, and the next message is heard."""

        async def take(message: Msg) -> None:
            try:
                on_data(message.data)
            except Exception:
                log.exception("message_not_taken", subject=message.subject)

        await self._client.subscribe(subject, cb=take)

    async def listen(self, subject: str, on_message: Callable[[], None]) -> None:
        """Call ``on_message`` whenever something passes on ``subject``: a bell, not a delivery; nothing is kept."""

        async def ring(_message: Msg) -> None:
            on_message()

        await self._client.subscribe(subject, cb=ring)

    async def close(self) -> None:
        """End the connection; messages still waiting for their acknowledgement fail."""
        self._closing = True
        for pull in self._pulls:
            await pull.close()
        with suppress(nats.errors.Error, OSError, asyncio.CancelledError):
            await self._client.close()
        self._fail_waiting("the connection was closed")

    async def _attempt(self, subject: str, data: bytes, header: dict[str, str], limit_s: float) -> Ack:
        try:
            async with asyncio.timeout(limit_s):
                await self._up.wait()
                reply = f"{self._inbox}.{next(self._numbers)}"
                waiting: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
                self._waiting[reply] = waiting
                try:
                    await self._client.publish(subject, data, reply, header)
                    return await waiting
                finally:
                    del self._waiting[reply]
        except BusError:
            raise
        except TimeoutError as error:
            raise BusUnavailable(f"publish {subject}: not acknowledged within {limit_s:.1f} s") from error
        except (nats.errors.MaxPayloadError, nats.errors.BadSubjectError) as error:
            raise PublishRefused(f"publish {subject}, {len(data)} bytes: {error}") from error
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(f"publish {subject}: {error or type(error).__name__}") from error

    async def _on_ack(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is None or waiting.done():
            return
        if message.headers and message.headers.get("Status") == "503":
            # No stream listens: wrong subject, or the bus has not yet opened its streams after a restart.
            waiting.set_exception(BusUnavailable("publish: no stream has this subject (or is not open yet)"))
            return
        try:
            reply = _ack_decoder.decode(message.data)
        except msgspec.DecodeError as error:
            waiting.set_exception(BusUnavailable(f"publish: acknowledgement cannot be read: {error}"))
            return
        if reply.error is not None:
            waiting.set_exception(_refusal(reply.error))
        else:
            waiting.set_result(Ack(reply.stream, reply.seq, reply.duplicate))

    def _fail_waiting(self, why: str) -> None:
        for waiting in list(self._waiting.values()):
            if not waiting.done():
                waiting.set_exception(BusUnavailable(f"publish: {why}"))

    async def _on_down(self) -> None:
        if self._up.is_set() and not self._closing:
            log.warning("bus_away", connection=self._name)
        self._up.clear()
        self._fail_waiting("the bus went away before it acknowledged")

    async def _on_up(self) -> None:
        log.info("bus_back", connection=self._name)
        self.generation += 1
        for pull in self._pulls:
            pull.forget_credit()
        self._up.set()

    async def _on_error(self, error: Exception) -> None:
        # While the bus is away every attempt to reconnect ends here; the outage itself is logged once in _on_down.
        if (
            self._up.is_set()
            and not self._closing
            and not isinstance(error, OSError | nats.errors.StaleConnectionError)
        ):
            log.warning("bus_error", connection=self._name, error=str(error) or type(error).__name__)


_NO_ROOM = (10077, 10023, 10047, 10028)
"""JetStream's numbers for: maximum bytes, insufficient resources, storage exceeded, account resources exceeded."""
_TOO_LARGE = 10054


def _refusal(error: _AckError) -> BusError:
    text = f"publish: the bus answered {error.err_code}: {error.description}"
    if error.err_code == _TOO_LARGE:
        return PublishRefused(text)
    if error.err_code in _NO_ROOM or "no space" in error.description.lower():
        return BusFull(f"{text}; make room, or raise bus.bytes_max")
    return BusUnavailable(text)
