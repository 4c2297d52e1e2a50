"""Air, sun and clouds over the virtual plant. Pure.

The air's moisture is the mean dew point of Brazzaville, 21.2 degC at 96.1 kPa (NASA POWER's daily reanalysis,
2010-2024, 5,114 days); the dry bulb is ``climate.ambient_c``.
"""

import math
from random import Random

from mbongi.twin.climate import DAY_S

LATITUDE_DEG, LONGITUDE_DEG = -4.26, 15.28
"""Brazzaville."""
DEW_POINT_C = 21.2
CLOUD_S = 600.0
"""Clouds change from one slot of this length to the next, in a straight line."""
CLOUD_SHARE_MIN = 0.25
"""What thick clouds let through (chosen)."""


def vapour_pressure_kpa(temp_c: float) -> float:
    """Saturation over water, Magnus form. Source: WMO-No. 8, annex 4.B (6.112 hPa, 17.62, 243.12 degC)."""
    return 0.6112 * math.exp(17.62 * temp_c / (243.12 + temp_c))


def humidity_pct(temp_c: float, dew_point_c: float = DEW_POINT_C) -> float:
    """Relative humidity [0..100] of air at a temperature with a dew point."""
    return min(100.0 * vapour_pressure_kpa(dew_point_c) / vapour_pressure_kpa(temp_c), 100.0)


def wet_bulb_c(temp_c: float, humidity: float) -> float:
    """Wet-bulb temperature [degC] at a relative humidity [5..99 %], within 1 K. Source: Stull 2011, equation 1."""
    return (
        temp_c * math.atan(0.151977 * math.sqrt(humidity + 8.313659))
        + math.atan(temp_c + humidity)
        - math.atan(humidity - 1.676331)
        + 0.00391838 * math.pow(humidity, 1.5) * math.atan(0.023101 * humidity)
        - 4.686035
    )


def cos_zenith(unix_s: float) -> float:
    """Cosine of the sun's angle from straight up; below 0 at night.

    Declination after Cooper 1969, the equation of time (at most 17 minutes) left out.
    """
    day = (unix_s / DAY_S) % 365.25
    declination = math.radians(23.45) * math.sin(2 * math.pi * (285.0 + day) / 365.0)
    hour = 2 * math.pi * ((unix_s / DAY_S + LONGITUDE_DEG / 360.0) % 1.0 - 0.5)
    latitude = math.radians(LATITUDE_DEG)
    return math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(hour)


def clear_sky_w_m2(cosine: float) -> float:
    """Irradiance on level ground without clouds. Source: Haurwitz 1945, as in Reno et al. 2012, SAND2012-2389."""
    return 1098.0 * cosine * math.exp(-0.057 / cosine) if cosine > 0 else 0.0


def cloud_share(unix_s: float, seed: int) -> float:
    """What clouds let through [CLOUD_SHARE_MIN..1]; the same seed and moment give the same."""
    slot, done = divmod(unix_s / CLOUD_S, 1.0)
    before, after = (_slot(seed, int(slot) + step) for step in (0, 1))
    return before + (after - before) * done


def _slot(seed: int, number: int) -> float:
    return 1.0 - (1.0 - CLOUD_SHARE_MIN) * Random(f"{seed}/cloud/{number}").random() ** 2  # noqa: S311 -- weather


def irradiance_w_m2(unix_s: float, seed: int) -> float:
    """On level ground, under the clouds of a moment."""
    return clear_sky_w_m2(cos_zenith(unix_s)) * cloud_share(unix_s, seed)
