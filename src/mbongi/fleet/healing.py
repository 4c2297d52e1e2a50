"""Healing rules: written, switched, copied, removed. Each change is in the ledger, with the whole rule.

What rules do to machines is in ``healing_work``. Built-in rules come from ``healing_rules.csv``, watching only: whoever
switches one on answers for what it does, in whose name it then acts.
"""

import csv
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.action_work import PROCESS
from mbongi.fleet.errors import NotPermittedError, RuleRefusedError, UnknownRuleError
from mbongi.fleet.events import HealingRuleChanged
from mbongi.fleet.groups import checked_reason
from mbongi.fleet.healing_checks import checked_document
from mbongi.fleet.models import HealingAttempt, HealingReplay, HealingRule
from mbongi.fleet.rules.healing import Cure, Figure, HealLimits, Mode, Outcome, RuleDocument
from mbongi.fleet.rules.work_orders import Fault
from mbongi.fleet.values import EventKind

if TYPE_CHECKING:
    from datetime import datetime

    from mbongi.core.identity.models import User

NAME_MAX = 80
RULES_MAX = 100
REPLAYS_MAX = 50
"""Replays that are kept; older ones go."""
SPAN_MAX = timedelta(days=7)
_OFF_AT_FIRST = {"asleep"}


def built_in_rules() -> dict[str, tuple[int, RuleDocument]]:
    """The rank and the document of each built-in rule, by its key."""
    with (files("mbongi.fleet") / "healing_rules.csv").open(encoding="utf-8") as lines:
        return {row["key"]: (int(row["rank"]), _document(row)) for row in csv.DictReader(lines)}


def _document(row: Mapping[str, str]) -> RuleDocument:
    column, _above, bound = row["figure"].partition(" > ")
    common = row["common_percent"]
    document = RuleDocument(
        kinds=tuple(EventKind(word) for word in row["kinds"].split()),
        figure=Figure(column=column, above=float(bound)) if column else None,
        steps=tuple(Cure(word) for word in row["steps"].split()),
        fault=Fault(row["fault"]),
        limits=HealLimits(
            machine_day=int(row["machine_day"]),
            hour=int(row["hour"]),
            at_once=int(row["at_once"]),
            common_percent=float(common) if common else None,
        ),
        for_s=float(row["for_s"]),
        cool_down_s=float(row["cool_down_s"]),
        judge_s=float(row["judge_s"]),
        prove_s=float(row["prove_s"]),
        share_percent=float(row["share_percent"]),
    )
    return checked_document(document)


@transaction.atomic
def ensure_built_in() -> int:
    """Add the built-in rules that are not there yet; returns how many. The others stay as people left them."""
    known = set(HealingRule.objects.exclude(key="").values_list("key", flat=True))
    added = 0
    for key, (rank, document) in built_in_rules().items():
        if key in known:
            continue
        mode = Mode.OFF if key in _OFF_AT_FIRST else Mode.WATCH
        row, is_new = HealingRule.objects.get_or_create(
            key=key,
            defaults={
                "name": key,
                "rank": rank,
                "mode": mode,
                "document": msgspec.to_builtins(document),
                "changed_at": utc_now(),
            },
        )
        if is_new:
            added += 1
            _record(row, PROCESS, "add", "built in", None)
    return added


@transaction.atomic
def add_rule(
    user: "User", name: str, document: Mapping[str, Any] | RuleDocument, *, rank: int = 100, reason: str
) -> int:
    """A new rule, switched off; returns its number. Raises NotPermittedError, RuleRefusedError."""
    what = "add a healing rule"
    _require(user, what)
    reason = checked_reason(reason, what)
    if HealingRule.objects.filter(removed_at=None).count() >= RULES_MAX:
        raise RuleRefusedError(f"{what}: {RULES_MAX} are there", _("There are too many rules."))
    row = HealingRule.objects.create(
        name=_checked_name(name, what),
        rank=_checked_rank(rank, what),
        document=msgspec.to_builtins(checked_document(document)),
        author=user,
        changed_at=utc_now(),
    )
    _record(row, user.actor, "add", reason, None)
    return row.pk


@transaction.atomic
def copy_rule(user: "User", rule_id: int, name: str, *, reason: str) -> int:
    """A copy of a rule under another name, switched off; returns its number."""
    row = _locked(rule_id)
    return add_rule(user, name, row.document, rank=row.rank, reason=reason)


@transaction.atomic
def change_rule(
    user: "User",
    rule_id: int,
    *,
    document: Mapping[str, Any] | RuleDocument | None = None,
    name: str | None = None,
    rank: int | None = None,
    mode: Mode | None = None,
    reason: str,
) -> int:
    """Change what is given, as a new version, whose number it returns. Attempts under way are judged by it too.

    To let a rule act takes the right to run operations, as it acts in the user's name from then on; so it does after
    any other change of a rule that acts. Raises NotPermittedError, UnknownRuleError, RuleRefusedError.
    """
    what = f"change healing rule {rule_id}"
    _require(user, what)
    reason = checked_reason(reason, what)
    row = _locked(rule_id)
    before = _facts(row)
    if document is not None:
        row.document = msgspec.to_builtins(checked_document(document))
    if name is not None and name.strip() != row.name:
        row.name = _checked_name(name, what)
    row.rank = row.rank if rank is None else _checked_rank(rank, what)
    row.mode = row.mode if mode is None else mode
    if row.mode == Mode.ON and not user.may(Permission.OPERATION_RUN):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} may not run operations")
    row.author, row.changed_at, row.version = user, utc_now(), row.version + 1
    if row.mode == Mode.OFF:
        row.standing = {}
    row.save()
    _record(row, user.actor, "change", reason, before)
    return row.version


@transaction.atomic
def remove_rule(user: "User", rule_id: int, *, reason: str) -> None:
    """Take a rule away for good; what it did stays on record. A built-in one can only be switched off.

    Raises NotPermittedError, UnknownRuleError, RuleRefusedError.
    """
    what = f"remove healing rule {rule_id}"
    _require(user, what)
    reason = checked_reason(reason, what)
    row = _locked(rule_id)
    if row.key:
        raise RuleRefusedError(f"{what}: it is built in", _("A built-in rule cannot be removed; switch it off."))
    if HealingAttempt.objects.filter(rule=row, outcome=Outcome.OPEN).exists():
        text = _("The rule has attempts under way; switch it off and wait for their end.")
        raise RuleRefusedError(f"{what}: it has attempts under way", text)
    before = _facts(row)
    row.mode, row.removed_at, row.name, row.standing = Mode.OFF, utc_now(), f"{row.name[:60]} #{row.pk}", {}
    row.save()
    _record(row, user.actor, "remove", reason, before)


@transaction.atomic
def ask_replay(
    user: "User",
    rules: Mapping[str, Mapping[str, Any] | RuleDocument] | None = None,
    *,
    rule_ids: tuple[int, ...] = (),
    since: "datetime",
    until: "datetime",
) -> int:
    """Ask for a replay of a span of the past, with these rules as they are now, or with ``rules`` by name that nobody
    has written down; returns its number. The fleet process makes it.

    Raises NotPermittedError, RuleRefusedError, UnknownRuleError.
    """
    what = "replay healing rules"
    _require(user, what)
    until = min(until, utc_now())
    if not timedelta() < until - since <= SPAN_MAX:
        text = _("Choose a span of the past, %(days)d days at most.") % {"days": SPAN_MAX.days}
        raise RuleRefusedError(f"{what}: {since} to {until}; expected up to {SPAN_MAX}", text)
    rows = list(HealingRule.objects.filter(pk__in=rule_ids, removed_at=None).order_by("rank", "pk"))
    if missing := set(rule_ids) - {row.pk for row in rows}:
        raise UnknownRuleError(f"{what}: rule {min(missing)}: not known")
    asked = [{"id": row.pk, "name": row.name, "rank": row.rank, "document": row.document} for row in rows]
    for number, (name, document) in enumerate((rules or {}).items(), 1):
        made = msgspec.to_builtins(checked_document(document))
        asked.append({"id": -number, "name": name[:NAME_MAX], "rank": 0, "document": made})
    if not asked:
        raise RuleRefusedError(f"{what}: no rule", _("Choose a rule."))
    waiting = HealingReplay.objects.filter(finished_at=None).count()
    if waiting >= REPLAYS_MAX // 5:
        raise RuleRefusedError(f"{what}: {waiting} wait already", _("Too many replays wait; try again later."))
    kept = HealingReplay.objects.order_by("-pk").values_list("pk", flat=True)[: REPLAYS_MAX - 1]
    HealingReplay.objects.exclude(pk__in=list(kept)).exclude(finished_at=None).delete()
    row = HealingReplay.objects.create(rules=asked, since=since, until=until, author=user, asked_at=utc_now())
    return row.pk


def _require(user: "User", what: str) -> None:
    if not user.may(Permission.HEALING_EDIT):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")


def _checked_name(name: str, what: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        text = _("A rule's name has 1 to %(limit)d letters.") % {"limit": NAME_MAX}
        raise RuleRefusedError(f"{what}: name of {len(name)} characters; expected 1 to {NAME_MAX}", text)
    if HealingRule.objects.filter(name__iexact=name).exists():
        raise RuleRefusedError(f"{what}: {name!r} is there already", _("There is such a rule already."))
    return name


def _checked_rank(rank: int, what: str) -> int:
    if not 0 <= rank <= 1000:
        raise RuleRefusedError(f"{what}: rank {rank}; expected 0 to 1000", _("The rank is between 0 and 1000."))
    return rank


def _locked(rule_id: int) -> HealingRule:
    row = HealingRule.objects.select_for_update().filter(pk=rule_id, removed_at=None).first()
    if row is None:
        raise UnknownRuleError(f"healing rule {rule_id}: not known")
    return row


def _facts(row: HealingRule) -> dict[str, Any]:
    names = ("name", "rank", "mode", "version", "document")
    return {name: getattr(row, name) for name in names}


def _record(row: HealingRule, actor: str, verb: str, reason: str, before: Mapping[str, Any] | None) -> None:
    outbox.emit(
        HealingRuleChanged(
            rule_id=row.pk, mode=row.mode, version=row.version, at_ms=int(row.changed_at.timestamp() * 1000)
        )
    )
    subject = f"healing_rule:{row.pk}"
    ledger.append([NewEntry(actor, f"fleet.healing_rule.{verb}", subject, reason, before, _facts(row), None)])
