"""What the API takes and gives of healing rules, what they did, and replays."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mbongi.fleet.rules.healing import Cure, Mode, Outcome, RuleDocument
from mbongi.web.api.group_structs import Reason

Name = Annotated[str, Meta(min_length=1, max_length=80)]
Rank = Annotated[int, Meta(ge=0, le=1000, description="a lower one goes first where a machine meets several rules")]


class HealingRule(msgspec.Struct, kw_only=True):
    """A healing rule. ``counts``: what it began in the last 24 hours, by outcome."""

    id: int
    key: Annotated[str, Meta(description="of a built-in rule; empty: a person's")]
    name: str
    rank: int
    mode: Mode
    version: int
    document: RuleDocument
    author: Annotated[str, Meta(description="in whose name it acts; empty: nobody has switched it yet")]
    changed_at: datetime
    counts: dict[str, int]
    standing: Annotated[
        dict[str, int], Meta(description="machines that it holds back or leaves alone now, by move and reason")
    ]
    refused: Annotated[str, Meta(description="why it can begin nothing; empty where it can")]


class HealingRuleList(msgspec.Struct, kw_only=True):
    """Every rule, in the order in which they are asked."""

    items: list[HealingRule]


class HealingRuleRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new rule; it is off at first."""

    name: Name
    document: RuleDocument
    rank: Rank = 100
    reason: Reason


class HealingChangeRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed of a rule; null leaves it as it is. Mode ``on`` lets it act, in your name."""

    name: Name | None = None
    document: RuleDocument | None = None
    rank: Rank | None = None
    mode: Mode | None = None
    reason: Reason


class HealingAttempt(msgspec.Struct, kw_only=True):
    """Something that a rule did about a machine, or, watched only, would have done."""

    id: int
    rule_id: int
    rule: str
    version: int
    machine_id: int
    cure: Cure
    step: int
    is_watch: bool
    since: Annotated[datetime, Meta(description="when the machine's condition began")]
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome
    message: str
    operation_id: int | None
    work_order_id: int | None


class HealingAttemptList(msgspec.Struct, kw_only=True):
    """Part of the attempts, newest first."""

    items: list[HealingAttempt]
    total: int
    offset: int
    limit: int


class ReplayRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A replay of a span of the past: with rules as they are, by number, or with rules that nobody has written down."""

    since: datetime
    until: datetime
    rules: Annotated[list[int], Meta(max_length=100)] = []
    documents: Annotated[dict[str, RuleDocument], Meta(description="rules to be tried out, by name")] = {}


class HealingReplay(msgspec.Struct, kw_only=True):
    """A replay and how far it is.

    Machines are taken to have done what they did without the rules: how they would have answered is not known.
    ``result`` holds ``attempts`` (at, cure, machine, rule, outcome), ``kept`` (why, machines, minutes), ``counts``.
    """

    id: int
    since: datetime
    until: datetime
    author: str
    rules: list[dict[str, Any]]
    percent: int
    finished_at: datetime | None
    error: str
    result: dict[str, Any] | None
