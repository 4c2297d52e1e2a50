"""SunSpec on Modbus registers: where a meter's models stand, and model 203 (three-phase meter, wye connection).

A device's map begins with "SunS", then models follow, each its number, its length and so many registers, until the
end model. Source: SunSpec Device Information Model Specification; model definitions 1 and 203 of sunspec/models.
"""

import math
from collections.abc import Generator, Sequence
from typing import NamedTuple

from mbongi.wire.errors import WireError

BASE = 40_000
"""The usual first register; 50,000 and 0 are the others that the standard allows."""
BASES = (BASE, 50_000, 0)
MODELS_MAX = 60
"""Models that are walked through on the way to the meter's, at most."""
ADDRESSES = 1 << 16
MARK = (0x5375, 0x6E53)
"""The text "SunS"."""
COMMON, COMMON_LENGTH = 1, 66
METERS = frozenset({201, 202, 203, 204})
"""Single phase, split phase, wye and delta: the points that are read here stand at the same places in all of them."""
METER, METER_LENGTH = 203, 105
END = 0xFFFF
NO_INT16, NO_UINT16 = 0x8000, 0xFFFF
"""What stands for "not implemented"; ``sunssf`` has the first."""
SCALE_MAX = 10
# Places of points in the model, from its number on.
CURRENT, CURRENT_SF, VOLTAGE, VOLTAGE_SF = 2, 6, 7, 15
FREQUENCY, FREQUENCY_SF, POWER, POWER_SF = 16, 17, 18, 22
IMPORTED, ENERGY_SF = 46, 54


class SunSpecError(WireError):
    """Registers that hold no SunSpec map, or no meter."""


class MeterPoints(NamedTuple):
    """What a meter states; NaN for what it does not. Power taken from the grid is positive."""

    power_w: float
    frequency_hz: float
    voltage_v: float
    current_a: float
    imported_wh: float
    scale: int
    """The power's exponent of ten."""


def is_map(words: Sequence[int]) -> bool:
    """Whether these first two registers are the mark."""
    return tuple(words[:2]) == MARK


def find_meter() -> Generator[tuple[int, int], Sequence[int] | None, int]:
    """Where the meter's model begins: yields (address, registers), takes them, or None where there are none.

    Returns the address. Raises SunSpecError where there is no map, or no meter in it.
    """
    for base in BASES:
        mark = yield base, 2
        if mark is not None and is_map(mark):
            return (yield from _walk(base + 2))
    raise SunSpecError(f"no SunSpec map at {', '.join(map(str, BASES))}")


def _walk(address: int) -> Generator[tuple[int, int], Sequence[int] | None, int]:
    for _number in range(MODELS_MAX):
        head = yield address, 2
        if head is None or head[0] == END or head[1] == 0:
            break
        if head[0] in METERS:
            return address
        address += 2 + head[1]
        if address + 2 > ADDRESSES:
            break
    raise SunSpecError("no meter among its models")


def read_meter(words: Sequence[int]) -> MeterPoints:
    """The points of a meter's model, given from its number on. Raises SunSpecError."""
    if len(words) < METER_LENGTH + 2 or words[0] not in METERS or words[1] != METER_LENGTH:
        raise SunSpecError(f"model {list(words[:2])} of {len(words)} registers: expected a meter (201 to 204) of 105")
    scale = signed(words[POWER_SF])
    energy = words[IMPORTED] << 16 | words[IMPORTED + 1]
    return MeterPoints(
        power_w=scaled(words[POWER], words[POWER_SF], "power"),
        frequency_hz=scaled(words[FREQUENCY], words[FREQUENCY_SF], "frequency"),
        voltage_v=scaled(words[VOLTAGE], words[VOLTAGE_SF], "voltage"),
        current_a=scaled(words[CURRENT], words[CURRENT_SF], "current"),
        imported_wh=math.nan if energy == 0 else _power_of_ten(words[ENERGY_SF], "energy") * energy,
        scale=0 if scale == signed(NO_INT16) else scale,
    )


def signed(word: int) -> int:
    """A register as a whole number with a sign."""
    return word - 0x10000 if word & 0x8000 else word


def scaled(word: int, scale: int, what: str) -> float:
    """A point of type int16 with its scale factor; NaN where the device has no such point. Raises SunSpecError."""
    return math.nan if word == NO_INT16 else signed(word) * _power_of_ten(scale, what)


def _power_of_ten(word: int, what: str) -> float:
    if word == NO_INT16:
        return 1.0
    exponent = signed(word)
    if abs(exponent) > SCALE_MAX:
        raise SunSpecError(f"{what}: scale factor {exponent}; expected -{SCALE_MAX} to {SCALE_MAX}")
    return float(10.0**exponent)


def text(value: str, registers: int) -> list[int]:
    """A string point, filled up with NULs."""
    raw = value.encode("ascii")[: 2 * registers].ljust(2 * registers, b"\0")
    return [raw[index] << 8 | raw[index + 1] for index in range(0, len(raw), 2)]
