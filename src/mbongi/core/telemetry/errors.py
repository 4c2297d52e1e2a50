"""Errors of the telemetry store."""

from mbongi.base.errors import MbongiError


class TelemetryError(MbongiError):
    """The telemetry store could not do what was asked."""


class StoreUnavailable(TelemetryError, ConnectionError):
    """The store did not answer, or not in time. What was being written may or may not be stored."""


class StoreRefused(TelemetryError, ValueError):
    """The store answered and refused: the statement is wrong, not allowed or over a limit. ``code`` is ClickHouse's."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class SchemaError(TelemetryError, ValueError):
    """A table's definition cannot be used, or cannot be brought from what the store has."""


class BatchError(TelemetryError, ValueError):
    """The bytes of a batch do not match a known schema, or hold rows outside the stated limits."""
