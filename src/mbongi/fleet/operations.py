"""Changes of many machines: planned, approved, started, paused, resumed, cancelled. ``pacing`` carries them on.

Each step is one transaction: lock, rule, save, ledger, event. An operation's steps are actions with the status
``planned``, which the fleet process releases as fast as its limits allow; each write is in the ledger by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import TenantId
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.action_rules import checked_arguments
from mbongi.fleet.action_work import PROCESS
from mbongi.fleet.errors import (
    NotPermittedError,
    OperationRefusedError,
    UnknownMachineError,
    UnknownOperationError,
)
from mbongi.fleet.events import OperationChanged
from mbongi.fleet.groups import checked_reason
from mbongi.fleet.models import Action, Machine, Operation
from mbongi.fleet.operation_rows import OperationRow, operation
from mbongi.fleet.profile_rules import checked_limits
from mbongi.fleet.values import ActionKind, ActionStatus, Limits, OperationKind, OperationState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

STEPS_MAX = 100_000
"""Steps of one operation, at most."""
OPEN_MAX = 200
"""Operations that are not over, at most."""
_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Step:
    """One write to one machine; ``load_w`` is by how much it changes the site's load, as far as is known."""

    machine_id: int
    kind: ActionKind
    arguments: Mapping[str, Any] = field(default_factory=dict)
    load_w: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation is to be. ``second``: somebody else must approve it before it can start.

    ``is_fed``: more steps may be added, so that it does not end by itself; ``actor`` is who acts in the ledger, such as
    a rule, where it is not the author. ``tenant_id`` is whose it is; None: the site's, which tenants do not see.
    """

    kind: OperationKind
    steps: Sequence[Step]
    reason: str
    limits: Limits = field(default_factory=Limits)
    document: Mapping[str, Any] = field(default_factory=dict)
    group_id: int | None = None
    profile_id: int | None = None
    tenant_id: int | None = None
    second: bool = False
    is_fed: bool = False
    actor: str = ""


@transaction.atomic
def plan_operation(user: "User", plan: Plan, *, permission: Permission = Permission.OPERATION_RUN) -> OperationRow:
    """Write an operation down with its steps; nothing is done yet. ``permission`` is what the user must have.

    Raises NotPermittedError, UnknownMachineError, ActionRefusedError for arguments that cannot be used,
    OperationRefusedError for one without steps, with too many, or beside too many others.
    """
    what = f"plan a {plan.kind}"
    _require(user, what, permission)
    reason = checked_reason(plan.reason, what)
    if not plan.steps and not plan.is_fed:
        raise OperationRefusedError(f"{what}: no steps", _("There is nothing to do."))
    if Operation.objects.filter(state__in=[state for state in OperationState if not state.is_over]).count() >= OPEN_MAX:
        raise OperationRefusedError(
            f"{what}: {OPEN_MAX} operations are not over", _("Too many operations are not over; end some first.")
        )
    row = Operation.objects.create(
        kind=plan.kind,
        state=OperationState.AWAITING if plan.second else OperationState.PLANNED,
        tenant_id=plan.tenant_id,
        group_id=plan.group_id,
        profile_id=plan.profile_id,
        limits=msgspec.to_builtins(checked_limits(plan.limits)),
        document=dict(plan.document),
        reason=reason,
        author=user,
        actor=plan.actor or user.actor,
        is_fed=plan.is_fed,
        planned_at=utc_now(),
    )
    _add_steps(row, plan.steps, what)
    after = {
        "kind": plan.kind,
        "author": user.actor,
        "steps": len(plan.steps),
        "machines": len({step.machine_id for step in plan.steps}),
        "group": plan.group_id,
        "profile": plan.profile_id,
        "limits": row.limits,
        "document": row.document,
        "second": plan.second,
    }
    record(row, row.actor, "plan", reason, after=after)
    return operation(row.pk)


@transaction.atomic
def add_steps(operation_id: int, steps: Sequence[Step]) -> int:
    """Add steps to an operation that is fed; returns how many. For drivers, such as a campaign's next stage.

    Raises UnknownOperationError, OperationRefusedError for one that is over or not fed.
    """
    row, what = locked(operation_id), f"extend operation {operation_id}"
    if not row.is_fed or OperationState(row.state).is_over:
        raise OperationRefusedError(f"{what}: it is {row.state} and takes no more steps", _("It takes no more steps."))
    _add_steps(row, steps, what)
    if steps:
        record(row, row.actor, "extend", row.reason, after={"steps": len(steps)})
    return len(steps)


@transaction.atomic
def close_steps(operation_id: int, *, document: Mapping[str, Any] | None = None) -> None:
    """No more steps come: the operation ends with the last of those that it has. ``document`` replaces its own."""
    row = locked(operation_id)
    row.is_fed = False
    row.document = row.document if document is None else dict(document)
    row.save(update_fields=["is_fed", "document"])


def _add_steps(row: Operation, steps: Sequence[Step], what: str) -> None:
    taken = Action.objects.filter(operation=row).aggregate(last=Max("seq"))["last"]
    first = 0 if taken is None else taken + 1
    if first + len(steps) > STEPS_MAX:
        raise OperationRefusedError(
            f"{what}: {first + len(steps)} steps; at most {STEPS_MAX}",
            _("An operation has %(limit)d steps at most.") % {"limit": STEPS_MAX},
        )
    ids = {step.machine_id for step in steps}
    tenants = dict(Machine.objects.filter(pk__in=ids, retired_at=None).values_list("pk", "tenant_id"))
    if missing := ids - tenants.keys():
        raise UnknownMachineError(f"{what}: machine {min(missing)}: not known, or retired")
    Action.objects.bulk_create(
        (
            Action(
                machine_id=step.machine_id,
                tenant_id=tenants[step.machine_id],
                operation=row,
                seq=seq,
                load_w=step.load_w,
                kind=step.kind,
                arguments=checked_arguments(step.kind, step.arguments),
                reason=row.reason,
                author_id=row.author_id,
                status=ActionStatus.PLANNED,
                requested_at=row.planned_at,
            )
            for seq, step in enumerate(steps, first)
        ),
        batch_size=_BATCH,
    )


@transaction.atomic
def approve_operation(user: "User", operation_id: int, *, reason: str, start: bool = False) -> OperationRow:
    """Agree to an operation that somebody else planned; it may then be started, or starts at once.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"approve operation {operation_id}"
    if not user.may(Permission.PROFILE_APPROVE):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
    reason = checked_reason(reason, what)
    row = _in_state(operation_id, what, OperationState.AWAITING)
    if row.author_id == user.pk:
        raise OperationRefusedError(
            f"{what}: {user.actor} planned it; somebody else must approve",
            _("You planned this operation; somebody else must approve it."),
        )
    row.approver, row.approved_at = user, utc_now()
    row.save(update_fields=["approver", "approved_at"])
    move(row, OperationState.PLANNED, user.actor, "approve", reason)
    if start:
        _start(row, user.actor, reason)
    return operation(row.pk)


@transaction.atomic
def refuse_operation(user: "User", operation_id: int, *, reason: str) -> OperationRow:
    """Refuse what awaits approval, or withdraw one's own: none of it is done.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"refuse operation {operation_id}"
    reason = checked_reason(reason, what)
    row = _in_state(operation_id, what, OperationState.AWAITING)
    if row.author_id != user.pk:
        _require(user, what, Permission.PROFILE_APPROVE)
    finish(row, OperationState.CANCELLED, user.actor, reason, verb="refuse")
    return operation(row.pk)


@transaction.atomic
def start_operation(user: "User", operation_id: int) -> OperationRow:
    """Let it begin. Raises NotPermittedError, UnknownOperationError, OperationRefusedError.

    In the ledger the user starts it, or who acts in the user's name: the operation's actor, where the user is its
    author.
    """
    what = f"start operation {operation_id}"
    _require(user, what)
    row = _in_state(operation_id, what, OperationState.PLANNED)
    _start(row, row.actor if row.author_id == user.pk else user.actor, row.reason)
    return operation(row.pk)


def _start(row: Operation, actor: str, reason: str) -> None:
    row.started_at = row.ramp_at = utc_now()
    row.save(update_fields=["started_at", "ramp_at"])
    move(row, OperationState.RUNNING, actor, "start", reason)


@transaction.atomic
def pause_operation(user: "User", operation_id: int, *, reason: str) -> OperationRow:
    """Begin no more steps; those under way are seen through. Whoever may control a machine may pause.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"pause operation {operation_id}"
    if not user.may(Permission.MACHINE_CONTROL):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
    reason = checked_reason(reason, what)
    row = _in_state(operation_id, what, OperationState.RUNNING)
    move(row, OperationState.PAUSED, user.actor, "pause", reason)
    return operation(row.pk)


@transaction.atomic
def resume_operation(user: "User", operation_id: int, *, reason: str) -> OperationRow:
    """Let a paused or halted one go on; it halts again only at as many further failures.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"resume operation {operation_id}"
    _require(user, what)
    reason = checked_reason(reason, what)
    row = _in_state(operation_id, what, OperationState.PAUSED, OperationState.HALTED)
    row.failures_before, row.message = row.failures_now, ""
    row.ramp_kw, row.ramp_at = 0.0, utc_now()
    row.save(update_fields=["failures_before", "message", "ramp_kw", "ramp_at"])
    move(row, OperationState.RUNNING, user.actor, "resume", reason)
    return operation(row.pk)


@transaction.atomic
def cancel_operation(user: "User", operation_id: int, *, reason: str) -> OperationRow:
    """End it: what has not begun is not done, what is under way is seen through, what is done stays done.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"cancel operation {operation_id}"
    _require(user, what)
    reason = checked_reason(reason, what)
    row = _in_state(operation_id, what, *(state for state in OperationState if not state.is_over))
    finish(row, OperationState.CANCELLED, user.actor, reason)
    return operation(row.pk)


@transaction.atomic
def finish_operation(operation_id: int, state: OperationState, message: str) -> OperationRow:
    """End an operation by itself, as its driver decides: done or rolled back. One that is over stays as it is."""
    row = locked(operation_id)
    if not OperationState(row.state).is_over:
        finish(row, state, row.actor, message)
    return operation(row.pk)


@transaction.atomic
def halt_operation(operation_id: int, message: str) -> None:
    """Stop a running operation by itself until a person looks. One that does not run stays as it is."""
    row = locked(operation_id)
    if row.state == OperationState.RUNNING:
        halt(row, message)


# What the fleet process does too. Rows are locked, within a transaction.


def halt(row: Operation, message: str) -> None:
    """Into the state HALTED, with the reason."""
    row.message = message[:500]
    row.save(update_fields=["message"])
    move(row, OperationState.HALTED, PROCESS, "halt", row.message)


def finish(row: Operation, state: OperationState, actor: str, message: str, *, verb: str = "") -> None:
    """Into a last state; steps that have not begun are cancelled with it, in its one entry of the ledger."""
    now = utc_now()
    planned = Action.objects.filter(operation=row, status=ActionStatus.PLANNED)
    left = planned.update(status=ActionStatus.CANCELLED, finished_at=now, message=message[:500])
    row.message, row.finished_at, row.is_fed = message[:500], now, False
    row.save(update_fields=["message", "finished_at", "is_fed"])
    verb = verb or ("cancel" if state is OperationState.CANCELLED else str(state))
    move(row, state, actor, verb, message, after={"not_begun": left})


def move(
    row: Operation, state: OperationState, actor: str, verb: str, reason: str, after: Mapping[str, Any] | None = None
) -> None:
    """Into another state, with the bus and the ledger told."""
    before, row.state = row.state, state
    row.save(update_fields=["state"])
    record(row, actor, verb, reason, before={"state": before}, after={"state": state} | dict(after or {}))


def record(
    row: Operation,
    actor: str,
    verb: str,
    reason: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """An entry of the ledger about an operation, and a word on the bus."""
    outbox.emit(
        OperationChanged(
            operation_id=row.pk,
            kind=row.kind,
            state=row.state,
            message=row.message,
            tenant_id=row.tenant_id,
            at_ms=int(utc_now().timestamp() * 1000),
        )
    )
    tenant = None if row.tenant_id is None else TenantId(row.tenant_id)
    ledger.append([NewEntry(actor, f"fleet.operation.{verb}", f"operation:{row.pk}", reason, before, after, tenant)])


def locked(operation_id: int) -> Operation:
    """The operation, locked. Raises UnknownOperationError."""
    row = Operation.objects.select_for_update().filter(pk=operation_id).first()
    if row is None:
        raise UnknownOperationError(f"operation {operation_id}: not known")
    return row


def _in_state(operation_id: int, what: str, *states: OperationState) -> Operation:
    row = locked(operation_id)
    if row.state not in states:
        raise OperationRefusedError(
            f"{what}: it is {row.state}; expected {' or '.join(states)}",
            _("The operation has come further meanwhile; look again."),
        )
    return row


def _require(user: "User", what: str, permission: Permission = Permission.OPERATION_RUN) -> None:
    if not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
