"""Tables come from CSV files, and a definition that cannot be used is refused with its file and column."""

from pathlib import Path

import pytest

from mbongi.core.telemetry.errors import SchemaError
from mbongi.core.telemetry.tables import Table, load_table
from mbongi.run.tables import site_tables

HEAD = "name,type,unit,doc,rollup\nts,DateTime64(3),,,\nmachine_id,UInt32,,,\ntenant_id,UInt32,,,\n"


def written(directory: Path, text: str) -> Table:
    path = directory / "reading.csv"
    path.write_text(text, encoding="utf-8")
    return load_table(path)


def test_a_table_has_the_columns_units_and_rollups_of_its_csv(tmp_path: Path) -> None:
    table = written(tmp_path, HEAD + "power_w,Float32,W,at the wall,total\npool,String,,,\n")

    assert table.name == "reading"
    assert [column.name for column in table.columns] == ["ts", "machine_id", "tenant_id", "power_w", "pool"]
    assert (table.column("power_w").unit, table.column("power_w").doc) == ("W", "at the wall")
    assert [column.name for column in table.rolled_up("total")] == ["power_w"]


def test_a_csv_without_the_rollup_field_is_read_too(tmp_path: Path) -> None:
    text = "name,type,unit,doc\nts,DateTime64(3),,\nmachine_id,UInt32,,\ntenant_id,UInt32,,\nx,Float32,,\n"

    assert written(tmp_path, text).column("x").rollup == ""


def test_the_schema_hash_changes_with_names_types_and_order_and_not_with_docs(tmp_path: Path) -> None:
    first = written(tmp_path, HEAD + "a,Float32,,,\nb,Float32,,,\n").hash

    assert written(tmp_path, HEAD + "a,Float32,W,other words,mean\nb,Float32,,,\n").hash == first
    assert written(tmp_path, HEAD + "b,Float32,,,\na,Float32,,,\n").hash != first
    assert written(tmp_path, HEAD + "a,Float64,,,\nb,Float32,,,\n").hash != first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected name,type,unit,doc"),
        ("name,type\nts,DateTime64(3)\n", "expected name,type,unit,doc"),
        (HEAD + "x,Float32\n", "line 5: fields do not match"),
        (HEAD + "x,Decimal,,,\n", "x: type 'Decimal'; expected one of"),
        (HEAD + "x y,Float32,,,\n", "names are lower-case"),
        (HEAD + "x,Float32,,,\nx,Float32,,,\n", "a column stands twice"),
        (HEAD + "x,String,,,mean\n", "rollup 'mean' of String"),
        (HEAD + "x,Float32,,,median\n", "rollup 'median' of Float32"),
        (HEAD + "bus_seq,UInt64,,,\n", "no bus_epoch or bus_seq"),
        ("name,type,unit,doc\nmachine_id,UInt32,,\nts,DateTime64(3),,\n", "expected ts DateTime64"),
    ],
)
def test_a_definition_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SchemaError) as caught:
        written(tmp_path, text)

    assert said in str(caught.value)
    assert "reading" in str(caught.value)


def test_the_tables_of_the_site_can_be_loaded_and_have_a_unit_or_a_doc_for_every_measure() -> None:
    tables = site_tables()
    assert [table.name for table in tables] == ["machine_reading", "pool_worker", "facility_point"]
    for table in tables:
        for column in table.columns:
            assert column.unit or column.doc or column.is_text, column.name
