"""The program of dispatch written with linopy, for the comparison: vectors over time, as its guide writes them."""

from typing import Any

import linopy
import numpy as np
import pandas as pd
import xarray as xr

from mbongi.energy.rules.curves import segments
from mbongi.energy.rules.dispatch.problem import Battery, Genset, Problem


def solved(model: linopy.Model) -> float:
    """The least cost, to a thousandth as ours."""
    options = {"output_flag": False, "mip_rel_gap": 1e-3, "threads": 1}
    status, condition = model.solve("highs", io_api="direct", progress=False, **options)
    if (status, condition) != ("ok", "optimal"):
        raise SystemExit(f"linopy: {status}, {condition}")
    return float(model.objective.value)


def written(problem: Problem) -> linopy.Model:
    """All rows that ours has in its first round."""
    return _Form(problem).write()


class _Form:
    def __init__(self, problem: Problem) -> None:
        self.p, self.m = problem, linopy.Model()
        self.time = pd.RangeIndex(problem.steps, name="time")
        self.cost: Any = 0
        self.net: Any = 0

    def array(self, values: Any) -> xr.DataArray:
        return xr.DataArray(np.broadcast_to(np.asarray(values, float), (self.p.steps,)), coords=[self.time])

    def part(self, expression: Any, start: int, stop: int) -> Any:
        return expression.isel(time=slice(start, stop)).assign_coords(time=pd.RangeIndex(stop - start, name="time"))

    def power(self, name: str, upper: Any, lower: Any = 0.0, **more: Any) -> Any:
        if more.get("binary"):
            return self.m.add_variables(coords=[self.time], name=name, binary=True)
        return self.m.add_variables(self.array(lower), self.array(upper), coords=[self.time], name=name, **more)

    def write(self) -> linopy.Model:
        p, h = self.p, self.p.step_h
        for feed in p.feeds:
            bought = self.power(f"buy {feed.tag}", feed.limit_kw)
            self.cost += (bought * self.array(h * (feed.price_per_kwh + p.carbon_per_kg * feed.carbon_kg_kwh))).sum()
            if feed.contract_kw is not None:
                over = self.m.add_variables(lower=0, name=f"over {feed.tag}")
                self.m.add_constraints(bought - over <= feed.contract_kw)
                self.cost += feed.overrun_per_kw * over
            self.net += bought
        self.m.add_constraints(sum(self.m.variables[f"buy {feed.tag}"] for feed in p.feeds) <= p.import_kw)
        for one in p.solar:
            self.net += self.power(f"sun {one.tag}", one.forecast_kw)
        for battery in p.batteries:
            self._battery(battery)
        for genset in p.gensets:
            self._genset(genset)
        for tank in p.tanks:
            burns = sum(1 * self.m.variables[f"burns {one.tag}"] for one in p.gensets)
            litres = h * burns.sum()
            self.m.add_constraints(litres <= tank.level_l - tank.reserve_l)
            self.cost += litres * (tank.price_per_l + p.carbon_per_kg * tank.carbon_kg_l)
        self._loads()
        held = sum((self.m.variables[f"stored {b.tag}"] - b.min_kwh) * b.discharge_efficiency for b in p.batteries)
        self.m.add_constraints(held >= self.array(np.where(p.reserve_kwh() > 0, p.reserve_kwh(), -1e6)))
        self.m.add_objective(self.cost)
        return self.m

    def _battery(self, one: Battery) -> None:
        h, steps = self.p.step_h, self.p.steps
        into, out = self.power(f"into {one.tag}", one.charge_kw), self.power(f"out {one.tag}", one.discharge_kw)
        stored = self.power(f"stored {one.tag}", one.max_kwh, one.min_kwh)
        kept = stored - one.charge_efficiency * h * into + (h / one.discharge_efficiency) * out
        self.m.add_constraints(self.part(kept, 0, 1) == one.level_kwh)
        self.m.add_constraints(self.part(kept, 1, steps) - self.part(1 * stored, 0, steps - 1) == 0)
        self.m.add_constraints(self.part(1 * stored, steps - 1, steps) >= one.end_kwh)
        self.cost += (out * (h * one.wear_per_kwh)).sum()
        self.net += out - into

    def _genset(self, one: Genset) -> None:
        h, steps = self.p.step_h, self.p.steps
        on = self.power(f"on {one.tag}", 1, binary=True)
        begins, ends = self.power(f"begins {one.tag}", 1), self.power(f"ends {one.tag}", 1)
        given, burnt = self.power(f"gives {one.tag}", one.max_kw), self.power(f"burns {one.tag}", np.inf)
        self.m.add_constraints(given - one.max_kw * on <= 0)
        self.m.add_constraints(given - one.min_kw * on >= 0)
        for slope, offset in segments(one.curve):
            self.m.add_constraints(burnt - slope * given - offset * on >= 0)
        switched = on - begins + ends
        self.m.add_constraints(self.part(switched, 0, 1) == float(one.is_on))
        self.m.add_constraints(self.part(switched, 1, steps) - self.part(1 * on, 0, steps - 1) == 0)
        for window, changed, sign, limit in ((one.min_up_steps, begins, -1, 0), (one.min_down_steps, ends, 1, 1)):
            first = window - 1
            lately = sum(self.part(1 * changed, first - back, steps - back) for back in range(window))
            self.m.add_constraints(lately + sign * self.part(1 * on, first, steps) <= limit)
        self.cost += (begins * one.start_cost).sum() + (on * (h * one.service_per_h)).sum()
        self.net += given

    def _loads(self) -> None:
        h, p = self.p.step_h, self.p
        for one in p.mining:
            count = self.power(f"mine {one.tag}", one.max_kw / one.step_kw, one.min_kw / one.step_kw, integer=True)
            self.cost -= (count * self.array(h * one.value_per_kwh * one.step_kw)).sum()
            self.net -= one.step_kw * count
            moved = self.m.add_variables(lower=0, coords=[pd.RangeIndex(p.steps - 1, name="time")])
            change = one.step_kw * (self.part(1 * count, 1, p.steps) - self.part(1 * count, 0, p.steps - 1))
            self.m.add_constraints(moved - change >= 0)
            self.m.add_constraints(moved + change >= 0)
            self.cost += (moved * one.change_per_kw).sum()
        for load in p.sheddable:
            shed = self.power(f"shed {load.tag}", load.kw)
            self.cost += (shed * (h * load.shed_per_kwh)).sum()
            self.net += shed
        self.m.add_constraints(self.net == self.array(sum(load.kw for load in p.loads)))
