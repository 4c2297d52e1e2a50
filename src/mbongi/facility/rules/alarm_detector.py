"""Readings in, changes out: what of a stream of observations says something new about an alarm. Pure, in memory."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from mbongi.facility.rules.alarm_flood import Sense
from mbongi.facility.rules.alarm_limits import Document, Kind, Memory, Observation, Supply, judge, remember
from mbongi.facility.rules.alarm_state import Seen

TAG_MAX = 120
FRESH_MS = 30_000
"""What an element said longer ago says nothing of whether its supply is there now."""


class Signal(NamedTuple):
    """An alarm's condition was seen to be another; ``value`` is the reading."""

    definition_id: int
    tag: str
    seen: Seen
    value: float | None
    at_ms: int


@dataclass(slots=True)
class Point:
    """One definition at one element."""

    definition_id: int
    document: Document
    tag: str
    memory: Memory = field(default_factory=Memory)


class Detector:
    """Every alarm's memory. ``load`` the definitions first, then ``see`` readings and ``tick``."""

    def __init__(self) -> None:
        self.refused = 0
        """Readings whose tag no row can hold."""
        self._documents: dict[int, Document] = {}
        self._by_quantity: dict[str, list[int]] = {}
        self._points: dict[tuple[int, str], Point] = {}
        self._by_reading: dict[tuple[str, str], tuple[Point, ...]] = {}
        self._by_tag: dict[str, list[Point]] = defaultdict(list)

    def restore(self, seen: Iterable[tuple[int, str, int]], now_ms: int) -> None:
        """What the record says was last seen, of alarms not known yet; they are given their time to speak again."""
        for definition_id, tag, word in seen:
            if (definition_id, tag) not in self._points and definition_id in self._documents:
                self._add(definition_id, tag, Memory(seen=Seen(word), at_ms=now_ms))

    def replay(self, signals: Iterable[Signal]) -> None:
        """What was seen after that and kept, in order."""
        for signal in signals:
            self.restore([(signal.definition_id, signal.tag, signal.seen)], signal.at_ms)
            point = self._points.get((signal.definition_id, signal.tag))
            if point is not None:
                point.memory.seen = signal.seen

    def load(self, documents: Mapping[int, Document], now_ms: int) -> list[Signal]:
        """Other definitions. What they watch no longer is normal from now on: signals that say so."""
        self._documents = dict(documents)
        quantities: dict[str, list[int]] = defaultdict(list)
        for number, document in documents.items():
            quantities[document.quantity].append(number)
        self._by_quantity = dict(quantities)
        former, self._points = self._points, {}
        self._by_reading.clear()
        self._by_tag.clear()
        gone = []
        for (number, tag), point in former.items():
            wanted = documents.get(number)
            if wanted is not None and fnmatchcase(tag, wanted.tag):
                self._add(number, tag, point.memory)
            elif point.memory.seen is not Seen.NORMAL:
                gone.append(Signal(number, tag, Seen.NORMAL, None, now_ms))
        return gone

    def see(self, readings: Iterable[Observation]) -> list[tuple[Signal, Seen]]:
        """What changed, each with what was seen before; ``take_back`` what could not be kept."""
        found = []
        for reading in readings:
            for point in self._at(reading):
                if reading.at_ms < point.memory.at_ms and point.memory.value_at_ms:
                    continue
                before = point.memory.seen
                seen = judge(point.document, point.memory, reading)
                remember(point.memory, seen, reading)
                if seen is not before:
                    found.append((Signal(point.definition_id, point.tag, seen, reading.value, reading.at_ms), before))
        return found

    def tick(self, now_ms: int) -> list[tuple[Signal, Seen]]:
        """What has not spoken for too long is unknown; where silence is the alarm, it is there."""
        found = []
        for point in self._points.values():
            if point.document.kind is Kind.INFERRED or now_ms - point.memory.at_ms <= point.document.stale_s * 1000:
                continue
            seen = Seen.ALARM if point.document.kind is Kind.QUALITY else Seen.UNKNOWN
            before = point.memory.seen
            if seen is not before:
                point.memory.seen = seen
                found.append((Signal(point.definition_id, point.tag, seen, None, now_ms), before))
        return found

    def take_back(self, changes: Sequence[tuple[Signal, Seen]]) -> None:
        """These could not be kept: the next reading is judged as if they had not been seen."""
        for signal, before in reversed(changes):
            point = self._points.get((signal.definition_id, signal.tag))
            if point is not None:
                point.memory.seen = before

    def gives(self, tag: str, supply: Supply, now_ms: int) -> Sense:
        """What an element's own readings say of whether it gives a supply."""
        return self._sense((each for each in self._by_tag.get(tag, ()) if each.document.stops is supply), now_ms)

    def gets(self, tag: str, supply: Supply, now_ms: int) -> Sense:
        """What an element's own readings say of whether it is given a supply."""
        points = self._by_tag.get(tag, ())
        return self._sense((each for each in points if supply.value in each.document.follows), now_ms)

    def _sense(self, points: Iterable[Point], now_ms: int) -> Sense:
        fresh = {each.memory.seen for each in points if now_ms - each.memory.at_ms <= FRESH_MS}
        if Seen.ALARM in fresh:
            return Sense.BAD
        return Sense.GOOD if Seen.NORMAL in fresh else Sense.UNKNOWN

    def _at(self, reading: Observation) -> tuple[Point, ...]:
        key = (reading.tag, reading.quantity)
        found = self._by_reading.get(key)
        if found is None:
            found = self._by_reading[key] = self._sought(*key)
        return found

    def _sought(self, tag: str, quantity: str) -> tuple[Point, ...]:
        numbers = [
            number
            for number in self._by_quantity.get(quantity, ())
            if quantity and fnmatchcase(tag, self._documents[number].tag)
        ]
        if not numbers or not 0 < len(tag) <= TAG_MAX or "\0" in tag:
            self.refused += bool(numbers)
            return ()
        return tuple(self._points.get((number, tag)) or self._add(number, tag, Memory()) for number in numbers)

    def _add(self, number: int, tag: str, memory: Memory) -> Point:
        point = Point(number, self._documents[number], tag, memory)
        self._points[number, tag] = point
        self._by_tag[tag].append(point)
        return point
