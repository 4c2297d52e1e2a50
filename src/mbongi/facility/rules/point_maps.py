"""What stands where in a device: rows of a map, how raw numbers become values, which registers are read together.

A row's ``unit`` is the manual's, ``scale`` how many of them one count is; the value comes in the quantity's own unit.
``words`` says what numbers mean, such as ``3=0 5=1``: any other number is not known. Pure.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mbongi.facility.values import Found, Quantity

REGISTERS_MAX = 120
"""Registers of one question, at most; the standard allows 125, and not every gateway does."""
GAP_MAX = 16
"""So many registers that nobody wants are read along rather than asking twice."""
TYPES = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "f32": "f", "f64": "d"}
ORDERS = ("abcd", "cdab", "badc", "dcba")
"""How four bytes of 0x0A0B0C0D lie on the wire; ``cdab`` has the low word first."""
TABLES = {"holding": 3, "input": 4}
"""Kinds of registers, with the function that reads them."""
CONVERSIONS = {
    ("kW", "W"): 1e3,
    ("kVA", "VA"): 1e3,
    ("kvar", "var"): 1e3,
    ("kWh", "Wh"): 1e3,
    ("MWh", "Wh"): 1e6,
    ("mA", "A"): 1e-3,
    ("mV", "V"): 1e-3,
    ("min", "s"): 60.0,
    ("h", "s"): 3600.0,
    ("m3/h", "l/s"): 1 / 3.6,
    ("bar", "kPa"): 100.0,
}
"""By what to multiply, from a manual's unit to a quantity's."""
_GENCOMM = {"u16": (0xFFF8, 8), "s16": (0x7FF8, 8), "u32": (0xFFFF_FFF8, 8), "s32": (0x7FFF_FFF8, 8)}
"""The eight highest numbers say why there is none: not fitted, out of range, sensor broken, bad data."""


class MapError(ValueError):
    """A row of a map that cannot be used; the message names what and what was expected."""


@dataclass(frozen=True)
class MapRow:
    """One value of a device: where it stands, how it is written, and what it is."""

    place: str
    quantity: Quantity
    type: str = ""
    order: str = "abcd"
    scale: float = 1.0
    unit: str = ""
    absent: str = ""
    """A number that says "none", or ``gencomm``."""
    bit: int | None = None
    words: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be read. Raises MapError."""
        if self.unit != self.quantity.unit and (self.unit, self.quantity.unit) not in CONVERSIONS:
            raise MapError(f"{self.place}: unit {self.unit!r} for {self.quantity}; expected {self.quantity.unit!r}")
        if self.type and self.type not in TYPES:
            raise MapError(f"{self.place}: type {self.type!r}; expected one of {', '.join(TYPES)}")
        if self.order not in ORDERS:
            raise MapError(f"{self.place}: order {self.order!r}; expected one of {', '.join(ORDERS)}")
        if not math.isfinite(self.scale) or self.scale == 0:
            raise MapError(f"{self.place}: scale {self.scale}; expected a number other than 0")
        if self.bit is not None and not (self.type.startswith("u") and 0 <= self.bit < 8 * self.size):
            raise MapError(f"{self.place}: bit {self.bit} of {self.type or 'no type'}; expected one within u16 to u64")

    @cached_property
    def factor(self) -> float:
        """What one count is in the quantity's unit."""
        return self.scale * CONVERSIONS.get((self.unit, self.quantity.unit), 1.0)

    @cached_property
    def size(self) -> int:
        """How long it is on the wire; only for registers."""
        return struct.calcsize(f">{TYPES[self.type]}")

    @cached_property
    def register(self) -> tuple[int, int, int]:
        """Function, first address and number of registers. Raises MapError where the place is no register."""
        table, _colon, number = self.place.partition(":")
        if table not in TABLES or not number.isdecimal() or not self.type:
            raise MapError(f"{self.place}: expected such as holding:3059, and a type")
        address, count = int(number), self.size // 2
        if address + count > 0x10000:
            raise MapError(f"{self.place}: beyond register 65535")
        return TABLES[table], address, count

    @cached_property
    def _absent(self) -> tuple[int, int]:
        """The numbers that say "none": the first, and how many."""
        if self.absent == "gencomm":
            return _GENCOMM[self.type]
        return (int(self.absent, 0), 1) if self.absent else (0, 0)

    @cached_property
    def _struct(self) -> struct.Struct:
        return struct.Struct(f">{TYPES[self.type]}")

    def decode(self, data: bytes) -> float:
        """The value of these bytes; NaN where they say that there is none."""
        [raw] = self._struct.unpack(data if self.order == "abcd" else _ordered(data, self.order))
        if self.bit is not None:
            return float(raw >> self.bit & 1)
        return self.value(raw)

    def value(self, raw: float) -> float:
        """The value of a raw number, in the quantity's unit; NaN for "none", and for a word that is not known."""
        first, count = self._absent
        if count and first <= raw < first + count:
            return math.nan
        if self.words:
            return self.words.get(int(raw), math.nan) if math.isfinite(raw) else math.nan
        value = raw * self.factor
        return value if math.isfinite(value) else math.nan


def _ordered(data: bytes, order: str) -> bytes:
    """The same number with its highest byte first."""
    pairs = [data[index : index + 2] for index in range(0, len(data), 2)]
    if order in {"cdab", "dcba"}:
        pairs.reverse()
    if order in {"badc", "dcba"}:
        pairs = [pair[::-1] for pair in pairs]
    return b"".join(pairs)


@dataclass(frozen=True)
class Block:
    """Registers that are read with one question, and where the rows stand in the answer, in bytes."""

    function: int
    address: int
    count: int
    rows: tuple[tuple[int, int, MapRow], ...]

    def decode(self, data: bytes) -> list[Found]:
        """The values of an answer's bytes, which are ``2 * count``."""
        return [Found(row.quantity, row.decode(data[start:end])) for start, end, row in self.rows]


def blocks(rows: Sequence[MapRow], *, registers_max: int = REGISTERS_MAX, gap_max: int = GAP_MAX) -> tuple[Block, ...]:
    """The fewest questions, about, that read all rows. Raises MapError for a row whose place is no register."""
    groups: list[list[MapRow]] = []
    end = 0
    for row in sorted(rows, key=lambda row: row.register):
        function, address, count = row.register
        if groups:
            first_function, first, _count = groups[-1][0].register
            fits = function == first_function and address + count - first <= registers_max
            if fits and address - end <= gap_max:
                groups[-1].append(row)
                end = max(end, address + count)
                continue
        groups.append([row])
        end = address + count
    return tuple(_block(group) for group in groups)


def _block(rows: Sequence[MapRow]) -> Block:
    function, first, _count = rows[0].register
    last = max(row.register[1] + row.register[2] for row in rows)
    places = tuple((2 * (row.register[1] - first), 2 * (row.register[1] - first) + row.size, row) for row in rows)
    return Block(function, first, last - first, places)


def words_of(text: str) -> dict[int, float]:
    """``3=0 5=1`` as numbers. Raises MapError."""
    found = {}
    for pair in text.split():
        raw, equals, value = pair.partition("=")
        try:
            found[int(raw, 0)] = float(value)
        except ValueError as error:
            raise MapError(f"words {text!r}: {pair!r}; expected such as 3=0") from error
        if not equals:
            raise MapError(f"words {text!r}: {pair!r}; expected such as 3=0")
    return found
