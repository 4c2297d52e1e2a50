"""Energies and figures from the plant's record of its meters."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from mbongi.core.telemetry.client import Store
from mbongi.energy.rules.figures import Category, Figure, pue, ref, unusable
from mbongi.energy.rules.metered import Metered, from_power, from_register, total
from mbongi.energy.values import MetersWritten, MeterWritten, Supply
from mbongi.facility import telemetry
from mbongi.facility.values import Quantity

DAY_H = 24.0


def figures(
    store: Store,
    meters: MetersWritten,
    *,
    now: datetime,
    hours: float = DAY_H,
    sources: Sequence[str] = (),
) -> list[Figure]:
    """PUE of the meters' category, and REF where renewable ones are named; of the hours before ``now``.

    Where the facility's meters saw less than those of IT, neither has a value: ``sources`` that are not among them are
    named, and the renewable ones too.

    Raises StoreUnavailable, StoreRefused.
    """
    if not meters.facility or not meters.it:
        return []
    facility, it = (_energy(store, group, now, hours) for group in (meters.facility, meters.it))
    found = [pue(facility, it, Category(meters.category), length_s=3600 * hours)]
    if meters.renewable:
        found.append(ref(_energy(store, meters.renewable, now, hours), facility, length_s=3600 * hours))
    unseen_kwh = found[0].unseen_kwh
    if unseen_kwh <= 0:
        return found
    seen = {one.tag for one in meters.facility}
    unseen = {tag for tag in (*sources, *(one.tag for one in meters.renewable)) if tag not in seen}
    return [unusable(one, unseen_kwh, tuple(sorted(unseen))) for one in found]


def sources(supply: Supply) -> list[str]:
    """What may give energy behind the site's feeds."""
    return [one.tag for group in (supply.solar, supply.batteries, supply.gensets) for one in group]


def _energy(store: Store, meters: Sequence[MeterWritten], now: datetime, hours: float) -> Metered:
    return total([metered(store, one, now=now, hours=hours) for one in meters])


def metered(store: Store, meter: MeterWritten, *, now: datetime, hours: float) -> Metered:
    """From the meter's register of energy; from its power where it has told no register in that time."""
    end_s = now.timestamp()
    start_s = end_s - 3600 * hours
    register = _points(store, meter.tag, Quantity.ENERGY_WH, now, hours)
    if len(register) > 1:
        in_kwh = [(at_s, wh / 1000) for at_s, wh in register]
        return from_register(meter.tag, in_kwh, start_s, end_s, class_pct=meter.class_pct)
    power = _points(store, meter.tag, Quantity.POWER_W, now, hours)
    return from_power(meter.tag, power, start_s, end_s, class_pct=meter.class_pct)


def _points(store: Store, tag: str, quantity: Quantity, now: datetime, hours: float) -> list[tuple[float, float]]:
    """Means of short steps, each at its middle: of a register that is what it stood at then, nearly."""
    found = telemetry.series(store, tag, quantity, hours=hours, now=now)
    at_s = found.at.astype("datetime64[ms]").astype(np.int64) / 1000 + found.step_s / 2
    return list(zip(at_s.tolist(), found.value.tolist(), strict=True))
