"""Changes of machines and their events. Each is one transaction: lock, rule, save, ledger, outbox.

Whoever calls acts in a scope (``core.identity.scope.acting``): within a tenant's nothing of others is seen or changed.
Actions on machines are in ``actions``; their services are offered here too.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import connection, transaction

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId, TenantId
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet import drift
from mbongi.fleet.action_work import claim_actions, finish_actions
from mbongi.fleet.actions import cancel_action, request_action
from mbongi.fleet.errors import ActionRefusedError, NotPermittedError, UnknownMachineError
from mbongi.fleet.events import ConditionChanged, MachineChanged, MachineStateChanged
from mbongi.fleet.handing_over import hand_over
from mbongi.fleet.models import Diversion, Event, Machine
from mbongi.fleet.moves import leave_former_owner
from mbongi.fleet.reading import DetailReport, StateChange
from mbongi.fleet.registry import Registration, register
from mbongi.fleet.storable import storable
from mbongi.fleet.values import ConditionChange, EventKind, MachineState, Severity

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

__all__ = [
    "Registration",
    "Seen",
    "assign",
    "cancel_action",
    "claim_actions",
    "finish_actions",
    "record_conditions",
    "record_details",
    "record_seen",
    "record_states",
    "register",
    "request_action",
    "retire",
]


PART_MAX = 60
_STATED = {"serial": 80, "hostname": 120, "firmware": 120, "image": 64, "model": 80}
"""What machines state of themselves and the table keeps in columns, with the columns' lengths."""


# Django's bulk update takes two milliseconds a row, which the thousands that a curtailment changes do not have.
_STATES = """
UPDATE fleet_machine SET state = told.state, state_since = told.since, state_reason = told.reason,
    last_seen_at = told.seen_at
FROM unnest(%s::bigint[], %s::smallint[], %s::timestamptz[], %s::text[], %s::timestamptz[])
    AS told (id, state, since, reason, seen_at)
WHERE fleet_machine.id = told.id
"""
_DETAILS = """
UPDATE fleet_machine SET detail_at = %s, last_seen_at = %s, detail = told.detail, serial = told.serial,
    hostname = told.hostname, firmware = told.firmware, image = told.image, model = told.model
FROM unnest(%s::jsonb[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS told (detail, id, serial, hostname, firmware, image, model)
WHERE fleet_machine.id = told.id
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """When a machine last answered."""

    machine_id: MachineId
    at_ms: int


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


@transaction.atomic
def record_states(changes: Sequence[StateChange]) -> int:
    """Write down new states, and tell the bus; returns how many machines changed.

    Of several changes of one machine the last counts. Machines that are gone are passed over, and so is a change to
    the state that is recorded already, so a daemon may repeat after a restart what it could not see acknowledged.
    """
    latest = {change.machine_id: change for change in changes}
    machines, messages = _locked(latest), []
    for machine in machines:
        change = latest[MachineId(machine.pk)]
        at = _time(change.at_ms)
        if change.state not in {MachineState.UNKNOWN, MachineState.OFF}:
            machine.last_seen_at = max(machine.last_seen_at or at, at)
        machine.state_reason = storable(change.reason)[:200]
        if machine.state != change.state.value:
            messages.append(_state_message(machine, change))
            machine.state, machine.state_since = change.state.value, at
    _update(_STATES, [], machines, ["pk", "state", "state_since", "state_reason", "last_seen_at"])
    outbox.emit(*messages)
    return len(messages)


def _state_message(machine: Machine, change: StateChange) -> MachineStateChanged:
    return MachineStateChanged(
        machine_id=machine.pk,
        before=MachineState(machine.state).word,
        after=change.state.word,
        reason=change.reason,
        tenant_id=machine.tenant_id,
        at_ms=change.at_ms,
    )


def _locked(ids: Iterable[MachineId]) -> list[Machine]:
    # Always in the order of their ids, so that two writers cannot wait for each other.
    return list(Machine.objects.select_for_update().filter(pk__in=list(ids)).defer("detail").order_by("pk"))


def _update(statement: str, first: list[Any], machines: Sequence[Machine], names: Sequence[str]) -> None:
    """Write these fields of machines, whose columns follow what the statement takes ``first``."""
    if machines:
        with connection.cursor() as cursor:
            cursor.execute(statement, [*first, *([getattr(machine, name) for machine in machines] for name in names)])


@transaction.atomic
def record_details(reports: Sequence[DetailReport], *, at: datetime | None = None) -> int:
    """Keep what machines state about themselves: boards, fans, pools, errors, firmware; returns how many.

    An identity field (MAC, serial number, firmware, model) that a report leaves empty keeps its value.
    """
    now, latest = at or utc_now(), {report.machine_id: report.detail for report in reports}
    machines = _locked(latest)
    details = [json.dumps(storable(msgspec.to_builtins(latest[MachineId(machine.pk)]))) for machine in machines]
    for machine in machines:
        detail = latest[MachineId(machine.pk)]
        if storable(detail.firmware)[:120] not in {"", machine.firmware}:
            machine.image = ""  # It was of the firmware before.
        for name, limit in _STATED.items():
            setattr(machine, name, storable(getattr(detail, name))[:limit] or getattr(machine, name))
    _update(_DETAILS, [now, now, details], machines, ["pk", *_STATED])
    return len(machines)


def record_seen(seen: Sequence[Seen]) -> None:
    """Write down when machines last answered. A later time that is recorded already stays."""
    if not seen:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE fleet_machine SET last_seen_at = greatest(last_seen_at, to_timestamp(seen.at_ms / 1000.0))"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS seen (id, at_ms) WHERE fleet_machine.id = seen.id",
            [[each.machine_id for each in seen], [each.at_ms for each in seen]],
        )


@transaction.atomic
def record_conditions(changes: Sequence[ConditionChange]) -> int:
    """Open and clear conditions, in order; returns how many events were opened or cleared.

    Opening what is open and clearing what is not open change nothing, so every change may be repeated.
    """
    if not changes:
        return 0
    machines = {machine.pk: machine for machine in _locked({change.machine_id for change in changes})}
    rows = Event.objects.filter(machine_id__in=machines, cleared_at=None)
    open_now = {(row.machine_id, row.kind, row.part): row for row in rows}
    told: list[tuple[Event, ConditionChange]] = []
    for change in changes:
        key = (change.machine_id, change.kind.value, storable(change.part)[:PART_MAX])
        if change.opened and change.machine_id in machines and key not in open_now:
            open_now[key] = _new_event(machines[change.machine_id], change)
            told.append((open_now[key], change))
        elif not change.opened and key in open_now:
            event = open_now.pop(key)
            event.cleared_at = max(event.at, _time(change.at_ms))
            told.append((event, change))
    touched = {id(event): event for event, _change in told}.values()
    # Cleared rows first: a condition that came back in the same batch may then be open again.
    Event.objects.bulk_update([event for event in touched if event.pk], ["cleared_at"], batch_size=1000)
    Event.objects.bulk_create([event for event in touched if not event.pk], batch_size=1000)
    outbox.emit(*(_condition_message(event, change) for event, change in told))
    return len(told)


def _new_event(machine: Machine, change: ConditionChange) -> Event:
    return Event(
        machine=machine,
        tenant_id=machine.tenant_id,
        kind=change.kind,
        part=storable(change.part)[:PART_MAX],
        severity=change.severity,
        at=_time(change.at_ms),
        params=storable(dict(change.params)),
    )


def _condition_message(event: Event, change: ConditionChange) -> ConditionChanged:
    return ConditionChanged(
        event_id=event.pk,
        machine_id=event.machine_id,
        kind=change.kind,
        part=event.part,
        severity=event.severity,
        opened=change.opened,
        tenant_id=event.tenant_id,
        at_ms=change.at_ms,
    )


@transaction.atomic
def assign(user: "User", machine_ids: Sequence[int], tenant_id: int | None, reason: str) -> int:
    """Give machines to a tenant, or back to the site (None); returns how many changed hands.

    What is open about them goes with them; what is past stays with whom it happened to, and what was planned for them
    in the former owner's interest is cancelled. They leave a group that speaks for another owner.
    Raises NotPermittedError, ActionRefusedError without a reason, UnknownMachineError.
    """
    machines = _machines_to_change(user, Permission.TENANT_MANAGE, machine_ids, reason)
    changed = [machine for machine in machines if machine.tenant_id != tenant_id]
    former = {machine.pk: machine.tenant_id for machine in changed}
    entries = []
    for machine in changed:
        before = {"tenant": machine.tenant_id}
        machine.tenant_id = tenant_id
        machine.save(update_fields=["tenant_id"])
        entries.append(_entry(user, "fleet.machine.assign", machine, reason, before, {"tenant": tenant_id}))
        outbox.emit(_changed_message(machine))
    Event.objects.filter(machine__in=changed, cleared_at=None).update(tenant_id=tenant_id)
    Diversion.objects.filter(machine__in=changed, until=None).update(tenant_id=tenant_id)
    hand_over(user, former, tenant_id)
    leave_former_owner(user, changed, tenant_id, reason)
    ledger.append(entries)
    return len(changed)


@transaction.atomic
def retire(user: "User", machine_ids: Sequence[int], reason: str) -> int:
    """Take machines out of the fleet; a machine that a later scan finds again comes back. Returns how many left.

    Raises NotPermittedError, ActionRefusedError without a reason, UnknownMachineError.
    """
    now = utc_now()
    machines = _machines_to_change(user, Permission.MACHINE_MANAGE, machine_ids, reason)
    leaving = [machine for machine in machines if machine.retired_at is None]
    entries = []
    for machine in leaving:
        before = {"address": machine.address}
        machine.retired_at, machine.address = now, None
        machine.save(update_fields=["retired_at", "address"])
        entries.append(_entry(user, "fleet.machine.retire", machine, reason, before, {"address": None}))
        outbox.emit(_changed_message(machine))
        Event.objects.filter(machine=machine, cleared_at=None).update(cleared_at=now)
        Event.objects.create(
            machine=machine,
            tenant_id=machine.tenant_id,
            kind=EventKind.RETIRED,
            severity=Severity.INFO,
            at=now,
            cleared_at=now,
        )
    entries += drift.end_diversions([machine.pk for machine in leaving], actor=user.actor, reason=reason)
    ledger.append(entries)
    return len(leaving)


def _machines_to_change(user: "User", permission: Permission, ids: Sequence[int], reason: str) -> list[Machine]:
    if not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {permission}: the role {user.role} does not permit it")
    if not reason.strip():
        raise ActionRefusedError("change of machines: found no reason; state why")
    machines = _locked([MachineId(each) for each in ids])
    if missing := set(ids) - {machine.pk for machine in machines}:
        raise UnknownMachineError(f"machine {min(missing)}: not known")
    return machines


def _entry(
    user: "User", action: str, machine: Machine, reason: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> NewEntry:
    tenant = None if machine.tenant_id is None else TenantId(machine.tenant_id)
    return NewEntry(user.actor, action, f"machine:{machine.pk}", reason, before, after, tenant)


def _changed_message(machine: Machine) -> MachineChanged:
    return MachineChanged(
        machine_id=machine.pk,
        tenant_id=machine.tenant_id,
        retired=machine.retired_at is not None,
        at_ms=int(utc_now().timestamp() * 1000),
    )
