"""Reads of operations and their steps, as the present scope may see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from django.db.models import Count

from mbongi.fleet.errors import UnknownOperationError
from mbongi.fleet.models import Action, Operation
from mbongi.fleet.selectors import PAGE_MAX, ActionRow, action_row
from mbongi.fleet.values import ActionStatus, Limits, OperationKind, OperationState

if TYPE_CHECKING:
    from django.db.models import QuerySet


@dataclass(frozen=True, slots=True)
class OperationRow:
    """An operation and how far it is: its steps by status. ``message`` says why it halted, or how it ended.

    ``needs_second``: nobody has approved it yet, and somebody other than the author must.
    """

    id: int
    kind: OperationKind
    state: OperationState
    group_id: int | None
    group: str
    profile_id: int | None
    tenant_id: int | None
    limits: Limits
    document: Mapping[str, Any]
    reason: str
    author_id: int
    author: str
    actor: str
    approver: str
    planned_at: datetime
    approved_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    message: str
    steps: Mapping[ActionStatus, int]

    @property
    def total(self) -> int:
        """Steps in all."""
        return sum(self.steps.values())

    @property
    def ended(self) -> int:
        """Steps that have come to their end, whichever."""
        return sum(self.steps.get(status, 0) for status in (*_ENDS, ActionStatus.CANCELLED))

    @property
    def needs_second(self) -> bool:
        """Whether somebody else must approve it."""
        return self.state is OperationState.AWAITING


_ENDS = (ActionStatus.DONE, ActionStatus.FAILED)


REASONS_MAX = 20_000
"""Failed steps whose reasons are read for one page, at most."""


@dataclass(frozen=True, slots=True)
class StepPage:
    """Part of an operation's steps in their order; ``total`` counts those that fit."""

    rows: list[ActionRow]
    total: int
    offset: int
    limit: int


def operations(
    *,
    is_over: bool | None = None,
    kinds: Sequence[OperationKind] = (),
    group_id: int | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[OperationRow]:
    """Operations, newest first. ``is_over`` narrows to those that are, or are not."""
    rows = Operation.objects.all()
    if group_id is not None:
        rows = rows.filter(group_id=group_id)
    if kinds:
        rows = rows.filter(kind__in=list(kinds))
    if is_over is not None:
        rows = rows.filter(state__in=[state for state in OperationState if state.is_over is is_over])
    limit, offset = max(1, min(limit, PAGE_MAX)), max(0, offset)
    return operations_of(rows.order_by("-planned_at", "-pk")[offset : offset + limit])


def operation(operation_id: int) -> OperationRow:
    """One operation. Raises UnknownOperationError."""
    rows = operations_of(Operation.objects.filter(pk=operation_id))
    if not rows:
        raise UnknownOperationError(f"operation {operation_id}: not known")
    return rows[0]


def operations_of(found: "QuerySet[Operation]") -> list[OperationRow]:
    """The rows of a query, in its order."""
    rows = list(found.select_related("group", "author", "approver"))
    counts: dict[int, dict[ActionStatus, int]] = {row.pk: {} for row in rows}
    steps = Action.objects.filter(operation__in=counts).values_list("operation_id", "status")
    for operation_id, status, count in steps.annotate(count=Count("pk")).order_by():
        counts[operation_id or 0][ActionStatus(status)] = count
    return [_row(row, counts[row.pk]) for row in rows]


def _row(row: Operation, steps: Mapping[ActionStatus, int]) -> OperationRow:
    return OperationRow(
        id=row.pk,
        kind=OperationKind(row.kind),
        state=OperationState(row.state),
        group_id=row.group_id,
        group="" if row.group is None else row.group.name,
        profile_id=row.profile_id,
        tenant_id=row.tenant_id,
        limits=limits_of(row),
        document=row.document,
        reason=row.reason,
        author_id=row.author_id,
        author=str(row.author),
        actor=row.actor,
        approver="" if row.approver is None else str(row.approver),
        planned_at=row.planned_at,
        approved_at=row.approved_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        message=row.message,
        steps=steps,
    )


def limits_of(row: Operation) -> Limits:
    """The limits that an operation goes by."""
    return msgspec.convert(row.limits, Limits)


def steps(operation_id: int, *, statuses: Sequence[ActionStatus] = (), limit: int = 100, offset: int = 0) -> StepPage:
    """A page of an operation's steps; with ``statuses`` FAILED those that could not be done, each with its reason."""
    rows = Action.objects.filter(operation_id=operation_id)
    if statuses:
        rows = rows.filter(status__in=list(statuses))
    limit, offset = max(1, min(limit, PAGE_MAX)), max(0, offset)
    page = rows.select_related("author", "operation").order_by("seq")[offset : offset + limit]
    return StepPage([action_row(row) for row in page], rows.count(), offset, limit)


def failures(operation_id: int) -> list[str]:
    """Why steps of an operation failed, one reason a step."""
    rows = Action.objects.filter(operation_id=operation_id, status=ActionStatus.FAILED).order_by("seq")
    return list(rows.values_list("message", flat=True)[:REASONS_MAX])


def operations_of_machine(machine_id: int, limit: int = 5) -> list[OperationRow]:
    """The newest operations that have a step on a machine."""
    steps = Action.objects.filter(machine_id=machine_id, operation__isnull=False)
    ids = steps.order_by("-requested_at", "-pk").values_list("operation_id", flat=True)[: limit * 8]
    newest = list(dict.fromkeys(ids))[:limit]
    found = {row.id: row for row in operations_of(Operation.objects.filter(pk__in=newest))}
    return [found[number] for number in newest if number is not None and number in found]
