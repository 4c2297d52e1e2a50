"""Moves of machines into groups by whose profile they would work for others: one person asks, another agrees.

``groups.put_machines`` asks; whoever may approve profiles decides. A machine that has gone elsewhere since waits no
longer, so that what is agreed to is what is shown.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from mbongi.core.identity.values import Permission
from mbongi.fleet.errors import NotPermittedError, ProfileRefusedError, UnknownMoveError
from mbongi.fleet.group_rows import desired_of
from mbongi.fleet.groups import checked_reason, decide_move, drop_moves, enter
from mbongi.fleet.models import Group, GroupMove, Machine, Profile
from mbongi.fleet.values import Desired, MoveState, ProfileState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

_OPEN_MAX = 200
"""Moves of one page, at most; newest first."""


@dataclass(frozen=True, slots=True)
class MoveRow:
    """A move that waits. ``origins``: how many machines come out of which group; ``desired`` is what they go to."""

    id: int
    group_id: int
    group: str
    machine_ids: Sequence[int]
    origins: Sequence[tuple[str, int]]
    desired: Desired | None
    author_id: int
    author: str
    reason: str
    asked_at: datetime


def open_moves(group_id: int | None = None) -> list[MoveRow]:
    """The moves that wait for a second person, newest first: all, or into one group."""
    rows = GroupMove.objects.filter(state=MoveState.AWAITING).select_related("group", "author")
    if group_id is not None:
        rows = rows.filter(group_id=group_id)
    found = list(rows.order_by("-pk")[:_OPEN_MAX])
    waiting: dict[int, list[tuple[int, str]]] = {row.pk: [] for row in found}
    machines = Machine.objects.filter(move__in=waiting, retired_at=None).order_by("pk")
    for pk, move_id, name in machines.values_list("pk", "move_id", "group__name"):
        waiting[move_id or 0].append((pk, name or ""))
    active = Profile.objects.filter(group__in=[row.group_id for row in found], state=ProfileState.ACTIVE)
    desired = {row.group_id: desired_of(row) for row in active}
    return [
        MoveRow(
            id=row.pk,
            group_id=row.group_id,
            group=row.group.name,
            machine_ids=[pk for pk, _name in waiting[row.pk]],
            origins=Counter(name for _pk, name in waiting[row.pk]).most_common(),
            desired=desired.get(row.group_id),
            author_id=row.author_id,
            author=str(row.author),
            reason=row.reason,
            asked_at=row.asked_at,
        )
        for row in found
    ]


@transaction.atomic
def approve_move(user: "User", move_id: int, *, reason: str) -> int:
    """Agree to a move that somebody else asked for; returns how many machines went. No machine is written.

    Raises NotPermittedError, UnknownMoveError, ProfileRefusedError.
    """
    what = f"approve move {move_id}"
    reason = checked_reason(reason, what)
    move, machines = _awaiting(move_id, what)
    _require(user, what)
    if move.author_id == user.pk:
        raise ProfileRefusedError(
            f"{what}: {user.actor} asked for it; somebody else must approve",
            _("You asked for this; somebody else must approve it."),
        )
    decide_move(move, MoveState.APPROVED, user, reason)
    going = [machine for machine in machines if machine.retired_at is None]
    enter(user, going, move.group_id, reason)
    return len(going)


@transaction.atomic
def refuse_move(user: "User", move_id: int, *, reason: str) -> None:
    """Refuse a move, or withdraw one's own: the machines stay where they are.

    Raises NotPermittedError, UnknownMoveError, ProfileRefusedError.
    """
    what = f"refuse move {move_id}"
    reason = checked_reason(reason, what)
    move, _machines = _awaiting(move_id, what)
    if move.author_id != user.pk:
        _require(user, what)
    decide_move(move, MoveState.REFUSED, user, reason)


def leave_former_owner(user: "User", machines: Sequence[Machine], tenant_id: int | None, reason: str) -> None:
    """Machines, locked, that are now this tenant's leave groups that are another's, or that say whom they work for.

    What they wait for was asked for the former owner, and is dropped. Whom they work for next is a second person's to
    agree to, as they go into the new owner's group.
    """
    drop_moves(machines, user, reason)
    ids = {machine.group_id for machine in machines if machine.group_id is not None}
    owners = dict(Group.objects.filter(pk__in=ids).values_list("pk", "tenant_id"))
    active = Profile.objects.filter(group__in=ids, state=ProfileState.ACTIVE)
    # An owner of 0 is the site itself, whose groups name no tenant.
    speaking = active.filter(~Q(document__pools=[]) | Q(document__owner=0))
    paying = set(speaking.values_list("group_id", flat=True))
    others = {pk for pk, owner in owners.items() if owner != tenant_id and (owner is not None or pk in paying)}
    enter(user, [machine for machine in machines if machine.group_id in others], None, reason)


def _awaiting(move_id: int, what: str) -> tuple[GroupMove, list[Machine]]:
    """The move and the machines that wait for it, locked; its group first, as everybody does who changes one."""
    group_id = GroupMove.objects.filter(pk=move_id).values_list("group_id", flat=True).first()
    if group_id is None:
        raise UnknownMoveError(f"move {move_id}: not known")
    Group.objects.select_for_update().get(pk=group_id)
    machines = list(Machine.objects.select_for_update().filter(move=move_id).order_by("pk"))
    move = GroupMove.objects.select_for_update(of=("self",)).select_related("group", "author").get(pk=move_id)
    if move.state != MoveState.AWAITING:
        raise ProfileRefusedError(
            f"{what}: it is {move.state}; expected {MoveState.AWAITING}",
            _("This move has been decided on meanwhile; look again."),
        )
    return move, machines


def _require(user: "User", what: str) -> None:
    if not user.may(Permission.PROFILE_APPROVE):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
