"""What energy needs of engines."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mbongi.energy.rules.dispatch.matrix import Matrix


@dataclass(frozen=True, slots=True)
class Found:
    """What a solver found. ``values`` None: nothing; ``status`` is the solver's own word, always looked at.

    ``gap`` is how far ``objective`` may be from the best there is, as a share of the turnover: the sum of all amounts
    of the objective without their signs. ``prices`` are the rows' duals with all whole numbers held, or empty.
    """

    status: str
    values: NDArray[np.float64] | None
    objective: float
    gap: float
    solve_s: float
    prices: NDArray[np.float64]

    @property
    def is_optimal(self) -> bool:
        """Whether it is as good as was asked for; else the time was over first."""
        return self.status == OPTIMAL


OPTIMAL, INFEASIBLE, TIME_LIMIT = "optimal", "infeasible", "time limit"


class Solver(Protocol):
    """Solves a mixed-integer program within a time."""

    def solve(self, matrix: Matrix, *, limit_s: float, gap: float) -> Found:
        """Minimise. Never raises for a problem without a solution: ``status`` says so."""
        ...
