"""The telemetry tables of the site: each domain's CSV of columns."""

from pathlib import Path

from mbongi.core.telemetry.tables import Table, load_table

_PACKAGE = Path(__file__).parent.parent
CSV_FILES = ("fleet/machine_reading.csv", "pool/pool_worker.csv", "facility/facility_point.csv")


def site_tables() -> tuple[Table, ...]:
    """All tables that the ingester makes and fills. Raises SchemaError."""
    return tuple(load_table(_PACKAGE / name) for name in CSV_FILES)
