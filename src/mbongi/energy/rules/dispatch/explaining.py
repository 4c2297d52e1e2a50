"""Why a plan does what it does: in each step, what stands at a limit, and what one more kilowatt-hour would cost."""

from dataclasses import dataclass

import numpy as np

from mbongi.energy.rules.dispatch.plan import TOLERANCE_KW, Plan
from mbongi.energy.rules.dispatch.problem import Problem, Series


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that binds in a step: a word of ``REASONS``, and the asset."""

    word: str
    tag: str


REASONS = (
    "feed_away",
    "feed_limit",
    "contract",
    "overrun",
    "import_limit",
    "solar_spilt",
    "battery_full",
    "battery_empty",
    "charge_limit",
    "discharge_limit",
    "reserve",
    "genset_min",
    "genset_max",
    "mining_pays",
    "mining_too_dear",
    "mining_limited",
    "shed",
    "unserved",
)


def reasons(problem: Problem, plan: Plan, prices: Series, step: int) -> list[Reason]:
    """What binds in a step. ``prices`` are of one more kWh per step, empty where the solver told none."""
    found: list[Reason] = []
    _feeds(problem, plan, step, found)
    _stores(problem, plan, step, found)
    _gensets(problem, plan, step, found)
    _loads(problem, plan, prices, step, found)
    return found


def _feeds(problem: Problem, plan: Plan, step: int, found: list[Reason]) -> None:
    total = 0.0
    for feed in problem.feeds:
        power, limit = plan.feed[feed.tag][step], feed.limit_kw[step]
        total += power
        if limit <= 0:
            found.append(Reason("feed_away", feed.tag))
        elif _at(power, limit):
            found.append(Reason("feed_limit", feed.tag))
        if feed.contract_kw is not None and power > feed.contract_kw + TOLERANCE_KW:
            found.append(Reason("overrun", feed.tag))
        elif feed.contract_kw is not None and _at(power, feed.contract_kw):
            found.append(Reason("contract", feed.tag))
    if problem.feeds and _at(total, problem.import_kw):
        found.append(Reason("import_limit", ""))
    spilt = (one for one in problem.solar if plan.solar[one.tag][step] < one.forecast_kw[step] - TOLERANCE_KW)
    found.extend(Reason("solar_spilt", one.tag) for one in spilt)


def _stores(problem: Problem, plan: Plan, step: int, found: list[Reason]) -> None:
    held, needed = 0.0, float(problem.reserve_kwh()[step])
    for one in problem.batteries:
        level = plan.level[one.tag][step]
        held += (level - one.min_kwh) * one.discharge_efficiency
        if _at(level, one.max_kwh):
            found.append(Reason("battery_full", one.tag))
        elif _at(level, one.min_kwh):
            found.append(Reason("battery_empty", one.tag))
        if one.charge_kw and _at(plan.charge[one.tag][step], one.charge_kw):
            found.append(Reason("charge_limit", one.tag))
        if one.discharge_kw and _at(plan.discharge[one.tag][step], one.discharge_kw):
            found.append(Reason("discharge_limit", one.tag))
    if problem.batteries and needed > 0 and held <= needed + TOLERANCE_KW:
        found.append(Reason("reserve", ""))


def _gensets(problem: Problem, plan: Plan, step: int, found: list[Reason]) -> None:
    for one in problem.gensets:
        power = plan.genset[one.tag][step]
        if plan.on[one.tag][step] and _at(power, one.max_kw):
            found.append(Reason("genset_max", one.tag))
        elif plan.on[one.tag][step] and _at(power, one.min_kw):
            found.append(Reason("genset_min", one.tag))


def _loads(problem: Problem, plan: Plan, prices: Series, step: int, found: list[Reason]) -> None:
    for one in problem.mining:
        power = plan.mining[one.tag][step]
        if power >= one.max_kw - max(one.step_kw, TOLERANCE_KW) / 2:
            found.append(Reason("mining_pays", one.tag))
        elif len(prices) and prices[step] > one.value_per_kwh[step] + 1e-9:
            found.append(Reason("mining_too_dear", one.tag))
        else:
            found.append(Reason("mining_limited", one.tag))
    shed = (load for load in problem.sheddable if plan.shed[load.tag][step] > TOLERANCE_KW)
    found.extend(Reason("shed", load.tag) for load in shed)
    if plan.unserved[step] > TOLERANCE_KW:
        found.append(Reason("unserved", ""))


def _at(value: float, limit: float) -> bool:
    return bool(np.isfinite(limit)) and abs(value - limit) <= TOLERANCE_KW + 1e-6 * abs(limit)
