"""What panels give: the sun's place, a clear sky, and a module that grows warm. Pure.

Sources: declination and equation of time after Spencer, Search 2 (1971) 172; clear sky after Haurwitz, J. Meteor. 2
(1945) 154; cell temperature by NOCT, IEC 61215. Flat panels: near the equator tilt
matters little.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

NOCT_C = 45.0
PER_K = -0.004
"""Power per kelvin above 25 °C, of crystalline silicon."""


def cos_zenith(times: Sequence[datetime], *, latitude: float, longitude: float) -> NDArray[np.float64]:
    """Cosine of the sun's zenith angle at each time, below 0 at night."""
    stamps = [time.astimezone(UTC) for time in times]
    hours = np.array([one.hour + one.minute / 60 + one.second / 3600 for one in stamps])
    day = 2 * np.pi * (np.array([one.timetuple().tm_yday for one in stamps]) - 1 + (hours - 12) / 24) / 365
    declination = (
        0.006918
        - 0.399912 * np.cos(day)
        + 0.070257 * np.sin(day)
        - 0.006758 * np.cos(2 * day)
        + 0.000907 * np.sin(2 * day)
        - 0.002697 * np.cos(3 * day)
        + 0.00148 * np.sin(3 * day)
    )
    minutes = 229.18 * (
        0.000075
        + 0.001868 * np.cos(day)
        - 0.032077 * np.sin(day)
        - 0.014615 * np.cos(2 * day)
        - 0.040849 * np.sin(2 * day)
    )
    solar = hours + longitude / 15 + minutes / 60
    angle, latitude_rad = np.pi * (solar - 12) / 12, np.radians(latitude)
    found = np.sin(latitude_rad) * np.sin(declination) + np.cos(latitude_rad) * np.cos(declination) * np.cos(angle)
    return np.asarray(found, dtype=np.float64)


def clear_sky_w_m2(cos: NDArray[np.float64]) -> NDArray[np.float64]:
    """Global horizontal irradiance under a clear sky."""
    up = np.maximum(cos, 1e-6)
    return np.where(cos > 0, 1098.0 * up * np.exp(-0.059 / up), 0.0)


def power_kw(
    irradiance_w_m2: NDArray[np.float64], *, peak_kw: float, performance: float, air_temp_c: float
) -> NDArray[np.float64]:
    """What panels of a peak power give; ``performance`` stands for wiring, inverter and dust."""
    cell_c = air_temp_c + (NOCT_C - 20) / 800 * irradiance_w_m2
    warm = np.maximum(0.0, 1 + PER_K * (cell_c - 25))
    return np.asarray(peak_kw * performance * irradiance_w_m2 / 1000 * warm, dtype=np.float64)
