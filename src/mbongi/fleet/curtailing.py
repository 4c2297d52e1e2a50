"""Curtailments, asked for by a person or a trigger: rehearsed, begun, changed, ended, aborted. Each in the ledger.

One is under way at a time. What it does from look to look is in ``curtail_steps``.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from django.db import connection, transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.fleet import curtail_rows
from mbongi.fleet.curtail_rows import CurtailRow
from mbongi.fleet.errors import NotPermittedError, OperationRefusedError, UnknownOperationError
from mbongi.fleet.groups import checked_reason
from mbongi.fleet.models import Action, Curtailment, Operation
from mbongi.fleet.operations import Plan, Step, plan_operation, record, start_operation
from mbongi.fleet.power_figures import MachinePower
from mbongi.fleet.rules import curtail as rules
from mbongi.fleet.rules.curtail import Candidate, NotChosen, not_chosen
from mbongi.fleet.values import ActionKind, CurtailPhase, CurtailWish, Limits, OperationKind, OperationState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

LIMITS = Limits(batch=2_000, failures_max=100_000, settle_s=180.0)
"""Machines that do not obey are replaced by others, so their number does not halt it."""
PER_WATT = (1.0, 1.5)
"""What the meter may read for each watt that machines state. Losses and fans come on top of a watt, never off it: where
it reads less, something behind it generates, and a machine that sleeps saves its own power all the same."""
DAY_S = 86_400.0
MARK = 1_795_001
"""Of the lock that keeps two curtailments from beginning at once."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a curtailment would do now. Powers at the meter [W]; ``ramp_w_s`` None: as fast as writes go.

    ``saves_w`` is what the machines chosen save by what they state; less than ``need_w`` where there are too few.
    ``soonest_s`` is when the target can be reached by the ramp; ``problem`` says why it cannot be begun so.
    """

    baseline_w: float
    target_w: float
    source: str
    ramp_w_s: float | None
    soonest_s: float
    chosen: Sequence[Candidate]
    ranking: Sequence[Candidate]
    left: Mapping[NotChosen, int]
    is_late: bool
    problem: str

    @property
    def need_w(self) -> float:
        """By how much the power is to fall."""
        return max(self.baseline_w - self.target_w, 0.0)

    @property
    def saves_w(self) -> float:
        """What the chosen machines save."""
        return sum(one.saves_w for one in self.chosen)


def rehearse(
    wish: CurtailWish,
    figures: Mapping[int, MachinePower],
    *,
    ramp_kw_s_max: float,
    ranks: Mapping[int, int | None] | None = None,
) -> Rehearsal:
    """Which machines would sleep, what that saves, and whether the deadline can be met. Writes nothing.

    Raises OperationRefusedError for a wish that cannot be read, and while the site's power is not known.
    """
    check_wish(wish)
    power = curtail_rows.power_now()
    known_w = None if power is None else power.known_w
    if power is None or known_w is None:
        raise OperationRefusedError(
            f"curtail: the site's power is not known: {power}",
            _("The site's power is not known now, so nothing can be curtailed by it. Look at the meter."),
        )
    found = curtail_rows.facts(figures, ranks=ranks)
    per_watt = min(max(rules.meter_per_machine(found, known_w), PER_WATT[0]), PER_WATT[1])
    ranking = rules.ranked(found, meter_per_machine=per_watt)
    wanted_w = target_w(wish, known_w)
    need_w = max(known_w - wanted_w, 0.0)
    taken = rules.chosen(ranking, need_w, slack_w=rules.OVERSHOOT_SHARE * known_w)
    ramp_w_s = _ramp_w_s(wish, need_w, ramp_kw_s_max)
    soonest_s = rules.soonest_s(need_w, ramp_w_s)
    is_late = wish.within_s is not None and soonest_s > wish.within_s + 0.05
    return Rehearsal(
        baseline_w=known_w,
        target_w=wanted_w,
        source=power.source,
        ramp_w_s=ramp_w_s,
        soonest_s=soonest_s,
        chosen=taken,
        ranking=ranking,
        left=Counter(why for one in found if (why := not_chosen(one)) is not None),
        is_late=is_late,
        problem=_problem(wish, need_w, taken, known_w, soonest_s, is_late=is_late),
    )


def target_w(wish: CurtailWish, power_w: float) -> float:
    """The power that a wish asks for, of a site that draws so much."""
    if wish.target_mw is not None:
        return wish.target_mw * 1e6
    assert wish.reduce_pct is not None
    return power_w * (1 - wish.reduce_pct / 100.0)


def _ramp_w_s(wish: CurtailWish, need_w: float, ramp_kw_s_max: float) -> float | None:
    """The ramp that is asked for, else the slowest that meets the deadline; the site's limit holds in any case."""
    limit = ramp_kw_s_max * 1000.0 if ramp_kw_s_max > 0 else math.inf
    if wish.ramp_kw_s is not None:
        return min(wish.ramp_kw_s * 1000.0, limit)
    if wish.within_s is not None:
        limit = min(limit, max(rules.ramp_needed_w_s(need_w, wish.within_s) * 1.05, 1.0))
    return limit if math.isfinite(limit) else None


def _problem(
    wish: CurtailWish, need_w: float, taken: Sequence[Candidate], power_w: float, soonest_s: float, *, is_late: bool
) -> str:
    if need_w <= rules.TOLERANCE_SHARE * power_w:
        return _("The site draws no more than that already.")
    if not taken:
        return _("There is no machine that may be put to sleep.")
    if is_late and not wish.even_late:
        text = _("The ramp does not meet the deadline: it takes %(soonest)d s, and there are %(within)d s.")
        return text % {"soonest": math.ceil(soonest_s), "within": wish.within_s}
    return ""


def check_wish(wish: CurtailWish) -> None:
    """Raise OperationRefusedError for a wish that nobody could mean."""
    problems = (
        ((wish.target_mw is None) == (wish.reduce_pct is None), _("Give a power in MW or a reduction in %, not both.")),
        (
            wish.target_mw is not None and not 0 <= wish.target_mw <= 10_000,
            _("The power must lie between 0 and 10,000 MW."),
        ),
        (
            wish.reduce_pct is not None and not 0 < wish.reduce_pct <= 100,
            _("The reduction must be above 0 and at most 100 %."),
        ),
        (
            wish.within_s is not None and not 1 <= wish.within_s <= DAY_S,
            _("The deadline must lie between 1 s and a day."),
        ),
        (
            wish.ramp_kw_s is not None and not 0 < wish.ramp_kw_s <= 1e6,
            _("The ramp must be above 0 kW/s."),
        ),
        (
            wish.lasts_s is not None and not 10 <= wish.lasts_s <= 30 * DAY_S,
            _("It must last between 10 s and 30 days."),
        ),
    )
    text = next((text for applies, text in problems if applies), None)
    if text is not None:
        raise OperationRefusedError(f"curtail: {wish}: {text}", text)


@transaction.atomic
def begin(
    user: "User",
    wish: CurtailWish,
    figures: Mapping[int, MachinePower],
    *,
    reason: str,
    ramp_kw_s_max: float,
    ranks: Mapping[int, int | None] | None = None,
    actor: str = "",
    trigger_id: int | None = None,
) -> CurtailRow:
    """Begin at once what a rehearsal of this moment shows; the first machines are told within a second.

    Raises NotPermittedError; OperationRefusedError for what a rehearsal finds wrong, and while another one is under
    way.
    """
    what = "curtail"
    _require(user, what)
    reason = checked_reason(reason, what)
    _lock()
    running = curtail_rows.active()
    if running is not None:
        raise OperationRefusedError(
            f"{what}: curtailment {running.id} is under way",
            _("A curtailment is under way already; change its target, or end it first."),
        )
    found = rehearse(wish, figures, ramp_kw_s_max=ramp_kw_s_max, ranks=ranks)
    if found.problem:
        raise OperationRefusedError(f"{what}: {found.problem}", found.problem)
    now = utc_now()
    row = plan_operation(
        user,
        Plan(
            kind=OperationKind.CURTAIL,
            steps=sleep_steps(found.chosen),
            reason=reason,
            limits=_limits(found.ramp_w_s),
            document=_document(wish, found),
            is_fed=True,
            actor=actor,
        ),
    )
    Curtailment.objects.create(
        operation_id=row.id,
        trigger_id=trigger_id,
        phase=CurtailPhase.SHED,
        baseline_w=found.baseline_w,
        target_w=found.target_w,
        ramp_w_s=found.ramp_w_s,
        ranking=[[one.machine_id, round(one.saves_w, 1)] for one in found.ranking],
        began_at=now,
        deadline_at=None if wish.within_s is None else now + timedelta(seconds=wish.within_s),
        ends_at=None if wish.lasts_s is None else now + timedelta(seconds=wish.lasts_s),
        power_w=found.baseline_w,
        power_at=now,
    )
    start_operation(user, row.id)
    return curtail_rows.curtailment(row.id)


def _limits(ramp_w_s: float | None) -> Limits:
    return msgspec.structs.replace(LIMITS, ramp_kw_s=None if ramp_w_s is None else ramp_w_s / 1000.0)


def _document(wish: CurtailWish, found: Rehearsal) -> dict[str, object]:
    return {
        "wish": msgspec.to_builtins(wish),
        "baseline_w": round(found.baseline_w),
        "target_w": round(found.target_w),
        "source": found.source,
        "machines": len(found.chosen),
        "able": len(found.ranking),
        "left": {str(why): count for why, count in found.left.items()},
    }


def sleep_steps(candidates: Sequence[Candidate]) -> list[Step]:
    """The steps that put machines to sleep."""
    return [Step(one.machine_id, ActionKind.SLEEP, load_w=-one.saves_w) for one in candidates]


@transaction.atomic
def retarget(
    user: "User", operation_id: int, wish: CurtailWish, *, reason: str, ramp_kw_s_max: float, actor: str = ""
) -> CurtailRow:
    """Give a curtailment under way another target; a reduction in % is of its own baseline.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"change the target of curtailment {operation_id}"
    _require(user, what)
    reason = checked_reason(reason, what)
    check_wish(wish)
    row, operation = _open(operation_id, what)
    if row.phase == CurtailPhase.WAKE:
        raise OperationRefusedError(f"{what}: it wakes its machines", _("It is waking its machines already."))
    now, before_w = utc_now(), row.target_w
    row.target_w = target_w(wish, row.baseline_w)
    change_w = abs((row.power_w or row.baseline_w) - row.target_w)
    row.ramp_w_s = _ramp_w_s(wish, change_w, ramp_kw_s_max)
    row.phase, row.reached_at = CurtailPhase.SHED, None
    row.deadline_at = None if wish.within_s is None else now + timedelta(seconds=wish.within_s)
    row.ends_at = row.ends_at if wish.lasts_s is None else now + timedelta(seconds=wish.lasts_s)
    row.save(update_fields=["target_w", "ramp_w_s", "phase", "reached_at", "deadline_at", "ends_at"])
    operation.limits = msgspec.to_builtins(_limits(row.ramp_w_s))
    operation.document = operation.document | {"wish": msgspec.to_builtins(wish), "target_w": round(row.target_w)}
    operation.save(update_fields=["limits", "document"])
    record(
        operation,
        actor or user.actor,
        "retarget",
        reason,
        before={"target_w": round(before_w)},
        after={"target_w": round(row.target_w), "wish": msgspec.to_builtins(wish)},
    )
    return curtail_rows.curtailment(operation_id)


@transaction.atomic
def end(user: "User", operation_id: int, *, reason: str, abort: bool = False, actor: str = "") -> CurtailRow:
    """Wake what it put to sleep, within the ramp, and nothing else. ``abort``: it ends as rolled back.

    Sleeps that have not begun are not done. One that is paused or halted goes on, to wake. Whoever may control a
    machine may abort. Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"{'abort' if abort else 'end'} curtailment {operation_id}"
    if not user.may(Permission.MACHINE_CONTROL):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
    reason = checked_reason(reason, what)
    row, operation = _open(operation_id, what)
    if row.phase == CurtailPhase.WAKE:
        raise OperationRefusedError(f"{what}: it wakes its machines", _("It is waking its machines already."))
    begin_waking(row, operation, utc_now(), abort=abort)
    record(
        operation,
        actor or user.actor,
        "abort" if abort else "wake",
        reason,
        after={"power_w": row.wake_from_w, "saved_wh": round(row.saved_wh)},
    )
    return curtail_rows.curtailment(operation_id)


@transaction.atomic
def wake_left(user: "User", *, reason: str, ramp_kw_s_max: float) -> int:
    """Wake what sleeps because of curtailments that are over, as one that was cancelled leaves it; the operation.

    Raises NotPermittedError, OperationRefusedError where there is nothing, or while a curtailment is under way.
    """
    what = "wake machines left asleep"
    if curtail_rows.active() is not None:
        raise OperationRefusedError(f"{what}: a curtailment is under way", _("A curtailment is under way; end that."))
    left = curtail_rows.asleep_by_curtailment()
    saves = dict(
        Action.objects.filter(operation_id__in=set(left.values()), kind=ActionKind.SLEEP).values_list(
            "machine_id", "load_w"
        )
    )
    steps = [Step(one, ActionKind.WAKE, load_w=-saves.get(one, 0.0)) for one in left]
    limits = _limits(ramp_kw_s_max * 1000.0 or None)
    row = plan_operation(user, Plan(kind=OperationKind.WAKE, steps=steps, reason=reason, limits=limits))
    start_operation(user, row.id)
    return row.id


def begin_waking(row: Curtailment, operation: Operation, now: datetime, *, abort: bool = False) -> None:
    """Into the phase that wakes; the driver adds the steps once those under way are over."""
    row.phase, row.wake_at, row.abort = CurtailPhase.WAKE, now, abort
    row.wake_from_w = row.power_w
    row.save(update_fields=["phase", "wake_at", "abort", "wake_from_w"])
    if operation.state != OperationState.RUNNING:
        operation.state, operation.message = OperationState.RUNNING, ""
    operation.ramp_kw, operation.ramp_at = 0.0, now
    operation.save(update_fields=["state", "message", "ramp_kw", "ramp_at"])


def _open(operation_id: int, what: str) -> tuple[Curtailment, Operation]:
    operation = Operation.objects.select_for_update().filter(pk=operation_id).first()
    row = Curtailment.objects.select_for_update().defer("ranking").filter(pk=operation_id).first()
    if row is None or operation is None:
        raise UnknownOperationError(f"curtailment {operation_id}: not known")
    if OperationState(operation.state).is_over:
        raise OperationRefusedError(f"{what}: it is {operation.state}", _("This curtailment is over."))
    return row, operation


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [MARK])


def _require(user: "User", what: str) -> None:
    if not user.may(Permission.OPERATION_RUN):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")
