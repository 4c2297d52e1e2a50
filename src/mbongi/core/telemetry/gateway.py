"""ClickHouse's HTTP interface in front of the embedded engine: keys, tenants, limits, and the protocol itself.

What it takes: ``/ping``; queries in the body, the URL or a form; server-side parameters; inserts in any format;
bodies and answers as they are, gzip or lz4; settings in the URL. What it does not keep is sessions: every statement
stands alone. At most QUERIES_MAX statements run at once and WAITING_MAX wait; the next one is refused with code 202.
"""

import asyncio
import base64
import gzip
import hmac
import json
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import lz4.frame

from mbongi.base.config import Telemetry
from mbongi.base.ids import TenantId
from mbongi.base.log import get_log
from mbongi.core.telemetry.client import SITE_USER, tenant_key
from mbongi.core.telemetry.engine import Engine, Result, Statement
from mbongi.core.telemetry.errors import StoreRefused
from mbongi.core.telemetry.guard import Guard
from mbongi.core.telemetry.httpd import Request, Response

log = get_log(__name__)

BODY_BYTES_MAX = 512_000_000
RESULT_BYTES_MAX = 256_000_000
QUERIES_MAX, WAITING_MAX = 8, 100
TENANT_QUERIES_MAX = 2
TENANT_QUERY_S_MAX, TENANT_MEMORY_BYTES_MAX = 10, 500_000_000
COMPRESS_FROM_BYTES = 1_024

_RESERVED = frozenset(
    [
        "query",
        "database",
        "default_format",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "quota_key",
        "user",
        "password",
        "compress",
        "decompress",
        "buffer_size",
        "wait_end_of_query",
        "client_protocol_version",
        "role",
        "stacktrace",
        "enable_http_compression",
        "http_zlib_compression_level",
        "send_progress_in_http_headers",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
        "add_http_cors_header",
    ]
)
"""URL parameters of the HTTP interface itself; every other one is a setting, or a query parameter (``param_``)."""
_COMMENTS = rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*"
_INSERT = re.compile(_COMMENTS + rb"INSERT\s", re.IGNORECASE | re.DOTALL)
_DATA = re.compile(rb"\sFORMAT\s+(\w+)[ \t]*;?(?:\r?\n|\s|$)", re.IGNORECASE)
_NO_DATA = re.compile(rb"\b(SELECT|VALUES|WITH)\b", re.IGNORECASE)
_FORMAT_AT_END = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_TENANT = re.compile(r"tenant_([0-9]{1,10})")

_AUTHENTICATION_FAILED, _TOO_MANY, _UNSUPPORTED, _BAD = 516, 202, 48, 36
_STATUS = {
    **dict.fromkeys((27, 33, 36, 38, 41, 43, 47, 53, 62, 69, 70, 72, 73, 115, 117, 456, 457, 472), 400),
    **dict.fromkeys((60, 81, 46), 404),
    **dict.fromkeys((164, 497, _AUTHENTICATION_FAILED), 403),
    159: 408,
    _TOO_MANY: 503,
    _UNSUPPORTED: 501,
}
"""HTTP status by ClickHouse's error code; any other is 500."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the site (``tenant_id`` None) or one tenant."""

    tenant_id: TenantId | None


@dataclass(slots=True)
class Query:
    """A request, taken apart."""

    text: bytes = b""
    data: bytes | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


class Gateway:
    """Answers requests; ``handle`` is given to the HTTP server."""

    def __init__(self, engine: Engine, site_key: str, config: Telemetry) -> None:
        self._engine = engine
        self._guard = Guard(engine)
        self._site_key = site_key
        self._config = config
        self._threads = ThreadPoolExecutor(QUERIES_MAX + 2, thread_name_prefix="query")
        self._slots = asyncio.Semaphore(QUERIES_MAX)
        self._tenant_slots: dict[TenantId, asyncio.Semaphore] = {}
        self._waiting = 0

    async def handle(self, request: Request) -> Response:
        """The answer to one request; errors come in ClickHouse's form."""
        if request.path in {"/ping", "/replicas_status"}:
            return Response(200, b"Ok.\n")
        if request.path != "/":
            return Response(404, b"There is no handle here. Use / or /ping\n")
        try:
            query = _take_apart(request)
            caller = self._caller(request, query.options)
            if not query.text or query.text.isspace():
                return Response(200, b"Ok.\n")
            return await self._answer(request, query, caller)
        except StoreRefused as error:
            return _error(error)

    def close(self) -> None:
        """Let no new statement start."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _caller(self, request: Request, options: dict[str, str]) -> Caller:
        user, key = _credentials(request, options)
        if user == SITE_USER and hmac.compare_digest(key.encode(), self._site_key.encode()):
            return Caller(None)
        named = _TENANT.fullmatch(user)
        if named:
            tenant_id = TenantId(int(named.group(1)))
            if hmac.compare_digest(key.encode(), tenant_key(self._site_key, tenant_id).encode()):
                return Caller(tenant_id)
        raise _refusal(
            _AUTHENTICATION_FAILED, "Authentication failed: no such user, or wrong key", "AUTHENTICATION_FAILED"
        )

    async def _answer(self, request: Request, query: Query, caller: Caller) -> Response:
        statement = self._statement(query, request)
        slots = self._slots
        if caller.tenant_id is not None:
            slots = self._tenant_slots.setdefault(caller.tenant_id, asyncio.Semaphore(TENANT_QUERIES_MAX))
        if self._waiting >= WAITING_MAX:
            raise _refusal(
                _TOO_MANY, f"Too many simultaneous queries: {WAITING_MAX} wait", "TOO_MANY_SIMULTANEOUS_QUERIES"
            )
        self._waiting += 1
        try:
            await slots.acquire()
        finally:
            self._waiting -= 1
        try:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._threads, self._run, statement, caller)
        finally:
            slots.release()
        return _success(statement, result, _encoding(request, query))

    def _run(self, statement: Statement, caller: Caller) -> Result:
        if caller.tenant_id is None:
            return self._engine.run(statement)
        if statement.settings.keys() - {"max_execution_time", *_LIMIT_NAMES}:
            raise _refusal(164, f"Not open to tenants: settings {', '.join(statement.settings)}", "READONLY")
        if statement.data_format:
            raise _refusal(164, "Not open to tenants: INSERT", "READONLY")
        self._guard.check(statement.sql, dict(statement.parameters))
        limits = {
            **statement.settings,
            "max_execution_time": str(min(TENANT_QUERY_S_MAX, self._config.query_s_max)),
            "max_memory_usage": str(min(TENANT_MEMORY_BYTES_MAX, self._config.memory_bytes_max // 2)),
        }
        return self._engine.run(
            Statement(
                statement.sql,
                statement.output_format,
                statement.parameters,
                limits,
                self._guard.final_settings(caller.tenant_id),
            )
        )

    def _statement(self, query: Query, request: Request) -> Statement:
        settings = {**self._limits(), **query.settings}
        for name, most in self._limits().items():
            wished = query.settings.get(name, most)
            settings[name] = wished if wished.isdigit() and 0 < int(wished) <= int(most) else most
        output = query.options.get("default_format") or request.headers.get("x-clickhouse-format") or "TabSeparated"
        if query.options.get("database", "default") != "default":
            raise _refusal(81, f"Database {query.options['database']} does not exist", "UNKNOWN_DATABASE")
        if _INSERT.match(query.text):
            return _insert(query, settings)
        text = query.text + (b"\n" + query.data if query.data else b"")
        return Statement(_utf8(text), output, query.parameters, settings)

    def _limits(self) -> dict[str, str]:
        # A long insert is no threat: it is bounded by its body; queries are bounded by time, memory and answer.
        values = (self._config.query_s_max, self._config.memory_bytes_max // 2, RESULT_BYTES_MAX)
        return dict(zip(_LIMIT_NAMES, map(str, values), strict=True))


_LIMIT_NAMES = ("max_execution_time", "max_memory_usage", "max_result_bytes")


def _insert(query: Query, settings: dict[str, str]) -> Statement:
    found = _DATA.search(query.text)
    if not found or _NO_DATA.search(query.text, 0, found.start()):
        text = query.text + (b"\n" + query.data if query.data else b"")
        return Statement(_utf8(text), "TabSeparated", query.parameters, settings)
    data: bytes | memoryview = memoryview(query.text)[found.end() :]
    if query.data:
        data = b"".join((data, query.data)) if data else query.data
    data_format = found.group(1).decode("ascii")
    return Statement(
        _utf8(query.text[: found.start()]), "", query.parameters, settings, data=data, data_format=data_format
    )


def _take_apart(request: Request) -> Query:
    query = Query()
    body = _decompressed(request)
    content_type = request.headers.get("content-type", "")
    named = _pairs(request.query)
    if content_type.startswith("multipart/form-data"):
        named |= _form(body, content_type)
        body = b""
    # x-www-form-urlencoded is what curl and others call any body by default: ClickHouse takes it for the statement.
    for name, value in named.items():
        if name.startswith("param_"):
            query.parameters[name.removeprefix("param_")] = value
        elif name in _RESERVED:
            query.options[name] = value
        else:
            query.settings[name] = value
    if query.options.get("compress") == "1" or query.options.get("decompress") == "1":
        raise _refusal(
            _UNSUPPORTED, "compress=1 and decompress=1: use Content-Encoding and Accept-Encoding", "NOT_IMPLEMENTED"
        )
    if "query" in query.options:
        query.text, query.data = query.options["query"].encode(), body or None
    else:
        query.text = body
    return query


def _pairs(raw: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors="strict"))
    except ValueError as error:
        raise _refusal(_BAD, f"URL parameters cannot be read: {error}", "BAD_ARGUMENTS") from error


def _form(body: bytes, content_type: str) -> dict[str, str]:
    boundary = re.search(r'boundary="?([^";,]+)"?', content_type)
    if not boundary:
        raise _refusal(_BAD, "multipart/form-data without a boundary", "BAD_ARGUMENTS")
    fields = {}
    for part in body.split(b"--" + boundary.group(1).encode("latin-1"))[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'\bname="([^"]*)"', head)
        if not name or b"filename=" in head:
            raise _refusal(_UNSUPPORTED, "External data in a form is not supported here", "NOT_IMPLEMENTED")
        fields[name.group(1).decode()] = _utf8(value.removesuffix(b"\r\n"))
    return fields


def _credentials(request: Request, options: dict[str, str]) -> tuple[str, str]:
    authorization = request.headers.get("authorization", "")
    if authorization.startswith("Basic "):
        try:
            user, _, key = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
        except ValueError as error:
            raise _refusal(
                _AUTHENTICATION_FAILED, "Authorization header cannot be read", "AUTHENTICATION_FAILED"
            ) from error
        return user, key
    headers = request.headers
    return (
        headers.get("x-clickhouse-user", options.get("user", "")),
        headers.get("x-clickhouse-key", options.get("password", "")),
    )


def _decompressed(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").lower()
    body = request.body
    if encoding in {"identity", ""}:
        return body
    try:
        if encoding == "lz4":
            decoder = lz4.frame.LZ4FrameDecompressor()
            plain: bytes = decoder.decompress(body, max_length=BODY_BYTES_MAX + 1)
        elif encoding in {"gzip", "deflate"}:
            plain = zlib.decompressobj(47).decompress(body, BODY_BYTES_MAX + 1)
        else:
            raise _refusal(_UNSUPPORTED, f"Content-Encoding {encoding}: use gzip, lz4 or none", "NOT_IMPLEMENTED")
    except (RuntimeError, zlib.error, EOFError) as error:
        raise _refusal(_BAD, f"Body is not {encoding}: {error}", "BAD_ARGUMENTS") from error
    if len(plain) > BODY_BYTES_MAX:
        raise _refusal(_BAD, f"Body is larger than {BODY_BYTES_MAX} bytes", "BAD_ARGUMENTS")
    return plain


def _encoding(request: Request, query: Query) -> str:
    if query.options.get("enable_http_compression") not in {"1", "true"}:
        return ""
    wished = request.headers.get("accept-encoding", "")
    return next((name for name in ("lz4", "gzip") if name in wished), "")


def _success(statement: Statement, result: Result, encoding: str) -> Response:
    summary = {
        "read_rows": str(result.rows_read),
        "read_bytes": str(result.bytes_read),
        "written_rows": str(result.rows_written),
        "elapsed_ns": str(result.elapsed_ns),
    }
    at_end = _FORMAT_AT_END.search(statement.sql)
    headers = {
        "X-ClickHouse-Summary": json.dumps(summary),
        "X-ClickHouse-Format": at_end.group(1) if at_end else statement.output_format or "Null",
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Server-Display-Name": "mbongi",
    }
    body = result.body
    if encoding and len(body) >= COMPRESS_FROM_BYTES:
        body = lz4.frame.compress(body) if encoding == "lz4" else gzip.compress(body, 1)
        headers["Content-Encoding"] = encoding
    return Response(200, body, headers)


def _error(error: StoreRefused) -> Response:
    text = str(error).encode("utf-8", "replace") + b"\n"
    return Response(_STATUS.get(error.code, 500), text, {"X-ClickHouse-Exception-Code": str(error.code)})


def _refusal(code: int, text: str, name: str) -> StoreRefused:
    return StoreRefused(f"Code: {code}. DB::Exception: {text}. ({name})", code)


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _refusal(_BAD, f"Statement is not UTF-8: {error}", "BAD_ARGUMENTS") from error
