"""Wide typed tables of telemetry, defined by a CSV of columns, and the SQL that makes them.

A column of reals says "unknown" by NaN. Two optional fields of the CSV: ``rollup`` says what is kept of a column when
the rows themselves are gone: ``total`` (sums over machines make sense: watts), ``mean``, ``max``, ``spread`` (a mean
whose quantiles by rack are kept too), or nothing; ``course`` says how it goes: ``steady`` where one value mostly
differs from the last by little or by a constant (a counter), or nothing.
"""

import csv
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mbongi.core.telemetry.errors import SchemaError

FIXED_TYPES: dict[str, np.dtype] = {
    "DateTime64(3)": np.dtype("<i8"),
    "UInt8": np.dtype("u1"),
    "UInt32": np.dtype("<u4"),
    "UInt64": np.dtype("<u8"),
    "Float32": np.dtype("<f4"),
    "Float64": np.dtype("<f8"),
}
"""The column types and their little-endian layout, the same in a batch, in memory and in ClickHouse's Native format."""
TEXT = "String"
ROLLUPS = ("", "total", "mean", "max", "spread")
SPAN = "span_s"
"""The column, where a table has it, that says how long a row stands for in sums over time."""
KEY_COLUMNS = (("ts", "DateTime64(3)"), ("machine_id", "UInt32"), ("tenant_id", "UInt32"))
BUS_COLUMNS = (("bus_epoch", "UInt32"), ("bus_seq", "UInt64"))
"""Where on the bus a row came from. Kept in the table itself: rows and progress are stored by one atomic insert."""
_STORE_TYPES = {TEXT: "LowCardinality(String)", "DateTime64(3)": "DateTime64(3, 'UTC')"}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CODECS = {
    "DateTime64(3)": "Delta, ZSTD(1)",
    "UInt8": "ZSTD(1)",
    "UInt32": "Delta, ZSTD(1)",
    "UInt64": "Delta, ZSTD(1)",
    "Float32": "ZSTD(3)",
    "Float64": "Delta, ZSTD(1)",
    TEXT: "ZSTD(1)",
}
"""Measured on a fleet's noisy readings, rounded as miners round them: Gorilla with ZSTD(1) costs 41 bytes a row and
ZSTD(1) 29; ZSTD(3) costs 28, and no more CPU than ZSTD(1)."""
_STEADY_CODEC = "Delta, ZSTD(1)"
COURSES = ("", "steady")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its ClickHouse type, unit (empty: none), meaning, and what roll-ups keep of it."""

    name: str
    type: str
    unit: str = ""
    doc: str = ""
    rollup: str = ""
    course: str = ""

    @property
    def dtype(self) -> np.dtype:
        """How a value lies in memory. Only for columns that are not texts."""
        return FIXED_TYPES[self.type]

    @property
    def is_text(self) -> bool:
        """Whether the column holds texts."""
        return self.type == TEXT

    @property
    def store_type(self) -> str:
        """The type in the store: texts repeat, so they are kept by dictionary; times are read as UTC everywhere."""
        return _STORE_TYPES.get(self.type, self.type)

    @property
    def unknown(self) -> str:
        """SQL for the value that stands for "not known"."""
        return "nan" if self.type.startswith("Float") else "''" if self.is_text else "0"

    def sql(self) -> str:
        """The column's part of CREATE TABLE."""
        default = " DEFAULT nan" if self.type.startswith("Float") else ""
        codec = _STEADY_CODEC if self.course == "steady" else _CODECS[self.type]
        return f"`{self.name}` {self.store_type}{default} CODEC({codec})"


@dataclass(frozen=True)
class Table:
    """A table of telemetry: one row per machine and poll. First come ``ts``, ``machine_id`` and ``tenant_id``."""

    name: str
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        """Refuse a definition that the rest could not use."""
        names = [column.name for column in self.columns]
        if not _NAME.fullmatch(self.name) or not all(map(_NAME.fullmatch, names)):
            raise SchemaError(f"table {self.name}: names are lower-case letters, digits and _; found {names}")
        if len(set(names)) != len(names):
            raise SchemaError(f"table {self.name}: a column stands twice in {names}")
        for (name, kind), column in zip(KEY_COLUMNS, self.columns, strict=False):
            if (column.name, column.type) != (name, kind):
                raise SchemaError(f"table {self.name}: column {column.name} {column.type}; expected {name} {kind}")
        for column in self.columns:
            self._check(column)
        if self.rolled_up("spread") and "rack" not in names:
            raise SchemaError(f"table {self.name}: a spread is kept by rack, and there is no column rack")
        if len(self.columns) < len(KEY_COLUMNS) or {name for name, _ in BUS_COLUMNS} & set(names):
            raise SchemaError(f"table {self.name}: needs ts, machine_id, tenant_id, and no bus_epoch or bus_seq")

    def _check(self, column: Column) -> None:
        if column.type != TEXT and column.type not in FIXED_TYPES:
            known = ", ".join([*FIXED_TYPES, TEXT])
            raise SchemaError(f"table {self.name}: {column.name}: type {column.type!r}; expected one of {known}")
        if column.course not in COURSES or (column.course and column.is_text):
            raise SchemaError(f"table {self.name}: {column.name}: course {column.course!r}; expected steady or nothing")
        if column.rollup not in ROLLUPS or (column.rollup and not column.type.startswith("Float")):
            raise SchemaError(
                f"table {self.name}: {column.name}: rollup {column.rollup!r} of {column.type}; "
                f"expected total, mean, max, spread or nothing, on a Float column"
            )

    def __hash__(self) -> int:
        """By the schema alone: tables are looked up for every batch, and the generated one would walk all columns."""
        return hash(self.hash)

    @cached_property
    def hash(self) -> bytes:
        """Eight bytes that name this exact list of columns and types."""
        text = "\n".join(f"{column.name} {column.type}" for column in self.columns)
        return hashlib.sha256(text.encode()).digest()[:8]

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each column by name."""
        return {column.name: position for position, column in enumerate(self.columns)}

    def column(self, name: str) -> Column:
        """The column of that name. Raises SchemaError."""
        try:
            return self.columns[self.index[name]]
        except KeyError:
            raise SchemaError(f"table {self.name}: has no column {name}") from None

    def rolled_up(self, *kinds: str) -> list[Column]:
        """The columns whose roll-up is one of ``kinds``."""
        return [column for column in self.columns if column.rollup in kinds]

    @property
    def store_columns(self) -> tuple[Column, ...]:
        """The columns as the store has them: this table's and where on the bus each row came from."""
        return (*self.columns, *(Column(name, kind) for name, kind in BUS_COLUMNS))


def load_table(csv_path: Path) -> Table:
    """The table, named as the file, that a CSV with the fields name, type, unit, doc[, rollup][, course] defines.

    Raises SchemaError naming the file and what does not fit.
    """
    with csv_path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames is None or not {"name", "type", "unit", "doc"} <= set(reader.fieldnames):
            raise SchemaError(
                f"{csv_path}: first line {reader.fieldnames}; expected name,type,unit,doc[,rollup][,course]"
            )
        columns = []
        for row in reader:
            if None in row or any(row[name] is None for name in ("name", "type", "unit", "doc")):
                raise SchemaError(f"{csv_path}: line {reader.line_num}: fields do not match the first line")
            extra = (row.get("rollup") or "", row.get("course") or "")
            columns.append(Column(row["name"], row["type"], row["unit"], row["doc"], *extra))
    try:
        return Table(csv_path.stem, tuple(columns))
    except SchemaError as error:
        raise SchemaError(f"{csv_path}: {error}") from error
