"""What dispatch decided, what that costs, and whether it may be used."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mbongi.energy.rules.curves import segments
from mbongi.energy.rules.dispatch.formulation import PENALTIES, Guards, Layout, dearest
from mbongi.energy.rules.dispatch.matrix import Columns
from mbongi.energy.rules.dispatch.problem import Genset, Problem, Series

TOLERANCE_KW = 1e-3
"""What powers and levels may be off before a plan counts as wrong."""

Powers = dict[str, Series]


@dataclass(frozen=True, slots=True)
class Plan:
    """One value per step and asset: powers in kW, levels in kWh at the end of a step, fuel in litres per hour.

    ``shed`` is what is taken from each load, ``unserved`` what of the firm load nobody supplies; a plan that leaves any
    says so among what was relaxed. Assets stand under their tag in one of these only, so nothing is counted twice.
    """

    feed: Powers = field(default_factory=dict)
    solar: Powers = field(default_factory=dict)
    charge: Powers = field(default_factory=dict)
    discharge: Powers = field(default_factory=dict)
    level: Powers = field(default_factory=dict)
    genset: Powers = field(default_factory=dict)
    on: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    litres: Powers = field(default_factory=dict)
    mining: Powers = field(default_factory=dict)
    shed: Powers = field(default_factory=dict)
    unserved: Series = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True)
class Bill:
    """What a plan costs over the horizon, in money; and its energies and carbon."""

    grid: float
    overrun: float
    fuel: float
    running: float
    wear: float
    carbon: float
    shed: float
    mined: float
    imported_kwh: float
    generated_kwh: float
    solar_kwh: float
    mined_kwh: float
    shed_kwh: float
    fuel_l: float
    carbon_kg: float

    @property
    def net(self) -> float:
        """All costs less what mining earns."""
        costs = (self.grid, self.overrun, self.fuel, self.running, self.wear, self.carbon, self.shed)
        return sum(costs) - self.mined


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What could not be kept: the class, its asset, by how much in its own unit, in how many steps, at which price."""

    kind: str
    tag: str
    amount: float
    steps: int
    penalty: float


def plan_of(problem: Problem, layout: Layout, values: Series) -> Plan:
    """The solver's columns as a plan, cleaned of what is below the solver's own tolerance."""

    def read(columns: dict[str, Columns]) -> Powers:
        return {tag: _clean(values[numbers]) for tag, numbers in columns.items()}

    on = {tag: values[numbers] > 0.5 for tag, numbers in layout.on.items()}
    power = {tag: np.where(on[tag], found, 0.0) for tag, found in read(layout.genset).items()}
    mining = read(layout.mining)
    for one in problem.mining:
        if one.step_kw > 0:
            mining[one.tag] = np.round(mining[one.tag]) * one.step_kw
    unserved = layout.slack.get(("load", ""))
    return Plan(
        feed=read(layout.feed),
        solar=read(layout.solar),
        charge=read(layout.charge),
        discharge=read(layout.discharge),
        level=read(layout.level),
        genset=power,
        on=on,
        litres={one.tag: litres(one, power[one.tag], on[one.tag]) for one in problem.gensets},
        mining=mining,
        shed=read(layout.shed),
        unserved=np.zeros(problem.steps) if unserved is None else _clean(values[unserved]),
    )


def _clean(values: Series) -> Series:
    return np.where(np.abs(values) < 1e-6, 0.0, values)


def litres(genset: Genset, power_kw: Series, on: NDArray[np.bool_]) -> Series:
    """Litres per hour at each power, 0 while it rests."""
    lines = [slope * power_kw + offset for slope, offset in segments(genset.curve)]
    return np.where(on, np.max(lines, axis=0), 0.0)


def bill(problem: Problem, plan: Plan) -> Bill:
    """Added up from the plan alone, without the solver's objective."""
    h = problem.step_h
    grid = overrun = carbon_kg = imported = 0.0
    for feed in problem.feeds:
        power = plan.feed[feed.tag]
        grid += h * float(power @ feed.price_per_kwh)
        carbon_kg += h * float(power @ feed.carbon_kg_kwh)
        imported += h * float(power.sum())
        if feed.contract_kw is not None:
            overrun += feed.overrun_per_kw * max(0.0, float(power.max()) - feed.contract_kw)
    carbon_kg += sum(h * float(plan.solar[one.tag].sum()) * one.carbon_kg_kwh for one in problem.solar)
    fuel = fuel_l = running = 0.0
    for genset in problem.gensets:
        tank, on = problem.tanks[problem.tank_index[genset.tank]], plan.on[genset.tag]
        burnt = h * float(plan.litres[genset.tag].sum())
        starts = int(on[0] and not genset.is_on) + int((on[1:] & ~on[:-1]).sum())
        fuel, fuel_l = fuel + burnt * tank.price_per_l, fuel_l + burnt
        carbon_kg += burnt * tank.carbon_kg_l
        running += starts * genset.start_cost + h * float(on.sum()) * genset.service_per_h
    running += sum(one.change_per_kw * float(np.abs(np.diff(plan.mining[one.tag])).sum()) for one in problem.mining)
    shed = {load.tag: h * float(plan.shed[load.tag].sum()) for load in problem.sheddable}
    return Bill(
        grid=grid,
        overrun=overrun,
        fuel=fuel,
        running=running,
        wear=sum(h * float(plan.discharge[one.tag].sum()) * one.wear_per_kwh for one in problem.batteries),
        carbon=problem.carbon_per_kg * carbon_kg,
        shed=sum(shed[load.tag] * load.shed_per_kwh for load in problem.sheddable),
        mined=sum(h * float(plan.mining[one.tag] @ one.value_per_kwh) for one in problem.mining),
        imported_kwh=imported,
        generated_kwh=h * sum(float(power.sum()) for power in plan.genset.values()),
        solar_kwh=h * sum(float(power.sum()) for power in plan.solar.values()),
        mined_kwh=h * sum(float(power.sum()) for power in plan.mining.values()),
        shed_kwh=sum(shed.values()) + h * float(plan.unserved.sum()),
        fuel_l=fuel_l,
        carbon_kg=carbon_kg,
    )


def relaxed(problem: Problem, layout: Layout, values: Series) -> tuple[Relaxed, ...]:
    """Which classes an elastic plan broke, what is dearest last."""
    found = []
    for (kind, tag), columns in layout.slack.items():
        amounts = _clean(values[columns])
        if (amounts > TOLERANCE_KW).any():
            amount = float(amounts.sum()) * (problem.step_h if kind == "load" else 1.0)
            price = PENALTIES[kind] * dearest(problem)
            found.append(Relaxed(kind, tag, amount, int((amounts > TOLERANCE_KW).sum()), price))
    return tuple(sorted(found, key=lambda one: one.penalty))


def broken(problem: Problem, plan: Plan) -> Guards:
    """The steps in which a plan breaks a rule that was not written out."""
    guards = Guards.none(problem.steps)
    for one in problem.batteries:
        guards.direction[:] |= (plan.charge[one.tag] > TOLERANCE_KW) & (plan.discharge[one.tag] > TOLERANCE_KW)
    is_shed_before = np.ones(problem.steps, dtype=bool)
    for mining in problem.mining:
        is_shed_before &= plan.mining[mining.tag] <= _least(problem, mining.tag) + TOLERANCE_KW
    for load in problem.sheddable:
        guards.order[:] |= (plan.shed[load.tag] > TOLERANCE_KW) & ~is_shed_before
        is_shed_before &= plan.shed[load.tag] >= load.kw - TOLERANCE_KW
    return guards


def _least(problem: Problem, tag: str) -> float:
    one = next(each for each in problem.mining if each.tag == tag)
    return float(np.ceil(one.min_kw / one.step_kw - 1e-9)) * one.step_kw if one.step_kw > 0 else one.min_kw
