"""What machines draw at present, by machine: what curtailment chooses by."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mbongi.fleet.reading import MachineReading

FRESH_S = 60.0
"""What a machine stated longer ago is not what it draws now."""


class MachinePower(NamedTuple):
    """A machine's newest figures; NaN for what it does not state. ``at_s`` is the monotonic or Unix second of them."""

    power_w: float
    efficiency_jth: float
    heat_c: float
    at_s: float


class PowerFigures:
    """The newest figures of each machine that this process polls. Read from any thread."""

    def __init__(self) -> None:
        self._newest: dict[int, MachinePower] = {}

    def readings(self, readings: Iterable[MachineReading], now_s: float) -> None:
        """Take a batch of polls. One without an answer leaves what was known to grow old."""
        for one in readings:
            if math.isfinite(one.poll_ms):
                self._newest[one.machine_id] = MachinePower(one.power_w, one.efficiency_jth, one.chip_temp_max_c, now_s)

    def newest(self, now_s: float) -> Mapping[int, MachinePower]:
        """The machines whose figures are fresh."""
        return {key: found for key, found in list(self._newest.items()) if now_s - found.at_s <= FRESH_S}

    def total(self, now_s: float) -> tuple[float, int]:
        """The sum of what is stated [W], and how many machines stated something; NaN and 0 where none did."""
        since_s = now_s - FRESH_S
        known = [one[0] for one in list(self._newest.values()) if one[3] >= since_s and one[0] == one[0]]
        return (sum(known), len(known)) if known else (math.nan, 0)
