"""What the routes of healing answer."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from mbongi.fleet import healing, healing_rows, healing_wording
from mbongi.fleet.healing_rows import AttemptFilter, AttemptRow, ReplayRow, RuleRow
from mbongi.fleet.rules.healing import Outcome
from mbongi.web import filters
from mbongi.web.api import healing_structs as structs
from mbongi.web.api.views import Call


def healing_rules(_call: Call) -> structs.HealingRuleList:
    """Every rule."""
    return structs.HealingRuleList(items=[_rule(row) for row in healing_rows.rules()])


def healing_rule(call: Call) -> structs.HealingRule:
    """One rule."""
    return _rule(healing_rows.rule(call.number))


def _rule(row: RuleRow) -> structs.HealingRule:
    names = ("id", "key", "name", "rank", "mode", "version", "document", "author", "changed_at")
    return structs.HealingRule(
        counts=dict(row.counts),
        standing=dict(row.standing),
        refused=healing_wording.refusal_text(row.refused),
        **{name: getattr(row, name) for name in names},
    )


def add_healing_rule(call: Call) -> structs.HealingRule:
    """A new rule."""
    user: Any = call.request.user
    body: structs.HealingRuleRequest = call.body
    number = healing.add_rule(user, body.name, body.document, rank=body.rank, reason=body.reason)
    return _rule(healing_rows.rule(number))


def change_healing_rule(call: Call) -> structs.HealingRule:
    """Change or switch a rule."""
    user: Any = call.request.user
    body: structs.HealingChangeRequest = call.body
    healing.change_rule(
        user,
        call.number,
        document=body.document,
        name=body.name,
        rank=body.rank,
        mode=body.mode,
        reason=body.reason,
    )
    return _rule(healing_rows.rule(call.number))


def healing_attempts(call: Call) -> structs.HealingAttemptList:
    """What rules did."""
    query = call.request.GET
    part = filters.part_query(query)
    page = healing_rows.attempts(
        AttemptFilter(
            rule_id=filters.whole(query, "rule", None, 1, 2**31 - 1),
            machine_id=filters.whole(query, "machine", None, 1, 2**31 - 1),
            outcomes=filters.choices(query, "outcome", Outcome, tuple(Outcome)),
        ),
        limit=part.limit,
        offset=part.offset,
    )
    items = [_attempt(row) for row in page.rows]
    return structs.HealingAttemptList(items=items, total=page.total, offset=part.offset, limit=part.limit)


def _attempt(row: AttemptRow) -> structs.HealingAttempt:
    names = (
        *("id", "rule_id", "rule", "version", "machine_id", "cure", "step", "is_watch", "since", "started_at"),
        *("ended_at", "outcome", "message", "operation_id"),
    )
    return structs.HealingAttempt(work_order_id=row.order_id, **{name: getattr(row, name) for name in names})


def ask_healing_replay(call: Call) -> structs.HealingReplay:
    """Ask for a replay."""
    user: Any = call.request.user
    body: structs.ReplayRequest = call.body
    documents = {name: msgspec.to_builtins(document) for name, document in body.documents.items()}
    number = healing.ask_replay(
        user, documents, rule_ids=tuple(body.rules), since=_aware(body.since), until=_aware(body.until)
    )
    return _replay(healing_rows.replay(number))


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def healing_replay(call: Call) -> structs.HealingReplay:
    """One replay."""
    return _replay(healing_rows.replay(call.number))


def _replay(row: ReplayRow) -> structs.HealingReplay:
    names = ("id", "since", "until", "author", "percent", "finished_at", "error")
    return structs.HealingReplay(
        rules=[dict(each) for each in row.rules],
        result=None if row.result is None else dict(row.result),
        **{name: getattr(row, name) for name in names},
    )
