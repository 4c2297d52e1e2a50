"""The journal of alarms, the rationalisation list, the rates, and who is told."""

from datetime import timedelta
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.facility import alarm_notices, alarm_rows, alarm_wording, alarms
from mbongi.facility.alarm_rows import EventLine
from mbongi.facility.errors import AlarmRefusedError
from mbongi.facility.rules import alarm_rates
from mbongi.facility.rules.alarm_state import Change
from mbongi.web import alarm_sheet
from mbongi.web.exports import download
from mbongi.web.guard import needs
from mbongi.web.pages.alarms import attempt, reader, with_names

SPANS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}
EXPORT_MAX = 20_000
JOURNAL = ("id", "at", "alarm", "tag", "title", "change", "before", "after", "priority", "value", "actor", "reason")
VERBS = {
    "remove": (gettext_lazy("Take out of service"), alarms.remove_from_service),
    "return": (gettext_lazy("Bring back to service"), alarms.return_to_service),
    "delete": (gettext_lazy("Remove from the list"), alarms.remove_definition),
}


@require_safe
@needs(Permission.FACILITY_VIEW)
def journal(request: HttpRequest) -> HttpResponse:
    """What happened to alarms, newest first."""
    change, before = _filters(request)
    lines = alarm_rows.events(change=change, before=before)
    content = {
        "here": "alarms",
        "tab": "journal",
        "lines": with_names(lines),
        "changes": list(alarm_wording.CHANGES.items()),
        "change": change,
        "continued": before is not None,
        "next": lines[-1].id if len(lines) == alarm_rows.EVENTS_MAX else None,
    }
    return render(request, "pages/alarm_journal.html", content)


@require_safe
@needs(Permission.FACILITY_VIEW)
def export_journal(request: HttpRequest, kind: str) -> HttpResponse:
    """The same as CSV or JSON."""
    change, before = _filters(request)
    lines = alarm_rows.events(change=change, before=before, limit=EXPORT_MAX)
    rows = [_journal_row(each) for each in lines]
    return download("alarms", kind, JOURNAL, rows, len(rows))


def _journal_row(line: EventLine) -> list[Any]:
    facts: list[Any] = [line.id, line.at, line.alarm_id, line.tag, line.title, line.change.value, line.before.value]
    return [*facts, line.after.value, line.priority.value, line.value, line.actor, line.reason]


def _filters(request: HttpRequest) -> tuple[Change | None, int | None]:
    word, number = request.GET.get("change", ""), request.GET.get("before", "")
    change = Change(word) if word in {each.value for each in Change} else None
    return change, int(number) if number.isascii() and number.isdigit() and len(number) < 18 else None


@require_safe
@needs(Permission.FACILITY_VIEW)
def definitions(request: HttpRequest) -> HttpResponse:
    """The rationalisation list."""
    content = {
        "here": "alarms",
        "tab": "list",
        "rows": alarm_rows.definitions(),
        "may_edit": reader(request).may(Permission.ALARM_EDIT),
    }
    return render(request, "pages/alarm_definitions.html", content)


@require_safe
@needs(Permission.FACILITY_VIEW)
def export_definitions(_request: HttpRequest) -> HttpResponse:
    """The list as CSV, which the import takes back."""
    rows = [alarm_sheet.definition_cells(row) for row in alarm_rows.definitions()]
    return download("alarm-list", "csv", alarm_sheet.DEFINITION_COLUMNS, rows, len(rows))


@require_POST
@needs(Permission.ALARM_EDIT)
def import_definitions(request: HttpRequest) -> HttpResponse:
    """Entries of a CSV file, all or none; entries that it does not name stay."""

    def do() -> str:
        entries = alarm_sheet.read_definitions(_uploaded(request))
        count = alarms.write_definitions(reader(request), entries, reason=request.POST.get("reason", ""))
        return ngettext("%(n)d entry new or changed.", "%(n)d entries new or changed.", count) % {"n": count}

    return attempt(request, do, "/alarms/list/")


@require_safe
@needs(Permission.FACILITY_VIEW)
def definition(request: HttpRequest, key: str) -> HttpResponse:
    """One entry of the list."""
    row = next((each for each in alarm_rows.definitions() if each.key == key), None)
    if row is None:
        raise Http404
    may = reader(request).may(Permission.ALARM_EDIT)
    verbs = ("return",) if row.out_reason else ("remove", "delete")
    content = {
        "here": "alarms",
        "tab": "list",
        "row": row,
        "verbs": [(verb, VERBS[verb][0]) for verb in verbs] if may else [],
    }
    return render(request, "pages/alarm_definition.html", content)


@require_http_methods(["GET", "POST"])
@needs(Permission.ALARM_EDIT)
def act(request: HttpRequest, key: str, verb: str) -> HttpResponse:
    """The dialog that asks for the reason: GET shows it, POST does it."""
    if verb not in VERBS:
        raise Http404
    title, service = VERBS[verb]
    if request.method != "POST":
        return render(request, "parts/alarm_list_form.html", {"key": key, "verb": verb, "title": title})

    def do() -> str:
        service(reader(request), key, reason=request.POST.get("reason", ""))
        return _("Entered.")

    return attempt(request, do, "/alarms/list/" if verb == "delete" else f"/alarms/list/{key}/")


@require_safe
@needs(Permission.FACILITY_VIEW)
def rates(request: HttpRequest) -> HttpResponse:
    """What the alarms are worth to those who answer them, against the limits of ISA-18.2."""
    word = request.GET.get("span", "")
    until, span = utc_now(), SPANS.get(word, SPANS["day"])
    operators = request.GET.get("operators", "1")
    count = int(operators) if operators.isascii() and operators.isdigit() and 0 < int(operators) < 100 else 1
    found = alarm_rows.rates(until - span, until, operators=count)
    named = alarm_rows.named([number for number, _often in found.top] + [*found.chattering, *found.fleeting])
    content = {
        "here": "alarms",
        "tab": "rates",
        "found": found,
        "top": [(number, *named.get(number, ("", "")), often) for number, often in found.top],
        "top_most": max((often for _number, often in found.top), default=1),
        "chattering": [(number, *named.get(number, ("", ""))) for number in found.chattering],
        "fleeting": [(number, *named.get(number, ("", ""))) for number in found.fleeting],
        "stale": alarm_rows.stale(until),
        "since": until - span,
        "until": until,
        "span": word if word in SPANS else "day",
        "operators": count,
        "limits": alarm_rates,
        "shares": [(each, found.shares[each], alarm_rates.SHARES[each]) for each in reversed(alarm_wording.PRIORITIES)],
    }
    return render(request, "pages/alarm_rates.html", content)


@require_safe
@needs(Permission.FACILITY_VIEW)
def told(request: HttpRequest) -> HttpResponse:
    """Who is on duty, and what was sent to whom."""
    version, rota = alarm_rows.rota()
    content = {
        "here": "alarms",
        "tab": "told",
        "version": version,
        "steps": [(step, [duty for duty in rota.duties if duty.after_min == step]) for step in rota.steps],
        "notices": alarm_rows.notices(),
        "may_edit": reader(request).may(Permission.ALARM_EDIT),
    }
    return render(request, "pages/alarm_told.html", content)


@require_safe
@needs(Permission.ALARM_EDIT)
def export_rota(_request: HttpRequest) -> HttpResponse:
    """The rota as CSV, which the import takes back."""
    rows = list(alarm_sheet.duty_cells(alarm_rows.rota()[1]))
    return download("alarm-rota", "csv", alarm_sheet.DUTY_COLUMNS, rows, len(rows))


@require_POST
@needs(Permission.ALARM_EDIT)
def import_rota(request: HttpRequest) -> HttpResponse:
    """A whole new rota from a CSV file."""

    def do() -> str:
        document = alarm_sheet.read_rota(_uploaded(request))
        version = alarm_notices.write_rota(reader(request), document, reason=request.POST.get("reason", ""))
        return _("Version %(n)d of the rota holds.") % {"n": version}

    return attempt(request, do, "/alarms/told/")


def _uploaded(request: HttpRequest) -> bytes:
    file = request.FILES.get("file")
    if not isinstance(file, UploadedFile) or (file.size or 0) > alarm_sheet.BYTES_MAX:
        raise AlarmRefusedError("no file, or one too large", _("Choose a CSV file of at most 8 MB."))
    return bytes(file.read())
