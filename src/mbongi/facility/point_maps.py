"""The maps of devices: the ones that come along under ``maps``, and a site's own under ``<data>/maps``."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mbongi.facility.rules.point_maps import MapError, MapRow, words_of
from mbongi.facility.values import Protocol, Quantity

FOLDER = Path(__file__).with_name("maps")
INDEX = "index.csv"
_FIELDS = {"place", "type", "order", "scale", "unit", "quantity", "absent", "bit", "words", "doc"}
ROWS_MAX = 500


@dataclass(frozen=True)
class PointMap:
    """What a kind of device says, where; ``source`` is the document that its rows were taken from."""

    name: str
    protocol: str
    """``modbus``, ``snmp``, ``nut`` or ``bacnet``."""
    title: str
    source: str
    rows: tuple[MapRow, ...]


def protocol_of_maps(protocol: Protocol) -> str:
    """What the index calls the maps of a protocol; empty for those whose devices say themselves what they have."""
    if protocol in {Protocol.SUNSPEC, Protocol.REDFISH}:
        return ""
    return "snmp" if protocol in {Protocol.SNMP2, Protocol.SNMP3} else protocol.value


def point_map(name: str, own: Path | None = None) -> PointMap:
    """The map of that name; the site's own folder ``own`` comes first. Raises MapError where there is none."""
    found = {**_listed(FOLDER), **({} if own is None else _listed(own))}.get(name)
    if found is None:
        raise MapError(f"map {name!r}: there is none")
    return found


def point_maps(own: Path | None = None) -> list[PointMap]:
    """All maps by name. Raises MapError."""
    return sorted({**_listed(FOLDER), **({} if own is None else _listed(own))}.values(), key=lambda one: one.name)


def _listed(folder: Path) -> dict[str, PointMap]:
    try:
        stamp = (folder / INDEX).stat().st_mtime_ns
    except FileNotFoundError:
        return {}
    return _read(folder, stamp)


@cache
def _read(folder: Path, _stamp: int) -> dict[str, PointMap]:
    with (folder / INDEX).open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    return {
        line["name"]: PointMap(
            line["name"], line["protocol"], line["title"], line["source"], read_rows(folder / f"{line['name']}.csv")
        )
        for line in lines
    }


def read_rows(path: Path) -> tuple[MapRow, ...]:
    """The rows of a map's file. Raises MapError naming the file, the line and what does not fit."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if set(reader.fieldnames or ()) != _FIELDS:
                raise MapError(f"{path}: first line {reader.fieldnames}; expected {', '.join(sorted(_FIELDS))}")
            rows = tuple(_row(path, reader.line_num, line) for line in reader)
    except OSError as error:
        raise MapError(f"{path}: {error.strerror}") from error
    quantities = [row.quantity for row in rows]
    twice = {one for one in quantities if quantities.count(one) > 1}
    if not rows or len(rows) > ROWS_MAX or twice:
        raise MapError(f"{path}: {len(rows)} rows, twice {sorted(twice)}; expected 1 to {ROWS_MAX}, each quantity once")
    return rows


def _row(path: Path, number: int, line: dict[str, str]) -> MapRow:
    try:
        return MapRow(
            place=line["place"],
            quantity=Quantity(line["quantity"]),
            type=line["type"],
            order=line["order"] or "abcd",
            scale=float(line["scale"] or 1),
            unit=line["unit"],
            absent=line["absent"],
            bit=int(line["bit"]) if line["bit"] else None,
            words=words_of(line["words"]),
        )
    except (ValueError, TypeError) as error:
        raise MapError(f"{path}: line {number}: {error}") from error
