"""Whether what a power meter says may be believed. Pure: no clock, no socket.

A meter that answers is not a meter that measures. One whose every register stays the same is frozen, as a real one has
noise in its last digits; one whose figure leaps several-fold within a reading or two, while the machines' own figures
do not, has lost its scale. Neither is used until it is well again.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

FROZEN_READINGS = 5
"""So many equal answers in a row, of every register, over FROZEN_S at least, are of a meter that stands still."""
FROZEN_S = 4.0
LEAP = 4.0
"""No ramp that a site is let to have changes its power by such a factor from one reading to the next."""
SUPPORT = 2.0
"""By which factor a leap and the machines' own change may differ, so that the machines bear it out."""
FLOOR_W = 50.0
"""Below so little there are no factors to speak of."""
SMOOTH = 3
"""Readings whose median steers: one odd reading moves nothing."""


class MeterTrouble(StrEnum):
    """Why a reading is not used."""

    NONE = ""
    SILENT = "silent"
    GARBLED = "garbled"
    FROZEN = "frozen"
    LEAP = "leap"


class Measured(NamedTuple):
    """One reading of all meters together. ``words`` are the registers as they came, to see that they change."""

    power_w: float
    frequency_hz: float
    words: tuple[int, ...]


class Judged(NamedTuple):
    """What is known of the site's power: ``power_w`` is NaN where nothing may be believed."""

    power_w: float
    steady_w: float
    """The median of the newest readings: what steers."""
    frequency_hz: float
    trouble: MeterTrouble


@dataclass
class Standstill:
    """Sees whether answers stay the same. Among several meters one that stands still is seen only by itself."""

    last_words: tuple[int, ...] = ()
    same_since_s: float = 0.0
    same: int = 0

    def is_still(self, words: tuple[int, ...], now_s: float) -> bool:
        """Whether this answer is one too many of the same."""
        if words == self.last_words:
            self.same += 1
        else:
            self.last_words, self.same, self.same_since_s = words, 1, now_s
        return self.same >= FROZEN_READINGS and now_s - self.same_since_s >= FROZEN_S


@dataclass
class MeterJudge:
    """Looks at one reading after the other. Times are monotonic seconds."""

    still: Standstill = field(default_factory=Standstill)
    good_w: float = math.nan
    good_machines_w: float = math.nan
    newest: deque[float] = field(default_factory=lambda: deque(maxlen=SMOOTH))

    def silent(self, trouble: MeterTrouble = MeterTrouble.SILENT) -> Judged:
        """No answer, or none that can be read."""
        self.newest.clear()
        return Judged(math.nan, math.nan, math.nan, trouble)

    def judge(self, found: Measured, *, machines_w: float, now_s: float) -> Judged:
        """Whether this reading may be used. ``machines_w`` is what the machines state now; NaN where unknown."""
        if not math.isfinite(found.power_w):
            return self.silent(MeterTrouble.GARBLED)
        if self.still.is_still(found.words, now_s):
            return self.silent(MeterTrouble.FROZEN)
        if self._leaps(found.power_w, machines_w):
            return self.silent(MeterTrouble.LEAP)
        self.good_w, self.good_machines_w = found.power_w, machines_w
        self.newest.append(found.power_w)
        return Judged(found.power_w, _median(self.newest), found.frequency_hz, MeterTrouble.NONE)

    def _leaps(self, power_w: float, machines_w: float) -> bool:
        """Several-fold away from the last good reading, and the machines do not say so too."""
        if math.isnan(self.good_w):
            return False
        change = _factor(power_w, self.good_w)
        if 1 / LEAP <= change <= LEAP:
            return False
        if math.isnan(machines_w) or math.isnan(self.good_machines_w):
            return True
        said = _factor(machines_w, self.good_machines_w)
        return not 1 / SUPPORT <= change / said <= SUPPORT


def _factor(after_w: float, before_w: float) -> float:
    return max(after_w, FLOOR_W) / max(before_w, FLOOR_W)


def _median(values: deque[float]) -> float:
    """The lower one of two in the middle."""
    return sorted(values)[(len(values) - 1) // 2]
