"""The same decisions written a second time, with linopy: the independent formulation that optima are held against.

Written from the description in `problem.py` and not from `formulation.py`: minimum times as pairs of steps; every
whole-number rule written out in every step; fuel by each line of the curve.
"""

from typing import Any

import linopy
import numpy as np
import pandas as pd
import xarray as xr

from mbongi.energy.rules.dispatch.problem import Battery, Genset, Problem


def model_of(problem: Problem) -> linopy.Model:
    return _Form(problem).write()


def optimum(problem: Problem) -> float:
    """The least cost, to HiGHS' own tolerance."""
    model = model_of(problem)
    status, condition = model.solve("highs", io_api="direct", output_flag=False, mip_rel_gap=0.0, progress=False)
    assert (status, condition) == ("ok", "optimal")
    return float(model.objective.value)


class _Form:
    def __init__(self, problem: Problem) -> None:
        self.p, self.m = problem, linopy.Model()
        self.time = pd.RangeIndex(problem.steps, name="time")
        self.cost: Any = 0
        self.net: Any = 0

    def array(self, values: Any) -> xr.DataArray:
        return xr.DataArray(np.broadcast_to(np.asarray(values, float), (self.p.steps,)), coords=[self.time])

    def power(self, name: str, upper: Any, lower: Any = 0.0, **more: Any) -> Any:
        if more.get("binary"):
            return self.m.add_variables(coords=[self.time], name=name, binary=True)
        return self.m.add_variables(self.array(lower), self.array(upper), coords=[self.time], name=name, **more)

    def _part(self, expression: Any, start: int, stop: int) -> Any:
        """The steps from start to stop, numbered from 0."""
        return expression.isel(time=slice(start, stop)).assign_coords(time=pd.RangeIndex(stop - start, name="time"))

    def write(self) -> linopy.Model:
        p, h = self.p, self.p.step_h
        for feed in p.feeds:
            bought = self.power(f"buy {feed.tag}", feed.limit_kw)
            self.cost += (bought * self.array(h * feed.price_per_kwh)).sum()
            self.cost += (bought * self.array(h * p.carbon_per_kg * feed.carbon_kg_kwh)).sum()
            if feed.contract_kw is not None:
                over = self.m.add_variables(lower=0, name=f"over {feed.tag}")
                self.m.add_constraints(bought - over <= feed.contract_kw)
                self.cost += feed.overrun_per_kw * over
            self.net += bought
        if np.isfinite(p.import_kw):
            self.m.add_constraints(sum(self.m.variables[f"buy {feed.tag}"] for feed in p.feeds) <= p.import_kw)
        for one in p.solar:
            used = self.power(f"sun {one.tag}", one.forecast_kw)
            self.cost += (used * (h * p.carbon_per_kg * one.carbon_kg_kwh)).sum()
            self.net += used
        for battery in p.batteries:
            self._battery(battery)
        for genset in p.gensets:
            self._genset(genset)
        self._tanks()
        self._loads()
        self._reserve()
        self.m.add_objective(self.cost)
        return self.m

    def _battery(self, one: Battery) -> None:
        h = self.p.step_h
        into, out = self.power(f"into {one.tag}", one.charge_kw), self.power(f"out {one.tag}", one.discharge_kw)
        stored = self.power(f"stored {one.tag}", one.max_kwh, one.min_kwh)
        is_out = self.power(f"way {one.tag}", 1, binary=True)
        gain = one.charge_efficiency * h * into - (h / one.discharge_efficiency) * out
        self.m.add_constraints(self._part(stored - gain, 0, 1) == one.level_kwh)
        steps = self.p.steps
        self.m.add_constraints(self._part(stored - gain, 1, steps) - self._part(1 * stored, 0, steps - 1) == 0)
        self.m.add_constraints(into + one.charge_kw * is_out <= one.charge_kw)
        self.m.add_constraints(out - one.discharge_kw * is_out <= 0)
        self.m.add_constraints(self._part(1 * stored, steps - 1, steps) >= one.end_kwh)
        self.cost += (out * (h * one.wear_per_kwh)).sum()
        self.net += out - into

    def _genset(self, one: Genset) -> None:
        h, steps = self.p.step_h, self.p.steps
        on, begins = self.power(f"on {one.tag}", 1, binary=True), self.power(f"begins {one.tag}", 1)
        given, burnt = self.power(f"gives {one.tag}", one.max_kw), self.power(f"burns {one.tag}", np.inf)
        self.m.add_constraints(given <= one.max_kw * on)
        self.m.add_constraints(given >= one.min_kw * on)
        for (p0, f0), (p1, f1) in zip(one.curve, one.curve[1:], strict=False):
            slope = (f1 - f0) / (p1 - p0)
            self.m.add_constraints(burnt >= slope * given + (f0 - slope * p0) * on)

        was = float(one.is_on)
        first, on_0 = self._part(1 * begins, 0, 1), self._part(1 * on, 0, 1)
        self.m.add_constraints(first - on_0 >= -was)
        rises = self._part(1 * on, 1, steps) - self._part(1 * on, 0, steps - 1)
        self.m.add_constraints(self._part(1 * begins, 1, steps) - rises >= 0)
        # Switched on in a step, it is on in the ones after it; likewise off.
        for window, limit in ((one.min_up_steps, 0.0), (one.min_down_steps, 1.0)):
            for back in range(1, min(steps, window)):
                later = self._part(1 * on, back, steps)
                before = self._part(1 * on, 0, steps - back - 1)
                held = self._part(later, 1, steps - back) - self._part(1 * on, 1, steps - back) + before
                start = self._part(later, 0, 1) - on_0
                for expression, bound in ((held, limit), (start, limit - was)):
                    if limit:
                        self.m.add_constraints(expression <= bound)
                    else:
                        self.m.add_constraints(expression >= bound)
        left = min(steps, (one.min_up_steps if one.is_on else one.min_down_steps) - one.since_steps)
        if left > 0:
            self.m.add_constraints(self._part(1 * on, 0, left) == was)
        self.cost += (begins * one.start_cost).sum() + (on * (h * one.service_per_h)).sum()
        self.net += given

    def _tanks(self) -> None:
        for tank in self.p.tanks:
            burns = [self.m.variables[f"burns {one.tag}"] for one in self.p.gensets if one.tank == tank.tag]
            if burns:
                litres = self.p.step_h * sum(1 * burn for burn in burns).sum()
                self.m.add_constraints(litres <= max(0.0, tank.level_l - tank.reserve_l))
                self.cost += litres * (tank.price_per_l + self.p.carbon_per_kg * tank.carbon_kg_l)

    def _loads(self) -> None:
        h, p = self.p.step_h, self.p
        demand = sum((load.kw for load in p.loads), np.zeros(p.steps))
        before: list[tuple[Any, Any]] = []  # what must be 0 once the next load is shed, and its greatest value
        for one in p.mining:
            if one.step_kw:
                lowest = np.ceil(one.min_kw / one.step_kw)
                highest = np.floor(one.max_kw / one.step_kw)
                count = self.power(f"mine {one.tag}", highest, lowest, integer=True)
                mined, least, most = one.step_kw * count, lowest * one.step_kw, highest * one.step_kw
            else:
                mined, least, most = 1 * self.power(f"mine {one.tag}", one.max_kw, one.min_kw), one.min_kw, one.max_kw
            self.cost -= (mined * self.array(h * one.value_per_kwh)).sum()
            self.net -= mined
            if one.change_per_kw:
                moved = self.m.add_variables(lower=0, coords=[pd.RangeIndex(p.steps - 1, name="time")])
                change = self._part(1 * mined, 1, p.steps) - self._part(1 * mined, 0, p.steps - 1)
                self.m.add_constraints(moved - change >= 0)
                self.m.add_constraints(moved + change >= 0)
                self.cost += (moved * one.change_per_kw).sum()
            before.append((mined - least, most - least))
        for load in p.sheddable:
            shed = self.power(f"shed {load.tag}", load.kw)
            may = self.power(f"may {load.tag}", 1, binary=True)
            self.m.add_constraints(shed - may * self.array(load.kw) <= 0)
            for left, most in before:
                self.m.add_constraints(left + may * self.array(most) <= self.array(most))
            self.cost += (shed * (h * load.shed_per_kwh)).sum()
            self.net += shed
            before = [(-1 * shed + self.array(load.kw), load.kw)]
        self.m.add_constraints(self.net == self.array(demand))

    def _reserve(self) -> None:
        needed = self.p.reserve_kwh()
        if (needed > 0).any():
            held = sum(
                (self.m.variables[f"stored {b.tag}"] - b.min_kwh) * b.discharge_efficiency for b in self.p.batteries
            )
            wanted = self.array(np.where(needed > 0, needed, -1e6))
            self.m.add_constraints(held >= wanted)
