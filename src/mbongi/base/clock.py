"""Time as the whole system uses it: aware UTC for the record, monotonic seconds for waits."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present as an aware UTC datetime."""
    return datetime.now(UTC)


def now_ms() -> int:
    """Milliseconds since 1970, UTC, as telemetry and messages carry them."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Seconds that never jump, for waits and ages inside one process."""
    return time.monotonic()
