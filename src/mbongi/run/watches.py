"""Watches over the machine itself: room on the disk and jumps of the clock, each three-valued with its age."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from mbongi.base.clock import utc_now
from mbongi.base.status import Watch, WatchKind

DISK_LOW_BYTES = 1_000_000_000
"""Below this much free room the disk is not good."""
DISK_FULL_BYTES = 64_000_000
"""Below this the stores are about to refuse writes."""
CLOCK_JUMP_S = 2.0
"""The wall clock and the machine's uptime may drift apart by this much between two looks."""
CLOCK_CALM_S = 900.0
"""So long after a jump the clock counts as good again."""


def _free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


def _uptime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)  # counts on while the machine sleeps, so waking is no jump


@dataclass(slots=True)
class DiskWatch:
    """Looks at the room left for the data folder."""

    path: Path
    free_bytes: Callable[[Path], int] = _free_bytes
    is_full: bool = False
    """Whether the last look that got an answer found less than DISK_FULL_BYTES."""
    _last: Watch | None = None

    def look(self) -> Watch:
        """Good, not good with the cure, or unknown where the disk does not answer."""
        good: bool | None
        try:
            free = self.free_bytes(self.path)
        except OSError as error:
            good, kind, message = None, _SILENT, f"{self.path}: its disk does not answer: {error.strerror}"
        else:
            good, (kind, message) = free >= DISK_LOW_BYTES, _room(self.path, free)
            self.is_full = free < DISK_FULL_BYTES
        since = self._last.since if self._last and self._last.good is good else utc_now()
        self._last = Watch(good=good, since=since, kind=kind, message=message)
        return self._last


_SILENT: WatchKind = "disk_silent"


def _room(path: Path, free: int) -> tuple[WatchKind, str]:
    left = f"{free // 1_000_000} MB"
    if free < DISK_FULL_BYTES:
        return "disk_full", f"{path}: disk full, {left} left: new readings are refused until room is made"
    if free < DISK_LOW_BYTES:
        return "disk_low", f"{path}: {left} of disk left: make room, or shorten telemetry.keep_raw_days"
    return "", ""


@dataclass(slots=True)
class ClockWatch:
    """Compares the wall clock with the machine's uptime, which no one can set."""

    wall_s: Callable[[], float] = time.time
    uptime_s: Callable[[], float] = _uptime_s
    _offset_s: float | None = None
    _last: Watch = field(default_factory=lambda: Watch(good=None, since=utc_now()))
    _calm_at_s: float = 0.0

    def look(self) -> Watch:
        """Good; or not good for CLOCK_CALM_S after a jump, with the size of the jump."""
        uptime_s = self.uptime_s()
        offset_s = self.wall_s() - uptime_s
        jump_s = 0.0 if self._offset_s is None else offset_s - self._offset_s
        self._offset_s = offset_s
        if abs(jump_s) > CLOCK_JUMP_S:
            self._calm_at_s = uptime_s + CLOCK_CALM_S
            self._last = Watch(good=False, since=_from_s(self.wall_s()), kind="clock_jump", message=_jump(jump_s))
        elif uptime_s >= self._calm_at_s and self._last.good is not True:
            self._last = Watch(good=True, since=_from_s(self.wall_s()))
        return self._last


def _jump(jump_s: float) -> str:
    way = "forwards" if jump_s > 0 else "backwards"
    return f"the clock jumped {way} by {timedelta(seconds=round(abs(jump_s)))}: times around it are doubtful"


def _from_s(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=utc_now().tzinfo)
