"""Who steers: the plan while it may be used, else the standing rules; and never above a limit."""

import dataclasses

import numpy as np
import pytest

from mbongi.energy.adapters.highs import Highs
from mbongi.energy.optimising import optimise
from mbongi.energy.rules.dispatch.problem import Load, Mining, Problem
from mbongi.energy.rules.steering import Targets, Why, in_blackout, targets
from tests.energy.problems import battery, feed, series


def problem(steps, *, limit=400.0, prices=None, level_kwh=50.0):
    grid = feed(steps, limit=limit)
    if prices is not None:
        grid = dataclasses.replace(grid, price_per_kwh=np.array(prices, dtype=float))
    return Problem(
        step_h=0.25,
        steps=steps,
        feeds=(grid,),
        batteries=(battery(level_kwh=level_kwh),),
        mining=(Mining("mining", 0, 300, 50, series(steps, 60)),),
        loads=(Load("load", series(steps, 100)),),
    )


PLAN = optimise(problem(8, prices=[70] * 4 + [50] * 4), Highs()).plan


def test_the_plans_step_is_steered_to():
    told = targets(problem(1, prices=[70]), PLAN, 0)
    assert told.why is Why.PLAN
    assert told.mining_kw == 0


@pytest.mark.parametrize(("plan", "step", "why"), [(None, 0, Why.NO_PLAN), (PLAN, 3, Why.LATE), (PLAN, -1, Why.LATE)])
def test_without_a_plan_or_with_an_old_one_the_standing_rules_steer(plan, step, why):
    told = targets(problem(1, prices=[70]), plan, step)
    assert told.why is why
    # 400 kW of feed less 100 kW of load.
    assert told.mining_kw == 300


def test_a_plan_that_the_feed_can_no_longer_carry_is_left():
    mines = optimise(problem(8), Highs()).plan
    assert targets(problem(1), mines, 0).why is Why.PLAN
    told = targets(problem(1, limit=220), mines, 0)
    assert told.why is Why.LIMITS
    assert told.mining_kw == 100, "two steps of 50 kW are what 120 kW allow"


def test_a_battery_that_is_emptier_than_foreseen_is_not_planned_upon():
    discharge = dataclasses.replace(PLAN, discharge={"battery": np.full(8, 100.0)}, charge={"battery": np.zeros(8)})
    assert targets(problem(1), discharge, 0).why is Why.PLAN
    # 100 kW for a quarter of an hour take 25 kWh.
    assert targets(problem(1, level_kwh=20), discharge, 0).why is Why.LIMITS


def test_nonsense_is_not_steered_to():
    nonsense = dataclasses.replace(PLAN, mining={"mining": np.full(8, np.nan)})
    assert targets(problem(1), nonsense, 0).why is Why.LIMITS
    unknown = dataclasses.replace(PLAN, mining={"else": np.full(8, 1.0)})
    assert targets(problem(1), unknown, 0).why is Why.LIMITS


def test_the_blackout_sequence_holds_mining_down():
    told = Targets(Why.PLAN, {"a": 300.0, "b": 100.0}, {}, {}, {})
    assert in_blackout(told, mining_kw=float("inf")) is told
    held = in_blackout(told, mining_kw=100.0)
    assert (held.why, dict(held.mining)) == (Why.BLACKOUT, {"a": 75.0, "b": 25.0})
    assert in_blackout(told, mining_kw=0.0).mining_kw == 0
