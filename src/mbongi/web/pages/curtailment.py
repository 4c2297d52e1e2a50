"""The curtailment console: live power against the target, the dry run, triggers, what has been."""

from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.utils.formats import localize
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.fleet import curtail_rows, curtail_triggers, curtail_wording, curtailing, selectors
from mbongi.fleet.curtail_rows import CurtailRow
from mbongi.fleet.curtail_triggers import TriggerRow
from mbongi.fleet.errors import OperationRefusedError, UnknownOperationError, UnknownTriggerError
from mbongi.fleet.rules.triggers import DAY_S, Condition, TriggerKind
from mbongi.fleet.values import CurtailPhase, CurtailWish
from mbongi.web import curtail_sight, figures
from mbongi.web.guard import needs
from mbongi.web.pages.attempts import attempt

PLACE = "/fleet/curtailment/"
HISTORY = 20
SHOWN_MAX = 100
"""Machines that a dry run names."""
UNITS = {"s": 1, "min": 60, "h": 3600}


@require_safe
@needs(Permission.CURTAIL_VIEW)
def console(request: HttpRequest) -> HttpResponse:
    """The whole page; htmx asks for the part that lives alone."""
    user: Any = request.user
    content = _live(user)
    if request.headers.get("HX-Request"):
        return render(request, "parts/curtailment.html", content)
    content |= {
        "triggers": [(row, _condition_text(row), _wish_text(row.wish)) for row in curtail_triggers.triggers()],
        "signals": curtail_triggers.signals(),
        "history": [row for row in curtail_rows.history(HISTORY + 1) if row.is_over][:HISTORY],
        "ramp_max": curtail_sight.ramp_kw_s_max(),
        "user_id": user.pk,
        "may_approve": user.may(Permission.TRIGGER_APPROVE),
    }
    return render(request, "pages/curtailment.html", content)


def _live(user: Any) -> dict[str, Any]:
    power, row, now = curtail_rows.power_now(), curtail_rows.active(), utc_now()
    asleep = curtail_sight.asleep_by_us()
    return {
        "power": power,
        "trouble": "" if power is None else curtail_wording.TROUBLES.get(power.trouble, ""),
        "row": row,
        "phase": None if row is None else curtail_wording.PHASES[row.phase],
        "message": "" if row is None else curtail_wording.message_text(row.message),
        "progress": None if row is None else curtail_sight.progress(row),
        "asleep": asleep,
        "left": asleep if row is None else 0,
        "deadline_s": _left_s(None if row is None else row.deadline_at, now),
        "is_late": _is_late(row, now),
        "ends_s": _left_s(None if row is None else row.ends_at, now),
        "may_run": user.may(Permission.OPERATION_RUN),
        "may_end": user.may(Permission.MACHINE_CONTROL),
        "wakes": row is not None and row.phase is CurtailPhase.WAKE,
    }


def _left_s(moment: Any, now: Any) -> float | None:
    return None if moment is None else max(_seconds(moment - now), 0.0)


def _is_late(row: CurtailRow | None, now: Any) -> bool:
    """Whether the target was reached after its deadline, or is not reached though that is over."""
    if row is None or row.deadline_at is None:
        return False
    if row.reached_at is not None:
        return row.reached_at > row.deadline_at
    return row.phase is CurtailPhase.SHED and row.deadline_at < now


def _seconds(span: timedelta) -> float:
    return span.total_seconds()


@require_safe
@needs(Permission.CURTAIL_VIEW)
def course(request: HttpRequest) -> JsonResponse:
    """The chart's lines: of the curtailment under way, of one that has been, or of the last half hour."""
    asked = request.GET.get("id", "")
    try:
        row = curtail_rows.curtailment(int(asked)) if asked.isdecimal() and len(asked) < 10 else curtail_rows.active()
    except UnknownOperationError as error:
        raise Http404 from error
    return JsonResponse(curtail_sight.course(row) | {"power": curtail_sight.power_words(curtail_rows.power_now())})


@require_safe
@needs(Permission.CURTAIL_VIEW)
def rehearsal(request: HttpRequest) -> HttpResponse:
    """What a curtailment would do: which machines, how much, how soon. Nothing is written."""
    user: Any = request.user
    content: dict[str, Any] = {"query": request.GET, "may_run": user.may(Permission.OPERATION_RUN)}
    try:
        found = curtail_sight.rehearse(wish_of(request.GET))
    except OperationRefusedError as error:
        return render(request, "pages/curtail_rehearsal.html", content | {"refusal": error.text})
    shown = found.chosen[:SHOWN_MAX]
    rows = selectors.machine_rows([one.machine_id for one in shown])
    known = curtail_sight.figures()
    content |= {
        "found": found,
        "machines": [(one, rows.get(one.machine_id), known.get(one.machine_id)) for one in shown],  # type: ignore[call-overload]
        "more": len(found.chosen) - len(shown),
        "left": [(curtail_wording.NOT_CHOSEN[why], count) for why, count in found.left.items()],
        "short_w": max(found.need_w - found.saves_w, 0.0),
    }
    return render(request, "pages/curtail_rehearsal.html", content)


def wish_of(given: QueryDict) -> CurtailWish:
    """The wish of a form. Raises OperationRefusedError for figures that are none."""
    value = _number(given, "value")
    is_mw = given.get("by") == "mw"
    within, lasts = _number(given, "within"), _number(given, "lasts")
    return CurtailWish(
        target_mw=value if is_mw else None,
        reduce_pct=None if is_mw else value,
        within_s=None if within is None else within * UNITS.get(given.get("within_unit", "s"), 1),
        ramp_kw_s=_number(given, "ramp"),
        lasts_s=None if lasts is None else lasts * UNITS.get(given.get("lasts_unit", "min"), 60),
        even_late="even_late" in given,
    )


def _number(given: QueryDict, name: str) -> float | None:
    text = given.get(name, "").strip().replace(",", ".").replace("\u202f", "")
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        told = _("“%(found)s” is no number.") % {"found": text[:40]}
        raise OperationRefusedError(f"{name}: {text!r} is no number", told) from error


ASKED = {
    "end": (gettext_lazy("Wake the machines"), gettext_lazy("What it put to sleep wakes, within the ramp.")),
    "abort": (
        gettext_lazy("Abort and roll back"),
        gettext_lazy("No further machine is put to sleep, and those that were wake, within the ramp."),
    ),
    "retarget": (gettext_lazy("Another target"), gettext_lazy("A reduction is of the power before the curtailment.")),
    "wake-left": (gettext_lazy("Wake them"), gettext_lazy("Machines that curtailments which are over left asleep.")),
    "trigger-approve": (gettext_lazy("Approve the trigger"), gettext_lazy("From now on it acts by itself.")),
    "trigger-on": (gettext_lazy("Switch on"), gettext_lazy("From now on it acts by itself.")),
    "trigger-off": (gettext_lazy("Switch off"), gettext_lazy("What it began goes on, and is yours to end.")),
    "trigger-retire": (gettext_lazy("Remove the trigger"), gettext_lazy("What it began goes on, and is yours to end.")),
}
"""What the dialog asks before something is done: its title, and what it means."""


@require_safe
@needs(Permission.CURTAIL_VIEW)
def ask(request: HttpRequest, what: str, number: int) -> HttpResponse:
    """The dialog before an act, which asks for the reason."""
    if what not in ASKED:
        raise Http404
    title, meaning = ASKED[what]
    verb = what.removeprefix("trigger-")
    urls = {"retarget": f"{PLACE}begin/", "wake-left": f"{PLACE}wake-left/"}
    action = f"{PLACE}triggers/{number}/{verb}/" if verb != what else urls.get(what, f"{PLACE}{number}/end/")
    content = {"what": what, "number": number, "title": title, "meaning": meaning, "action": action}
    return render(request, "parts/curtail_dialog.html", content | {"is_harsh": what in {"abort", "trigger-retire"}})


@require_POST
@needs(Permission.OPERATION_RUN)
def begin(request: HttpRequest) -> HttpResponse:
    """Begin it, or give the one under way another target."""
    user: Any = request.user
    reason, number = request.POST.get("reason", ""), request.POST.get("id", "")
    limit = curtail_sight.ramp_kw_s_max()

    def do() -> str:
        wish = wish_of(request.POST)
        if number.isdecimal():
            curtailing.retarget(user, int(number), wish, reason=reason, ramp_kw_s_max=limit)
        else:
            curtailing.begin(user, wish, curtail_sight.figures(), reason=reason, ramp_kw_s_max=limit)
        return PLACE

    return attempt(request, do, otherwise=PLACE)


@require_POST
@needs(Permission.MACHINE_CONTROL)
def end(request: HttpRequest, operation_id: int) -> HttpResponse:
    """Wake the machines; ``abort`` takes it back."""
    user: Any = request.user

    def do() -> str:
        curtailing.end(user, operation_id, reason=request.POST.get("reason", ""), abort="abort" in request.POST)
        return PLACE

    return attempt(request, do, otherwise=PLACE)


@require_POST
@needs(Permission.OPERATION_RUN)
def wake_left(request: HttpRequest) -> HttpResponse:
    """Wake what is left asleep by those that are over."""
    user: Any = request.user
    reason, limit = request.POST.get("reason", ""), curtail_sight.ramp_kw_s_max()

    def do() -> str:
        return f"/fleet/operations/{curtailing.wake_left(user, reason=reason, ramp_kw_s_max=limit)}/"

    return attempt(request, do, otherwise=PLACE)


@require_http_methods(["GET", "POST"])
@needs(Permission.OPERATION_RUN)
def trigger(request: HttpRequest, trigger_id: int | None = None) -> HttpResponse:
    """The form of a trigger, new or to be written anew."""
    user: Any = request.user
    if request.method == "POST":

        def do() -> str:
            given = request.POST
            kind = TriggerKind(given.get("kind", "")) if given.get("kind") in set(TriggerKind) else TriggerKind.SCHEDULE
            wish = wish_of(given)
            if kind is TriggerKind.CAPACITY:
                wish = CurtailWish(within_s=wish.within_s, ramp_kw_s=wish.ramp_kw_s)
            curtail_triggers.write_trigger(
                user,
                given.get("name", ""),
                kind,
                _condition(given),
                wish,
                reason=given.get("reason", ""),
                trigger_id=trigger_id,
            )
            return PLACE + "#triggers"

        told = _("It does nothing until somebody else approves it.")
        return attempt(request, do, otherwise=request.path, told=told)
    try:
        row = None if trigger_id is None else curtail_triggers.trigger(trigger_id)
    except UnknownTriggerError as error:
        raise Http404 from error
    content = {
        "trigger": row,
        "kinds": list(curtail_wording.TRIGGERS.items()),
        "kind": TriggerKind.SCHEDULE if row is None else row.kind,
        "condition": Condition() if row is None else row.condition,
        "wish": CurtailWish() if row is None else row.wish,
        "days": [(number, word) for number, word in enumerate(curtail_wording.DAYS)],
    }
    return render(request, "pages/curtail_trigger.html", content)


def _condition(given: QueryDict) -> Condition:
    days = tuple(int(day) for day in given.getlist("day") if day in set("0123456"))
    defaults = Condition()
    found = {name: _number(given, name) for name in ("begin", "end", "hold_s", "on_s", "off_s")}
    given_ones = {name: value for name, value in found.items() if value is not None}
    limits = {name: min(max(value, 0.0), DAY_S) if name.endswith("_s") else value for name, value in given_ones.items()}
    return Condition(
        days=days,
        start=given.get("start", defaults.start)[:5],
        stop=given.get("stop", defaults.stop)[:5],
        **limits,
    )


@require_POST
@needs(Permission.CURTAIL_VIEW)
def trigger_act(request: HttpRequest, trigger_id: int, verb: str) -> HttpResponse:
    """Approve a trigger, switch it on or off, take it away."""
    user: Any = request.user
    reason = request.POST.get("reason", "")

    def do() -> str:
        if verb == "approve":
            curtail_triggers.approve_trigger(user, trigger_id, reason=reason)
        elif verb in {"on", "off"}:
            curtail_triggers.switch_trigger(user, trigger_id, on=verb == "on", reason=reason)
        elif verb == "retire":
            curtail_triggers.retire_trigger(user, trigger_id, reason=reason)
        else:
            raise Http404
        return PLACE + "#triggers"

    return attempt(request, do, otherwise=PLACE + "#triggers", told=_("Entered."))


def _condition_text(row: TriggerRow) -> str:
    """What a trigger waits for, in a line."""
    one = row.condition
    if row.kind is TriggerKind.SCHEDULE:
        days = (
            _("every day")
            if len(one.days) == len(curtail_wording.DAYS)
            else ", ".join(str(curtail_wording.DAYS[day]) for day in sorted(one.days))
        )
        return f"{days}, {one.start}–{one.stop}"
    if row.kind is TriggerKind.CAPACITY:
        return _("as soon as it is told")
    unit = "Hz" if row.kind is TriggerKind.FREQUENCY else _("per MWh")
    sign = ("<", ">") if row.kind is TriggerKind.FREQUENCY else (">", "<")
    text = _("from %(sign)s %(begin)s to %(back)s %(end)s %(unit)s")
    return text % {
        "sign": sign[0],
        "begin": localize(one.begin),
        "back": sign[1],
        "end": localize(one.end),
        "unit": unit,
    }


def _wish_text(wish: CurtailWish) -> str:
    if wish.target_mw is not None:
        return f"≤ {localize(wish.target_mw)}{figures.NARROW_SPACE}MW"
    return figures.NOTHING if wish.reduce_pct is None else f"−{localize(wish.reduce_pct)}{figures.NARROW_SPACE}%"
