"""Found blocks on the disk: each block in hex, its record, and whether the record was booked."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mbongi.base.log import get_log
from mbongi.pool.errors import BlockRecordError
from mbongi.pool.rules.block_record import (
    BLOCK_SUFFIX,
    BOOKED_SUFFIX,
    RECORD_SUFFIX,
    BlockRecord,
    decode_record,
    encode_record,
)

log = get_log(__name__)

BLOCKS_MAX: Final = 200
"""Blocks kept, of up to 8 MB each; above it the oldest go, whose nodes have had hours to take them."""
RECORDS_MAX: Final = 100_000
"""Records kept, of some 2 kB each; above it the oldest at rest go although nobody booked them, which is logged."""


class BlockFiles:
    """One folder, which several processes share. What cannot be written is logged and never raised.

    All of it may block: call it from a thread, for each block one call after the other.
    """

    def __init__(self, folder: Path, shard: int = 0) -> None:
        self._folder, self._shard = folder, shard
        self._failed = False
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def keep(self, record: BlockRecord, block_hex: Sequence[bytes]) -> None:
        """Hand a new record and its block, where we have it, to the kernel."""
        self._put(self._path(record.hash, RECORD_SUFFIX), encode_record(record), sync=False)
        if block_hex:
            self._put(self._path(record.hash, BLOCK_SUFFIX), b"".join(block_hex), sync=False)

    def sync(self, name: str) -> None:
        """Bring a new block to the disk."""
        paths = [self._path(name, suffix) for suffix in (RECORD_SUFFIX, BLOCK_SUFFIX)]
        self._sync([path for path in paths if path.exists()])

    def write(self, record: BlockRecord) -> bool:
        """Replace a record, on the disk when this returns True."""
        return self._put(self._path(record.hash, RECORD_SUFFIX), encode_record(record), sync=True)

    def block_hex(self, name: str) -> bytes | None:
        """A block; None where it is gone."""
        try:
            return self._path(name, BLOCK_SUFFIX).read_bytes()
        except OSError:
            return None

    def load(self) -> list[BlockRecord]:
        """All records, oldest first. One that cannot be read is logged and left alone."""
        records = []
        for path in self._folder.glob(f"*{RECORD_SUFFIX}"):
            try:
                records.append(decode_record(path.read_bytes(), path.name))
            except (BlockRecordError, OSError) as error:
                log.error("block_record_unreadable", error=str(error))  # noqa: TRY400
        return sorted(records, key=lambda record: record.time_ms)

    def sweep(self) -> None:
        """Remove what was booked at rest, and the oldest where there are too many."""
        for mark in self._folder.glob(f"*{BOOKED_SUFFIX}"):
            path = mark.with_suffix(RECORD_SUFFIX)
            record = self._read(path)
            if (record is None and not path.exists()) or (record is not None and record.is_at_rest):
                for suffix in (BLOCK_SUFFIX, RECORD_SUFFIX, BOOKED_SUFFIX):  # the mark last: a cut-off sweep goes on
                    mark.with_suffix(suffix).unlink(missing_ok=True)
        for path in self._oldest(BLOCK_SUFFIX, BLOCKS_MAX):
            path.unlink(missing_ok=True)
        for path in self._oldest(RECORD_SUFFIX, RECORDS_MAX):
            record = self._read(path)
            if record is not None and record.is_at_rest:
                log.warning("block_record_dropped", hash=record.hash, height=record.height, state=record.state)
                path.unlink(missing_ok=True)

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}{suffix}"

    def _read(self, path: Path) -> BlockRecord | None:
        try:
            return decode_record(path.read_bytes(), path.name)
        except (BlockRecordError, OSError):
            return None

    def _oldest(self, suffix: str, kept: int) -> list[Path]:
        found = list(self._folder.glob(f"*{suffix}"))
        if len(found) <= kept:
            return []
        return sorted(found, key=lambda path: path.stat().st_mtime)[:-kept]

    def _put(self, path: Path, data: bytes, *, sync: bool) -> bool:
        draft = path.with_name(f".{path.name}.{self._shard}")
        try:
            with draft.open("wb", buffering=0) as file:
                _write_all(file.fileno(), data)
                if sync:
                    os.fsync(file.fileno())
            draft.replace(path)
            if sync:
                _sync_folder(self._folder)
        except OSError as error:
            if not self._failed:
                self._failed = True
                log.error("block_not_kept", file=path.name, error=error.strerror)  # noqa: TRY400
            return False
        if self._failed:
            self._failed = False
            log.info("block_kept_again", file=path.name)
        return True

    def _sync(self, paths: Sequence[Path]) -> None:
        try:
            for path in paths:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            _sync_folder(self._folder)
        except OSError as error:
            log.error("block_not_synced", folder=str(self._folder), error=error.strerror)  # noqa: TRY400


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
