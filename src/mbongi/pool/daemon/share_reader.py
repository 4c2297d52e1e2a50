"""Reads share logs from where the accounts stand, as arrays: decoding costs a fraction of a microsecond a share.

Only whole batches of shares move the position. What is torn at the end of the newest file is not there yet; what is
damaged before whole batches, or in a file that a newer one follows, is reported, kept as it is and stepped over.
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mbongi.base.log import get_log
from mbongi.pool.daemon.share_log import HEAD, MAGIC, NAME_BYTES_MAX, NAMES, SHARES, files_of, read_names
from mbongi.pool.rules.tally import SHARE, Shares
from mbongi.pool.values import UNKNOWN_WORKER, Position

log = get_log(__name__)

READ_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one shard at a time: some 150,000 shares."""
_UNKNOWN: Final = -1


class Names:
    """Numbers for workers' names that hold in this process, whichever file they come from; UNKNOWN_WORKER is 0."""

    def __init__(self) -> None:
        self.names = [UNKNOWN_WORKER]
        self._numbers = {UNKNOWN_WORKER: 0}

    def number(self, name: str) -> int:
        """The number of a name; PostgreSQL takes no NUL, a proof no name of more than NAME_BYTES_MAX."""
        if "\0" in name or len(name) > NAME_BYTES_MAX // 4:
            name = name.replace("\0", "\ufffd").encode()[:NAME_BYTES_MAX].decode("utf-8", "ignore")
        name = name or "-"
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number


@dataclass(frozen=True, slots=True)
class Piece:
    """Shares read from one log, in its order. ``counts`` and ``offsets``: after so many shares it may be cut there."""

    shares: Shares
    before: Position
    after: Position
    counts: npt.NDArray[np.int64]
    offsets: list[int]
    more: bool
    """Whether there was more to read."""
    damaged_bytes: int = 0

    def until(self, time_ms: int) -> "Piece":
        """The batches that end at ``time_ms`` or earlier, so that other shards' shares can be put in order."""
        whole = int(np.searchsorted(self.shares.order_ms, time_ms, side="right"))
        batches = int(np.searchsorted(self.counts, whole, side="right"))
        if batches == len(self.counts):
            return self
        count = int(self.counts[batches - 1]) if batches else 0
        offset = self.offsets[batches - 1] if batches else self.before.offset
        file = self.after.file if batches else self.before.file
        return Piece(
            self.shares[:count],
            self.before,
            Position(file, offset),
            self.counts[:batches],
            self.offsets[:batches],
            more=True,
        )


@dataclass(slots=True)
class _File:
    """What is known of the file that is being read."""

    number: int
    worker_numbers: npt.NDArray[np.int64] = field(default_factory=lambda: np.full(64, _UNKNOWN, np.int64))

    def learn(self, found: dict[int, str], names: Names) -> None:
        if not found:
            return
        missing = max(found) + 1 - len(self.worker_numbers)
        if missing > 0:
            more = np.full(max(missing, len(self.worker_numbers)), _UNKNOWN, np.int64)
            self.worker_numbers = np.concatenate([self.worker_numbers, more])
        for number, name in found.items():
            self.worker_numbers[number] = names.number(name)


class ShareReader:
    """One shard's log. ``position`` is where the next ``read`` begins; set it with ``seek``."""

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder, self._names = folder, names
        self.position = Position()
        self._file = _File(0)

    def seek(self, position: Position) -> None:
        """Go on from there; names that were written earlier in that file are read again."""
        self.position, self._file = position, _File(position.file)
        path = _path(self._folder, position.file)
        if position.offset and path.exists():
            with path.open("rb") as file:
                data = file.read(position.offset)
            for kind, body, _end in _whole(data):
                if kind == NAMES:
                    self._file.learn(read_names(body), self._names)

    def read(self, bytes_max: int = READ_BYTES_MAX) -> Piece:
        """What was appended since, up to the end of one file; the position stays until ``seek`` or ``advance``."""
        before = position = self.position
        while True:
            newer = [int(path.stem) for path in files_of(self._folder) if int(path.stem) > position.file]
            piece = self._read_file(before, position, bytes_max, is_newest=not newer)
            if len(piece.shares) or piece.damaged_bytes or not newer:
                return piece
            position = Position(newer[0], 0)
            self._file = _File(position.file)

    def advance(self, piece: Piece) -> None:
        """Go on after a piece."""
        if piece.after.file != self._file.number:
            self._file = _File(piece.after.file)
        self.position = piece.after

    def read_all(self, number: int, until: int | None) -> Shares:
        """The whole shares of one file, up to so many bytes; the position stays where it is."""
        data = _bytes_of(_path(self._folder, number), 0, -1)[:until]
        bodies = [body for kind, body, _end in _whole(data) if kind == SHARES and len(body) % SHARE.itemsize == 0]
        raw: npt.NDArray[Any] = np.frombuffer(b"".join(bodies), SHARE)
        return Shares.of(raw, np.zeros(len(raw), np.int64))

    def _read_file(self, before: Position, at: Position, bytes_max: int, *, is_newest: bool) -> Piece:
        data = _bytes_of(_path(self._folder, at.file), at.offset, bytes_max)
        is_cut = len(data) == bytes_max
        if is_cut and not _whole(data):
            return self._read_file(before, at, 4 * bytes_max, is_newest=is_newest)
        bodies, counts, offsets, damaged = [], [], [], 0
        total = end = 0
        for kind, body, end_of_batch in _whole(data):
            damaged += end_of_batch - HEAD.size - len(body) - end
            end = end_of_batch
            if kind == NAMES:
                self._file.learn(read_names(body), self._names)
            elif kind == SHARES and len(body) % SHARE.itemsize == 0:
                bodies.append(body)
                total += len(body) // SHARE.itemsize
                counts.append(total)
                offsets.append(at.offset + end)
        if not is_newest and not is_cut and end < len(data):
            damaged += len(data) - end
            end = len(data)
        after = offsets[-1] if offsets else at.offset
        if damaged:
            after = max(after, at.offset + end)
            log.error("share_log_damaged", file=str(_path(self._folder, at.file)), bytes=damaged)
        shares = self._shares(b"".join(bodies))
        more = is_cut or (not is_newest)
        return Piece(shares, before, Position(at.file, after), np.array(counts, np.int64), offsets, more, damaged)

    def _shares(self, data: bytes) -> Shares:
        raw: npt.NDArray[Any] = np.frombuffer(data, SHARE)
        numbers = raw["worker"].astype(np.int64)
        known = self._file.worker_numbers
        workers = np.where(numbers < len(known), known[np.minimum(numbers, len(known) - 1)], _UNKNOWN)
        return Shares.of(raw, np.where(workers == _UNKNOWN, 0, workers))


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:012d}.shares"


def _bytes_of(path: Path, offset: int, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(bytes_max)
    except FileNotFoundError:
        return b""


def _whole(data: bytes) -> "list[tuple[int, bytes, int]]":
    """The whole batches anywhere in ``data``, each with where it ends; what lies between is damaged."""
    found, at, view = [], 0, memoryview(data)
    while (at := _next(data, at)) >= 0:
        _magic, kind, size, checksum = HEAD.unpack_from(data, at)
        begin = at + HEAD.size
        body = view[begin : begin + size]
        if len(body) == size and zlib.crc32(body) == checksum:
            found.append((kind, bytes(body), begin + size))
            at = begin + size
        else:
            at += 1
    return found


def _next(data: bytes, at: int) -> int:
    """Where the next batch may begin; -1 where none can."""
    at = data.find(MAGIC, at)
    return at if at >= 0 and at + HEAD.size <= len(data) else -1
