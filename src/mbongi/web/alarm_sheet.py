"""The rationalisation list and the rota as CSV: one row each, written and read back without loss."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from mbongi.facility.alarm_rows import DefinitionRow
from mbongi.facility.errors import AlarmRefusedError
from mbongi.facility.rules.alarm_limits import Document
from mbongi.facility.rules.alarm_rota import Duty, Rota

ROWS_MAX = 20_000
BYTES_MAX = 8_000_000
DEFINITION_COLUMNS = ("key", *Document.__struct_fields__)
DUTY_COLUMNS = Duty.__struct_fields__
_NUMBERS = {"limit", "setpoint", "dead_band", "on_delay_s", "off_delay_s", "stale_s", "respond_s", "after_min"}


def definition_cells(row: DefinitionRow) -> list[Any]:
    """An entry of the list as a row of the sheet."""
    return [row.key, *(_cell(getattr(row.document, name)) for name in Document.__struct_fields__)]


def duty_cells(rota: Rota) -> Iterable[list[Any]]:
    """The rota's rows."""
    return ([_cell(getattr(duty, name)) for name in DUTY_COLUMNS] for duty in rota.duties)


def read_definitions(content: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Keys and documents of a sheet; an empty cell is the default. Raises AlarmRefusedError naming the line."""
    found = []
    for number, row in _rows(content, DEFINITION_COLUMNS):
        if not (key := row.pop("key", "")):
            raise _refused(number, "key")
        document: dict[str, Any] = {name: _value(name, text, number) for name, text in row.items() if text}
        document["follows"] = row.get("follows", "").split()
        found.append((key, document))
    return found


def read_rota(content: bytes) -> dict[str, Any]:
    """The rota's document. Raises AlarmRefusedError naming the line."""
    rows = _rows(content, DUTY_COLUMNS)
    return {
        "duties": [{name: _value(name, text, number) for name, text in row.items() if text} for number, row in rows]
    }


def _rows(content: bytes, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    if len(content) > BYTES_MAX:
        raise AlarmRefusedError(f"sheet of {len(content)} bytes", _("The file is too large."))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AlarmRefusedError("sheet: not UTF-8", _("The file is not CSV in UTF-8.")) from error
    reader = csv.DictReader(io.StringIO(text))
    if unknown := set(reader.fieldnames or ()) - set(columns):
        names = ", ".join(sorted(map(str, unknown)))
        raise AlarmRefusedError(f"sheet: columns {names}", _("Unknown columns: %(names)s.") % {"names": names})
    rows = [(number, _plain(row, number)) for number, row in enumerate(reader, 2)]
    if not rows or len(rows) > ROWS_MAX:
        raise AlarmRefusedError(f"sheet of {len(rows)} rows", _("The file has no rows, or too many."))
    return rows


def _plain(row: Mapping[str | None, Any], number: int) -> dict[str, str]:
    if None in row or None in row.values():
        raise _refused(number, _("columns"))
    # An apostrophe keeps spreadsheets from taking a text for a formula; see ``exports.cell``.
    return {str(name): (text[1:] if text[:2] in _MARKED else text).strip() for name, text in row.items()}


_MARKED = {"'=", "'+", "'-", "'@", "'\t", "'\r"}
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}


def _value(name: str, text: str, number: int) -> Any:
    if name in _NUMBERS:
        try:
            return int(text) if name == "after_min" else float(text)
        except ValueError as error:
            raise _refused(number, name) from error
    if name == "latches":
        if text.lower() not in _TRUTHS:
            raise _refused(number, name)
        return _TRUTHS[text.lower()]
    return text


def _refused(number: int, name: str) -> AlarmRefusedError:
    text = _("Line %(line)d: “%(column)s” cannot be read.") % {"line": number, "column": name}
    return AlarmRefusedError(f"sheet: line {number}: {name}", text)


def _cell(value: Any) -> Any:
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
