"""How alarms are written: one writer at a time, each change with its line in the journal and its word on the bus."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import psycopg
from django.db import connection

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.facility.errors import AlarmRefusedError
from mbongi.facility.events import AlarmsChanged, AlarmWord
from mbongi.facility.models import Alarm
from mbongi.facility.rules.alarm_flood import SETTLE, WINDOW
from mbongi.facility.rules.alarm_limits import RANK, Priority
from mbongi.facility.rules.alarm_state import UNANSWERED, Change, State, after

PROCESS = "process:facility"
TOLD_MAX = 200
"""Alarms named in one message, at most; it says how many there are."""
_LOCK = 0x6D626F_05


def lock_alarms() -> None:
    """Let no other transaction change alarms until this one ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


class Line(NamedTuple):
    """A line of the journal: the columns of ``AlarmEvent``."""

    alarm_id: int
    at: datetime
    noted_at: datetime
    change: Change
    before: State
    after: str
    priority: str
    value: float | None
    root_id: int | None
    actor: str
    reason: str


@dataclass(slots=True)
class Journal:
    """What one transaction changes; ``write`` writes all of it. Made after ``lock_alarms``."""

    actor: str = PROCESS
    now: datetime = field(default_factory=utc_now)
    changed: dict[int, Alarm] = field(default_factory=dict)
    events: list[Line] = field(default_factory=list)
    told: set[int] = field(default_factory=set)

    def touch(self, alarm: Alarm) -> None:
        """The alarm's row is to be written."""
        self.changed[alarm.pk] = alarm

    def apply(self, alarm: Alarm, change: Change, at: datetime, reason: str = "", *, latches: bool = False) -> bool:
        """Bring an alarm into its next state, with a line in the journal; whether its state allowed it.

        Repeating what is so already is allowed, and adds no line. A raise and a clear always have their line.
        """
        before = State(alarm.state)
        found = after(before, change, is_active=alarm.active, latches=latches)
        if found is None:
            return False
        self.touch(alarm)
        if found is before and change not in {Change.RAISE, Change.CLEAR, Change.SHELVE}:
            return True
        alarm.state = found
        self._times(alarm, change, at, before)
        self._line(alarm, change, at, before, reason)
        return True

    def demand(self, alarm: Alarm, change: Change, reason: str, text: str) -> None:
        """As ``apply``, for what a person asks. Raises AlarmRefusedError with ``text`` where the state refuses."""
        if not self.apply(alarm, change, self.now, reason):
            raise AlarmRefusedError(f"alarm {alarm.pk}: {change}: it is {alarm.state}", text)

    def _times(self, alarm: Alarm, change: Change, at: datetime, before: State) -> None:
        if change is Change.RAISE:
            alarm.raised_at, alarm.cleared_at = at, None
            alarm.raises += 1
        elif change is Change.CLEAR:
            alarm.cleared_at = at
        elif change is Change.ACKNOWLEDGE:
            alarm.answered_at, alarm.answered_by = at, self.actor
        if alarm.state == State.UNACKNOWLEDGED and before != State.UNACKNOWLEDGED:
            alarm.answered_at, alarm.answered_by, alarm.step = None, "", 0
            # What may be a consequence waits for its root; what rises at the end of another state does not.
            wait = change is Change.RAISE and bool(alarm.follows)
            alarm.announce_at = at + WINDOW if wait else at
            alarm.escalate_at = alarm.announce_at
        elif alarm.state not in UNANSWERED:
            alarm.escalate_at = None
        if alarm.state != State.SHELVED:
            alarm.shelved_until = None
        if alarm.state != State.SUPPRESSED:
            alarm.root_id = alarm.release_at = None

    def _line(self, alarm: Alarm, change: Change, at: datetime, before: State, reason: str) -> None:
        alarm.reason = reason[:500] if change in _WITH_REASON else alarm.reason
        self.events.append(
            Line(
                alarm_id=alarm.pk,
                at=at,
                noted_at=self.now,
                change=change,
                before=before,
                after=alarm.state,
                priority=alarm.priority,
                value=alarm.value,
                root_id=alarm.root_id,
                actor=self.actor,
                reason=reason[:500],
            )
        )
        self.told.add(alarm.pk)

    def under(self, alarm: Alarm, root: Alarm) -> None:
        """Fold a consequence under its root."""
        if alarm.root_id == root.pk and alarm.release_at is None:
            return
        alarm.release_at = None
        self.touch(alarm)
        if alarm.root_id == root.pk:
            return
        alarm.root_id = root.pk
        if alarm.state == State.SUPPRESSED:
            self._line(alarm, Change.SUPPRESS, self.now, State.SUPPRESSED, f"consequence of {root.tag}")
        else:
            self.apply(alarm, Change.SUPPRESS, self.now, f"consequence of {root.tag}")

    def rise(self, alarm: Alarm, reason: str) -> None:
        """A consequence is one no more: it rises by itself where its condition lasts, else it is normal."""
        alarm.release_at = None
        self.apply(alarm, Change.RELEASE, self.now, reason)

    def settle_later(self, alarm: Alarm) -> None:
        """The root is gone; the consequence is given time to clear before it rises."""
        if alarm.release_at is None:
            alarm.release_at = self.now + SETTLE
            self.touch(alarm)

    def write(self) -> None:
        """Write rows, lines and the word on the bus, within the present transaction."""
        rows = sorted(self.changed.values(), key=lambda each: each.pk)
        for alarm in rows:
            alarm.due_at = _due(alarm)
        _write(_UPDATE, rows, _ROW)
        _write(_INSERT, self.events, _LINE)
        if self.told:
            self._tell([self.changed[each] for each in self.told])

    def _tell(self, alarms: Sequence[Alarm]) -> None:
        keys = dict(Alarm.objects.filter(pk__in=self.told).values_list("pk", "definition__key"))
        first = sorted(alarms, key=lambda each: (RANK[Priority(each.priority)], -each.pk))[:TOLD_MAX]
        words = tuple(
            AlarmWord(
                alarm_id=each.pk,
                key=keys[each.pk],
                tag=each.tag,
                state=str(each.state),
                priority=str(each.priority),
                active=each.active,
                root_id=each.root_id,
            )
            for each in first
        )
        outbox.emit(AlarmsChanged(alarms=words, total=len(alarms), at_ms=int(self.now.timestamp() * 1000)))


_WITH_REASON = {Change.SHELVE, Change.SUPPRESS, Change.REMOVE}


def _columns(*lines: str) -> dict[str, str]:
    """Columns with their types, from lines of ``type: name name``."""
    pairs = (line.split(": ") for line in lines)
    return {name: kind for kind, names in pairs for name in names.split()}


_ROW = _columns(
    "bigint: id root_id",
    "text: state answered_by reason",
    "bool: active",
    "int: seen step raises",
    "float8: value",
    "timestamptz: seen_at pending_at raised_at cleared_at answered_at shelved_until announce_at release_at escalate_at",
    "timestamptz: due_at",
)
_LINE = _columns(
    "bigint: alarm_id root_id",
    "timestamptz: at noted_at",
    "text: change before after priority actor reason",
    "float8: value",
)


def _arrays(columns: Mapping[str, str]) -> str:
    return ", ".join(f"%b::{kind}[]" for kind in columns.values())


# Thousands of rows in a second: Django's own ways of writing many take ten times as long. The names are those above.
_UPDATE = (
    f"UPDATE facility_alarm SET {', '.join(f'{name} = new.{name}' for name in _ROW if name != 'id')}"  # noqa: S608
    f" FROM unnest({_arrays(_ROW)}) AS new ({', '.join(_ROW)}) WHERE facility_alarm.id = new.id"
)
_INSERT = f"INSERT INTO facility_alarmevent ({', '.join(_LINE)}) SELECT * FROM unnest({_arrays(_LINE)})"  # noqa: S608


def _write(statement: str, rows: Sequence[object], columns: Mapping[str, str]) -> None:
    if not rows:
        return
    words = {name for name, kind in columns.items() if kind == "text"}
    values = [
        [str(getattr(row, name)) for row in rows] if name in words else [getattr(row, name) for row in rows]
        for name in columns
    ]
    connection.ensure_scope()  # type: ignore[attr-defined]  # the statement below goes round Django's cursor
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, values)


def _due(alarm: Alarm) -> datetime | None:
    times: Iterable[datetime | None] = (alarm.shelved_until, alarm.release_at)
    return min((each for each in times if each is not None), default=None)
