"""Notices: who is told of which alarm, written before anything is sent, and kept as the record of what was.

A notice is made in the transaction that moves its alarms to their next step, so none is made twice; it is sent after
it was committed, under a key of its own, and once more where a process died before it could write that it was sent:
receivers of webhooks and mail know it again by the key.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.facility.alarm_journal import lock_alarms
from mbongi.facility.alarm_wording import PRIORITIES
from mbongi.facility.alarms import permitted
from mbongi.facility.errors import AlarmRefusedError
from mbongi.facility.models import Alarm, AlarmNotice, AlarmRota
from mbongi.facility.rules.alarm_limits import RANK, Priority
from mbongi.facility.rules.alarm_rota import TRIES_MAX, Channel, Duty, Outgoing, Rota, faults_of, retry_after
from mbongi.facility.rules.alarm_state import UNANSWERED

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

NAMED_MAX = 10
"""Alarms that one notice names, most urgent first; it says how many there are."""
LOOK_MAX = 2_000
SEND_MAX = 50


def rota() -> Rota:
    """Who is told, as it is now."""
    row = AlarmRota.objects.order_by("pk").first()
    return Rota() if row is None else msgspec.convert(row.document, Rota)


@transaction.atomic
def write_rota(user: "User", document: Mapping[str, Any] | Rota, *, reason: str) -> int:
    """A new version of the rota; returns its number. Raises NotPermittedError, AlarmRefusedError."""
    reason = permitted(user, Permission.ALARM_EDIT, "write the rota", reason)
    try:
        found = document if isinstance(document, Rota) else msgspec.convert(document, Rota, strict=False)
    except msgspec.ValidationError as error:
        raise AlarmRefusedError(f"rota: {error}", str(error)) from error
    if faults := faults_of(found):
        text = _("These entries cannot be so: %(entries)s.") % {"entries": "; ".join(faults[:10])}
        raise AlarmRefusedError(f"rota: {'; '.join(faults)}", text)
    lock_alarms()
    content = msgspec.to_builtins(found)
    row = AlarmRota.objects.select_for_update().order_by("pk").first()
    before = None if row is None else row.document
    if row is None:
        row = AlarmRota(document=content, changed_by=user.actor, changed_at=utc_now())
    else:
        row.document, row.version = content, row.version + 1
        row.changed_by, row.changed_at = user.actor, utc_now()
    row.save()
    ledger.append([NewEntry(user.actor, "facility.alarm_rota.change", "alarm_rota:1", reason, before, content)])
    return row.version


@transaction.atomic
def make_due(timezone: str, *, site_name: str, url: str, now: datetime | None = None) -> int:
    """Make the notices that are due, one for each person, and move their alarms to the next step; returns how many."""
    now = now or utc_now()
    lock_alarms()
    found = rota()
    due = list(
        Alarm.objects.filter(escalate_at__lte=now, state__in=UNANSWERED)
        .select_related("definition")
        .order_by("escalate_at", "pk")[:LOOK_MAX]
    )
    told: dict[tuple[Duty, int], list[Alarm]] = defaultdict(list)
    local = now.astimezone(ZoneInfo(timezone))
    for alarm in due:
        due_at = found.due_at(alarm.step, alarm.announce_at or now)
        if due_at is not None and due_at > now:
            # The first step may be one of some minutes, and another rota may have been written since.
            alarm.escalate_at = due_at
            continue
        for duty in found.told(alarm.step, Priority(alarm.priority), local):
            told[duty, alarm.step].append(alarm)
        alarm.step += 1
        alarm.escalate_at = found.due_at(alarm.step, alarm.announce_at or now)
    Alarm.objects.bulk_update(due, ["step", "escalate_at"], batch_size=500)
    AlarmNotice.objects.bulk_create(
        _notice(duty, step, alarms, now, site_name=site_name, url=url) for (duty, step), alarms in told.items()
    )
    return len(told)


def _notice(duty: Duty, step: int, alarms: Sequence[Alarm], now: datetime, *, site_name: str, url: str) -> AlarmNotice:
    first = sorted(alarms, key=lambda each: (RANK[Priority(each.priority)], each.raised_at or now))
    with translation.override(duty.language):
        subject, text = _words(first, step, site_name=site_name, url=url)
    return AlarmNotice(
        key=uuid4(),
        channel=duty.channel,
        address=duty.address,
        name=duty.name,
        subject=subject[:200],
        text=text,
        alarms=[alarm.pk for alarm in first],
        step=step,
        made_at=now,
        next_at=now,
    )


def _words(alarms: Sequence[Alarm], step: int, *, site_name: str, url: str) -> tuple[str, str]:
    head = alarms[0]
    subject = f"{site_name}: {PRIORITIES[Priority(head.priority)]}: {head.definition.document['title']} · {head.tag}"
    if len(alarms) > 1:
        more = len(alarms) - 1
        subject += " " + ngettext("and %(n)d more", "and %(n)d more", more) % {"n": more}
    lines = [_("Nobody has answered yet.")] if step else []
    for alarm in alarms[:NAMED_MAX]:
        document = alarm.definition.document
        lines.append(f"{PRIORITIES[Priority(alarm.priority)]}: {document['title']} · {alarm.tag}")
        lines += [part for part in (document.get("response", ""),) if part]
    if len(alarms) > NAMED_MAX:
        lines.append(_("%(n)d alarms in all.") % {"n": len(alarms)})
    return subject, "\n".join([*lines, f"{url}/alarms/"])


def to_send(now: datetime | None = None) -> list[Outgoing]:
    """The notices that are to be sent now, oldest first."""
    rows = AlarmNotice.objects.filter(next_at__lte=now or utc_now()).order_by("next_at", "pk")[:SEND_MAX]
    return [
        Outgoing(row.pk, str(row.key), Channel(row.channel), row.address, row.subject, row.text, row.alarms, row.tries)
        for row in rows
    ]


def note_sent(notice_id: int, now: datetime | None = None) -> None:
    """It was taken by its receiver."""
    AlarmNotice.objects.filter(pk=notice_id).update(sent_at=now or utc_now(), next_at=None, error="")


def note_failed(notice_id: int, tries: int, error: str, *, is_final: bool, now: datetime | None = None) -> None:
    """It was not; it is tried again later, until TRIES_MAX or where that is of no use."""
    given_up = is_final or tries + 1 >= TRIES_MAX
    next_at = None if given_up else (now or utc_now()) + retry_after(tries)
    AlarmNotice.objects.filter(pk=notice_id).update(tries=tries + 1, next_at=next_at, error=error[:300])
