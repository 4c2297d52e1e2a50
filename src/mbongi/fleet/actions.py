"""Writes to machines, from the request to the outcome: who asked, why, and what it changed, each in the ledger.

An action goes requested → running → done or failed. The fleet process claims it, performs it, and finishes it; one
that was running when that process died is offered again with ``interrupted`` set, and must be verified, not repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import ActionId, MachineId
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.errors import (
    ActionRefusedError,
    MachineBusyError,
    NotPermittedError,
    UnknownActionError,
    UnknownMachineError,
)
from mbongi.fleet.events import ActionFinished, ActionRequested
from mbongi.fleet.models import Action, Machine
from mbongi.fleet.pool_rules import checked_pools
from mbongi.fleet.selectors import ActionRow, action_row
from mbongi.fleet.values import ActionKind, ActionStatus, Family

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

MACHINES_MAX = 5000
"""Machines of one request, at most."""
REASON_MAX = 500
EXPIRES_AFTER = timedelta(minutes=15)
"""A request that nobody could begin for so long is not begun any more: the site has changed since."""
PROCESS = "process:fleet"

_PERMISSION = {ActionKind.SET_POOLS: Permission.MACHINE_MANAGE}


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed action with what is needed to perform it.

    ``interrupted``: an earlier process began it at ``claimed_at`` and did not say how it ended.
    """

    action_id: ActionId
    machine_id: MachineId
    address: str
    family: Family
    model: str
    kind: ActionKind
    arguments: dict[str, Any]
    dry_run: bool
    requested_at: datetime
    claimed_at: datetime
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """How an action ended. ``message`` is for people; ``before`` and ``after`` hold no secrets."""

    action_id: ActionId
    done: bool
    message: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    verified: bool | None = None


@transaction.atomic
def request_action(
    user: "User",
    machine_ids: Sequence[int],
    kind: ActionKind,
    arguments: Mapping[str, Any] | None = None,
    *,
    reason: str,
    dry_run: bool = False,
) -> list[ActionRow]:
    """Ask for an action on each machine: all are entered, or none.

    ``arguments`` of SET_POOLS: ``{"pools": [{"url": "stratum+tcp://host:3333", "user": "site.worker"}, …]}``; the
    other kinds take none. ``dry_run`` reads the machine and says what would change. Raises NotPermittedError,
    UnknownMachineError, or ActionRefusedError: no reason, bad arguments, or a machine with an action under way.
    """
    checked = _checked_request(user, machine_ids, kind, arguments or {}, reason)
    machines = list(Machine.objects.select_for_update().filter(pk__in=set(machine_ids), retired_at=None).order_by("pk"))
    if missing := set(machine_ids) - {machine.pk for machine in machines}:
        raise UnknownMachineError(f"{kind} machine {min(missing)}: not known, or retired")
    _check_free(machines, kind)
    now = utc_now()
    rows = Action.objects.bulk_create(
        Action(
            machine=machine,
            tenant_id=machine.tenant_id,
            kind=kind,
            arguments=checked,
            reason=reason.strip(),
            author=user,
            dry_run=dry_run,
            requested_at=now,
        )
        for machine in machines
    )
    outbox.emit(*(_requested_message(row) for row in rows))
    ledger.append([_requested_entry(row, user) for row in rows])
    return [action_row(row) for row in rows]


def _checked_request(
    user: "User", machine_ids: Sequence[int], kind: ActionKind, arguments: Mapping[str, Any], reason: str
) -> dict[str, Any]:
    permission = _PERMISSION.get(kind, Permission.MACHINE_CONTROL)
    if not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {kind}: the role {user.role} does not permit it")
    if not reason.strip():
        raise ActionRefusedError(f"{kind}: found no reason; state why", _("State a reason."))
    if len(reason.strip()) > REASON_MAX:
        text = _("The reason is too long: %(found)d characters; at most %(limit)d.")
        raise ActionRefusedError(
            f"{kind}: reason of {len(reason.strip())} characters; at most {REASON_MAX}",
            text % {"found": len(reason.strip()), "limit": REASON_MAX},
        )
    if not 1 <= len(set(machine_ids)) <= MACHINES_MAX:
        text = _("Choose between 1 and %(limit)d machines.") % {"limit": MACHINES_MAX}
        raise ActionRefusedError(f"{kind}: {len(set(machine_ids))} machines; expected 1 to {MACHINES_MAX}", text)
    if kind is ActionKind.SET_POOLS:
        return checked_pools(arguments)
    if arguments:
        raise ActionRefusedError(
            f"{kind}: found arguments {', '.join(map(repr, sorted(arguments)))}; expected none",
            _("This action takes no arguments."),
        )
    return {}


def _check_free(machines: Sequence[Machine], kind: ActionKind) -> None:
    nowhere = next((machine for machine in machines if machine.address is None), None)
    if nowhere is not None:
        text = _("Machine %(id)d has no address: another machine took its place.") % {"id": nowhere.pk}
        raise ActionRefusedError(f"{kind} machine {nowhere.pk}: it has no address", text)
    busy = Action.objects.filter(machine__in=machines, status__in=[ActionStatus.REQUESTED, ActionStatus.RUNNING])
    first = busy.order_by("machine_id").first()
    if first is not None:
        text = _("Machine %(id)d is busy: action %(action)d is not finished.")
        raise MachineBusyError(
            f"{kind} machine {first.machine_id}: action {first.pk} ({first.kind}) is {first.status}; wait for its end",
            text % {"id": first.machine_id, "action": first.pk},
        )


@transaction.atomic
def cancel_action(user: "User", action_id: int, *, reason: str) -> ActionRow:
    """Withdraw an action that has not begun. Raises NotPermittedError, UnknownActionError, ActionRefusedError."""
    row = Action.objects.select_for_update().filter(pk=action_id).first()
    if not user.may(Permission.MACHINE_CONTROL):
        raise NotPermittedError(f"{user.actor}: cancel an action: the role {user.role} does not permit it")
    if row is None:
        raise UnknownActionError(f"action {action_id}: not known")
    if not reason.strip():
        raise ActionRefusedError(f"cancel action {action_id}: found no reason; state why", _("State a reason."))
    if row.status != ActionStatus.REQUESTED:
        raise ActionRefusedError(
            f"cancel action {action_id}: it is {row.status}; only one that has not begun can be cancelled",
            _("Only an action that has not begun can be cancelled."),
        )
    _end(row, ActionStatus.CANCELLED, Ending(ActionId(row.pk), done=False, message=reason.strip()), user.actor)
    return action_row(row)


@transaction.atomic
def claim_actions(limit: int = 20) -> list[Work]:
    """Take up to ``limit`` requested actions, oldest first, for performing; they are ``running`` from now on.

    Requests older than EXPIRES_AFTER are failed instead, as are those whose machine has lost its address.
    """
    now = utc_now()
    # A second claimer passes over rows that another one holds, so an action is claimed once.
    waiting = Action.objects.select_for_update(skip_locked=True, of=("self",)).filter(status=ActionStatus.REQUESTED)
    work = []
    for row in waiting.select_related("machine").order_by("pk")[:limit]:
        if row.requested_at < now - EXPIRES_AFTER:
            _fail(row, "not begun in time: nobody was there to perform it; ask again")
        elif row.machine.address is None or row.machine.retired_at is not None:
            _fail(row, "the machine has no address any more")
        else:
            row.status, row.claimed_at, row.claims = ActionStatus.RUNNING, now, row.claims + 1
            row.save(update_fields=["status", "claimed_at", "claims"])
            work.append(_work(row, interrupted=False))
    return work


def interrupted_actions() -> list[Work]:
    """The actions that are running by the record. Only whoever knows that no other process runs may ask."""
    rows = Action.objects.filter(status=ActionStatus.RUNNING).select_related("machine").order_by("pk")
    return [_work(row, interrupted=True) for row in rows]


def _fail(row: Action, message: str) -> None:
    _end(row, ActionStatus.FAILED, Ending(ActionId(row.pk), done=False, message=message), PROCESS)


def _work(row: Action, *, interrupted: bool) -> Work:
    assert row.claimed_at is not None
    return Work(
        action_id=ActionId(row.pk),
        machine_id=MachineId(row.machine_id),
        address=row.machine.address or "",
        family=Family(row.machine.family),
        model=row.machine.model,
        kind=ActionKind(row.kind),
        arguments=row.arguments,
        dry_run=row.dry_run,
        requested_at=row.requested_at,
        claimed_at=row.claimed_at,
        interrupted=interrupted,
    )


@transaction.atomic
def finish_action(ending: Ending) -> ActionRow:
    """Write down how a running action ended. One that has ended already stays as it is, so this may be repeated.

    Raises UnknownActionError.
    """
    row = Action.objects.select_for_update().filter(pk=ending.action_id).first()
    if row is None:
        raise UnknownActionError(f"action {ending.action_id}: not known")
    if ActionStatus(row.status).is_open:
        _end(row, ActionStatus.DONE if ending.done else ActionStatus.FAILED, ending, PROCESS)
    return action_row(row)


def _end(row: Action, status: ActionStatus, ending: Ending, actor: str) -> None:
    row.status, row.finished_at = status, utc_now()
    row.before = None if ending.before is None else dict(ending.before)
    row.after = None if ending.after is None else dict(ending.after)
    row.verified, row.message = ending.verified, ending.message[:REASON_MAX]
    row.save(update_fields=["status", "finished_at", "before", "after", "verified", "message"])
    outbox.emit(_finished_message(row))
    ledger.append([_finished_entry(row, actor)])


def _requested_entry(row: Action, user: "User") -> NewEntry:
    asked = {"action": row.pk, "arguments": row.arguments, "dry_run": row.dry_run}
    name = f"fleet.machine.{row.kind}.request"
    return NewEntry(user.actor, name, f"machine:{row.machine_id}", row.reason, None, asked, row.tenant_id)


_VERBS = {ActionStatus.DONE: "done", ActionStatus.FAILED: "fail", ActionStatus.CANCELLED: "cancel"}


def _finished_entry(row: Action, actor: str) -> NewEntry:
    verb = "rehearse" if row.dry_run and row.status == ActionStatus.DONE else _VERBS[ActionStatus(row.status)]
    after = {
        "action": row.pk,
        "author": f"user:{row.author_id}",
        "dry_run": row.dry_run,
        "settings": row.after,
        "verified": row.verified,
        "message": row.message,
    }
    before = None if row.before is None else {"settings": row.before}
    subject, name = f"machine:{row.machine_id}", f"fleet.machine.{row.kind}.{verb}"
    return NewEntry(actor, name, subject, row.reason, before, after, row.tenant_id)


def _requested_message(row: Action) -> ActionRequested:
    return ActionRequested(
        action_id=row.pk,
        machine_id=row.machine_id,
        kind=row.kind,
        tenant_id=row.tenant_id,
        at_ms=int(row.requested_at.timestamp() * 1000),
    )


def _finished_message(row: Action) -> ActionFinished:
    assert row.finished_at is not None
    return ActionFinished(
        action_id=row.pk,
        machine_id=row.machine_id,
        kind=row.kind,
        status=row.status,
        dry_run=row.dry_run,
        message=row.message,
        tenant_id=row.tenant_id,
        at_ms=int(row.finished_at.timestamp() * 1000),
    )
