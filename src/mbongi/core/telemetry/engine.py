"""The embedded engine: owns the chdb path and runs one statement per connection, each with its own settings.

A connection costs a quarter of a millisecond, so every statement gets a fresh one: nothing that a statement sets can
reach the next. One connection is held open for as long as the engine lives, as the last one to close ends the engine.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chdb.state.sqlitelike import Connection

from mbongi.core.telemetry.errors import StoreRefused

_CODE = re.compile(r"Code: (\d+)\. ")
_NESTED = re.compile(r"^(?:Streaming insert \w+ failed: )?(?:Code: \d+\. DB::Exception: )+")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ANY_CODE = 1001  # STD_EXCEPTION


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement and what it may use. ``data`` with ``data_format`` follows an INSERT; ``final_settings`` are set
    after ``settings``, and cannot be changed by them."""

    sql: str
    output_format: str = "TabSeparated"
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    final_settings: str = ""
    data: bytes | memoryview | None = None
    data_format: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement gave."""

    body: bytes
    rows_read: int = 0
    bytes_read: int = 0
    rows_written: int = 0
    elapsed_ns: int = 0


class Engine:
    """The embedded store in one directory. Only one process may open it; raises StoreRefused when another has."""

    def __init__(self, path: Path, *, memory_bytes_max: int) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._address = str(path)
        self._lock = threading.Lock()
        try:
            self._anchor = Connection(f"{path}?max_server_memory_usage={memory_bytes_max}")
        except RuntimeError as error:
            raise _refused(error) from error

    def run(self, statement: Statement) -> Result:
        """Run one statement to its end, in the calling thread. Raises StoreRefused with ClickHouse's code."""
        for name in statement.settings:
            if not _SETTING.fullmatch(name):
                raise StoreRefused(f"Code: 115. DB::Exception: Unknown setting {name!r}. (UNKNOWN_SETTING)", 115)
        with self._lock:
            connection = Connection(self._address)
        try:
            if statement.settings:
                terms = ", ".join(f"{name} = {quoted(value)}" for name, value in statement.settings.items())
                connection.query(f"SET {terms}")
            if statement.final_settings:
                connection.query(f"SET {statement.final_settings}")
            return _insert(connection, statement) if statement.data_format else _query(connection, statement)
        except RuntimeError as error:
            raise _refused(error) from error
        except Exception as error:
            if type(error).__name__ != "ChdbError":
                raise
            raise _refused(error) from error
        finally:
            with self._lock:
                connection.close()

    def close(self) -> None:
        """Close the store; statements still running are cut off."""
        self._anchor.close()


def _query(connection: Connection, statement: Statement) -> Result:
    result = connection.query(statement.sql, statement.output_format, params=dict(statement.parameters) or None)
    return Result(
        body=result.bytes() or b"",
        rows_read=result.storage_rows_read(),
        bytes_read=result.storage_bytes_read(),
        rows_written=result.rows_written(),
        elapsed_ns=int(result.elapsed() * 1e9),
    )


def _insert(connection: Connection, statement: Statement) -> Result:
    inserter = connection.send_insert(statement.sql, statement.data_format)
    try:
        inserter.append(bytes(statement.data or b""))  # type: ignore[no-untyped-call]
        written = inserter.finish()
    except BaseException:
        inserter.cancel()  # type: ignore[no-untyped-call]
        raise
    return Result(b"", rows_written=written.rows_written, elapsed_ns=int(written.elapsed * 1e9))


def quoted(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _refused(error: Exception) -> StoreRefused:
    text = str(error).strip()
    found = _CODE.search(text)
    code = int(found.group(1)) if found else _ANY_CODE
    return StoreRefused(f"Code: {code}. DB::Exception: {_NESTED.sub('', text)}", code)
