"""The grid as it arrives, and the switch between it and the gensets. Pure."""

from dataclasses import dataclass
from enum import StrEnum

VOLTS_MIN_SHARE, VOLTS_MAX_SHARE = 0.85, 1.15
HZ_MIN, HZ_MAX = 47.0, 52.0
"""Beyond these the grid counts as lost."""
DEMAND_S = 3.0
"""The grid is away so long before gensets are called."""
OPEN_S = 1.0
"""Between the two positions."""
RETURN_S = 30.0
"""The grid must be good so long before it is taken back; real sites wait minutes."""
FEEDER_S = 5.0
"""After the grid is back, so long until the machines' breaker closes by itself."""


class Position(StrEnum):
    """Of the changeover switch."""

    GRID = "grid"
    OPEN = "open"
    GENSETS = "gensets"


def is_good(volts: float, hz: float, nominal_v: float) -> bool:
    """Whether the grid may be used; both per phase against neutral."""
    return VOLTS_MIN_SHARE <= volts / nominal_v <= VOLTS_MAX_SHARE and HZ_MIN <= hz <= HZ_MAX


@dataclass(slots=True)
class Changeover:
    """An automatic transfer switch with an open transition, and the demand that it makes on the gensets."""

    position: Position = Position.GRID
    goal: Position = Position.GRID
    is_stuck: bool = False
    lost_s: float = 0.0
    good_s: float = 1e9
    open_s: float = 0.0
    on_grid_s: float = 1e9
    """Since the switch stands on a good grid."""

    @property
    def wants_gensets(self) -> bool:
        """Whether they are called."""
        return self.lost_s >= DEMAND_S or self.position is Position.GENSETS or self.goal is Position.GENSETS

    def advance(self, dt_s: float, *, grid: bool, gensets: bool) -> None:
        """Move on, with the grid good or not, and a genset ready or not."""
        self.good_s = self.good_s + dt_s if grid else 0.0
        self.lost_s = 0.0 if grid else self.lost_s + dt_s
        self.goal = self._goal(grid=grid, gensets=gensets)
        if not self.is_stuck:
            self._move(dt_s)
        stands = self.position is Position.GRID and grid
        self.on_grid_s = self.on_grid_s + dt_s if stands else 0.0

    def _goal(self, *, grid: bool, gensets: bool) -> Position:
        if grid and (self.good_s >= RETURN_S or self.position is Position.GRID or not gensets):
            return Position.GRID
        if gensets and self.lost_s >= DEMAND_S:
            return Position.GENSETS
        return self.goal

    def _move(self, dt_s: float) -> None:
        if self.position is self.goal:
            return
        if self.position is not Position.OPEN:
            self.position, self.open_s = Position.OPEN, 0.0
            return
        self.open_s += dt_s
        if self.open_s >= OPEN_S:
            self.position = self.goal
