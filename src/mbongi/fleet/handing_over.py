"""What ends and what goes with a machine that changes owner: its times of ownership, what was planned, what is open.

Part of ``services.assign``: within its transaction, its machines locked, before anything goes to the ledger.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Q

from mbongi.base.clock import utc_now
from mbongi.base.ids import ActionId
from mbongi.fleet.action_work import Ending, end_actions
from mbongi.fleet.models import Action, Operation, Owned, WorkOrder
from mbongi.fleet.operations import finish
from mbongi.fleet.rules.work_orders import WorkState
from mbongi.fleet.values import ActionStatus, OperationKind, OperationState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

FORMER = "it was planned for the machine's former owner"
_NOT_BEGUN = (ActionStatus.PLANNED, ActionStatus.REQUESTED)
_OF_AN_OWNER = (OperationKind.HAND, OperationKind.RECONCILE)
"""What is done in an owner's interest, pools above all. The other kinds are the site's duty, whoever owns a machine:
one that was put to sleep is woken, one on its way to another firmware gets there, or back."""
_LIVE = (WorkState.OPEN, WorkState.TAKEN, WorkState.FIXED)
_AT_ONCE = 5000
"""Actions of one append to the ledger."""


def hand_over(user: "User", former: Mapping[int, int | None], tenant_id: int | None) -> None:
    """Machines, with their former owners, are the tenant's (None: the site's) from now on.

    What was planned for the former owner is cancelled, and so is an operation of which nothing is left. What has begun
    is seen through as the former owner's. Work orders that are not closed, and what the site does anyhow, go with the
    machine; what was entered on an order stays with whose the machine was then.
    """
    note_owners(former, tenant_id, utc_now())
    # Operations before their steps, as ``pacing`` does: it releases nothing of them meanwhile.
    mine = Q(machine__in=list(former), status__in=_NOT_BEGUN)
    ids = Action.objects.filter(mine, operation__kind__in=_OF_AN_OWNER).values_list("operation_id", flat=True)
    touched = list(Operation.objects.select_for_update().filter(pk__in=set(ids)).order_by("pk"))
    theirs = Q(tenant=None) if tenant_id is None else Q(tenant=tenant_id)
    open_now = Action.objects.select_for_update(of=("self",)).filter(mine).exclude(theirs)
    left = list(open_now.filter(Q(operation=None) | Q(operation__kind__in=_OF_AN_OWNER)).order_by("pk"))
    Action.objects.filter(mine).exclude(pk__in=[row.pk for row in left]).update(tenant_id=tenant_id)
    WorkOrder.objects.filter(machine__in=list(former), state__in=_LIVE).update(tenant_id=tenant_id)
    for first in range(0, len(left), _AT_ONCE):
        rows = left[first : first + _AT_ONCE]
        ended = [(row, ActionStatus.CANCELLED, Ending(ActionId(row.pk), done=False, message=FORMER)) for row in rows]
        end_actions(ended, user.actor)
    for operation in touched:
        _end_empty(user, operation)


def _end_empty(user: "User", operation: Operation) -> None:
    """An operation that has not started and has no step left would wait for ever, or for an empty approval."""
    waits = operation.state in {OperationState.AWAITING, OperationState.PLANNED}
    if waits and not Action.objects.filter(operation=operation, status=ActionStatus.PLANNED).exists():
        finish(operation, OperationState.CANCELLED, user.actor, FORMER)


def note_owners(former: Mapping[int, int | None], tenant_id: int | None, at: datetime) -> None:
    """Write down that machines changed owner. Whoever is the first that is known of is taken to have been it before."""
    known = set(Owned.objects.filter(machine__in=list(former)).values_list("machine_id", flat=True))
    Owned.objects.filter(machine__in=list(former), until=None).update(until=at)
    made = [
        Owned(machine_id=pk, tenant_id=owner, until=at)
        for pk, owner in former.items()
        if owner is not None and pk not in known
    ]
    if tenant_id is not None:
        made += [
            Owned(machine_id=pk, tenant_id=tenant_id, since=None if owner is None and pk not in known else at)
            for pk, owner in former.items()
        ]
    Owned.objects.bulk_create(made, batch_size=2000)
