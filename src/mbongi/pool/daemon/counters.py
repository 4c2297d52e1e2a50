"""Numbers that are given once, over every restart, and the parts of the search space made of them."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from mbongi.base.log import get_log
from mbongi.pool.errors import ShareLogError
from mbongi.pool.rules.job import EXTRANONCE1_BYTES

log = get_log(__name__)

JOB_NUMBERS: Final = 1 << 23
"""Job numbers below it, so that number and generation fit 31 bits of a job id in Stratum V2, whose other half is for
custom jobs; then from 1 again."""
EXTRANONCE_NUMBERS: Final = 1 << 8 * (EXTRANONCE1_BYTES - 1)
"""Of one process: what is left of the extranonce beside the shard's byte."""


class DurableCounter:
    """Counts 1, 2, 3 ... up to ``below``, then from 1 again; a restart goes on behind all that may have been given.

    The file names the end of a stretch that is reserved, so one write serves ``step`` numbers. The first is reserved at
    once; each next one by a thread, when half of the one in use is gone, so that nobody waits for the disk. Where the
    file cannot be written counting goes on and the trouble is logged: a pool that stops would be worse.
    """

    def __init__(self, path: Path, *, below: int, step: int) -> None:
        self._path, self._below, self._step = path, below, step
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._next = self._reserved = self._read()
        self._left = 0
        self._writing: threading.Thread | None = None
        self._reserve()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        if self._left <= self._step // 2 and self._writing is None:
            self._writing = threading.Thread(target=self._keep, args=(self._after(self._reserved, self._step),))
            self._writing.start()
        if self._left == 0:
            self._reserve()
        number = self._next
        self._next, self._left = self._after(number, 1), self._left - 1
        return number

    def _reserve(self) -> None:
        """Take up the next stretch; waits only where the disk took longer than half a stretch lasted."""
        self._reserved = self._after(self._reserved, self._step)
        if self._writing is None:
            self._keep(self._reserved)
        else:
            self._writing.join()
            self._writing = None
        self._left += self._step

    def _after(self, number: int, count: int) -> int:
        return (number - 1 + count) % (self._below - 1) + 1

    def _read(self) -> int:
        try:
            number = int(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 1
        except (OSError, ValueError) as error:
            raise ShareLogError(f"counter {self._path}: cannot be read: {error}; expected a number") from error
        return number if 0 < number < self._below else 1

    def _keep(self, end: int) -> None:
        draft = self._path.with_name(f".{self._path.name}")
        try:
            with draft.open("w", encoding="ascii") as file:
                file.write(f"{end}\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            log.error("counter_not_kept", file=str(self._path), error=error.strerror)  # noqa: TRY400


class Extranonces:
    """The pool's part of the extranonce: nobody has the same while one holds it, in this process or another."""

    def __init__(self, shard: int, numbers: Iterator[int]) -> None:
        self._shard, self._numbers = bytes([shard]), numbers
        self._held: set[bytes] = set()

    def take(self) -> bytes:
        """One that nobody holds."""
        while True:
            number = next(self._numbers) % EXTRANONCE_NUMBERS
            found = self._shard + number.to_bytes(EXTRANONCE1_BYTES - 1, "big")
            if found not in self._held:
                self._held.add(found)
                return found

    def hold(self, extranonce1: bytes) -> None:
        """Keep one that was taken before a restart."""
        self._held.add(extranonce1)

    def give_back(self, extranonce1: bytes) -> None:
        """Whoever held it is gone for good."""
        self._held.discard(extranonce1)
