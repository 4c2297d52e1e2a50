"""What an inventory that is handed in would change, and everything that is wrong with it: the dry run. Pure."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mbongi.facility.rules.inventory_files import FILES, KEYS, Given, Problem, Row, parts
from mbongi.facility.values import (
    TAG_MAX,
    TEXT_MAX,
    Document,
    Element,
    ElementKind,
    Inventory,
    Link,
    LinkKind,
    Phases,
    Place,
    PlaceKind,
)

PROBLEMS_MAX = 200
"""So many are told; whoever mends them sees the next."""
SLOTS_MAX = 1_000
DAYS_MAX = 36_500
NUMBER_MAX = 1e12
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_ORDER = list(PlaceKind)
_SIZES = (
    "rated_kw", "rated_kva", "rated_a", "rated_v", "demand_kw", "capacity_kwh", "capacity_l", "capacity_m3",
    "breaker_a", "width_m", "depth_m",
)  # fmt: skip
_POSITIVE = ("rated_v", "breaker_a", "width_m", "depth_m")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is added (``before`` None) or changed, and the fields in which."""

    file: str
    line: int
    before: Any
    after: Any
    fields: tuple[str, ...]

    @property
    def label(self) -> str:
        """What people know it by."""
        return " · ".join(key_of(self.file, self.after))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What entering would do. With ``problems`` nothing can be entered."""

    changes: tuple[Change, ...]
    same: int
    problems: tuple[Problem, ...]

    def count(self, file: str, *, added: bool) -> int:
        """Rows of a file that are added, or changed."""
        return sum(each.file == file and (each.before is None) is added for each in self.changes)


def key_of(file: str, row: Row) -> tuple[str, ...]:
    """By what a row is known."""
    return tuple(getattr(row, name) for name in KEYS[file])


def plan(known: Inventory, given: Mapping[str, Sequence[Given]]) -> Plan:
    """Hold ``given`` rows by file against what is ``known``. What they do not state stays as it is, or its default."""
    changes: list[Change] = []
    problems: list[Problem] = []
    after: dict[str, dict[tuple[str, ...], Row]] = {}
    lines: dict[str, dict[tuple[str, ...], Given]] = {}
    same = 0
    for file in FILES:
        before = {key_of(file, row): row for row in parts(known)[file]}
        after[file], lines[file] = dict(before), {}
        for each in given.get(file, ()):
            key = each.key(file)
            if key in lines[file]:
                found = str(lines[file][key].line)
                problems.append(_problem(file, each, KEYS[file][-1], "twice", found))
                continue
            row, wrong = _merged(file, before.get(key), each)
            problems += wrong
            lines[file][key] = each
            if row is None:
                continue
            after[file][key] = row
            if row == before.get(key):
                same += 1
                continue
            changes.append(_change(file, each.line, before.get(key), row))
    whole = Inventory(**{file: tuple(rows.values()) for file, rows in after.items()})  # type: ignore[arg-type]
    problems += _checked(whole, changes, lines)
    return Plan(changes=tuple(changes), same=same, problems=tuple(problems[:PROBLEMS_MAX]))


def _problem(file: str, given: Given | None, field: str, code: str, found: str = "", expected: str = "") -> Problem:
    origin, line = ("", 0) if given is None else (given.origin, given.line)
    return Problem(file=origin or file, line=line, field=field, code=code, found=found[:60], expected=expected)


def _change(file: str, line: int, before: Row | None, after: Row) -> Change:
    fields = tuple(
        name for name in after.__struct_fields__ if before is None or getattr(before, name) != getattr(after, name)
    )
    return Change(file=file, line=line, before=before, after=after, fields=fields)


def _merged(file: str, before: Row | None, given: Given) -> tuple[Row | None, list[Problem]]:
    if before is not None:
        return msgspec.structs.replace(before, **given.values), []
    struct = FILES[file]
    missing = [
        field.name
        for field in msgspec.structs.fields(struct)
        if field.required and field.name not in given.values
    ]  # fmt: skip
    if missing:
        return None, [_problem(file, given, name, "needed") for name in missing]
    return struct(**given.values), []


class _Whole:
    """The inventory as it would be, to look things up in."""

    def __init__(self, inventory: Inventory) -> None:
        self.places = {place.code: place for place in inventory.places}
        self.elements = {element.tag: element for element in inventory.elements}
        self.machines: dict[int, str] = {}
        self.twice: set[str] = set()
        for element in inventory.elements:
            if (
                element.machine_id is not None
                and self.machines.setdefault(element.machine_id, element.tag) != element.tag
            ):
                self.twice.add(element.tag)


def _checked(
    inventory: Inventory, changes: Sequence[Change], lines: Mapping[str, Mapping[tuple[str, ...], Given]]
) -> Iterator[Problem]:
    """Look at what changes, and at what a change of something else breaks."""
    whole = _Whole(inventory)
    regarded = {(change.file, key_of(change.file, change.after)): change.after for change in changes}
    moved = {change.after.code for change in changes if change.file == "places" and change.before is not None}
    for place in inventory.places:
        if place.parent in moved:
            regarded.setdefault(("places", (place.code,)), place)
    for element in inventory.elements:
        if element.place in moved:
            regarded.setdefault(("elements", (element.tag,)), element)
    for (file, key), row in regarded.items():
        for field, code, found, expected in _wrong(row, whole):
            yield _problem(file, lines[file].get(key), field, code, found, expected)


Wrong = tuple[str, str, str, str]


def _wrong(row: Row, whole: _Whole) -> Iterator[Wrong]:
    yield from _sizes(row)
    if isinstance(row, Place):
        yield from _place(row, whole)
    elif isinstance(row, Element):
        yield from _element(row, whole)
    elif isinstance(row, Link):
        yield from _link(row, whole)
    else:
        yield from _document(row, whole)


def _sizes(row: Row) -> Iterator[Wrong]:
    for field in row.__struct_fields__:
        value = getattr(row, field)
        if field in _SIZES and value is not None:
            least = 0.0 if field not in _POSITIVE else math.ulp(0.0)
            if not least <= value <= NUMBER_MAX:
                yield field, "range", str(value), "> 0" if field in _POSITIVE else "≥ 0"
        elif isinstance(value, str) and len(value) > (500 if field == "reference" else TEXT_MAX):
            yield field, "long", value, str(TEXT_MAX)
    for field in ("code", "tag"):
        text = getattr(row, field, "x")
        if not 1 <= len(text) <= TAG_MAX or text != text.strip():
            yield field, "tag", text, str(TAG_MAX)


def _place(place: Place, whole: _Whole) -> Iterator[Wrong]:
    if place.slots is not None and (place.kind is not PlaceKind.RACK or not 1 <= place.slots <= SLOTS_MAX):
        yield "slots", "range", str(place.slots), f"1–{SLOTS_MAX}"
    for field in ("x_m", "y_m"):
        if abs(getattr(place, field) or 0.0) > NUMBER_MAX:
            yield field, "range", str(getattr(place, field)), "m"
    if not place.parent:
        if place.kind is not PlaceKind.SITE:
            yield "parent", "needed", "", ""
        return
    parent = whole.places.get(place.parent)
    if parent is None:
        yield "parent", "unknown_place", place.parent, ""
    elif _ORDER.index(parent.kind) >= _ORDER.index(place.kind):
        yield "parent", "within", parent.kind, ", ".join(_ORDER[: _ORDER.index(place.kind)])


def _element(element: Element, whole: _Whole) -> Iterator[Wrong]:
    place = whole.places.get(element.place)
    if element.place and place is None:
        yield "place", "unknown_place", element.place, ""
    limit = (place.slots or SLOTS_MAX) if place is not None and place.kind is PlaceKind.RACK else 0
    if element.slot is not None and not 1 <= element.slot <= limit:
        yield "slot", "slot", str(element.slot), f"1–{limit}" if limit else "–"
    for field in ("efficiency", "power_factor"):
        value = getattr(element, field)
        if value is not None and not 0 < value <= 1:
            yield field, "range", str(value), "0–1"
    if element.phases not in {None, 1, 3}:
        yield "phases", "range", str(element.phases), "1, 3"
    if element.maintenance_days is not None and not 1 <= element.maintenance_days <= DAYS_MAX:
        yield "maintenance_days", "range", str(element.maintenance_days), f"1–{DAYS_MAX}"
    if element.machine_id is not None:
        yield from _machine(element, whole)


def _machine(element: Element, whole: _Whole) -> Iterator[Wrong]:
    if element.kind is not ElementKind.MACHINE:
        yield "machine_id", "not_a_machine", element.kind, ElementKind.MACHINE
    if element.tag in whole.twice and element.machine_id is not None:
        yield "machine_id", "machine_twice", whole.machines[element.machine_id], ""


def _link(link: Link, whole: _Whole) -> Iterator[Wrong]:
    for field, tag in (("source", link.source), ("target", link.target)):
        if tag not in whole.elements:
            yield field, "unknown_element", tag, ""
    if link.source == link.target:
        yield "target", "itself", link.target, ""
    if link.kind is LinkKind.POWER and link.phases is Phases.NONE:
        yield "phases", "needed", "", ""
    if link.kind is not LinkKind.POWER:
        for field in ("phases", "breaker_a", "normally_open"):
            if getattr(link, field):
                yield field, "power_only", str(getattr(link, field)), ""


def _document(document: Document, whole: _Whole) -> Iterator[Wrong]:
    if document.element not in whole.elements:
        yield "element", "unknown_element", document.element, ""
    for field in ("title", "reference"):
        if not getattr(document, field).strip():
            yield field, "needed", "", ""
    if document.sha256 and not _SHA256.match(document.sha256):
        yield "sha256", "sha256", document.sha256, ""
