"""The measures that pages, map and exports show: unit, precision, colour scale. Pure but for the words."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.utils.functional import Promise
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

_LABELS: dict[str, Promise] = {
    "hashrate_ths": _("Hashrate"),
    "hashrate_pct": _("Share of nominal hashrate"),
    "power_w": _("Power"),
    "efficiency_jth": _("Efficiency"),
    "chip_temp_max_c": _("Hottest chip"),
    "board_temp_max_c": _("Hottest board"),
    "inlet_temp_c": _("Inlet air"),
    "fan_rpm": _("Fastest fan"),
    "reject_pct": _("Rejected shares"),
    "age_s": _("Age of reading"),
}


_SHORT: dict[str, Promise] = {
    "hashrate_pct": _("Of nominal"),
    "chip_temp_max_c": _("Chip max."),
    "fan_rpm": _("Fan max."),
    "reject_pct": _("Rejected"),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a machine. ``low`` and ``high`` bound the colour scale; None takes them from what is shown."""

    name: str
    unit: str
    decimals: int
    low: float | None
    high: float | None
    palette: str
    on_map: bool

    @property
    def label(self) -> Promise:
        """The measure's name in the reader's language."""
        return _LABELS[self.name]

    @property
    def unit_text(self) -> str:
        """The unit as the reader writes it; SI units are the same everywhere."""
        return _now("rpm") if self.unit == "rpm" else self.unit

    @property
    def short(self) -> Promise:
        """The same for the head of a narrow column."""
        return _SHORT.get(self.name, _LABELS[self.name])


@cache
def measures() -> dict[str, Measure]:
    """Every measure of ``measures.csv`` by name."""
    with Path(__file__).with_name("measures.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: _measure(row) for row in csv.DictReader(file)}


def _measure(row: dict[str, str]) -> Measure:
    return Measure(
        name=row["name"],
        unit=row["unit"],
        decimals=int(row["decimals"]),
        low=float(row["low"]) if row["low"] else None,
        high=float(row["high"]) if row["high"] else None,
        palette=row["palette"],
        on_map=row["on_map"] == "yes",
    )
