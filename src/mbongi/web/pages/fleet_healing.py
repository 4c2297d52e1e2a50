"""Healing: the rules with their switches, one rule with its form, what was tried, and replays of the past."""

from collections import Counter
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import group_rows, healing, healing_rows, healing_wording, wording
from mbongi.fleet.errors import ActionRefusedError, UnknownRuleError
from mbongi.fleet.healing_rows import AttemptFilter, RuleRow
from mbongi.fleet.rules.healing import Cure, Mode, Outcome, RuleDocument
from mbongi.fleet.values import EventKind
from mbongi.fleet.work_wording import FAULTS
from mbongi.web import healing_sight
from mbongi.web.filters import QueryError, choices, part_query, whole
from mbongi.web.guard import needs
from mbongi.web.pages.attempts import attempt
from mbongi.web.pages.ledger import actor_names, sentence
from mbongi.web.pages.paging import Pager

_VIEW, _EDIT = Permission.HEALING_VIEW, Permission.HEALING_EDIT
PLACE = "/fleet/healing/"
RECENT = 12
SPANS = (6, 24, 72, 168)
"""Hours of a replay that the form offers."""
STEPS = 3
"""Steps that the form has room for."""


@require_safe
@needs(_VIEW)
def rules(request: HttpRequest) -> HttpResponse:
    """Every rule: whether it acts, what it did within a day, what it holds back now."""
    rows = healing_rows.rules()
    hours: list[Counter[str]] = [Counter() for _hour in range(24)]
    for row in rows:
        for number, hour in enumerate(row.hours):
            hours[number].update(hour)
    user: Any = request.user
    content = {
        "rules": rows,
        "hours": hours,
        "counts": _summed(rows),
        "recent": healing_rows.attempts(limit=RECENT).rows,
        "replays": healing_rows.replays(5),
        "may_edit": user.may(_EDIT),
        "spans": SPANS,
    }
    return render(request, "pages/healing.html", content)


def _summed(rows: list[RuleRow]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(row.counts)
    return {
        "tried": sum(counts.values()) - counts[Outcome.ORDERED],
        "recovered": counts[Outcome.RECOVERED] + counts[Outcome.CLEARED],
        "ordered": counts[Outcome.ORDERED],
        "open": counts[Outcome.OPEN],
    }


def _rule_or_404(rule_id: int) -> RuleRow:
    try:
        return healing_rows.rule(rule_id)
    except UnknownRuleError as error:
        raise Http404 from error


@require_safe
@needs(_VIEW)
def rule(request: HttpRequest, rule_id: int) -> HttpResponse:
    """One rule."""
    row, user = _rule_or_404(rule_id), request.user
    groups = {each.id: each.name for each in group_rows.groups()}
    may_ledger = user.may(Permission.LEDGER_VIEW)  # type: ignore[union-attr]
    found = ledger.entries(f"healing_rule:{rule_id}", limit=8) if may_ledger else []
    names = actor_names(found)
    content = {
        "rule": row,
        "why": healing_wording.REASONS.get(row.key, ""),
        "groups": [groups.get(number, f"#{number}") for number in row.document.groups],
        "standing": sorted(row.standing.items(), key=lambda pair: -pair[1]),
        "attempts": healing_rows.attempts(AttemptFilter(rule_id=rule_id), limit=25),
        "may_edit": user.may(_EDIT),  # type: ignore[union-attr]
        "modes": list(healing_wording.MODES.items()),
        "entries": [(entry, sentence(entry.action), names.get(entry.actor, entry.actor)) for entry in found],
        "may_ledger": may_ledger,
        "spans": SPANS,
    }
    return render(request, "pages/healing_rule.html", content)


@require_http_methods(["GET", "POST"])
@needs(_EDIT)
def edit(request: HttpRequest, rule_id: int | None = None) -> HttpResponse:
    """The form of a rule, or of a new one, which may begin as a copy of another."""
    row = None if rule_id is None else _rule_or_404(rule_id)
    content: dict[str, Any] = {
        "rule": row,
        "kinds": [(kind, text) for kind, text in wording.KINDS.items() if kind.is_condition and kind != EventKind.RULE],
        "figures": list(healing_sight.FIGURE_NAMES.items()),
        "cures": [(cure, text) for cure, text in healing_wording.CURES.items() if cure is not Cure.WORK_ORDER],
        "faults": list(FAULTS.items()),
        "all_groups": group_rows.groups(),
        "step_numbers": range(STEPS),
    }
    if request.method != "POST":
        try:
            like = whole(request.GET, "like", None, 1, 2**31 - 1)
        except QueryError as error:
            return render(request, "pages/refused.html", {"error": error}, status=400)
        begin = row if row is not None or like is None else _rule_or_404(like)
        content["form"] = _form(begin, is_copy=row is None)
        return render(request, "pages/healing_edit.html", content)
    reason = request.POST.get("reason", "")
    try:
        number = _written(request, rule_id, reason)
    except ActionRefusedError as error:
        content |= {"form": healing_sight.form_given(request.POST), "refusal": error.text, "reason": reason}
        return render(request, "pages/healing_edit.html", content, status=400)
    return attempt(request, lambda: f"{PLACE}{number}/", otherwise=PLACE, told=_("Written down."))


def _form(begin: RuleRow | None, *, is_copy: bool) -> dict[str, Any]:
    if begin is None:
        document = RuleDocument(kinds=(EventKind.FAULT,), steps=(Cure.REBOOT,))
        return healing_sight.form_of(document, name="", rank=100)
    name = healing_wording.rule_name(begin.key, begin.name)
    if is_copy:
        name = _("%(name)s (copy)") % {"name": name}
    return healing_sight.form_of(begin.document, name=name, rank=begin.rank)


def _written(request: HttpRequest, rule_id: int | None, reason: str) -> int:
    user: Any = request.user
    document, rank = healing_sight.document_of(request.POST), healing_sight.rank_of(request.POST)
    name = request.POST.get("name", "").strip()
    if rule_id is None:
        return healing.add_rule(user, name, document, rank=rank, reason=reason)
    row = _rule_or_404(rule_id)
    # A built-in rule that keeps its name keeps it in every language.
    is_same = name == healing_wording.rule_name(row.key, row.name)
    healing.change_rule(user, rule_id, document=document, name=None if is_same else name, rank=rank, reason=reason)
    return rule_id


@require_http_methods(["GET", "POST"])
@needs(_EDIT)
def act(request: HttpRequest, rule_id: int, verb: str) -> HttpResponse:
    """The dialog that switches or removes a rule: GET asks for the reason, POST does it."""
    row, user = _rule_or_404(rule_id), request.user
    if verb not in {*(mode.value for mode in Mode), "remove"}:
        raise Http404
    if request.method != "POST":
        return render(request, "parts/healing_form.html", {"rule": row, "verb": verb})
    reason, place = request.POST.get("reason", ""), f"{PLACE}{rule_id}/"

    def do() -> str:
        if verb == "remove":
            healing.remove_rule(user, rule_id, reason=reason)  # type: ignore[arg-type]
            return PLACE
        healing.change_rule(user, rule_id, mode=Mode(verb), reason=reason)  # type: ignore[arg-type]
        return place

    return attempt(request, do, otherwise=place, told=_("Entered."))


@require_safe
@needs(_VIEW)
def attempts(request: HttpRequest) -> HttpResponse:
    """What rules did, newest first; htmx asks for the rows alone."""
    query = request.GET
    try:
        part = part_query(query)
        filters = AttemptFilter(
            rule_id=whole(query, "rule", None, 1, 2**31 - 1),
            machine_id=whole(query, "machine", None, 1, 2**31 - 1),
            outcomes=choices(query, "outcome", Outcome, tuple(Outcome)),
        )
    except QueryError as error:
        return render(request, "pages/refused.html", {"error": error}, status=400)
    page = healing_rows.attempts(filters, limit=part.limit, offset=part.offset)
    content = {
        "rows": page.rows,
        "pager": Pager(query, page.total, part.offset, part.limit),
        "rules": healing_rows.rules(),
        "outcomes": list(healing_wording.OUTCOMES.items()),
        "query": query,
    }
    name = "parts/healing_rows.html" if request.headers.get("HX-Request") else "pages/healing_attempts.html"
    return render(request, name, content)


@require_POST
@needs(_EDIT)
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for a replay of the last hours with the chosen rules."""
    user: Any = request.user
    chosen = tuple(int(word) for word in request.POST.getlist("rule") if word.isdigit())
    hours = request.POST.get("hours", "24")
    until = utc_now()
    since = until - timedelta(hours=int(hours) if hours.isdigit() and len(hours) < 4 else 24)

    def do() -> str:
        return f"{PLACE}replays/{healing.ask_replay(user, rule_ids=chosen, since=since, until=until)}/"

    return attempt(request, do, otherwise=PLACE)


@require_safe
@needs(_VIEW)
def replay(request: HttpRequest, replay_id: int) -> HttpResponse:
    """One replay: how far it is, then what the rules would have done; htmx asks for the progress again and again."""
    try:
        row = healing_rows.replay(replay_id)
    except UnknownRuleError as error:
        raise Http404 from error
    content = {"replay": row, "names": healing_sight.rule_names(row).values(), "sight": healing_sight.replay_sight(row)}
    is_part = request.headers.get("HX-Request")
    return render(request, "parts/healing_replay.html" if is_part else "pages/healing_replay.html", content)
