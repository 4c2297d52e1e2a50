"""What becomes of observations: one step takes some from the spool, and is one transaction with the spool's cursor.

A process that was killed has done a step wholly or not at all, and the next one goes on from the cursor: so no alarm is
lost and none comes twice. Delays, shelvings and what waits for its root are times in the rows, and outlive it too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from django.db import transaction

from mbongi.base.clock import utc_now
from mbongi.facility.alarm_journal import Journal, lock_alarms
from mbongi.facility.models import Alarm, AlarmCursor, AlarmDefinition
from mbongi.facility.rules.alarm_detector import Signal
from mbongi.facility.rules.alarm_flood import (
    INFERRED,
    LEAD,
    PATIENCE,
    Ask,
    Evidence,
    Plant,
    Sense,
    Standing,
    reached,
    roots,
    silent_roots,
)
from mbongi.facility.rules.alarm_limits import Document, Follows, Supply
from mbongi.facility.rules.alarm_state import Change, Condition, Seen, State


class Record(NamedTuple):
    """What was kept together in the spool, under its number."""

    seq: int
    signals: tuple[Signal, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition as a step uses it."""

    id: int
    key: str
    version: int
    document: Document
    is_out: bool

    @property
    def on_delay(self) -> timedelta:
        """Before it rises."""
        return timedelta(seconds=self.document.on_delay_s)

    @property
    def off_delay(self) -> timedelta:
        """Before it counts as normal."""
        return timedelta(seconds=self.document.off_delay_s)


def unknown(_tag: str, _supply: Supply) -> Sense:
    """Where no readings can be asked."""
    return Sense.UNKNOWN


@dataclass(frozen=True, slots=True)
class Site:
    """What a step knows of the plant: how it is joined, and what elements' own readings say at present."""

    plant: Plant = field(default_factory=Plant)
    gives: Ask = unknown
    gets: Ask = unknown


@dataclass(slots=True)
class Done:
    """What a step did."""

    seq: int = 0
    signals: int = 0
    events: int = 0


def definitions() -> dict[int, Definition]:
    """All that are not removed, by id."""
    rows = AlarmDefinition.objects.filter(removed_at=None)
    return {
        row.pk: Definition(row.pk, row.key, row.version, msgspec.convert(row.document, Document), bool(row.out_reason))
        for row in rows
    }


def cursor_of(spool: str) -> int:
    """How far a spool is taken in."""
    return AlarmCursor.objects.filter(spool=spool).values_list("seq", flat=True).first() or 0


def remembered() -> list[tuple[int, str, int]]:
    """Definition, tag and what was last seen, of every alarm that has ever stood; for a watch that starts."""
    return list(Alarm.objects.values_list("definition_id", "tag", "seen"))


@transaction.atomic
def step(spool: str, records: Sequence[Record], site: Site, *, now: datetime | None = None) -> Done:
    """Take in what of the records is new, and do what is due. May be repeated."""
    lock_alarms()
    cursor, _is_new = AlarmCursor.objects.select_for_update().get_or_create(spool=spool)
    fresh = [signal for record in records if record.seq > cursor.seq for signal in record.signals]
    work = _Step(definitions(), Journal(now=now or utc_now()), site)
    work.hear(fresh)
    work.time()
    work.attribute()
    work.journal.write()
    if records and records[-1].seq > cursor.seq:
        cursor.seq, cursor.at = records[-1].seq, work.now
        cursor.save(update_fields=["seq", "at"])
    return Done(cursor.seq, len(fresh), len(work.journal.events))


class _Step:
    """One step under way."""

    def __init__(self, known: Mapping[int, Definition], journal: Journal, site: Site) -> None:
        self.known, self.journal, self.site = known, journal, site
        self.now = journal.now
        self.rows: dict[tuple[int, str], Alarm] = {}
        self.is_moved = False
        """Whether a condition came or went, so that causes are to be sought anew."""

    # What was seen.

    def hear(self, signals: Sequence[Signal]) -> None:
        fitting = [signal for signal in signals if signal.definition_id in self.known]
        self._load({signal.tag for signal in fitting})
        self._add({(signal.definition_id, signal.tag) for signal in fitting} - self.rows.keys())
        for signal in fitting:
            self._see(self.rows[signal.definition_id, signal.tag], signal)
        for alarm in self.rows.values():
            self._settle(alarm, self.now)

    def _load(self, tags: Collection[str]) -> None:
        if tags:
            self._keep(Alarm.objects.extra(where=["tag = ANY(%s)"], params=[list(tags)]))

    def _keep(self, found: Iterable[Alarm]) -> list[Alarm]:
        """Each row once in a step, however it was found."""
        return [self.rows.setdefault((each.definition_id, each.tag), each) for each in found]

    def _add(self, missing: Collection[tuple[int, str]]) -> None:
        rows = []
        for definition_id, tag in sorted(missing):
            definition = self.known[definition_id]
            row = Alarm(definition_id=definition_id, tag=tag)
            describe(row, definition.document)
            row.state = State.OUT_OF_SERVICE if definition.is_out else State.NORMAL
            rows.append(row)
        self._keep(Alarm.objects.bulk_create(rows, batch_size=1000))

    def _see(self, alarm: Alarm, signal: Signal) -> None:
        at = datetime.fromtimestamp(signal.at_ms / 1000, UTC)
        self._settle(alarm, at)
        former = Condition(alarm.active, Seen(alarm.seen), alarm.pending_at)
        found = former.see(signal.seen, at)
        alarm.seen, alarm.pending_at, alarm.seen_at = found.seen, found.pending_at, at
        alarm.value = signal.value if signal.value is not None else alarm.value
        self._settle(alarm, at)
        self.journal.touch(alarm)

    def _settle(self, alarm: Alarm, at: datetime) -> None:
        """Let a delay that is over by then have its effect, at the moment at which it was over."""
        definition = self.known.get(alarm.definition_id)
        if definition is None or alarm.pending_at is None:
            return
        former = Condition(alarm.active, Seen(alarm.seen), alarm.pending_at)
        found = former.settle(definition.on_delay, definition.off_delay, at)
        if found is former:
            return
        due = former.due_at(definition.on_delay, definition.off_delay) or at
        alarm.active, alarm.pending_at, self.is_moved = found.is_active, None, True
        change = Change.RAISE if found.is_active else Change.CLEAR
        self.journal.apply(alarm, change, due, latches=definition.document.latches)
        if not found.is_active and alarm.root_id is not None:
            self.journal.rise(alarm, "cleared")

    # What is due.

    def time(self) -> None:
        for alarm in self._keep(Alarm.objects.filter(pending_at__lte=self.now)):
            self._settle(alarm, self.now)
        for alarm in self._keep(Alarm.objects.filter(due_at__lte=self.now)):
            if alarm.state == State.SHELVED and alarm.shelved_until is not None and alarm.shelved_until <= self.now:
                self.journal.apply(alarm, Change.UNSHELVE, self.now, "the time is over")
                self.is_moved = True
            if alarm.release_at is not None and alarm.release_at <= self.now:
                self.journal.rise(alarm, "its cause is gone, it lasts")

    # What is a consequence of what.

    def attribute(self) -> None:
        """Fold consequences under their roots, where a condition came or went, or a consequence may have a root yet."""
        waiting = Alarm.objects.filter(active=True, root=None, announce_at__gt=self.now - LEAD).exclude(follows="")
        if not self.is_moved and not waiting.exists():
            return
        known = [each.pk for each in self.rows.values()]
        self._keep(Alarm.objects.filter(active=True).extra(where=["NOT (id = ANY(%s))"], params=[known]))
        active = {each.pk: each for each in self.rows.values() if each.active}
        self._infer(active)
        found = roots(self.site.plant, [_standing(each) for each in active.values()])
        for number, alarm in active.items():
            if _is_aside(alarm):
                continue
            if number in found:
                self.journal.under(alarm, active[found[number]])
            elif alarm.root_id is not None:
                self.journal.settle_later(alarm)

    def _infer(self, active: dict[int, Alarm]) -> None:
        """Conclude roots that say nothing themselves, and drop those that what they feed no longer bears out."""
        by_key = {each.key: each for each in self.known.values()}
        for supply, key in INFERRED.items():
            definition = by_key.get(key)
            if definition is not None and not definition.is_out:
                self._drop(active, supply, definition)
                self._seek(active, supply, definition)

    def _drop(self, active: dict[int, Alarm], supply: Supply, definition: Definition) -> None:
        speaking = {each.tag for each in active.values() if each.stops and each.definition_id != definition.id}
        dark = {each.tag for each in active.values() if supply in each.follows.split()}
        for alarm in [each for each in active.values() if each.definition_id == definition.id]:
            speaks = alarm.tag in speaking or self.site.gives(alarm.tag, supply) is Sense.GOOD
            if speaks or dark.isdisjoint(reached(self.site.plant, alarm.tag, supply)):
                self._conclude(alarm, Seen.NORMAL, self.now)
                active.pop(alarm.pk)

    def _seek(self, active: dict[int, Alarm], supply: Supply, definition: Definition) -> None:
        explained = roots(self.site.plant, [_standing(each) for each in active.values()])
        dark = [each for each in active.values() if each.pk not in explained and _is_dark(each, supply)]
        newest = max((each.raised_at for each in dark if each.raised_at), default=None)
        if newest is None:
            return
        if newest + PATIENCE > self.now:
            return
        dark = [each for each in dark if each.raised_at is not None and each.raised_at >= newest - LEAD]
        stopped = {each.tag: Supply(each.stops) for each in active.values() if each.stops}
        seen = Evidence(supply, {each.tag for each in dark}, stopped, self.site.gives, self.site.gets)
        for tag, fed in silent_roots(self.site.plant, seen).items():
            first = min(each.raised_at for each in dark if each.tag in fed and each.raised_at)
            self._load([tag])
            self._add({(definition.id, tag)} - self.rows.keys())
            alarm = self.rows[definition.id, tag]
            self._conclude(alarm, Seen.ALARM, first, f"not stated by itself: seen by {len(fed)} that it feeds")
            active[alarm.pk] = alarm

    def _conclude(self, alarm: Alarm, seen: Seen, at: datetime, reason: str = "") -> None:
        alarm.seen, alarm.seen_at, alarm.pending_at = seen, self.now, None
        alarm.active = seen is Seen.ALARM
        self.is_moved = True
        self.journal.apply(alarm, Change.RAISE if alarm.active else Change.CLEAR, at, reason)


def describe(alarm: Alarm, document: Document) -> None:
    """Give an alarm's row what it repeats of its definition."""
    alarm.priority, alarm.stops = document.priority, document.stops or ""
    alarm.follows = " ".join(document.follows)


def _standing(alarm: Alarm) -> Standing:
    assert alarm.raised_at is not None, "an active alarm has risen"
    stops = Supply(alarm.stops) if alarm.stops else None
    return Standing(alarm.pk, alarm.tag, alarm.raised_at, stops, tuple(map(Follows, alarm.follows.split())))


def _is_aside(alarm: Alarm) -> bool:
    """Whether somebody put it aside: it is not folded then, though it may be a root. A consequence is not aside."""
    if alarm.state == State.SUPPRESSED:
        return alarm.root_id is None
    return alarm.state in {State.SHELVED, State.OUT_OF_SERVICE}


def _is_dark(alarm: Alarm, supply: Supply) -> bool:
    return alarm.root_id is None and not _is_aside(alarm) and supply in alarm.follows.split()
