"""Numbers that are given once, over every restart, and the parts of the search space made of them."""

import os
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

    The file names the end of a stretch that is reserved, so one write serves ``step`` numbers. Where the file cannot
    be written counting goes on and the trouble is logged: a pool that stops would be worse.
    """

    def __init__(self, path: Path, *, below: int, step: int) -> None:
        self._path, self._below, self._step = path, below, step
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._next = self._reserved = self._read()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        number = self._next
        if number == self._reserved:
            self._reserved = self._after(number, self._step)
            self._keep()
        self._next = self._after(number, 1)
        return number

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

    def _keep(self) -> None:
        draft = self._path.with_name(f".{self._path.name}")
        try:
            with draft.open("w", encoding="ascii") as file:
                file.write(f"{self._reserved}\n")
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
