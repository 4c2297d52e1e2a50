"""Statements: closing a month, how far that is, and everything to download."""

import io
import zipfile
from typing import Any

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import hosting_rows, hosting_wording, statements
from mbongi.fleet.errors import HostingRefusedError, NotPermittedError, UnknownContractError
from mbongi.fleet.hosting_rows import ClosingRow, StatementRow
from mbongi.fleet.statement_pdf import statement_pdf
from mbongi.fleet.statement_sheet import translated
from mbongi.web import hosting_sight
from mbongi.web.filters import QueryError, whole
from mbongi.web.guard import needs
from mbongi.web.pages.hosting import content

KINDS = ("pdf", "csv", "data", "json")
"""``csv`` names its columns in the reader's language; ``data`` is the sheet whose hash the statement states."""
PACKED_MAX = 500
"""Statements of one archive."""


@require_safe
@needs(Permission.HOSTING_VIEW)
def month(request: HttpRequest) -> HttpResponse:
    """The statements of a month, and of which contracts there is none yet."""
    try:
        shown = hosting_sight.checked_month(request.GET.get("month", ""), _last_month())
    except HostingRefusedError as error:
        return render(request, "pages/refused.html", {"here": "hosting", "error": error}, status=400)
    rows = hosting_rows.statements(month=shown, limit=1000)
    closed = {row.contract_id for row in rows}
    runs = [run for run in hosting_rows.closings() if run.month == shown]
    found = content(
        request,
        tab="statements",
        month=shown,
        months=_neighbours(shown),
        rows=rows,
        newest=[row for row in rows if row.newest],
        missing=[row for row in hosting_rows.contracts() if row.id not in closed and row.terms is not None],
        run=_progress(runs[0]) if runs else None,
        names={row.id: row.name for row in hosting_rows.contracts()},
    )
    return render(request, "pages/hosting_statements.html", found)


def _last_month() -> str:
    return _neighbours(hosting_sight.this_month())[0]


def _neighbours(shown: str) -> tuple[str, str]:
    year, number = map(int, shown.split("-"))
    before, after = year * 12 + number - 2, year * 12 + number
    return f"{before // 12}-{before % 12 + 1:02d}", f"{after // 12}-{after % 12 + 1:02d}"


def _progress(run: ClosingRow) -> dict[str, Any]:
    """A run of closing, as its bar shows it."""
    contract_id, _colon, rest = run.step.partition(":")
    read, _slash, whole_days = rest.partition("/")
    names = {row.id: row.name for row in hosting_rows.contracts()}
    return {
        "run": run,
        "total": len(run.contracts),
        "done": len(run.done),
        "now": names.get(int(contract_id), "") if contract_id else "",
        "read": int(read or 0),
        "days": int(whole_days or 0),
        "failures": [
            (names.get(key, f"#{key}"), hosting_wording.why_text(why))
            for key, (number, why) in run.done.items()
            if number is None
        ],
    }


@require_safe
@needs(Permission.HOSTING_VIEW)
def progress(request: HttpRequest, closing_id: int) -> HttpResponse:
    """How far a run of closing is, for the page that shows it."""
    try:
        run = hosting_rows.closing(closing_id)
    except UnknownContractError as error:
        raise Http404 from error
    answer = render(request, "parts/hosting_progress.html", {"run": _progress(run)})
    if run.finished_at is not None and request.headers.get("HX-Request"):
        # The list has the new statements now.
        answer["HX-Refresh"] = "true"
    return answer


@require_POST
@needs(Permission.STATEMENT_CLOSE)
def close(request: HttpRequest) -> HttpResponse:
    """Have a month closed, or one contract's month corrected."""
    user: Any = request.user
    shown, chosen = request.POST.get("month", ""), request.POST.get("contract", "")
    try:
        number = whole(request.POST, "contract", None, 1, 2**31 - 1) if chosen else None
        statements.ask_closing(
            user,
            shown,
            hosting_sight.site(),
            contract_ids=None if number is None else [number],
            reason=request.POST.get("reason", ""),
        )
    except (UnknownContractError, QueryError) as error:
        raise Http404 from error
    except NotPermittedError as error:
        raise PermissionDenied from error
    except HostingRefusedError as error:
        messages.error(request, error.text)
    try:
        return redirect(f"/hosting/statements/?month={hosting_sight.checked_month(shown, _last_month())}")
    except HostingRefusedError:
        return redirect("/hosting/statements/")


@require_safe
@needs(Permission.HOSTING_VIEW)
def download(request: HttpRequest, statement_id: int, kind: str) -> HttpResponse:  # noqa: ARG001 -- Django passes it
    """A statement in one of ``KINDS``."""
    try:
        row = hosting_rows.statement(statement_id)
        body = made(row, kind)
    except UnknownContractError as error:
        raise Http404 from error
    types = {"pdf": "application/pdf", "json": "application/json"}
    answer = HttpResponse(body, content_type=types.get(kind, "text/csv; charset=utf-8"))
    answer["Content-Disposition"] = f'attachment; filename="{name_of(row, kind)}"'
    return answer


def made(row: StatementRow, kind: str) -> bytes:
    """The bytes of a download, in the present language. Raises UnknownContractError."""
    if kind == "pdf":
        return statement_pdf(row.document)
    if kind == "json":
        return msgspec.json.format(msgspec.json.encode(row.document))
    sheet = statements.sheet_of(row.id)
    if kind == "data":
        return sheet
    return translated(sheet, {name: str(word) for name, word in hosting_wording.COLUMNS.items()})


def name_of(row: StatementRow, kind: str) -> str:
    """The file's name."""
    ending = {"data": "data.csv", "csv": f"{get_language() or 'en'}.csv"}.get(kind, kind)
    return f"mbongi-statement-{row.document.label}.{ending}"


@require_safe
@needs(Permission.HOSTING_VIEW)
def download_all(request: HttpRequest, month: str) -> HttpResponse:
    """The newest statements of a month, as PDF and CSV, in one archive."""
    try:
        shown = hosting_sight.checked_month(month, "")
    except HostingRefusedError as error:
        raise Http404 from error
    rows = hosting_rows.statements(month=shown, newest=True, limit=PACKED_MAX + 1)
    if not rows:
        raise Http404
    if len(rows) > PACKED_MAX:
        text = _("More than %(limit)d statements; take them one by one.") % {"limit": PACKED_MAX}
        messages.error(request, text)
        return redirect(f"/hosting/statements/?month={shown}")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for row in rows:
            for kind in ("pdf", "csv", "data"):
                stamp = row.closed_at.timetuple()[:6]
                entry = zipfile.ZipInfo(name_of(row, kind), (max(1980, stamp[0]), *stamp[1:]))
                archive.writestr(entry, made(row, kind), zipfile.ZIP_DEFLATED)
    answer = HttpResponse(packed.getvalue(), content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="mbongi-statements-{shown}.zip"'
    return answer
