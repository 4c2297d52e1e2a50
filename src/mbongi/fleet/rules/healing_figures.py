"""The figures that a healing rule may go by, of one reading and of columns of readings. Pure."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mbongi.fleet.reading import MachineReading
from mbongi.fleet.values import MachineState

HASHRATE_PERCENT, ASLEEP = "hashrate_percent", "asleep"
FIGURES: Mapping[str, str] = {
    HASHRATE_PERCENT: "%",
    ASLEEP: "",
    "power_w": "W",
    "efficiency_jth": "J/TH",
    "inlet_temp_c": "degC",
    "chip_temp_max_c": "degC",
    "board_temp_max_c": "degC",
    "psu_temp_c": "degC",
    "fan1_rpm": "rpm",
    "fan2_rpm": "rpm",
    "fan3_rpm": "rpm",
    "fan4_rpm": "rpm",
    "fan_duty_pct": "%",
    "frequency_mhz": "MHz",
    "voltage_v": "V",
    "error_count": "",
    "chips": "",
    "uptime_s": "s",
}
"""What a rule's figure may be, with its unit: columns of telemetry while the machine mines or should.

``hashrate_percent`` is the hashrate by the nominal one while it mines; ``asleep`` is 1 while it sleeps, else 0.
"""
_RUNNING = (MachineState.MINING.value, MachineState.FAULT.value)
_ANSWERS = (*_RUNNING, MachineState.SLEEPING.value, MachineState.STARTING.value)
_MINING, _SLEEPING = MachineState.MINING.value, MachineState.SLEEPING.value

Numbers = npt.NDArray[Any]


def figure_of(name: str, reading: MachineReading) -> float:
    """A figure of one reading; NaN where it says nothing of it."""
    if name == ASLEEP:
        return float(reading.state == _SLEEPING) if reading.state in _ANSWERS else math.nan
    if name == HASHRATE_PERCENT:
        is_known = reading.state == _MINING and reading.hashrate_nominal_ths > 0
        return 100.0 * reading.hashrate_ths / reading.hashrate_nominal_ths if is_known else math.nan
    return float(getattr(reading, name)) if reading.state in _RUNNING else math.nan


def needed_for(name: str) -> tuple[str, ...]:
    """The columns of telemetry that a figure is made of, besides the state."""
    if name == HASHRATE_PERCENT:
        return ("hashrate_ths", "hashrate_nominal_ths")
    return () if name == ASLEEP else (name,)


def figures_of(name: str, columns: Mapping[str, Numbers]) -> Numbers:
    """A figure of many readings, one array per column; NaN where one says nothing of it."""
    state = columns["state"]
    if name == ASLEEP:
        return np.where(np.isin(state, _ANSWERS), (state == _SLEEPING).astype(np.float64), np.nan)
    if name == HASHRATE_PERCENT:
        nominal = columns["hashrate_nominal_ths"].astype(np.float64)
        is_known = (state == _MINING) & (nominal > 0)
        percent = np.full(len(state), np.nan)
        np.divide(100.0 * columns["hashrate_ths"], nominal, out=percent, where=is_known)
        return percent
    return np.where(np.isin(state, _RUNNING), columns[name].astype(np.float64), np.nan)
