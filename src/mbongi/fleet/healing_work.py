"""What healing rules do to machines: judge what was tried, ask the rules, begin what they say. By the leading process.

One look is one transaction, and an attempt is written with its operation or its work order: a process that was killed
left either both or neither, and the next one goes on from there. The operation's steps are performed and, after a
death in the middle, looked into as every action is; so no machine is told to reboot twice.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from django.db import transaction
from django.db.models import Max, Q

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.fleet import work_orders
from mbongi.fleet.errors import ActionRefusedError, FleetError
from mbongi.fleet.events import HealingAttemptChanged
from mbongi.fleet.healing_sight import MINING, asides, population, rule_of, sights
from mbongi.fleet.models import Action, HealingAttempt, HealingRule, Machine
from mbongi.fleet.operations import Plan, Step, plan_operation, start_operation
from mbongi.fleet.reconcile import preview, steps_of
from mbongi.fleet.rules import healing
from mbongi.fleet.rules.conditions import RuleFigure
from mbongi.fleet.rules.healing import Attempt, Cure, Mode, Move, Outcome, Past, Rule, Sight, Verdict
from mbongi.fleet.rules.recovery import Proof, Recovered
from mbongi.fleet.values import ActionKind, ActionStatus, Limits, OperationKind, PowerMode

DAY = timedelta(days=1)
_ENDED = (ActionStatus.DONE, ActionStatus.FAILED, ActionStatus.CANCELLED)
_KINDS = {
    Cure.REBOOT: (ActionKind.REBOOT, {}),
    Cure.WAKE: (ActionKind.WAKE, {}),
    Cure.SLEEP: (ActionKind.SLEEP, {}),
    Cure.LOWER: (ActionKind.SET_POWER, {"mode": PowerMode.LOW.value}),
}


@dataclass(slots=True)
class Look:
    """What one look did."""

    begun: list[int] = field(default_factory=list)
    """Operations."""
    ordered: int = 0
    ended: int = 0


@transaction.atomic
def look(*, watching_since: datetime, now: datetime | None = None) -> Look:
    """Judge what is under way, ask the rules that are on or watch, and begin what they say. May be repeated.

    ``watching_since``: since when the machines are watched without a break; what was tried before that is given its
    whole time to prove itself anew.
    """
    now = now or utc_now()
    # Locked in one order: a second process that thinks it leads waits here, and then finds what this one wrote.
    rows = list(HealingRule.objects.select_for_update().order_by("pk"))
    by_id = {row.pk: row for row in rows}
    work = _Work(by_id, now, watching_since)
    active = [rule for row in rows if (rule := rule_of(row)).mode is not Mode.OFF and row.removed_at is None]
    tried = set(HealingAttempt.objects.filter(outcome=Outcome.OPEN).values_list("rule_id", flat=True))
    asked = [rule for row in rows if (rule := rule_of(row)) in active or row.pk in tried]
    if not asked:
        return work.done
    seen = sights(asked, now)
    work.judge({each.machine_id: each for each in seen})
    verdicts = healing.decide(active, seen, _past(seen, now), _ms(now), population(active))
    for rule in active:
        work.carry_out(rule, [each for each in verdicts if each.rule_id == rule.id])
    work.note_standing(active, verdicts)
    return work.done


def _past(seen: Sequence[Sight], now: datetime) -> Past:
    """The attempts of the last day, those under way, and what the machines in sight were last ordered."""
    orders = HealingAttempt.objects.filter(machine__in=[each.machine_id for each in seen], outcome=Outcome.ORDERED)
    newest = orders.values("rule", "machine", "is_watch").annotate(last=Max("pk")).values("last")
    rows = HealingAttempt.objects.filter(
        Q(started_at__gt=now - DAY) | Q(outcome=Outcome.OPEN) | Q(pk__in=newest)
    ).order_by("started_at", "pk")
    fields = ("rule_id", "machine_id", "cure", "step", "started_at", "ended_at", "outcome", "is_watch")
    return Past.of(
        Attempt(rule, machine, Cure(cure), step, _ms(start), None if end is None else _ms(end), Outcome(word), watch)
        for rule, machine, cure, step, start, end, word, watch in rows.values_list(*fields)
    )


class _Work:
    """One look under way."""

    def __init__(self, rows: Mapping[int, HealingRule], now: datetime, watching_since: datetime) -> None:
        self.rows, self.now, self.watching_since = rows, now, watching_since
        self.done = Look()
        self.refused: dict[int, str] = {}

    # What was tried.

    def judge(self, seen: Mapping[int, Sight]) -> None:
        attempts = list(
            HealingAttempt.objects.select_for_update(of=("self",))
            .filter(outcome=Outcome.OPEN)
            .select_related("machine")
            .order_by("pk")
        )
        why = asides([each.machine_id for each in attempts], self.now)
        for attempt in attempts:
            rule = rule_of(self.rows[attempt.rule_id])
            sight = seen.get(attempt.machine_id)
            since_ms = None if sight is None else healing.met_since(rule, sight)
            if attempt.is_watch:
                plain = Attempt(rule.id, attempt.machine_id, Cure(attempt.cure), attempt.step, _ms(attempt.started_at))
                outcome, message = healing.unacted(rule, plain, _ms(self.now), since_ms=since_ms), "watched only"
            else:
                outcome, message = self._outcome(attempt, rule, why.get(attempt.machine_id, ""), since_ms)
            if outcome is not Outcome.OPEN:
                self._end(attempt, outcome, message)
                if healing.calls_for_order(Cure(attempt.cure), outcome) and rule.document.work_order:
                    self._order(rule, attempt.machine, attempt.since, attempt.step)

    def _outcome(self, attempt: HealingAttempt, rule: Rule, why: str, since_ms: int | None) -> tuple[Outcome, str]:
        steps = list(Action.objects.filter(operation=attempt.operation_id, machine=attempt.machine_id).order_by("seq"))
        failed = next((step for step in steps if step.status == ActionStatus.FAILED), None)
        if failed is not None:
            return Outcome.FAILED, failed.message
        if any(step.status not in _ENDED for step in steps):
            return Outcome.OPEN, ""
        cancelled = next((step for step in steps if step.status == ActionStatus.CANCELLED), None)
        if cancelled is not None:
            return Outcome.ABANDONED, cancelled.message
        if attempt.cure == Cure.SLEEP:
            return Outcome.PROTECTED, "it sleeps until somebody has looked"
        # A machine that somebody else has in hand since, proves nothing of what the rule did.
        if why not in {"", "asleep"}:
            return Outcome.ABANDONED, f"left to others: {why}"
        finished_at = max((step.finished_at for step in steps if step.finished_at), default=attempt.started_at)
        return self._by_time(attempt, rule, finished_at, since_ms)

    def _by_time(
        self, attempt: HealingAttempt, rule: Rule, finished_at: datetime, since_ms: int | None
    ) -> tuple[Outcome, str]:
        proved = attempt.proved_at is not None and attempt.proved_at >= finished_at
        if proved and since_ms is None:
            return Outcome.RECOVERED, ""
        until = max(finished_at, self.watching_since) + timedelta(seconds=rule.document.judge_s)
        if self.now < until:
            return Outcome.OPEN, ""
        machine = attempt.machine
        is_seen = machine.last_seen_at is not None and machine.last_seen_at > finished_at
        if since_ms is None and machine.state == MINING and is_seen:
            return Outcome.CLEARED, "it mines and the condition is gone, but it did not hold the rate that proves it"
        return Outcome.NOT_RECOVERED, "the condition lasts" if since_ms is not None else "it is not seen to mine"

    def _end(self, attempt: HealingAttempt, outcome: Outcome, message: str) -> None:
        attempt.outcome, attempt.ended_at, attempt.message = outcome, self.now, message[:500]
        attempt.save(update_fields=["outcome", "ended_at", "message"])
        self.done.ended += 1
        if not attempt.is_watch:
            _record(attempt, str(outcome))
        outbox.emit(_message(attempt, self.now))

    # What is to be done.

    def carry_out(self, rule: Rule, verdicts: Sequence[Verdict]) -> None:
        acting: dict[Cure, list[Verdict]] = defaultdict(list)
        for each in verdicts:
            if each.move is Move.ACT and each.cure is not None:
                acting[each.cure].append(each)
        for cure, some in acting.items():
            if rule.mode is Mode.WATCH:
                for each in some:
                    self._add(rule, each.machine_id, _at(each.since_ms), cure, each.step)
            else:
                self._begin(rule, cure, some)
        ordering = [each for each in verdicts if each.move is Move.ORDER]
        machines = Machine.objects.in_bulk([each.machine_id for each in ordering])
        for each in ordering:
            self._order(rule, machines[each.machine_id], _at(each.since_ms), each.step)

    def _begin(self, rule: Rule, cure: Cure, verdicts: Sequence[Verdict]) -> None:
        """All machines that get the same at the same look are one operation; each is judged by itself."""
        row = self.rows[rule.id]
        steps = self._steps(cure, verdicts)
        told = [each for each in verdicts if any(step.machine_id == each.machine_id for step in steps)]
        operation_id: int | None = None
        if told:
            try:
                with transaction.atomic():
                    operation_id = self._operation(row, rule, cure, steps)
            except (FleetError, PermissionError) as error:
                # Whoever switched it on may have lost the right since; people must see that it does nothing.
                self.refused[rule.id] = str(error)
                return
            self.done.begun.append(operation_id)
        for each in verdicts:
            attempt = self._add(rule, each.machine_id, _at(each.since_ms), cure, each.step, operation_id=operation_id)
            if each not in told:
                self._end(attempt, Outcome.FAILED, "nothing of its profile could be written again")

    def _steps(self, cure: Cure, verdicts: Sequence[Verdict]) -> list[Step]:
        ids = [each.machine_id for each in verdicts]
        if cure is not Cure.REAPPLY:
            kind, arguments = _KINDS[cure]
            return [Step(machine_id, kind, arguments) for machine_id in ids]
        groups = set(Machine.objects.filter(pk__in=ids).values_list("group_id", flat=True))
        found: list[Step] = []
        for group_id in groups - {None}:
            try:
                plans = preview(group_id or 0, machine_ids=ids, now=self.now).machines
            except FleetError:
                continue
            found += [step for plan in plans for step in steps_of(plan)]
        return found

    def _operation(self, row: HealingRule, rule: Rule, cure: Cure, steps: Sequence[Step]) -> int:
        if row.author is None:
            raise ActionRefusedError(f"healing rule {row.pk}: nobody has switched it on")
        plan = Plan(
            kind=OperationKind.HEAL,
            steps=steps,
            reason=f"healing rule {row.pk} version {row.version}: {row.name}",
            limits=Limits(batch=len(steps), failures_max=len(steps) + 1, settle_s=max(rule.document.judge_s, 1.0)),
            document={"rule": row.pk, "version": row.version, "cure": cure.value},
            actor=f"healing:{row.pk}",
        )
        return start_operation(row.author, plan_operation(row.author, plan).id).id

    def _order(self, rule: Rule, machine: Machine, since: datetime, step: int) -> None:
        attempt = self._add(rule, machine.pk, since, Cure.WORK_ORDER, step, outcome=Outcome.ORDERED)
        self.done.ordered += 1
        if attempt.is_watch:
            return
        row = self.rows[rule.id]
        key = uuid5(NAMESPACE_URL, f"healing:{attempt.pk}")
        tried = HealingAttempt.objects.filter(rule=row, machine=machine, is_watch=False, started_at__gt=self.now - DAY)
        words = [f"{each.cure} {each.outcome}" for each in tried.exclude(cure=Cure.WORK_ORDER).order_by("pk")]
        note = f"{row.name}: {', '.join(words) or 'no command cures this'}"
        attempt.order_id = work_orders.escalate(
            machine.pk, rule.document.fault, note, key=key, actor=f"healing:{row.pk}"
        )
        attempt.save(update_fields=["order"])
        _record(attempt, "order")

    def _add(
        self,
        rule: Rule,
        machine_id: int,
        since: datetime,
        cure: Cure,
        step: int,
        *,
        operation_id: int | None = None,
        outcome: Outcome = Outcome.OPEN,
    ) -> HealingAttempt:
        row = self.rows[rule.id]
        attempt = HealingAttempt.objects.create(
            rule=row,
            version=row.version,
            machine_id=machine_id,
            tenant_id=Machine.objects.values_list("tenant_id", flat=True).get(pk=machine_id),
            cure=cure,
            step=step,
            is_watch=rule.mode is Mode.WATCH,
            since=since,
            operation_id=operation_id,
            started_at=self.now,
            ended_at=None if outcome is Outcome.OPEN else self.now,
            outcome=outcome,
        )
        if not attempt.is_watch and outcome is Outcome.OPEN:
            _record(attempt, "begin")
        outbox.emit(_message(attempt, self.now))
        return attempt

    def note_standing(self, active: Sequence[Rule], verdicts: Sequence[Verdict]) -> None:
        """What the rules hold back and leave alone, for people; written where it changed."""
        found = healing.counts(verdicts)
        for rule in active:
            row = self.rows[rule.id]
            standing = {key: count for key, count in found.get(rule.id, Counter()).items() if ":" in key}
            refused = self.refused.get(rule.id, "")
            if (standing, refused) != (row.standing.get("counts", {}), row.standing.get("refused", "")):
                row.standing = {"counts": standing, "refused": refused, "at": self.now.isoformat()}
                row.save(update_fields=["standing"])


@transaction.atomic
def recheck(operation_id: int) -> None:
    """Before a healing operation goes on: what somebody else took in hand meanwhile is not written.

    Between the look and the write a person may have put the machine to sleep; a reboot would wake it.
    """
    planned = Action.objects.filter(operation=operation_id, status=ActionStatus.PLANNED)
    ids = set(planned.values_list("machine_id", flat=True))
    if not ids:
        return
    now = utc_now()
    for machine_id, why in asides(ids, now, but_operation=operation_id).items():
        if why not in {"asleep", "settling"}:
            planned.filter(machine=machine_id).update(
                status=ActionStatus.CANCELLED, finished_at=now, message=f"left to others: {why}"
            )


# What every fleet process does for the machines that it polls.


@dataclass(frozen=True, slots=True)
class ToProve:
    """An attempt that was made at ``since_ms`` and must now be seen to have helped."""

    attempt_id: int
    machine_id: int
    since_ms: int
    proof: Proof


def to_prove() -> list[ToProve]:
    """The attempts that were made and have not proved themselves."""
    rows = HealingAttempt.objects.filter(
        outcome=Outcome.OPEN, is_watch=False, proved_at=None, operation__isnull=False
    ).select_related("rule")
    found = []
    for row in rows:
        steps = Action.objects.filter(operation=row.operation_id, machine=row.machine_id)
        ends = list(steps.values_list("status", "finished_at"))
        if ends and all(status == ActionStatus.DONE and at is not None for status, at in ends):
            since_ms = max(_ms(at) for _status, at in ends if at is not None)
            found.append(ToProve(row.pk, row.machine_id, since_ms, rule_of(row.rule).document.proof))
    return found


def prove(attempt_id: int, recovered: Recovered) -> None:
    """Write down that a machine was seen to have recovered. May be repeated."""
    HealingAttempt.objects.filter(pk=attempt_id, outcome=Outcome.OPEN, proved_at=None).update(
        proved_at=_at(recovered.until_ms)
    )


def rule_figures() -> list[RuleFigure]:
    """The figures of rules that are on or watch, for whoever sees the readings."""
    rows = HealingRule.objects.exclude(mode=Mode.OFF).filter(removed_at=None).order_by("pk")
    return [
        RuleFigure(rule.part, rule.document.figure, rule.document.for_s)
        for rule in map(rule_of, rows)
        if rule.document.figure is not None
    ]


def _record(attempt: HealingAttempt, verb: str) -> None:
    facts = {
        "attempt": attempt.pk,
        "rule": attempt.rule_id,
        "version": attempt.version,
        "cure": str(attempt.cure),
        "since": attempt.since.isoformat(),
        "outcome": str(attempt.outcome),
    }
    named = {"operation": attempt.operation_id, "order": attempt.order_id}
    facts |= {name: number for name, number in named.items() if number is not None}
    actor, subject = f"healing:{attempt.rule_id}", f"machine:{attempt.machine_id}"
    ledger.append([NewEntry(actor, f"fleet.healing.{verb}", subject, attempt.message, None, facts, attempt.tenant_id)])


def _message(attempt: HealingAttempt, now: datetime) -> HealingAttemptChanged:
    return HealingAttemptChanged(
        attempt_id=attempt.pk,
        rule_id=attempt.rule_id,
        machine_id=attempt.machine_id,
        cure=attempt.cure,
        outcome=attempt.outcome,
        is_watch=attempt.is_watch,
        tenant_id=attempt.tenant_id,
        at_ms=_ms(now),
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
