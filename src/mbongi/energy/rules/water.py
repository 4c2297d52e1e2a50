"""Water of evaporative cooling, and heat that is of use elsewhere. Pure."""

WATER_KJ_KG_K = 4.18


def evaporation_kj_kg(temp_c: float) -> float:
    """Heat of evaporation from 0 to 40 °C. Source: Rogers and Yau, A Short Course in Cloud Physics (1989), eq. 2.55."""
    return 2500.8 - 2.36 * temp_c + 0.0016 * temp_c**2 - 0.00006 * temp_c**3


def water_l(heat_kwh: float, *, temp_c: float, cycles: float, drift_share: float = 0.0) -> float:
    """What a pad or tower takes to carry off a heat: evaporated, blown down so that salts stay below ``cycles`` [> 1]
    times those of the make-up water, and drifted.
    """
    evaporated = heat_kwh * 3600 / evaporation_kj_kg(temp_c)
    return evaporated * (1 + 1 / (cycles - 1) + drift_share)


def heat_kwh(flow_l_s: float, *, warm_c: float, cold_c: float, hours: float) -> float:
    """What a water loop gives to whoever uses its heat; nothing where it comes back warmer."""
    return max(0.0, flow_l_s * WATER_KJ_KG_K * (warm_c - cold_c)) * hours
