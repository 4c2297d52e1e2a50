"""The problem written as a mixed-integer program: `formulate` gives its matrix and where each asset's columns are.

Sources of the forms used: start-up and shut-down with minimum times after Rajan and Takriti, IBM RC23628 (2005); the
consumption curve as the highest of its lines, which is exact as curves are convex (``curves.segments``).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mbongi.energy.rules.curves import segments
from mbongi.energy.rules.dispatch.matrix import Columns, Matrix, Rows
from mbongi.energy.rules.dispatch.problem import Battery, Genset, Load, Mining, Problem, Tank

PENALTIES = {"end": 5.0, "reserve": 10.0, "fuel": 20.0, "up_down": 500.0, "load": 1000.0}
"""What a unit of each class costs once it may be broken, in multiples of the dearest price; the cheapest goes first.

``end``: kWh short of a battery's level at the end; ``reserve``: kWh short of the outage reserve, each step; ``fuel``:
litres below a tank's reserve at its lowest; ``up_down``: steps short of a genset's minimum times; ``load``: kWh of firm
load not supplied. Breakers, battery bounds and gensets' ratings are physics and are never broken.
"""


@dataclass(slots=True)
class Layout:
    """The columns of each asset by its tag, those of the slacks by class, and the balance's rows."""

    feed: dict[str, Columns] = field(default_factory=dict)
    overrun: dict[str, Columns] = field(default_factory=dict)
    solar: dict[str, Columns] = field(default_factory=dict)
    charge: dict[str, Columns] = field(default_factory=dict)
    discharge: dict[str, Columns] = field(default_factory=dict)
    level: dict[str, Columns] = field(default_factory=dict)
    genset: dict[str, Columns] = field(default_factory=dict)
    on: dict[str, Columns] = field(default_factory=dict)
    start: dict[str, Columns] = field(default_factory=dict)
    litres: dict[str, Columns] = field(default_factory=dict)
    mining: dict[str, Columns] = field(default_factory=dict)
    shed: dict[str, Columns] = field(default_factory=dict)
    fuel: dict[str, Columns] = field(default_factory=dict)
    slack: dict[tuple[str, str], Columns] = field(default_factory=dict)
    balance: Rows | None = None


def dearest(problem: Problem) -> float:
    """The highest price per kWh of anything in the problem."""
    prices = [1e-3, *(load.shed_per_kwh for load in problem.loads)]
    prices += [float(feed.price_per_kwh.max()) for feed in problem.feeds]
    prices += [float(one.value_per_kwh.max()) for one in problem.mining]
    for genset in problem.gensets:
        tank = problem.tanks[problem.tank_index[genset.tank]]
        litre = tank.price_per_l + problem.carbon_per_kg * tank.carbon_kg_l
        prices.append(litre * genset.curve[-1][1] / max(genset.curve[-1][0], 1.0))
    return max(prices)


@dataclass(frozen=True, slots=True)
class Guards:
    """In which steps two rules are written out that need whole numbers, and that cheap plans keep by themselves.

    ``direction``: no battery charges and discharges at once. ``order``: a load is shed only where all before it are
    shed wholly. Where a plan breaks one, it is made again with the rule written out there.
    """

    direction: NDArray[np.bool_]
    order: NDArray[np.bool_]

    @classmethod
    def none(cls, steps: int) -> "Guards":
        """Nowhere."""
        return cls(np.zeros(steps, dtype=bool), np.zeros(steps, dtype=bool))


def whole_steps(one: Mining) -> tuple[float, float]:
    """The fewest and the most steps of mining; of a kilowatt, and not whole, where it has none of its own."""
    if one.step_kw <= 0:
        return one.min_kw, one.max_kw
    return float(np.ceil(one.min_kw / one.step_kw - 1e-9)), float(np.floor(one.max_kw / one.step_kw + 1e-9))


def formulate(problem: Problem, guards: Guards | None = None, *, elastic: bool = False) -> tuple[Matrix, Layout]:
    """Matrix and layout. With ``elastic`` each class of ``PENALTIES`` may be broken at its price."""
    return _Formulation(problem, guards or Guards.none(problem.steps), elastic=elastic).build()


class _Formulation:
    def __init__(self, problem: Problem, guards: Guards, *, elastic: bool) -> None:
        self.problem, self.guards, self.elastic = problem, guards, elastic
        self.matrix, self.layout = Matrix(), Layout()
        self.steps, self.h = problem.steps, problem.step_h
        self.price = dearest(problem)
        self.balance: list[tuple[Columns, float]] = []

    def build(self) -> tuple[Matrix, Layout]:
        self._feeds()
        self._solar()
        for battery in self.problem.batteries:
            self._battery(battery)
        for genset in self.problem.gensets:
            self._genset(genset)
        for tank in self.problem.tanks:
            self._tank(tank)
        for mining in self.problem.mining:
            self._mining(mining)
        self._loads()
        self._reserve()
        self._close()
        return self.matrix, self.layout

    def _slack(self, kind: str, tag: str, count: int, *, upper: float = np.inf, hours: float = 1.0) -> Columns:
        cost = PENALTIES[kind] * self.price * hours
        columns = self.matrix.columns(count, upper=upper, cost=cost)
        self.layout.slack[kind, tag] = columns
        return columns

    def _feeds(self) -> None:
        matrix, problem = self.matrix, self.problem
        for feed in problem.feeds:
            cost = self.h * (feed.price_per_kwh + problem.carbon_per_kg * feed.carbon_kg_kwh)
            power = self.layout.feed[feed.tag] = matrix.columns(self.steps, upper=feed.limit_kw, cost=cost)
            self.balance.append((power, 1.0))
            if feed.contract_kw is not None:
                over = self.layout.overrun[feed.tag] = matrix.columns(1, cost=feed.overrun_per_kw)
                overs = np.repeat(over, self.steps)
                matrix.rows("contract", feed.tag, ((power, 1.0), (overs, -1.0)), upper=feed.contract_kw)
        if problem.feeds and np.isfinite(problem.import_kw):
            terms = tuple((self.layout.feed[feed.tag], 1.0) for feed in problem.feeds)
            matrix.rows("import", "", terms, upper=problem.import_kw)

    def _solar(self) -> None:
        for one in self.problem.solar:
            cost = self.h * self.problem.carbon_per_kg * one.carbon_kg_kwh
            power = self.layout.solar[one.tag] = self.matrix.columns(self.steps, upper=one.forecast_kw, cost=cost)
            self.balance.append((power, 1.0))

    def _battery(self, one: Battery) -> None:
        matrix, steps = self.matrix, self.steps
        charge = self.layout.charge[one.tag] = matrix.columns(steps, upper=one.charge_kw)
        cost = one.wear_per_kwh * self.h
        discharge = self.layout.discharge[one.tag] = matrix.columns(steps, upper=one.discharge_kw, cost=cost)
        level = self.layout.level[one.tag] = matrix.columns(steps, lower=one.min_kwh, upper=one.max_kwh)
        kept = np.zeros(steps)
        kept[0] = one.level_kwh
        terms = (
            (level, 1.0),
            (charge, -self.h * one.charge_efficiency),
            (discharge, self.h / one.discharge_efficiency),
        )
        rows = matrix.rows("level", one.tag, terms, lower=kept, upper=kept)
        matrix.add(np.arange(rows.first + 1, rows.first + steps, dtype=np.int32), level[:-1], -1.0)
        at = np.flatnonzero(self.guards.direction)
        if len(at):
            charges = matrix.columns(len(at), upper=1.0, integer=True)
            matrix.rows("direction", one.tag, ((charge[at], 1.0), (charges, -one.charge_kw)), upper=0.0)
            limits = ((discharge[at], 1.0), (charges, one.discharge_kw))
            matrix.rows("direction", one.tag, limits, upper=one.discharge_kw)
        if one.end_kwh > one.min_kwh:
            ends = [(level[-1:], 1.0)]
            if self.elastic:
                ends.append((self._slack("end", one.tag, 1), 1.0))
            matrix.rows("end", one.tag, tuple(ends), lower=one.end_kwh)
        self.balance += [(discharge, 1.0), (charge, -1.0)]

    def _genset(self, one: Genset) -> None:
        matrix, steps = self.matrix, self.steps
        on = self.layout.on[one.tag] = matrix.columns(steps, upper=1.0, cost=self.h * one.service_per_h, integer=True)
        start = self.layout.start[one.tag] = matrix.columns(steps, upper=1.0, cost=one.start_cost)
        stop = matrix.columns(steps, upper=1.0)
        power = self.layout.genset[one.tag] = matrix.columns(steps, upper=one.max_kw)
        litres = self.layout.litres[one.tag] = matrix.columns(steps)
        before = np.zeros(steps)
        before[0] = float(one.is_on)
        rows = matrix.rows("switch", one.tag, ((on, 1.0), (start, -1.0), (stop, 1.0)), lower=before, upper=before)
        matrix.add(np.arange(rows.first + 1, rows.first + steps, dtype=np.int32), on[:-1], -1.0)
        matrix.rows("genset_max", one.tag, ((power, 1.0), (on, -one.max_kw)), upper=0.0)
        if one.min_kw > 0:
            matrix.rows("genset_min", one.tag, ((power, 1.0), (on, -one.min_kw)), lower=0.0)
        for slope, offset in segments(one.curve):
            matrix.rows("curve", one.tag, ((litres, 1.0), (power, -slope), (on, -offset)), lower=0.0)
        self._times(one, on, start, stop)
        self.balance.append((power, 1.0))

    def _times(self, one: Genset, on: Columns, start: Columns, stop: Columns) -> None:
        """Minimum times: the starts of the last ``min_up`` steps are at most ``on``, the stops at most ``1 - on``."""
        slack = self._slack("up_down", one.tag, self.steps) if self.elastic else None
        times = ((one.min_up_steps, start, -1.0, 0.0), (one.min_down_steps, stop, 1.0, 1.0))
        for window, switched, sign, limit in times:
            if window == 1:
                continue
            terms = [(switched, 1.0), (on, sign)] + ([(slack, -1.0)] if slack is not None else [])
            rows = self.matrix.rows("up_down", one.tag, tuple(terms), upper=limit)
            for back in range(1, min(window, self.steps)):
                numbers = np.arange(rows.first + back, rows.first + self.steps, dtype=np.int32)
                self.matrix.add(numbers, switched[:-back], 1.0)
        left = min(self.steps, max(0, (one.min_up_steps if one.is_on else one.min_down_steps) - one.since_steps))
        if left:
            terms = [(on[:left], 1.0)]
            if slack is not None:
                terms.append((slack[:left], 1.0 if one.is_on else -1.0))
            lower, upper = (1.0, np.inf) if one.is_on else (-np.inf, 0.0)
            self.matrix.rows("up_down", one.tag, tuple(terms), lower=lower, upper=upper)

    def _tank(self, tank: Tank) -> None:
        matrix, steps = self.matrix, self.steps
        burns = [self.layout.litres[one.tag] for one in self.problem.gensets if one.tank == tank.tag]
        if not burns:
            return
        per_l = tank.price_per_l + self.problem.carbon_per_kg * tank.carbon_kg_l
        total = matrix.columns(steps, cost=self.h * per_l)
        matrix.rows("burnt", tank.tag, ((total, 1.0), *((one, -1.0) for one in burns)), lower=0.0, upper=0.0)
        used = self.layout.fuel[tank.tag] = matrix.columns(1, upper=tank.level_l)
        rows = matrix.rows("used", tank.tag, ((used, 1.0),), lower=0.0, upper=0.0)
        matrix.add(np.full(steps, rows.first, dtype=np.int32), total, -self.h)
        terms = [(used, 1.0)] + ([(self._slack("fuel", tank.tag, 1), -1.0)] if self.elastic else [])
        matrix.rows("fuel", tank.tag, tuple(terms), upper=max(0.0, tank.level_l - tank.reserve_l))

    def _mining(self, one: Mining) -> None:
        step_kw, is_whole = (one.step_kw, True) if one.step_kw > 0 else (1.0, False)
        fewest, most = whole_steps(one)
        cost = -self.h * one.value_per_kwh * step_kw
        steps = self.matrix.columns(self.steps, lower=fewest, upper=most, cost=cost, integer=is_whole)
        self.layout.mining[one.tag] = steps
        self.balance.append((steps, -step_kw))
        if one.change_per_kw > 0 and self.steps > 1:
            more = self.matrix.columns(self.steps - 1, cost=one.change_per_kw * step_kw)
            less = self.matrix.columns(self.steps - 1, cost=one.change_per_kw * step_kw)
            terms = ((steps[1:], 1.0), (steps[:-1], -1.0), (more, -1.0), (less, 1.0))
            self.matrix.rows("change", one.tag, terms, lower=0.0, upper=0.0)

    def _loads(self) -> None:
        """What is shed, in its order: a load may be shed only in steps where all before it is shed wholly."""
        matrix, before = self.matrix, None
        at = np.flatnonzero(self.guards.order)
        for load in self.problem.sheddable:
            cost = self.h * load.shed_per_kwh
            shed = self.layout.shed[load.tag] = matrix.columns(self.steps, upper=load.kw, cost=cost)
            if len(at) and (before is not None or self.problem.mining):
                may = matrix.columns(len(at), upper=1.0, integer=True)
                matrix.rows("order", load.tag, ((shed[at], 1.0), (may, -load.kw[at])), upper=0.0)
                self._after(load, before, may, at)
            self.balance.append((shed, 1.0))
            before = load

    def _after(self, load: Load, before: Load | None, may: Columns, at: NDArray[np.intp]) -> None:
        if before is not None:
            shed = self.layout.shed[before.tag][at]
            self.matrix.rows("order", load.tag, ((shed, 1.0), (may, -before.kw[at])), lower=0.0)
            return
        for one in self.problem.mining:
            fewest, most = whole_steps(one)
            terms = ((self.layout.mining[one.tag][at], 1.0), (may, most - fewest))
            self.matrix.rows("order", load.tag, terms, upper=most)

    def _reserve(self) -> None:
        needed = self.problem.reserve_kwh()
        if not (needed > 0).any():
            return
        batteries = self.problem.batteries
        if not batteries:
            return
        terms = [(self.layout.level[one.tag], one.discharge_efficiency) for one in batteries]
        empty = sum(one.min_kwh * one.discharge_efficiency for one in batteries)
        if self.elastic:
            terms.append((self._slack("reserve", "", self.steps), 1.0))
        self.matrix.rows("reserve", "", tuple(terms), lower=np.where(needed > 0, needed + empty, -np.inf))

    def _close(self) -> None:
        demand = np.zeros(self.steps)
        for load in self.problem.loads:
            demand += load.kw
        if self.elastic:
            lowest = sum(one.min_kw for one in self.problem.mining)
            most = float(self.problem.firm_kw.max()) + lowest
            self.balance.append((self._slack("load", "", self.steps, upper=most, hours=self.h), 1.0))
        self.layout.balance = self.matrix.rows("balance", "", tuple(self.balance), lower=demand, upper=demand)
