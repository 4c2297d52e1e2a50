"""Writes to machines, from the request to the outcome: who asked, why, and what it changed, each in the ledger.

An action goes requested → running → done or failed; a step of an operation is planned before. What the fleet process
does with it is in ``action_work``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import ActionId
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.action_rules import checked_arguments
from mbongi.fleet.action_work import REASON_MAX, Ending, end_actions
from mbongi.fleet.errors import (
    ActionRefusedError,
    MachineBusyError,
    NotPermittedError,
    UnknownActionError,
    UnknownMachineError,
)
from mbongi.fleet.events import ActionRequested
from mbongi.fleet.models import Action, Machine, Profile
from mbongi.fleet.operations import Plan, Step, plan_operation
from mbongi.fleet.selectors import ActionRow, action_row
from mbongi.fleet.values import ActionKind, ActionStatus, OperationKind, ProfileState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

MACHINES_MAX = 5000
"""Machines of one request, at most."""

_PERMISSION = {
    ActionKind.SET_POOLS: Permission.MACHINE_MANAGE,
    ActionKind.SET_CREDENTIALS: Permission.CREDENTIAL_MANAGE,
}


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

    New pools wait, as steps of an operation, until a second person approves it (``operations.approve_operation``).
    ``arguments`` of SET_POOLS: ``{"pools": [{"url": "stratum+tcp://host:3333", "user": "site.worker"}, …]}``; the
    other kinds take none. ``dry_run`` reads the machine and says what would change. Raises NotPermittedError,
    UnknownMachineError, or ActionRefusedError: no reason, bad arguments, or a machine with an action under way.
    """
    checked = _checked_request(user, machine_ids, kind, arguments or {}, reason)
    machines = list(Machine.objects.select_for_update().filter(pk__in=set(machine_ids), retired_at=None).order_by("pk"))
    if missing := set(machine_ids) - {machine.pk for machine in machines}:
        raise UnknownMachineError(f"{kind} machine {min(missing)}: not known, or retired")
    if kind is ActionKind.SET_POOLS and not dry_run:
        _check_no_profile(machines)
    _check_free(machines, kind)
    if kind is ActionKind.SET_POOLS and not dry_run:
        return _ask_second(user, machines, checked, reason)
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
    outbox.emit(*(requested_message(row) for row in rows))
    ledger.append([requested_entry(row, user.actor) for row in rows])
    return [action_row(row) for row in rows]


def _ask_second(user: "User", machines: Sequence[Machine], pools: Mapping[str, Any], reason: str) -> list[ActionRow]:
    """Who is paid for a machine's work is nobody's alone to change: an operation that a second person must approve."""
    steps = [Step(machine.pk, ActionKind.SET_POOLS, pools) for machine in machines]
    tenants = {machine.tenant_id for machine in machines}
    plan = Plan(
        kind=OperationKind.HAND,
        steps=steps,
        reason=reason,
        document=pools,
        tenant_id=tenants.pop() if len(tenants) == 1 else None,
        second=True,
    )
    row = plan_operation(user, plan, permission=_PERMISSION[ActionKind.SET_POOLS])
    made = Action.objects.filter(operation=row.id).select_related("author", "operation").order_by("seq")
    return [action_row(each) for each in made]


def _checked_request(
    user: "User", machine_ids: Sequence[int], kind: ActionKind, arguments: Mapping[str, Any], reason: str
) -> dict[str, Any]:
    if kind is ActionKind.UPGRADE:
        raise ActionRefusedError(
            f"{kind}: asked of single machines; firmware is written by campaigns, which two people agree on",
            _("Firmware is changed by a campaign."),
        )
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
    return checked_arguments(kind, arguments)


def _check_no_profile(machines: Sequence[Machine]) -> None:
    """Where a profile says which pools, two people have agreed on them; one alone changes them for no machine."""
    groups = {machine.group_id for machine in machines if machine.group_id is not None}
    active = Profile.objects.filter(group__in=groups, state=ProfileState.ACTIVE).exclude(document__pools=[])
    bound = set(active.values_list("group_id", flat=True))
    first = next((machine for machine in machines if machine.group_id in bound), None)
    if first is not None:
        text = _("The pools of machine %(id)d come from the profile of its group; write a new version of that.")
        raise ActionRefusedError(
            f"set_pools machine {first.pk}: the profile of group {first.group_id} says its pools",
            text % {"id": first.pk},
        )


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
    if row.status not in {ActionStatus.PLANNED, ActionStatus.REQUESTED}:
        raise ActionRefusedError(
            f"cancel action {action_id}: it is {row.status}; only one that has not begun can be cancelled",
            _("Only an action that has not begun can be cancelled."),
        )
    ending = Ending(ActionId(row.pk), done=False, message=reason.strip())
    end_actions([(row, ActionStatus.CANCELLED, ending)], user.actor)
    return action_row(row)


def requested_entry(row: Action, actor: str) -> NewEntry:
    """The ledger's entry of a write that may begin now."""
    asked: dict[str, Any] = {"action": row.pk, "arguments": row.arguments, "dry_run": row.dry_run}
    if row.operation_id is not None:
        asked["operation"] = row.operation_id
    name = f"fleet.machine.{row.kind}.request"
    return NewEntry(actor, name, f"machine:{row.machine_id}", row.reason, None, asked, row.tenant_id)


def requested_message(row: Action) -> ActionRequested:
    """What the bus is told of it."""
    return ActionRequested(
        action_id=row.pk,
        machine_id=row.machine_id,
        kind=row.kind,
        tenant_id=row.tenant_id,
        at_ms=int(row.requested_at.timestamp() * 1000),
    )
