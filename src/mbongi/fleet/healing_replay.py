"""The replay of healing rules over telemetry: what they would have done, what they would have left alone, and why.

Rows are read in columns, some machines at a time; from them come the spans of conditions, and of these the rules are
asked. What telemetry does not hold, such as error codes, comes from the record of events.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from mbongi.base.clock import utc_now
from mbongi.core.telemetry.client import Store
from mbongi.fleet.group_rows import desired_of
from mbongi.fleet.healing_sight import cures
from mbongi.fleet.models import Action, Event, HealingAttempt, HealingReplay, Machine, Profile, WorkOrder
from mbongi.fleet.rules.healing import Cure, Mode, Rule, RuleDocument, in_scope
from mbongi.fleet.rules.healing_spans import NEEDED, Span, columns_for, spans
from mbongi.fleet.rules.healing_timeline import Kept, Replayed, Story, Stretch, replay
from mbongi.fleet.telemetry import READING
from mbongi.fleet.values import (
    ActionKind,
    ActionStatus,
    EventKind,
    MachineState,
    OperationKind,
    PowerMode,
    ProfileState,
)

CHUNK = 100
"""Machines of one query: so many days of ten-second rows fit into memory with ease."""
MACHINES_MAX = 200
"""Machines that a result names for one reason it would have held back or left alone; it counts all."""
ATTEMPTS_MAX = 5000
"""Actions that a result lists; it counts all."""
READ_SHARE = 0.8
"""How much of the progress is the reading."""
_TYPES = {"DateTime64(3)": "<i8", "UInt32": "<u4", "UInt8": "u1", "Float32": "<f4", "Float64": "<f8"}
_SLEEPING, _MINING = MachineState.SLEEPING.value, MachineState.MINING.value

OnProgress = Callable[[int, int], None]


@dataclass(slots=True)
class _Site:
    """The machines in the scope of the rules, with what the record holds of their past."""

    machines: list[Machine]
    with_profile: set[int | None]
    events: dict[int, list[Span]] = field(default_factory=lambda: defaultdict(list))
    stretches: dict[int, list[Stretch]] = field(default_factory=lambda: defaultdict(list))
    switches: dict[int, list[tuple[int, bool]]] = field(default_factory=lambda: defaultdict(list))


def run(
    asked: Sequence[Mapping[str, Any]], since: datetime, until: datetime, store: Store, on_progress: OnProgress
) -> dict[str, Any]:
    """Replay a span of the past; ``on_progress`` gets how many of how many parts are done. Returns the page's result.

    ``asked`` are rules as ``HealingReplay`` keeps them. Raises StoreUnavailable, StoreRefused.
    """
    began = utc_now()
    rules = [Rule(each["id"], each["rank"], Mode.ON, msgspec.convert(each["document"], RuleDocument)) for each in asked]
    since_ms, until_ms = _ms(since), _ms(until)
    site = _site(rules, since, until)
    total, rows_read, stories = max(1, len(site.machines)), 0, []
    for number, (story, count) in enumerate(_stories(rules, site, store, since_ms, until_ms), 1):
        rows_read += count
        if story.spans:
            stories.append(story)
        if number % CHUNK == 0:
            on_progress(int(READ_SHARE * 1000 * number / total), 1000)
    population = {
        rule.id: sum(in_scope(rule.document, each.group_id, each.model, each.hall) for each in site.machines)
        for rule in rules
    }
    found = replay(
        rules,
        stories,
        population,
        since_ms=since_ms,
        until_ms=until_ms,
        on_progress=lambda share: on_progress(int(1000 * (READ_SHARE + (1 - READ_SHARE) * share)), 1000),
    )
    real = HealingAttempt.objects.filter(started_at__gte=since, started_at__lt=until, is_watch=False)
    return {
        "machines": len(site.machines),
        "rows": rows_read,
        "population": {str(number): count for number, count in population.items()},
        "really_done": real.exclude(cure=Cure.WORK_ORDER).count(),
        "seconds": round((utc_now() - began).total_seconds(), 2),
        **_told(found, rules, {each.pk: each for each in site.machines}),
    }


def _told(found: Replayed, rules: Sequence[Rule], machines: Mapping[int, Machine]) -> dict[str, Any]:
    counts: dict[int, dict[str, int]] = {rule.id: defaultdict(int) for rule in rules}
    for each in found.attempts:
        counts[each.rule_id][each.cure.value] += 1
    return {
        "counts": {str(rule): dict(some) for rule, some in counts.items()},
        "attempts": [
            {
                "rule": each.rule_id,
                "machine": each.machine_id,
                "cure": each.cure.value,
                "step": each.step,
                "at": each.started_ms,
                "ended": each.ended_ms,
                "outcome": each.outcome.value,
            }
            for each in found.attempts[:ATTEMPTS_MAX]
        ],
        "attempts_total": len(found.attempts),
        "kept": [_kept(rule, why, kept) for (rule, why), kept in sorted(found.kept.items())],
        "names": {str(each.machine_id): _name(machines[each.machine_id]) for each in found.attempts[:ATTEMPTS_MAX]}
        | {
            str(machine_id): _name(machines[machine_id])
            for kept in found.kept.values()
            for machine_id in list(kept.machines)[:MACHINES_MAX]
        },
    }


def _kept(rule_id: int, why: str, kept: Kept) -> dict[str, Any]:
    longest = sorted(kept.machines.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "rule": rule_id,
        "why": why,
        "first": kept.first_ms,
        "machines": len(kept.machines),
        "minutes": round(sum(kept.machines.values()) / 60),
        "some": [[machine_id, round(seconds / 60)] for machine_id, seconds in longest[:MACHINES_MAX]],
    }


def _name(row: Machine) -> list[Any]:
    return [row.hall, row.rack, row.slot, row.address]


def _site(rules: Sequence[Rule], since: datetime, until: datetime) -> _Site:
    rows = Machine.objects.filter(retired_at=None).select_related("group").order_by("pk")
    rows = rows.defer("detail")
    machines = [
        row for row in rows if any(in_scope(rule.document, row.group_id, row.model, row.hall) for rule in rules)
    ]
    active = list(Profile.objects.filter(state=ProfileState.ACTIVE))
    site = _Site(machines, {row.group_id for row in active})
    ids = [row.pk for row in machines]
    _events(site, rules, ids, since, until)
    _orders(site, ids, since, until)
    _steps(site, ids, since, until)
    resting = {
        row.group_id for row in active if (power := desired_of(row).power) is not None and power.mode is PowerMode.SLEEP
    }
    for row in machines:
        if row.group is not None and row.group.paused:
            site.stretches[row.pk].append(Stretch(0, None, "paused"))
        if row.group_id in resting:
            site.stretches[row.pk].append(Stretch(0, None, "profile"))
    return site


def _events(site: _Site, rules: Sequence[Rule], ids: Sequence[int], since: datetime, until: datetime) -> None:
    kinds = {kind for rule in rules for kind in rule.document.kinds if kind not in NEEDED}
    rows = Event.objects.filter(machine__in=ids, kind__in=kinds, at__lt=until).exclude(cleared_at__lt=since)
    for machine_id, kind, part, at, cleared_at in rows.values_list("machine_id", "kind", "part", "at", "cleared_at"):
        cleared_ms = None if cleared_at is None else _ms(cleared_at)
        site.events[machine_id].append(Span(EventKind(kind), part, _ms(at), _ms(at), cleared_ms))


def _orders(site: _Site, ids: Sequence[int], since: datetime, until: datetime) -> None:
    """The orders of people: those that rules reported in the span come of what is asked anew."""
    rows = WorkOrder.objects.filter(machine__in=ids, reported_at__lt=until)
    rows = rows.exclude(reported_at__gte=since, healing__isnull=False)
    for row in rows.exclude(fixed_at__lt=since).exclude(cancelled_at__lt=since):
        ends = [at for at in (row.fixed_at, row.cancelled_at) if at is not None]
        until_ms = _ms(min(ends)) if ends else None
        site.stretches[row.machine_id].append(Stretch(_ms(row.reported_at), until_ms, "order"))


def _steps(site: _Site, ids: Sequence[int], since: datetime, until: datetime) -> None:
    """What people and operations did: the times under a write, and who put a machine to sleep or woke it."""
    rows = Action.objects.filter(machine__in=ids, dry_run=False, requested_at__lt=until)
    rows = rows.exclude(operation__kind=OperationKind.HEAL)
    for machine_id, kind, status, asked, ended, operation in rows.values_list(
        "machine_id", "kind", "status", "requested_at", "finished_at", "operation_id"
    ):
        if ended is None or ended > since:
            why = "action" if operation is None else "operation"
            site.stretches[machine_id].append(Stretch(_ms(asked), None if ended is None else _ms(ended), why))
        was_told = status == ActionStatus.DONE or (kind == ActionKind.WAKE and status == ActionStatus.FAILED)
        if kind in {ActionKind.SLEEP, ActionKind.WAKE} and was_told and ended is not None:
            site.switches[machine_id].append((_ms(ended), kind == ActionKind.SLEEP))


def _stories(
    rules: Sequence[Rule], site: _Site, store: Store, since_ms: int, until_ms: int
) -> Iterator[tuple[Story, int]]:
    names = ("ts", "machine_id", "state", *columns_for(rules))
    for first in range(0, len(site.machines), CHUNK):
        part = site.machines[first : first + CHUNK]
        columns = _columns(store, names, [row.pk for row in part], since_ms, until_ms)
        ids = columns["machine_id"]
        for row in part:
            low, high = np.searchsorted(ids, row.pk), np.searchsorted(ids, row.pk, side="right")
            own = {name: values[low:high] for name, values in columns.items()}
            asleep = _asleep(own["ts"], own["state"], site.switches.get(row.pk, []), until_ms)
            stretches = [*site.stretches.get(row.pk, []), *asleep]
            story = Story(
                machine_id=row.pk,
                group_id=row.group_id,
                model=row.model,
                hall=row.hall,
                spans=[*spans(rules, row.model, own), *site.events.get(row.pk, [])],
                aside=sorted(stretches, key=lambda each: each.since_ms),
                cures=cures(row, site.with_profile),
            )
            yield story, int(high - low)


def _columns(store: Store, names: Sequence[str], ids: Sequence[int], since_ms: int, until_ms: int) -> Mapping[str, Any]:
    terms = ", ".join("toUnixTimestamp64Milli(ts)" if name == "ts" else name for name in names)
    found = store.packed(
        f"SELECT {terms} FROM {READING.name} WHERE machine_id IN {{ids:Array(UInt32)}}"  # noqa: S608 -- own names
        " AND ts >= fromUnixTimestamp64Milli({since:Int64}) AND ts < fromUnixTimestamp64Milli({until:Int64})"
        " ORDER BY machine_id, ts",
        [(name, _TYPES[READING.column(name).type]) for name in names],
        ids=list(ids),
        since=since_ms,
        until=until_ms,
    )
    return {name: np.ascontiguousarray(found[name]) for name in names}


def _asleep(at_ms: Any, state: Any, switches: Sequence[tuple[int, bool]], until_ms: int) -> list[Stretch]:
    """When a machine slept by its own word, and when it did anything but mine after we had put it to sleep."""
    found = [Stretch(since, until, "asleep") for since, until in _runs(at_ms, state == _SLEEPING, until_ms)]
    ordered = sorted(switches)
    ours = [
        (since_ms, ordered[number + 1][0] if number + 1 < len(ordered) else until_ms)
        for number, (since_ms, sleeps) in enumerate(ordered)
        if sleeps
    ]
    for since_ms, over_ms in ours:
        for low, high in _runs(at_ms, state != _MINING, until_ms):
            begin, end = max(low, since_ms), min(high, over_ms)
            if begin < end:
                found.append(Stretch(begin, end, "asleep_by_us"))
    # Where both fit, ours is the reason.
    return sorted(found, key=lambda each: (each.since_ms, each.why != "asleep_by_us"))


def _runs(at_ms: Any, is_so: Any, until_ms: int) -> Iterator[tuple[int, int]]:
    if not len(at_ms):
        return
    edges = np.flatnonzero(np.diff(is_so.astype(np.int8))) + 1
    starts = [0, *edges.tolist()]
    ends = [*edges.tolist(), len(at_ms)]
    for start, end in zip(starts, ends, strict=True):
        if is_so[start]:
            yield int(at_ms[start]), int(at_ms[end]) if end < len(at_ms) else until_ms


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def begin_next() -> int | None:
    """The number of the oldest replay that nobody has made, now begun; None where there is none."""
    row = HealingReplay.objects.filter(finished_at=None).order_by("pk").first()
    if row is None:
        return None
    row.begun_at, row.done, row.total = utc_now(), 0, 1000
    row.save(update_fields=["begun_at", "done", "total"])
    return row.pk


def make(replay_id: int, store: Store) -> None:
    """Make a replay and keep its result, or why there is none. One that is made already stays."""
    row = HealingReplay.objects.filter(pk=replay_id, finished_at=None).first()
    if row is None:
        return

    def note(done: int, total: int) -> None:
        HealingReplay.objects.filter(pk=replay_id).update(done=done, total=total)

    result = run(row.rules, row.since, row.until, store, note)
    HealingReplay.objects.filter(pk=replay_id).update(
        result=result, done=1000, total=1000, finished_at=datetime.now(UTC)
    )


def fail(replay_id: int, error: str) -> None:
    """Keep why there is no result."""
    HealingReplay.objects.filter(pk=replay_id, finished_at=None).update(error=error[:500], finished_at=utc_now())
