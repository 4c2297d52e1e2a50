"""Our own files: there and back, and what is said of bad ones."""

import pytest
from hypothesis import given, settings

from mbongi.facility.rules.inventory_changes import Plan, plan
from mbongi.facility.rules.inventory_files import FILES, Problem, parts, read, write
from mbongi.facility.values import Element, ElementKind, Inventory, Link, LinkKind, Phases, Place, PlaceKind
from tests.facility.strategies import inventories

SITE = Place(code="S", kind=PlaceKind.SITE)
RACK = Place(code="R", kind=PlaceKind.RACK, parent="S", slots=42)
KNOWN = Inventory(
    places=(SITE, RACK),
    elements=(
        Element(tag="TR-1", kind=ElementKind.TRANSFORMER, rated_kva=630, serial="T1"),
        Element(tag="M-1", kind=ElementKind.MACHINE, place="R", slot=3, machine_id=7),
    ),
    links=(Link(tag="c1", source="TR-1", target="M-1", kind=LinkKind.POWER, phases=Phases.THREE),),
)


def looked_at(file: str, text: str, known: Inventory = KNOWN) -> Plan:
    rows, problems = read(file, text)
    return Plan(changes=(), same=0, problems=tuple(problems)) if problems else plan(known, {file: rows})


@settings(max_examples=30)
@given(inventories())
def test_an_inventory_comes_back_from_its_files_as_it_was(inventory: Inventory) -> None:
    given_rows = {}
    for file in FILES:
        given_rows[file], problems = read(file, write(file, parts(inventory)[file]))
        assert not problems
    found = plan(Inventory(), given_rows)
    assert not found.problems
    back = {file: tuple(change.after for change in found.changes if change.file == file) for file in FILES}
    assert back == {file: tuple(rows) for file, rows in parts(inventory).items()}
    again = plan(inventory, given_rows)
    assert (again.changes, again.same) == ((), len(found.changes))


def test_columns_that_are_left_out_stay_as_they_are() -> None:
    found = looked_at("elements", "tag,serial\nTR-1,T2\n")
    (change,) = found.changes
    assert change.fields == ("serial",)
    assert (change.after.rated_kva, change.after.serial) == (630, "T2")


def test_spreadsheets_may_use_semicolons_and_a_byte_order_mark() -> None:
    assert looked_at("elements", "\ufefftag;serial\nTR-1;T2\n").changes[0].after.serial == "T2"


@pytest.mark.parametrize(
    ("file", "text", "line", "field", "code"),
    [
        ("elements", "name\nx\n", 1, "tag", "column_missing"),
        ("elements", "tag,colour\nx,red\n", 1, "colour", "unknown_column"),
        ("elements", "tag,tag\nx,x\n", 1, "tag", "column_twice"),
        ("elements", "tag,serial\nTR-1\n", 2, "", "cells"),
        ("elements", "tag,kind\nTR-1,transformer\nTR-2,transfromer\n", 3, "kind", "value"),
        ("elements", "tag,kind,rated_kw\nG-1,genset,1;5\n", 2, "rated_kw", "value"),
        ("elements", "tag,kind,rated_kw\nG-1,genset,-5\n", 2, "rated_kw", "range"),
        ("elements", "tag,kind,efficiency\nG-1,genset,98\n", 2, "efficiency", "range"),
        ("elements", "tag,kind,maintenance_last\nG-1,genset,31.12.2026\n", 2, "maintenance_last", "value"),
        ("elements", "tag,serial\nTR-9,x\n", 2, "kind", "needed"),
        ("elements", "tag,kind,place\nG-1,genset,Q\n", 2, "place", "unknown_place"),
        ("elements", "tag,kind,place,slot\nG-1,genset,R,43\n", 2, "slot", "slot"),
        ("elements", "tag,kind,place,slot\nG-1,genset,S,1\n", 2, "slot", "slot"),
        ("elements", "tag,kind,machine_id\nG-1,genset,9\n", 2, "machine_id", "not_a_machine"),
        ("elements", "tag,kind,machine_id\nM-2,machine,7\n", 2, "machine_id", "machine_twice"),
        ("elements", "tag,kind\nG-1,genset\nG-1,genset\n", 3, "tag", "twice"),
        ("elements", f"tag,kind\n{'x' * 61},genset\n", 2, "tag", "tag"),
        ("places", "code,kind\nH,hall\n", 2, "parent", "needed"),
        ("places", "code,kind,parent\nH,hall,R\n", 2, "parent", "within"),
        ("links", "tag,source,target,kind,phases\nc,TR-1,M-9,power,L1\n", 2, "target", "unknown_element"),
        ("links", "tag,source,target,kind,phases\nc,TR-1,TR-1,power,L1\n", 2, "target", "itself"),
        ("links", "tag,source,target,kind\nc,TR-1,M-1,power\n", 2, "phases", "needed"),
        ("links", "tag,source,target,kind,breaker_a\nc,TR-1,M-1,data,16\n", 2, "breaker_a", "power_only"),
        ("links", "tag,source,target,kind,phases\nc,TR-1,M-1,power,L4\n", 2, "phases", "value"),
        ("documents", "element,title,reference,sha256\nTR-1,Plan,p.pdf,abc\n", 2, "sha256", "sha256"),
        ("documents", "element,title,reference\nTR-1,Plan,\n", 2, "reference", "needed"),
    ],
)
def test_a_fault_is_told_with_its_line_and_field(file: str, text: str, line: int, field: str, code: str) -> None:
    found = looked_at(file, text)
    assert [(each.line, each.field, each.code) for each in found.problems] == [(line, field, code)]
    assert found.problems[0].file == file


def test_every_fault_is_told_at_once() -> None:
    found = looked_at("elements", "tag,kind,rated_kw,place\nG-1,genset,-1,\nG-2,genset,1,Q\n")
    assert [(each.line, each.field) for each in found.problems] == [(2, "rated_kw"), (3, "place")]


def test_a_place_that_is_turned_into_another_kind_breaks_what_stands_in_it() -> None:
    found = looked_at("places", "code,kind,parent,slots\nR,row,S,\n")
    assert [(each.file, each.line, each.field) for each in found.problems] == [("elements", 0, "slot")]


def test_problems_say_what_was_found_and_what_may_stand_there() -> None:
    (problem,) = looked_at("elements", "tag,kind,phases\nG-1,genset,2\n").problems
    assert problem == Problem(file="elements", line=2, field="phases", code="range", found="2", expected="1, 3")
