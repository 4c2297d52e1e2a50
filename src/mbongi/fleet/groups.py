"""Groups of machines and the versions of their profiles: written, proposed, made active, refused.

A version never changes once it is written. One that changes whom machines work for or who is paid (pools, account,
owner) becomes active only by a second person; any other at once, by whoever proposes it. Making a version active writes
no machine: that is what reconciling is for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import TenantId
from mbongi.core.bus import outbox
from mbongi.core.identity.selectors import tenants
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.errors import (
    NotPermittedError,
    ProfileRefusedError,
    UnknownGroupError,
    UnknownMachineError,
    UnknownProfileError,
)
from mbongi.fleet.events import GroupChanged, MachineChanged
from mbongi.fleet.group_rows import GroupRow, ProfileRow, desired_of, group, profile
from mbongi.fleet.models import Group, GroupMove, Machine, Profile
from mbongi.fleet.profile_rules import checked_desired
from mbongi.fleet.rules.desired import joining_redirects, redirects
from mbongi.fleet.values import Desired, MoveState, ProfileState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

NAME_MAX = 60
NOTE_MAX = 500
REASON_MAX = 500
GROUPS_MAX = 1000


@transaction.atomic
def add_group(user: "User", name: str, *, note: str = "", tenant_id: int | None = None, reason: str) -> GroupRow:
    """A group without machines or profile. Its name stays: names of workers are made of it.

    Raises NotPermittedError; ProfileRefusedError for a name that is taken or cannot be used.
    """
    _require(user, Permission.PROFILE_EDIT, "add a group")
    reason = checked_reason(reason, "add a group")
    name = name.strip()
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or "{" in name or not any(map(str.isalnum, name)):
        text = _("A group's name has 1 to %(limit)d letters.") % {"limit": NAME_MAX}
        raise ProfileRefusedError(f"add a group: name of {len(name)} characters; expected 1 to {NAME_MAX}", text)
    if Group.objects.filter(name__iexact=name).exists():
        raise ProfileRefusedError(f"add a group: {name!r} is there already", _("There is such a group already."))
    if Group.objects.count() >= GROUPS_MAX:
        raise ProfileRefusedError(f"add a group: {GROUPS_MAX} are there", _("There are too many groups."))
    row = Group.objects.create(name=name, note=note.strip()[:NOTE_MAX], tenant_id=tenant_id, added_at=utc_now())
    _record(user, "group.add", row, reason, None, {"name": name, "note": row.note, "tenant": tenant_id})
    return group(row.pk)


@transaction.atomic
def change_group(
    user: "User", group_id: int, *, note: str | None = None, paused: bool | None = None, reason: str
) -> GroupRow:
    """Change a group's note, or whether its machines are left as they are: while it is paused no profile is applied.

    Raises NotPermittedError, UnknownGroupError.
    """
    _require(user, Permission.PROFILE_EDIT, f"change group {group_id}")
    reason = checked_reason(reason, f"change group {group_id}")
    row = _locked_group(group_id)
    before = {"note": row.note, "paused": row.paused}
    row.note = row.note if note is None else note.strip()[:NOTE_MAX]
    row.paused = row.paused if paused is None else paused
    row.save(update_fields=["note", "paused"])
    _record(user, "group.change", row, reason, before, {"note": row.note, "paused": row.paused})
    return group(row.pk)


@dataclass(frozen=True, slots=True)
class Put:
    """How many machines are in their new group, and how many wait for a second person, as ``move_id``."""

    changed: int
    waiting: int
    move_id: int | None = None


@transaction.atomic
def put_machines(user: "User", group_id: int | None, machine_ids: Sequence[int], *, reason: str) -> Put:
    """Put machines into a group, out of any other; None: into none. No machine is written.

    Those that would work for others, or be another's, by the new group's profile wait until a second person agrees
    (``moves``). A machine waits for one group at most: what is said last counts.
    Raises NotPermittedError, UnknownGroupError, UnknownMachineError.
    """
    what = f"put machines into group {group_id}"
    _require(user, Permission.PROFILE_EDIT, what)
    reason = checked_reason(reason, what)
    if group_id is not None:
        _locked_group(group_id)
    machines = list(Machine.objects.select_for_update().filter(pk__in=set(machine_ids), retired_at=None).order_by("pk"))
    if missing := set(machine_ids) - {machine.pk for machine in machines}:
        raise UnknownMachineError(f"{what}: machine {min(missing)}: not known, or retired")
    waiting = set(awaited(group_id, machines))
    drop_moves([machine for machine in machines if machine.pk not in waiting], user, reason)
    asked = [machine for machine in machines if machine.pk in waiting]
    into = set(GroupMove.objects.filter(group=group_id).values_list("pk", flat=True))
    anew = [machine for machine in asked if machine.move_id not in into]
    drop_moves(anew, user, reason)
    move = _ask(user, group_id, anew, reason) if group_id is not None and anew else None
    there = [machine for machine in machines if machine.pk not in waiting and machine.group_id != group_id]
    enter(user, there, group_id, reason)
    return Put(len(there), len(waiting), None if move is None else move.pk)


def waiting_for(group_id: int | None, machine_ids: Sequence[int]) -> list[int]:
    """Which of these machines would have to wait for a second person to go into a group; changes nothing."""
    return awaited(group_id, list(Machine.objects.filter(pk__in=set(machine_ids), retired_at=None).defer("detail")))


def awaited(group_id: int | None, machines: Sequence[Machine]) -> list[int]:
    """Which of these machines cannot go into a group without a second person."""
    actives = {row.group_id: desired_of(row) for row in Profile.objects.filter(state=ProfileState.ACTIVE)}
    joined = actives.get(group_id or 0)
    changed = [machine for machine in machines if machine.group_id != group_id]
    return [machine.pk for machine in changed if joining_redirects(actives.get(machine.group_id or 0), joined)]


def _ask(user: "User", group_id: int, machines: Sequence[Machine], reason: str) -> GroupMove:
    move = GroupMove.objects.create(
        group_id=group_id, machines=len(machines), author=user, reason=reason, asked_at=utc_now()
    )
    Machine.objects.filter(pk__in=[machine.pk for machine in machines]).update(move=move)
    after = {"move": move.pk, "machines": [machine.pk for machine in machines]}
    outbox.emit(_message(move.group))
    ledger.append([NewEntry(user.actor, "fleet.group.ask", f"group:{group_id}", reason, None, after, None)])
    return move


def enter(user: "User", machines: Sequence[Machine], group_id: int | None, reason: str) -> None:
    """Machines, locked, into a group, whatever its profile says; each in the ledger."""
    entries, now_ms = [], int(utc_now().timestamp() * 1000)
    for machine in machines:
        before, machine.group_id, machine.move = {"group": machine.group_id}, group_id, None
        tenant = None if machine.tenant_id is None else TenantId(machine.tenant_id)
        subject, after = f"machine:{machine.pk}", {"group": group_id}
        entries.append(NewEntry(user.actor, "fleet.machine.group", subject, reason, before, after, tenant))
    Machine.objects.filter(pk__in=[machine.pk for machine in machines]).update(group_id=group_id, move=None)
    outbox.emit(
        *(
            MachineChanged(machine_id=machine.pk, tenant_id=machine.tenant_id, retired=False, at_ms=now_ms)
            for machine in machines
        )
    )
    if group_id is not None and machines:
        outbox.emit(_message(Group.objects.get(pk=group_id)))
    ledger.append(entries)


def drop_moves(machines: Sequence[Machine], user: "User", reason: str) -> None:
    """These machines, locked, wait no longer; a move of which no machine is left is refused by this."""
    ids = {machine.move_id for machine in machines if machine.move_id is not None}
    if not ids:
        return
    Machine.objects.filter(pk__in=[machine.pk for machine in machines]).update(move=None)
    for machine in machines:
        machine.move = None
    for move in GroupMove.objects.select_for_update().filter(pk__in=ids).order_by("pk"):
        if not Machine.objects.filter(move=move).exists():
            decide_move(move, MoveState.REFUSED, user, reason)


def decide_move(move: GroupMove, state: MoveState, user: "User", reason: str) -> None:
    """A move, locked, is agreed to or refused, and nothing waits for it any more; in the ledger."""
    Machine.objects.filter(move=move).update(move=None)
    move.state, move.decider, move.decided_at, move.decision = state, user, utc_now(), reason[:REASON_MAX]
    move.save(update_fields=["state", "decider", "decided_at", "decision"])
    outbox.emit(_message(move.group))
    verb = "approve" if state is MoveState.APPROVED else "refuse"
    after = {"move": move.pk, "author": f"user:{move.author_id}", "machines": move.machines}
    name, subject = f"fleet.group.{verb}", f"group:{move.group_id}"
    ledger.append([NewEntry(user.actor, name, subject, move.decision, None, after, None)])


@transaction.atomic
def write_profile(user: "User", group_id: int, document: Mapping[str, Any] | Desired, *, reason: str) -> ProfileRow:
    """A new version, as a draft. A draft that is there already is replaced; what is proposed must be decided on first.

    Raises NotPermittedError, UnknownGroupError; ProfileRefusedError naming what cannot be used.
    """
    what = f"write a profile for group {group_id}"
    _require(user, Permission.PROFILE_EDIT, what)
    reason = checked_reason(reason, what)
    desired = checked_desired(document)
    if desired.owner and not tenants().filter(pk=desired.owner).exists():
        raise ProfileRefusedError(f"{what}: tenant {desired.owner}: not known", _("There is no such tenant."))
    row = _locked_group(group_id)
    versions = list(Profile.objects.filter(group=row).order_by("number"))
    for former in versions:
        if former.state == ProfileState.PROPOSED:
            text = _("Version %(number)d is proposed; it must be decided on first.") % {"number": former.number}
            raise ProfileRefusedError(f"{what}: version {former.number} is proposed; decide on it first", text)
        if former.state == ProfileState.DRAFT:
            _decide(former, ProfileState.REFUSED, user, f"replaced by version {versions[-1].number + 1}")
    made = Profile.objects.create(
        group=row,
        tenant_id=row.tenant_id,
        number=1 + max((each.number for each in versions), default=0),
        document=msgspec.to_builtins(desired),
        reason=reason,
        author=user,
        written_at=utc_now(),
    )
    _record(user, "profile.write", row, reason, None, made.document, made)
    return profile(made.pk)


@transaction.atomic
def propose_profile(user: "User", profile_id: int) -> ProfileRow:
    """Ask for a draft to become active: at once, or by a second person where it changes who is paid.

    Only its author may, as it is they who answer for it. Raises NotPermittedError, UnknownProfileError,
    ProfileRefusedError.
    """
    what = f"propose profile {profile_id}"
    _require(user, Permission.PROFILE_EDIT, what)
    row = _locked_profile(profile_id)
    _require_state(row, what, ProfileState.DRAFT)
    if row.author_id != user.pk:
        raise ProfileRefusedError(
            f"{what}: {user.actor} did not write it", _("Only whoever wrote a version may propose it.")
        )
    if redirects(_active_desired(row.group_id), desired_of(row)):
        row.state = ProfileState.PROPOSED
        row.save(update_fields=["state"])
        _record(user, "profile.propose", row.group, row.reason, None, None, row)
    else:
        _activate(row, user, row.reason)
    return profile(row.pk)


@transaction.atomic
def approve_profile(user: "User", profile_id: int, *, reason: str) -> ProfileRow:
    """Make a proposed version active. Never by its author.

    Raises NotPermittedError, UnknownProfileError, ProfileRefusedError.
    """
    what = f"approve profile {profile_id}"
    _require(user, Permission.PROFILE_APPROVE, what)
    reason = checked_reason(reason, what)
    row = _locked_profile(profile_id)
    _require_state(row, what, ProfileState.PROPOSED)
    if row.author_id == user.pk:
        raise ProfileRefusedError(
            f"{what}: {user.actor} wrote it; somebody else must approve",
            _("You wrote this version; somebody else must approve it."),
        )
    _activate(row, user, reason)
    return profile(row.pk)


@transaction.atomic
def refuse_profile(user: "User", profile_id: int, *, reason: str) -> ProfileRow:
    """Refuse a proposed version, or withdraw one's own draft or proposal; it stays in the list.

    Raises NotPermittedError, UnknownProfileError, ProfileRefusedError.
    """
    what = f"refuse profile {profile_id}"
    reason = checked_reason(reason, what)
    row = _locked_profile(profile_id)
    if row.author_id != user.pk:
        _require(user, Permission.PROFILE_APPROVE, what)
    _require_state(row, what, ProfileState.DRAFT, ProfileState.PROPOSED)
    _decide(row, ProfileState.REFUSED, user, reason)
    _record(user, "profile.refuse", row.group, reason, None, None, row)
    return profile(row.pk)


def _activate(row: Profile, user: "User", reason: str) -> None:
    former = Profile.objects.filter(group_id=row.group_id, state=ProfileState.ACTIVE).first()
    if former is not None:
        former.state = ProfileState.SUPERSEDED
        former.save(update_fields=["state"])
    _decide(row, ProfileState.ACTIVE, user, reason)
    owner = desired_of(row).owner
    if owner is not None and row.group.tenant_id != (owner or None):
        row.group.tenant_id = owner or None
        row.group.save(update_fields=["tenant_id"])
        Profile.objects.filter(group_id=row.group_id).update(tenant_id=owner or None)
    before = None if former is None else {"version": former.number, "document": former.document}
    _record(user, "profile.activate", row.group, reason, before, row.document, row)


def _decide(row: Profile, state: ProfileState, user: "User", decision: str) -> None:
    row.state, row.decider, row.decided_at, row.decision = state, user, utc_now(), decision[:REASON_MAX]
    row.save(update_fields=["state", "decider", "decided_at", "decision"])


def _active_desired(group_id: int) -> Desired | None:
    row = Profile.objects.filter(group_id=group_id, state=ProfileState.ACTIVE).first()
    return None if row is None else desired_of(row)


def checked_reason(reason: str, what: str) -> str:
    """A reason, trimmed. Raises ProfileRefusedError where there is none, or one too long."""
    reason = reason.strip()
    if not reason:
        raise ProfileRefusedError(f"{what}: found no reason; state why", _("State a reason."))
    if len(reason) > REASON_MAX:
        text = _("The reason is too long: %(found)d characters; at most %(limit)d.")
        raise ProfileRefusedError(
            f"{what}: reason of {len(reason)} characters; at most {REASON_MAX}",
            text % {"found": len(reason), "limit": REASON_MAX},
        )
    return reason


def _require(user: "User", permission: Permission, what: str) -> None:
    if not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")


def _require_state(row: Profile, what: str, *states: ProfileState) -> None:
    if row.state not in states:
        raise ProfileRefusedError(
            f"{what}: version {row.number} is {row.state}; expected {' or '.join(states)}",
            _("This version has been decided on meanwhile; look again."),
        )


def _locked_group(group_id: int) -> Group:
    row = Group.objects.select_for_update().filter(pk=group_id).first()
    if row is None:
        raise UnknownGroupError(f"group {group_id}: not known")
    return row


def _locked_profile(profile_id: int) -> Profile:
    """The version, with its group locked first, as everybody does who changes one."""
    found = Profile.objects.filter(pk=profile_id).values_list("group_id", flat=True).first()
    if found is None:
        raise UnknownProfileError(f"profile {profile_id}: not known")
    _locked_group(found)
    return Profile.objects.select_related("group").get(pk=profile_id)


def _record(
    user: "User",
    verb: str,
    row: Group,
    reason: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    version: Profile | None = None,
) -> None:
    tenant = None if row.tenant_id is None else TenantId(row.tenant_id)
    if version is not None:
        after = {"version": version.number, "profile": version.pk, "author": f"user:{version.author_id}"} | (
            {} if after is None else {"document": after}
        )
    outbox.emit(_message(row, version))
    ledger.append([NewEntry(user.actor, f"fleet.{verb}", f"group:{row.pk}", reason, before, after, tenant)])


def _message(row: Group, version: Profile | None = None) -> GroupChanged:
    return GroupChanged(
        group_id=row.pk,
        profile_id=None if version is None else version.pk,
        state="" if version is None else version.state,
        tenant_id=row.tenant_id,
        at_ms=int(utc_now().timestamp() * 1000),
    )
