"""One small document in the bus's key-value store that many processes write by compare-and-set."""

import asyncio

import nats.errors
import nats.js.errors
from nats.js.kv import KeyValue

from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, BusUnavailable

CALL_S = 1.5


class CellConflict(BusError):
    """Another writer was quicker: read again."""


class Cell:
    """The newest value of ``key`` in ``bucket``, which is made when it is not there."""

    def __init__(self, bus: Bus, bucket: str, key: str) -> None:
        self._bus, self._bucket, self._key = bus, bucket, key
        self._store: KeyValue | None = None

    async def read(self) -> tuple[int, bytes]:
        """Revision and value; 0 and nothing before the first write. Raises BusUnavailable."""
        try:
            async with asyncio.timeout(CALL_S):
                found = await (await self._opened()).get(self._key)
        except nats.js.errors.KeyNotFoundError:
            return 0, b""
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise self._unavailable("read", error) from error
        return found.revision or 0, found.value or b""

    async def write(self, value: bytes, revision: int) -> None:
        """Replace the value whose revision is ``revision``; 0: there was none.

        Raises CellConflict when it has another by now; BusUnavailable when the bus did not answer, and then the write
        may have happened, or happen yet.
        """
        try:
            async with asyncio.timeout(CALL_S):
                await (await self._opened()).update(self._key, value, last=revision)
        except nats.js.errors.KeyWrongLastSequenceError as error:
            raise CellConflict(f"{self._bucket}.{self._key}: revision {revision} is not the newest") from error
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise self._unavailable("write", error) from error

    async def _opened(self) -> KeyValue:
        if not self._bus.is_up:
            raise OSError("the bus is away")
        if self._store is None:
            try:
                self._store = await self._bus.js.key_value(self._bucket)
            except nats.js.errors.BucketNotFoundError:
                # Not direct: a replica may answer a direct read with what is no longer the newest.
                self._store = await self._bus.js.create_key_value(bucket=self._bucket, history=1, direct=False)
        return self._store

    def _unavailable(self, verb: str, error: BaseException) -> BusUnavailable:
        self._store = None
        return BusUnavailable(f"bus {self._bucket}.{self._key}: {verb}: {error or type(error).__name__}")
