"""The stages of a campaign: how many machines each takes, and which. Pure."""

import math
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from itertools import zip_longest
from typing import NamedTuple

import msgspec

from mbongi.fleet.rules.gate import Criteria

STAGES_MAX = 10
SOAK_S_MAX = 14 * 86_400.0


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many machines, or so many percent of all with those of the stages before; exactly one of the two.

    The gate may let the campaign on after ``soak_s``; where it cannot say by ``soak_max_s``, a person must look.
    """

    machines: int | None = None
    percent: float | None = None
    soak_s: float = 3600.0
    soak_max_s: float = 6 * 3600.0


USUAL = (
    Stage(machines=3, soak_s=7200.0, soak_max_s=12 * 3600.0),
    Stage(percent=5.0),
    Stage(percent=25.0),
    Stage(percent=100.0),
)


class CampaignPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a campaign does; with ``auto_roll_back`` the first regression takes it back by itself."""

    stages: tuple[Stage, ...] = USUAL
    criteria: Criteria = Criteria()
    auto_roll_back: bool = True


class Phase(StrEnum):
    """What a campaign is at."""

    WAITING = "waiting"
    """Its next stage has not begun."""
    FLASHING = "flashing"
    SOAKING = "soaking"
    STOPPING = "stopping"
    """No more machines are begun; those under way are seen through."""
    STOPPED = "stopped"
    """A regression was found, or the gate cannot say; a person decides."""
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    OVER = "over"


class MachineStep(StrEnum):
    """How far one machine of a campaign is."""

    WAITING = "waiting"
    FLASHING = "flashing"
    FLASHED = "flashed"
    FAILED = "failed"
    LEFT = "left"
    """Not flashed, as its ``reason`` says."""
    RETURNING = "returning"
    RETURNED = "returned"
    """Runs again what it ran before."""
    STUCK = "stuck"
    """Could not be rolled back."""


class Place(NamedTuple):
    """A machine and where it stands."""

    machine_id: int
    rack: str


def problem(plan: CampaignPlan) -> str:
    """What is wrong with a plan: empty, or a key of ``firmware_wording.PLAN_PROBLEMS``."""
    if not 1 <= len(plan.stages) <= STAGES_MAX:
        return "stages"
    last = 0.0
    for stage in plan.stages:
        if (stage.machines is None) == (stage.percent is None):
            return "size"
        if stage.machines is not None and stage.machines < 1:
            return "size"
        if stage.percent is not None and not last < stage.percent <= 100:
            return "size"
        last = stage.percent or last
        if not 0 <= stage.soak_s <= stage.soak_max_s <= SOAK_S_MAX:
            return "soak"
    return "" if _sound(plan.criteria) else "gate"


def _sound(criteria: Criteria) -> bool:
    figures = (criteria.hashrate_drop_pct, criteria.efficiency_rise_pct, criteria.reject_rise_points)
    spans = (criteria.block_s, criteria.baseline_s, criteria.back_s)
    return (
        all(0 < figure <= 100 for figure in figures)
        and all(0 < span <= SOAK_S_MAX and math.isfinite(span) for span in spans)
        and 0 <= criteria.warm_s <= SOAK_S_MAX
        and 0.5 < criteria.confidence < 1
        and criteria.reboots_max >= 0
    )


def divided(plan: CampaignPlan, places: Sequence[Place]) -> list[list[int]]:
    """The machines of each stage: taken from the racks in turn, so that a stage is not one rack; the same each time."""
    racks: dict[str, list[int]] = defaultdict(list)
    for place in places:
        racks[place.rack].append(place.machine_id)
    turns = zip_longest(*(racks[rack] for rack in sorted(racks)))
    order = [machine_id for turn in turns for machine_id in turn if machine_id is not None]
    found, taken = [], 0
    for stage in plan.stages:
        if stage.machines is not None:
            until = taken + stage.machines
        else:
            until = math.ceil(len(order) * (stage.percent or 0.0) / 100.0)
        until = min(max(until, taken), len(order))
        found.append(order[taken:until])
        taken = until
    return found
