"""Brings the store's tables to what the CSV definitions say: makes what is missing, adds new columns, never drops."""

from dataclasses import dataclass

from mbongi.base.config import Telemetry
from mbongi.base.log import get_log
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import SchemaError
from mbongi.core.telemetry.rollups import RollUp, rollups_of
from mbongi.core.telemetry.tables import Column, Table

log = get_log(__name__)

SCHEMAS = "telemetry_schema"
"""Every schema that a table ever had, so that batches which waited on the bus through an upgrade can be read."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    name: str
    columns: tuple[tuple[str, str, str], ...]
    """Name, type, and the definition after the name."""
    tail: str
    keep_days: int
    time: str


def migrate(store: Store, tables: tuple[Table, ...], config: Telemetry) -> None:
    """Make or extend the tables and their roll-ups. Running it again changes nothing.

    Raises SchemaError when a column's type differs from the store's; StoreUnavailable, StoreRefused.
    """
    tenantless = (
        f"(table LowCardinality(String), hash FixedString(16), made DateTime, columns String) ENGINE = {config.engine}"
    )
    store.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMAS} {tenantless} ORDER BY (table, hash)")
    for table in tables:
        _bring(store, _raw(table, config))
        for rollup in rollups_of(table):
            _bring(store, _rolled(rollup, config))
            _bring_view(store, rollup)
        _remember(store, table)


def _raw(table: Table, config: Telemetry) -> _Wanted:
    columns = tuple((c.name, c.store_type, c.sql().removeprefix(f"`{c.name}` ")) for c in table.store_columns)
    tail = f"ENGINE = {config.engine} PARTITION BY toDate(ts) ORDER BY (toStartOfHour(ts), machine_id, ts)"
    return _Wanted(table.name, columns, tail, config.keep_raw_days, "ts")


def _rolled(rollup: RollUp, config: Telemetry) -> _Wanted:
    engine = config.engine.replace("MergeTree", "AggregatingMergeTree")
    columns = tuple((name, kind, f"{kind} CODEC(ZSTD(1))") for name, kind, _ in rollup.columns())
    tail = f"ENGINE = {engine} PARTITION BY toYYYYMM({rollup.time}) ORDER BY {rollup.order}"
    keep_days = config.keep_hour_days if rollup.grain == "hour" else config.keep_minute_days
    return _Wanted(rollup.name, columns, tail, keep_days, rollup.time)


def _bring(store: Store, wanted: _Wanted) -> None:
    ttl = f"toDateTime({wanted.time}) + toIntervalDay({wanted.keep_days})"
    found = dict(
        store.rows(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
            table=wanted.name,
        )
    )
    if not found:
        body = ", ".join(f"`{name}` {definition}" for name, _, definition in wanted.columns)
        store.execute(f"CREATE TABLE IF NOT EXISTS {wanted.name} ({body}) {wanted.tail} TTL {ttl}{_SETTINGS}")
        log.info("telemetry_table_made", table=wanted.name)
        return
    for name, kind, definition in wanted.columns:
        if name not in found:
            store.execute(f"ALTER TABLE {wanted.name} ADD COLUMN IF NOT EXISTS `{name}` {definition}")
            log.info("telemetry_column_added", table=wanted.name, column=name)
        elif found[name] != kind:
            raise SchemaError(
                f"telemetry table {wanted.name}: column {name} is {found[name]} in the store; its definition says "
                f"{kind}: give the column a new name, as stored rows are never rewritten"
            )
    [(made,)] = store.rows(
        "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        table=wanted.name,
    )
    if f"toIntervalDay({wanted.keep_days})" not in made:
        store.execute(f"ALTER TABLE {wanted.name} MODIFY TTL {ttl}")
        log.info("telemetry_retention_changed", table=wanted.name, keep_days=wanted.keep_days)


# Whole parts are dropped when all their rows are old: rewriting parts for single rows would cost more than it frees.
# Inserts stop while there is still room: a write that the disk cuts short can leave a part that no query may read.
_SETTINGS = " SETTINGS ttl_only_drop_parts = 1, min_free_disk_bytes_to_perform_insert = 64000000"


def _bring_view(store: Store, rollup: RollUp) -> None:
    # A view holds no rows, so it is simply made anew: only the ingester inserts, and it is the one that waits here.
    store.execute(f"DROP VIEW IF EXISTS {rollup.view}")
    store.execute(f"CREATE MATERIALIZED VIEW {rollup.view} TO {rollup.name} AS {rollup.select()}")


def _remember(store: Store, table: Table) -> None:
    known = store.rows(
        f"SELECT count() FROM {SCHEMAS} WHERE table = {{table:String}} AND hash = {{hash:String}}",  # noqa: S608
        table=table.name,
        hash=table.hash.hex(),
    )
    if not known[0][0]:
        columns = "\n".join(f"{column.name} {column.type}" for column in table.columns)
        store.execute(
            f"INSERT INTO {SCHEMAS} SELECT {{table:String}}, {{hash:String}}, now(), {{columns:String}}",
            table=table.name,
            hash=table.hash.hex(),
            columns=columns,
        )


def known_schemas(store: Store, table: Table) -> dict[bytes, Table]:
    """Every schema that ``table`` ever had, by hash, the present one included."""
    rows = store.rows(
        f"SELECT hash, columns FROM {SCHEMAS} WHERE table = {{table:String}}",  # noqa: S608
        table=table.name,
    )
    schemas = {table.hash: table}
    for raw, text in rows:
        columns = tuple(Column(*line.split(" ", 1)) for line in text.split("\n"))
        digest = raw.decode() if isinstance(raw, bytes) else raw
        schemas.setdefault(bytes.fromhex(digest), Table(table.name, columns))
    return schemas
