"""NetBox's objects as our inventory: its files in the form of its imports, or pages of its REST API as JSON. Pure.

A cable without a label is known by the tags at its ends. A single-phase power feed does not say which phase it is: the
custom field ``mbongi_phases`` of its cable must. An outlet without a feed leg counts as spread over all phases.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from mbongi.facility.rules.inventory_files import ROWS_MAX, Given, Problem, plain, value_of
from mbongi.facility.rules.netbox_fields import (
    CUSTOM,
    DOCUMENTS,
    ELEMENT_FIELDS,
    FEED,
    FEED_TYPE_READ,
    INTERFACE,
    LEGS_READ,
    LINK_FIELDS,
    NO_PLACE,
    NOT_STATED,
    OUTLET,
    PLACE_FIELDS,
    PORT,
    STATUS_READ,
    kind_of_role,
)
from mbongi.facility.values import TAG_MAX, ElementKind, ElementStatus, LinkKind, Phases, PlaceKind

FILES: Final = ("sites", "locations", "racks", "devices", "power-panels", "power-feeds", "power-outlets", "cables")
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "devices": ("name", "role"),
    "power-feeds": ("power_panel", "name"),
    "power-outlets": ("device", "name"),
    "cables": ("side_a_type", "side_a_name", "side_b_type", "side_b_name"),
}

_KINDS: Final = {
    (FEED, PORT): LinkKind.POWER,
    (OUTLET, PORT): LinkKind.POWER,
    (INTERFACE, INTERFACE): LinkKind.DATA,
}
"""What a cable carries, by what it ends on; a custom field says which interfaces are cooling."""


class _Line(msgspec.Struct, frozen=True):
    file: str
    number: int
    cells: dict[str, str]

    def get(self, *names: str) -> str:
        """The first of some columns that says something."""
        return next((self.cells[name] for name in names if self.cells.get(name)), "")

    def problem(self, field: str, code: str, found: str = "", expected: str = "") -> Problem:
        """Something that is wrong here."""
        return Problem(file=self.file, line=self.number, field=field, code=code, found=found[:60], expected=expected)


class _Reader:
    """Gathers rows of ours, and what is wrong."""

    def __init__(self, tables: Mapping[str, Sequence[_Line]]) -> None:
        self.tables = tables
        self.problems: list[Problem] = []
        self.given: dict[str, list[Given]] = {"places": [], "elements": [], "links": [], "documents": []}

    def add(self, file: str, line: _Line, values: dict[str, Any], custom: Iterable[str]) -> None:
        """A row of ours; custom fields that are there go before what NetBox's own say."""
        for name in custom:
            column = f"{CUSTOM}{name}"
            if column not in line.cells:
                continue
            try:
                values[name] = value_of(file, name, line.cells[column])
            except ValueError as error:
                if line.cells[column] or name != "kind":
                    self.problems.append(line.problem(column, "value", line.cells[column], str(error)))
        self.given[file].append(Given(line=line.number, values=values, origin=line.file))

    def places(self) -> None:
        """Sites, locations and racks."""
        for line in self.tables["sites"]:
            if line.get("name") != NO_PLACE:
                self._place(line, PlaceKind.SITE, "")
        for line in self.tables["locations"]:
            kind = PlaceKind.ROW if line.get("parent") else PlaceKind.HALL
            self._place(line, kind, line.get("parent", "site"))
        for line in self.tables["racks"]:
            self._place(line, PlaceKind.RACK, line.get("location", "site"))

    def _place(self, line: _Line, kind: PlaceKind, parent: str) -> None:
        values: dict[str, Any] = {"code": line.get("name"), "kind": kind, "parent": parent}
        if "description" in line.cells:
            values["name"] = line.cells["description"]
        if kind is PlaceKind.RACK and line.get("u_height"):
            self._whole(line, "u_height", values, "slots", "places")
        self.add("places", line, values, PLACE_FIELDS)

    def _whole(self, line: _Line, column: str, values: dict[str, Any], name: str, file: str) -> None:
        text = line.get(column).removesuffix(".0")
        try:
            values[name] = value_of(file, name, text)
        except ValueError as error:
            self.problems.append(line.problem(column, "value", line.get(column), str(error)))

    def elements(self) -> None:
        """Devices, and power panels that are no device."""
        names = set()
        for line in self.tables["devices"]:
            names.add(line.get("name"))
            self._device(line)
        for line in self.tables["power-panels"]:
            if line.get("name") not in names:
                values = {
                    "tag": line.get("name"), "kind": ElementKind.LV_SWITCHBOARD, "place": line.get("location", "site")
                }  # fmt: skip
                self.add("elements", line, values, ())

    def _device(self, line: _Line) -> None:
        kind, status = kind_of_role(line.get("role", "device_role")), STATUS_READ.get(line.get("status") or "active")
        if kind is None:
            self.problems.append(line.problem("role", "value", line.get("role"), ", ".join(ElementKind)))
        if status is None:
            self.problems.append(line.problem("status", "value", line.get("status"), ", ".join(STATUS_READ)))
        values: dict[str, Any] = {
            "tag": line.get("name"),
            "kind": kind or ElementKind.PDU,
            "status": status or ElementStatus.ACTIVE,
            "place": line.get("rack", "location", "site").replace(NO_PLACE, ""),
        }
        for column, name in (
            ("manufacturer", "manufacturer"), ("device_type", "model"), ("serial", "serial"), ("description", "name")
        ):  # fmt: skip
            if column in line.cells:
                values[name] = "" if line.cells[column] == NOT_STATED else line.cells[column]
        if line.get("position"):
            self._whole(line, "position", values, "slot", "elements")
        self.add("elements", line, values, ELEMENT_FIELDS)
        self._documents(line)

    def _documents(self, line: _Line) -> None:
        text = line.get(f"{CUSTOM}{DOCUMENTS}")
        if not text:
            return
        try:
            found = msgspec.json.decode(text, type=list[dict[str, str]])
        except msgspec.DecodeError as error:
            self.problems.append(line.problem(f"{CUSTOM}{DOCUMENTS}", "value", text, str(error)))
            return
        for document in found:
            values = {name: document.get(name, "") for name in ("title", "reference", "sha256")}
            self.add("documents", line, {"element": line.get("name"), **values}, ())

    def links(self) -> None:
        """Cables between power feeds, outlets, ports and interfaces; others are told."""
        feeds: dict[tuple[str, str], _Line] = {}
        panels: dict[str, set[str]] = {}
        for line in self.tables["power-feeds"]:
            feeds[line.get("power_panel"), line.get("name")] = line
            panels.setdefault(line.get("name"), set()).add(line.get("power_panel"))
        outlets = {(line.get("device"), line.get("name")): line for line in self.tables["power-outlets"]}
        seen: Counter[str] = Counter()
        for line in self.tables["cables"]:
            ends = sorted((_end(line, side, panels) for side in "ab"), key=lambda end: end[0] == PORT)
            found = _KINDS.get((ends[0][0], ends[1][0]))
            if found is None:
                expected = f"{FEED} → {PORT}, {OUTLET} → {PORT}, {INTERFACE} → {INTERFACE}"
                types = f"{ends[0][0]} → {ends[1][0]}"
                self.problems.append(line.problem("side_a_type", "value", types, expected))
                continue
            values: dict[str, Any] = {
                "tag": _tag(line, ends[0][1], ends[1][1], seen),
                "source": ends[0][1],
                "target": ends[1][1],
                "kind": found,
            }
            if ends[0][0] == FEED:
                self._feed(line, feeds.get((ends[0][1], ends[0][2])), values)
            elif ends[0][0] == OUTLET:
                outlet = outlets.get((ends[0][1], ends[0][2]))
                leg = "" if outlet is None else outlet.get("feed_leg")
                values["phases"] = LEGS_READ.get(leg, Phases.THREE)
            self.add("links", line, values, LINK_FIELDS)

    def _feed(self, line: _Line, feed: _Line | None, values: dict[str, Any]) -> None:
        if feed is None:
            self.problems.append(line.problem("side_a_name", "unknown_feed", line.get("side_a_name")))
            return
        if feed.get("phase") == "single-phase":
            if not line.get(f"{CUSTOM}phases"):
                expected = f"{CUSTOM}phases"
                self.problems.append(line.problem(expected, "phase_open", feed.get("name"), "L1, L2, L3"))
        else:
            values["phases"] = Phases.THREE
        values["side"] = FEED_TYPE_READ.get(feed.get("type"), FEED_TYPE_READ[""])
        if feed.get("amperage"):
            values["breaker_a"] = value_of("links", "breaker_a", feed.get("amperage"))


def read(texts: Mapping[str, str]) -> tuple[dict[str, Sequence[Given]], list[Problem]]:
    """Rows of ours by file, and what is wrong with NetBox's."""
    tables: dict[str, list[_Line]] = {name: [] for name in FILES}
    problems: list[Problem] = []
    for file in FILES:
        if file in texts:
            tables[file], wrong = _table(file, texts[file])
            problems += wrong
    if problems:
        return {}, problems
    reader = _Reader(tables)
    reader.places()
    reader.elements()
    reader.links()
    return dict(reader.given), reader.problems


def _table(file: str, text: str) -> tuple[list[_Line], list[Problem]]:
    text = text.removeprefix("\ufeff").strip()
    try:
        lines = _json(file, text) if text[:1] in {"[", "{"} else _csv(file, text)
    except (csv.Error, ValueError) as error:
        return [], [Problem(file=file, line=0, field="", code="not_csv", found=str(error)[:60])]
    if len(lines) > ROWS_MAX:
        return [], [Problem(file=file, line=0, field="", code="too_many", expected=str(ROWS_MAX))]
    there = set(lines[0].cells) if lines else set(_NEEDED.get(file, ("name",)))
    missing = [name for name in _NEEDED.get(file, ("name",)) if name not in there]
    return lines, [Problem(file=file, line=1, field=name, code="column_missing") for name in missing]


def _csv(file: str, text: str) -> list[_Line]:
    head = text.split("\n", 1)[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return [
        _Line(file, reader.line_num, {
            str(name).strip().lower(): plain(str(value or "")) for name, value in row.items() if name is not None
        })
        for row in reader
    ]  # fmt: skip


def _json(file: str, text: str) -> list[_Line]:
    content = json.loads(text)
    rows = content.get("results", []) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("JSON: expected a list of objects, or a page with results")
    return [_Line(file, number, _flat(row)) for number, row in enumerate(rows, 1)]


def _flat(row: Mapping[str, Any]) -> dict[str, str]:
    """An object of the REST API as its import form names things."""
    cells = {name: _scalar(value) for name, value in row.items() if name not in {"custom_fields", "device_type"}}
    cells |= {f"cf_{name}": _scalar(value) for name, value in (row.get("custom_fields") or {}).items()}
    model = row.get("device_type")
    if isinstance(model, dict):
        cells["device_type"] = str(model.get("model", ""))
        cells["manufacturer"] = _scalar(model.get("manufacturer"))
    elif model is not None:
        cells["device_type"] = str(model)
    for side in "ab":
        ends = row.get(f"{side}_terminations") or []
        if len(ends) == 1:
            thing = ends[0].get("object") or {}
            cells[f"side_{side}_type"] = str(ends[0].get("object_type", ""))
            cells[f"side_{side}_name"] = str(thing.get("name", ""))
            cells[f"side_{side}_device"] = _scalar(thing.get("device"))
            cells[f"side_{side}_power_panel"] = _scalar(thing.get("power_panel"))
    return cells


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value.get("value", value.get("name", "")) or "")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else str(value)


def _end(line: _Line, side: str, panels: Mapping[str, set[str]]) -> tuple[str, str, str]:
    """What a cable ends on: its type, its device or panel, and its name."""
    kind, name = line.get(f"side_{side}_type"), line.get(f"side_{side}_name")
    if kind != FEED:
        return kind, line.get(f"side_{side}_device"), name
    panel, known = line.get(f"side_{side}_power_panel"), panels.get(name, set())
    # The REST API names a feed without its panel.
    return kind, panel or (next(iter(known)) if len(known) == 1 else ""), name


def _tag(line: _Line, source: str, target: str, seen: "Counter[str]") -> str:
    if line.get("label"):
        return line.get("label")
    base = f"{source}>{target}"
    if len(base) > TAG_MAX - 4:
        base = f"cable-{line.get('id') or line.number}"
    seen[base] += 1
    return base if seen[base] == 1 else f"{base}/{seen[base]}"
