"""What the pool's processes last said of themselves. Written by the bus's task, read by pages in other threads."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from mbongi.base.clock import utc_now
from mbongi.pool.status import STATUS_S, PoolStatus, merged

STALE_S: Final = 5 * STATUS_S
"""A process that has been silent for so long is taken for gone; what it said last is shown as old."""
SHARDS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class PoolNow:
    """The pool at this moment. ``status`` is None before the first word, and the last one while nobody speaks."""

    status: PoolStatus | None
    heard_at: datetime | None
    is_stale: bool
    processes: int


class PoolBoard:
    """The newest status of each process. ``version`` rises with every word."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: dict[int, tuple[float, PoolStatus]] = {}
        self.version = 0

    def hear(self, data: bytes) -> None:
        """Take a process's word. Raises msgspec.DecodeError for what is none."""
        status = msgspec.json.decode(data, type=PoolStatus)
        with self._lock:
            if status.shard in self._heard or len(self._heard) < SHARDS_MAX:
                self._heard[status.shard] = utc_now().timestamp(), status
                self.version += 1

    def now(self) -> PoolNow:
        """All processes that speak, as one; where none does, those that were heard last."""
        with self._lock:
            heard = list(self._heard.values())
        newest_s = max((at_s for at_s, _status in heard), default=0.0)
        alive = [status for at_s, status in heard if newest_s - at_s < STALE_S]
        return PoolNow(
            status=merged(alive),
            heard_at=datetime.fromtimestamp(newest_s, UTC) if heard else None,
            is_stale=utc_now().timestamp() - newest_s > STALE_S,
            processes=len(alive),
        )


POOL = PoolBoard()
"""This process's board. The source feeds it; tests fill it themselves."""
