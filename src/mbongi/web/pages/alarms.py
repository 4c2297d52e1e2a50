"""Alarms: those that stand, one with its history, and what operators do with them."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity import selectors as identity
from mbongi.core.identity.values import Permission
from mbongi.facility import alarm_answers, alarm_rows
from mbongi.facility.alarm_rows import AlarmRow, EventLine
from mbongi.facility.errors import AlarmRefusedError, NotPermittedError, UnknownAlarmError
from mbongi.facility.rules.alarm_state import State
from mbongi.web.guard import needs
from mbongi.web.pages.ledger import actor_names

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

HISTORY = timedelta(days=7)
SHELVE_MINUTES = (15, 60, 240, 480)
VERBS = {
    "shelve": (gettext_lazy("Shelve"), Permission.ALARM_ANSWER),
    "unshelve": (gettext_lazy("Take off the shelf"), Permission.ALARM_ANSWER),
    "reset": (gettext_lazy("Reset"), Permission.ALARM_ANSWER),
    "suppress": (gettext_lazy("Suppress by design"), Permission.ALARM_EDIT),
    "release": (gettext_lazy("End the suppression"), Permission.ALARM_EDIT),
    "remove": (gettext_lazy("Take out of service"), Permission.ALARM_EDIT),
    "return": (gettext_lazy("Bring back to service"), Permission.ALARM_EDIT),
}
_AT_REST = ("shelve", "suppress", "remove")
POSSIBLE = {
    State.LATCHED: ("reset", *_AT_REST),
    State.LATCHED_ACKNOWLEDGED: ("reset", *_AT_REST),
    State.SHELVED: ("unshelve", "shelve", "suppress", "remove"),
    State.SUPPRESSED: ("release", "remove"),
    State.OUT_OF_SERVICE: ("return",),
}


@require_safe
@needs(Permission.FACILITY_VIEW)
def standing(request: HttpRequest) -> HttpResponse:
    """What stands, unanswered first; htmx asks for the list alone."""
    rows = alarm_rows.standing()
    folded = {row.id: alarm_rows.consequences(row.id, 12) for row in rows if row.consequences}
    content = {
        "here": "alarms",
        "tab": "standing",
        "rows": [(row, folded.get(row.id, [])) for row in rows],
        "counts": alarm_rows.counts(),
        "aside": alarm_rows.aside(),
        "may_answer": reader(request).may(Permission.ALARM_ANSWER),
        "shown_max": alarm_rows.LIST_MAX,
    }
    is_part = request.headers.get("HX-Request")
    return render(request, "parts/alarm_list.html" if is_part else "pages/alarms.html", content)


@require_safe
@needs(Permission.FACILITY_VIEW)
def alarm(request: HttpRequest, alarm_id: int) -> HttpResponse:
    """One alarm: what to do, what is folded under it, when it was there, its journal, who was told."""
    row, user, now = _alarm_or_404(alarm_id), reader(request), utc_now()
    content = {
        "here": "alarms",
        "tab": "",
        "row": row,
        "root": _alarm_or_404(row.root_id) if row.root_id else None,
        "consequences": alarm_rows.consequences(alarm_id),
        "spans": alarm_rows.spans(alarm_id, now - HISTORY),
        "since": now - HISTORY,
        "until": now,
        "lines": with_names(alarm_rows.events(alarm_id=alarm_id, limit=50)),
        "answered_by": _name_of(row.answered_by),
        "notices": alarm_rows.notices(alarm_id=alarm_id, limit=20),
        "verbs": [(verb, VERBS[verb][0]) for verb in _verbs(row) if user.may(VERBS[verb][1])],
        "may_answer": user.may(Permission.ALARM_ANSWER),
    }
    return render(request, "pages/alarm.html", content)


def _verbs(row: AlarmRow) -> tuple[str, ...]:
    found = POSSIBLE.get(row.state, _AT_REST)
    return tuple(verb for verb in found if verb != "release" or row.root_id is None)


@require_POST
@needs(Permission.ALARM_ANSWER)
def acknowledge(request: HttpRequest) -> HttpResponse:
    """Take note of the chosen alarms, or of the one whose own button was pressed."""
    chosen = request.POST.getlist("only") or request.POST.getlist("alarm")
    ids = [int(each) for each in chosen if each.isascii() and each.isdigit() and len(each) < 18]

    def do() -> str:
        count = alarm_answers.acknowledge(reader(request), ids)
        return ngettext("%(n)d alarm acknowledged.", "%(n)d alarms acknowledged.", count) % {"n": count}

    return attempt(request, do, back_of(request, "/alarms/"))


@require_http_methods(["GET", "POST"])
@needs(Permission.FACILITY_VIEW)
def act(request: HttpRequest, alarm_id: int, verb: str) -> HttpResponse:
    """The dialog that asks for time and reason: GET shows it, POST does it."""
    if verb not in VERBS:
        raise Http404
    row, user, reason = _alarm_or_404(alarm_id), reader(request), request.POST.get("reason", "")
    if request.method != "POST":
        asks = verb not in {"unshelve", "reset"}
        content = {"row": row, "verb": verb, "title": VERBS[verb][0], "asks": asks, "minutes": SHELVE_MINUTES}
        return render(request, "parts/alarm_form.html", content)

    def do() -> str:
        services: dict[str, Callable[[], object]] = {
            "shelve": lambda: alarm_answers.shelve(user, [alarm_id], minutes=_minutes(request), reason=reason),
            "unshelve": lambda: alarm_answers.unshelve(user, [alarm_id]),
            "reset": lambda: alarm_answers.reset(user, alarm_id),
            "suppress": lambda: alarm_answers.suppress(user, [alarm_id], reason=reason),
            "release": lambda: alarm_answers.release(user, [alarm_id], reason=reason),
            "remove": lambda: alarm_answers.remove_one(user, alarm_id, reason=reason),
            "return": lambda: alarm_answers.return_one(user, alarm_id, reason=reason),
        }
        services[verb]()
        return _("Entered.")

    return attempt(request, do, back_of(request, f"/alarms/{alarm_id}/"))


def attempt(request: HttpRequest, act_: Callable[[], str], place: str) -> HttpResponse:
    """Do it and say what ``act_`` says, or why not; then go to ``place``."""
    try:
        messages.success(request, act_())
    except AlarmRefusedError as error:
        messages.error(request, error.text)
    except NotPermittedError as error:
        raise PermissionDenied from error
    except UnknownAlarmError as error:
        raise Http404 from error
    return redirect(place)


def reader(request: HttpRequest) -> "User":
    """Who asks; only behind ``needs``, which lets nobody else in."""
    user = request.user
    assert user.is_authenticated, "a guarded page was opened by nobody"
    return user


def _name_of(actor: str) -> str:
    number = actor.removeprefix("user:")
    if not number.isdigit():
        return actor
    return identity.users().filter(pk=int(number)).values_list("name", flat=True).first() or actor


def with_names(lines: Sequence[EventLine]) -> list[tuple[EventLine, str]]:
    """Lines of the journal, each with the name of whoever did it."""
    names = actor_names(lines)
    return [(line, names.get(line.actor, line.actor)) for line in lines]


def back_of(request: HttpRequest, otherwise: str) -> str:
    """The page that asked, where it is one of these."""
    return "/alarms/" if request.POST.get("back") == "list" else otherwise


def _minutes(request: HttpRequest) -> float:
    text = request.POST.get("minutes", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def _alarm_or_404(alarm_id: int) -> AlarmRow:
    try:
        return alarm_rows.alarm(alarm_id)
    except UnknownAlarmError as error:
        raise Http404 from error
