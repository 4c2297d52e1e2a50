"""HiGHS, the solver: takes a matrix as it is, on one thread.

| supported | |
|---|---|
| linear and mixed-integer programs | done |
| time limit with the best found so far and its gap | done |
| status of every run looked at and told | done |
| quadratic objectives | exempt: nothing here has one |
"""

import time
from dataclasses import dataclass, field

import highspy
import numpy as np
from numpy.typing import NDArray

from mbongi.energy.ports import INFEASIBLE, OPTIMAL, TIME_LIMIT, Found
from mbongi.energy.rules.dispatch.matrix import Matrix

STATUS = {
    highspy.HighsModelStatus.kOptimal: OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: INFEASIBLE,
    highspy.HighsModelStatus.kUnboundedOrInfeasible: "unbounded or infeasible",
    highspy.HighsModelStatus.kUnbounded: "unbounded",
    highspy.HighsModelStatus.kTimeLimit: TIME_LIMIT,
}
WHOLE = 1e-6
"""A number this near to a whole one is whole."""
PRICES_S_MAX = 1.0


class Highs:
    """Implements ``ports.Solver``.

    The relaxation comes first: its objective is the bound that the gap is told against. Whole numbers that it finds are
    held while the others are searched (relaxation-enforced neighbourhood, Berthold, ZIB-Report 07-28). Only where that
    is not good enough the whole program is searched, from there on.
    """

    def solve(self, matrix: Matrix, *, limit_s: float, gap: float) -> Found:
        """See ``ports.Solver``. ``status`` is ``time limit`` where the gap was not reached, with or without values."""
        run = _Run(matrix, time.perf_counter(), limit_s)
        status = run.begin()
        if status != OPTIMAL:
            return run.nothing(status)
        bound, turnover = run.objective, max(1.0, float(np.abs(run.cost * run.values()).sum()))
        best = run.values()
        if run.fractions(best).any():
            status, found = run.search(best, gap * turnover)
            if found is None:
                return run.nothing(status)
            best, bound = found
        objective = float(run.cost @ best)
        reached = max(0.0, objective - bound) / turnover
        best, prices = run.held(best)
        status = OPTIMAL if reached <= gap + 1e-9 else TIME_LIMIT
        return Found(status, best, float(run.cost @ best), reached, time.perf_counter() - run.began_s, prices)


@dataclass(slots=True)
class _Run:
    """One model through its runs."""

    matrix: Matrix
    began_s: float
    limit_s: float
    model: highspy.Highs = field(default_factory=highspy.Highs)
    whole: NDArray[np.int32] = field(init=False)
    cost: NDArray[np.float64] = field(init=False)
    lower: NDArray[np.float64] = field(init=False)
    upper: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.whole = np.flatnonzero(np.concatenate(self.matrix.integer)).astype(np.int32)
        self.cost = np.concatenate(self.matrix.cost)
        self.lower, self.upper = np.concatenate(self.matrix.lower), np.concatenate(self.matrix.upper)
        for name, value in {"output_flag": False, "threads": 1, "random_seed": 1, "mip_rel_gap": 0.0}.items():
            self.model.setOptionValue(name, value)

    def begin(self) -> str:
        """Solve the relaxation; returns the status."""
        if self.model.passModel(self._relaxation()) == highspy.HighsStatus.kError:
            return "the model was refused"
        return self._solve(self.limit_s)

    def search(self, relaxed: NDArray[np.float64], gap: float) -> tuple[str, tuple[NDArray[np.float64], float] | None]:
        """Near the relaxation first, everywhere where that is not good enough; values and the bound below them."""
        bound, best = float(self.cost @ relaxed), None
        free, near = self.fractions(relaxed), np.round(relaxed[self.whole])
        lower = np.where(free, np.floor(relaxed[self.whole]), near)
        upper = np.where(free, np.ceil(relaxed[self.whole]), near)
        self._demand_whole(lower, upper)
        self.model.setOptionValue("mip_abs_gap", gap)
        status = self._solve(self.limit_s / 2)
        if self._is_feasible:
            best = self.values()
            if self.objective - bound <= gap:
                return OPTIMAL, (best, bound)
        self._demand_whole(self.lower[self.whole], self.upper[self.whole])
        if best is not None:
            self.model.setSolution(len(best), np.arange(len(best), dtype=np.int32), best)
        status = self._solve(self.limit_s)
        bound = max(bound, float(self.model.getInfo().mip_dual_bound))
        if self._is_feasible and (best is None or self.objective < float(self.cost @ best)):
            best = self.values()
        return status, None if best is None else (best, bound)

    def held(self, best: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values and duals with every whole number held; no duals where that run does not end well."""
        if len(self.whole):
            at = np.round(best[self.whole])
            self.model.changeColsBounds(len(self.whole), self.whole, at, at)
            self._kinds(is_whole=False)
            if self._solve(time.perf_counter() - self.began_s + PRICES_S_MAX) != OPTIMAL:
                return best, np.empty(0)
        return self.values(), np.asarray(self.model.getSolution().row_dual, dtype=np.float64)

    def values(self) -> NDArray[np.float64]:
        """The columns' values of the last run."""
        return np.asarray(self.model.getSolution().col_value, dtype=np.float64)

    @property
    def objective(self) -> float:
        """Of the last run."""
        return float(self.model.getInfo().objective_function_value)

    def fractions(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the whole numbers are not whole."""
        found = values[self.whole]
        return np.asarray(np.abs(found - np.round(found)) > WHOLE)

    def nothing(self, status: str) -> Found:
        """No values."""
        spent_s = time.perf_counter() - self.began_s
        return Found(status, None, float("nan"), float("nan"), spent_s, np.empty(0))

    @property
    def _is_feasible(self) -> bool:
        status = self.model.getInfo().primal_solution_status
        return bool(status == int(highspy.SolutionStatus.kSolutionStatusFeasible))

    def _solve(self, until_s: float) -> str:
        """Run until so long after the beginning, at most. HiGHS counts its time limit over all runs of a model."""
        left_s = max(0.05, until_s - (time.perf_counter() - self.began_s))
        self.model.setOptionValue("time_limit", self.model.getRunTime() + left_s)
        self.model.run()
        found = self.model.getModelStatus()
        return STATUS.get(found, self.model.modelStatusToString(found))

    def _demand_whole(self, lower: NDArray[np.float64], upper: NDArray[np.float64]) -> None:
        self.model.changeColsBounds(len(self.whole), self.whole, lower, upper)
        self._kinds(is_whole=True)

    def _kinds(self, *, is_whole: bool) -> None:
        kinds = np.full(len(self.whole), int(is_whole), dtype=np.uint8)
        self.model.changeColsIntegrality(len(self.whole), self.whole, kinds)

    def _relaxation(self) -> highspy.HighsLp:
        starts, columns, values = self.matrix.by_rows()
        program = highspy.HighsLp()
        program.num_col_, program.num_row_ = self.matrix.columns_count, self.matrix.rows_count
        program.col_cost_, program.col_lower_, program.col_upper_ = self.cost, self.lower, self.upper
        program.row_lower_ = np.concatenate(self.matrix.row_lower)
        program.row_upper_ = np.concatenate(self.matrix.row_upper)
        entries = program.a_matrix_
        entries.format_ = highspy.MatrixFormat.kRowwise
        entries.start_, entries.index_, entries.value_ = starts, columns, values
        return program
