"""The inventory as CSV: one file of places, elements, links and documents each. Columns are the fields of ``values``.

A file may leave columns out: what it does not say stays as it is. Pure.
"""

import csv
import io
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec

from mbongi.facility.values import Document, Element, Inventory, Link, Place

ROWS_MAX = 400_000
CELL_MAX = 1_000

Row = Place | Element | Link | Document
FILES: Final[Mapping[str, type[Row]]] = {"places": Place, "elements": Element, "links": Link, "documents": Document}
"""In the order in which one names another."""
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "places": ("code",),
    "elements": ("tag",),
    "links": ("tag",),
    "documents": ("element", "title"),
}
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why an inventory cannot be entered: which file, line (1 is the heading, 0 the whole file) and field.

    ``code`` is one of ``inventory_wording.PROBLEMS``; ``found`` what stands there, ``expected`` what may.
    """

    file: str
    line: int
    field: str
    code: str
    found: str = ""
    expected: str = ""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What one line states: values by field, only of the columns that are there.

    ``origin`` is the file that the line is in, where that is not one of FILES.
    """

    line: int
    values: dict[str, Any]
    origin: str = ""

    def key(self, file: str) -> tuple[str, ...]:
        """By what it is known."""
        return tuple(str(self.values.get(name, "")) for name in KEYS[file])


def columns(file: str) -> tuple[str, ...]:
    """The columns of one of FILES."""
    return FILES[file].__struct_fields__


def parts(inventory: Inventory) -> dict[str, Sequence[Row]]:
    """An inventory by file."""
    return {name: getattr(inventory, name) for name in FILES}


def write(file: str, rows: Iterable[Row]) -> str:
    """One file of an inventory. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = columns(file)
    writer.writerow(names)
    writer.writerows([cell(getattr(row, name)) for name in names] for row in rows)
    return text.getvalue()


def cell(value: Any) -> str:
    """A value as it stands in a file."""
    text = shown(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def shown(value: Any) -> str:
    """A value as text that ``value_of`` reads back."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


def plain(text: str) -> str:
    """What ``cell`` was given, of a text."""
    text = text.strip()
    return text[1:] if text.startswith("'") else text


def read(file: str, text: str) -> tuple[list[Given], list[Problem]]:
    """The lines of a file, and what is wrong with them. Separated by commas or semicolons, as the heading is.

    Lines with a problem come without what cannot be read: where there is one, nothing may be made of the lines.
    """
    text = text.removeprefix("\ufeff")
    head = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ",")
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        problems = _heading(file, names)
        if problems:
            return [], problems
        given = []
        for cells in reader:
            if not any(cells):
                continue
            values, wrong = _line(file, reader.line_num, names, cells)
            given.append(Given(line=reader.line_num, values=values))
            problems += wrong
            if len(given) > ROWS_MAX:
                return [], [Problem(file=file, line=0, field="", code="too_many", expected=str(ROWS_MAX))]
    except csv.Error as error:
        return [], [Problem(file=file, line=reader.line_num, field="", code="not_csv", found=str(error))]
    return given, problems


def _heading(file: str, names: Sequence[str]) -> list[Problem]:
    known = columns(file)
    problems = [
        Problem(file=file, line=1, field=name, code="unknown_column", expected=", ".join(known))
        for name in names
        if name not in known
    ]
    problems += [Problem(file=file, line=1, field=key, code="column_missing") for key in KEYS[file] if key not in names]
    twice = {name for name in names if names.count(name) > 1}
    return problems + [Problem(file=file, line=1, field=name, code="column_twice") for name in sorted(twice)]


def _line(file: str, line: int, names: Sequence[str], cells: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    if len(cells) != len(names):
        found, expected = str(len(cells)), str(len(names))
        return {}, [Problem(file=file, line=line, field="", code="cells", found=found, expected=expected)]
    values: dict[str, Any] = {}
    problems = []
    for name, text in zip(names, cells, strict=True):
        try:
            values[name] = value_of(file, name, plain(text))
        except ValueError as error:
            problems.append(
                Problem(file=file, line=line, field=name, code="value", found=text[:40], expected=str(error))
            )
    return values, problems


def value_of(file: str, name: str, text: str) -> Any:
    """What a cell says; empty, the field's default where it has one. Raises ValueError with what may stand there."""
    if len(text) > CELL_MAX:
        raise ValueError(f"≤ {CELL_MAX}")
    kind, default = _TYPES[file][name]
    text = text.strip()
    if not text and default is not msgspec.NODEFAULT:
        return default
    return _READERS.get(kind, _text if kind is str else lambda given: _word(kind, given))(text)


def _text(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError("text")
    return text


def _word(kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(", ".join(str(each.value) or "–" for each in kind)) from None


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError("1234.5")
    return found


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError("1234")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("2026-12-31") from None


def _truth(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError("true, false")
    return text.lower() in _TRUE


_READERS: Final[Mapping[Any, Any]] = {float: _number, int: _whole, date: _day, bool: _truth}


def _kind_of(hint: Any) -> Any:
    if get_origin(hint) in {Union, types.UnionType}:
        return next(each for each in get_args(hint) if each is not type(None))
    return hint


def _types(struct: type[Row]) -> dict[str, tuple[Any, Any]]:
    hints = get_type_hints(struct)
    return {field.name: (_kind_of(hints[field.name]), field.default) for field in msgspec.structs.fields(struct)}


_TYPES: Final = {file: _types(struct) for file, struct in FILES.items()}
