"""What a healing rule does about a machine, and what it leaves alone. Pure: no clock and no database of its own.

``decide`` is asked at a moment with what is seen of the machines and what was tried before; the fleet process asks it
of the present and the simulator of the past, so that both come to the same.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import msgspec

from mbongi.fleet.rules.recovery import Proof
from mbongi.fleet.rules.work_orders import Fault
from mbongi.fleet.values import EventKind

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
COMMON_MIN = 5
"""Fewer machines in the same trouble are no sign of a common cause."""


class Cure(StrEnum):
    """What a rule may do to a machine."""

    REBOOT = "reboot"
    WAKE = "wake"
    LOWER = "lower"
    """Into its low power mode."""
    SLEEP = "sleep"
    REAPPLY = "reapply"
    """Write again what differs from the profile of its group."""
    WORK_ORDER = "work_order"
    """People must look. The end of every rule that has one; not a step of its own."""


class Mode(StrEnum):
    """Whether a rule acts."""

    OFF = "off"
    WATCH = "watch"
    """It records what it would do, and does nothing."""
    ON = "on"


class Outcome(StrEnum):
    """What became of an attempt."""

    OPEN = "open"
    RECOVERED = "recovered"
    """The machine held its rate for the rule's time of proof."""
    CLEARED = "cleared"
    """The condition is gone and the machine mines, but the proof was not reached; or nothing was done at all."""
    NOT_RECOVERED = "not_recovered"
    FAILED = "failed"
    """The machine could not be written."""
    PROTECTED = "protected"
    """It was put to sleep, and people are told."""
    ORDERED = "ordered"
    ABANDONED = "abandoned"
    """Somebody else took the machine in hand, or cancelled it."""

    @property
    def is_try(self) -> bool:
        """Whether it was tried and did not help, so that the next step follows."""
        return self in {Outcome.NOT_RECOVERED, Outcome.FAILED}


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of telemetry beyond a limit: ``above`` or ``below`` it, exactly one of the two, in the column's unit."""

    column: str
    above: float | None = None
    below: float | None = None

    def is_beyond(self, value: float) -> bool:
        """Whether a known value meets it."""
        return value > self.above if self.above is not None else self.below is not None and value < self.below


class HealLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a rule may do: attempts on one machine within 24 h, on the site within an hour, and at once.

    Where ``common_percent`` or more of its machines, five at least, meet the condition at once, the cause is no single
    machine's and it does nothing; None: it acts all the same.
    """

    machine_day: int = 2
    hour: int = 20
    at_once: int = 5
    common_percent: float | None = 20.0


class RuleDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A healing rule.

    It is met by a machine that has been in one of the conditions ``kinds``, or whose ``figure`` has been beyond its
    limit, for ``for_s``; only machines of these ``groups`` (numbers), ``halls`` and ``models`` (beginnings of names)
    count, empty: all. ``steps`` are tried one after the other, each judged within ``judge_s`` after it was done: the
    machine must hold ``share_percent`` of its nominal rate for ``prove_s``. After the last, ``cool_down_s`` between
    two, a work order with ``fault`` is reported.
    """

    kinds: tuple[EventKind, ...] = ()
    figure: Figure | None = None
    for_s: float = 600.0
    groups: tuple[int, ...] = ()
    halls: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    steps: tuple[Cure, ...] = ()
    work_order: bool = True
    fault: Fault = Fault.NOT_MINING
    limits: HealLimits = HealLimits()
    cool_down_s: float = 600.0
    judge_s: float = 1800.0
    prove_s: float = 300.0
    share_percent: float = 90.0

    @property
    def proof(self) -> Proof:
        """What a machine must show after an attempt."""
        return Proof(share_min=self.share_percent / 100, hold_s=self.prove_s)


class Rule(NamedTuple):
    """A rule as it is asked; a lower ``rank`` goes first where a machine meets several."""

    id: int
    rank: int
    mode: Mode
    document: RuleDocument

    @property
    def part(self) -> str:
        """What tells the condition of its figure apart from those of other rules."""
        return rule_part(self.id)


def rule_part(rule_id: int) -> str:
    """The ``part`` of the condition that a rule's figure makes."""
    return f"rule {rule_id}"


@dataclass(frozen=True, slots=True)
class Sight:
    """A machine as it is seen: its conditions, each with its beginning [ms], and what it can be told.

    ``aside`` says why it is left alone, as a key of ``healing_wording.ASIDES``; empty: it is not.
    """

    machine_id: int
    group_id: int | None
    model: str
    hall: int | None
    conditions: Mapping[tuple[EventKind, str], int]
    aside: str = ""
    cures: frozenset[Cure] = frozenset(Cure)


@dataclass(slots=True)
class Attempt:
    """Something that a rule did, or would have done. ``step`` is its place among the rule's steps."""

    rule_id: int
    machine_id: int
    cure: Cure
    step: int
    started_ms: int
    ended_ms: int | None = None
    outcome: Outcome = Outcome.OPEN
    is_watch: bool = False


class Move(StrEnum):
    """What is to be done about a machine that meets a rule."""

    ACT = "act"
    ORDER = "order"
    HOLD = "hold"
    """Not now: a limit, the cool-down, or another attempt under way."""
    ASIDE = "aside"
    """Left alone."""


class Verdict(NamedTuple):
    """What a rule says about a machine, ``since_ms`` in its condition. ``why`` explains a HOLD or ASIDE by a key."""

    rule_id: int
    machine_id: int
    since_ms: int
    move: Move
    cure: Cure | None = None
    step: int = 0
    why: str = ""


def in_scope(document: RuleDocument, group_id: int | None, model: str, hall: int | None) -> bool:
    """Whether a rule speaks of such a machine."""
    return (
        (not document.groups or group_id in document.groups)
        and (not document.halls or hall in document.halls)
        and (not document.models or model.startswith(document.models))
    )


def met_since(rule: Rule, sight: Sight) -> int | None:
    """Since when a machine in the rule's scope is in its condition [ms]; None where it is not."""
    document = rule.document
    if document.figure is not None:
        return sight.conditions.get((EventKind.RULE, rule.part))
    return min((since for (kind, _part), since in sight.conditions.items() if kind in document.kinds), default=None)


@dataclass(slots=True)
class Past:
    """What was tried before: all that is open, all of the last 24 hours, and each machine's last order of each rule.

    ``for_watch``: what was only watched counts too. For a rule that acts it never happened.
    """

    attempts: list[Attempt] = field(default_factory=list)
    _by_pair: dict[tuple[int, int], list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    _open: dict[int, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    _by_rule: dict[int, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    _under_way: Counter[tuple[int, bool]] = field(default_factory=Counter)

    @classmethod
    def of(cls, attempts: Iterable[Attempt]) -> "Past":
        """From attempts in the order of their beginnings."""
        past = cls()
        for attempt in attempts:
            past.add(attempt)
        return past

    def add(self, attempt: Attempt) -> None:
        """One more; it began last."""
        self.attempts.append(attempt)
        self._by_pair[attempt.rule_id, attempt.machine_id].append(attempt)
        self._by_rule[attempt.rule_id].append(attempt)
        if attempt.outcome is Outcome.OPEN:
            self._open[attempt.machine_id].append(attempt)
            self._under_way[attempt.rule_id, attempt.is_watch] += 1

    def end(self, attempt: Attempt, at_ms: int, outcome: Outcome) -> None:
        """An open one came to its end."""
        attempt.ended_ms, attempt.outcome = at_ms, outcome
        self._open[attempt.machine_id].remove(attempt)
        self._under_way[attempt.rule_id, attempt.is_watch] -= 1

    def is_busy(self, machine_id: int, *, for_watch: bool) -> bool:
        """Whether an attempt is under way on it. One that is only watched keeps no real one back."""
        return any(for_watch or not attempt.is_watch for attempt in self._open.get(machine_id, ()))

    def open_of(self, rule_id: int, *, for_watch: bool) -> int:
        """How many attempts of a rule are under way."""
        return self._under_way[rule_id, False] + (self._under_way[rule_id, True] if for_watch else 0)

    def open_attempts(self) -> list[Attempt]:
        """All that are under way."""
        return [attempt for attempts in self._open.values() for attempt in attempts]

    def in_hour(self, rule_id: int, at_ms: int, *, for_watch: bool) -> int:
        """How much a rule began within the last hour."""
        count = 0
        for attempt in reversed(self._by_rule[rule_id]):
            if attempt.started_ms <= at_ms - HOUR_MS:
                break
            count += for_watch or not attempt.is_watch
        return count

    def of_machine(self, rule_id: int, machine_id: int, *, for_watch: bool) -> Sequence[Attempt]:
        """What a rule tried on a machine, in order."""
        return [each for each in self._by_pair.get((rule_id, machine_id), ()) if for_watch or not each.is_watch]


def decide(
    rules: Sequence[Rule], sights: Sequence[Sight], past: Past, at_ms: int, population: Mapping[int, int]
) -> list[Verdict]:
    """What the rules say at a moment, about each machine that meets one. Nothing is done by asking.

    ``population`` is how many machines each rule speaks of, by its id.
    """
    busy: set[tuple[int, bool]] = set()
    told: list[Verdict] = []
    asked = sorted((rule for rule in rules if rule.mode is not Mode.OFF), key=lambda each: (each.rank, each.id))
    met = _met(asked, sights)
    for rule in asked:
        told += _Asking(rule, past, at_ms, busy).about(met[rule.id], population.get(rule.id, 0))
    return told


def _met(rules: Sequence[Rule], sights: Sequence[Sight]) -> dict[int, list[tuple[int, Sight]]]:
    """For each rule what ``met_since`` says of the sights, longest first: of thousands, few are in one condition."""
    by_kind: dict[EventKind, list[Rule]] = defaultdict(list)
    by_part: dict[str, Rule] = {}
    for rule in rules:
        if rule.document.figure is not None:
            by_part[rule.part] = rule
            continue
        for kind in rule.document.kinds:
            by_kind[kind].append(rule)
    found: dict[int, dict[int, tuple[int, Sight]]] = {rule.id: {} for rule in rules}
    for sight in sights:
        for (kind, part), since_ms in sight.conditions.items():
            own = [by_part[part]] if kind is EventKind.RULE and part in by_part else ()
            for rule in (*by_kind.get(kind, ()), *own):
                known = found[rule.id].get(sight.machine_id)
                if known is None or since_ms < known[0]:
                    found[rule.id][sight.machine_id] = since_ms, sight
    return {
        number: sorted(some.values(), key=lambda pair: (pair[0], pair[1].machine_id)) for number, some in found.items()
    }


class _Asking:
    """One rule at one moment."""

    def __init__(self, rule: Rule, past: Past, at_ms: int, busy: set[tuple[int, bool]]) -> None:
        self.rule, self.past, self.at_ms, self.busy = rule, past, at_ms, busy
        self.limits = rule.document.limits
        self.in_hour = past.in_hour(rule.id, at_ms, for_watch=self.is_watch)
        self.at_once = past.open_of(rule.id, for_watch=self.is_watch)

    def about(self, met: Sequence[tuple[int, Sight]], population: int) -> list[Verdict]:
        document, hold_ms = self.rule.document, self.rule.document.for_s * 1000
        if document.groups or document.halls or document.models:
            met = [pair for pair in met if in_scope(document, pair[1].group_id, pair[1].model, pair[1].hall)]
        # Those that rest by our own will are in no trouble, so they are no sign of a common cause.
        troubled = sum(not sight.aside for _since, sight in met)
        is_common = self._is_common(troubled, population)
        return [
            self._verdict(sight, since_ms, is_common=is_common)
            for since_ms, sight in met
            if self.at_ms - since_ms >= hold_ms
        ]

    def _is_common(self, troubled: int, population: int) -> bool:
        percent = self.limits.common_percent
        return percent is not None and troubled >= COMMON_MIN and troubled * 100 >= percent * population

    def _verdict(self, sight: Sight, since_ms: int, *, is_common: bool) -> Verdict:
        move, cure, step, why = self._move(sight, since_ms, is_common=is_common)
        if move in {Move.ACT, Move.ORDER}:
            self.in_hour += 1
            self.at_once += move is Move.ACT
            self.busy.add((sight.machine_id, self.is_watch))
        return Verdict(self.rule.id, sight.machine_id, since_ms, move, cure, step, why)

    @property
    def is_watch(self) -> bool:
        return self.rule.mode is Mode.WATCH

    def _move(self, sight: Sight, since_ms: int, *, is_common: bool) -> tuple[Move, Cure | None, int, str]:
        tried = self.past.of_machine(self.rule.id, sight.machine_id, for_watch=self.is_watch)
        if why := self._aside(sight, tried, since_ms):
            return Move.ASIDE, None, 0, why
        if why := self._held(sight, tried, is_common=is_common):
            return Move.HOLD, None, 0, why
        today = [each for each in tried if each.started_ms > self.at_ms - DAY_MS and each.cure is not Cure.WORK_ORDER]
        step = _next_step(today)
        steps = self.rule.document.steps
        while step < len(steps) and steps[step] not in sight.cures:
            step += 1
        if step < len(steps) and len(today) < self.limits.machine_day:
            if self.at_once >= self.limits.at_once:
                return Move.HOLD, None, 0, "at_once"
            return Move.ACT, steps[step], step, ""
        if self.rule.document.work_order:
            return Move.ORDER, Cure.WORK_ORDER, step, ""
        return Move.ASIDE, None, 0, "exhausted"

    def _aside(self, sight: Sight, tried: Sequence[Attempt], since_ms: int) -> str:
        if sight.aside and not (sight.aside == "asleep" and Cure.WAKE in self.rule.document.steps):
            return sight.aside
        return "told" if _is_told(tried, since_ms) else ""

    def _held(self, sight: Sight, tried: Sequence[Attempt], *, is_common: bool) -> str:
        taken = (sight.machine_id, False) in self.busy or (self.is_watch and (sight.machine_id, True) in self.busy)
        if taken or self.past.is_busy(sight.machine_id, for_watch=self.is_watch):
            return "under_way"
        if is_common:
            return "common"
        last_ms = max((each.ended_ms or each.started_ms for each in tried), default=None)
        if last_ms is not None and self.at_ms - last_ms < self.rule.document.cool_down_s * 1000:
            return "cool_down"
        return "hour" if self.in_hour >= self.limits.hour else ""


def _is_told(tried: Sequence[Attempt], since_ms: int) -> bool:
    """Whether people were told of the trouble that began then."""
    told = next((each for each in reversed(tried) if each.outcome is Outcome.ORDERED), None)
    return told is not None and (told.ended_ms or told.started_ms) >= since_ms


def _next_step(today: Sequence[Attempt]) -> int:
    """The step after the last one that did not help; the first after one that did."""
    for attempt in reversed(today):
        if attempt.outcome.is_try:
            return attempt.step + 1
        if attempt.outcome is not Outcome.ABANDONED:
            return 0
    return 0


def calls_for_order(cure: Cure, outcome: Outcome) -> bool:
    """Whether people must hear of it at once: the machine sleeps, or gives less, until somebody has looked."""
    return outcome is Outcome.PROTECTED or (cure is Cure.LOWER and outcome in {Outcome.RECOVERED, Outcome.CLEARED})


def unacted(rule: Rule, attempt: Attempt, at_ms: int, *, since_ms: int | None) -> Outcome:
    """How an attempt stands that was never made, ``since_ms`` being the rule's condition as it is now.

    Nobody can know what the machine would have done: it is taken to do what it did without.
    """
    if attempt.cure is Cure.SLEEP:
        return Outcome.PROTECTED
    if at_ms - attempt.started_ms < rule.document.judge_s * 1000:
        return Outcome.OPEN
    return Outcome.CLEARED if since_ms is None else Outcome.NOT_RECOVERED


def counts(verdicts: Iterable[Verdict]) -> dict[int, Counter[str]]:
    """How many machines each rule holds back or leaves alone, by ``move:why``."""
    found: dict[int, Counter[str]] = {}
    for verdict in verdicts:
        key = f"{verdict.move}:{verdict.why}" if verdict.why else str(verdict.move)
        found.setdefault(verdict.rule_id, Counter())[key] += 1
    return found
