"""What energy costs when: tariff periods by the site's clock, and what mining earns with it. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from mbongi.energy.values import Tariff

MINUTES = 24 * 60


def prices(tariff: Tariff, times: Sequence[datetime]) -> NDArray[np.float64]:
    """Per kWh at each local time: the first period that holds, else the tariff's own price."""
    return np.array([price_at(tariff, time) for time in times])


def price_at(tariff: Tariff, local: datetime) -> float:
    """A period over midnight belongs to the day that it starts on."""
    minute = local.hour * 60 + local.minute
    for period in tariff.periods:
        start, stop = minutes(period.start), minutes(period.stop)
        assert start is not None
        assert stop is not None
        is_late = start < stop or minute >= start
        day = local if is_late else local - timedelta(days=1)
        is_inside = start <= minute < stop if start < stop else minute >= start or minute < stop
        if is_inside and day.weekday() in period.days:
            return period.per_kwh
    return tariff.per_kwh


def minutes(text: str) -> int | None:
    """Minutes since midnight of ``18:30``; 24:00 is the day's end. None for what is no time."""
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isascii() and hour.isdecimal() and minute.isascii() and minute.isdecimal()):
        return None
    found = int(hour) * 60 + int(minute)
    return found if len(minute) == 2 and int(minute) < 60 and found <= MINUTES else None


def problem(tariff: Tariff) -> str:
    """Why a tariff cannot be used; empty where it can."""
    for period in tariff.periods:
        if None in {minutes(period.start), minutes(period.stop)} or period.start == period.stop or not period.days:
            return f"{period.name or 'period'} {period.start} to {period.stop}: expected times such as 18:00, and days"
    return ""


def value_per_kwh(*, btc_price: float, btc_per_ths_day: float, efficiency_j_th: float) -> float:
    """What mining earns with a kilowatt-hour.

    A TH/s takes ``efficiency_j_th`` watts, so in a day 0.024 times as many kWh, and earns ``btc_per_ths_day``.
    """
    return btc_price * btc_per_ths_day / (0.024 * efficiency_j_th)
