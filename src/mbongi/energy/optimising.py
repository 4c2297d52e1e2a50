"""Makes a plan: writes the program, has it solved, writes out what was broken, and relaxes only what must be."""

import time
from dataclasses import dataclass

import numpy as np

from mbongi.energy.errors import NoPlanError
from mbongi.energy.ports import INFEASIBLE, Found, Solver
from mbongi.energy.rules.dispatch import checking
from mbongi.energy.rules.dispatch.formulation import Guards, Layout, formulate
from mbongi.energy.rules.dispatch.plan import Plan, Relaxed, broken, plan_of, relaxed
from mbongi.energy.rules.dispatch.problem import Problem, Series

LIMIT_S = 20.0
"""For all of it; a plan is wanted every five minutes, and the hard rules steer meanwhile."""
GAP = 1e-3
"""Of the turnover; see ``ports.Found``."""
ROUNDS_MAX = 4
"""So often the program is written anew with rules that the last plan broke; in the last round everywhere."""
_INFEASIBLE = {INFEASIBLE, "unbounded or infeasible"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan with how it came about. ``prices`` are of one more kWh in each step, empty where none were told.

    ``relaxed`` says what could not be kept; empty where all was. ``gap`` is of the turnover, against the best there is.
    """

    plan: Plan
    prices: Series
    status: str
    gap: float
    relaxed: tuple[Relaxed, ...]
    rounds: int
    build_s: float
    solve_s: float


def optimise(problem: Problem, solver: Solver, *, limit_s: float = LIMIT_S, gap: float = GAP) -> Outcome:
    """The cheapest plan within ``gap``, or the best that was found in time.

    Where nothing keeps everything, the classes of ``formulation.PENALTIES`` may be broken, the cheapest first.
    Raises NoPlanError where the solver has none, or where its plan does not keep the limits.
    """
    work = _Work(problem, solver, time.perf_counter() + limit_s, gap)
    found, layout = work.solve(elastic=False)
    if found.values is None and found.status in _INFEASIBLE:
        found, layout = work.solve(elastic=True)
    if found.values is None:
        raise NoPlanError(f"dispatch: the solver ended with {found.status}; the hard rules steer")
    plan = plan_of(problem, layout, found.values)
    given_up = relaxed(problem, layout, found.values)
    kinds = {one.kind for one in given_up}
    wrong = checking.faults(problem, plan, min_times="up_down" not in kinds, reserve=not kinds & {"reserve", "fuel"})
    if wrong:
        raise NoPlanError(f"dispatch: the plan is not used: {'; '.join(wrong[:3])}")
    prices = np.empty(0)
    if len(found.prices) and layout.balance is not None:
        block = layout.balance
        prices = found.prices[block.first : block.first + block.count] / problem.step_h
    return Outcome(plan, prices, found.status, found.gap, given_up, work.rounds, work.build_s, work.solve_s)


class _Work:
    def __init__(self, problem: Problem, solver: Solver, until_s: float, gap: float) -> None:
        self.problem, self.solver, self.until_s, self.gap = problem, solver, until_s, gap
        self.guards = Guards.none(problem.steps)
        self.rounds, self.build_s, self.solve_s = 0, 0.0, 0.0

    def solve(self, *, elastic: bool) -> tuple[Found, Layout]:
        """Until a plan keeps the rules that were not written out."""
        for turn in range(ROUNDS_MAX):
            began_s = time.perf_counter()
            matrix, layout = formulate(self.problem, self.guards, elastic=elastic)
            self.build_s += time.perf_counter() - began_s
            found = self.solver.solve(matrix, limit_s=max(0.1, self.until_s - time.perf_counter()), gap=self.gap)
            self.solve_s, self.rounds = self.solve_s + found.solve_s, self.rounds + 1
            if found.values is None:
                return found, layout
            wrong = broken(self.problem, plan_of(self.problem, layout, found.values))
            if not (wrong.direction.any() or wrong.order.any()):
                return found, layout
            self._write_out(wrong, everywhere=turn == ROUNDS_MAX - 2)
        return found, layout

    def _write_out(self, wrong: Guards, *, everywhere: bool) -> None:
        if everywhere:
            wrong = Guards(
                np.full(self.problem.steps, bool(wrong.direction.any() or self.guards.direction.any())),
                np.full(self.problem.steps, bool(wrong.order.any() or self.guards.order.any())),
            )
        self.guards = Guards(self.guards.direction | wrong.direction, self.guards.order | wrong.order)
