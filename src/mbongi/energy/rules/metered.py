"""Energy over an interval from what a meter said: how much, for which share of the time, how surely. Pure.

Nothing is filled in: time that no reading covers counts against the coverage, and a meter without any is named.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mbongi.energy.errors import MeterError

GAP_S = 900.0
"""Between two power readings, at most; a longer time is not covered."""


@dataclass(frozen=True, slots=True)
class Metered:
    """Energy [kWh] with its standard uncertainty (k = 1), the share of the time that was covered, and what is missing.

    ``missing`` names meters that said nothing at all in the interval.
    """

    kwh: float
    coverage: float
    uncertainty_kwh: float
    missing: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The relative standard uncertainty; 0 of no energy."""
        return self.uncertainty_kwh / self.kwh if self.kwh else 0.0

    def __add__(self, other: "Metered") -> "Metered":
        """Two meters that have no error in common. Covered is what both cover, at the least of the two."""
        return Metered(
            self.kwh + other.kwh,
            min(self.coverage, other.coverage),
            math.hypot(self.uncertainty_kwh, other.uncertainty_kwh),
            self.missing + other.missing,
        )


def from_register(
    tag: str, readings: Sequence[tuple[float, float]], start_s: float, end_s: float, *, class_pct: float
) -> Metered:
    """From a register of energy: ``(time [s], kWh)`` in their order.

    Between two readings the register has counted whatever happened in between, so a gap is covered; one that runs
    backwards was exchanged or reset, and its time is not. Edges are taken at the readings nearest inside.
    """
    inside = [one for one in readings if start_s <= one[0] <= end_s and math.isfinite(one[1])]
    counted = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(inside) if b[1] >= a[1]]
    return _made(tag, sum(kwh for _s, kwh in counted), sum(s for s, _kwh in counted), end_s - start_s, class_pct)


def from_power(
    tag: str, readings: Sequence[tuple[float, float]], start_s: float, end_s: float, *, class_pct: float
) -> Metered:
    """From powers: ``(time [s], W)`` in their order, by trapezoids over times of GAP_S at most."""
    inside = [one for one in readings if start_s <= one[0] <= end_s and math.isfinite(one[1])]
    parts = [(b[0] - a[0], (a[1] + b[1]) / 2) for a, b in pairwise(inside) if b[0] - a[0] <= GAP_S]
    kwh = sum(seconds * power for seconds, power in parts) / 3.6e6
    return _made(tag, kwh, sum(seconds for seconds, _power in parts), end_s - start_s, class_pct)


def _made(tag: str, kwh: float, covered_s: float, whole_s: float, class_pct: float) -> Metered:
    if whole_s <= 0 or class_pct <= 0:
        raise MeterError(f"meter {tag}: interval of {whole_s:g} s, class {class_pct:g}; expected both above 0")
    if covered_s <= 0:
        return Metered(0.0, 0.0, 0.0, (tag,))
    # The class is a limit of error; anything within it is taken as equally likely (GUM, 4.3.7).
    return Metered(kwh, min(1.0, covered_s / whole_s), abs(kwh) * class_pct / 100 / math.sqrt(3))


def total(parts: Sequence[Metered]) -> Metered:
    """Of several meters. Raises MeterError of none."""
    if not parts:
        raise MeterError("energy: no meters; expected one at least")
    found = parts[0]
    for part in parts[1:]:
        found = found + part
    return found
