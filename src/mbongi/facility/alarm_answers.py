"""What operators do with alarms: acknowledge, reset, shelve for a time, suppress by design; all in the ledger."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.facility.alarm_journal import Journal, lock_alarms
from mbongi.facility.alarms import permitted
from mbongi.facility.errors import AlarmRefusedError, UnknownAlarmError
from mbongi.facility.models import Alarm
from mbongi.facility.rules.alarm_state import Change, State

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

AT_ONCE_MAX = 5_000
SHELVE_MAX = timedelta(hours=24)
"""Longer than a day is no shelving but out of service, which takes other rights."""
SHELVE_MIN = timedelta(minutes=1)


@transaction.atomic
def acknowledge(user: "User", ids: Sequence[int]) -> int:
    """Take note of alarms; returns how many. What was acknowledged before stays as it is.

    Those that nothing can be taken note of, as they are shelved or normal by now, are left out: somebody else was
    faster. Raises NotPermittedError, UnknownAlarmError.
    """
    permitted(user, Permission.ALARM_ANSWER, "acknowledge alarms", "-")
    alarms, journal = _locked(ids), Journal(actor=user.actor)
    done = [alarm for alarm in alarms if _acknowledges(journal, alarm)]
    _finish(journal, done, Change.ACKNOWLEDGE, "")
    return len(done)


def _acknowledges(journal: Journal, alarm: Alarm) -> bool:
    before = alarm.state
    return journal.apply(alarm, Change.ACKNOWLEDGE, journal.now) and alarm.state != before


@transaction.atomic
def reset(user: "User", alarm_id: int) -> None:
    """Let go of an alarm that latched. Raises AlarmRefusedError where it did not, or where its condition lasts."""
    permitted(user, Permission.ALARM_ANSWER, "reset an alarm", "-")
    _change(user, [alarm_id], Change.RESET, "", _("This alarm has nothing to reset."))


@transaction.atomic
def shelve(user: "User", ids: Sequence[int], *, minutes: float, reason: str) -> datetime:
    """Put alarms aside for a time, all or none; returns until when. What is shelved already gets the new time.

    Raises NotPermittedError, UnknownAlarmError, AlarmRefusedError.
    """
    reason = permitted(user, Permission.ALARM_ANSWER, "shelve alarms", reason)
    if not SHELVE_MIN.total_seconds() <= minutes * 60 <= SHELVE_MAX.total_seconds():
        text = _("An alarm is shelved for 1 minute to 24 hours.")
        raise AlarmRefusedError(f"shelve: {minutes} minutes; expected 1 to 1440", text)
    alarms, journal = _locked(ids), Journal(actor=user.actor)
    until = journal.now + timedelta(minutes=minutes)
    for alarm in alarms:
        journal.demand(alarm, Change.SHELVE, reason, _("This alarm is suppressed or out of service already."))
        alarm.shelved_until = until
    _finish(journal, alarms, Change.SHELVE, reason, until=until)
    return until


@transaction.atomic
def unshelve(user: "User", ids: Sequence[int]) -> None:
    """Take alarms from the shelf: those whose condition is there rise."""
    permitted(user, Permission.ALARM_ANSWER, "unshelve alarms", "-")
    _change(user, ids, Change.UNSHELVE, "", _("This alarm is not shelved."))


@transaction.atomic
def suppress(user: "User", ids: Sequence[int], *, reason: str) -> None:
    """Suppress by design: what is known to mean nothing while the plant is as it is, such as a stopped train."""
    reason = permitted(user, Permission.ALARM_EDIT, "suppress alarms", reason)
    _change(user, ids, Change.SUPPRESS, reason, "")


@transaction.atomic
def release(user: "User", ids: Sequence[int], *, reason: str) -> None:
    """End that. A consequence stays under its root."""
    reason = permitted(user, Permission.ALARM_EDIT, "release alarms", reason)
    alarms = _locked(ids)
    if any(alarm.state != State.SUPPRESSED or alarm.root_id is not None for alarm in alarms):
        text = _("This alarm is not suppressed, or is a consequence of another.")
        raise AlarmRefusedError("release: not suppressed by a person", text)
    journal = Journal(actor=user.actor)
    for alarm in alarms:
        journal.apply(alarm, Change.RELEASE, journal.now, reason)
    _finish(journal, alarms, Change.RELEASE, reason)


@transaction.atomic
def remove_one(user: "User", alarm_id: int, *, reason: str) -> None:
    """One alarm at one element out of service."""
    reason = permitted(user, Permission.ALARM_EDIT, "take an alarm out of service", reason)
    _change(user, [alarm_id], Change.REMOVE, reason, "")


@transaction.atomic
def return_one(user: "User", alarm_id: int, *, reason: str) -> None:
    """And back. Refused while its whole definition is out of service."""
    reason = permitted(user, Permission.ALARM_EDIT, "bring an alarm back to service", reason)
    [alarm] = _locked([alarm_id])
    if alarm.definition.out_reason:
        text = _("Its whole definition is out of service; bring that back.")
        raise AlarmRefusedError(f"alarm {alarm_id}: its definition is out of service", text)
    _change(user, [alarm_id], Change.RETURN, reason, _("This alarm is in service."))


def _change(user: "User", ids: Sequence[int], change: Change, reason: str, text: str) -> None:
    alarms, journal = _locked(ids), Journal(actor=user.actor)
    for alarm in alarms:
        journal.demand(alarm, change, reason, text)
    _finish(journal, alarms, change, reason)


def _finish(
    journal: Journal, alarms: Sequence[Alarm], change: Change, reason: str, *, until: datetime | None = None
) -> None:
    journal.write()
    facts = None if until is None else {"until": until.isoformat(timespec="seconds")}
    action = f"facility.alarm.{change.value}"
    ledger.append([NewEntry(journal.actor, action, f"alarm:{alarm.pk}", reason, None, facts) for alarm in alarms])


def _locked(ids: Sequence[int]) -> list[Alarm]:
    lock_alarms()
    wanted = sorted(set(ids))
    if not wanted or len(wanted) > AT_ONCE_MAX:
        raise AlarmRefusedError(
            f"{len(wanted)} alarms at once; expected 1 to {AT_ONCE_MAX}", _("Choose at least one alarm.")
        )
    found = list(Alarm.objects.filter(pk__in=wanted).order_by("pk"))
    if len(found) != len(wanted):
        raise UnknownAlarmError(f"alarms {wanted[:20]}: not all are known")
    return found
