"""Arithmetic of three-phase systems: currents, the neutral, unbalance. Arrays have the phases in their last axis. Pure.

Currents are of the fundamental; what rectifiers add to the neutral in harmonics is not in them.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Reals = NDArray[np.float64]

SQRT3 = 3**0.5
_TURNS = np.exp(-2j * np.pi / 3 * np.arange(3))
"""L1, L2, L3: each lags the one before by a third of a period."""


def phase_voltage_v(line_voltage_v: float) -> float:
    """From phase to neutral, of a voltage between phases."""
    return line_voltage_v / SQRT3


def phase_currents_a(
    power_kw: ArrayLike, reactive_kvar: ArrayLike, line_voltage_v: ArrayLike
) -> NDArray[np.complex128]:
    """The phasors of the phases' currents, loads between phase and neutral, from (…, 3) powers; voltages balanced.

    ``line_voltage_v`` [V, > 0] lies between phases. A lagging load has a positive reactive power.
    """
    apparent_va = 1e3 * (np.asarray(power_kw, float) + 1j * np.asarray(reactive_kvar, float))
    voltage_v = np.asarray(line_voltage_v, float)[..., None] / SQRT3 * _TURNS
    found: NDArray[np.complex128] = np.conj(apparent_va / voltage_v)
    return found


def neutral_current_a(currents_a: NDArray[np.complex128]) -> Reals:
    """What returns over the neutral: the size of the phasors' sum."""
    found: Reals = np.abs(currents_a.sum(axis=-1))
    return found


def unbalance_pct(values: ArrayLike) -> Reals:
    """The largest deviation from the mean of the three, in percent of the mean; 0 where nothing flows.

    Source: NEMA MG 1, which defines it so for voltages; it is usual for currents and loads too.
    """
    sizes = np.abs(np.asarray(values))
    mean = sizes.mean(axis=-1)
    worst = np.abs(sizes - mean[..., None]).max(axis=-1)
    found: Reals = np.divide(100.0 * worst, mean, out=np.zeros_like(worst), where=mean > 0)
    return found


def current_limit_kva(rated_a: ArrayLike, line_voltage_v: ArrayLike) -> Reals:
    """What one phase carries at a current between phase and neutral."""
    found: Reals = np.asarray(rated_a, float) * np.asarray(line_voltage_v, float) / SQRT3 / 1e3
    return found


def loss_kw(output_kw: ArrayLike, efficiency: ArrayLike) -> Reals:
    """What a transformer or UPS turns into heat at an output, by its efficiency (output by input, above 0 to 1)."""
    output = np.asarray(output_kw, float)
    found: Reals = output / np.asarray(efficiency, float) - output
    return found
