"""A problem as the columns and rows that a solver takes. Decision NEXT says why no modelling library stands between.

Rows are ``lower <= sum of factor * column <= upper``; a block is one row, or column, per step.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.int32]
Terms = tuple[tuple[Columns, "float | NDArray[np.float64]"], ...]
INF = np.inf


@dataclass(frozen=True, slots=True)
class Rows:
    """A block of rows: of which class, where it stands, and the tag of its asset."""

    kind: str
    tag: str
    first: int
    count: int


@dataclass(slots=True)
class Matrix:
    """Grows by blocks of columns and of rows, each in one call for all steps."""

    lower: list[NDArray[np.float64]] = field(default_factory=list)
    upper: list[NDArray[np.float64]] = field(default_factory=list)
    cost: list[NDArray[np.float64]] = field(default_factory=list)
    integer: list[NDArray[np.bool_]] = field(default_factory=list)
    row_lower: list[NDArray[np.float64]] = field(default_factory=list)
    row_upper: list[NDArray[np.float64]] = field(default_factory=list)
    entry_row: list[NDArray[np.int32]] = field(default_factory=list)
    entry_column: list[NDArray[np.int32]] = field(default_factory=list)
    entry_value: list[NDArray[np.float64]] = field(default_factory=list)
    blocks: list[Rows] = field(default_factory=list)
    columns_count: int = 0
    rows_count: int = 0

    def columns(
        self,
        count: int,
        *,
        lower: "float | NDArray[np.float64]" = 0.0,
        upper: "float | NDArray[np.float64]" = INF,
        cost: "float | NDArray[np.float64]" = 0.0,
        integer: bool = False,
    ) -> Columns:
        """Add ``count`` columns; returns their numbers."""
        first = self.columns_count
        self.columns_count += count
        self.lower.append(_full(lower, count))
        self.upper.append(_full(upper, count))
        self.cost.append(_full(cost, count))
        self.integer.append(np.full(count, integer))
        return np.arange(first, first + count, dtype=np.int32)

    def rows(
        self,
        kind: str,
        tag: str,
        terms: Terms,
        *,
        lower: "float | NDArray[np.float64]" = -INF,
        upper: "float | NDArray[np.float64]" = INF,
    ) -> Rows:
        """Add one row per element of the terms' columns: ``lower <= sum of factor * column <= upper``."""
        count = len(terms[0][0])
        block = Rows(kind, tag, self.rows_count, count)
        self.rows_count += count
        self.row_lower.append(_full(lower, count))
        self.row_upper.append(_full(upper, count))
        self.blocks.append(block)
        numbers = np.arange(block.first, block.first + count, dtype=np.int32)
        for columns, factor in terms:
            self.add(numbers, columns, factor)
        return block

    def add(self, rows: NDArray[np.int32], columns: Columns, factor: "float | NDArray[np.float64]") -> None:
        """Further entries of rows that are there."""
        self.entry_row.append(rows)
        self.entry_column.append(columns)
        self.entry_value.append(_full(factor, len(columns)))

    def by_rows(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
        """The entries as compressed rows: starts, columns, values. No entry is given twice."""
        row = np.concatenate(self.entry_row)
        order = np.argsort(row, kind="stable")
        starts = np.zeros(self.rows_count + 1, dtype=np.int32)
        np.cumsum(np.bincount(row, minlength=self.rows_count), out=starts[1:])
        return starts, np.concatenate(self.entry_column)[order], np.concatenate(self.entry_value)[order]


def _full(value: "float | NDArray[np.float64]", count: int) -> NDArray[np.float64]:
    return np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))
