"""Curtailment: which machines sleep, how the load comes down and up, and what a reading of the meter calls for. Pure.

Powers are watts at the site's meter. Machines state their own power, so a machine's figure is multiplied by what the
meter reads for each watt that the machines state (losses, fans) before it is used here.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

STANDBY_SHARE = 0.03
"""Chosen: what a sleeping machine still draws of its power; the meter says better."""
EFFICIENCY_STEP_JTH = 1.0
"""Machines whose J/TH are closer than this count as equal, and the next rule decides."""
HEAT_STEP_C = 2.0
WORN_CYCLES = 4
"""A machine put to sleep so often within a day is spared while others are there."""
TOLERANCE_SHARE = 0.005
"""Of the baseline: how far above its target the power may be and still have reached it."""
OVERSHOOT_SHARE = 0.015
"""Of the baseline: how far below its target the power may be before machines are woken again."""
LEAD_S = 2.5
"""From the release of a step to what the meter shows of it: the write, the meter's refresh and its lag. Chosen."""


class NotChosen(StrEnum):
    """Why a machine is left alone."""

    MAY_NOT_SLEEP = "may_not_sleep"
    PAUSED = "paused"
    BUSY = "busy"
    FLASHING = "flashing"
    NOT_MINING = "not_mining"
    UNREACHABLE = "unreachable"
    UNABLE = "unable"
    """Its family cannot be told to sleep."""
    POWER_UNKNOWN = "power_unknown"


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides whether a machine may be put to sleep, and when its turn comes.

    ``contract_rank`` is what the owner's contract allows: 0 is curtailed first. ``cycles`` counts how often it was put
    to sleep within the last day. NaN where a figure is not known.
    """

    machine_id: int
    power_w: float
    efficiency_jth: float = math.nan
    heat_c: float = math.nan
    contract_rank: int = 0
    cycles: int = 0
    may_sleep: bool = True
    is_paused: bool = False
    is_busy: bool = False
    is_flashing: bool = False
    is_mining: bool = True
    is_reachable: bool = True
    can_sleep: bool = True


class Candidate(NamedTuple):
    """A machine that may be put to sleep, and what that saves."""

    machine_id: int
    saves_w: float


def not_chosen(facts: Facts) -> NotChosen | None:
    """Why a machine must be left alone; None where it may be put to sleep."""
    reasons = (
        (not facts.is_reachable, NotChosen.UNREACHABLE),
        (not facts.may_sleep, NotChosen.MAY_NOT_SLEEP),
        (facts.is_paused, NotChosen.PAUSED),
        (facts.is_flashing, NotChosen.FLASHING),
        (facts.is_busy, NotChosen.BUSY),
        (not facts.is_mining, NotChosen.NOT_MINING),
        (not facts.can_sleep, NotChosen.UNABLE),
        (not facts.power_w > 0, NotChosen.POWER_UNKNOWN),
    )
    return next((why for applies, why in reasons if applies), None)


def meter_per_machine(machines: Iterable[Facts], meter_w: float) -> float:
    """What the meter reads for each watt that the mining machines draw by their own word; 1 where none states any.

    One whose power is not known counts as the mean of the others: it is behind the meter all the same.
    """
    drawn_w = [one.power_w for one in machines if one.is_mining]
    stated_w = [power_w for power_w in drawn_w if power_w > 0]
    if not stated_w:
        return 1.0
    return meter_w / (sum(stated_w) * len(drawn_w) / len(stated_w))


def ranked(machines: Iterable[Facts], *, meter_per_machine: float = 1.0) -> list[Candidate]:
    """The machines that may sleep, whose turn comes first in front.

    By contract; then those that were not put to sleep often of late; then the least efficient, the hottest, the least
    worn. What is not known comes last of its kind: nothing is assumed of it.
    """
    able = sorted((facts for facts in machines if not_chosen(facts) is None), key=_turn)
    return [Candidate(facts.machine_id, facts.power_w * (1 - STANDBY_SHARE) * meter_per_machine) for facts in able]


def _turn(facts: Facts) -> tuple[float, ...]:
    return (
        facts.contract_rank,
        facts.cycles >= WORN_CYCLES,
        -_stepped(facts.efficiency_jth, EFFICIENCY_STEP_JTH),
        -_stepped(facts.heat_c, HEAT_STEP_C),
        facts.cycles,
        facts.machine_id,
    )


def _stepped(value: float, step: float) -> float:
    return math.floor(value / step) if math.isfinite(value) else -math.inf


def chosen(candidates: Sequence[Candidate], need_w: float, *, slack_w: float = 0.0) -> list[Candidate]:
    """The machines whose sleep saves ``need_w``, in their turn, with little more than that.

    One that saves more than is still needed by above ``slack_w`` is passed over; where the others do not suffice, the
    smallest one that does is taken after all. All of them, where that is not enough.
    """
    taken: list[Candidate] = []
    passed: list[Candidate] = []
    left_w = need_w
    for one in candidates:
        if left_w <= 0:
            return taken
        if one.saves_w > left_w + slack_w:
            passed.append(one)
            continue
        taken.append(one)
        left_w -= one.saves_w
    if left_w > 0 and passed:
        taken.append(min(passed, key=lambda one: one.saves_w))
    return taken


def woken(asleep: Sequence[Candidate], room_w: float) -> list[Candidate]:
    """Of the sleeping machines, last put to sleep in front, those whose waking fits into ``room_w``."""
    taken: list[Candidate] = []
    for one in asleep:
        if one.saves_w <= room_w:
            taken.append(one)
            room_w -= one.saves_w
    return taken


@dataclass(frozen=True, slots=True)
class Ramp:
    """The course that is planned: from one power to another at ``ramp_w_s``; None: as fast as writes go.

    ``start_s`` is when the first step is released; nothing of it is seen for LEAD_S.
    """

    start_s: float
    from_w: float
    to_w: float
    ramp_w_s: float | None

    @property
    def length_s(self) -> float:
        """From the start until the target should be seen."""
        return soonest_s(abs(self.from_w - self.to_w), self.ramp_w_s)

    def at(self, moment_s: float) -> float:
        """The power that is planned for a moment."""
        moving_s = moment_s - self.start_s - LEAD_S
        if moving_s <= 0:
            return self.from_w
        if self.ramp_w_s is None:
            return self.to_w
        moved_w = min(self.ramp_w_s * moving_s, abs(self.from_w - self.to_w))
        return self.from_w + math.copysign(moved_w, self.to_w - self.from_w)


def soonest_s(change_w: float, ramp_w_s: float | None) -> float:
    """The least time in which the power changes by so much."""
    return LEAD_S + (0.0 if ramp_w_s is None else max(change_w, 0.0) / ramp_w_s)


def ramp_needed_w_s(change_w: float, within_s: float) -> float:
    """The slowest ramp that meets a deadline; infinite where none does."""
    moving_s = within_s - LEAD_S
    return math.inf if moving_s <= 0 else max(change_w, 0.0) / moving_s


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known at one look. Nothing is corrected on a power that is NaN.

    ``planned_w`` is what steps that have not begun will save, ``under_way_w`` what those will that have begun or ended
    so lately that the meter may not show them; ``waking_w`` what those add that are being woken.
    """

    power_w: float
    target_w: float
    baseline_w: float
    planned_w: float = 0.0
    under_way_w: float = 0.0
    waking_w: float = 0.0

    @property
    def tolerance_w(self) -> float:
        """Above the target, and still there."""
        return TOLERANCE_SHARE * self.baseline_w

    @property
    def has_reached(self) -> bool:
        """Whether the meter shows the target."""
        return self.power_w <= self.target_w + self.tolerance_w


class Correction(NamedTuple):
    """What a look calls for: so much more to save, so much of what is planned to be dropped, so much to be woken."""

    sleep_w: float = 0.0
    drop_w: float = 0.0
    wake_w: float = 0.0


def correction(standing: Standing) -> Correction:
    """More machines where all that is under way will not do; fewer where even without it there are too many.

    Between the two nobody knows yet, and nothing is done.
    """
    if math.isnan(standing.power_w):
        return Correction()
    lowest_w = standing.power_w - standing.planned_w - standing.under_way_w
    if lowest_w > standing.target_w + standing.tolerance_w:
        return Correction(sleep_w=lowest_w - standing.target_w)
    highest_w = standing.power_w - standing.planned_w + standing.waking_w
    below_w = standing.target_w - highest_w
    if below_w <= OVERSHOOT_SHARE * standing.baseline_w:
        return Correction()
    if standing.planned_w > 0:
        return Correction(drop_w=min(below_w, standing.planned_w))
    return Correction() if standing.under_way_w > 0 else Correction(wake_w=below_w)
