"""Reads of healing rules, what they did, and replays, as the present scope may see them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from django.db.models import Count
from django.db.models.functions import TruncHour

from mbongi.base.clock import utc_now
from mbongi.fleet.errors import UnknownRuleError
from mbongi.fleet.models import HealingAttempt, HealingReplay, HealingRule
from mbongi.fleet.positions import rack_label
from mbongi.fleet.rules.healing import Cure, Mode, Outcome, RuleDocument
from mbongi.fleet.selectors import PAGE_MAX

if TYPE_CHECKING:
    from django.db.models import QuerySet

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule, what it did (or, watching, would have done) in the last 24 hours by outcome, and how it stands now.

    ``hours`` are what it began in each of these hours, oldest first, by cure. ``standing`` counts machines that it
    holds back or leaves alone by ``move:why``; ``refused`` says why it could begin nothing, empty where it could.
    """

    id: int
    key: str
    name: str
    rank: int
    mode: Mode
    version: int
    document: RuleDocument
    author: str
    changed_at: datetime
    counts: Mapping[str, int]
    hours: Sequence[Mapping[str, int]]
    standing: Mapping[str, int]
    refused: str

    def as_builtins(self) -> dict[str, Any]:
        """Its document as it is stored."""
        made: dict[str, Any] = msgspec.to_builtins(self.document)
        return made


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """Something that a rule did about a machine, or would have done."""

    id: int
    rule_id: int
    rule: str
    rule_key: str
    version: int
    machine_id: int
    address: str | None
    model: str
    rack_label: str
    slot: int | None
    cure: Cure
    step: int
    is_watch: bool
    since: datetime
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome
    message: str
    operation_id: int | None
    order_id: int | None


@dataclass(frozen=True, slots=True)
class AttemptFilter:
    """Which attempts; an empty field does not narrow."""

    rule_id: int | None = None
    machine_id: int | None = None
    outcomes: Sequence[Outcome] = ()
    is_watch: bool | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptPage:
    """Part of the attempts, newest first; ``total`` counts those that fit."""

    rows: list[AttemptRow]
    total: int
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """A replay: how far it is, and its result once there is one. ``error`` says why there is none."""

    id: int
    rules: Sequence[Mapping[str, Any]]
    since: datetime
    until: datetime
    author: str
    asked_at: datetime
    begun_at: datetime | None
    finished_at: datetime | None
    percent: int
    result: Mapping[str, Any] | None
    error: str


def rules(*, now: datetime | None = None) -> list[RuleRow]:
    """Every rule, in the order in which they are asked."""
    return _rule_rows(HealingRule.objects.filter(removed_at=None), now or utc_now())


def rule(rule_id: int, *, now: datetime | None = None) -> RuleRow:
    """One rule. Raises UnknownRuleError."""
    rows = _rule_rows(HealingRule.objects.filter(pk=rule_id, removed_at=None), now or utc_now())
    if not rows:
        raise UnknownRuleError(f"healing rule {rule_id}: not known")
    return rows[0]


def _rule_rows(found: "QuerySet[HealingRule]", now: datetime) -> list[RuleRow]:
    rows = list(found.select_related("author").order_by("rank", "pk"))
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    recent = HealingAttempt.objects.filter(rule__in=rows)
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    by_outcome = recent.filter(started_at__gt=now - DAY).values_list("rule_id", "outcome").annotate(count=Count("pk"))
    for rule_id, outcome, count in by_outcome.order_by():
        counts[rule_id][outcome] = count
    hours: dict[int, list[dict[str, int]]] = defaultdict(lambda: [{} for _hour in range(24)])
    by_hour = recent.filter(started_at__gte=first, started_at__lte=now).annotate(hour=TruncHour("started_at"))
    for rule_id, cure, hour, count in (
        by_hour.values_list("rule_id", "cure", "hour").annotate(count=Count("pk")).order_by()
    ):
        place = int((hour - first).total_seconds() // 3600)
        hours[rule_id][min(max(place, 0), 23)][cure] = count
    return [_rule_row(row, counts[row.pk], hours[row.pk]) for row in rows]


def _rule_row(row: HealingRule, counts: Mapping[str, int], hours: Sequence[Mapping[str, int]]) -> RuleRow:
    return RuleRow(
        id=row.pk,
        key=row.key,
        name=row.name,
        rank=row.rank,
        mode=Mode(row.mode),
        version=row.version,
        document=msgspec.convert(row.document, RuleDocument),
        author="" if row.author is None else str(row.author),
        changed_at=row.changed_at,
        counts=counts,
        hours=hours,
        standing=row.standing.get("counts", {}),
        refused=row.standing.get("refused", ""),
    )


def attempts(filters: AttemptFilter = AttemptFilter(), *, limit: int = 50, offset: int = 0) -> AttemptPage:
    """What rules did, newest first."""
    rows = HealingAttempt.objects.all()
    for name in ("rule_id", "machine_id", "is_watch"):
        if getattr(filters, name) is not None:
            rows = rows.filter(**{name: getattr(filters, name)})
    if filters.outcomes:
        rows = rows.filter(outcome__in=list(filters.outcomes))
    if filters.since is not None:
        rows = rows.filter(started_at__gte=filters.since)
    limit, offset = max(1, min(limit, PAGE_MAX)), max(0, offset)
    page = rows.select_related("machine", "rule").order_by("-started_at", "-pk")[offset : offset + limit]
    return AttemptPage([_attempt_row(row) for row in page], rows.count(), offset, limit)


def _attempt_row(row: HealingAttempt) -> AttemptRow:
    return AttemptRow(
        id=row.pk,
        rule_id=row.rule_id,
        rule=row.rule.name,
        rule_key=row.rule.key,
        version=row.version,
        machine_id=row.machine_id,
        address=row.machine.address,
        model=row.machine.model,
        rack_label=rack_label(row.machine.hall, row.machine.rack),
        slot=row.machine.slot,
        cure=Cure(row.cure),
        step=row.step,
        is_watch=row.is_watch,
        since=row.since,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=Outcome(row.outcome),
        message=row.message,
        operation_id=row.operation_id,
        order_id=row.order_id,
    )


def replays(limit: int = 10) -> list[ReplayRow]:
    """The newest replays, without their results."""
    rows = HealingReplay.objects.select_related("author").order_by("-pk").defer("result")
    return [_replay_row(row, with_result=False) for row in rows[: max(1, min(limit, PAGE_MAX))]]


def replay(replay_id: int) -> ReplayRow:
    """One replay. Raises UnknownRuleError."""
    row = HealingReplay.objects.select_related("author").filter(pk=replay_id).first()
    if row is None:
        raise UnknownRuleError(f"healing replay {replay_id}: not known")
    return _replay_row(row, with_result=True)


def _replay_row(row: HealingReplay, *, with_result: bool) -> ReplayRow:
    return ReplayRow(
        id=row.pk,
        rules=row.rules,
        since=row.since,
        until=row.until,
        author=str(row.author),
        asked_at=row.asked_at,
        begun_at=row.begun_at,
        finished_at=row.finished_at,
        percent=100 * row.done // row.total if row.total else 0,
        result=row.result if with_result else None,
        error=row.error,
    )
