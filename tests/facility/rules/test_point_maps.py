"""Rows of maps: numbers worked by hand from IEEE 754 and two's complement, and the maps that come along."""

import math

import pytest

from mbongi.facility.point_maps import point_map, point_maps, read_rows
from mbongi.facility.rules.point_maps import MapError, MapRow, blocks, words_of
from mbongi.facility.values import Quantity


def row(place: str = "holding:0", quantity: Quantity = Quantity.POWER_W, **changes: object) -> MapRow:
    return MapRow(place, quantity, **{"type": "f32", "unit": quantity.unit, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("order", "data"),
    [("abcd", "43660000"), ("cdab", "00004366"), ("badc", "66430000"), ("dcba", "00006643")],
)
def test_a_real_of_32_bits_is_read_in_every_word_order(order: str, data: str) -> None:
    # 230.0 is 0x43660000 by IEEE 754.
    assert row(order=order).decode(bytes.fromhex(data)) == 230.0


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        ("u16", "ffff", 65535),
        ("s16", "ffff", -1),
        ("u32", "00010000", 65536),
        ("s32", "fffffffe", -2),
        ("u64", "0000000100000000", 4294967296),
        ("s64", "ffffffffffffffff", -1),
        ("f64", "406cc00000000000", 230.0),
    ],
)
def test_every_type_is_read(kind: str, data: str, value: float) -> None:
    assert row(type=kind).decode(bytes.fromhex(data)) == value


def test_a_scale_and_a_manual_s_unit_become_the_quantity_s_own_unit() -> None:
    assert row(type="u16", scale=0.1, unit="kW").decode(bytes.fromhex("007b")) == pytest.approx(
        12_300
    )  # 123 times 0.1 kW
    assert row(quantity=Quantity.RUNTIME_S, type="u16", unit="min").decode(b"\0\x1f") == 1860


def test_what_says_none_is_not_known() -> None:
    assert math.isnan(row(type="s16", absent="-0x8000").decode(bytes.fromhex("8000")))
    assert math.isnan(row().decode(bytes.fromhex("7fc00000")))  # a real that is no number
    assert math.isnan(row().decode(bytes.fromhex("7f800000")))  # infinity
    assert row(type="s16", absent="-0x8000").decode(bytes.fromhex("8001")) == -32767


def test_words_and_bits_become_small_numbers_and_unknown_words_are_not_known() -> None:
    words = row(quantity=Quantity.ON_BATTERY, type="u16", words=words_of("3=0 5=1"))
    assert (words.decode(b"\0\5"), words.decode(b"\0\3")) == (1, 0)
    assert math.isnan(words.decode(b"\0\7"))
    bit = row(quantity=Quantity.FAULT, type="u16", bit=12)
    assert (bit.decode(bytes.fromhex("1000")), bit.decode(bytes.fromhex("efff"))) == (1, 0)


def test_registers_near_each_other_are_asked_for_together() -> None:
    rows = [row(f"holding:{place}") for place in (10, 0, 30, 60, 200)] + [row("input:0")]
    assert [(one.function, one.address, one.count) for one in blocks(rows)] == [
        (3, 0, 12),  # 10 and 11 are within 16 registers of 0 and 1
        (3, 30, 2),
        (3, 60, 2),
        (3, 200, 2),
        (4, 0, 2),
    ]


def test_no_question_asks_for_more_registers_than_the_standard_allows() -> None:
    found = blocks([row(f"holding:{place}") for place in range(0, 600, 10)])
    assert max(one.count for one in found) <= 125
    assert sum(len(one.rows) for one in found) == 60


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": "V"},
        {"unit": "horsepower"},
        {"type": "f16"},
        {"order": "acbd"},
        {"scale": 0.0},
        {"scale": math.inf},
        {"bit": 3},
    ],
)
def test_rows_that_could_not_be_read_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(MapError):
        row(**changes)


@pytest.mark.parametrize("place", ["holding", "coil:1", "holding:-1", "holding:65535", "40001"])
def test_places_that_are_no_registers_are_refused(place: str) -> None:
    with pytest.raises(MapError):
        blocks([row(place)])


def test_every_map_that_comes_along_can_be_used_and_names_its_source() -> None:
    found = point_maps()
    assert {one.name for one in found} >= {"schneider-pm5000", "janitza-umg96", "deepsea-gencomm", "ups-mib"}
    for one in found:
        assert len(one.source) > 20, one.name
        if one.protocol == "modbus":
            assert sum(len(block.rows) for block in blocks(one.rows)) == len(one.rows)


def test_a_site_s_own_map_comes_first_and_a_broken_one_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "index.csv").write_text("name,protocol,title,source\njanitza-umg96,modbus,Ours,our own list of today\n")
    head = "place,type,order,scale,unit,quantity,absent,bit,words,doc\n"
    (tmp_path / "janitza-umg96.csv").write_text(f"{head}holding:1,u16,,0.1,V,voltage_l1_v,,,,\n")
    assert point_map("janitza-umg96", tmp_path).title == "Ours"
    assert len(point_map("janitza-umg96").rows) > 10
    with pytest.raises(MapError, match="there is none"):
        point_map("nobody")
    (tmp_path / "broken.csv").write_text(f"{head}holding:1,u16,,0.1,kg,voltage_l1_v,,,,\n")
    with pytest.raises(MapError, match=r"broken.csv: line 2: holding:1: unit 'kg'"):
        read_rows(tmp_path / "broken.csv")
