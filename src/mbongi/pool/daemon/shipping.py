"""Shares of pool processes on other machines: their logs, byte for byte, over the bus to the one that keeps the books.

The sender publishes whole batches in their order, each with its shard, file and offset; how far it is stands in a file.
The receiver writes each at just that offset of a file of the same name, and acknowledges it once it is on the disk. So
a batch that comes twice changes nothing, and the accounts read these files like those of the machine's own processes.
Where the bus lost something, the receiver says from where on it lacks it, and the sender goes back to there.
"""

import asyncio
import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mbongi.base.clock import utc_now
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, PublishRefused
from mbongi.core.bus.pull import Delivery
from mbongi.core.bus.streams import SHARES
from mbongi.pool.daemon.share_log import batches, files_of, shard_folder
from mbongi.pool.errors import MissingSharesError, ShippingError

log = get_log(__name__)

PIECE_BYTES_MAX: Final = 500_000
"""Batches are sent together up to so many bytes."""
READ_BYTES: Final = 4 * 1024 * 1024
LOOK_S: Final = 0.5
PUBLISH_S: Final = 20.0
RETRY_S: Final = 1.0
TAKEN_MAX: Final = 64
_HEAD: Final = struct.Struct("<BQQQQ")
"""Shard, the file's number, offset, the number and size of the file before it (0: none); then whole batches."""
_MISSING: Final = struct.Struct("<QQ")
"""The file's number, and what there is of it."""
_SUFFIX: Final = ".shares"


class Shipper:
    """Sends one shard's log. A file that was sent whole is removed ``keep_s`` after its last share."""

    def __init__(self, root: Path, shard: int, *, keep_s: float) -> None:
        self._shard, self._folder, self._keep_s = shard, shard_folder(root, shard), keep_s
        self._position_file = self._folder / "shipped"
        self._file, self._offset = self._read_position()
        self._is_away = False
        self._rewinds = 0

    @property
    def position(self) -> tuple[int, int]:
        """The file's number and the offset up to which the bus has acknowledged everything."""
        return self._file, self._offset

    async def run(self, bus: Bus) -> None:
        """Send what there is and what comes, until cancelled."""
        await bus.hear(_missing_subject(self._shard), self.go_back)
        while True:
            if not await self.ship(bus):
                await asyncio.sleep(LOOK_S)

    async def ship(self, bus: Bus) -> bool:
        """Send the next piece; False where there is none, or it could not be sent, which is tried again later."""
        piece = await asyncio.to_thread(self._next_piece)
        if piece is None:
            return False
        number, offset, data, head = piece
        rewinds = self._rewinds
        name = f"{self._shard}:{number}:{offset}:{rewinds}"  # sent again after a loss, it is another message
        try:
            await bus.publish(f"share.{self._shard}", head + data, message_id=name, limit_s=PUBLISH_S)
        except PublishRefused:
            log.exception("shares_not_sent", piece=name)
            await asyncio.sleep(RETRY_S)
            return False
        except BusError as error:
            if not self._is_away:
                self._is_away = True
                log.warning("shares_wait_for_bus", piece=name, error=str(error))
            await asyncio.sleep(RETRY_S)
            return False
        if self._is_away:
            self._is_away = False
            log.info("shares_sent_again")
        if rewinds == self._rewinds:
            self._file, self._offset = number, offset + len(data)
            await asyncio.to_thread(self._keep_position)
        return True

    def go_back(self, data: bytes) -> None:
        """The receiver lacks what follows this place."""
        position = _MISSING.unpack(data)
        if position < self.position:
            self._rewinds += 1
            self._file, self._offset = position
            log.warning("shares_sent_anew", shard=self._shard, file=position[0], offset=position[1])

    def _next_piece(self) -> tuple[int, int, bytes, bytes] | None:
        before = (0, 0)
        for path in files_of(self._folder):
            number = int(path.stem)
            if number < self._file:
                found = path.stat()
                before = number, found.st_size
                if utc_now().timestamp() - found.st_mtime > self._keep_s:
                    path.unlink()
                continue
            offset = self._offset if number == self._file else 0
            with path.open("rb") as file:
                file.seek(offset)
                data = _whole(file.read(READ_BYTES))
            if data:
                return number, offset, data, _HEAD.pack(self._shard, number, offset, *before)
            before = number, path.stat().st_size
        return None

    def _read_position(self) -> tuple[int, int]:
        try:
            number, offset = map(int, self._position_file.read_text(encoding="ascii").split())
        except FileNotFoundError:
            return 0, 0
        except (OSError, ValueError) as error:
            # From the beginning: the receiver knows what it has.
            log.error("position_not_read", file=str(self._position_file), error=str(error))  # noqa: TRY400
            return 0, 0
        return number, offset

    def _keep_position(self) -> None:
        draft = self._position_file.with_name(".shipped")
        with contextlib.suppress(OSError):  # an old position only means that some is sent twice
            draft.write_text(f"{self._file} {self._offset}\n", encoding="ascii")
            draft.replace(self._position_file)


class Receiver:
    """Writes what other machines' shippers send to files under ``root``, beside this machine's own shards."""

    def __init__(self, root: Path, *, own_shards: frozenset[int]) -> None:
        self._root, self._own_shards = root, own_shards
        self._is_bad: set[int] = set()

    async def run(self, bus: Bus) -> None:
        """Take pieces, until cancelled."""
        while True:
            with contextlib.suppress(BusError):
                await self._take_all(bus)
            await asyncio.sleep(RETRY_S)

    async def _take_all(self, bus: Bus) -> None:
        """Take them in their order, until the bus goes away or the disk takes no more: then all that is left again."""
        pull = await bus.pull(SHARES, "share-files", window=TAKEN_MAX, afresh=True)
        generation = bus.generation
        try:
            while generation == bus.generation:
                for delivery in await pull.take(TAKEN_MAX, wait_s=1.0):
                    if not await self._take(bus, delivery):
                        return
        finally:
            await pull.close()

    async def _take(self, bus: Bus, delivery: Delivery) -> bool:
        try:
            await asyncio.to_thread(self.write, delivery.data)
        except MissingSharesError as error:
            log.warning("shares_missing", error=str(error))
            await bus.tell(_missing_subject(error.shard), _MISSING.pack(error.file, error.size))
        except ShippingError as error:
            await bus.dead_letter(delivery, str(error))
        except OSError as error:
            log.error("shares_not_written", error=str(error))  # noqa: TRY400 -- it comes again
            return False
        await delivery.ack()
        return True

    def write(self, piece: bytes) -> bool:
        """Bring a piece to the disk; False where it is there already.

        Raises ShippingError for what is no piece, MissingSharesError where something before it has not come, OSError
        where the disk does not take it.
        """
        shard, number, offset, before, data = _read_piece(piece)
        if shard in self._own_shards:
            raise ShippingError(f"shares of shard {shard}: another machine sends what is this machine's own")
        folder = shard_folder(self._root, shard)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{number:012d}{_SUFFIX}"
        if offset == 0 and not path.exists():
            _require(shard, before[0], _size(folder / f"{before[0]:012d}{_SUFFIX}"), before[1])
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            _require(shard, number, size, offset)
            if size >= offset + len(data):
                return False
            view = memoryview(data)
            while view:  # what a killed receiver had written of it is the same
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return True


def _whole(data: bytes) -> bytes:
    """The whole batches at the beginning, together not much more than PIECE_BYTES_MAX."""
    end = 0
    for _kind, _body, end in batches(data):
        if end >= PIECE_BYTES_MAX:
            break
    return data[:end]


def _read_piece(piece: bytes) -> tuple[int, int, int, tuple[int, int], bytes]:
    try:
        shard, number, offset, *before = _HEAD.unpack_from(piece)
    except struct.error as error:
        raise ShippingError(f"shares: {len(piece)} bytes; expected at least {_HEAD.size}") from error
    data = piece[_HEAD.size :]
    if not data or _end(batches(data)) != len(data):
        raise ShippingError(f"shares of shard {shard}, file {number}, at {offset}: not whole batches")
    return shard, number, offset, (before[0], before[1]), data


def _require(shard: int, number: int, size: int, expected: int) -> None:
    if size < expected:
        raise MissingSharesError(shard, number, size, expected)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _missing_subject(shard: int) -> str:
    return f"pool.shares_missing.{shard}"


def _end(found: Iterator[tuple[int, bytes, int]]) -> int:
    end = 0
    for _kind, _body, end in found:  # noqa: B007 -- the last end is what counts
        pass
    return end
