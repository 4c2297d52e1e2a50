"""What is kept of a table by minute, by hour and by rack: materialised views that the store keeps up as rows arrive.

``<table>_minute``: one row per minute and tenant, of the columns that make a site's curve (total, spread);
``<table>_hour``: one per hour and machine, of all. For a column c:

    c_sum, c_weight   the sum of the known values, each times its row's ``span_s``, and the seconds in which c was known
                      (total, mean, spread). The mean over time is sum(c_sum) / sum(c_weight); a total over machines at
                      a minute is sum(c_sum) / 60, however often each was asked. A table without ``span_s`` weighs
                      every row 1.
    c_max             the highest known value (max, spread)
    samples           rows

``<table>_rack``: one row per five minutes, tenant and rack, where a column is a ``spread``: ``c_spread``, from which
quantilesBFloat16Merge(0.05, 0.5, 0.95) reads how the values lay, to 0.4 %, and ``samples``.

A crash between the table's part and the view's part would leave a roll-up short or double, so the ingester compares
``samples`` with the table after any insert whose outcome it did not see, and rebuilds what differs.
"""

from dataclasses import dataclass

from mbongi.core.telemetry.tables import SPAN, Column, Table

QUANTILES = "quantilesBFloat16{}(0.05, 0.5, 0.95)"
_AVERAGED = ("total", "mean", "spread")


@dataclass(frozen=True, slots=True)
class RollUp:
    """One roll-up of a table: its name's last part, its time column, the SQL of a row's time in it, its other keys."""

    table: Table
    grain: str
    time: str
    start: str
    seconds: int
    keys: tuple[str, ...]
    order: str

    @property
    def name(self) -> str:
        """The table that holds it."""
        return f"{self.table.name}_{self.grain}"

    @property
    def view(self) -> str:
        """The materialised view that fills it."""
        return f"{self.name}_view"

    def columns(self) -> list[tuple[str, str, str]]:
        """(name, type in the store, expression over the table) of every column."""
        rows = [(self.time, "DateTime('UTC')", f"toDateTime({self.start}, 'UTC')")]
        rows += [(key, self.table.column(key).store_type, key) for key in self.keys]
        rows.append(("samples", "SimpleAggregateFunction(sum, UInt64)", "count()"))
        if self.grain == "rack":
            return rows + [_spread(column) for column in self.table.rolled_up("spread")]
        kinds = ("total", "spread") if self.grain == "minute" else (*_AVERAGED, "max")
        for column in self.table.rolled_up(*kinds):
            rows += self._measures(column)
        return rows

    def _measures(self, column: Column) -> list[tuple[str, str, str]]:
        name = column.name
        known = f"isFinite({name})"
        measures = []
        if column.rollup in _AVERAGED:
            weight = f"toFloat64(ifNotFinite({SPAN}, 0))" if SPAN in self.table.index else "toFloat64(1)"
            value = f"sumIf({name} * {weight}, {known})"
            measures.append((f"{name}_sum", "SimpleAggregateFunction(sum, Float64)", value))
            measures.append((f"{name}_weight", "SimpleAggregateFunction(sum, Float64)", f"sumIf({weight}, {known})"))
        if column.rollup not in {"max", "spread"}:
            return measures
        highest = f"maxOrNullIf({name}, {known})"
        measures.append((f"{name}_max", "SimpleAggregateFunction(max, Nullable(Float32))", f"toFloat32({highest})"))
        return measures

    def select(self, where: str = "") -> str:
        """The SELECT that computes the roll-up from the table's rows."""
        terms = ", ".join(f"{expression} AS {name}" for name, _, expression in self.columns())
        clause = f" WHERE {where}" if where else ""
        keys = ", ".join((self.time, *self.keys))
        return f"SELECT {terms} FROM {self.table.name}{clause} GROUP BY {keys}"  # noqa: S608


def _spread(column: Column) -> tuple[str, str, str]:
    state = QUANTILES.format("StateIf")
    kind = f"AggregateFunction({QUANTILES.format('')}, {column.type})"
    return f"{column.name}_spread", kind, f"{state}({column.name}, isFinite({column.name}))"


def rollups_of(table: Table) -> tuple[RollUp, ...]:
    """The roll-ups of a table; none when its CSV names nothing to keep."""
    if not table.rolled_up(*_AVERAGED, "max"):
        return ()
    minute = RollUp(table, "minute", "minute", "toStartOfMinute(ts)", 60, ("tenant_id",), "(minute, tenant_id)")
    hour = RollUp(
        table, "hour", "hour", "toStartOfHour(ts)", 3600, ("machine_id", "tenant_id"), "(machine_id, hour, tenant_id)"
    )
    if not table.rolled_up("spread"):
        return minute, hour
    keys, order = ("tenant_id", "rack"), "(period, tenant_id, rack)"
    return minute, hour, RollUp(table, "rack", "period", "toStartOfFiveMinutes(ts)", 300, keys, order)
