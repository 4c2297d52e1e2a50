"""Carbon of energy: of a mix on average and at its margin, and of each hour by source. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIESEL_KG_L = 74.1e-3 * 43.0 * 0.84
"""Burnt: 74.1 t/TJ and 43.0 GJ/t (IPCC 2006 Guidelines, volume 2, tables 2.2 and 1.2), at 0.84 kg/l: 2.68 kg/l."""


def average_g_kwh(mix: Mapping[str, float], factors: Mapping[str, float]) -> float:
    """Of a mix given in any common unit. Raises KeyError for a technology without a factor, and for an empty mix."""
    total = sum(mix.values())
    if total <= 0:
        raise KeyError("mix: empty")
    return sum(part * factors[technology] for technology, part in mix.items()) / total


def marginal_g_kwh(mix: Mapping[str, float], factors: Mapping[str, float], merit: Sequence[str]) -> float:
    """Of one more kWh: the technology that runs and stands last in the order of merit."""
    running = [technology for technology in merit if mix.get(technology, 0.0) > 0]
    if not running:
        raise KeyError("mix: nothing of the order of merit runs")
    return factors[running[-1]]


@dataclass(frozen=True, slots=True)
class Hours:
    """Carbon by hour: of each source [kg], of all energy on average and of one more kWh [g/kWh]; NaN without energy."""

    kg: dict[str, NDArray[np.float64]]
    average_g_kwh: NDArray[np.float64]
    marginal_g_kwh: NDArray[np.float64]


def by_hour(
    energy_kwh: Mapping[str, NDArray[np.float64]],
    g_kwh: Mapping[str, NDArray[np.float64]],
    room_kwh: Mapping[str, NDArray[np.float64]],
    merit: Sequence[str],
) -> Hours:
    """From each source's energy, intensity and room for more; the first of ``merit`` with room serves the next kWh.

    Where nothing has room, the last one that runs stands for the margin.
    """
    kg = {source: energy * g_kwh[source] / 1000 for source, energy in energy_kwh.items()}
    total = np.sum(list(energy_kwh.values()), axis=0)
    average = np.full(total.shape, np.nan)
    np.divide(1000 * np.sum(list(kg.values()), axis=0), total, out=average, where=total > 0)
    marginal = np.full(total.shape, np.nan)
    for source in merit:
        marginal = np.where(energy_kwh[source] > 0, g_kwh[source], marginal)
    for source in reversed(merit):
        marginal = np.where(room_kwh[source] > 1e-9, g_kwh[source], marginal)
    return Hours(kg, average, marginal)
