"""What the site would do with nobody dispatching: the plan that savings are told against.

Feeds are used in the order of their price within their limits and contracts, panels as they shine; mining runs
whenever there is power for it, at any price. Batteries stay full and bridge only what no feed gives; gensets start in
their order while feeds do not carry the loads. What is still missing is shed in its order.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mbongi.energy.rules.dispatch.plan import Plan, litres
from mbongi.energy.rules.dispatch.problem import Battery, Problem


@dataclass(slots=True)
class _Stores:
    level: dict[str, float]
    fuel: dict[str, float] = field(default_factory=dict)


def do_nothing(problem: Problem) -> Plan:
    """A plan that keeps the plant's limits. Minimum times and the outage reserve are nobody's care in it."""
    plan = _empty(problem)
    stores = _Stores(
        {one.tag: one.level_kwh for one in problem.batteries}, {one.tag: one.level_l for one in problem.tanks}
    )
    for step in range(problem.steps):
        _step(problem, plan, stores, step)
    for genset in problem.gensets:
        plan.litres[genset.tag][:] = litres(genset, plan.genset[genset.tag], plan.on[genset.tag])
    return plan


def _empty(problem: Problem) -> Plan:
    def zeros(*tags: str) -> dict[str, NDArray[np.float64]]:
        return {tag: np.zeros(problem.steps) for tag in tags}

    batteries, gensets = [one.tag for one in problem.batteries], [one.tag for one in problem.gensets]
    return Plan(
        feed=zeros(*(one.tag for one in problem.feeds)),
        solar=zeros(*(one.tag for one in problem.solar)),
        charge=zeros(*batteries),
        discharge=zeros(*batteries),
        level=zeros(*batteries),
        genset=zeros(*gensets),
        on={tag: np.zeros(problem.steps, dtype=bool) for tag in gensets},
        litres=zeros(*gensets),
        mining=zeros(*(one.tag for one in problem.mining)),
        shed=zeros(*(one.tag for one in problem.sheddable)),
        unserved=np.zeros(problem.steps),
    )


def _step(problem: Problem, plan: Plan, stores: _Stores, step: int) -> None:
    """Loads first: feeds and panels, then batteries and gensets; what feeds have left charges, then mines."""
    must = sum(float(load.kw[step]) for load in problem.loads) + sum(_least(problem))
    left = _feeds(problem, step)
    sun = {one.tag: float(one.forecast_kw[step]) for one in problem.solar}
    missing = must - _take(plan.solar, sun, step, must)
    missing -= _take(plan.feed, left, step, missing)
    if missing > 0:
        missing -= _gensets(problem, plan, stores, step, missing)
        missing -= _discharge(problem, plan, stores, step, missing)
        _shed(problem, plan, step, missing)
    spare = sum(sun.values()) + sum(left.values()) if missing <= 0 else 0.0
    wanted = _charge(problem, plan, stores, step, spare)
    wanted += _mine(problem, plan, step, spare - wanted)
    wanted -= _take(plan.solar, sun, step, wanted)
    _take(plan.feed, left, step, wanted)
    for one in problem.batteries:
        plan.level[one.tag][step] = stores.level[one.tag]


def _least(problem: Problem) -> list[float]:
    return [_whole(one.min_kw, one.step_kw, up=True) for one in problem.mining]


def _whole(power: float, step_kw: float, *, up: bool = False) -> float:
    if step_kw <= 0:
        return power
    steps = power / step_kw
    return float(np.ceil(steps - 1e-9) if up else np.floor(steps + 1e-9)) * step_kw


def _feeds(problem: Problem, step: int) -> dict[str, float]:
    """What each feed can give within its contract and the site's limit, the cheapest first."""
    room, found = problem.import_kw, {}
    for feed in sorted(problem.feeds, key=lambda one: float(one.price_per_kwh[step])):
        contract = np.inf if feed.contract_kw is None else feed.contract_kw
        found[feed.tag] = min(float(feed.limit_kw[step]), contract, room)
        room -= found[feed.tag]
    return found


def _take(series: dict[str, NDArray[np.float64]], left: dict[str, float], step: int, power: float) -> float:
    """Take up to ``power`` from what is left, in its order; returns what was taken."""
    taken = 0.0
    for tag, most in left.items():
        part = min(most, power - taken)
        if part > 0:
            series[tag][step] += part
            left[tag] -= part
            taken += part
    return taken


def _gensets(problem: Problem, plan: Plan, stores: _Stores, step: int, missing: float) -> float:
    """Start as many as are wanted and as fuel is there for; none is started for less than its minimum."""
    given = 0.0
    for one in problem.gensets:
        power = min(one.max_kw, missing - given)
        if power <= 0 or power < one.min_kw:
            continue
        burnt = problem.step_h * float(litres(one, np.array([power]), np.array([True]))[0])
        if burnt > stores.fuel[one.tank]:
            continue
        stores.fuel[one.tank] -= burnt
        plan.genset[one.tag][step], plan.on[one.tag][step] = power, True
        given += power
    return given


def _discharge(problem: Problem, plan: Plan, stores: _Stores, step: int, missing: float) -> float:
    given = 0.0
    for one in problem.batteries:
        there = (stores.level[one.tag] - one.min_kwh) * one.discharge_efficiency / problem.step_h
        power = max(0.0, min(one.discharge_kw, there, missing - given))
        plan.discharge[one.tag][step] = power
        stores.level[one.tag] -= power * problem.step_h / one.discharge_efficiency
        given += power
    return given


def _shed(problem: Problem, plan: Plan, step: int, missing: float) -> None:
    for load in problem.sheddable:
        part = max(0.0, min(float(load.kw[step]), missing))
        plan.shed[load.tag][step] = part
        missing -= part
    plan.unserved[step] = max(0.0, missing)


def _charge(problem: Problem, plan: Plan, stores: _Stores, step: int, spare: float) -> float:
    """Fill what an outage took, up to the level at the beginning."""
    taken = 0.0
    for one in problem.batteries:
        power = max(0.0, min(one.charge_kw, _room_kw(problem, one, stores), spare - taken))
        plan.charge[one.tag][step] = power
        stores.level[one.tag] += power * problem.step_h * one.charge_efficiency
        taken += power
    return taken


def _room_kw(problem: Problem, one: Battery, stores: _Stores) -> float:
    full = max(one.level_kwh, one.end_kwh)
    return (full - stores.level[one.tag]) / one.charge_efficiency / problem.step_h


def _mine(problem: Problem, plan: Plan, step: int, spare: float) -> float:
    """All that there is power for above the least, which is among the loads."""
    taken = 0.0
    for one, least in zip(problem.mining, _least(problem), strict=True):
        power = max(0.0, _whole(min(one.max_kw - least, spare - taken), one.step_kw))
        plan.mining[one.tag][step] = least + power
        taken += power
    return taken
