"""What the pollers last said of themselves. Written by the bus's task, read by pages in other threads."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from mbongi.base.clock import utc_now
from mbongi.fleet.poller_status import TOLD_S, PollerStatus
from mbongi.fleet.rules.leases import SLOTS

GONE_S: Final = 5 * TOLD_S
"""A poller that has been silent for so long is gone."""
FORGET_S: Final = 24 * 3600.0
POLLERS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class PollerNow:
    """One poller as it was heard last. ``polls_per_s`` is None until it was heard for a while."""

    status: PollerStatus
    heard_at: datetime
    is_gone: bool
    polls_per_s: float | None

    @property
    def in_time_pct(self) -> float | None:
        """Rounds of racks that were begun when they were due, of all since it started; None before the first."""
        all_rounds = self.status.rounds + self.status.rounds_late
        return 100.0 * self.status.rounds / all_rounds if all_rounds else None

    @property
    def started_at(self) -> datetime:
        """When the process started."""
        return datetime.fromtimestamp(self.status.started_ms / 1000, UTC)

    @property
    def since(self) -> datetime:
        """Since when it has these slots."""
        return datetime.fromtimestamp(self.status.slots_since_ms / 1000, UTC)


class PollerBoard:
    """The newest word of each poller, and an older one to count from."""

    def __init__(self, clock: Callable[[], float] = lambda: utc_now().timestamp()) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._heard: dict[int, tuple[float, PollerStatus]] = {}
        self._from: dict[int, tuple[float, PollerStatus]] = {}

    def hear(self, data: bytes) -> None:
        """Take a poller's word. Raises msgspec.DecodeError for what is none."""
        status, now_s = msgspec.json.decode(data, type=PollerStatus), self._clock()
        with self._lock:
            if status.number not in self._heard and len(self._heard) >= POLLERS_MAX:
                return
            begin = self._from.get(status.number)
            if begin is None or begin[1].started_ms != status.started_ms or now_s - begin[0] > 60.0:
                self._from[status.number] = self._heard.get(status.number, (now_s, status))
                if self._from[status.number][1].started_ms != status.started_ms:
                    self._from[status.number] = (now_s, status)
            self._heard[status.number] = (now_s, status)

    def now(self) -> list[PollerNow]:
        """The pollers by number; those that were not heard for a day are forgotten."""
        now_s = self._clock()
        with self._lock:
            self._heard = {number: each for number, each in self._heard.items() if now_s - each[0] < FORGET_S}
            found = []
            for number, (at_s, status) in sorted(self._heard.items()):
                begin_s, begin = self._from[number]
                rate = (status.polls - begin.polls) / (at_s - begin_s) if at_s > begin_s else None
                heard_at = datetime.fromtimestamp(at_s, UTC)
                found.append(PollerNow(status, heard_at, now_s - at_s > GONE_S, rate))
            return found

    def owners(self) -> list[int | None]:
        """Which living poller has each slot; None: none, by what they say."""
        owners: list[int | None] = [None] * SLOTS
        for one in self.now():
            for slot in () if one.is_gone else one.status.slots:
                if 0 <= slot < SLOTS:
                    owners[slot] = one.status.number
        return owners


POLLERS = PollerBoard()
"""This process's board. The source feeds it; tests fill it themselves."""
