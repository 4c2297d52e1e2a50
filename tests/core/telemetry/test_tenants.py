"""A tenant sees its own rows, and every known way around is closed. Each attempt was seen to leak, or to do harm, on
the bare engine or may do so on another version."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.base.ids import TenantId
from mbongi.core.telemetry.batches import decode_batch
from mbongi.core.telemetry.client import Store, store_key, tenant_key, tenant_store, tenant_user
from mbongi.core.telemetry.errors import StoreRefused
from mbongi.core.telemetry.guard import parse_tree
from mbongi.core.telemetry.native import join_batches
from mbongi.core.telemetry.schema import migrate
from tests.core.data_plane import READING, DataPlane, batch

pytestmark = pytest.mark.system

NOW_MS = int(time.time() * 1_000)


@pytest.fixture(scope="module")
def seven(store_plane: DataPlane) -> Iterator[Store]:
    """The store as tenant 7 sees it: 12 of 36 rows are its own."""
    site = store_plane.store()
    migrate(site, (READING,), store_plane.config.telemetry)
    names = tuple(column.name for column in READING.store_columns)
    for tenant_id in (0, 7, 8):
        data = batch(NOW_MS, machines=range(tenant_id * 100, tenant_id * 100 + 12), tenant_id=tenant_id)
        block = join_batches(READING, [(tenant_id, decode_batch(READING, data))], 1)
        site.insert_native(READING.name, names, block.native())
    site.execute("CREATE TABLE secrets (word String) ENGINE = MergeTree ORDER BY word")
    site.execute("INSERT INTO secrets SELECT 'hidden'")
    assert site.rows("SELECT count() FROM machine_reading") == [(36,)]
    store = tenant_store(store_plane.config, TenantId(7))
    yield store
    site.execute("DROP TABLE secrets")
    store.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT tenant_id FROM machine_reading",
        "SELECT tenant_id FROM default.machine_reading AS x",
        "SELECT x.tenant_id FROM `default`.`machine_reading` x CROSS JOIN (SELECT 1) y",
        "SELECT tenant_id FROM (SELECT * FROM machine_reading)",
        "WITH a AS (SELECT tenant_id FROM machine_reading) SELECT * FROM a",
        "SELECT tenant_id FROM machine_reading PREWHERE machine_id >= 0",
        "SELECT tenant_id FROM machine_reading WHERE 1 OR tenant_id = 8",
        "SELECT tenant_id FROM machine_reading WHERE tenant_id IN (SELECT tenant_id FROM machine_reading)",
        "SELECT tenant_id FROM machine_reading UNION ALL SELECT tenant_id FROM machine_reading",
        "SELECT max(tenant_id) FROM machine_reading GROUP BY rack WITH ROLLUP",
        "SELECT (SELECT max(tenant_id) FROM machine_reading)",
        "SELECT tenant_id FROM machine_reading_minute",
        "SELECT tenant_id FROM machine_reading_hour GROUP BY 1",
        "SELECT tenant_id FROM machine_reading_rack",
        "SELECT tenant_id FROM view(SELECT tenant_id FROM machine_reading)",
        "SELECT arrayJoin(groupArray(tenant_id)) FROM machine_reading",
        "SELECT tenant_id FROM machine_reading;",
        "/* a comment */ SELECT tenant_id -- another\nFROM machine_reading",
    ],
)
def test_every_plain_way_of_reading_shows_own_rows_alone(seven: Store, sql: str) -> None:
    assert {row[0] for row in seven.rows(sql)} == {7}


@pytest.mark.parametrize(
    ("sql", "own"),
    [
        ("SELECT count() FROM machine_reading", 12),
        ("SELECT 8 AS tenant_id, count() AS n FROM machine_reading", 12),
        ("WITH 8 AS tenant_id SELECT tenant_id, count() FROM machine_reading", 12),
        (
            (
                "SELECT tenant_id, count() FROM (SELECT 8 AS tenant_id, rack FROM machine_reading)"
                " AS machine_reading GROUP BY 1"
            ),
            12,
        ),
        ("SELECT 0, countIf(tenant_id != 7) FROM machine_reading", 0),
        (
            (
                "SELECT 0, uniqExact(machine_id) FROM machine_reading"
                " WHERE machine_id IN (SELECT machine_id FROM machine_reading)"
            ),
            12,
        ),
        ("SELECT 0, sum(samples) FROM machine_reading_minute", 12),
    ],
)
def test_names_given_in_the_query_do_not_bend_the_filter(seven: Store, sql: str, own: int) -> None:
    assert seven.rows(sql)[0][-1] == own


@pytest.mark.parametrize(
    "sql",
    [
        # beneath the filter
        "SELECT * FROM merge('default', '.*')",
        "SELECT * FROM merge('default', 'machine_reading')",
        "SELECT 1 WHERE 8 IN (SELECT tenant_id FROM merge('default', 'machine_reading'))",
        "SELECT * FROM view(SELECT tenant_id FROM merge('default', 'machine_reading'))",
        "SELECT * FROM mergeTreeIndex('default', 'machine_reading')",
        "SELECT * FROM loop('default', 'machine_reading')",
        "SELECT * FROM remote('127.0.0.1', 'default', 'machine_reading')",
        "SELECT * FROM cluster('default', 'default', 'machine_reading')",
        # other tables
        "SELECT * FROM system.parts",
        "SELECT * FROM system.parts_columns",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.tables",
        "SELECT * FROM `system`.`columns`",
        "SELECT 1 IN system.one",
        "SELECT 8 IN machine_reading",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM default.secrets",
        # the disk, the network, the process
        "SELECT file('/etc/passwd')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:1/x')",
        "SELECT * FROM executable('ls', 'TSV', 'a String')",
        "SELECT * FROM python(store)",
        "SELECT * FROM Python(config)",
        "SELECT sleep(3)",
        "SELECT dictGet('a', 'b', 1)",
        "SELECT joinGet('a', 'b', 1)",
        "SELECT hasColumnInTable('default', 'secrets', 'word')",
        "SELECT aiGenerate('x')",
        # switching it off
        "SELECT * FROM machine_reading SETTINGS additional_table_filters = {}",
        "SELECT * FROM (SELECT * FROM machine_reading SETTINGS additional_table_filters = {}, readonly = 0)",
        "SET readonly = 0",
        "SET additional_table_filters = {}",
        "SELECT 1; SET readonly = 0",
        "SELECT tenant_id FROM machine_reading; SELECT tenant_id FROM machine_reading",
        "USE system",
        # writing
        "INSERT INTO machine_reading (ts) SELECT now()",
        "INSERT INTO machine_reading (ts) VALUES (now())",
        "ALTER TABLE machine_reading DELETE WHERE 1",
        "DELETE FROM machine_reading WHERE 1",
        "DROP TABLE machine_reading",
        "TRUNCATE TABLE machine_reading",
        "CREATE TABLE mine (a UInt8) ENGINE = MergeTree ORDER BY a",
        "CREATE TEMPORARY TABLE mine AS SELECT * FROM machine_reading",
        "CREATE VIEW mine AS SELECT * FROM machine_reading",
        "CREATE FUNCTION mine AS (x) -> file(x)",
        "OPTIMIZE TABLE machine_reading FINAL",
        "SYSTEM STOP MERGES",
        "KILL QUERY WHERE 1",
        # saying more than rows
        "SHOW TABLES",
        "SHOW CREATE TABLE machine_reading",
        "DESCRIBE TABLE machine_reading",
        "EXISTS TABLE secrets",
        "EXPLAIN ESTIMATE SELECT * FROM machine_reading",
        "EXPLAIN SELECT * FROM machine_reading",
        "BACKUP TABLE machine_reading TO Disk('x', 'y')",
    ],
)
def test_every_known_way_around_is_refused(seven: Store, sql: str) -> None:
    with pytest.raises(StoreRefused) as caught:
        seven.execute(sql)

    assert caught.value.code in {164, 60, 62, 46, 497}, caught.value


def test_a_table_without_tenants_shows_nothing(seven: Store) -> None:
    try:
        assert seven.rows("SELECT * FROM secrets") == []
    except StoreRefused as error:
        assert error.code == 164  # noqa: PT017 -- either answer keeps the secret


@pytest.mark.parametrize("words", ["INTO OUTFILE", "into/**/outfile", "INTO\nOUTFILE"])
def test_no_file_is_written(seven: Store, tmp_path: Path, words: str) -> None:
    target = tmp_path / "out"

    with pytest.raises(StoreRefused):
        seven.execute(f"SELECT 1 {words} '{target}'")

    assert not target.exists()


def test_settings_in_the_url_are_refused(store_plane: DataPlane, seven: Store) -> None:
    store = tenant_store(store_plane.config, TenantId(7))
    client = store._connected()
    for setting, value in (("additional_table_filters", "{}"), ("readonly", "0"), ("allow_ddl", "1")):
        client.params[setting] = value
        with pytest.raises(StoreRefused, match="READONLY"):
            store.rows("SELECT tenant_id FROM machine_reading")
        del client.params[setting]


def test_one_tenants_key_does_not_open_another(store_plane: DataPlane, seven: Store) -> None:
    key = tenant_key(store_key(store_plane.config), TenantId(8))

    with pytest.raises(StoreRefused, match="AUTHENTICATION_FAILED"):
        Store(store_plane.config.telemetry_url, tenant_user(TenantId(7)), key).rows("SELECT 1")


def test_the_site_still_sees_everything(store_plane: DataPlane, seven: Store) -> None:
    seven.rows("SELECT count() FROM machine_reading")

    assert store_plane.store().rows("SELECT uniqExact(tenant_id) FROM machine_reading") == [(3,)]


def test_ordinary_control_room_queries_are_open_to_tenants(seven: Store) -> None:
    for sql in (
        (
            "SELECT toStartOfMinute(ts) AS m, avg(power_w), quantile(0.95)(chip_temp_max_c), argMax(state, ts),"
            " max(toUnixTimestamp64Milli(ts)), countIf(isFinite(power_w)),"
            " intDiv(toUnixTimestamp(ts), 30) * 30 AS step,"
            " round(sum(power_w) / 1000, 1), if(state = 2, 1, 0) AS up, coalesce(nullIf(rack, ''), 'none')"
            " FROM machine_reading WHERE ts >= {from:DateTime64(3)} AND rack LIKE '20/%'"
            " GROUP BY m, step, up, rack HAVING m > 0 ORDER BY m DESC LIMIT 10"
        ),
        "SELECT hour, power_w_sum / power_w_weight FROM machine_reading_hour WHERE hour >= {from:DateTime} LIMIT 5",
        (
            "SELECT rack, quantilesBFloat16Merge(0.05, 0.5, 0.95)(chip_temp_max_c_spread)[3] FROM machine_reading_rack"
            " WHERE period >= toStartOfFiveMinutes({from:DateTime}) GROUP BY rack"
        ),
        (
            "SELECT machine_id, avg(reject_ratio) AS r FROM machine_reading"
            " GROUP BY 1 ORDER BY r DESC LIMIT 1 BY machine_id"
        ),
    ):
        assert seven.rows(sql, **{"from": "2026-01-01 00:00:00"})


def test_a_syntax_tree_is_read_by_its_indentation() -> None:
    tree = parse_tree("A (children 2)\n B x (alias y) (children 1)\n  C\n D e.f\n")

    assert (tree.kind, [child.kind for child in tree.children]) == ("A", ["B", "D"])
    assert (tree.children[0].name, tree.children[0].children[0].kind, tree.children[1].name) == ("x", "C", "e.f")
    with pytest.raises(StoreRefused):
        parse_tree("A\nB\n")
    with pytest.raises(StoreRefused):
        parse_tree("")
