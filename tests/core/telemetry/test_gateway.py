"""The gateway, through the unmodified ClickHouse client and by plain HTTP."""

import gzip
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import clickhouse_connect
import lz4.frame
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from mbongi.core.telemetry.client import SITE_USER, Store, store_key
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.run.telemetry import ready
from tests.core.data_plane import DataPlane
from tests.embedded import free_ports

pytestmark = pytest.mark.system

FOREVER = "SELECT sum(cityHash64(number)) FROM numbers(1000000000000)"


@pytest.fixture
def client(store_plane: DataPlane) -> Iterator[Client]:
    """An ordinary client, as any program would make it."""
    made = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=store_plane.config.telemetry.port,
        username=SITE_USER,
        password=store_key(store_plane.config),
    )
    yield made
    made.command("DROP TABLE IF EXISTS things")
    made.close()


def made_table(client: Client) -> None:
    client.command(
        "CREATE TABLE things (id UInt32, name String, at DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY id"
    )


def http(
    plane: DataPlane, query: str = "", body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    key = {"X-ClickHouse-User": SITE_USER, "X-ClickHouse-Key": store_key(plane.config)}
    url = f"{plane.config.telemetry_url}/{query}"
    request = urllib.request.Request(
        url, body, key | {name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def test_an_ordinary_client_makes_a_table_inserts_and_reads(client: Client) -> None:
    made_table(client)
    client.insert("things", [[1, "one", 1_000], [2, "zwei ü", 2_000]], column_names=["id", "name", "at"])

    assert client.query("SELECT id, name FROM things ORDER BY id").result_rows == [(1, "one"), (2, "zwei ü")]
    assert client.command("SELECT count() FROM things") == 2
    assert client.query("SELECT id FROM things LIMIT 0").column_names == ("id",)


def test_parameters_are_bound_by_the_server(client: Client) -> None:
    odd = "it's a \\ \t tab\nand ünïcode"
    result = client.query(
        "SELECT {n:UInt32} + 1, {s:String}, {a:Array(String)}", parameters={"n": 41, "s": odd, "a": ["x'", "y"]}
    )

    assert result.result_rows == [(42, odd, ["x'", "y"])]


def test_parameters_may_come_in_a_form(store_plane: DataPlane) -> None:
    made = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=store_plane.config.telemetry.port,
        username=SITE_USER,
        password=store_key(store_plane.config),
        form_encode_query_params=True,
    )
    assert made.query("SELECT {s:String}", parameters={"s": "é" * 10}).result_rows == [("é" * 10,)]
    made.close()


@pytest.mark.parametrize("compression", ["lz4", "gzip", None])
def test_inserts_may_be_compressed(client: Client, compression: str | None) -> None:
    made_table(client)
    plain = b"".join(b"%d\tname\t2026-01-01 00:00:00\n" % n for n in range(5_000))
    packed = {"lz4": lz4.frame.compress, "gzip": gzip.compress, None: bytes}[compression](plain)

    client.raw_insert("things", ["id", "name", "at"], packed, fmt="TSV", compression=compression)

    assert client.command("SELECT count(), sum(id) FROM things") == ["5000", str(sum(range(5_000)))]


@pytest.mark.parametrize(("wished", "unpack"), [("lz4", lz4.frame.decompress), ("gzip", gzip.decompress)])
def test_answers_are_compressed_when_asked(store_plane: DataPlane, wished: str, unpack: object) -> None:
    status, body, headers = http(
        store_plane, "?enable_http_compression=1", b"SELECT number FROM numbers(1000)", Accept_Encoding=wished
    )

    assert (status, headers["Content-Encoding"]) == (200, wished)
    assert unpack(body).split() == [str(n).encode() for n in range(1_000)]  # type: ignore[operator]


def test_settings_in_the_url_hold_for_one_statement_alone(store_plane: DataPlane) -> None:
    ask = b"SELECT getSetting('max_block_size')"

    assert http(store_plane, "?max_block_size=1234", ask)[1] == b"1234\n"
    assert http(store_plane, "", ask)[1] != b"1234\n"


def test_the_query_may_stand_in_the_url_and_the_format_in_a_header(store_plane: DataPlane) -> None:
    query = "?query=" + quote("SELECT 1 AS a")

    assert http(store_plane, query)[1] == b"1\n"
    assert http(store_plane, query, X_ClickHouse_Format="JSONEachRow")[1] == b'{"a":1}\n'
    assert http(store_plane, query + "&default_format=CSVWithNames")[1] == b'"a"\n1\n'


@pytest.mark.parametrize(
    ("sql", "status", "code", "name"),
    [
        (b"SELEC 1", 400, "62", b"SYNTAX_ERROR"),
        (b"SELECT * FROM nowhere", 404, "60", b"UNKNOWN_TABLE"),
        (b"SELECT 1 FORMAT Nothing", 400, "73", b"UNKNOWN_FORMAT"),
        (b"SELECT {x:UInt8}", 400, "456", b"UNKNOWN_QUERY_PARAMETER"),
        (b"SELECT \xff", 400, "36", b"BAD_ARGUMENTS"),
        (b"INSERT INTO nowhere (a) FORMAT Native\n\x01", 404, "60", b"UNKNOWN_TABLE"),
    ],
)
def test_errors_come_in_clickhouses_form(
    store_plane: DataPlane, sql: bytes, status: int, code: str, name: bytes
) -> None:
    got, body, headers = http(store_plane, "", sql)

    assert (got, headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert name in body


def test_half_a_native_block_is_refused_and_nothing_of_it_is_stored(client: Client) -> None:
    made_table(client)
    whole = client.raw_query("SELECT toUInt32(1) AS id, 'x' AS name, toDateTime64(0, 3, 'UTC') AS at FORMAT Native")

    with pytest.raises(DatabaseError, match="CANNOT_READ_ALL_DATA"):
        client.raw_insert("things", ["id", "name", "at"], whole[:-4], fmt="Native")

    assert client.command("SELECT count() FROM things") == 0


def test_a_query_past_its_time_ends_with_an_error_and_cannot_ask_for_more(store_plane: DataPlane) -> None:
    for settings in ("", "?max_execution_time=0", "?max_execution_time=3600"):
        status, body, _ = http(store_plane, settings, FOREVER.encode())
        assert (status, b"TIMEOUT_EXCEEDED" in body) == (408, True), body


def test_a_query_past_its_memory_ends_with_an_error(store_plane: DataPlane) -> None:
    sql = b"SELECT length(groupArray(number)) FROM numbers(2000000000)"

    _, body, _ = http(store_plane, "?max_memory_usage=100000000", sql)

    assert b"MEMORY_LIMIT_EXCEEDED" in body
    assert http(store_plane, "", b"SELECT 1")[1] == b"1\n"


def test_short_queries_are_answered_beside_a_long_one(store_plane: DataPlane) -> None:
    ended = threading.Event()

    def long() -> None:
        http(store_plane, "", FOREVER.encode())
        ended.set()

    thread = threading.Thread(target=long)
    thread.start()
    answers = [http(store_plane, "", b"SELECT 7")[1] for _ in range(5)]
    was_running = not ended.is_set()
    thread.join()

    assert answers == [b"7\n"] * 5
    assert was_running


@pytest.mark.parametrize(
    ("user", "key"), [("", ""), (SITE_USER, ""), (SITE_USER, "guess"), ("default", ""), ("tenant_1", "x")]
)
def test_nobody_enters_without_the_key(store_plane: DataPlane, user: str, key: str) -> None:
    request = urllib.request.Request(
        store_plane.config.telemetry_url + "/?query=SELECT%201",
        headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": key} if user else {},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    with caught.value as error:
        assert error.code == 403
        assert b"AUTHENTICATION_FAILED" in error.read()


def test_malformed_http_is_answered_and_the_gateway_goes_on(store_plane: DataPlane) -> None:
    import socket  # noqa: PLC0415 -- raw bytes, for this test alone

    for raw in (b"\x16\x03\x01garbage\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", b"POST / HTTP"):
        with socket.create_connection(("127.0.0.1", store_plane.config.telemetry.port), timeout=5) as raw_socket:
            raw_socket.sendall(raw)
            raw_socket.shutdown(socket.SHUT_WR)
            answer = raw_socket.recv(100)
            assert answer == b"" or answer.split()[1] in {b"400", b"431"}

    assert ready(store_plane.config)


def test_a_body_that_is_not_what_it_says_is_an_error(store_plane: DataPlane) -> None:
    for encoding in ("lz4", "gzip", "br"):
        status, body, _ = http(store_plane, "?query=SELECT%201", b"not packed", Content_Encoding=encoding)
        assert status in {400, 501}
        assert encoding.encode() in body


def test_the_store_says_unavailable_and_refused_apart(store_plane: DataPlane) -> None:
    [port] = free_ports(1)
    with pytest.raises(StoreUnavailable):
        Store(f"http://127.0.0.1:{port}").rows("SELECT 1")

    with pytest.raises(StoreRefused) as caught:
        store_plane.store().rows("SELECT * FROM nowhere")
    assert caught.value.code == 60


def test_a_second_gateway_on_the_same_directory_is_turned_away(store_plane: DataPlane) -> None:
    first = store_plane._running["telemetry"]
    store_plane.start("telemetry", wait=False)
    second = store_plane._running["telemetry"]

    assert second.wait(timeout=30) == 1
    assert "another telemetry process owns it" in store_plane.log("telemetry")
    store_plane._running["telemetry"] = first


def test_columns_come_as_arrays(store_plane: DataPlane) -> None:
    columns = store_plane.store().columns(
        "SELECT toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC') AS a, toDateTime('2026-01-02 03:04:05', 'UTC') AS b,"
        " toFloat32(number) AS x, toLowCardinality('r') AS s FROM numbers(3)"
    )

    assert str(columns["a"][0]) == "2026-01-02T03:04:05.678"
    assert str(columns["b"][0]) == "2026-01-02T03:04:05"
    assert columns["x"].tolist() == [0.0, 1.0, 2.0]
    assert columns["s"].tolist() == ["r"] * 3
