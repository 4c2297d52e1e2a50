"""What a machine's figures say about it. Pure: no sockets, no clock."""

import math

from mbongi.fleet.machine_models import machine_model
from mbongi.fleet.reading import MachineReading, Verdict
from mbongi.fleet.values import MachineState

HASHING_SHARE_MIN = 0.01
"""Below a hundredth of the nominal rate a machine does not hash; what is left is the tail of an average."""

MINING = Verdict(MachineState.MINING)
SLEEPING = Verdict(MachineState.SLEEPING)


def verdict(*, hashrate_ths: float, nominal_ths: float, uptime_s: float, warm_up_s: float, resting: bool) -> Verdict:
    """The state of a machine that answered.

    NaN stands for figures that it did not state; ``resting`` says that it is told not to mine. A machine that is told
    to rest and still hashes counts as mining: that is what it does.
    """
    if math.isnan(hashrate_ths):
        return SLEEPING if resting else Verdict(MachineState.UNKNOWN, "states no hashrate")
    floor = HASHING_SHARE_MIN * nominal_ths if nominal_ths > 0 else 0.0
    if hashrate_ths > floor:
        return MINING
    if resting:
        return SLEEPING
    if uptime_s < warm_up_s:
        return Verdict(MachineState.STARTING, "warming up")
    return Verdict(MachineState.FAULT, "answers and does not hash")


def complete(reading: MachineReading) -> None:
    """Fill in what follows from a reading's other figures: estimated power, efficiency, expected counts, rejects.

    Power is estimated only for a machine that states none and whose model is in the table: its nameplate energy per
    work times the hashrate that it states, so a machine at rest has no estimate rather than a guessed one.
    """
    model = machine_model(reading.model)
    rate = reading.hashrate_ths
    if math.isnan(reading.hashrate_nominal_ths):
        reading.hashrate_nominal_ths = model.hashrate_ths
    if math.isnan(reading.board_expected):
        reading.board_expected = model.boards
    if math.isnan(reading.chips_expected):
        reading.chips_expected = model.chips
    if math.isnan(reading.power_w) and rate > 0 and not math.isnan(model.efficiency_jth):
        reading.power_w = model.efficiency_jth * rate
        reading.power_estimated = 1
    reading.efficiency_jth = reading.power_w / rate if rate > 0 else math.nan
    shares = reading.accepted + reading.rejected
    reading.reject_ratio = reading.rejected / shares if shares > 0 else math.nan


def host_and_port(url: str) -> str:
    """``host:port`` of a pool's URL, without scheme, path, user or password."""
    rest = url.split("://", 1)[-1].split("/", 1)[0]
    return rest.rpartition("@")[2]


def finite(value: float | None) -> float:
    """A figure, or NaN where there is none."""
    return math.nan if value is None else float(value)


def count(value: float | None) -> int | None:
    """A figure as a whole number; None where there is none, or none that can be counted."""
    return None if value is None or not math.isfinite(value) else int(value)


def largest(values: list[float]) -> float:
    """The largest of the sensors that work (they read 0 where they don't); NaN where none does."""
    return max((value for value in values if value > 0), default=math.nan)


def mean(values: list[float]) -> float:
    """The mean of the sensors that work; NaN where none does."""
    working = [value for value in values if value > 0]
    return sum(working) / len(working) if working else math.nan
