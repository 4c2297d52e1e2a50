"""The states of an alarm, what changes them, and the delays before its condition counts. Pure.

Source: ANSI/ISA-18.2-2016 and IEC 62682:2014, alarm state transition diagram (states A to I).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Final


class State(StrEnum):
    """What an alarm is for the operator. The letters are those of the standard's diagram."""

    NORMAL = "normal"
    """A"""
    UNACKNOWLEDGED = "unacknowledged"
    """B"""
    ACKNOWLEDGED = "acknowledged"
    """C"""
    RETURNED = "returned"
    """D: back to normal, and nobody has acknowledged it."""
    LATCHED = "latched"
    """E: back to normal, but it stays until somebody resets it; not acknowledged."""
    LATCHED_ACKNOWLEDGED = "latched_ack"
    """F"""
    SHELVED = "shelved"
    """G: put aside by the operator, for a time."""
    SUPPRESSED = "suppressed"
    """H: by design, such as a consequence of another alarm."""
    OUT_OF_SERVICE = "out_of_service"
    """I"""


STANDING: Final = frozenset(
    {State.UNACKNOWLEDGED, State.ACKNOWLEDGED, State.RETURNED, State.LATCHED, State.LATCHED_ACKNOWLEDGED}
)
"""States in which an alarm stands in the list of what is to be answered."""
UNANSWERED: Final = frozenset({State.UNACKNOWLEDGED, State.RETURNED, State.LATCHED})


class Change(StrEnum):
    """What may happen to an alarm."""

    RAISE = "raise"
    CLEAR = "clear"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    RELEASE = "release"
    REMOVE = "remove"
    """From service."""
    RETURN = "return"
    """To service."""


# `.` nothing changes; `x` refused; `now` as its condition is: unacknowledged while it is there, else normal.
# `a|b`: b for an alarm that latches. What puts an alarm aside takes the place of a weaker one: at its end the alarm
# is as its condition is, so that none stays out of sight by a shelving that nobody remembers.
_GRID: Final = """
               raise          clear              acknowledge  reset    shelve  unshelve suppress   release remove return
normal         unacknowledged .                  x            x        shelved x        suppressed .       out    x
unacknowledged .              returned|latched   acknowledged x        shelved x        suppressed .       out    x
acknowledged   .              normal|latched_ack .            x        shelved x        suppressed .       out    x
returned       unacknowledged .                  normal       x        shelved x        suppressed .       out    x
latched        unacknowledged .                  latched_ack  returned shelved x        suppressed .       out    x
latched_ack    unacknowledged .                  .            normal   shelved x        suppressed .       out    x
shelved        .              .                  x            x        .       now      suppressed .       out    x
suppressed     .              .                  x            x        x       x        .          now     out    x
out_of_service .              .                  x            x        x       x        .          .       .      now
"""


def _table() -> Mapping[tuple[State, Change], str]:
    head, *lines = _GRID.strip("\n").splitlines()
    changes = [Change(word) for word in head.split()]
    cells: dict[tuple[State, Change], str] = {}
    for line in lines:
        word, *rest = line.split()
        cells |= {(State(word), change): cell for change, cell in zip(changes, rest, strict=True)}
    return cells


TABLE: Final = _table()


def after(state: State, change: Change, *, is_active: bool, latches: bool = False) -> State | None:
    """The state after a change; the same one where nothing changes, None where the change is refused.

    ``is_active``: whether its condition is there after the change.
    """
    cell = TABLE[state, change]
    if cell == "x":
        return None
    if cell == ".":
        return state
    if cell == "now":
        return State.UNACKNOWLEDGED if is_active else State.NORMAL
    plain, _bar, latched = cell.partition("|")
    word = latched if latches and latched else plain
    return State.OUT_OF_SERVICE if word == "out" else State(word)


class Seen(IntEnum):
    """What a reading says of an alarm's condition. UNKNOWN, by a bad or missing reading, is never normal."""

    NORMAL = 0
    ALARM = 1
    UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition with its delays: ``is_active`` is what counts, ``pending_at`` since when the opposite is seen."""

    is_active: bool = False
    seen: Seen = Seen.NORMAL
    pending_at: datetime | None = None

    def see(self, seen: Seen, at: datetime) -> "Condition":
        """A reading. What is unknown neither ends an on-delay that runs nor begins or completes a return."""
        if seen is Seen.UNKNOWN:
            pending = None if self.is_active else self.pending_at
        elif (seen is Seen.ALARM) == self.is_active:
            pending = None
        else:
            pending = self.pending_at or at
        return Condition(self.is_active, seen, pending)

    def due_at(self, on_delay: timedelta, off_delay: timedelta) -> datetime | None:
        """When it changes if nothing else is seen until then; None: not by itself."""
        if self.pending_at is None:
            return None
        return self.pending_at + (off_delay if self.is_active else on_delay)

    def settle(self, on_delay: timedelta, off_delay: timedelta, now: datetime) -> "Condition":
        """As it is at ``now``: changed where its delay is over."""
        due = self.due_at(on_delay, off_delay)
        if due is None or due > now:
            return self
        return replace(self, is_active=not self.is_active, pending_at=None)
