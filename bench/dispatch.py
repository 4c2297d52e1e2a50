"""A day of dispatch in steps of five minutes for twelve assets, planned on one core.

Two feeds, panels, two batteries, three gensets on one tank, mining, jobs, nodes and a critical load: twelve that are
decided upon. Days differ in their outages: none, a short one, ten hours, three a day. `solve_s` is the worst day's CPU
time from the problem to a plan that was checked, all on one thread; `wall_s` is what the clock said beside whatever
else the machine did. linopy writes and solves the program of our first round; its multiples are in CPU time.
"""

import argparse
import os
import sys
import time

import numpy as np

from bench.harness import cpu_s, report
from mbongi.energy.adapters.highs import Highs
from mbongi.energy.optimising import optimise
from mbongi.energy.rules.dispatch.baseline import do_nothing
from mbongi.energy.rules.dispatch.formulation import formulate
from mbongi.energy.rules.dispatch.plan import bill
from mbongi.energy.rules.dispatch.problem import (
    Battery,
    Feed,
    Genset,
    Load,
    Mining,
    Problem,
    Reserve,
    Solar,
    Tank,
)

STEPS, STEP_H = 288, 1 / 12
TIMES = 20
CURVE = ((125.0, 38.0), (250.0, 69.0), (375.0, 100.0), (500.0, 135.0))
AWAY = {
    "no outage": (),
    "an hour": ((20, 21),),
    "ten hours": ((9, 19),),
    "three a day": ((4, 9), (12, 16), (18, 23)),
}
"""Hours without any feed."""


def main(argv: list[str] | None = None) -> int:
    """Measure; some seconds, with linopy a minute."""
    parser = argparse.ArgumentParser(prog="mbongi bench dispatch", description=__doc__)
    parser.add_argument("--no-linopy", action="store_true", help="leave the comparison out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    table: list[list[object]] = [["day", "wall s", "CPU s", "writing ms", "gap ‰ of turnover", "rounds", "saved, XAF"]]
    worst_s = worst_cpu_s = writing_s = worst_gap = 0.0
    for name, away in AWAY.items():
        problem = day(away)
        began_s, began_cpu_s = time.perf_counter(), cpu_s()
        found = optimise(problem, Highs(), limit_s=60.0)
        wall_s, used_s = time.perf_counter() - began_s, cpu_s() - began_cpu_s
        planned, nothing = bill(problem, found.plan).net, bill(problem, do_nothing(problem)).net
        table.append([name, wall_s, used_s, 1e3 * found.build_s, 1e3 * found.gap, found.rounds, nothing - planned])
        worst_s, worst_cpu_s, worst_gap = max(worst_s, wall_s), max(worst_cpu_s, used_s), max(worst_gap, found.gap)
        writing_s = max(writing_s, found.build_s)
    figures = {"solve_s": worst_cpu_s, "wall_s": worst_s, "build_s": writing_s, "gap_pct": 100 * worst_gap}
    if not arguments.no_linopy:
        figures |= _linopy(table)
    report("dispatch", figures, as_json=arguments.json, table=table)
    return 0


def day(away: tuple[tuple[int, int], ...]) -> Problem:
    """Twelve assets through a day with outages."""
    hour, ones = np.arange(STEPS) * STEP_H, np.ones(STEPS)
    there = np.where(sum(((hour >= start) & (hour < stop) for start, stop in away), np.zeros(STEPS, bool)), 0.0, 1.0)
    price = np.where((hour >= 18) & (hour < 23), 85.0, np.where(hour < 6, 38.0, 54.0))
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * 1200
    sun *= np.random.default_rng(1).uniform(0.6, 1.0, STEPS)
    return Problem(
        step_h=STEP_H,
        steps=STEPS,
        feeds=(
            Feed("grid", 6000 * there, price, 0.6 * ones, contract_kw=5000.0, overrun_per_kw=3000.0),
            Feed("hydro", 1500 * there, 44 * ones, 0.024 * ones),
        ),
        solar=(Solar("pv", sun),),
        batteries=(
            Battery("b1", 200, 2000, 1200, 1000, 1000, 0.95, 0.95, 4.0, 1000),
            Battery("b2", 100, 1000, 600, 500, 500, 0.94, 0.94, 5.0, 500),
        ),
        tanks=(Tank("tank", 12_000, 3_000, 625, 2.68),),
        gensets=tuple(
            Genset(f"g{number}", "tank", 150, 500, CURVE, 5000 + 100 * number, 2000 + 50 * number, 6, 3)
            for number in range(3)
        ),
        mining=(Mining("mining", 0, 5000, 50, 62 * ones, 2.0),),
        loads=(
            Load("critical", 400 * ones),
            Load("nodes", 150 * ones, 2, 900.0),
            Load("jobs", 600 * ones, 1, 300.0),
        ),
        reserve=Reserve(400, 2.0, np.where((hour > 12) & (hour < 22), 0.04, 0.01)),
        import_kw=6500.0,
        carbon_per_kg=5.0,
    )


def _linopy(table: list[list[object]]) -> dict[str, float]:
    """The same writing and solving with linopy, in CPU seconds on the same core, for the day with one short outage."""
    from bench._dispatch_linopy import solved, written  # noqa: PLC0415 -- half a gigabyte of imports

    problem = day(AWAY["an hour"])
    began_s = cpu_s()
    found = optimise(problem, Highs(), limit_s=60.0)
    ours_s = cpu_s() - began_s
    began_s = cpu_s()
    for _time in range(TIMES):
        formulate(problem)
    our_writing_s = (cpu_s() - began_s) / TIMES
    written(problem)  # what linopy loads and compiles at its first use is not counted
    began_s = cpu_s()
    model = written(problem)
    writing_s = cpu_s() - began_s
    objective = solved(model)
    theirs_s = cpu_s() - began_s
    table += [
        ["linopy: writing, CPU s", writing_s],
        ["linopy: writing and solving, CPU s", theirs_s],
        ["linopy: optimum against ours, %", 100 * (bill(problem, found.plan).net - objective) / abs(objective)],
    ]
    return {"linopy_build_x": writing_s / our_writing_s, "linopy_x": theirs_s / ours_s}


if __name__ == "__main__":
    sys.exit(main())
