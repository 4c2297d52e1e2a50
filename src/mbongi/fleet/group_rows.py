"""Reads of groups and the versions of their profiles, as the present scope may see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from django.db.models import Count, Q

from mbongi.base.ids import MachineId
from mbongi.fleet.errors import UnknownGroupError, UnknownProfileError
from mbongi.fleet.models import FirmwareImage, Group, Machine, Profile
from mbongi.fleet.rules.desired import Wanted, redirects, template_values, version_changes, wanted_of
from mbongi.fleet.values import Desired, MachineState, ProfileState

if TYPE_CHECKING:
    from django.db.models import QuerySet


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group, how many machines it has, and the numbers of its active and its open version; None where there is none.

    ``open_state`` says whether the open one is a draft or proposed.
    """

    id: int
    name: str
    note: str
    tenant_id: int | None
    paused: bool
    added_at: datetime
    machines: int
    active: int | None
    open: int | None
    open_state: ProfileState | None


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A version of a group's profile. ``changes``: field, before, after, against the version that it would follow.

    ``needs_second``: it changes whom machines work for or who is paid. ``former`` is the version that ``changes`` and
    ``needs_second`` compare with: the active one while it is open, the one before it afterwards; None: there was none.
    """

    id: int
    group_id: int
    group: str
    number: int
    desired: Desired
    state: ProfileState
    reason: str
    author_id: int
    author: str
    written_at: datetime
    decider: str
    decided_at: datetime | None
    decision: str
    former: int | None
    changes: Sequence[tuple[str, str, str]]
    needs_second: bool


def groups() -> list[GroupRow]:
    """Every group by name."""
    return _rows(Group.objects.all())


def group(group_id: int) -> GroupRow:
    """One group. Raises UnknownGroupError."""
    rows = _rows(Group.objects.filter(pk=group_id))
    if not rows:
        raise UnknownGroupError(f"group {group_id}: not known")
    return rows[0]


def _rows(found: "QuerySet[Group]") -> list[GroupRow]:
    counted = found.annotate(count=Count("machines", filter=Q(machines__retired_at=None))).order_by("name")
    versions = Profile.objects.filter(state__in=["active", "draft", "proposed"])
    by_state: dict[int, dict[ProfileState, int]] = {}
    for group_id, state, number in versions.values_list("group_id", "state", "number"):
        by_state.setdefault(group_id, {})[ProfileState(state)] = number
    rows = []
    for row in counted:
        numbers = by_state.get(row.pk, {})
        open_state = next((state for state in numbers if state.is_open), None)
        rows.append(
            GroupRow(
                id=row.pk,
                name=row.name,
                note=row.note,
                tenant_id=row.tenant_id,
                paused=row.paused,
                added_at=row.added_at,
                machines=row.count,
                active=numbers.get(ProfileState.ACTIVE),
                open=None if open_state is None else numbers[open_state],
                open_state=open_state,
            )
        )
    return rows


def group_names() -> dict[int, str]:
    """The names of all groups by number, in the order of the names."""
    return dict(Group.objects.order_by("name").values_list("pk", "name"))


def states_by_group() -> dict[int, dict[MachineState, int]]:
    """Machines by recorded state, of each group that has any."""
    rows = Machine.objects.filter(retired_at=None, group__isnull=False).values_list("group_id", "state")
    found: dict[int, dict[MachineState, int]] = {}
    for group_id, state, count in rows.annotate(count=Count("pk")).order_by():
        found.setdefault(group_id or 0, {})[MachineState(state)] = count
    return found


def profiles(group_id: int) -> list[ProfileRow]:
    """The versions of a group's profile, newest first."""
    rows = list(Profile.objects.filter(group_id=group_id).select_related("group", "author", "decider"))
    return [_profile_row(row, rows) for row in sorted(rows, key=lambda row: -row.number)]


def profile(profile_id: int) -> ProfileRow:
    """One version. Raises UnknownProfileError."""
    found = Profile.objects.filter(pk=profile_id).first()
    if found is None:
        raise UnknownProfileError(f"profile {profile_id}: not known")
    return next(row for row in profiles(found.group_id) if row.id == profile_id)


def desired_of(row: Profile) -> Desired:
    """A stored version's document. One written by a later release, with fields unknown here, is an error."""
    return msgspec.convert(row.document, Desired)


def _profile_row(row: Profile, versions: Sequence[Profile]) -> ProfileRow:
    state, desired = ProfileState(row.state), desired_of(row)
    former = _former(row, versions)
    before = None if former is None else desired_of(former)
    return ProfileRow(
        id=row.pk,
        group_id=row.group_id,
        group=row.group.name,
        number=row.number,
        desired=desired,
        state=state,
        reason=row.reason,
        author_id=row.author_id,
        author=str(row.author),
        written_at=row.written_at,
        decider="" if row.decider is None else str(row.decider),
        decided_at=row.decided_at,
        decision=row.decision,
        former=None if former is None else former.number,
        changes=version_changes(before, desired),
        needs_second=redirects(before, desired),
    )


def _former(row: Profile, versions: Sequence[Profile]) -> Profile | None:
    """The version that was, or is, active before this one."""
    earlier = [
        each
        for each in versions
        if each.number < row.number and each.state in {ProfileState.ACTIVE, ProfileState.SUPERSEDED}
    ]
    return max(earlier, key=lambda each: each.number, default=None)


def wanted_by_machine(machine_ids: Sequence[int] | None = None) -> dict[MachineId, Wanted]:
    """What each machine of a group with an active profile should be; of all machines, or of these.

    Machines without such a group are left out: nothing is said of them.
    """
    rows = Machine.objects.filter(retired_at=None, group__profiles__state=ProfileState.ACTIVE).select_related("group")
    rows = rows.defer("detail")
    if machine_ids is not None:
        rows = rows.filter(pk__in=list(machine_ids))
    versions = dict(FirmwareImage.objects.filter(removed_at=None).values_list("sha256", "version"))
    active = {
        row.group_id: _with_version(desired_of(row), versions)
        for row in Profile.objects.filter(state=ProfileState.ACTIVE)
    }
    return {MachineId(row.pk): _wanted(row, active) for row in rows}


def _with_version(desired: Desired, versions: Mapping[str, str]) -> Desired:
    """A profile may name its firmware by the hash of an image in the store; what machines state is its version."""
    version = versions.get(desired.firmware)
    return desired if version is None else msgspec.structs.replace(desired, firmware=version)


def _wanted(row: Machine, active: Mapping[int, Desired]) -> Wanted:
    assert row.group is not None
    desired = active[row.group.pk]
    values = template_values(
        machine_id=row.pk,
        account=desired.account,
        group=row.group.name,
        hall=row.hall,
        rack=row.rack,
        slot=row.slot,
        serial=row.serial,
        mac=row.mac,
    )
    return wanted_of(desired, values)
