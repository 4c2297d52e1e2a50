"""Consumption curves of gensets: litres per hour over kilowatts, straight between points. Pure."""

from itertools import pairwise

Curve = tuple[tuple[float, float], ...]
"""Points ``(kW, l/h)`` with rising powers."""


def problem_of(curve: Curve) -> str:
    """Why a curve cannot be used; empty where it can."""
    if len(curve) < 2:
        return f"{len(curve)} points; expected two or more"
    if any(power < 0 or fuel < 0 for power, fuel in curve):
        return "negative numbers"
    if any(not before[0] < after[0] for before, after in pairwise(curve)):
        return "powers must rise"
    if any(before[1] > after[1] for before, after in pairwise(curve)):
        return "consumption must not fall with power"
    return ""


def litres_per_h(curve: Curve, power_kw: float) -> float:
    """What is burnt at a power: the convex curve's value, prolonged beyond the last points. See ``segments``."""
    return max(slope * power_kw + offset for slope, offset in segments(curve))


def segments(curve: Curve) -> list[tuple[float, float]]:
    """The curve as straight lines ``(l/kWh, l/h)``, of which the highest counts.

    That is the lower convex hull of the points. Data sheets give four points that are near a line; where one lies
    above its neighbours' line, the hull leaves it out (at most 3 % for the gensets in the tests).
    """
    hull: list[tuple[float, float]] = []
    for point in curve:
        while len(hull) >= 2 and _is_above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return [((b[1] - a[1]) / (b[0] - a[0]), a[1] - a[0] * (b[1] - a[1]) / (b[0] - a[0])) for a, b in pairwise(hull)]


def _is_above(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Whether the middle point is on or above the line from left to right."""
    across = (middle[0] - left[0]) * (right[1] - left[1]) - (right[0] - left[0]) * (middle[1] - left[1])
    return across <= 0
