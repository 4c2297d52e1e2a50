"""Hand-worked vectors: 230.94 V to neutral (400 V between phases), so 10 kW a phase are 43.30 A."""

import numpy as np
import pytest

from mbongi.facility.rules.three_phase import (
    current_limit_kva,
    loss_kw,
    neutral_current_a,
    phase_currents_a,
    phase_voltage_v,
    unbalance_pct,
)

A10 = 10_000 / (400 / 3**0.5)


def currents(*kw: float) -> np.ndarray:
    return phase_currents_a(np.array([kw]), np.zeros((1, 3)), np.array([400.0]))


@pytest.mark.parametrize(
    ("loads_kw", "neutral_a"),
    [
        ((10, 10, 10), 0.0),
        ((10, 0, 0), A10),
        ((10, 10, 0), A10),  # two phasors of one length, 120° apart, make a third of the same length
        ((30, 20, 10), A10 * 3**0.5),  # sqrt(a² + b² + c² - ab - bc - ca) with 3, 2, 1
    ],
)
def test_the_neutral_carries_the_phasors_sum(loads_kw: tuple[float, ...], neutral_a: float) -> None:
    assert neutral_current_a(currents(*loads_kw))[0] == pytest.approx(neutral_a, abs=1e-9)


def test_a_current_is_apparent_power_by_the_voltage_to_neutral_and_lags_with_a_lagging_load() -> None:
    found = phase_currents_a([[8.0, 0, 0]], [[6.0, 0, 0]], [400.0])[0, 0]
    assert abs(found) == pytest.approx(43.3013, abs=1e-4)
    assert np.degrees(np.angle(found)) == pytest.approx(-36.8699, abs=1e-4)  # arccos 0.8


def test_unbalance_is_the_largest_deviation_from_the_mean() -> None:
    # NEMA MG 1's example of voltages: 460, 467, 450 have a mean of 459 and an unbalance of 100 * 9 / 459 = 1.96 %.
    assert unbalance_pct([460, 467, 450]) == pytest.approx(1.9608, abs=1e-4)
    assert unbalance_pct([30, 20, 10]) == pytest.approx(50)
    assert unbalance_pct([0, 0, 0]) == 0


def test_limits_and_losses_by_hand() -> None:
    assert phase_voltage_v(400) == pytest.approx(230.9401)
    assert current_limit_kva(32, 400) == pytest.approx(7.39008)
    assert loss_kw(95.0, 0.95) == pytest.approx(5.0)
