"""Asks the ingester for the newest row of every machine, and keeps a copy that is brought up to date by changes."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

import msgspec

from mbongi.base.config import Config
from mbongi.base.ids import TenantId
from mbongi.core.bus.client import Bus
from mbongi.core.telemetry.errors import StoreUnavailable, TelemetryError
from mbongi.core.telemetry.latest import LatestRequest, LatestRows, decode_reply, encode_request
from mbongi.core.telemetry.tables import Table

ANSWER_S = 2.0


def latest_subject(table: Table) -> str:
    """Where the ingester answers for a table."""
    return f"latest.{table.name}"


class LatestClient:
    """A copy of the newest rows: ``columns`` beside ts, machine_id and tenant_id (None: all), of one tenant or all."""

    def __init__(
        self, bus: Bus, table: Table, columns: list[str] | None = None, *, tenant_id: TenantId | None = None
    ) -> None:
        self._bus = bus
        self._names = columns
        self._tenant_id = tenant_id
        self.rows = LatestRows(table, columns)
        self.refreshed_at = 0.0
        """Unix seconds of the last successful refresh."""

    async def refresh(self) -> LatestRows:
        """Bring the copy up to date and return it; ``.column(name)`` gives an array in a stable order of machines.

        Raises BusUnavailable when the ingester does not answer; the copy then stays as it was.
        """
        while True:
            names = None if self._names is None else self.rows.names
            request = LatestRequest(self.rows.run, self.rows.version, names, self._tenant_id)
            subject = latest_subject(self.rows.table)
            raw = await self._bus.request(subject, encode_request(request), limit_s=ANSWER_S)
            try:
                reply = decode_reply(raw)
            except msgspec.DecodeError as error:
                raise TelemetryError(f"{subject}: reply of {len(raw)} bytes cannot be read: {error}") from error
            if reply.run != self.rows.run:
                self.rows = LatestRows(self.rows.table, self._names, run=reply.run)
            self.rows.take(reply, int(time.time() * 1_000))
            if not reply.more:
                self.refreshed_at = time.time()
                return self.rows


class LatestSync:
    """The same for code without an event loop, such as a Django view: one thread and connection per process."""

    def __init__(self, config: Config, table: Table, columns: list[str] | None = None) -> None:
        self._config = config
        self._table = table
        self._columns = columns
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="latest", daemon=True)
        self._lock = threading.Lock()
        self._bus: Bus | None = None
        self._client: LatestClient | None = None

    def refresh(self) -> LatestRows:
        """As ``LatestClient.refresh``. Raises BusUnavailable, StoreUnavailable (no answer in time)."""
        with self._lock:
            if not self._thread.is_alive():
                self._thread.start()
            rows: LatestRows = self._wait(self._refresh())
            return rows

    def close(self) -> None:
        """End the thread and its connection."""
        with self._lock:
            if self._thread.is_alive():
                self._wait(self._end())
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(timeout=2)
            self._loop.close()

    async def _refresh(self) -> LatestRows:
        if self._bus is None:
            self._bus = await Bus.open(self._config, name="latest", limit_s=ANSWER_S)
        if self._client is None:
            self._client = LatestClient(self._bus, self._table, self._columns)
        return await self._client.refresh()

    async def _end(self) -> None:
        if self._bus is not None:
            await self._bus.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout=3 * ANSWER_S)
        except TimeoutError as error:
            future.cancel()
            raise StoreUnavailable(f"latest rows of {self._table.name}: no answer in {3 * ANSWER_S:g} s") from error


_shared: dict[tuple[str, tuple[str, ...] | None], LatestSync] = {}
_shared_lock = threading.Lock()


def latest_sync(config: Config, table: Table, columns: list[str] | None = None) -> LatestRows:
    """The newest rows, for synchronous code; every thread of the process shares one copy. Raises as ``LatestSync``."""
    key = (table.name, tuple(columns) if columns is not None else None)
    with _shared_lock:
        client = _shared.get(key)
        if client is None:
            client = _shared[key] = LatestSync(config, table, columns)
    return client.refresh()
