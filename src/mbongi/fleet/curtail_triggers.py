"""What begins and ends curtailments by itself: triggers, written by one person and approved by another, and signals.

A trigger acts in its author's name, and only while the author's role permits it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet import curtail_rows, curtailing
from mbongi.fleet.errors import (
    ActionRefusedError,
    NotPermittedError,
    OperationRefusedError,
    UnknownTriggerError,
)
from mbongi.fleet.groups import checked_reason
from mbongi.fleet.models import Curtailment, GridSignal, Trigger
from mbongi.fleet.power_figures import MachinePower
from mbongi.fleet.rules.triggers import Condition, Memory, Signal, TriggerKind, Verdict, problem, verdict
from mbongi.fleet.values import CurtailPhase, CurtailWish

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

TRIGGERS_MAX = 100
NAME_MAX = 60
RETARGET_SHARE = 0.01
"""A capacity that moves by less leaves the target as it is."""


@dataclass(frozen=True, slots=True)
class TriggerRow:
    """A trigger. ``needs_second``: nobody has approved it; ``is_active``: its condition is met and it has begun."""

    id: int
    name: str
    kind: TriggerKind
    condition: Condition
    wish: CurtailWish
    author_id: int
    author: str
    reason: str
    written_at: datetime
    approver: str
    approved_at: datetime | None
    is_on: bool
    is_active: bool
    began_at: datetime | None
    ended_at: datetime | None
    message: str

    @property
    def needs_second(self) -> bool:
        """Whether somebody else must approve it."""
        return self.approved_at is None


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A signal as it was last told."""

    kind: str
    value: float | None
    at: datetime
    source: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What triggers look at besides their own rows. ``frequency`` comes from the meter."""

    figures: Mapping[int, MachinePower]
    frequency: Signal
    zone: ZoneInfo
    ramp_kw_s_max: float


def triggers() -> list[TriggerRow]:
    """All triggers that are not retired."""
    return [_row(row) for row in Trigger.objects.filter(retired_at=None).select_related("author", "approver")]


def trigger(trigger_id: int) -> TriggerRow:
    """One trigger. Raises UnknownTriggerError."""
    return _row(_found(trigger_id))


def signals() -> list[SignalRow]:
    """What was last told of price and capacity."""
    return [
        SignalRow(row.kind, row.value, row.at, row.source, row.until) for row in GridSignal.objects.order_by("kind")
    ]


def _row(row: Trigger) -> TriggerRow:
    memory = _memory(row)
    return TriggerRow(
        id=row.pk,
        name=row.name,
        kind=TriggerKind(row.kind),
        condition=msgspec.convert(row.condition, Condition),
        wish=msgspec.convert(row.wish, CurtailWish),
        author_id=row.author_id,
        author=str(row.author),
        reason=row.reason,
        written_at=row.written_at,
        approver="" if row.approver is None else str(row.approver),
        approved_at=row.approved_at,
        is_on=row.is_on,
        is_active=row.is_on and memory.is_on,
        began_at=row.began_at,
        ended_at=row.ended_at,
        message=row.message,
    )


def _memory(row: Trigger) -> Memory:
    return Memory(row.met_since, row.began_at, row.ended_at)


# People.


@transaction.atomic
def write_trigger(
    user: "User",
    name: str,
    kind: TriggerKind,
    condition: Condition,
    wish: CurtailWish,
    *,
    reason: str,
    trigger_id: int | None = None,
) -> TriggerRow:
    """Add a trigger, or write one anew; either way it does nothing until somebody else approves it.

    Raises NotPermittedError, UnknownTriggerError, OperationRefusedError for what cannot be used.
    """
    what = "write a trigger" if trigger_id is None else f"write trigger {trigger_id}"
    _require(user, Permission.OPERATION_RUN, what)
    reason, name = checked_reason(reason, what), name.strip()
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable():
        text = _("A trigger's name has 1 to %(limit)d letters.") % {"limit": NAME_MAX}
        raise OperationRefusedError(f"{what}: name of {len(name)} characters", text)
    found = problem(kind, condition)
    if found:
        text = _("The condition's days, times or thresholds cannot be used.")
        raise OperationRefusedError(f"{what}: {condition}: {found}", text)
    _check_wish(kind, wish)
    now = utc_now()
    row = Trigger(written_at=now) if trigger_id is None else _found(trigger_id, lock=True)
    if trigger_id is None and Trigger.objects.filter(retired_at=None).count() >= TRIGGERS_MAX:
        raise OperationRefusedError(f"{what}: {TRIGGERS_MAX} are there", _("There are too many triggers."))
    before = None if trigger_id is None else _document(row)
    row.name, row.kind, row.author, row.reason, row.written_at = name, kind, user, reason, now
    row.condition, row.wish = msgspec.to_builtins(condition), msgspec.to_builtins(wish)
    row.approver, row.approved_at, row.is_on, row.message = None, None, False, ""
    row.met_since = row.began_at = row.ended_at = None
    row.save()
    _record(row, user.actor, "write", reason, before, _document(row))
    return _row(row)


def _check_wish(kind: TriggerKind, wish: CurtailWish) -> None:
    if kind is TriggerKind.CAPACITY:
        if wish.target_mw is not None or wish.reduce_pct is not None:
            raise OperationRefusedError(
                "write a trigger: a capacity brings its own target", _("The capacity that is told is the target.")
            )
        wish = msgspec.structs.replace(wish, target_mw=1.0)
    curtailing.check_wish(wish)


@transaction.atomic
def approve_trigger(user: "User", trigger_id: int, *, reason: str) -> TriggerRow:
    """Agree to what somebody else wrote; from now on it is looked at.

    Raises NotPermittedError, UnknownTriggerError, OperationRefusedError.
    """
    what = f"approve trigger {trigger_id}"
    _require(user, Permission.TRIGGER_APPROVE, what)
    reason, row = checked_reason(reason, what), _found(trigger_id, lock=True)
    if row.author_id == user.pk:
        raise OperationRefusedError(
            f"{what}: {user.actor} wrote it; somebody else must approve",
            _("You wrote this trigger; somebody else must approve it."),
        )
    if row.approved_at is not None:
        raise OperationRefusedError(f"{what}: it is approved", _("This trigger is approved already."))
    row.approver, row.approved_at, row.is_on = user, utc_now(), True
    row.save(update_fields=["approver", "approved_at", "is_on"])
    _record(row, user.actor, "approve", reason, None, _document(row))
    return _row(row)


@transaction.atomic
def switch_trigger(user: "User", trigger_id: int, *, on: bool, reason: str) -> TriggerRow:
    """Look at it, or do not. What it began goes on, and is a person's to end.

    Raises NotPermittedError, UnknownTriggerError, OperationRefusedError for one that is not approved.
    """
    what = f"switch trigger {trigger_id} {'on' if on else 'off'}"
    _require(user, Permission.OPERATION_RUN, what)
    reason, row = checked_reason(reason, what), _found(trigger_id, lock=True)
    if on and row.approved_at is None:
        raise OperationRefusedError(f"{what}: it is not approved", _("Somebody else must approve this trigger first."))
    row.is_on, row.message = on, ""
    row.met_since = row.began_at = row.ended_at = None
    row.save(update_fields=["is_on", "message", "met_since", "began_at", "ended_at"])
    _record(row, user.actor, "on" if on else "off", reason, None, None)
    return _row(row)


@transaction.atomic
def retire_trigger(user: "User", trigger_id: int, *, reason: str) -> None:
    """Take a trigger away. Raises NotPermittedError, UnknownTriggerError."""
    what = f"retire trigger {trigger_id}"
    _require(user, Permission.OPERATION_RUN, what)
    reason, row = checked_reason(reason, what), _found(trigger_id, lock=True)
    row.is_on, row.retired_at = False, utc_now()
    row.save(update_fields=["is_on", "retired_at"])
    _record(row, user.actor, "retire", reason, _document(row), None)


@transaction.atomic
def tell_signal(user: "User", kind: str, value: float | None, *, source: str) -> SignalRow:
    """A person or a program with a token says what energy costs, or how much power there is.

    Raises NotPermittedError, OperationRefusedError.
    """
    _require(user, Permission.OPERATION_RUN, f"tell the {kind}")
    if kind not in {TriggerKind.PRICE, TriggerKind.CAPACITY} or (value is not None and not math.isfinite(value)):
        raise OperationRefusedError(f"tell the {kind}: {value}", _("There is no such signal."))
    hear_signal(kind, value, at=utc_now(), source=f"{source} ({user.actor})"[:60])
    row = GridSignal.objects.get(kind=kind)
    return SignalRow(row.kind, row.value, row.at, row.source, row.until)


@transaction.atomic
def hear_signal(kind: str, value: float | None, *, at: datetime, source: str, until: datetime | None = None) -> bool:
    """Keep what was told; older than what is known, it changes nothing. Returns whether it was new."""
    row = GridSignal.objects.select_for_update().filter(kind=kind).first()
    if row is not None and row.at >= at:
        return False
    if row is None or row.value != value:
        entry = NewEntry(
            "process:fleet", f"fleet.signal.{kind}", f"signal:{kind}", source, None, {"value": value}, None
        )
        ledger.append([entry])
    GridSignal.objects.update_or_create(
        kind=kind, defaults={"value": value, "at": at, "source": source[:60], "until": until}
    )
    return True


# What the fleet process does every few seconds.


def look(around: Surroundings, *, now: datetime | None = None) -> int:
    """Look at every trigger that is on; returns how many began or ended something."""
    now, acted = now or utc_now(), 0
    for trigger_id in Trigger.objects.filter(is_on=True, retired_at=None).values_list("pk", flat=True):
        acted += _look_at(trigger_id, around, now)
    return acted


@transaction.atomic
def _look_at(trigger_id: int, around: Surroundings, now: datetime) -> bool:
    row = Trigger.objects.select_for_update().select_related("author").filter(pk=trigger_id, is_on=True).first()
    if row is None:
        return False
    kind, before = TriggerKind(row.kind), _memory(row)
    signal = _signal(kind, around, now)
    told, memory = verdict(
        kind,
        msgspec.convert(row.condition, Condition),
        before,
        signal,
        now=now,
        local=now.astimezone(around.zone),
    )
    message = row.message
    if told is Verdict.BEGIN:
        message = _begin(row, signal, around)
        if message:
            # It is tried again at the next look: what stands in its way may pass.
            memory = Memory(memory.met_since, before.began_at, before.ended_at)
    elif told is Verdict.END:
        message = _end(row)
        if message:
            memory = before  # what it put to sleep still sleeps: it is tried again, and shown as calling for it
    elif kind is TriggerKind.CAPACITY and memory.is_on:
        go_on = _begin if _is_left_alone(row, memory) else _follow
        message = go_on(row, signal, around)
    if memory != before or message != row.message:
        row.met_since, row.began_at, row.ended_at = memory.met_since, memory.began_at, memory.ended_at
        row.message = message[:300]
        row.save(update_fields=["met_since", "began_at", "ended_at", "message"])
    return told is not Verdict.NOTHING and not message


def _signal(kind: TriggerKind, around: Surroundings, now: datetime) -> Signal:
    if kind is TriggerKind.FREQUENCY:
        return around.frequency
    row = GridSignal.objects.filter(kind=kind).first()
    if row is None or row.value is None or (row.until is not None and row.until <= now):
        return Signal()
    return Signal(row.value, (now - row.at).total_seconds())


def _wish(row: Trigger, signal: Signal) -> CurtailWish:
    wish = msgspec.convert(row.wish, CurtailWish)
    target_mw = max(signal.value, 0.0) / 1e6 if row.kind == TriggerKind.CAPACITY else wish.target_mw
    # What calls for it does not ask whether it can be in time: late is better than not at all.
    return msgspec.structs.replace(wish, target_mw=target_mw, even_late=True)


def _begin(row: Trigger, signal: Signal, around: Surroundings) -> str:
    """Begin a curtailment, or lower the target of the one under way; what stands in its way."""
    wish, actor = _wish(row, signal), f"trigger:{row.pk}"
    try:
        with transaction.atomic():
            active = curtail_rows.active()
            if active is None:
                curtailing.begin(
                    row.author,
                    wish,
                    around.figures,
                    reason=row.name,
                    ramp_kw_s_max=around.ramp_kw_s_max,
                    actor=actor,
                    trigger_id=row.pk,
                )
            elif active.phase is CurtailPhase.WAKE:
                return "another curtailment wakes its machines; this one begins after it"
            elif curtailing.target_w(wish, active.baseline_w) < active.target_w:
                curtailing.retarget(
                    row.author, active.id, wish, reason=row.name, ramp_kw_s_max=around.ramp_kw_s_max, actor=actor
                )
    except (NotPermittedError, ActionRefusedError) as error:
        return str(error)
    _record(row, actor, "begin", row.reason, None, {"signal": _finite(signal.value)})
    return ""


def _is_left_alone(row: Trigger, memory: Memory) -> bool:
    """Whether what it lowered was somebody else's and is over, while the limit lasts.

    One that it began itself, and that a person ended, is not begun again: that was said to it.
    """
    last = Curtailment.objects.select_related("operation").defer("ranking").order_by("-pk").first()
    if last is None or last.trigger_id == row.pk or memory.began_at is None:
        return False
    return last.operation.finished_at is not None and last.operation.finished_at > memory.began_at


def _end(row: Trigger) -> str:
    """Wake what triggers put to sleep, unless another one still calls for it, or a person began it."""
    others = Trigger.objects.filter(is_on=True, retired_at=None).exclude(pk=row.pk)
    active, actor = curtail_rows.active(), f"trigger:{row.pk}"
    is_ours = active is not None and active.trigger_id is not None and active.phase is not CurtailPhase.WAKE
    if active is not None and is_ours and not any(_memory(other).is_on for other in others):
        try:
            with transaction.atomic():
                curtailing.end(row.author, active.id, reason=row.name, actor=actor)
        except (NotPermittedError, ActionRefusedError) as error:
            return str(error)
    _record(row, actor, "end", row.reason, None, None)
    return ""


def _follow(row: Trigger, signal: Signal, around: Surroundings) -> str:
    """A capacity that has changed moves the target of the curtailment that it began, and lowers that of any other.

    Returns what stands in its way.
    """
    active = curtail_rows.active()
    if active is None or active.phase is CurtailPhase.WAKE:
        return ""
    is_higher = signal.value > active.target_w
    if (is_higher and active.trigger_id != row.pk) or (
        abs(signal.value - active.target_w) <= RETARGET_SHARE * active.baseline_w
    ):
        return ""
    try:
        with transaction.atomic():
            curtailing.retarget(
                row.author,
                active.id,
                _wish(row, signal),
                reason=row.name,
                ramp_kw_s_max=around.ramp_kw_s_max,
                actor=f"trigger:{row.pk}",
            )
    except (NotPermittedError, ActionRefusedError) as error:
        return str(error)
    return ""


def _found(trigger_id: int, *, lock: bool = False) -> Trigger:
    rows = Trigger.objects.select_for_update() if lock else Trigger.objects.select_related("author", "approver")
    row = rows.filter(pk=trigger_id, retired_at=None).first()
    if row is None:
        raise UnknownTriggerError(f"trigger {trigger_id}: not known")
    return row


def _document(row: Trigger) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "condition": row.condition,
        "wish": row.wish,
        "author": f"user:{row.author_id}",
    }


def _record(
    row: Trigger, actor: str, verb: str, reason: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    ledger.append([NewEntry(actor, f"fleet.trigger.{verb}", f"trigger:{row.pk}", reason, before, after, None)])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _require(user: "User", permission: Permission, what: str) -> None:
    if not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
