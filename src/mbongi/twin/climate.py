"""The air outside: an average day in Brazzaville.

Mean dry bulb 26.5 degC (station and reanalysis, 2010-2020). Mean daily range 9.0 K: mean of maximum less minimum over
the 7,473 days on which station WMO 64450 recorded both, 1991-2020 (Meteostat through
Moutsita/prediction_meteo_brazzaville). The warmest hour is taken as 15:00 local time, UTC+1.
"""

import math

MEAN_C = 26.5
RANGE_K = 9.0
WARMEST_HOUR = 15.0
UTC_OFFSET_S = 3600.0
DAY_S = 86400.0


def ambient_c(unix_s: float) -> float:
    """Outside air temperature [degC] at a moment: a sinusoid over the local day."""
    hour = ((unix_s + UTC_OFFSET_S) % DAY_S) / 3600.0
    return MEAN_C + RANGE_K / 2 * math.cos(2 * math.pi * (hour - WARMEST_HOUR) / 24.0)
