"""What a machine model should do: the table ``machine_models.csv``, each figure with its unit and source. Pure."""

import csv
import functools
import math
from dataclasses import dataclass
from importlib.resources import files

NAN = math.nan
ATTRIBUTES = ("hashrate_ths", "power_w", "boards", "chips", "fans")


@dataclass(frozen=True, slots=True)
class MachineModel:
    """Nameplate of one model; NaN where no source states the figure."""

    name: str
    hashrate_ths: float = NAN
    power_w: float = NAN
    boards: float = NAN
    chips: float = NAN
    fans: float = NAN

    @property
    def efficiency_jth(self) -> float:
        """Nameplate energy per work [J/TH]; NaN where either figure is missing."""
        return self.power_w / self.hashrate_ths


@functools.cache
def _table() -> dict[str, MachineModel]:
    rows: dict[str, dict[str, float]] = {}
    with (files("mbongi.fleet") / "machine_models.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["attribute"] not in ATTRIBUTES or not row["source"]:
                raise ValueError(f"machine_models.csv: {row}: expected one of {ATTRIBUTES} and a source")
            rows.setdefault(row["model"], {})[row["attribute"]] = float(row["value"])
    return {name: MachineModel(name, **values) for name, values in rows.items()}


@functools.lru_cache(maxsize=1024)
def machine_model(name: str) -> MachineModel:
    """The model of a name as machines state it. A variant (``Whatsminer M50S VH30``) has its model's figures.

    A name that the table lacks gives a model without figures.
    """
    words = name.split()
    for count in range(len(words), 0, -1):
        found = _table().get(" ".join(words[:count]))
        if found is not None and _is_variant(words[count:]):
            return found
    return MachineModel(name)


def _is_variant(rest: list[str]) -> bool:
    """``VH30`` and ``(126T)`` name a variant; ``Pro`` and ``XP`` name another model."""
    return all(word[:1] in "V(" and any(letter.isdigit() for letter in word) for word in rest)
