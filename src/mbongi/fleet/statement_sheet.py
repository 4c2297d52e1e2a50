"""The sheet of a statement: one line per machine and day, from which anybody can add the statement up. Pure.

Its first line names the columns, in words that never change; amounts have a point and three decimals. The hash of the
statement is that of these bytes.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from mbongi.fleet.rules.hosting import Line
from mbongi.fleet.rules.hosting_terms import EXCUSED

COLUMNS = (
    *("machine_id", "machine", "model", "serial", "day", "since_utc", "until_utc", "contract_s", "up_s"),
    *(f"excused_{klass.value}_s" for klass in EXCUSED),
    *("unexcused_s", "unknown_s", "hash_hours_ths_h", "promised_ths_h", "energy_kwh", "up_without_power_s"),
    "pool_hash_hours_ths_h",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def thousandths(value: int | None) -> str:
    """A whole number of thousandths with its point; empty where there is none."""
    if value is None:
        return ""
    whole, rest = divmod(abs(value), 1000)
    return f"{'-' if value < 0 else ''}{whole}.{rest:03d}"


def sheet(lines: Sequence[Line], machines: Mapping[int, tuple[str, str, str]]) -> bytes:
    """The lines as CSV, UTF-8. ``machines``: name, model and serial number of each machine."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(line, machines[line.machine_id]) for line in lines)
    return text.getvalue().encode()


def _row(line: Line, machine: tuple[str, str, str]) -> list[str | int]:
    since, until = map(_moment, line.span)
    return [
        line.machine_id,
        *map(_cell, machine),
        *(line.day.isoformat(), since, until, line.seconds, line.up_s),
        *(line.excused_s.get(klass, 0) for klass in EXCUSED),
        *(line.unexcused_s, line.unknown_s, thousandths(line.hash_milli), thousandths(line.promised_milli)),
        *(thousandths(line.energy_wh), line.no_power_s, thousandths(line.pool_milli)),
    ]


@lru_cache(maxsize=10_000)
def _moment(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(_FORMULA) else text


def translated(content: bytes, words: Mapping[str, str]) -> bytes:
    """The same sheet with its columns named in a reader's language, with a mark at its head for spreadsheets."""
    head, rest = content.split(b"\r\n", 1)
    row = io.StringIO()
    csv.writer(row, lineterminator="\r\n").writerow([words[name] for name in head.decode().split(",")])
    return b"\xef\xbb\xbf" + row.getvalue().encode() + rest
