"""A batch of rows of one table as it travels on the bus: column by column, so that nobody handles single rows.

Layout, all little-endian:

    4 bytes  b"MBT1"
    8 bytes  schema hash (Table.hash)
    4 bytes  number of rows n, 1 to ROWS_MAX
    then each column in the table's order:
      fixed types  n values
      texts        u16 number of words w (1 to 65535); w times (u16 length, UTF-8);
                   then n indices, u8 where w <= 256, else u16

A text column of a rack mostly holds one word, so its rows cost one byte each and are never looked at singly.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from mbongi.core.telemetry.errors import BatchError
from mbongi.core.telemetry.tables import Column, Table

MAGIC = b"MBT1"
ROWS_MAX = 20_000
WORDS_MAX = 65_535
WORD_BYTES_MAX = 1_000
_HEAD = struct.Struct("<4s8sI")
_U16 = struct.Struct("<H")

Values = Sequence[Any] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Texts:
    """A text column: the different words, and each row's index into them (None: all rows hold the only word)."""

    words: tuple[bytes, ...]
    indices: npt.NDArray[np.uint16] | None
    rows: int

    def strings(self) -> list[str]:
        """The text of each row."""
        words = [word.decode("utf-8", "replace") for word in self.words]
        return [words[index] for index in self.indices.tolist()] if self.indices is not None else words * self.rows


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring columns of a table, either all of fixed types or one of texts. ``width``: their bytes in one row."""

    columns: tuple[Column, ...]
    width: int


@lru_cache(maxsize=64)
def runs_of(table: Table) -> tuple[Run, ...]:
    """A table's columns in runs: what lies together in a batch is cut, and later joined, in one piece."""
    groups = groupby(enumerate(table.columns), key=lambda item: item[0] if item[1].is_text else -1)
    runs = [tuple(column for _, column in group) for _, group in groups]
    return tuple(Run(run, 0 if run[0].is_text else sum(column.dtype.itemsize for column in run)) for run in runs)


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded batch: for each of the table's runs its raw bytes, or Texts."""

    rows: int
    pieces: tuple[bytes | Texts, ...]

    def array(self, table: Table, name: str) -> npt.NDArray[Any]:
        """The values of a fixed-type column, without copying."""
        for run, piece in zip(runs_of(table), self.pieces, strict=True):
            offset = 0
            for column in run.columns:
                if column.name == name:
                    assert not isinstance(piece, Texts), f"{name} holds texts"
                    return np.frombuffer(piece, dtype=column.dtype, count=self.rows, offset=offset * self.rows)
                offset += 0 if column.is_text else column.dtype.itemsize
        raise KeyError(name)

    def texts(self, table: Table, name: str) -> list[str]:
        """The values of a text column."""
        for run, piece in zip(runs_of(table), self.pieces, strict=True):
            if run.columns[0].name == name and isinstance(piece, Texts):
                return piece.strings()
        raise KeyError(name)


def encode_batch(table: Table, rows_or_columns: Sequence[Any] | Mapping[str, Values]) -> bytes:
    """The bytes of a batch, from rows (structs, objects or mappings with the columns' names) or a mapping of columns.

    A missing or None value is NaN, 0 or "". ``ts`` may be datetimes (aware) or Unix milliseconds.
    Raises BatchError naming the column that does not fit, or when there are no rows or more than ROWS_MAX.
    """
    if isinstance(rows_or_columns, Mapping):
        columns: Mapping[str, Values] = rows_or_columns
        rows = max((len(values) for values in columns.values()), default=0)
        unknown = set(columns) - set(table.index)
        if unknown:
            raise BatchError(f"batch of {table.name}: no such columns: {', '.join(sorted(unknown))}")
    else:
        rows = len(rows_or_columns)
        columns = _transposed(table, rows_or_columns)
    if not 0 < rows <= ROWS_MAX:
        raise BatchError(f"batch of {table.name}: {rows} rows; expected 1..{ROWS_MAX}")
    parts = [_HEAD.pack(MAGIC, table.hash, rows)]
    for column in table.columns:
        values = columns.get(column.name)
        try:
            parts.append(_encode_column(column, values, rows))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise BatchError(f"batch of {table.name}: column {column.name}: {error}") from error
    return b"".join(parts)


def _transposed(table: Table, rows: Sequence[Any]) -> dict[str, list[Any]]:
    if rows and isinstance(rows[0], Mapping):
        return {column.name: [row.get(column.name) for row in rows] for column in table.columns}
    return {column.name: [getattr(row, column.name, None) for row in rows] for column in table.columns}


def _encode_column(column: Column, values: Values | None, rows: int) -> bytes:
    if values is not None and len(values) != rows:
        raise ValueError(f"{len(values)} values; expected {rows}")
    if column.is_text:
        return _encode_texts(values if values is not None else [""] * rows)
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, dtype=column.dtype).tobytes()
    if values is None:
        return np.full(rows, np.nan if column.dtype.kind == "f" else 0, dtype=column.dtype).tobytes()
    if column.type == "DateTime64(3)":
        values = [_unix_ms(value) for value in values]
    elif any(value is None for value in values):
        missing: float = np.nan if column.dtype.kind == "f" else 0
        values = [missing if value is None else value for value in values]
    return np.array(values, dtype=column.dtype).tobytes()


def _unix_ms(value: Any) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"time {value} without a zone")
        return round(value.timestamp() * 1_000)
    return int(value)


def _encode_texts(values: Values) -> bytes:
    words: dict[Any, int] = {}
    indices = [words.setdefault(value if value is not None else "", len(words)) for value in values]
    if len(words) > WORDS_MAX:
        raise ValueError(f"{len(words)} different texts; at most {WORDS_MAX}")
    parts = [_U16.pack(len(words))]
    for word in words:
        raw = str(word).encode("utf-8", "replace")[:WORD_BYTES_MAX]
        parts += (_U16.pack(len(raw)), raw)
    parts.append(np.array(indices, dtype=_index_dtype(len(words))).tobytes())
    return b"".join(parts)


def _index_dtype(words: int) -> np.dtype:
    return np.dtype("u1") if words <= 256 else np.dtype("<u2")


def schema_hash(data: bytes) -> bytes:
    """The schema hash of a batch. Raises BatchError when the head cannot be read."""
    if len(data) < _HEAD.size or data[:4] != MAGIC:
        raise BatchError(f"batch of {len(data)} bytes: starts with {bytes(data[:4])!r}; expected {MAGIC!r}")
    return bytes(data[4:12])


def decode_batch(table: Table, data: bytes) -> Batch:
    """Read a batch of ``table``. Every length is checked; raises BatchError saying what does not fit."""
    if schema_hash(data) != table.hash:
        raise BatchError(f"batch: schema {data[4:12].hex()}; {table.name} is {table.hash.hex()}")
    rows = _HEAD.unpack_from(data)[2]
    if not 0 < rows <= ROWS_MAX:
        raise BatchError(f"batch of {table.name}: {rows} rows; expected 1..{ROWS_MAX}")
    at = _HEAD.size
    pieces: list[bytes | Texts] = []
    try:
        for run in runs_of(table):
            if run.width:
                end = at + rows * run.width
                pieces.append(data[at:end])
                at = end
            else:
                texts, at = _decode_texts(data, at, rows)
                pieces.append(texts)
    except (struct.error, ValueError) as error:
        raise BatchError(f"batch of {table.name}: column {run.columns[0].name}: {error}") from error
    if at != len(data):
        raise BatchError(f"batch of {table.name}: {len(data)} bytes for {rows} rows; expected {at}")
    return Batch(rows, tuple(pieces))


def _decode_texts(data: bytes, at: int, rows: int) -> tuple[Texts, int]:
    (count,) = _U16.unpack_from(data, at)
    at += 2
    words = []
    for _ in range(count):
        (length,) = _U16.unpack_from(data, at)
        at += 2 + length
        words.append(data[at - length : at])
    if count == 1:
        if data[at : at + rows].count(0) != rows:
            raise ValueError("an index is past the only text")
        return Texts(tuple(words), None, rows), at + rows
    dtype = _index_dtype(count)
    indices = np.frombuffer(data, dtype=dtype, count=rows, offset=at)
    if count == 0 or int(indices.max()) >= count:
        raise ValueError(f"an index is past the {count} texts")
    return Texts(tuple(words), indices.astype(np.uint16), rows), at + rows * dtype.itemsize
