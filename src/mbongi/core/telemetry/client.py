"""How other processes read the telemetry store: ``Store`` for SQL, ``tenant_store`` for what one tenant may see.

Both use the ordinary ``clickhouse-connect`` client, so the embedded gateway and a ClickHouse cluster are alike to them.
"""

import hashlib
import hmac
import logging
import threading
from contextlib import suppress
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import numpy as np
import numpy.typing as npt
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError

from mbongi.base.config import Config
from mbongi.base.ids import TenantId
from mbongi.base.keys import stored_key
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable

# The client library logs every failed attempt with its traceback; outages are logged once, by who uses the store.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
logging.getLogger("urllib3").setLevel(logging.ERROR)

SITE_USER = "mbongi"
CONNECT_S = 2
ANSWER_S = 15
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def store_key(config: Config) -> str:
    """The site's own key to the embedded store."""
    return stored_key(config.site.data_dir / "secrets" / "telemetry.key")


def tenant_user(tenant_id: TenantId) -> str:
    """The store's user that sees one tenant's rows alone."""
    return f"tenant_{int(tenant_id)}"


def tenant_key(site_key: str, tenant_id: TenantId) -> str:
    """The key of that user: derived from the site's, so that whoever holds the site's key can act for any tenant."""
    return hmac.new(site_key.encode(), f"telemetry:{int(tenant_id)}".encode(), hashlib.sha256).hexdigest()


class Store:
    """SQL on the telemetry store. One object may be used by many threads; it connects on first use and again after
    an outage. Parameters are bound by the server: ``{machine:UInt32}`` in the text, ``machine=7`` in the call."""

    def __init__(self, url: str, user: str = "", key: str = "", *, answer_s: float = ANSWER_S) -> None:
        parts = urlsplit(url)
        self._where = f"{parts.hostname}:{parts.port or 8123}"
        self._options: dict[str, Any] = {
            "interface": parts.scheme or "http",
            "host": parts.hostname or "127.0.0.1",
            "port": parts.port or (8443 if parts.scheme == "https" else 8123),
            "username": user or unquote(parts.username or ""),
            "password": key or unquote(parts.password or ""),
            "database": parts.path.strip("/") or "default",
            "connect_timeout": CONNECT_S,
            "send_receive_timeout": answer_s,
            # Compression pays over a link, and costs CPU alone over loopback.
            "compress": "lz4" if parts.hostname not in _LOOPBACK else False,
            "autogenerate_session_id": False,
            "query_retries": 0,
            "tz_mode": "aware",
            "dedicated_pool": True,
        }
        self._client: Client | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, config: Config, **options: Any) -> Self:
        """The configured store, with the site's full rights."""
        if config.telemetry.url:
            return cls(config.telemetry.url, **options)
        return cls(config.telemetry_url, SITE_USER, store_key(config), **options)

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises StoreUnavailable, StoreRefused."""
        result = self._call(lambda client: client.query(sql, parameters=parameters or None))
        return [tuple(row) for row in result.result_rows]

    def columns(self, sql: str, **parameters: Any) -> dict[str, npt.NDArray[Any]]:
        """The columns of a query as arrays, by name; times come as datetime64 in UTC, texts as objects. Raises as
        ``rows``."""
        formats = {"DateTime*": "int"}  # Whole numbers are read at once; datetimes would be made one by one.
        result = self._call(
            lambda client: client.query(sql, parameters=parameters or None, query_formats=formats, column_oriented=True)
        )
        columns = result.result_columns or [()] * len(result.column_names)
        return {
            name: _array(kind.name, column)
            for name, kind, column in zip(result.column_names, result.column_types, columns, strict=True)
        }

    def packed(self, sql: str, columns: npt.DTypeLike, **parameters: Any) -> npt.NDArray[Any]:
        """The rows of a query as one array of records, for millions of rows at a time.

        ``columns`` says their names and types, in order, as the query gives them; only types of a fixed width can be
        asked for. Raises as ``rows``.
        """
        data = self._call(lambda client: client.raw_query(sql, parameters=parameters or None, fmt="RowBinary"))
        return np.frombuffer(data, dtype=np.dtype(columns))

    def execute(self, sql: str, **parameters: Any) -> None:
        """Run a statement that returns nothing. Raises as ``rows``."""
        self._call(lambda client: client.command(sql, parameters=parameters or None))

    def insert_native(self, table: str, columns: tuple[str, ...], block: bytes) -> None:
        """Insert one block in Native format. After StoreUnavailable it may or may not be stored. Raises as ``rows``."""
        self._call(lambda client: client.raw_insert(table, columns, insert_block=block, fmt="Native"))

    def is_up(self) -> bool:
        """Whether the store answers."""
        try:
            self.rows("SELECT 1")
        except (StoreUnavailable, StoreRefused):
            return False
        return True

    def close(self) -> None:
        """Give the connections back; the object may be used again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()

    def _call(self, use: Any) -> Any:
        try:
            return use(self._connected())
        except DatabaseError as error:
            text = f"telemetry store {self._where}: {_first_line(error)}"
            if isinstance(error, OperationalError) and error.code is None:
                raise StoreUnavailable(text) from error
            raise StoreRefused(text, int(error.code or 0)) from error
        except (ClickHouseError, OSError) as error:
            raise StoreUnavailable(f"telemetry store {self._where}: {_first_line(error)}") from error

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = clickhouse_connect.get_client(**self._options)
            return self._client


def tenant_store(config: Config, tenant_id: TenantId) -> Store:
    """The store as one tenant may see it: its own rows, read only. The gateway enforces it, not this client.

    On a ClickHouse of your own, make the users ``tenant_<id>`` with row policies, as deploy/ shows.
    """
    key = tenant_key(store_key(config), tenant_id)
    return Store(config.telemetry_url, tenant_user(tenant_id), key)


def _array(kind: str, column: Any) -> npt.NDArray[Any]:
    bare = kind.removeprefix("LowCardinality(").removeprefix("Nullable(")
    if bare.startswith("DateTime"):
        scale = bare.removeprefix("DateTime64(")[:1]
        unit = {"3": "ms", "6": "us", "9": "ns"}.get(scale, "s") if bare.startswith("DateTime64") else "s"
        return np.asarray(column, dtype=np.int64).astype(f"datetime64[{unit}]")
    if bare.startswith(("Float", "Int", "UInt", "Bool")):
        return np.asarray(column, dtype=None if len(column) else np.float64)
    return np.array(column, dtype=object)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:500]
