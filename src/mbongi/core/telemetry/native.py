"""Joins decoded batches into one block of ClickHouse's Native format, column by column.

Source: the Native format as ClickHouse documents it, with LowCardinality columns in their version-1 serialization.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mbongi.core.telemetry.batches import Batch, Texts, runs_of
from mbongi.core.telemetry.tables import Table

Array = npt.NDArray[Any]
_DICTIONARY_HERE = 1 << 9 | 1 << 10
"""LowCardinality flags: the dictionary travels with the block, and replaces any earlier one."""


@dataclass(slots=True)
class TextColumn:
    """Texts of a block: the different words and each row's index into them."""

    words: list[bytes]
    indices: npt.NDArray[np.uint32]

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.indices)


@dataclass(slots=True)
class Block:
    """Rows of one table, a column each in the table's order, with the bus epoch and sequence number of each row."""

    table: Table
    rows: int
    columns: list[Array | TextColumn]
    epoch: int
    seqs: npt.NDArray[np.uint64]

    def array(self, name: str) -> Array:
        """A fixed-type column."""
        column = self.columns[self.table.index[name]]
        assert not isinstance(column, TextColumn), f"{name} holds texts"
        return column

    def select(self, mask: npt.NDArray[np.bool_]) -> "Block":
        """The rows where ``mask`` is true."""
        columns: list[Array | TextColumn] = [
            TextColumn(column.words, column.indices[mask]) if isinstance(column, TextColumn) else column[mask]
            for column in self.columns
        ]
        return Block(self.table, int(mask.sum()), columns, self.epoch, self.seqs[mask])

    def native(self) -> bytes:
        """The block in Native format, with the columns ``bus_epoch`` and ``bus_seq``."""
        columns = self.table.store_columns
        values = [*self.columns, np.full(self.rows, self.epoch, dtype="<u4"), self.seqs]
        parts: list[bytes | memoryview] = [_varint(len(columns)), _varint(self.rows)]
        for column, value in zip(columns, values, strict=True):
            parts += (_text(column.name), _text(column.store_type))
            if isinstance(value, TextColumn):
                parts += _low_cardinality(value, self.rows)
            else:
                parts.append(value.data.cast("B"))
        return b"".join(parts)


def concatenate(blocks: Sequence[Block]) -> Block:
    """One block of several of the same table and epoch, in their order."""
    first = blocks[0]
    if len(blocks) == 1:
        return first
    columns: list[Array | TextColumn] = []
    for pieces in zip(*(block.columns for block in blocks), strict=True):
        if isinstance(pieces[0], TextColumn):
            columns.append(_join_mixed([piece for piece in pieces if isinstance(piece, TextColumn)]))
        else:
            columns.append(np.concatenate(pieces))
    seqs = np.concatenate([block.seqs for block in blocks])
    return Block(first.table, len(seqs), columns, first.epoch, seqs)


def widen(block: Block, table: Table) -> Block:
    """The block of an earlier schema as one of ``table``: columns that are new hold "unknown", dropped ones go."""
    if block.table is table or block.table.hash == table.hash:
        return block
    columns: list[Array | TextColumn] = []
    for column in table.columns:
        position = block.table.index.get(column.name)
        if position is not None:
            columns.append(block.columns[position])
        elif column.is_text:
            columns.append(TextColumn([b""], np.zeros(block.rows, dtype=np.uint32)))
        else:
            missing = np.nan if column.dtype.kind == "f" else 0
            columns.append(np.full(block.rows, missing, dtype=column.dtype))
    return Block(table, block.rows, columns, block.epoch, block.seqs)


def join_batches(table: Table, batches: Sequence[tuple[int, Batch]], epoch: int) -> Block:
    """One block of ``(bus sequence number, batch)`` pairs. Batches of one size keep their order and come together."""
    sizes: dict[int, list[tuple[int, Batch]]] = {}
    for pair in batches:
        sizes.setdefault(pair[1].rows, []).append(pair)
    return concatenate([_join_alike(table, alike, rows, epoch) for rows, alike in sizes.items()])


def _join_alike(table: Table, batches: Sequence[tuple[int, Batch]], rows: int, epoch: int) -> Block:
    columns: list[Array | TextColumn] = []
    for position, run in enumerate(runs_of(table)):
        pieces: list[Any] = [batch.pieces[position] for _, batch in batches]
        if not run.width:
            columns.append(_join_texts(pieces, rows))
            continue
        # Batches of one size put a column at the same place of every piece: one strided copy takes it from all.
        together = np.frombuffer(b"".join(pieces), dtype=np.uint8).reshape(len(batches), rows * run.width)
        at = 0
        for column in run.columns:
            end = at + rows * column.dtype.itemsize
            columns.append(np.ascontiguousarray(together[:, at:end]).reshape(-1).view(column.dtype))
            at = end
    seqs = np.repeat(np.array([seq for seq, _ in batches], dtype="<u8"), rows)
    return Block(table, len(seqs), columns, epoch, seqs)


def _join_texts(pieces: Sequence[Texts], rows: int) -> TextColumn:
    words: dict[bytes, int] = {}
    lone: list[int] = []
    for piece in pieces:
        if piece.indices is not None:
            return _join_mixed(pieces)
        lone.append(words.setdefault(piece.words[0], len(words)))
    return TextColumn(list(words), np.repeat(np.array(lone, dtype=np.uint32), rows))


def _join_mixed(pieces: Sequence[Texts | TextColumn]) -> TextColumn:
    words: dict[bytes, int] = {}
    indices = []
    for piece in pieces:
        here = np.array([words.setdefault(word, len(words)) for word in piece.words], dtype=np.uint32)
        if piece.indices is None:
            indices.append(np.repeat(here, piece.rows))  # Texts alone leave the indices out.
        else:
            indices.append(here[piece.indices])
    return TextColumn(list(words), np.concatenate(indices))


def _low_cardinality(column: TextColumn, rows: int) -> list[bytes]:
    width = 0 if len(column.words) <= 0xFF else 1 if len(column.words) <= 0xFFFF else 2
    dtype = (np.dtype("u1"), np.dtype("<u2"), np.dtype("<u4"))[width]
    words = b"".join(_varint(len(word)) + word for word in column.words)
    return [
        struct.pack("<QQQ", 1, width | _DICTIONARY_HERE, len(column.words)),
        words,
        struct.pack("<Q", rows),
        column.indices.astype(dtype).tobytes(),
    ]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _text(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw)) + raw
