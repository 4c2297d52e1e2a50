"""Work orders: whatever people and processes enter is kept once, in the ledger, and told to the bus.

Entries have keys made where they were entered, so that handing them in again after a lost answer adds nothing.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import MachineId
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry as LedgerEntry
from mbongi.fleet import stock
from mbongi.fleet.errors import NotPermittedError, WorkRefusedError
from mbongi.fleet.events import WorkOrderChanged
from mbongi.fleet.models import Machine, WorkEntry, WorkOrder
from mbongi.fleet.rules.recovery import Recovered
from mbongi.fleet.rules.work_orders import EntryKind, Fault, Outcome, Standing, Step, WorkState, moment, step

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

ENTRIES_MAX = 200
"""Entries of one call, at most."""
TEXT_MAX = 1000
PIECES_MAX = 1000
PROCESS = "process:fleet"
_TRIES = 3

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]


class NewWork(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One entry as it is handed in.

    ``order`` is the number of the order, or ``order_key`` the key of the report that made it, for who has not heard of
    the number yet. A report names ``machine_id`` and ``fault``, a part ``part`` and ``pieces`` (below 0: put back), a
    settlement ``about``, the conflict's key. ``at`` is by the clock of whoever hands it in.
    """

    key: UUID
    kind: EntryKind
    at: datetime
    order: int | None = None
    order_key: UUID | None = None
    machine_id: int | None = None
    fault: Fault | None = None
    text: Text = ""
    part: Annotated[str, msgspec.Meta(max_length=60)] = ""
    pieces: Annotated[int, msgspec.Meta(ge=-PIECES_MAX, le=PIECES_MAX)] = 0
    about: UUID | None = None


class Receipt(msgspec.Struct, kw_only=True, frozen=True):
    """What became of an entry. ``refused`` says why it cannot be used, empty where it was kept.

    ``clash`` is a word of ``rules.work_orders.Clash``, empty where the entry fits. ``repeated``: it was here already.
    """

    key: UUID
    order: int | None = None
    state: str = ""
    outcome: str = ""
    clash: str = ""
    refused: str = ""
    repeated: bool = False


def enter(
    user: "User", entries: Sequence[NewWork], *, sent_at: datetime, clock: Callable[[], datetime] = utc_now
) -> list[Receipt]:
    """Take entries in, in their order, each by itself: one that is refused or clashes keeps no other back.

    ``sent_at`` is when they were sent, by the clock that their ``at`` is of. Raises NotPermittedError where the user
    may enter nothing, WorkRefusedError for more than ENTRIES_MAX.
    """
    if not user.may(Permission.WORK_DO):
        raise NotPermittedError(f"{user.actor}: work orders: the role {user.role} does not permit it")
    if len(entries) > ENTRIES_MAX:
        raise WorkRefusedError(f"{len(entries)} entries at once; at most {ENTRIES_MAX}")
    return [_entered(user, each, sent_at, clock) for each in entries]


def enter_one(user: "User", entry: NewWork) -> Receipt:
    """Take one entry in that was made just now. Raises WorkRefusedError where it cannot be used."""
    (receipt,) = enter(user, [entry], sent_at=utc_now())
    if receipt.refused:
        raise WorkRefusedError(f"work order: {receipt.refused}", receipt.refused)
    return receipt


def _entered(user: "User", new: NewWork, sent_at: datetime, clock: Callable[[], datetime]) -> Receipt:
    now = clock()
    at = moment(_aware(new.at), _aware(sent_at), now)
    for attempt in range(_TRIES):
        try:
            with transaction.atomic():
                return _enter(user, new, at, now)
        except WorkRefusedError as error:
            return Receipt(key=new.key, refused=error.text)
        except IntegrityError:
            # Somebody handed in the same at the same moment: on the next try it is there.
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _enter(user: "User", new: NewWork, at: datetime, now: datetime) -> Receipt:
    known = WorkEntry.objects.select_related("order").filter(key=new.key).first()
    if known is not None:
        if known.author_id != user.pk:
            raise WorkRefusedError(f"key {new.key}: somebody else's", _("This entry has a number that is in use."))
        return _receipt(known, repeated=True)
    row = WorkEntry(
        key=new.key,
        kind=new.kind,
        author=user,
        actor=user.actor,
        at=at,
        received_at=now,
        text=_clean(new.text),
    )
    if new.kind is EntryKind.REPORT:
        return _receipt(_report(row, _machine(new.machine_id), new.fault or Fault.OTHER))
    row.order = _order(new)
    _check(user, new)
    if new.kind is EntryKind.SETTLE:
        row.about = _conflict(row.order, new.about)
    if new.kind is EntryKind.PART:
        row.document = {"part": new.part.strip(), "pieces": new.pieces}
    return _receipt(_apply(row, user))


def _clean(text: str) -> str:
    return text.replace("\0", "").strip()[:TEXT_MAX]


def _machine(machine_id: int | None) -> Machine:
    machine = Machine.objects.select_for_update().filter(pk=machine_id or 0).first()
    if machine is None:
        raise WorkRefusedError(f"machine {machine_id}: not known", _("No such machine is known."))
    return machine


def _order(new: NewWork) -> WorkOrder:
    number = new.order
    if number is None and new.order_key is not None:
        number = WorkEntry.objects.filter(key=new.order_key).values_list("order_id", flat=True).first()
    order = WorkOrder.objects.select_for_update().filter(pk=number or 0).first()
    if order is None:
        raise WorkRefusedError(f"work order {new.order or new.order_key}: not known", _("No such work order is known."))
    return order


def _check(user: "User", new: NewWork) -> None:
    if new.kind is EntryKind.VERIFY:
        raise WorkRefusedError("verify: by telemetry alone", _("Only the machine's own readings verify a repair."))
    if new.kind is EntryKind.CANCEL and not user.may(Permission.STOCK_MANAGE):
        raise WorkRefusedError("cancel: not permitted", _("Your role does not permit this."))
    if new.kind in {EntryKind.CANCEL, EntryKind.NOTE, EntryKind.REOPEN} and not _clean(new.text):
        raise WorkRefusedError(f"{new.kind}: no text", _("State a reason or a note."))
    if new.kind is EntryKind.PART and not new.pieces:
        raise WorkRefusedError("part: 0 pieces", _("State how many pieces."))


def _conflict(order: WorkOrder, key: UUID | None) -> WorkEntry:
    conflicts = WorkEntry.objects.filter(order=order, outcome=Outcome.CONFLICT)
    found = None if key is None else conflicts.filter(key=key).first()
    if found is None:
        raise WorkRefusedError(f"settle {key}: no conflict of order {order.pk}", _("No such conflict is known."))
    return found


def _report(row: WorkEntry, machine: Machine, fault: Fault) -> WorkEntry:
    """Make the order of a report, or join the one that is open for the same fault. The machine's row is locked."""
    order = WorkOrder.objects.filter(machine=machine, fault=fault, state__in=["open", "taken"]).first()
    if order is None:
        order = WorkOrder.objects.create(
            machine=machine,
            tenant_id=machine.tenant_id,
            hall=machine.hall,
            rack=machine.rack,
            slot=machine.slot,
            fault=fault,
            note=row.text,
            reporter=row.author,
            reported_at=row.at,
        )
        outbox.emit(_message(order))
    else:
        row.outcome = Outcome.JOINED
    row.order, row.tenant_id = order, order.tenant_id
    row.document = {"fault": fault.value}
    row.save(force_insert=True)
    ledger.append([_ledger_entry(row, None, {"fault": fault.value})])
    return row


def _apply(row: WorkEntry, user: "User | None") -> WorkEntry:
    """Let an entry do what it does to its locked order, and keep it either way."""
    order = row.order
    row.at = max(row.at, order.reported_at)
    before = Standing(WorkState(order.state), order.technician_id)
    done = step(before, EntryKind(row.kind), row.author_id)
    row.tenant_id, row.outcome, row.clash = order.tenant_id, done.outcome, done.clash or ""
    row.save(force_insert=True)
    if done.standing != before:
        _stand(order, done, row.at)
        outbox.emit(_message(order))
    if row.kind == EntryKind.PART and user is not None:
        stock.use(user, row, row.document["part"], row.document["pieces"])
    ledger.append([_ledger_entry(row, before, row.document)])
    return row


def _stand(order: WorkOrder, done: Step, at: datetime) -> None:
    state, order.technician_id = done.standing
    order.state = state
    match state:
        case WorkState.OPEN:
            order.taken_at = order.fixed_at = None
        case WorkState.TAKEN:
            order.taken_at = at
        case WorkState.FIXED:
            order.taken_at, order.fixed_at = min(order.taken_at or at, at), at
        case WorkState.VERIFIED:
            order.verified_at = at
        case WorkState.CANCELLED:
            order.cancelled_at = at
    order.save()


def _message(order: WorkOrder) -> WorkOrderChanged:
    return WorkOrderChanged(
        order_id=order.pk,
        machine_id=order.machine_id,
        fault=order.fault,
        state=order.state,
        tenant_id=order.tenant_id,
        at_ms=int(utc_now().timestamp() * 1000),
    )


def _ledger_entry(row: WorkEntry, before: Standing | None, facts: dict[str, Any]) -> LedgerEntry:
    order = row.order
    verb = row.kind if row.outcome != Outcome.CONFLICT else "conflict"
    was = None if before is None else {"order": order.pk, "state": before.state.value}
    now = {"order": order.pk, "state": str(order.state), **facts}
    if row.clash:
        now |= {"entry": str(row.kind), "clash": str(row.clash)}
    subject = f"machine:{order.machine_id}"
    return LedgerEntry(row.actor, f"fleet.work_order.{verb}", subject, row.text, was, now, order.tenant_id)


def _receipt(row: WorkEntry, *, repeated: bool = False) -> Receipt:
    return Receipt(
        key=row.key,
        order=row.order_id,
        state=str(row.order.state),
        outcome=str(row.outcome),
        clash=str(row.clash),
        repeated=repeated,
    )


# What the site's own processes do.


def escalate(machine_id: int, fault: Fault, note: str, *, key: UUID, actor: str = PROCESS) -> int:
    """Report a fault that no rule could heal; returns the order's number, that of the open one where there is one.

    ``key`` stands for the occasion: asked for again, nothing is added. Raises WorkRefusedError for an unknown machine.
    """
    with transaction.atomic():
        machine = _machine(machine_id)
        known = WorkEntry.objects.filter(key=key).first()
        if known is not None:
            return known.order_id
        now = utc_now()
        row = WorkEntry(key=key, kind=EntryKind.REPORT, actor=actor, at=now, received_at=now, text=_clean(note))
        return _report(row, machine, fault).order_id


def fixed_orders() -> dict[MachineId, int]:
    """The machines whose repair is to be verified, and when the last of it was done [ms since 1970, UTC]."""
    found: dict[MachineId, int] = {}
    rows = WorkOrder.objects.filter(state=WorkState.FIXED, fixed_at__isnull=False)
    for machine_id, at in rows.values_list("machine_id", "fixed_at"):
        at_ms = int(at.timestamp() * 1000) if at else 0
        found[MachineId(machine_id)] = max(at_ms, found.get(MachineId(machine_id), at_ms))
    return found


def has_unfixed(machine_id: int) -> bool:
    """Whether people have the machine in hand, so that what it does now is theirs."""
    return WorkOrder.objects.filter(machine_id=machine_id, state__in=["open", "taken"]).exists()


@transaction.atomic
def verify(recovered: Recovered) -> list[int]:
    """Verify the machine's fixed orders by what was seen; returns their numbers. Asked for again, it does nothing.

    An order that was fixed after the time of the proof began is left: what was seen does not speak of it.
    """
    since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (recovered.since_ms, recovered.until_ms))
    rows = WorkOrder.objects.select_for_update().filter(
        machine_id=recovered.machine_id, state=WorkState.FIXED, fixed_at__lte=since
    )
    done = []
    for order in rows.order_by("pk"):
        key = uuid5(NAMESPACE_URL, f"verify:{order.pk}:{order.fixed_at}")
        facts = {"since": since.isoformat(), "until": until.isoformat(), "share": round(recovered.share, 4)}
        row = WorkEntry(
            key=key,
            order=order,
            kind=EntryKind.VERIFY,
            actor=PROCESS,
            at=until,
            received_at=utc_now(),
            document=facts,
        )
        _apply(row, None)
        done.append(order.pk)
    return done
