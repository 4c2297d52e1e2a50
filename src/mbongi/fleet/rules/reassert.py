"""When a machine that drifts is written again without being asked, and when it is left to people. Pure.

A machine that is brought back again and again, and drifts each time, is in somebody else's hands or broken. After each
try the next one waits twice as long; after TRIES_MAX in a row it is left as it is, until a person deals with it. Tries
count as in a row while less than QUIET_S lies between one and the drift that follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

TRIES_MAX = 4
FIRST_S = 120.0
"""After the first try; then 240 s, 480 s."""
QUIET_S = 86_400.0
"""Chosen: what comes back within a day has the same cause."""


class Next(StrEnum):
    """What becomes of a machine that drifts."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"
    """Not by itself: a person must look."""


@dataclass(frozen=True, slots=True)
class Course:
    """What is to be done, how many tries lie behind, and when the next is due [s]; None where none is."""

    next: Next
    tries: int
    due_s: float | None = None


def course(tries_s: Sequence[float], drift_s: float, now_s: float) -> Course:
    """What to do about a drift that began at ``drift_s``, after earlier tries, all by one clock [s]."""
    row = _in_a_row(sorted(tries_s), drift_s)
    if len(row) >= TRIES_MAX:
        return Course(Next.NEVER, len(row))
    due_s = drift_s if not row else max(drift_s, row[-1] + FIRST_S * 2 ** (len(row) - 1))
    return Course(Next.NOW if now_s >= due_s else Next.LATER, len(row), due_s)


def _in_a_row(tries_s: Sequence[float], drift_s: float) -> list[float]:
    """The tries that belong to this drift, oldest first."""
    row: list[float] = []
    after_s = drift_s
    for each in reversed(tries_s):
        if after_s - each > QUIET_S:
            break
        row.insert(0, each)
        after_s = each
    return row
