"""Batches: what is written is read, what is damaged is refused, and another reader reads the same Native block."""

import struct
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from clickhouse_connect.driver.buffer import ResponseBuffer
from clickhouse_connect.driver.query import QueryContext
from clickhouse_connect.driver.transform import NativeTransform
from hypothesis import given, settings
from hypothesis import strategies as st

from mbongi.core.telemetry.batches import ROWS_MAX, decode_batch, encode_batch
from mbongi.core.telemetry.errors import BatchError
from mbongi.core.telemetry.native import concatenate, join_batches, widen
from mbongi.core.telemetry.tables import Column, Table

TABLE = Table(
    "reading",
    (
        Column("ts", "DateTime64(3)"),
        Column("machine_id", "UInt32"),
        Column("tenant_id", "UInt32"),
        Column("rack", "String"),
        Column("state", "UInt8"),
        Column("power_w", "Float32", rollup="total"),
        Column("shares", "Float64"),
    ),
)
ROW = {"ts": 1_000, "machine_id": 7, "tenant_id": 0, "rack": "20/03", "state": 2, "power_w": 3510.5, "shares": 12.0}


def test_the_layout_is_as_documented() -> None:
    data = encode_batch(TABLE, [ROW])

    expected = b"MBT1" + TABLE.hash + struct.pack("<I", 1)
    expected += struct.pack("<qII", 1_000, 7, 0)
    expected += struct.pack("<HH", 1, 5) + b"20/03" + b"\0"
    expected += struct.pack("<Bfd", 2, 3510.5, 12.0)
    assert data == expected


def test_rows_objects_and_columns_give_the_same_bytes() -> None:
    rows = [ROW, ROW | {"machine_id": 8, "rack": "20/04"}]
    columns = {name: [row[name] for row in rows] for name in ROW}

    assert encode_batch(TABLE, rows) == encode_batch(TABLE, columns)
    assert encode_batch(TABLE, rows) == encode_batch(TABLE, [SimpleNamespace(**row) for row in rows])


def test_times_may_be_datetimes_and_missing_values_are_unknown() -> None:
    moment = datetime(2026, 11, 24, 12, 0, 0, 250_000, UTC)
    batch = decode_batch(TABLE, encode_batch(TABLE, [{"ts": moment, "machine_id": 1, "power_w": None}]))

    assert batch.array(TABLE, "ts").tolist() == [1795521600250]
    assert np.isnan(batch.array(TABLE, "power_w")).all()
    assert batch.array(TABLE, "state").tolist() == [0]
    assert batch.texts(TABLE, "rack") == [""]


def test_more_than_256_different_texts_are_read_as_written() -> None:
    racks = [f"rack é {n % 300}" for n in range(1_000)]
    batch = decode_batch(TABLE, encode_batch(TABLE, {"ts": np.arange(1_000), "rack": racks}))

    assert batch.texts(TABLE, "rack") == racks


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "0 rows"),
        ({"ts": np.arange(ROWS_MAX + 1)}, "20001 rows"),
        ({"ts": [1, 2], "state": [1]}, "column state: 1 values; expected 2"),
        ({"ts": [1], "state": [300]}, "column state"),
        ({"ts": [1], "machine_id": [-1]}, "column machine_id"),
        ({"ts": [1], "power_w": ["much"]}, "column power_w"),
        ({"ts": [datetime(2026, 1, 1)]}, "without a zone"),  # noqa: DTZ001
        ({"ts": [1], "colour": [1]}, "no such columns: colour"),
    ],
)
def test_what_cannot_be_written_is_refused_by_column(rows: object, said: str) -> None:
    with pytest.raises(BatchError) as caught:
        encode_batch(TABLE, rows)  # type: ignore[arg-type]
    assert said in str(caught.value)


GOOD = encode_batch(TABLE, [ROW, ROW | {"rack": "a"}, ROW | {"rack": "b"}])


@pytest.mark.parametrize("length", range(len(GOOD)))
def test_half_a_batch_is_refused_wherever_it_was_cut(length: int) -> None:
    with pytest.raises(BatchError):
        decode_batch(TABLE, GOOD[:length])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes"),
        (b"garbage and more", "expected b'MBT1'"),
        (GOOD + b"\0", "expected"),
        (GOOD[:4] + b"\0" * 8 + GOOD[12:], "schema 0000000000000000"),
        (GOOD[:12] + b"\xff\xff\xff\xff" + GOOD[16:], "4294967295 rows"),
        (GOOD[:12] + b"\0\0\0\0" + GOOD[16:], "0 rows"),
    ],
)
def test_a_damaged_batch_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(BatchError) as caught:
        decode_batch(TABLE, data)
    assert said in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_flipped_byte_is_read_or_refused_and_never_anything_else(position: int, value: int) -> None:
    data = bytearray(GOOD)
    data[position] = value
    try:
        batch = decode_batch(TABLE, bytes(data))
    except BatchError:
        return
    join_batches(TABLE, [(1, batch)], epoch=1).native()


def read_native(block: bytes) -> dict[str, list[object]]:
    """The block as the ClickHouse client library reads it."""
    source = SimpleNamespace(gen=iter([block]), close=lambda: None, exception_tag=None)
    context = QueryContext("", column_oriented=True, query_tz="UTC")
    result = NativeTransform().parse_response(ResponseBuffer(source), context)
    return dict(zip(result.column_names, map(list, result.result_columns), strict=True))


def test_the_native_block_says_to_the_client_library_what_the_batches_said() -> None:
    first = decode_batch(TABLE, encode_batch(TABLE, [ROW, ROW | {"machine_id": 8, "rack": "20/04"}]))
    second = decode_batch(TABLE, encode_batch(TABLE, [ROW | {"machine_id": 9, "shares": 1.5}]))

    columns = read_native(join_batches(TABLE, [(41, first), (42, second)], epoch=5).native())

    assert columns["machine_id"] == [7, 8, 9]
    assert columns["rack"] == ["20/03", "20/04", "20/03"]
    assert columns["power_w"] == [3510.5] * 3
    assert columns["shares"] == [12.0, 12.0, 1.5]
    assert columns["bus_seq"] == [41, 41, 42]
    assert columns["bus_epoch"] == [5, 5, 5]


def test_selected_and_concatenated_blocks_keep_rows_and_texts_together() -> None:
    rows = [ROW | {"machine_id": n, "rack": f"r{n % 7}"} for n in range(40)]
    blocks = [
        join_batches(TABLE, [(n, decode_batch(TABLE, encode_batch(TABLE, [row])))], 1) for n, row in enumerate(rows)
    ]
    joined = concatenate(blocks)

    columns = read_native(joined.select(joined.array("machine_id") % 2 == 0).native())

    assert columns["machine_id"] == list(range(0, 40, 2))
    assert columns["rack"] == [f"r{n % 7}" for n in range(0, 40, 2)]


def test_a_batch_of_an_earlier_schema_holds_unknown_in_the_new_columns() -> None:
    newer = Table("reading", (*TABLE.columns[:-1], Column("inlet_temp_c", "Float32"), Column("pool", "String")))
    block = join_batches(TABLE, [(1, decode_batch(TABLE, encode_batch(TABLE, [ROW])))], 1)

    columns = read_native(widen(block, newer).native())

    assert "shares" not in columns
    assert columns["power_w"] == [3510.5]
    assert np.isnan(columns["inlet_temp_c"]).all()
    assert columns["pool"] == [""]
