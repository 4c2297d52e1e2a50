"""CSV and JSON of what a table page shows, with the same filters."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from django.http import HttpResponse

from mbongi.base.clock import utc_now

ROWS_MAX = 20_000
"""Rows of one download, at most; the header X-Truncated says when there were more."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def download(name: str, kind: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], total: int) -> HttpResponse:
    """``name``-DATE.csv or .json. CSV is UTF-8 with a mark at its head, so that spreadsheets read accents."""
    stamp = f"{utc_now():%Y%m%dT%H%M%SZ}"
    if kind == "json":
        content = msgspec.json.encode({"at": utc_now(), "rows": [dict(zip(columns, row, strict=True)) for row in rows]})
        answer = HttpResponse(content, content_type="application/json")
    else:
        sheet = io.StringIO()
        writer = csv.writer(sheet)
        writer.writerow(columns)
        writer.writerows([cell(value) for value in row] for row in rows)
        answer = HttpResponse("\ufeff" + sheet.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="mbongi-{name}-{stamp}.{kind}"'
    if total > ROWS_MAX:
        answer["X-Truncated"] = str(total)
    return answer


def cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: a text that looks like one gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    text = value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else str(value)
    return "'" + text if text.startswith(_FORMULA) else text
