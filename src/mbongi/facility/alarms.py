"""The rationalisation list: definitions are written, changed, taken out of service. Each change is in the ledger.

Built-in definitions stand for roots that say nothing themselves. What becomes of observations is in ``alarm_work``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.facility.alarm_journal import PROCESS, Journal, lock_alarms
from mbongi.facility.alarm_work import describe
from mbongi.facility.errors import AlarmRefusedError, NotPermittedError, UnknownAlarmError
from mbongi.facility.models import Alarm, AlarmDefinition
from mbongi.facility.rules.alarm_flood import INFERRED
from mbongi.facility.rules.alarm_limits import Document, Kind, Priority, faults_of
from mbongi.facility.rules.alarm_state import Change

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

DEFINITIONS_MAX = 20_000
REASON_MAX = 500
_KEY_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")


@transaction.atomic
def ensure_built_in() -> int:
    """Add the built-in definitions that are not there yet; returns how many."""
    added = 0
    for supply, key in INFERRED.items():
        document = Document(
            title=f"{supply.value.capitalize()} lost, seen by what it feeds",
            tag="*",
            kind=Kind.INFERRED,
            priority=Priority.HIGH,
            stops=supply,
            cause="The element's own device is silent, and everything that it feeds lost its supply.",
            consequence="What it feeds stands without supply.",
            response="Look at the element itself: its breaker, its supply, and the link to its device.",
            respond_s=300.0,
        )
        row, is_new = AlarmDefinition.objects.get_or_create(
            key=key,
            defaults={"document": msgspec.to_builtins(document), "changed_by": PROCESS, "changed_at": utc_now()},
        )
        if is_new:
            added += 1
            _record(row, PROCESS, "add", "built in", None)
    return added


@transaction.atomic
def write_definition(user: "User", key: str, document: Mapping[str, Any] | Document, *, reason: str) -> int:
    """Add the definition of that key, or change it as a new version; returns its version.

    One that was removed comes back. Raises NotPermittedError, AlarmRefusedError.
    """
    what = f"definition {key!r}"
    reason = permitted(user, Permission.ALARM_EDIT, what, reason)
    found = checked(key, document)
    lock_alarms()
    row = AlarmDefinition.objects.select_for_update().filter(key=key).first()
    # As the row gives it back, to tell a change from a repetition.
    content = msgspec.json.decode(msgspec.json.encode(found))
    if row is None:
        if AlarmDefinition.objects.filter(removed_at=None).count() >= DEFINITIONS_MAX:
            raise AlarmRefusedError(f"{what}: {DEFINITIONS_MAX} are there", _("There are too many definitions."))
        row = AlarmDefinition(key=key, document=content, changed_by=user.actor, changed_at=utc_now())
        before, verb = None, "add"
    else:
        before, verb = {**row.document, "version": row.version}, "change"
        if row.document == content and row.removed_at is None:
            return row.version
        row.document, row.version, row.removed_at = content, row.version + 1, None
        row.changed_by, row.changed_at = user.actor, utc_now()
    row.save()
    _describe_again(row, found)
    _record(row, user.actor, verb, reason, before)
    return row.version


@transaction.atomic
def write_definitions(user: "User", entries: Sequence[tuple[str, Mapping[str, Any]]], *, reason: str) -> int:
    """Write many at once, all or none; returns how many were new or changed. Raises as ``write_definition``."""
    changed = 0
    for key, document in entries:
        former = AlarmDefinition.objects.filter(key=key, removed_at=None).values_list("version", flat=True).first()
        changed += write_definition(user, key, document, reason=reason) != former
    return changed


@transaction.atomic
def remove_definition(user: "User", key: str, *, reason: str) -> None:
    """Watch no more for it. Refused while one of its alarms is there: nothing may vanish from the list unanswered."""
    what = f"definition {key!r}"
    reason = permitted(user, Permission.ALARM_EDIT, what, reason)
    lock_alarms()
    row = _locked(key)
    if Alarm.objects.filter(definition=row, active=True).exists():
        raise AlarmRefusedError(f"{what}: one of its alarms is active", _("One of its alarms is there now."))
    row.removed_at, row.changed_at, row.changed_by = utc_now(), utc_now(), user.actor
    row.save(update_fields=["removed_at", "changed_at", "changed_by"])
    _record(row, user.actor, "delete", reason, row.document)


@transaction.atomic
def remove_from_service(user: "User", key: str, *, reason: str) -> int:
    """All alarms of a definition out of service, with a reason; returns how many there are by now."""
    return _serve(user, key, Change.REMOVE, reason)


@transaction.atomic
def return_to_service(user: "User", key: str, *, reason: str) -> int:
    """And back: those whose condition is there rise."""
    return _serve(user, key, Change.RETURN, reason)


def _serve(user: "User", key: str, change: Change, reason: str) -> int:
    reason = permitted(user, Permission.ALARM_EDIT, f"definition {key!r}: {change}", reason)
    lock_alarms()
    row = _locked(key)
    before = row.out_reason
    row.out_reason = reason if change is Change.REMOVE else ""
    row.changed_by, row.changed_at = user.actor, utc_now()
    row.save(update_fields=["out_reason", "changed_by", "changed_at"])
    journal = Journal(actor=user.actor)
    alarms = list(Alarm.objects.filter(definition=row))
    for alarm in alarms:
        journal.apply(alarm, change, journal.now, reason)
    journal.write()
    _record(row, user.actor, change.value, reason, {"out_reason": before})
    return len(alarms)


def checked(key: str, document: Mapping[str, Any] | Document) -> Document:
    """A definition that makes sense. Raises AlarmRefusedError naming what does not."""
    if not 1 <= len(key) <= 60 or not _KEY_LETTERS.issuperset(key):
        raise AlarmRefusedError(
            f"definition {key!r}: expected 1 to 60 of a-z, 0-9, - . _",
            _("A definition's key has 1 to 60 small letters, digits, dots and dashes: “%(key)s” has not.")
            % {"key": key[:80]},
        )
    try:
        found = document if isinstance(document, Document) else msgspec.convert(document, Document, strict=False)
    except msgspec.ValidationError as error:
        raise AlarmRefusedError(f"definition {key}: {error}", f"{key}: {error}") from error
    if faults := faults_of(found):
        text = _("%(key)s: these fields cannot be so: %(fields)s.") % {"key": key, "fields": ", ".join(faults)}
        raise AlarmRefusedError(f"definition {key}: {', '.join(faults)}", text)
    return found


def permitted(user: "User", permission: Permission, what: str, reason: str) -> str:
    """The reason, trimmed, of somebody whose role permits it. Raises NotPermittedError, AlarmRefusedError."""
    if not user.may(permission):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
    reason = reason.strip()
    if not 1 <= len(reason) <= REASON_MAX:
        text = _("State a reason of at most %(limit)d characters.") % {"limit": REASON_MAX}
        raise AlarmRefusedError(f"{what}: reason of {len(reason)} characters; expected 1 to {REASON_MAX}", text)
    return reason


def _locked(key: str) -> AlarmDefinition:
    row = AlarmDefinition.objects.select_for_update().filter(key=key, removed_at=None).first()
    if row is None:
        raise UnknownAlarmError(f"definition {key!r}: not known")
    return row


def _describe_again(row: AlarmDefinition, document: Document) -> None:
    """Alarms repeat a few things of their definition; their state is left alone."""
    alarms = list(Alarm.objects.filter(definition=row))
    for alarm in alarms:
        describe(alarm, document)
    Alarm.objects.bulk_update(alarms, ["priority", "stops", "follows"], batch_size=500)


def _record(row: AlarmDefinition, actor: str, verb: str, reason: str, before: Any) -> None:
    facts = {**row.document, "version": row.version, "out_reason": row.out_reason}
    subject = f"alarm_definition:{row.key}"
    ledger.append([NewEntry(actor, f"facility.alarm_definition.{verb}", subject, reason, before, facts)])
