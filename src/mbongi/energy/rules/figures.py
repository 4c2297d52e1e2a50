"""Figures of ISO/IEC 30134 for any interval, with category, coverage and uncertainty; and energy per thing done. Pure.

Sources: PUE ISO/IEC 30134-2:2016, REF -3:2016, ITEEsv -4:2017, ERF -6:2021, CUE -8:2022, WUE -9:2022. A figure that a
meter is missing for has no value: the meters are named instead. Nor has one that cannot be: its energy is named.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from mbongi.energy.errors import MeterError
from mbongi.energy.rules.metered import Metered

YEAR_S = 365 * 86_400
"""A figure without a prefix is of twelve months."""
COVERAGE_MIN = 0.95
"""Below, a figure is shown as provisional; the standards want all of the time."""

ROUNDING = 1e-9
"""Of a PUE: one meter of both is 1, whatever the order in which it was added up."""


class Category(IntEnum):
    """Where IT energy is measured (30134-2, table 1)."""

    UPS_OUTPUT = 1
    PDU_OUTPUT = 2
    IT_INPUT = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure. ``value`` None: energy is missing. ``uncertainty`` is expanded (k = 2), in the figure's unit.

    ``name`` is as the standards write it: ``iPUE2`` is interim (less than twelve months) and of category 2, ``pPUE``
    of a part of the site. ``unseen_kwh`` is what the facility's meters saw less than those of IT; ``unseen`` names what
    gives energy and is not among the facility's meters.
    """

    name: str
    value: float | None
    unit: str
    uncertainty: float
    coverage: float
    missing: tuple[str, ...] = ()
    unseen_kwh: float = 0.0
    unseen: tuple[str, ...] = ()

    @property
    def is_provisional(self) -> bool:
        """Whether too much of the time is not covered."""
        return self.coverage < COVERAGE_MIN


def pue(facility: Metered, it: Metered, category: Category, *, length_s: float, is_part: bool = False) -> Figure:
    """Power usage effectiveness: all energy of the data centre ÷ that of IT, which is a part of it.

    Below 1 there is none: energy came in that the facility's meters did not see, and how much at least is told.
    ``is_part``: of a zone with its own boundary, a partial PUE, which is not compared with a PUE.
    """
    name = f"{_prefix(length_s)}{'p' if is_part else ''}PUE{int(category)}"
    found = _ratio(name, facility, it, "")
    if found.value is None or found.value >= 1 - ROUNDING:
        return found
    return unusable(found, it.kwh - facility.kwh)


def unusable(figure: Figure, unseen_kwh: float, unseen: tuple[str, ...] = ()) -> Figure:
    """The figure without its value: so much energy at least is missing from the facility's meters."""
    return replace(figure, value=None, uncertainty=math.nan, unseen_kwh=unseen_kwh, unseen=unseen)


def cue(carbon_kg: float, carbon_share: float, it: Metered, category: Category, *, length_s: float) -> Figure:
    """Carbon usage effectiveness: kg CO2 equivalent of all energy ÷ IT energy; ``carbon_share`` is its u (k = 1)."""
    carbon = Metered(carbon_kg, it.coverage, carbon_kg * carbon_share)
    return _ratio(f"{_prefix(length_s)}CUE{int(category)}", carbon, it, "kg/kWh")


def wue(water: Metered, it: Metered, category: Category, *, length_s: float) -> Figure:
    """Water usage effectiveness: litres used on the site (in ``kwh``'s place) ÷ IT energy."""
    return _ratio(f"{_prefix(length_s)}WUE{int(category)}", water, it, "l/kWh")


def ref(renewable: Metered, facility: Metered, *, length_s: float) -> Figure:
    """Renewable energy factor: owned and proven renewable energy ÷ all energy; 1 at most, more is not counted."""
    found = _ratio(f"{_prefix(length_s)}REF", renewable, facility, "")
    return found if found.value is None else replace(found, value=min(1.0, found.value))


def erf(reused: Metered, facility: Metered, *, length_s: float) -> Figure:
    """Energy reuse factor: energy that is used outside of the data centre ÷ all energy."""
    return _ratio(f"{_prefix(length_s)}ERF", reused, facility, "")


def itee_sv(servers: Sequence[tuple[float, float]]) -> float:
    """IT equipment energy efficiency for servers: the sum of greatest performances ÷ the sum of greatest powers [W].

    Both come from the same benchmark for all. Raises MeterError without servers, or for a power that is none.
    """
    if not servers or any(power_w <= 0 for _performance, power_w in servers):
        raise MeterError(f"ITEEsv: {len(servers)} servers; expected one at least, each with a power above 0 W")
    return sum(performance for performance, _power in servers) / sum(power_w for _performance, power_w in servers)


def per(name: str, energy: Metered, count: float, unit: str, *, scale: float = 1.0) -> Figure:
    """Energy per thing done: per share, per RPC, per GPU-hour, with ``scale`` in other units than kWh.

    J/TH is of the terahashes done: ``scale`` 3.6e6. None where nothing was done.
    """
    if energy.missing or count <= 0:
        return Figure(name, None, unit, math.nan, energy.coverage, energy.missing)
    value = energy.kwh / count * scale
    return Figure(name, value, unit, 2 * value * energy.share, energy.coverage)


@dataclass(frozen=True, slots=True)
class Part:
    """One hall's, tenant's or workload's share: its IT energy, and with its part of the overhead."""

    it_kwh: float
    all_kwh: float


@dataclass(frozen=True, slots=True)
class Shares:
    """``unmetered_kwh`` is IT energy that no part's meter saw; it belongs to nobody and is said."""

    parts: Mapping[str, Part]
    unmetered_kwh: float
    missing: tuple[str, ...]


def shares(facility: Metered, it: Metered, parts: Mapping[str, Metered]) -> Shares:
    """Divide all energy by IT energy: what is not IT is overhead, borne in that measure by the metered and the rest.

    Raises MeterError where the parts' meters show more than the whole's, beyond both meters' errors.
    """
    metered = sum(part.kwh for part in parts.values())
    rest = it.kwh - metered
    error = 2 * math.sqrt(it.uncertainty_kwh**2 + sum(part.uncertainty_kwh**2 for part in parts.values()))
    if rest < -error:
        raise MeterError(f"shares: parts {metered:g} kWh; expected {it.kwh:g} at most: something is counted twice")
    overhead = (facility.kwh - it.kwh) / it.kwh if it.kwh > 0 else 0.0
    found = {name: Part(part.kwh, part.kwh * (1 + overhead)) for name, part in parts.items()}
    missing = tuple(tag for part in (facility, it, *parts.values()) for tag in part.missing)
    return Shares(found, max(0.0, rest), missing)


def _prefix(length_s: float) -> str:
    return "" if length_s >= YEAR_S else "i"


def _ratio(name: str, above: Metered, below: Metered, unit: str) -> Figure:
    """Two energies whose meters have no error in common: relative uncertainties add in squares (GUM, 5.1.6)."""
    missing, coverage = above.missing + below.missing, min(above.coverage, below.coverage)
    if missing or below.kwh <= 0:
        return Figure(name, None, unit, math.nan, coverage, missing)
    value = above.kwh / below.kwh
    return Figure(name, value, unit, 2 * abs(value) * math.hypot(above.share, below.share), coverage)
