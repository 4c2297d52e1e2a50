"""Heat and power of an air-cooled mining machine, one lump per hash board. Pure.

Each board: heat_capacity x dT/dt = power - conductance x (T - inlet), solved exactly over a step in which power and
airflow hold still, so that a step of any length is stable.
"""

import math
from random import Random

AIRFLOW_EXPONENT = 0.8
"""Turbulent forced convection: Nu ~ Re^0.8 (Dittus and Boelter 1930)."""
STILL_AIR = 0.04
"""Share of the full-speed conductance that is left with every fan at rest (natural convection; chosen)."""
POWER_EXPONENT = 1.8
"""Chip power over frequency when voltage follows it: f x V^2 with V = 0.6 + 0.4 f, its slope at nominal (chosen)."""
LEAKAGE_PER_K = 0.002
"""More power per kelvin above the nominal temperature (chosen; sub-threshold leakage grows with temperature)."""


def conductance_w_k(full_w_k: float, airflow: float) -> float:
    """Heat flow per kelvin at an airflow [0..1 of full]."""
    return full_w_k * (STILL_AIR + (1 - STILL_AIR) * math.pow(max(airflow, 0.0), AIRFLOW_EXPONENT))


def airflow_for(full_w_k: float, needed_w_k: float) -> float:
    """The airflow [0..1] that gives a conductance; 1 where even full flow is too little."""
    share = (needed_w_k / full_w_k - STILL_AIR) / (1 - STILL_AIR)
    return min(math.pow(max(share, 0.0), 1 / AIRFLOW_EXPONENT), 1.0)


def equilibrium_c(inlet_c: float, power_w: float, w_k: float) -> float:
    """Where the temperature of a board settles."""
    return inlet_c + power_w / w_k


def relax(value: float, goal: float, dt_s: float, tau_s: float) -> float:
    """First-order approach of ``value`` to ``goal`` over ``dt_s`` with time constant ``tau_s``."""
    return goal + (value - goal) * math.exp(-dt_s / tau_s)


def board_power_w(nominal_w: float, frequency_share: float, chip_c: float, nominal_c: float) -> float:
    """Heat of a board at a share [>= 0] of its nominal frequency; 0 at rest."""
    if frequency_share <= 0:
        return 0.0
    return nominal_w * math.pow(frequency_share, POWER_EXPONENT) * (1 + LEAKAGE_PER_K * (chip_c - nominal_c))


def frequency_share_for(power_share: float) -> float:
    """The share of nominal frequency at which a board draws a share of its nominal power."""
    return math.pow(max(power_share, 0.0), 1 / POWER_EXPONENT)


def fan_power_w(full_w: float, duty: float) -> float:
    """Fans follow the cube law."""
    return full_w * max(duty, 0.0) ** 3


def poisson(random: Random, mean: float) -> int:
    """One draw from a Poisson distribution; above a mean of 30 by its normal approximation."""
    if mean <= 0:
        return 0
    if mean > 30:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, random.random()
    while product > limit:
        count, product = count + 1, product * random.random()
    return count
