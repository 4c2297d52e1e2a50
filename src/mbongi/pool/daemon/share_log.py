"""The log of shares: what a miner was told is accepted stands here first.

Files of batches, each with its length and checksum. A batch is handed to the kernel before its shares are answered, so
that ``kill -9`` loses none; ``sync`` brings it to the disk, called at least once a second, full files first. A torn
last batch was never answered, and is cut off when the log is opened again. Workers' names are written once per file, so
each is read alone.
"""

import contextlib
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from mbongi.base.clock import utc_now
from mbongi.base.log import get_log
from mbongi.pool.errors import ShareLogError

log = get_log(__name__)

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
UNSYNCED_FILES_MAX: Final = 8
"""Full files that wait for the disk, at most; above it nothing is taken, as where nothing can be written."""
NAME_BYTES_MAX: Final = 255
NAMES_MAX: Final = 200_000
"""Of one process between its starts; some 300 bytes each."""
MAGIC: Final = b"MSL2"
HEAD: Final = struct.Struct("<4sIII")
"""Magic, kind, length of what follows, CRC-32 of what follows."""
SHARES, NAMES = 1, 2
_SHARE: Final = struct.Struct("<QIIddIIII13sBBB32s")
_SUFFIX: Final = ".shares"
BLOCK_FLAG: Final = 1


SHARE_TALLY: Final = struct.Struct("<8xI4xdd30xB33x")
"""Of a LoggedShare's bytes only worker, difficulty, reached and flags, for counting many."""
assert SHARE_TALLY.size == _SHARE.size


class LoggedShare(msgspec.Struct, gc=False, frozen=True):
    """One accepted share, in the order of its bytes.

    ``difficulty`` is what it was set and counts as, ``reached`` what its hash reached; ``extranonce`` is the pool's
    two parts and the miner's together; with the job's template they rebuild the header that hashes to ``hash``.
    """

    time_ms: int
    worker: int
    job: int
    difficulty: float
    reached: float
    height: int
    header_time_s: int
    nonce: int
    version: int
    extranonce: bytes
    protocol: int
    flags: int
    shard: int
    hash: bytes


pack_share = _SHARE.pack
"""The fields of a LoggedShare, in its order, to bytes; for the hot path."""


class ShareLog:
    """Appends to the newest file of a folder. For one process at a time; raises ShareLogError where it cannot write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1
        self._size = 0
        self._names: dict[str, int] = {}
        self._listed: list[str] = []
        self._written: set[int] = set()
        self._unnamed: list[int] = []
        self.dirty = False
        self._full: list[int] = []
        """Descriptors of full files, oldest first, until they are synced and closed."""
        self._is_new = False
        """Whether the newest file's name may not be on the disk yet."""
        self._syncing = threading.Lock()
        """Held while descriptors are synced or closed: the one must not happen in the midst of the other."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in files_of(folder)[-1:]:
                _cut_torn_end(path)
            self._begin_file()
        except OSError as error:
            raise ShareLogError(f"share log {folder}: {error.strerror}; mend its owner, mode or disk") from error

    def has_room(self, name: str) -> bool:
        """Whether a worker of this name has a number, or may still get one: a flood of names must not fill memory."""
        return len(self._names) < NAMES_MAX or name in self._names

    def worker(self, name: str) -> int:
        """The number that stands for a worker's name in this process's files."""
        number = self._names.get(name)
        if number is None:
            number = self._names[name] = len(self._names)
            self._listed.append(name)
        return number

    def name(self, number: int) -> str:
        """The worker's name that a number stands for."""
        return self._listed[number]

    def append(self, shares: list[bytes], workers: set[int]) -> None:
        """Hand a batch to the kernel. ``workers`` are the numbers that occur in it.

        Raises ShareLogError; then the log is as it was before, and the shares count as never seen.
        """
        if self._size >= FILE_BYTES_MAX:
            self._rotate()
        parts = []
        unnamed = workers - self._written
        if unnamed:
            parts.append(_batch(NAMES, b"".join(_name(number, self._listed[number]) for number in sorted(unnamed))))
        parts.append(_batch(SHARES, b"".join(shares)))
        self._write(b"".join(parts))
        self._written |= unnamed

    def sync(self) -> None:
        """Bring to the disk what was appended. May block; call it from a thread."""
        with self._syncing:
            if not self.dirty:
                return
            self.dirty = False
            try:
                self._sync()
            except OSError as error:
                self.dirty = True
                raise ShareLogError(f"share log {self._folder}: cannot sync: {error.strerror}") from error

    def _sync(self) -> None:
        full = list(self._full)  # first: meanwhile the newest may become full itself, and must not be closed here
        newest = self._descriptor
        for descriptor in full:
            os.fdatasync(descriptor)
            self._full.remove(descriptor)
            os.close(descriptor)
        os.fdatasync(newest)
        if self._is_new:
            self._is_new = False
            try:
                _sync_folder(self._folder)
            except OSError:
                self._is_new = True
                raise

    def close(self) -> None:
        """Sync and close."""
        if self._descriptor >= 0:
            with contextlib.suppress(ShareLogError):
                self.sync()
            with self._syncing:
                for descriptor in (*self._full, self._descriptor):
                    os.close(descriptor)
                self._full.clear()
                self._descriptor = -1

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self._size)
                os.lseek(self._descriptor, self._size, os.SEEK_SET)
            except OSError:
                self._size = FILE_BYTES_MAX  # nothing may follow what is torn: the next batch begins another file
            raise ShareLogError(f"share log {self._folder}: cannot write: {error.strerror}") from error
        self._size += len(data)
        self.dirty = True

    def _rotate(self) -> None:
        """Go on in another file at once; the full one is synced and closed by the next ``sync``."""
        if len(self._full) >= UNSYNCED_FILES_MAX:
            raise ShareLogError(f"share log {self._folder}: {len(self._full)} full files wait for the disk")
        full = self._descriptor
        try:
            self._begin_file()
        except OSError as error:  # the full one stays, and is left with a later batch
            raise ShareLogError(f"share log {self._folder}: no new file: {error.strerror}") from error
        self._full.append(full)
        self.dirty = True

    def _begin_file(self) -> None:
        last = files_of(self._folder)[-1:]
        # The time, so that no number comes again where somebody removed the files: the accounts remember numbers.
        number = max(int(last[0].stem) + 1 if last else 1, int(utc_now().timestamp()))
        path = self._folder / f"{number:012d}{_SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._size, self._written, self._is_new = 0, set(), True


def shard_folder(root: Path, shard: int) -> Path:
    """Where a pool process keeps its shares below ``data_dir/pool/shares``: a folder for each shard's number."""
    return root / str(shard)


def shard_folders(root: Path) -> list[tuple[int, Path]]:
    """The shards that have a folder, by number."""
    return sorted((int(path.name), path) for path in root.glob("*") if path.name.isdecimal() and path.is_dir())


def files_of(folder: Path) -> list[Path]:
    """The files of a log, oldest first."""
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())


def read_shares(path: Path) -> Iterator[tuple[LoggedShare, str]]:
    """The shares of a file, each with its worker's name; ends at the first batch that is not whole."""
    names: dict[int, str] = {}
    for kind, body, _end in batches(path.read_bytes()):
        if kind == NAMES:
            names |= read_names(body)
        elif kind == SHARES:
            for fields in _SHARE.iter_unpack(body):
                share = LoggedShare(*fields)
                yield share, names.get(share.worker, "")


def _batch(kind: int, body: bytes) -> bytes:
    return HEAD.pack(MAGIC, kind, len(body), zlib.crc32(body)) + body


def batches(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The whole batches at the beginning of ``data``: kind, body, and where each ends."""
    at = 0
    while at + HEAD.size <= len(data):
        magic, kind, size, checksum = HEAD.unpack_from(data, at)
        body = data[at + HEAD.size : at + HEAD.size + size]
        if magic != MAGIC or len(body) != size or zlib.crc32(body) != checksum:
            return
        at += HEAD.size + size
        yield kind, body, at


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cut_torn_end(path: Path) -> None:
    data, whole = path.read_bytes(), 0
    for _kind, _body, whole in batches(data):  # noqa: B007 -- the last end is what counts
        pass
    if whole < len(data):
        log.warning("share_log_cut", file=path.name, bytes=len(data) - whole)
        os.truncate(path, whole)


def _name(number: int, name: str) -> bytes:
    encoded = name.encode("utf-8", "replace")[:NAME_BYTES_MAX]
    return struct.pack("<IB", number, len(encoded)) + encoded


def read_names(body: bytes) -> dict[int, str]:
    """The workers' names of a batch of names, by number."""
    names, at = {}, 0
    while at < len(body):
        number, size = struct.unpack_from("<IB", body, at)
        names[number] = body[at + 5 : at + 5 + size].decode("utf-8", "replace")
        at += 5 + size
    return names
