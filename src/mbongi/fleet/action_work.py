"""What the fleet process does with actions: claim them, hear how they ended. Many at a time, each in the ledger.

The process claims an action, performs it, and finishes it; one that was running when that process died is offered again
with ``interrupted`` set, and must be verified, not repeated.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import F

from mbongi.base.clock import utc_now
from mbongi.base.ids import ActionId, MachineId
from mbongi.core.bus import outbox
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet.errors import UnknownActionError
from mbongi.fleet.events import ActionFinished
from mbongi.fleet.models import Action
from mbongi.fleet.rules.leases import SLOTS
from mbongi.fleet.storable import storable
from mbongi.fleet.values import ActionKind, ActionStatus, Family

if TYPE_CHECKING:
    from django.db.models import QuerySet

EXPIRES_AFTER = timedelta(minutes=15)
"""A request that nobody could begin for so long is not begun any more: the site has changed since."""
REASON_MAX = 500
PROCESS = "process:fleet"
# Django's bulk update takes two milliseconds a row, which five thousand machines at once do not have.
_END = """
UPDATE fleet_action SET status = ended.status, finished_at = %s, before = ended.before, after = ended.after,
    verified = ended.verified, message = ended.message
FROM unnest(%s::bigint[], %s::text[], %s::jsonb[], %s::jsonb[], %s::boolean[], %s::text[])
    AS ended (id, status, before, after, verified, message)
WHERE fleet_action.id = ended.id
"""


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed action with what is needed to perform it.

    ``is_step``: of an operation, which paces it. ``interrupted``: an earlier process began it at ``claimed_at`` and did
    not say how it ended.
    """

    action_id: ActionId
    machine_id: MachineId
    address: str
    family: Family
    model: str
    kind: ActionKind
    arguments: dict[str, Any]
    dry_run: bool
    is_step: bool
    requested_at: datetime
    claimed_at: datetime
    interrupted: bool
    mac: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an action ended. ``message`` is for people; ``before`` and ``after`` hold no secrets."""

    action_id: ActionId
    done: bool
    message: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    verified: bool | None = None


def claim_actions(limit: int = 20, *, by_hand: int | None = None, slots: Collection[int] | None = None) -> list[Work]:
    """Take up to ``limit`` requested actions, oldest first, for performing; they are ``running`` from now on.

    ``slots``: of machines in these only (``rules.leases``); None: of all.
    At most ``by_hand`` of them, where given, belong to no operation: nothing else limits the load that those change.
    Requests older than EXPIRES_AFTER are failed instead, as are those whose machine has lost its address.
    """
    among = _in_slots(slots)
    hand = _claim(limit if by_hand is None else min(limit, by_hand), among.filter(operation=None))
    return hand + _claim(limit - len(hand), among.filter(operation__isnull=False))


@transaction.atomic
def _claim(limit: int, among: "QuerySet[Action]") -> list[Work]:
    if limit <= 0:
        return []
    now = utc_now()
    # A second claimer passes over rows that another one holds, so an action is claimed once.
    waiting = among.select_for_update(skip_locked=True, of=("self",)).filter(status=ActionStatus.REQUESTED)
    taken, failed = [], []
    for row in waiting.select_related("machine").defer("machine__detail").order_by("pk")[:limit]:
        if row.requested_at < now - EXPIRES_AFTER:
            failed.append((row, "not begun in time: nobody was there to perform it; ask again"))
        elif row.machine.address is None or row.machine.retired_at is not None:
            failed.append((row, "the machine has no address any more"))
        else:
            row.status, row.claimed_at = ActionStatus.RUNNING, now
            taken.append(row)
    Action.objects.filter(pk__in=[row.pk for row in taken]).update(
        status=ActionStatus.RUNNING, claimed_at=now, claims=F("claims") + 1
    )
    end_actions(
        [(row, ActionStatus.FAILED, Ending(ActionId(row.pk), done=False, message=message)) for row, message in failed],
        PROCESS,
    )
    return [_work(row, interrupted=False) for row in taken]


def interrupted_actions(*, slots: Collection[int] | None = None, but_not: Collection[ActionId] = ()) -> list[Work]:
    """The actions that are running by the record, ``but_not`` the asker's own.

    Only whoever knows that nobody else writes to the machines of these ``slots`` (None: to any) may ask.
    """
    rows = _in_slots(slots).filter(status=ActionStatus.RUNNING).exclude(pk__in=but_not)
    return [
        _work(row, interrupted=True) for row in rows.select_related("machine").defer("machine__detail").order_by("pk")
    ]


def _in_slots(slots: Collection[int] | None) -> "QuerySet[Action]":
    if slots is None:
        return Action.objects.all()
    return Action.objects.annotate(slot=F("machine_id") % SLOTS).filter(slot__in=slots)


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
        is_step=row.operation_id is not None,
        requested_at=row.requested_at,
        claimed_at=row.claimed_at,
        interrupted=interrupted,
        mac=row.machine.mac,
        serial=row.machine.serial,
    )


@transaction.atomic
def finish_actions(endings: Iterable[Ending]) -> int:
    """Write down how running actions ended; returns how many. One that has ended already stays as it is.

    So this may be repeated. Raises UnknownActionError, and then writes nothing down.
    """
    by_id = {ending.action_id: ending for ending in endings}
    rows = {row.pk: row for row in Action.objects.select_for_update().filter(pk__in=by_id).order_by("pk")}
    if missing := by_id.keys() - rows.keys():
        raise UnknownActionError(f"action {min(missing)}: not known")
    ended = [
        (row, ActionStatus.DONE if by_id[ActionId(row.pk)].done else ActionStatus.FAILED, by_id[ActionId(row.pk)])
        for row in rows.values()
        if ActionStatus(row.status).is_open
    ]
    end_actions(ended, PROCESS)
    return len(ended)


def end_actions(ended: Sequence[tuple[Action, ActionStatus, Ending]], actor: str) -> None:
    """Write down the endings of locked rows: the rows, the bus, and one append to the ledger."""
    now = utc_now()
    for row, status, ending in ended:
        row.status, row.finished_at = status, now
        row.before = None if ending.before is None else storable(dict(ending.before))
        row.after = None if ending.after is None else storable(dict(ending.after))
        row.verified, row.message = ending.verified, storable(ending.message)[:REASON_MAX]
    rows = [row for row, _status, _ending in ended]
    if not rows:
        return
    columns: list[list[Any]] = [
        [row.pk for row in rows],
        [str(row.status) for row in rows],
        [_json(row.before) for row in rows],
        [_json(row.after) for row in rows],
        [row.verified for row in rows],
        [row.message for row in rows],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_END, [now, *columns])
    outbox.emit(*(_finished_message(row) for row in rows))
    ledger.append([_finished_entry(row, actor) for row in rows])


_VERBS = {ActionStatus.DONE: "done", ActionStatus.FAILED: "fail", ActionStatus.CANCELLED: "cancel"}


def _json(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else json.dumps(document)


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
    if row.operation_id is not None:
        after["operation"] = row.operation_id
    before = None if row.before is None else {"settings": row.before}
    subject, name = f"machine:{row.machine_id}", f"fleet.machine.{row.kind}.{verb}"
    return NewEntry(actor, name, subject, row.reason, before, after, row.tenant_id)


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
