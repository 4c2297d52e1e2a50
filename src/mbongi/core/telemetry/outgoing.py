"""Rows of telemetry on their way to the bus; while it is away they wait in memory, the oldest giving way at a limit."""

import asyncio
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, PublishRefused
from mbongi.core.telemetry.batches import Values, encode_batch
from mbongi.core.telemetry.errors import BatchError
from mbongi.core.telemetry.tables import Table

log = get_log(__name__)

BYTES_MAX = 128_000_000
"""Batches that wait, in all: more than half an hour of 1,000 machines, or six minutes of 5,000, asked every 10 s."""
AT_ONCE = 128
"""Batches on their way at a time; they stay in memory until the bus has acknowledged them."""
PUBLISH_S = 10.0
PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class _Waiting:
    message_id: str
    data: bytes


class Outgoing:
    """A queue of encoded batches of one table, oldest first; ``sender`` ends their subject."""

    def __init__(self, table: Table, sender: str, *, bytes_max: int = BYTES_MAX) -> None:
        self.subject = f"telemetry.{table.name}.{sender}"
        self.bytes_max = bytes_max
        self._table = table
        self.bytes_waiting = 0
        self.dropped = 0
        """Batches that gave way since the start."""
        self._queue: deque[_Waiting] = deque()
        self._instance = uuid.uuid4().hex
        self._count = 0
        self._is_dropping = self._is_bad = False
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, rows_or_columns: Sequence[Any] | Mapping[str, Values]) -> None:
        """Queue rows as one batch. Never blocks, never raises; at the limit the oldest gives way."""
        try:
            data = encode_batch(self._table, rows_or_columns)
        except BatchError as error:
            if not self._is_bad:
                self._is_bad = True
                log.exception("rows_not_sent", table=self._table.name, reason=str(error))
            return
        self._count += 1
        self._queue.append(_Waiting(f"{self._instance}:{self._count}", data))
        self.bytes_waiting += len(data)
        while self.bytes_waiting > self.bytes_max and len(self._queue) > 1:
            self._drop()
        self._wake.set()

    def _drop(self) -> None:
        self.bytes_waiting -= len(self._queue.popleft().data)
        self.dropped += 1
        if not self._is_dropping:
            self._is_dropping = True
            log.warning(
                "rows_dropped",
                table=self._table.name,
                reason="the bus is away and the waiting room is full",
                bytes=self.bytes_max,
            )

    async def run(self, bus: Bus) -> None:
        """Publish until cancelled. What the bus does not acknowledge stays in the queue under its message id."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._publish(bus)

    async def _publish(self, bus: Bus) -> None:
        """One attempt with the oldest batches."""
        sending = [self._queue[place] for place in range(min(AT_ONCE, len(self._queue)))]
        try:
            messages = [(self.subject, each.data, each.message_id) for each in sending]
            await bus.publish_many(messages, limit_s=PUBLISH_S)
        except PublishRefused as error:
            log.warning("rows_refused", table=self._table.name, reason=str(error))
            await self._publish_singly(bus, sending)
            return
        except BusError:
            await asyncio.sleep(PAUSE_S)
            return
        self._forget(sending)
        if self._is_dropping:
            self._is_dropping = False
            log.info("rows_flow_again", table=self._table.name, dropped=self.dropped)

    async def _publish_singly(self, bus: Bus, sending: list[_Waiting]) -> None:
        """The bus will never take one of these: leave that one out, so that it does not hold up the others."""
        for each in sending:
            try:
                await bus.publish(self.subject, each.data, message_id=each.message_id, limit_s=PUBLISH_S)
            except PublishRefused:
                self.dropped += 1
            except BusError:
                return
            self._forget([each])

    def _forget(self, sent: list[_Waiting]) -> None:
        # Some may have given way meanwhile, so what is taken off is what is still at the front.
        ids = {each.message_id for each in sent}
        while self._queue and self._queue[0].message_id in ids:
            self.bytes_waiting -= len(self._queue.popleft().data)

    async def drain(self, bus: Bus, limit_s: float) -> None:
        """Before the end: hand over what waits, within ``limit_s``."""
        try:
            async with asyncio.timeout(limit_s):
                while self._queue:
                    await self._publish(bus)
        except TimeoutError:
            log.warning("rows_left_behind", table=self._table.name, batches=len(self._queue))
