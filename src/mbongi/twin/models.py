"""What the virtual machines are: nameplate, cooling and timing of each model, read from ``models.csv``."""

import csv
import dataclasses
import functools
import importlib.resources
import math
from dataclasses import dataclass
from typing import Any

from mbongi.fleet.values import Family
from mbongi.twin import physics
from mbongi.twin.errors import TwinError


@dataclass(frozen=True, slots=True)
class MachineModel:
    """One machine model. Powers are at the wall; ``conductance_w_k`` and ``heat_capacity_j_k`` are per board."""

    family: Family
    name: str
    hashrate_ths: float
    power_w: float
    boards: int
    chips_per_board: int
    frequency_mhz: float
    voltage_v: float
    fans: int
    fan_rpm_max: float
    fan_duty_min: float
    fan_w_max: float
    idle_w: float
    conductance_w_k: float
    heat_capacity_j_k: float
    target_c: float
    throttle_c: float
    shutdown_c: float
    boot_s: float
    restart_s: float
    warm_up_s: float
    share_difficulty: float

    @property
    def board_power_w(self) -> float:
        """Heat of one board at nominal frequency, fans at 60 %: the nameplate less everything that is no chip."""
        return (self.power_w - self.idle_w - self.fan_w_max * 0.6**3) / self.boards

    def power_at_w(self, frequency_share: float) -> float:
        """At the wall, at a share of the nominal frequency: what a limit of so many watts makes the chips run at."""
        return self.idle_w + (self.power_w - self.idle_w) * math.pow(frequency_share, physics.POWER_EXPONENT)

    @property
    def board_ths(self) -> float:
        """Nominal hashrate of one board."""
        return self.hashrate_ths / self.boards


MODEL_NAMES = {
    Family.ANTMINER: "Antminer S21",
    Family.WHATSMINER: "Whatsminer M50S",
    Family.BITAXE: "Bitaxe Supra",
    Family.BRAIINS: "Antminer S21 Pro",
    Family.LUXOS: "Antminer S19k Pro",
    Family.VNISH: "Antminer S19",
    Family.WHATSMINER_V3: "Whatsminer M60S",
    Family.AVALON: "Avalon A1246",
}


@functools.cache
def model_of(family: Family) -> MachineModel:
    """The model that the virtual site has of a family. Raises TwinError for a family that it has not."""
    if family not in MODEL_NAMES:
        raise TwinError(f"virtual machine of family {family}: there is none; expected one of {', '.join(MODEL_NAMES)}")
    name, kinds = MODEL_NAMES[family], {field.name: field.type for field in dataclasses.fields(MachineModel)}
    text = importlib.resources.files("mbongi.twin").joinpath("models.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["model"] == name]
    values: dict[str, Any] = {
        row["attribute"]: int(row["value"]) if kinds[row["attribute"]] is int else float(row["value"]) for row in rows
    }
    return MachineModel(family=family, name=name, **values)
