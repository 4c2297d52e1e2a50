"""The pool's clock. Intervals are monotonic; the time of the record follows the system's clock, but no passing jump."""

from collections.abc import Callable
from typing import Final

from mbongi.base.clock import Clock, monotonic_s, utc_now
from mbongi.base.log import get_log

log = get_log(__name__)

JUMP_S: Final = 2.0
"""A smaller difference is followed at once: so much do clocks drift and get set while all is well."""
SETTLED_S: Final = 60.0
"""A jump is followed once it has lasted so long."""


class SteadyClock:
    """Call ``follow`` every few seconds.

    ``now_s`` never jumps: difficulties, bans and waits are measured by it. ``unix_s`` is for the record; it ignores a
    jump of the system's clock until it has lasted a minute, and then follows, as where a machine that started with a
    wrong date is set right.
    """

    def __init__(self, *, wall: Clock = utc_now, monotonic: Callable[[], float] = monotonic_s) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._start_s = self._offset_s = self._present_offset_s()
        self._jump_s = 0.0
        self._jumped_at_s: float | None = None

    def now_s(self) -> float:
        """Unix seconds as of the start, counted on without jumps."""
        return self._monotonic() + self._start_s

    def unix_s(self) -> float:
        """Unix seconds for the record."""
        return self._monotonic() + self._offset_s

    def unix_ms(self, now_s: float) -> int:
        """Unix milliseconds for the record of what ``now_s`` gave."""
        return int((now_s - self._start_s + self._offset_s) * 1000.0)

    def follow(self) -> None:
        """Look at the system's clock."""
        difference_s = self._present_offset_s() - self._offset_s
        if abs(difference_s) <= JUMP_S:
            self._offset_s += difference_s
            self._jumped_at_s = None
            return
        now_s = self._monotonic()
        if self._jumped_at_s is None or abs(difference_s - self._jump_s) > JUMP_S:
            self._jump_s, self._jumped_at_s = difference_s, now_s
            log.warning("clock_jumped", seconds=round(difference_s, 1))
        elif now_s - self._jumped_at_s >= SETTLED_S:
            self._offset_s += difference_s
            self._jumped_at_s = None
            log.warning("clock_followed", seconds=round(difference_s, 1))

    def _present_offset_s(self) -> float:
        return self._wall().timestamp() - self._monotonic()
