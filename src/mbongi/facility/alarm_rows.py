"""What pages, the API and benchmarks read of alarms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from django.db.models import Case, Count, OuterRef, Q, Subquery, When

from mbongi.base.clock import utc_now
from mbongi.facility.errors import UnknownAlarmError
from mbongi.facility.models import Alarm, AlarmDefinition, AlarmEvent, AlarmNotice, AlarmRota
from mbongi.facility.rules import alarm_rates
from mbongi.facility.rules.alarm_limits import RANK, Document, Priority
from mbongi.facility.rules.alarm_rates import Rates, Rise
from mbongi.facility.rules.alarm_rota import Channel, Rota
from mbongi.facility.rules.alarm_state import STANDING, UNANSWERED, Change, Seen, State

LIST_MAX = 200
EVENTS_MAX = 100


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An alarm as it stands. ``consequences``: how many alarms are folded under it now."""

    id: int
    key: str
    document: Document
    tag: str
    state: State
    priority: Priority
    active: bool
    seen: Seen
    value: float | None
    raised_at: datetime | None
    cleared_at: datetime | None
    answered_at: datetime | None
    answered_by: str
    shelved_until: datetime | None
    reason: str
    root_id: int | None
    consequences: int
    raises: int
    out_reason: str

    @property
    def is_unanswered(self) -> bool:
        """Whether somebody should acknowledge it."""
        return self.state in UNANSWERED

    @property
    def is_inferred(self) -> bool:
        """Whether its own device says nothing."""
        return self.document.kind.value == "inferred"

    @property
    def is_uncertain(self) -> bool:
        """Whether it lasts as far as is known, though its reading is bad by now."""
        return self.active and self.seen is Seen.UNKNOWN


@dataclass(frozen=True, slots=True)
class EventLine:
    """A line of the journal."""

    id: int
    alarm_id: int
    at: datetime
    change: Change
    before: State
    after: State
    priority: Priority
    value: float | None
    root_id: int | None
    actor: str
    reason: str
    title: str
    tag: str
    unit: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many alarms stand, by priority, and how many are put aside."""

    unanswered: int
    standing: dict[Priority, int]
    shelved: int
    suppressed: int
    out_of_service: int


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """An entry of the rationalisation list."""

    key: str
    document: Document
    version: int
    out_reason: str
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """What was sent, or is to be, to whom."""

    name: str
    channel: Channel
    address: str
    subject: str
    made_at: datetime
    sent_at: datetime | None
    is_waiting: bool
    tries: int
    error: str


def standing(limit: int = LIST_MAX) -> list[AlarmRow]:
    """The alarms that stand and are told, unanswered first, then by priority, newest first; consequences are folded."""
    told = Q(announce_at=None) | Q(announce_at__lte=utc_now())
    answered = Case(When(state__in=UNANSWERED, then=0), default=1)
    rank = Case(*(When(priority=priority, then=number) for priority, number in RANK.items()))
    rows = Alarm.objects.filter(told, state__in=STANDING).annotate(answered=answered, rank=rank)
    return _rows(rows.order_by("answered", "rank", "-raised_at", "-id")[:limit])


def aside(limit: int = LIST_MAX) -> list[AlarmRow]:
    """What is shelved, suppressed by a person, or out of service while its condition was ever seen."""
    put = Q(state__in=[State.SHELVED, State.OUT_OF_SERVICE]) | Q(state=State.SUPPRESSED, root=None)
    return _rows(Alarm.objects.filter(put).order_by("state", "-raised_at", "-id")[:limit])


def consequences(root_id: int, limit: int = LIST_MAX) -> list[AlarmRow]:
    """What is folded under a root now, newest first."""
    return _rows(Alarm.objects.filter(root=root_id).order_by("-raised_at", "-id")[:limit])


def alarm(alarm_id: int) -> AlarmRow:
    """One alarm. Raises UnknownAlarmError."""
    found = _rows(Alarm.objects.filter(pk=alarm_id))
    if not found:
        raise UnknownAlarmError(f"alarm {alarm_id}: not known")
    return found[0]


def counts() -> Counts:
    """How many of what."""
    rows = Alarm.objects.exclude(state=State.NORMAL).values_list("state", "priority").annotate(n=Count("pk"))
    found = [(State(state), Priority(priority), number) for state, priority, number in rows]
    return Counts(
        unanswered=sum(number for state, _priority, number in found if state in UNANSWERED),
        standing={
            each: sum(number for state, priority, number in found if state in STANDING and priority is each)
            for each in Priority
        },
        shelved=sum(number for state, _priority, number in found if state is State.SHELVED),
        suppressed=sum(number for state, _priority, number in found if state is State.SUPPRESSED),
        out_of_service=sum(number for state, _priority, number in found if state is State.OUT_OF_SERVICE),
    )


def events(
    *, alarm_id: int | None = None, change: Change | None = None, before: int | None = None, limit: int = EVENTS_MAX
) -> list[EventLine]:
    """Lines of the journal, newest first, from below ``before`` on."""
    rows = AlarmEvent.objects.select_related("alarm__definition").order_by("-id")
    if alarm_id is not None:
        rows = rows.filter(alarm=alarm_id)
    if change is not None:
        rows = rows.filter(change=change)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return [_line(row) for row in rows[:limit]]


def definitions() -> list[DefinitionRow]:
    """The rationalisation list."""
    return [
        DefinitionRow(
            key=row.key,
            document=msgspec.convert(row.document, Document),
            version=row.version,
            out_reason=row.out_reason,
            changed_by=row.changed_by,
            changed_at=row.changed_at,
        )
        for row in AlarmDefinition.objects.filter(removed_at=None).order_by("key")
    ]


def rota() -> tuple[int, Rota]:
    """The rota and its version; version 0: nobody has written one."""
    row = AlarmRota.objects.order_by("pk").first()
    return (0, Rota()) if row is None else (row.version, msgspec.convert(row.document, Rota))


def notices(*, alarm_id: int | None = None, limit: int = EVENTS_MAX) -> list[NoticeRow]:
    """What was sent to whom, newest first."""
    rows = AlarmNotice.objects.order_by("-made_at", "-id")
    if alarm_id is not None:
        rows = rows.filter(alarms__contains=[alarm_id])
    return [
        NoticeRow(
            name=row.name,
            channel=Channel(row.channel),
            address=row.address,
            subject=row.subject,
            made_at=row.made_at,
            sent_at=row.sent_at,
            is_waiting=row.next_at is not None,
            tries=row.tries,
            error=row.error,
        )
        for row in rows[:limit]
    ]


def rates(since: datetime, until: datetime, *, operators: int = 1) -> Rates:
    """The figures of a span: of alarms that were told, consequences and what was put aside left out."""
    folded = AlarmEvent.objects.filter(
        alarm=OuterRef("alarm"),
        change=Change.SUPPRESS,
        at__gte=OuterRef("at"),
        at__lt=OuterRef("at") + timedelta(seconds=60),
    )
    cleared = AlarmEvent.objects.filter(alarm=OuterRef("alarm"), change=Change.CLEAR, id__gt=OuterRef("id"))
    rows = (
        AlarmEvent.objects.filter(at__gte=since, at__lt=until, after=State.UNACKNOWLEDGED)
        .exclude(before=State.UNACKNOWLEDGED)
        .annotate(folded=Subquery(folded.values("id")[:1]))
        .filter(folded=None)
        .annotate(until=Subquery(cleared.order_by("id").values("at")[:1]))
        .values_list("alarm_id", "at", "priority", "until")
    )
    rises = (Rise(number, at, Priority(priority), end) for number, at, priority, end in rows)
    return alarm_rates.rates(rises, since, until, operators=operators)


def spans(alarm_id: int, since: datetime) -> list[tuple[datetime, datetime | None]]:
    """When an alarm's condition was there, oldest first; None: it lasts."""
    lines = AlarmEvent.objects.filter(alarm=alarm_id, at__gte=since, change__in=[Change.RAISE, Change.CLEAR])
    found: list[tuple[datetime, datetime | None]] = []
    for change, at in lines.order_by("id").values_list("change", "at"):
        if change == Change.RAISE:
            found.append((at, None))
        elif found and found[-1][1] is None:
            found[-1] = (found[-1][0], at)
        else:
            found.append((since, at))
    return found


def newest_event() -> int:
    """The number of the journal's newest line; 0 before the first."""
    return AlarmEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0


def stale(now: datetime | None = None, limit: int = LIST_MAX) -> list[AlarmRow]:
    """Alarms that have stood for more than a day."""
    long_ago = (now or utc_now()) - alarm_rates.STALE
    return _rows(Alarm.objects.filter(state__in=STANDING, active=True, raised_at__lt=long_ago)[:limit])


def named(ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Title and tag of alarms."""
    rows = Alarm.objects.filter(pk__in=list(ids)).values_list("pk", "definition__document__title", "tag")
    return {number: (title, tag) for number, title, tag in rows}


def _rows(found: Iterable[Alarm]) -> list[AlarmRow]:
    alarms: Sequence[Alarm] = list(found)
    definitions_ = AlarmDefinition.objects.in_bulk({each.definition_id for each in alarms})
    folded = dict(
        Alarm.objects.filter(root__in=[each.pk for each in alarms]).values_list("root").annotate(n=Count("pk"))
    )
    documents = {key: msgspec.convert(row.document, Document) for key, row in definitions_.items()}
    return [
        AlarmRow(
            id=each.pk,
            key=definitions_[each.definition_id].key,
            document=documents[each.definition_id],
            tag=each.tag,
            state=State(each.state),
            priority=Priority(each.priority),
            active=each.active,
            seen=Seen(each.seen),
            value=each.value,
            raised_at=each.raised_at,
            cleared_at=each.cleared_at,
            answered_at=each.answered_at,
            answered_by=each.answered_by,
            shelved_until=each.shelved_until,
            reason=each.reason,
            root_id=each.root_id,
            consequences=folded.get(each.pk, 0),
            raises=each.raises,
            out_reason=definitions_[each.definition_id].out_reason,
        )
        for each in alarms
    ]


def _line(row: AlarmEvent) -> EventLine:
    document = row.alarm.definition.document
    return EventLine(
        id=row.pk,
        alarm_id=row.alarm_id,
        at=row.at,
        change=Change(row.change),
        before=State(row.before),
        after=State(row.after),
        priority=Priority(row.priority),
        value=row.value,
        root_id=row.root_id,
        actor=row.actor,
        reason=row.reason,
        title=document["title"],
        tag=row.alarm.tag,
        unit=document.get("unit", ""),
    )
