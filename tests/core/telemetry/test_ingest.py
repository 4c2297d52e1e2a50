"""From the bus to the store: every acknowledged row once, through kill -9 of each process, midnights and bad input."""

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mbongi.base.ids import TenantId
from mbongi.core.bus.client import Bus
from mbongi.core.bus.pull import Delivery
from mbongi.core.telemetry.inserter import mend_rollup
from mbongi.core.telemetry.latest_client import LatestClient, LatestSync
from mbongi.core.telemetry.rollups import rollups_of
from mbongi.core.telemetry.schema import known_schemas, migrate
from mbongi.core.telemetry.tables import Column, Table
from tests.core.data_plane import READING, DataPlane, batch

pytestmark = pytest.mark.system

DAY_MS = 86_400_000
SUBJECT = "telemetry.machine_reading.test"


def now_ms() -> int:
    return int(time.time() * 1_000)


async def publish(plane: DataPlane, *batches: bytes, prefix: str = "m", subject: str = SUBJECT) -> None:
    bus = await Bus.open(plane.config, name="producer")
    await bus.ensure_streams(plane.config)
    await bus.publish_many((subject, data, f"{prefix}-{n}") for n, data in enumerate(batches))
    await bus.close()


def once(plane: DataPlane) -> tuple[int, int]:
    """Rows, and different (machine, time) pairs among them."""
    [row] = plane.store().rows("SELECT count(), uniqExact(machine_id, ts) FROM machine_reading")
    return row[0], row[1]


async def rolled_up(plane: DataPlane, rows: int) -> None:
    """Wait until every roll-up has the rows: a view's part appears a moment after the table's."""
    names = [rollup.name for rollup in rollups_of(READING)]
    async with asyncio.timeout(20):
        while any(  # noqa: ASYNC110 -- another process's state
            plane.store().rows(f"SELECT sum(samples) FROM {name}") != [(rows,)] for name in names
        ):
            await asyncio.sleep(0.05)


async def put_aside(bus: Bus, count: int) -> list[Delivery]:
    """The messages put aside: waits until there are ``count``, which may be after the good ones are stored."""
    pull = await bus.pull("DEAD", "test")
    dead: list[Delivery] = []
    async with asyncio.timeout(20):
        while len(dead) < count:
            dead += await pull.take(100, wait_s=1)
    return dead + await pull.take(100, wait_s=0.5)


def assert_rollups_agree(plane: DataPlane) -> None:
    """The roll-ups hold what grouping the rows by hand gives."""
    store = plane.store()
    for grain in ("minute", "hour"):
        start = f"toStartOf{grain.capitalize()}(ts)"
        by_hand = store.rows(
            f"SELECT toUnixTimestamp({start}) AS at, tenant_id, count(), sum(power_w * span_s) FROM machine_reading "
            "GROUP BY at, tenant_id ORDER BY at, tenant_id"
        )
        kept = store.rows(
            f"SELECT toUnixTimestamp({grain}) AS at, tenant_id, sum(samples), sum(power_w_sum) "
            f"FROM machine_reading_{grain} GROUP BY at, tenant_id ORDER BY at, tenant_id"
        )
        assert kept == by_hand


async def test_rows_reach_the_store_the_roll_ups_and_the_latest(plane: DataPlane) -> None:
    now = now_ms() // 60_000 * 60_000 - 60_000
    await publish(plane, *[batch(now + n * 10_000, machines=range(5), power_w=np.arange(5) * 100.0) for n in range(6)])

    plane.wait_stored(30)

    assert once(plane) == (30, 30)
    assert_rollups_agree(plane)
    [(total, machines)] = plane.store().rows(
        "SELECT sum(power_w_sum) / 60, sum(power_w_weight) / 60 FROM machine_reading_minute"
    )
    # Each of the five stood for the whole minute by six rows of 10 s.
    assert (total, machines) == (0 + 100 + 200 + 300 + 400, 5)


@pytest.mark.parametrize("victims", [("telemetry",), ("ingest",), ("bus",), ("telemetry", "ingest", "bus")])
async def test_every_row_is_stored_once_through_kill_9(plane: DataPlane, victims: tuple[str, ...]) -> None:
    """Rows flow for a while; the victims die several times, also in the middle of inserts."""
    batches, stopped = 600, threading.Event()
    start = now_ms() - 3_600_000

    def disturb() -> None:
        for _ in range(3):
            for name in victims:
                if stopped.wait(1.3):
                    return
                plane.kill(name)
                plane.start(name)

    async def flow() -> None:
        bus = await Bus.open(plane.config, name="producer")
        for n in range(batches):
            data = batch(start + n * 1_000, machines=range(200))
            await bus.publish(SUBJECT, data, message_id=f"flow-{n}")
            await asyncio.sleep(0.02)
        await bus.close()

    disturbing = asyncio.create_task(asyncio.to_thread(disturb))
    try:
        async with asyncio.timeout(120):
            await flow()
    finally:
        await disturbing
        stopped.set()
    await asyncio.to_thread(plane.wait_stored, batches * 200)
    await asyncio.sleep(6)  # Anything that would come twice has come by now: the ingester stores every 5 s.

    assert once(plane) == (batches * 200, batches * 200)
    assert_rollups_agree(plane)


async def test_a_batch_over_midnight_is_stored_whole_and_once(plane: DataPlane) -> None:
    midnight = now_ms() // DAY_MS * DAY_MS
    ts = midnight + np.arange(-6, 6) * 1_000
    await publish(plane, batch(0, ts=ts), batch(0, ts=ts + 100_000))
    plane.wait_stored(24)

    plane.kill("ingest")
    plane.start("ingest")

    days = plane.store().rows("SELECT toDate(ts) AS d, count() FROM machine_reading GROUP BY d ORDER BY d")
    assert [count for _, count in days] == [6, 18]
    assert once(plane) == (24, 24)
    assert_rollups_agree(plane)


async def test_a_crash_between_the_two_days_of_a_batch_loses_and_doubles_nothing(plane: DataPlane) -> None:
    """The state that a crash there leaves: yesterday's part stored, today's not, nothing acknowledged."""
    midnight = now_ms() // DAY_MS * DAY_MS
    plane.kill("ingest")
    ts = midnight + np.arange(-6, 6) * 1_000
    await publish(plane, batch(0, ts=ts), batch(0, ts=ts + 50_000))
    plane.start("ingest")
    plane.wait_stored(24)
    await rolled_up(plane, 24)
    plane.kill("ingest")
    store = plane.store()
    store.execute(f"ALTER TABLE machine_reading DROP PARTITION '{time.strftime('%Y-%m-%d', time.gmtime())}'")
    for rollup in rollups_of(READING):  # Their views had not run either.
        store.execute(f"TRUNCATE TABLE {rollup.name}")
    bus = await Bus.open(plane.config, name="surgeon")
    await bus.js.delete_consumer("TELEMETRY", "ingest")  # The acknowledgement had not been sent.
    await bus.close()

    plane.start("ingest")
    plane.wait_stored(24)
    await rolled_up(plane, 24)

    assert once(plane) == (24, 24)
    assert_rollups_agree(plane)


async def test_a_bus_that_starts_anew_counts_anew_and_nothing_is_skipped(plane: DataPlane) -> None:
    now = now_ms()
    await publish(plane, *[batch(now + n) for n in range(10)])
    plane.wait_stored(120)
    bus = await Bus.open(plane.config, name="surgeon")
    await bus.js.delete_stream("TELEMETRY")
    await bus.close()
    await asyncio.sleep(1.1)  # Epochs are seconds.
    plane.kill("ingest")
    plane.start("ingest")

    await publish(plane, *[batch(now + 1_000 + n) for n in range(3)], prefix="anew")
    plane.wait_stored(156)

    assert once(plane) == (156, 156)


async def test_messages_that_cannot_be_read_are_put_aside_with_the_reason_and_the_rest_goes_on(
    plane: DataPlane,
) -> None:
    good = batch(now_ms())
    strange = Table("machine_reading", (*READING.columns, Column("never_seen", "Float32")))
    await publish(plane, b"", b"garbage", good[:-3], batch(now_ms(), table=strange), good, prefix="bad")
    await publish(plane, good, prefix="where", subject="telemetry.no_such_table.test")
    await publish(plane, batch(now_ms() + 1_000), prefix="after")
    plane.wait_stored(24)

    bus = await Bus.open(plane.config, name="reader")
    dead = await put_aside(bus, 5)
    reasons = "\n".join(delivery.headers["Mbongi-Reason"] for delivery in dead)
    await bus.close()

    assert len(dead) == 5
    for said in ("batch of 0 bytes", "b'garb'", "expected", "never a schema of", "no such table"):
        assert said in reasons
    assert once(plane) == (24, 24)
    assert plane.log("ingest").count("message_put_aside") == 2  # Once per subject.


async def test_a_clock_that_jumped_is_taken_within_limits_and_put_aside_beyond(plane: DataPlane) -> None:
    now = now_ms()
    keep_ms = plane.config.telemetry.keep_raw_days * DAY_MS
    inside = [batch(now - keep_ms + 60_000), batch(now - DAY_MS), batch(now + 3_500_000)]
    outside = [batch(now - keep_ms - 60_000), batch(now + 3_700_000), batch(0), batch(-(2**62)), batch(2**62)]
    await publish(plane, *inside, *outside, batch(now))
    plane.wait_stored(48)

    bus = await Bus.open(plane.config, name="reader")
    dead = await put_aside(bus, len(outside))
    latest = await LatestClient(bus, READING).refresh()
    await bus.close()

    assert len(dead) == len(outside)
    assert once(plane) == (48, 48)
    assert set(latest.column("ts")) == {now}, "a row from the future gives way to the next that arrives"


async def test_the_latest_rows_follow_changes_and_outlive_a_restart(plane: DataPlane) -> None:
    bus = await Bus.open(plane.config, name="reader")
    client = LatestClient(bus, READING, ["rack", "power_w"])
    now = now_ms()
    await publish(plane, batch(now, machines=range(100)), batch(now, machines=range(100, 150), tenant_id=7))
    await asyncio.sleep(1)
    first = await client.refresh()
    assert (first.count, set(first.column("power_w"))) == (150, {3_000.0})

    await publish(plane, batch(now + 1_000, machines=range(5), rack=["é"] * 5, power_w=np.full(5, 1.0)), prefix="next")
    await asyncio.sleep(1)
    rows = await client.refresh()
    assert rows.column("rack")[np.argsort(rows.column("machine_id"))][:6].tolist() == ["é"] * 5 + ["20/01"]
    assert (await LatestClient(bus, READING, tenant_id=TenantId(7)).refresh()).count == 50

    plane.wait_stored(155)
    plane.kill("ingest")
    plane.start("ingest")
    rows = await client.refresh()
    powers = dict(zip(rows.column("machine_id").tolist(), rows.column("power_w").tolist(), strict=True))
    assert (rows.count, powers[0], powers[99]) == (150, 1.0, 3_000.0)
    await bus.close()


def test_synchronous_code_gets_the_latest_rows_too(plane: DataPlane) -> None:
    asyncio.run(publish(plane, batch(now_ms())))
    client = LatestSync(plane.config, READING, ["power_w"])
    end = time.monotonic() + 10
    while client.refresh().count < 12 and time.monotonic() < end:
        time.sleep(0.1)

    assert client.refresh().count == 12
    client.close()


async def test_while_the_store_is_away_rows_wait_and_the_outage_is_logged_once(plane: DataPlane) -> None:
    plane.kill("telemetry")
    now = now_ms()
    await publish(plane, *[batch(now + n) for n in range(20)])
    bus = await Bus.open(plane.config, name="reader")
    await asyncio.sleep(8)
    assert (await LatestClient(bus, READING).refresh()).count == 12, "the newest rows are known all the same"
    await bus.close()

    plane.start("telemetry")
    plane.wait_stored(240)

    assert once(plane) == (240, 240)
    assert plane.log("ingest").count("telemetry_store_away") == 1
    assert "Traceback" not in plane.log("ingest")


def test_a_column_added_to_the_csv_is_added_to_the_store_and_old_rows_stay(store_plane: DataPlane) -> None:
    store, config = store_plane.store(), store_plane.config.telemetry
    key = (Column("ts", "DateTime64(3)"), Column("machine_id", "UInt32"), Column("tenant_id", "UInt32"))
    old = Table("growing", (*key, Column("power_w", "Float32", rollup="total")))
    new = Table("growing", (*old.columns, Column("inlet_c", "Float32", rollup="total"), Column("pool", "String")))
    migrate(store, (old,), config)
    row = "INSERT INTO growing (ts, machine_id, tenant_id, power_w) VALUES (now64(3), 1, 0, 5)"
    store.execute(row)

    migrate(store, (new,), config)
    store.execute(row.replace("power_w)", "power_w, inlet_c)").replace(", 5)", ", 7, 30)"))

    rows = store.rows("SELECT power_w, isNaN(inlet_c), pool FROM growing ORDER BY power_w")
    assert rows == [(5.0, True, ""), (7.0, False, "")]
    assert store.rows("SELECT sum(power_w_sum), sum(inlet_c_sum), sum(samples) FROM growing_minute") == [(12, 30, 2)]
    assert set(known_schemas(store, new)) == {old.hash, new.hash}
    assert [column.name for column in known_schemas(store, new)[old.hash].columns] == [c.name for c in old.columns]


def test_a_changed_type_is_refused_and_a_changed_retention_is_taken(store_plane: DataPlane) -> None:
    import dataclasses  # noqa: PLC0415

    from mbongi.core.telemetry.errors import SchemaError  # noqa: PLC0415

    store, config = store_plane.store(), store_plane.config.telemetry
    key = (Column("ts", "DateTime64(3)"), Column("machine_id", "UInt32"), Column("tenant_id", "UInt32"))
    migrate(store, (Table("typed", (*key, Column("x", "Float32"))),), config)

    with pytest.raises(SchemaError, match="column x is Float32 in the store; its definition says Float64"):
        migrate(store, (Table("typed", (*key, Column("x", "Float64"))),), config)

    migrate(store, (Table("typed", (*key, Column("x", "Float32"))),), dataclasses.replace(config, keep_raw_days=12))
    [(made,)] = store.rows("SELECT create_table_query FROM system.tables WHERE name = 'typed'")
    assert "toIntervalDay(12)" in made


def test_a_roll_up_that_differs_is_rebuilt_and_one_that_agrees_is_left(store_plane: DataPlane, tmp_path: Path) -> None:
    store, config = store_plane.store(), store_plane.config.telemetry
    key = (Column("ts", "DateTime64(3)"), Column("machine_id", "UInt32"), Column("tenant_id", "UInt32"))
    table = Table("mended", (*key, Column("power_w", "Float32", rollup="total")))
    migrate(store, (table,), config)
    start = now_ms() // 3_600_000 * 3_600_000
    values = ", ".join(f"(fromUnixTimestamp64Milli(toInt64({start + n * 30_000})), 1, 0, {n})" for n in range(10))
    store.execute(f"INSERT INTO mended (ts, machine_id, tenant_id, power_w) VALUES {values}")
    minute, hour = rollups_of(table)
    whole = store.rows(
        "SELECT minute, sum(samples), sum(power_w_sum) FROM mended_minute GROUP BY minute ORDER BY minute"
    )
    assert len(whole) == 5
    assert mend_rollup(store, minute, start, start + 290_000) == 0

    store.execute("INSERT INTO mended_minute SELECT * FROM mended_minute WHERE toMinute(minute) = 1")
    store.execute("ALTER TABLE mended_minute DELETE WHERE toMinute(minute) = 3 SETTINGS mutations_sync = 2")

    assert mend_rollup(store, minute, start, start + 290_000) == 180
    assert mend_rollup(store, hour, start, start + 290_000) == 0
    again = store.rows(
        "SELECT minute, sum(samples), sum(power_w_sum) FROM mended_minute GROUP BY minute ORDER BY minute"
    )
    assert again == whole
