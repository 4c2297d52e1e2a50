"""What was observed and is not yet in the database: numbered records on the disk, synced before anybody goes on.

Files of records, each ``length, crc32, body`` (little-endian, 4 bytes each), a MessagePack of ``[seq, signals]``.
A torn last record, of a process killed while it wrote, was never acknowledged and is cut off. Numbers go on for ever.
"""

import contextlib
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from io import FileIO
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import msgspec

from mbongi.facility.alarm_work import Record
from mbongi.facility.errors import SpoolFullError
from mbongi.facility.rules.alarm_detector import Signal

FILE_BYTES = 4_000_000
BYTES_MAX = 512_000_000
"""Of all files: days of alarms without a database. At the limit observations are refused, and the process says so."""
_HEAD = struct.Struct("<II")


class Spool:
    """The spool in a folder. One process at a time; its ``name`` stays the same as long as the folder does."""

    def __init__(self, folder: Path, *, bytes_max: int = BYTES_MAX, file_bytes: int = FILE_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._bytes_max, self._file_bytes = folder, bytes_max, file_bytes
        self.name = self._named()
        self.waiting: deque[Record] = deque()
        """Records that ``forget`` has not been told of, oldest first."""
        self.damaged: list[Path] = []
        """Files that could not be read to their end; they are put aside, and what was read of them counts."""
        self._bytes = self.seq = 0
        for path in self._files():
            self.seq = max(self.seq, int(path.stem) - 1)
            self.waiting.extend(self._read(path))
        self.seq = max([self.seq, *(record.seq for record in self.waiting)])
        self._file = self._open()

    def append(self, signals: Sequence[Signal]) -> int:
        """Keep these together; returns their number once they are on the disk.

        Raises SpoolFullError at the limit, OSError where the disk refuses; then they are not kept.
        """
        body = msgspec.msgpack.encode([self.seq + 1, signals])
        if self._bytes + len(body) > self._bytes_max:
            raise SpoolFullError(
                f"{self._folder}: {self._bytes} bytes wait for the database; at most {self._bytes_max}"
            )
        place = self._file.tell()
        try:
            _write_all(self._file, _HEAD.pack(len(body), zlib.crc32(body)) + body)
            os.fdatasync(self._file.fileno())
        except OSError:
            self._file.seek(place)
            self._file.truncate(place)
            raise
        self.seq += 1
        self._bytes += _HEAD.size + len(body)
        self.waiting.append(Record(self.seq, tuple(signals)))
        if self._file.tell() >= self._file_bytes:
            # Where the disk gives no other file the old one goes on.
            with contextlib.suppress(OSError):
                following = self._open()
                self._file.close()
                self._file = following
        return self.seq

    def forget(self, seq: int) -> None:
        """The database has all up to this number."""
        while self.waiting and self.waiting[0].seq <= seq:
            self.waiting.popleft()
        files = self._files()
        for path, following in pairwise(files):
            if int(following.stem) > seq + 1:
                break
            self._bytes -= path.stat().st_size
            path.unlink()
        # The number must outlive the files: an empty spool goes on counting from the name of its last one.
        self.seq = max(self.seq, seq)

    def close(self) -> None:
        """Close the file that is written."""
        self._file.close()

    def _named(self) -> str:
        path = self._folder / "name"
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.write_text(str(uuid4()), encoding="ascii")
            draft.replace(path)
        return path.read_text(encoding="ascii")

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.spool"))

    def _open(self) -> FileIO:
        file = FileIO(self._folder / f"{self.seq + 1:020d}.spool", "ab")
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return file

    def _read(self, path: Path) -> Iterable[Record]:
        content = path.read_bytes()
        place, records = 0, []
        while place + _HEAD.size <= len(content):
            length, crc = _HEAD.unpack_from(content, place)
            body = content[place + _HEAD.size : place + _HEAD.size + length]
            if not length or len(body) < length or zlib.crc32(body) != crc:
                break
            seq, signals = msgspec.msgpack.decode(body, type=tuple[int, tuple[Signal, ...]])
            records.append(Record(seq, signals))
            place += _HEAD.size + length
        if place < len(content) and path == self._files()[-1]:
            os.truncate(path, place)
        elif place < len(content):
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            self.damaged.append(aside)
        self._bytes += place
        return records


def _write_all(file: FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) or 0 :]
