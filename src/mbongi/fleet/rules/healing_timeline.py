"""A span of the past, asked of the same rules as the present. Pure.

Nobody can know how a machine would have answered an action that was never sent: here it does what it did without. So
what a replay shows is what the rules would have done at most, while the machines behave as they were recorded; a
machine that was put to sleep, or that people were told of, is left alone to the end.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mbongi.fleet.rules.healing import (
    Attempt,
    Cure,
    Move,
    Outcome,
    Past,
    Rule,
    Sight,
    calls_for_order,
    decide,
    met_since,
    unacted,
)
from mbongi.fleet.rules.healing_spans import Span
from mbongi.fleet.values import EventKind

STEP_MS = 30_000
"""How often the rules are asked of the past; of the present they are asked more often."""


class Stretch(NamedTuple):
    """A time during which a machine was to be left alone, and why; ``until_ms`` None: to the end."""

    since_ms: int
    until_ms: int | None
    why: str


@dataclass(slots=True)
class Story:
    """One machine over the span: what is known of it, its conditions, and when it was to be left alone."""

    machine_id: int
    group_id: int | None
    model: str
    hall: int | None
    spans: Sequence[Span]
    aside: Sequence[Stretch] = ()
    cures: frozenset[Cure] = frozenset(Cure)


@dataclass(slots=True)
class Kept:
    """Machines that a rule would have held back or left alone for one reason, and for how long in all."""

    machines: dict[int, int] = field(default_factory=dict)
    """Seconds, by machine."""
    first_ms: int = 0


@dataclass(slots=True)
class Replayed:
    """What the rules would have done, in order, and what they would not, by rule and ``move:why``."""

    attempts: list[Attempt] = field(default_factory=list)
    kept: dict[tuple[int, str], Kept] = field(default_factory=dict)


def replay(
    rules: Sequence[Rule],
    stories: Iterable[Story],
    population: Mapping[int, int],
    *,
    since_ms: int,
    until_ms: int,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> Replayed:
    """Ask the rules every STEP_MS from ``since_ms`` to ``until_ms`` [ms since 1970, UTC]; ``on_progress`` gets 0 to 1.

    All rules are asked as if they acted. ``population`` is how many machines each speaks of.
    """
    run = _Run(rules, list(stories), population)
    at_ms = since_ms
    told = 0
    while at_ms <= until_ms:
        run.look(at_ms)
        next_ms = at_ms + STEP_MS
        if run.is_quiet:
            # Nothing to be asked until something begins.
            next_ms = max(next_ms, run.next_ms(until_ms + 1))
        at_ms = next_ms
        percent = int(100 * (at_ms - since_ms) / max(1, until_ms - since_ms))
        if percent > told:
            told = percent
            on_progress(min(1.0, percent / 100))
    return run.found


class _Run:
    """One replay under way."""

    def __init__(self, rules: Sequence[Rule], stories: Sequence[Story], population: Mapping[int, int]) -> None:
        self.rules, self.population = rules, population
        self.by_id = {rule.id: rule for rule in rules}
        self.stories = {story.machine_id: story for story in stories}
        self.changes = sorted(_changes(stories))
        self.place = 0
        self.conditions: dict[int, dict[tuple[EventKind, str], int]] = defaultdict(dict)
        self.past, self.found = Past(), Replayed()
        self.told: dict[int, str] = {}
        # What was seen of a machine holds until its conditions change, or until this moment.
        self.seen: dict[int, tuple[Sight, int | None]] = {}

    @property
    def is_quiet(self) -> bool:
        """Whether no machine is in a condition, and nothing waits to be judged."""
        return not self.conditions and not self.past.open_attempts()

    def next_ms(self, default: int) -> int:
        """When the next condition begins."""
        return self.changes[self.place][0] if self.place < len(self.changes) else default

    def look(self, at_ms: int) -> None:
        self._move_to(at_ms)
        sights = [self._sight(machine_id, at_ms) for machine_id in sorted(self.conditions)]
        self._judge({each.machine_id: each for each in sights}, at_ms)
        for verdict in decide(self.rules, sights, self.past, at_ms, self.population):
            if verdict.move in {Move.ACT, Move.ORDER} and verdict.cure is not None:
                self._begin(verdict.rule_id, verdict.machine_id, verdict.cure, verdict.step, at_ms)
            else:
                self._keep(verdict.rule_id, verdict.machine_id, f"{verdict.move}:{verdict.why}", at_ms)

    def _move_to(self, at_ms: int) -> None:
        while self.place < len(self.changes) and self.changes[self.place][0] <= at_ms:
            _at, machine_id, opens, key, since_ms = self.changes[self.place]
            self.place += 1
            self.seen.pop(machine_id, None)
            if opens:
                self.conditions[machine_id][key] = since_ms
                continue
            self.conditions[machine_id].pop(key, None)
            if not self.conditions[machine_id]:
                del self.conditions[machine_id]

    def _sight(self, machine_id: int, at_ms: int) -> Sight:
        known = self.seen.get(machine_id)
        if known is not None and (known[1] is None or at_ms < known[1]):
            return known[0]
        story = self.stories[machine_id]
        told = self.told.get(machine_id, "")
        aside, until_ms = (told, None) if told else _aside_at(story.aside, at_ms)
        sight = Sight(
            machine_id=machine_id,
            group_id=story.group_id,
            model=story.model,
            hall=story.hall,
            conditions=self.conditions[machine_id],
            aside=aside,
            cures=story.cures,
        )
        self.seen[machine_id] = sight, until_ms
        return sight

    def _judge(self, sights: Mapping[int, Sight], at_ms: int) -> None:
        for attempt in self.past.open_attempts():
            rule, sight = self.by_id[attempt.rule_id], sights.get(attempt.machine_id)
            since_ms = None if sight is None else met_since(rule, sight)
            outcome = unacted(rule, attempt, at_ms, since_ms=since_ms)
            if outcome is Outcome.OPEN:
                continue
            self.past.end(attempt, at_ms, outcome)
            if calls_for_order(attempt.cure, outcome) and rule.document.work_order:
                self._begin(rule.id, attempt.machine_id, Cure.WORK_ORDER, attempt.step, at_ms)

    def _begin(self, rule_id: int, machine_id: int, cure: Cure, step: int, at_ms: int) -> None:
        attempt = Attempt(rule_id, machine_id, cure, step, at_ms)
        if cure is Cure.WORK_ORDER:
            attempt.ended_ms, attempt.outcome = at_ms, Outcome.ORDERED
            self.told[machine_id] = "order"
            self.seen.pop(machine_id, None)
        self.past.add(attempt)
        self.found.attempts.append(attempt)

    def _keep(self, rule_id: int, machine_id: int, why: str, at_ms: int) -> None:
        kept = self.found.kept.setdefault((rule_id, why), Kept(first_ms=at_ms))
        passed_s = STEP_MS // 1000
        kept.machines[machine_id] = kept.machines.get(machine_id, 0) + passed_s


def _changes(stories: Iterable[Story]) -> Iterable[tuple[int, int, bool, tuple[EventKind, str], int]]:
    for story in stories:
        for span in story.spans:
            key = (span.kind, span.part)
            yield span.opened_ms, story.machine_id, True, key, span.since_ms
            if span.cleared_ms is not None:
                yield span.cleared_ms, story.machine_id, False, key, span.since_ms


def _aside_at(stretches: Sequence[Stretch], at_ms: int) -> tuple[str, int | None]:
    """Why a machine was to be left alone at a moment, the first word of those that fit, and until when that holds."""
    last = bisect_right(stretches, at_ms, key=lambda each: each.since_ms)
    fitting = [each for each in stretches[:last] if each.until_ms is None or at_ms < each.until_ms]
    if fitting:
        return fitting[0].why, fitting[0].until_ms
    return "", stretches[last].since_ms if last < len(stretches) else None
