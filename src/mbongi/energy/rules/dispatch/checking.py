"""Whether a plan keeps every limit: looked at before any plan is used, whoever made it. Shares no code with the solver.

``faults`` gives one sentence for each limit that is not kept; a plan with faults is not used, and the hard rules steer.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mbongi.energy.rules.dispatch.plan import Plan
from mbongi.energy.rules.dispatch.problem import Battery, Genset, Problem, Series

OFF_KW = 0.01
"""How far a sum of many assets may be off: each is exact to the solver's 1e-6 of its own size."""


def faults(problem: Problem, plan: Plan, *, min_times: bool = True, reserve: bool = True) -> list[str]:
    """What a plan breaks; empty where it may be used. ``min_times`` and ``reserve`` are what relaxing may give up."""
    found = list(_shapes(problem, plan))
    if found:
        return found
    found += _supply(problem, plan)
    for battery in problem.batteries:
        found += _battery(problem, battery, plan)
    for genset in problem.gensets:
        found += _genset(genset, plan)
        if min_times:
            found += _times(genset, plan.on[genset.tag])
    found += _fuel(problem, plan, reserve=reserve)
    found += _loads(problem, plan)
    if reserve:
        found += _reserve(problem, plan)
    return found + _balance(problem, plan)


def _shapes(problem: Problem, plan: Plan) -> Iterator[str]:
    wanted = (
        ("feed", problem.feeds, plan.feed),
        ("solar", problem.solar, plan.solar),
        ("charge", problem.batteries, plan.charge),
        ("discharge", problem.batteries, plan.discharge),
        ("level", problem.batteries, plan.level),
        ("genset", problem.gensets, plan.genset),
        ("on", problem.gensets, plan.on),
        ("litres", problem.gensets, plan.litres),
        ("mining", problem.mining, plan.mining),
        ("shed", problem.sheddable, plan.shed),
    )
    if plan.unserved.shape != (problem.steps,):
        yield f"unserved: {plan.unserved.shape} values; expected {problem.steps}"
    for name, assets, series in wanted:
        tags = {one.tag for one in assets}
        if set(series) != tags:
            yield f"{name}: planned for {sorted(series)}; expected {sorted(tags)}"
            continue
        for tag, values in series.items():
            if values.shape != (problem.steps,) or not np.isfinite(values).all():
                yield f"{name} {tag}: expected {problem.steps} finite numbers"


def _within(
    what: str, values: Series, lower: "float | Series", upper: "float | Series", off: float = OFF_KW
) -> list[str]:
    below, above = values < np.asarray(lower) - off, values > np.asarray(upper) + off
    if not (below | above).any():
        return []
    step = int(np.argmax(below | above))
    low, high = np.broadcast_to(lower, values.shape)[step], np.broadcast_to(upper, values.shape)[step]
    return [f"{what}: {values[step]:g} in step {step}; expected {low:g}..{high:g}"]


def _supply(problem: Problem, plan: Plan) -> list[str]:
    found: list[str] = []
    total = np.zeros(problem.steps)
    for feed in problem.feeds:
        found += _within(f"feed {feed.tag}, kW", plan.feed[feed.tag], 0.0, feed.limit_kw)
        total += plan.feed[feed.tag]
    found += _within("all feeds, kW", total, 0.0, problem.import_kw)
    for one in problem.solar:
        found += _within(f"solar {one.tag}, kW", plan.solar[one.tag], 0.0, one.forecast_kw)
    return found


def _battery(problem: Problem, one: Battery, plan: Plan) -> list[str]:
    charge, discharge, level = plan.charge[one.tag], plan.discharge[one.tag], plan.level[one.tag]
    before = np.concatenate(([one.level_kwh], level[:-1]))
    moved = problem.step_h * (charge * one.charge_efficiency - discharge / one.discharge_efficiency)
    found = _within(f"battery {one.tag}: charge, kW", charge, 0.0, one.charge_kw)
    found += _within(f"battery {one.tag}: discharge, kW", discharge, 0.0, one.discharge_kw)
    found += _within(f"battery {one.tag}: level, kWh", level, one.min_kwh, one.max_kwh)
    found += _within(f"battery {one.tag}: level against its powers, kWh", level - before - moved, 0.0, 0.0)
    return found + _within(f"battery {one.tag}: both ways at once, kW", np.minimum(charge, discharge), 0.0, 0.0)


def _genset(one: Genset, plan: Plan) -> list[str]:
    power, on = plan.genset[one.tag], plan.on[one.tag]
    found = _within(f"genset {one.tag}, kW", power, np.where(on, one.min_kw, 0.0), np.where(on, one.max_kw, 0.0))
    # Between two points the convex curve is the highest of its lines; see rules.curves.
    powers = [point[0] for point in one.curve]
    least = np.interp(power, powers, [point[1] for point in one.curve]) * 0.95
    return found + _within(f"genset {one.tag}: fuel, l/h", plan.litres[one.tag], np.where(on, least, 0.0), np.inf)


def _times(one: Genset, on: NDArray[np.bool_]) -> list[str]:
    """Runs and rests between two switches last long enough; what lasts to the end of the horizon may go on."""
    state, lasted, found = one.is_on, one.since_steps, []
    for step, is_on in enumerate(on.tolist()):
        if is_on != state:
            least = one.min_up_steps if state else one.min_down_steps
            if lasted < least:
                word = "ran" if state else "rested"
                found.append(f"genset {one.tag}: {word} {lasted} steps until step {step}; expected {least}")
            state, lasted = is_on, 0
        lasted += 1
    return found


def _fuel(problem: Problem, plan: Plan, *, reserve: bool) -> list[str]:
    found = []
    for tank in problem.tanks:
        burnt = sum(float(plan.litres[one.tag].sum()) for one in problem.gensets if one.tank == tank.tag)
        left = tank.level_l - problem.step_h * burnt
        least = min(tank.reserve_l, tank.level_l) if reserve else 0.0
        if left < least - OFF_KW:
            found.append(f"tank {tank.tag}: {left:g} l left at the end; expected {least:g} l")
    return found


def _loads(problem: Problem, plan: Plan) -> list[str]:
    found = _within("unserved, kW", plan.unserved, 0.0, problem.firm_kw + sum(one.min_kw for one in problem.mining))
    is_shed_before = np.ones(problem.steps, dtype=bool)
    for one in problem.mining:
        power = plan.mining[one.tag]
        found += _within(f"mining {one.tag}, kW", power, one.min_kw, one.max_kw)
        if one.step_kw > 0:
            off = np.abs(power / one.step_kw - np.round(power / one.step_kw)) * one.step_kw
            found += _within(f"mining {one.tag}: off its steps, kW", off, 0.0, 0.0)
        is_shed_before &= power < one.min_kw + max(one.step_kw, OFF_KW) - OFF_KW / 2
    for load in problem.sheddable:
        shed = plan.shed[load.tag]
        found += _within(f"load {load.tag}: shed, kW", shed, 0.0, load.kw)
        early = (shed > OFF_KW) & ~is_shed_before
        if early.any():
            found.append(f"load {load.tag}: shed in step {int(np.argmax(early))} before what comes first")
        is_shed_before &= shed >= load.kw - OFF_KW
    return found


def _reserve(problem: Problem, plan: Plan) -> list[str]:
    needed = problem.reserve_kwh()
    if not problem.batteries:
        return []
    held = np.zeros(problem.steps)
    for one in problem.batteries:
        held += (plan.level[one.tag] - one.min_kwh) * one.discharge_efficiency
    return _within("outage reserve, kWh", held, needed, np.inf)


def _balance(problem: Problem, plan: Plan) -> list[str]:
    """What comes in is what goes out, in every step."""
    net = plan.unserved.copy()
    for series in (plan.feed, plan.solar, plan.discharge, plan.genset, plan.shed):
        for values in series.values():
            net += values
    for series in (plan.charge, plan.mining):
        for values in series.values():
            net -= values
    for load in problem.loads:
        net -= load.kw
    return _within("balance, kW", net, 0.0, 0.0)
