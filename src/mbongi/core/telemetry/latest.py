"""The newest row of every machine, in memory: kept by the ingester, mirrored by whoever asks it for changes.

A row's version grows with every change, so "what changed since version v" is one comparison. A request and its reply
travel over the bus as msgpack; a reply carries at most REPLY_ROWS_MAX rows and says whether there are more.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from mbongi.core.telemetry.native import Block, TextColumn
from mbongi.core.telemetry.tables import Table

Array = npt.NDArray[Any]
MACHINE_ID_MAX = 16_000_000
"""Rows of machines past this are stored like any other, and left out here: the index is a plain array."""
REPLY_ROWS_MAX = 20_000
REPLY_BYTES_MAX = 6_000_000
AHEAD_MS_MAX = 60_000
"""A row stamped further ahead than this does not keep newer arrivals out: its machine's clock jumped."""


class LatestRequest(msgspec.Struct):
    """What a client wants: rows of ``tenant_id`` that changed since ``since`` in ``run``, and which columns.

    None stands for all.
    """

    run: int = 0
    since: int = 0
    columns: list[str] | None = None
    tenant_id: int | None = None


class LatestReply(msgspec.Struct):
    """Columns by name: bytes for fixed types, ``[words, u32 indices]`` for texts. A new ``run`` starts over."""

    run: int
    version: int
    rows: int
    more: bool
    columns: dict[str, bytes | tuple[list[bytes], bytes]]


class LatestRows:
    """The rows, by column; row i of every array belongs to the machine in ``column("machine_id")[i]``."""

    def __init__(self, table: Table, columns: list[str] | None = None, *, run: int = 0) -> None:
        keys = ["ts", "machine_id", "tenant_id"]
        wanted = [c.name for c in table.columns] if columns is None else [*keys, *(c for c in columns if c not in keys)]
        self.table = table
        self.run = run
        self.version = 0
        self.count = 0
        self._columns = [table.column(name) for name in wanted]
        self._values: dict[str, Array] = {c.name: self._empty(c.name, 1_024) for c in self._columns}
        self._words: dict[str, dict[bytes, int]] = {c.name: {} for c in self._columns if c.is_text}
        self._versions = np.zeros(1_024, dtype=np.int64)
        self._slots = np.full(1_024, -1, dtype=np.int32)

    @property
    def names(self) -> list[str]:
        """The columns that are held."""
        return [column.name for column in self._columns]

    def column(self, name: str) -> Array:
        """The values of one column, a view that the next update changes; texts as objects."""
        values = self._values[name][: self.count]
        if name not in self._words:
            return values
        words = np.array([word.decode("utf-8", "replace") for word in self._words[name]], dtype=object)
        return words[values] if len(words) else np.empty(0, dtype=object)

    def update_block(self, block: Block, now_ms: int) -> int:
        """Take the rows of a block; returns how many machines have a newer row now."""
        values = {column.name: block.columns[block.table.index[column.name]] for column in self._columns}
        return self.update(values, now_ms)

    def update(self, columns: Mapping[str, Array | TextColumn], now_ms: int) -> int:
        """Take rows, given by column in the order of their arrival; as ``update_block``."""
        ids, ts = columns["machine_id"], columns["ts"]
        assert not isinstance(ids, TextColumn)
        assert not isinstance(ts, TextColumn)
        if not len(ids):
            return 0
        known = np.flatnonzero(ids <= MACHINE_ID_MAX)
        age = self._age_key(ts, now_ms)
        order = known if np.all(age[1:] >= age[:-1]) else known[np.argsort(age[known], kind="stable")]
        slots = self._slots_of(ids[order])
        last = np.full(self.count, -1, dtype=np.int64)
        last[slots] = order  # Of several rows of one machine the newest is assigned last, and stays.
        slots = np.flatnonzero(last >= 0)
        picked = last[slots]
        newer = age[picked] >= self._age_key(self._values["ts"][slots], now_ms)
        slots, picked = slots[newer], picked[newer]
        for column in self._columns:
            source = columns[column.name]
            if isinstance(source, TextColumn):
                self._values[column.name][slots] = self._codes(column.name, source)[source.indices[picked]]
            else:
                self._values[column.name][slots] = source[picked]
        self._versions[slots] = self.version + 1 + np.arange(len(slots))
        self.version += len(slots)
        return len(slots)

    def answer(self, request: LatestRequest) -> LatestReply:
        """The rows that the request asks for. Raises SchemaError for a column that is not there."""
        since = request.since if request.run == self.run else 0
        versions = self._versions[: self.count]
        changed = versions > since
        if request.tenant_id is not None:
            changed &= self._values["tenant_id"][: self.count] == request.tenant_id
        slots = np.flatnonzero(changed)
        slots = slots[np.argsort(versions[slots])]
        names = [c.name for c in self._columns] if request.columns is None else request.columns
        width = sum(4 if self.table.column(name).is_text else self.table.column(name).dtype.itemsize for name in names)
        most = min(REPLY_ROWS_MAX, REPLY_BYTES_MAX // max(1, width))
        more = len(slots) > most
        slots = slots[:most]
        version = int(versions[slots[-1]]) if more else self.version
        columns = {name: self._packed(name, slots) for name in names}
        return LatestReply(self.run, version, len(slots), more, columns)

    def take(self, reply: LatestReply, now_ms: int) -> int:
        """Mirror a reply; returns the number of rows in it."""
        values: dict[str, Array | TextColumn] = {}
        for column in self._columns:
            raw = reply.columns[column.name]
            if isinstance(raw, bytes):
                values[column.name] = np.frombuffer(raw, dtype=column.dtype)
            else:
                values[column.name] = TextColumn(list(raw[0]), np.frombuffer(raw[1], dtype="<u4"))
        self.update(values, now_ms)
        self.run, self.version = reply.run, reply.version
        return reply.rows

    @staticmethod
    def _age_key(ts: Array, now_ms: int) -> Array:
        return np.where(ts > now_ms + AHEAD_MS_MAX, 0, ts)

    def _packed(self, name: str, slots: Array) -> bytes | tuple[list[bytes], bytes]:
        values = self._values[name][slots]
        if name not in self._words:
            return values.tobytes()
        used, indices = np.unique(values, return_inverse=True)
        words = list(self._words[name])
        return [words[code] for code in used.tolist()], indices.astype("<u4").tobytes()

    def _codes(self, name: str, source: TextColumn) -> Array:
        words = self._words[name]
        return np.array([words.setdefault(word, len(words)) for word in source.words], dtype=np.uint32)

    def _slots_of(self, ids: Array) -> Array:
        highest = int(ids.max(initial=0))
        if highest >= len(self._slots):
            grown = np.full(max(highest + 1, 2 * len(self._slots)), -1, dtype=np.int32)
            grown[: len(self._slots)] = self._slots
            self._slots = grown
        slots = self._slots[ids]
        if (slots < 0).any():
            fresh = np.unique(ids[slots < 0])
            self._grow(self.count + len(fresh))
            self._slots[fresh] = np.arange(self.count, self.count + len(fresh), dtype=np.int32)
            self.count += len(fresh)
            slots = self._slots[ids]
        return slots

    def _grow(self, count: int) -> None:
        room = len(self._versions)
        if count <= room:
            return
        extra = max(count, 2 * room) - room
        for name, values in self._values.items():
            self._values[name] = np.concatenate([values, self._empty(name, extra)])
        self._versions = np.concatenate([self._versions, np.zeros(extra, dtype=np.int64)])

    def _empty(self, name: str, room: int) -> Array:
        column = self.table.column(name)
        return np.zeros(room, dtype=np.uint32 if column.is_text else column.dtype)


encode_request = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(LatestRequest).decode
encode_reply = msgspec.msgpack.Encoder().encode
decode_reply = msgspec.msgpack.Decoder(LatestReply).decode
