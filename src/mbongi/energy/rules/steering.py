"""What is steered to now: the plan's step where a plan may be used, else what the standing rules say. Pure.

The standing rules are those of ``dispatch.baseline`` for one step. Whoever said it, targets are held to what the plant
can bear at this moment before anybody is told: a plan knows only what was foreseen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from mbongi.energy.rules.dispatch.baseline import do_nothing
from mbongi.energy.rules.dispatch.plan import Plan
from mbongi.energy.rules.dispatch.problem import Problem

LATE_STEPS = 3
"""So many steps after it was made a plan is too old to be used: the forecast that it rests on has been made anew."""


class Why(StrEnum):
    """Who steers, and why not the plan."""

    PLAN = "plan"
    NO_PLAN = "no_plan"
    LATE = "late"
    LIMITS = "limits"
    """The plan's step would break a limit as the plant is now."""
    BLACKOUT = "blackout"
    """The sequence of ``rules.blackout`` has the word."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Powers in kW. ``battery`` is above 0 while it discharges; ``runs`` are the gensets that give power."""

    why: Why
    mining: Mapping[str, float]
    battery: Mapping[str, float]
    runs: Mapping[str, float]
    shed: Mapping[str, float]

    @property
    def mining_kw(self) -> float:
        """Of all mining together."""
        return sum(self.mining.values())


def targets(now: Problem, plan: Plan | None, step: int) -> Targets:
    """What holds now. ``now`` is a problem of one step with what is measured; ``step`` counts from the plan's first."""
    if plan is None:
        return _read(do_nothing(now), 0, Why.NO_PLAN)
    if not 0 <= step < min(LATE_STEPS, len(plan.unserved)):
        return _read(do_nothing(now), 0, Why.LATE)
    told = _read(plan, step, Why.PLAN)
    if not _fits(now, told):
        return _read(do_nothing(now), 0, Why.LIMITS)
    return told


def in_blackout(told: Targets, *, mining_kw: float) -> Targets:
    """Targets under the black-out sequence: mining is held to what it allows, and nothing else is decided here."""
    most = told.mining_kw
    if mining_kw >= most:
        return told
    share = mining_kw / most if most > 0 else 0.0
    return replace(told, why=Why.BLACKOUT, mining={tag: power * share for tag, power in told.mining.items()})


def _read(plan: Plan, step: int, why: Why) -> Targets:
    return Targets(
        why=why,
        mining={tag: float(power[step]) for tag, power in plan.mining.items()},
        battery={tag: float(plan.discharge[tag][step] - plan.charge[tag][step]) for tag in plan.level},
        runs={tag: float(plan.genset[tag][step]) for tag, on in plan.on.items() if on[step]},
        shed={tag: float(power[step]) for tag, power in plan.shed.items()},
    )


def _fits(now: Problem, told: Targets) -> bool:
    """Whether the feeds as they are now carry what the plan leaves to them, and batteries and gensets give theirs."""
    known = {*told.mining, *told.battery, *told.runs, *told.shed}
    tags = {one.tag for group in (now.mining, now.batteries, now.gensets, now.sheddable) for one in group}
    numbers = [*told.mining.values(), *told.battery.values(), *told.runs.values(), *told.shed.values()]
    if not known <= tags or not np.isfinite(numbers).all() or not _within(now, told):
        return False
    demand = sum(float(load.kw[0]) - told.shed.get(load.tag, 0.0) for load in now.loads) + told.mining_kw
    others = sum(told.battery.values()) + sum(told.runs.values()) + sum(float(one.forecast_kw[0]) for one in now.solar)
    feeds = min(now.import_kw, sum(float(feed.limit_kw[0]) for feed in now.feeds))
    return demand - others <= feeds + 1e-6


def _within(now: Problem, told: Targets) -> bool:
    """Every asset within its own bounds, the battery for the whole step."""
    mining = all(0 <= told.mining.get(one.tag, 0.0) <= one.max_kw + 1e-6 for one in now.mining)
    gensets = all(told.runs.get(one.tag, one.min_kw) <= one.max_kw + 1e-6 for one in now.gensets)
    for one in now.batteries:
        power = told.battery.get(one.tag, 0.0)
        if not -one.charge_kw - 1e-6 <= power <= one.discharge_kw + 1e-6:
            return False
        moved = power / one.discharge_efficiency if power > 0 else power * one.charge_efficiency
        if not one.min_kwh - 1e-6 <= one.level_kwh - now.step_h * moved <= one.max_kwh + 1e-6:
            return False
    return mining and gensets
