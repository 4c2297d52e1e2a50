"""Consumption curves: numbers by hand."""

import pytest

from mbongi.energy.rules.curves import litres_per_h, problem_of, segments

# A maker's 1 MVA sheet in quarters of 800 kW: 62.1, 111.6, 160.5, 212.3 l/h, rounded.
SHEET = ((200.0, 62.1), (400.0, 111.6), (600.0, 160.5), (800.0, 212.3))


def test_between_points_it_is_a_straight_line():
    curve = ((100.0, 30.0), (200.0, 54.0), (300.0, 80.0))
    assert litres_per_h(curve, 150) == pytest.approx(42)
    assert litres_per_h(curve, 250) == pytest.approx(67)
    # Below the first point the first line goes on: 30 - 50 x 0.24.
    assert litres_per_h(curve, 50) == pytest.approx(18)


def test_a_point_above_its_neighbours_line_is_left_out():
    # 400 kW lies above the line from 200 to 600 kW: (62.1 + 160.5) / 2 = 111.3, 0.3 % below the sheet's 111.6.
    assert len(segments(SHEET)) == 2
    assert litres_per_h(SHEET, 400) == pytest.approx(111.3)
    for power, fuel in SHEET:
        assert litres_per_h(SHEET, power) == pytest.approx(fuel, rel=0.03)


@pytest.mark.parametrize(
    ("curve", "word"),
    [
        (((100, 30),), "two or more"),
        (((100, 30), (100, 40)), "rise"),
        (((100, 30), (200, 20)), "fall"),
        (((-1, 3), (200, 20)), "negative"),
        (((100, 30), (200, 55)), ""),
    ],
)
def test_a_curve_that_cannot_be_is_refused(curve, word):
    assert word in problem_of(curve)
    assert bool(problem_of(curve)) == bool(word)
