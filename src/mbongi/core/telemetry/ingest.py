"""Takes telemetry from the bus, keeps the newest row of every machine, and stores the rest in large blocks.

Rows wait at most FLUSH_S, or until there are ROWS_TARGET. While the store is away, up to ROWS_WAITING_MAX rows wait
here; then nothing more is taken, and messages wait on the bus, within ``bus.bytes_max``. A message is taken off the
bus after its rows are stored; a message that cannot be read, or holds rows outside the stated time limits, is put
aside whole under ``dead.telemetry.>``.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import numpy as np

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, BusUnavailable
from mbongi.core.bus.pull import Delivery, Pull
from mbongi.core.bus.streams import TELEMETRY
from mbongi.core.telemetry.batches import Batch, decode_batch, schema_hash
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import BatchError, SchemaError, StoreRefused, StoreUnavailable
from mbongi.core.telemetry.inserter import Inserter
from mbongi.core.telemetry.latest import LatestRows, decode_request, encode_reply
from mbongi.core.telemetry.latest_client import latest_subject
from mbongi.core.telemetry.native import Block, TextColumn, concatenate, join_batches, widen
from mbongi.core.telemetry.schema import known_schemas, migrate
from mbongi.core.telemetry.tables import Table

log = get_log(__name__)

ROWS_TARGET = 180_000
ROWS_WAITING_MAX = 400_000
FLUSH_S = 5.0
ABSORB_S, ABSORB_ROWS = 0.25, 25_000
TAKE = 400
AHEAD_S_MAX = 3_600
"""Rows stamped further ahead than this are put aside; rows older than ``telemetry.keep_raw_days`` too."""
PURGE_S = 15.0
DURABLE = "ingest"
READY_SUBJECT = "ingest.ready"


class Stream:
    """One table's way through the ingester."""

    def __init__(self, table: Table, schemas: dict[bytes, Table], inserter: Inserter, latest: LatestRows) -> None:
        self.table = table
        self.schemas = schemas
        self.inserter = inserter
        self.latest = latest
        self.fresh: list[tuple[Delivery, Table, Batch]] = []
        self.blocks: list[Block] = []


class Ingester:
    """The ingest process's work, for all tables. ``run`` returns after ``stop``."""

    def __init__(self, config: Config, bus: Bus, store: Store, tables: Sequence[Table]) -> None:
        self._config = config
        self._bus = bus
        self._store = store
        self._tables = tuple(tables)
        self._streams: dict[str, Stream] = {}
        self._stopped = asyncio.Event()
        self._stop_waiting = threading.Event()
        self._epoch = 0
        self._done_before = 0
        self._seen = self._consumed = 0
        self._generation = -1
        self._rows_fresh = self._rows_waiting = 0
        self._fresh_since = self._waiting_since = 0.0
        self._last: Delivery | None = None
        self._storing: asyncio.Task[None] | None = None
        self._storing_rows = 0
        self._purged_at = monotonic_s()
        self._bus_trouble = ""

    def stop(self) -> None:
        """End ``run``. What is not stored yet comes again from the bus at the next start."""
        self._stopped.set()
        self._stop_waiting.set()

    async def run(self) -> None:
        """Prepare the store, then take and store until told to stop. Raises SchemaError where tables cannot be made."""
        await self._prepare()
        pull: Pull | None = None
        while not self._stopped.is_set():
            try:
                if pull is None or pull.gone or self._generation != self._bus.generation:
                    pull = await self._open(pull)
                await self._step(pull)
            except BusError as error:
                if not self._bus_trouble:
                    log.warning("ingest_waits_for_bus", error=str(error))
                self._bus_trouble = str(error)
                await self._pause(0.5)
            else:
                if self._bus_trouble:
                    log.info("ingest_has_bus_again")
                    self._bus_trouble = ""
        await self._drain()

    async def _prepare(self) -> None:
        waited = False
        while not self._stopped.is_set():
            try:
                await asyncio.to_thread(self._prepare_store)
                break
            except (StoreUnavailable, StoreRefused) as error:
                if not waited:
                    log.warning("ingest_waits_for_store", error=str(error))
                waited = True
                await self._pause(1.0)
        if waited:
            log.info("ingest_has_store")
        for stream in self._streams.values():
            await self._serve_latest(stream)

    def _prepare_store(self) -> None:
        migrate(self._store, self._tables, self._config.telemetry)
        for table in self._tables:
            latest = LatestRows(table, run=time.time_ns())
            reload_latest(self._store, latest)
            inserter = Inserter(self._store, table, self._stop_waiting)
            self._streams[table.name] = Stream(table, known_schemas(self._store, table), inserter, latest)

    async def _serve_latest(self, stream: Stream) -> None:
        async def answer(data: bytes) -> bytes:
            try:
                return encode_reply(stream.latest.answer(decode_request(data)))
            except (msgspec.DecodeError, SchemaError) as error:
                log.warning("latest_request_refused", table=stream.table.name, error=str(error))
                return b""

        await self._bus.serve(latest_subject(stream.table), answer)

    async def _ready(self, _data: bytes) -> bytes:
        return b"ready"

    async def _open(self, pull: Pull | None) -> Pull:
        """Open the consumer, and see whether the stream still goes on from where it was left."""
        if pull is not None:
            await pull.close()
        generation = self._bus.generation
        await self._bus.ensure_streams(self._config)
        epoch, last_seq = await self._bus.stream_position(TELEMETRY)
        if epoch != self._epoch:
            # Another stream, or the first look at this one: what is stored of it says how far it had come.
            self._epoch, self._seen, self._done_before = epoch, 0, 0
            stored = await asyncio.to_thread(self._stored_lately, epoch)
        else:
            stored = self._seen
        if stored > last_seq:
            self._epoch = await self._bus.renew_epoch(TELEMETRY)
            self._seen = self._done_before = last_seq
            log.warning("bus_lost_its_newest", stored=stored, last_seq=last_seq, epoch=self._epoch)
        options = {"subject": "telemetry.>", "ack_s": 300.0, "window": 1_500, "pending_max": 200_000, "afresh": True}
        opened = await self._bus.pull(TELEMETRY, DURABLE, ack_all=True, **options)
        if self._generation == -1:
            await self._bus.serve(READY_SUBJECT, self._ready)
        self._generation, self._consumed = generation, 0
        return opened

    def _stored_lately(self, epoch: int) -> int:
        highest = 0
        for table in self._tables:
            while not self._stop_waiting.is_set():
                try:
                    [(seq,)] = self._store.rows(
                        f"SELECT max(bus_seq) FROM {table.name} "  # noqa: S608
                        "WHERE ts >= now() - INTERVAL 2 DAY AND bus_epoch = {epoch:UInt32}",
                        epoch=epoch,
                    )
                    highest = max(highest, int(seq))
                    break
                except (StoreUnavailable, StoreRefused):
                    self._stop_waiting.wait(1.0)
        return highest

    async def _step(self, pull: Pull) -> None:
        if self._rows_waiting + self._rows_fresh + self._storing_rows >= ROWS_WAITING_MAX and self._storing is not None:
            await asyncio.wait({self._storing}, timeout=1.0)
        else:
            for delivery in await pull.take(TAKE, wait_s=0.25):
                await self._accept(delivery)
        now = monotonic_s()
        if self._rows_fresh and (self._rows_fresh >= ABSORB_ROWS or now - self._fresh_since >= ABSORB_S):
            await self._absorb()
        if self._storing is not None and self._storing.done():
            done, self._storing, self._storing_rows = self._storing, None, 0
            done.result()
        if self._storing is None and self._last is not None and self._rows_fresh == 0:
            due = self._rows_waiting >= ROWS_TARGET or now - self._waiting_since >= FLUSH_S
            if due:
                self._store_waiting()

    async def _accept(self, delivery: Delivery) -> None:
        # Progress counts on order. A gap means that messages were lost on the way here, in an outage: begin again
        # after the last acknowledgement, and know by _seen what is held already.
        if delivery.consumer_seq != self._consumed + 1:
            self._generation = -2
            raise BusUnavailable(f"delivery {delivery.consumer_seq} of {DURABLE}; expected {self._consumed + 1}")
        self._consumed = delivery.consumer_seq
        if delivery.seq <= self._seen:
            return  # A second delivery of what is held here already.
        try:
            stream, table = self._stream_of(delivery)
            batch = decode_batch(table, delivery.data)
        except (BatchError, SchemaError) as error:
            await self._bus.dead_letter(delivery, str(error))
        else:
            if not self._rows_fresh:
                self._fresh_since = monotonic_s()
            stream.fresh.append((delivery, table, batch))
            self._rows_fresh += batch.rows
        self._seen = delivery.seq
        if self._last is None:
            self._waiting_since = monotonic_s()
        self._last = delivery

    def _stream_of(self, delivery: Delivery) -> tuple[Stream, Table]:
        parts = delivery.subject.split(".")
        stream = self._streams.get(parts[1]) if len(parts) > 1 else None
        if stream is None:
            raise SchemaError(f"{delivery.subject}: no such table; known: {', '.join(self._streams)}")
        digest = schema_hash(delivery.data)
        table = stream.schemas.get(digest)
        if table is None:
            raise SchemaError(f"{delivery.subject}: schema {digest.hex()} was never a schema of {stream.table.name}")
        return stream, table

    async def _absorb(self) -> None:
        """Join what came in, and bring the newest rows up to date."""
        now_ms = int(time.time() * 1_000)
        for stream in self._streams.values():
            fresh, stream.fresh = stream.fresh, []
            start = 0
            for index in range(1, len(fresh) + 1):  # Runs of one schema: nearly always a single run.
                if index == len(fresh) or fresh[index][1] is not fresh[start][1]:
                    await self._absorb_run(stream, fresh[start:index], now_ms)
                    start = index
        self._rows_fresh = 0

    async def _absorb_run(self, stream: Stream, run: list[tuple[Delivery, Table, Batch]], now_ms: int) -> None:
        first_ms = now_ms - self._config.telemetry.keep_raw_days * 86_400_000
        last_ms = now_ms + AHEAD_S_MAX * 1_000
        block = join_batches(run[0][1], [(delivery.seq, batch) for delivery, _, batch in run], self._epoch)
        ts = block.array("ts")
        outside = (ts < first_ms) | (ts > last_ms)
        if outside.any():
            bad = set(block.seqs[outside].tolist())
            for delivery, table, batch in run:
                if delivery.seq in bad:
                    times = batch.array(table, "ts")
                    await self._bus.dead_letter(
                        delivery, f"rows from {times.min()} to {times.max()} ms; taken are {first_ms} to {last_ms}"
                    )
            block = block.select(~np.isin(block.seqs, list(bad)))
        fresh = block.seqs > np.uint64(self._done_before)
        block = block if fresh.all() else block.select(fresh)
        if block.rows:
            block = widen(block, stream.table)
            stream.latest.update_block(block, now_ms)
            stream.blocks.append(block)
            self._rows_waiting += block.rows

    def _store_waiting(self) -> None:
        work = [(stream, stream.blocks) for stream in self._streams.values() if stream.blocks]
        for stream, _ in work:
            stream.blocks = []
        last, self._last = self._last, None
        assert last is not None
        self._storing_rows, self._rows_waiting = self._rows_waiting, 0
        self._storing = asyncio.create_task(self._store_blocks(work, last))

    async def _store_blocks(self, work: list[tuple[Stream, list[Block]]], last: Delivery) -> None:
        for stream, blocks in work:
            if not await asyncio.to_thread(_insert_in_runs, stream.inserter, blocks):
                return
        await last.ack()
        if monotonic_s() - self._purged_at >= PURGE_S:
            self._purged_at = monotonic_s()
            with suppress(BusError):  # The next flush tries again.
                await self._bus.purge_before(TELEMETRY, last.seq + 1)

    async def _drain(self) -> None:
        if self._storing is not None:
            await asyncio.wait({self._storing}, timeout=5.0)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()


def _insert_in_runs(inserter: Inserter, blocks: list[Block]) -> bool:
    """Insert the blocks, joined as far as they are of one epoch; False when told to stop."""
    start = 0
    for index in range(1, len(blocks) + 1):
        if index == len(blocks) or blocks[index].epoch != blocks[start].epoch:
            if inserter.insert(concatenate(blocks[start:index])) is None:
                return False
            start = index
    return True


def reload_latest(store: Store, latest: LatestRows) -> None:
    """Fill the newest rows from the last day in the store. Raises StoreUnavailable, StoreRefused."""
    table = latest.table
    lately = "ts >= now() - INTERVAL 1 DAY AND ts <= now() + INTERVAL 1 MINUTE"
    names = ", ".join(column.name for column in table.columns)
    columns = store.columns(
        f"SELECT {names} FROM {table.name} WHERE {lately} AND (machine_id, ts) IN "  # noqa: S608
        f"(SELECT machine_id, max(ts) FROM {table.name} WHERE {lately} GROUP BY machine_id)"
    )
    if not columns:  # the store names no columns where there are no rows
        return
    values = {column.name: _as_held(columns[column.name], column.is_text) for column in table.columns}
    latest.update(values, int(time.time() * 1_000))


def _as_held(values: np.ndarray, is_text: bool) -> "np.ndarray | TextColumn":
    if is_text:
        words, indices = np.unique(values.astype(str), return_inverse=True)
        return TextColumn([word.encode() for word in words.tolist()], indices.astype(np.uint32))
    return values.astype(np.int64) if values.dtype.kind == "M" else values
