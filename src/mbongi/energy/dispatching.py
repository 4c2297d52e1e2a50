"""Plans made, kept and handed out: every five minutes a plan, every look the targets that hold now.

The fleet hears of targets as of a capacity (``mbongi.fleet.curtail_triggers``): a trigger that one person wrote and
another approved turns it into a curtailment, so nothing sleeps that two people have not agreed to.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.db import transaction

from mbongi.base.clock import utc_now
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.energy import supplies
from mbongi.energy.errors import NoPlanError
from mbongi.energy.models import DispatchPlan, DispatchState
from mbongi.energy.optimising import optimise
from mbongi.energy.ports import Solver
from mbongi.energy.rules import supply as supply_rules
from mbongi.energy.rules.blackout import Orders, Phase
from mbongi.energy.rules.dispatch.baseline import do_nothing
from mbongi.energy.rules.dispatch.explaining import reasons
from mbongi.energy.rules.dispatch.formulation import whole_steps
from mbongi.energy.rules.dispatch.plan import Bill, Plan, bill
from mbongi.energy.rules.dispatch.problem import Problem
from mbongi.energy.rules.steering import Targets, Why, in_blackout, targets
from mbongi.energy.rules.supply import Memory
from mbongi.energy.rules.watching import SLOW_S, is_running
from mbongi.energy.values import Readings
from mbongi.fleet import curtail_triggers

ACTOR = "process:energy"
SOURCE = "dispatch"
STEP = timedelta(minutes=supply_rules.STEP_MIN)
KEEP_SERIES = timedelta(days=2)
KEEP_PLANS = timedelta(days=90)
TOLD_FOR = timedelta(minutes=10)
"""How long a told capacity holds by itself: a process that dies must not hold the fleet down for ever."""
_SERIES = ("feed", "solar", "charge", "discharge", "level", "genset", "mining", "shed")


@dataclass(frozen=True, slots=True)
class Kept:
    """A plan that was made, as the process remembers it between two looks."""

    id: int
    starts_at: datetime
    plan: Plan | None

    def step(self, now: datetime) -> int:
        """Which step of the plan holds now."""
        return int((now - self.starts_at) / STEP)


def start_of_step(now: datetime) -> datetime:
    """The last full five minutes."""
    return datetime.fromtimestamp(now.timestamp() // STEP.total_seconds() * STEP.total_seconds(), now.tzinfo)


def plan_now(
    solver: Solver,
    readings: Readings,
    zone: ZoneInfo,
    *,
    memory: Mapping[str, Memory] | None = None,
    now: datetime | None = None,
) -> Kept | None:
    """Make a plan for the day from now on and keep it, with its inputs and its status; None without a supply in force.

    No lock is held while it is solved. A try that ends without a plan is kept too, with the reason.
    """
    row, now = supplies.in_force(), now or utc_now()
    if row is None:
        return None
    start = start_of_step(now)
    made = supply_rules.problem_of(row.supply, supplies.factors(), readings, start=start, zone=zone, memory=memory)
    fields: dict[str, Any] = {
        "supply_id": row.id,
        "starts_at": start,
        "assumed": list(made.assumed),
        "inputs": {f"{tag} {quantity}": [one.value, one.at_s] for (tag, quantity), one in sorted(readings.items())},
    }
    nothing = do_nothing(made.problem)
    try:
        found = optimise(made.problem, solver)
    except NoPlanError as error:
        return _keep(fields | {"status": str(error)[:300], "is_usable": False}, start, None)
    fields |= {
        "status": found.status,
        "is_usable": True,
        "gap": found.gap,
        "build_s": found.build_s,
        "solve_s": found.solve_s,
        "relaxed": [asdict(one) for one in found.relaxed],
        "summary": _summary(made.problem, found.plan, nothing),
        "document": _document(made.problem, found.plan, nothing, found.prices),
    }
    return _keep(fields, start, found.plan)


@transaction.atomic
def _keep(fields: dict[str, Any], start: datetime, plan: Plan | None) -> Kept:
    now = utc_now()
    row = DispatchPlan.objects.create(made_at=now, **fields)
    DispatchPlan.objects.filter(made_at__lt=now - KEEP_PLANS).delete()
    DispatchPlan.objects.filter(made_at__lt=now - KEEP_SERIES).exclude(document={}).update(document={})
    last = DispatchPlan.objects.filter(pk__lt=row.pk).last()
    if last is None or last.is_usable != row.is_usable or bool(last.relaxed) != bool(row.relaxed):
        after = {"usable": row.is_usable, "status": row.status, "relaxed": row.relaxed}
        ledger.append([NewEntry(ACTOR, "energy.dispatch.plan", f"plan:{row.pk}", "", None, after)])
    return Kept(row.pk, start, plan)


def _summary(problem: Problem, plan: Plan, nothing: Plan) -> dict[str, Any]:
    """Both bills, and what was saved in money, energy and carbon over the horizon."""
    planned, idle = bill(problem, plan), bill(problem, nothing)
    return {
        "plan": _numbers(planned),
        "nothing": _numbers(idle),
        "saved": round(idle.net - planned.net, 2),
        "saved_kwh": round(idle.imported_kwh - planned.imported_kwh, 1),
        "saved_carbon_kg": round(idle.carbon_kg - planned.carbon_kg, 1),
        "currency": problem.currency,
    }


def _numbers(one: Bill) -> dict[str, float]:
    return {name: round(value, 3) for name, value in (asdict(one) | {"net": one.net}).items()}


def _document(problem: Problem, plan: Plan, nothing: Plan, prices: np.ndarray[Any, Any]) -> dict[str, Any]:
    """All series, rounded to watts, with why each step is as it is."""

    def rows(source: Plan) -> dict[str, dict[str, list[float]]]:
        return {
            name: {tag: np.round(values, 3).tolist() for tag, values in getattr(source, name).items()}
            for name in _SERIES
        }

    return {
        "step_min": supply_rules.STEP_MIN,
        "plan": rows(plan),
        "nothing": rows(nothing),
        "loads": {load.tag: np.round(load.kw, 3).tolist() for load in problem.loads},
        "unserved": np.round(plan.unserved, 3).tolist(),
        "prices": np.round(prices, 4).tolist(),
        "tariff": {feed.tag: feed.price_per_kwh.tolist() for feed in problem.feeds},
        "reasons": [
            [[one.word, one.tag] for one in reasons(problem, plan, prices, step)] for step in range(problem.steps)
        ],
    }


def steer(
    kept: Kept | None,
    orders: Orders | None,
    readings: Readings,
    zone: ZoneInfo,
    *,
    phase: Phase = Phase.GRID,
    now: datetime | None = None,
) -> Targets | None:
    """What holds now, kept and handed to the fleet where dispatch is on; None without a supply in force."""
    row, now = supplies.in_force(), now or utc_now()
    if row is None:
        return None
    made = supply_rules.problem_of(row.supply, supplies.factors(), readings, start=now, zone=zone, steps=1)
    told = targets(made.problem, None if kept is None else kept.plan, 0 if kept is None else kept.step(now))
    if orders is not None:
        told = in_blackout(told, mining_kw=orders.mining_kw)
    # In whole steps: what no step reaches is no limit.
    most_kw = sum(whole_steps(one)[1] * (one.step_kw or 1.0) for one in made.problem.mining)
    hand_over(told, most_kw=most_kw, phase=phase, now=now)
    return told


@transaction.atomic
def hand_over(told: Targets, *, most_kw: float, phase: Phase, now: datetime) -> None:
    """Keep what holds, and tell the fleet: a capacity below its most, or that there is no limit any more."""
    state = supplies.locked_state()
    limit_kw = told.mining_kw if told.mining_kw < most_kw - 1e-6 else None
    if state.why != told.why or state.phase != phase:
        after = {"why": told.why.value, "phase": phase.value, "mining_kw": round(told.mining_kw, 3)}
        before = {"why": state.why, "phase": state.phase}
        ledger.append([NewEntry(ACTOR, "energy.dispatch.steer", "dispatch", "", before, after)])
    if state.phase != phase:
        state.phase_since = now
    if state.is_on or state.told_kw is not None:
        _tell(state, limit_kw if state.is_on else None, now)
    state.why, state.phase, state.at = told.why, phase, now
    state.targets = {name: dict(getattr(told, name)) for name in ("mining", "battery", "runs", "shed")}
    state.save()


def _tell(state: DispatchState, limit_kw: float | None, now: datetime) -> None:
    """By the fleet's own service, which keeps it in the ledger and lets an approved trigger act on it."""
    if limit_kw is None and state.told_kw is None:
        return
    value, until = (None, None) if limit_kw is None else (1000 * limit_kw, now + TOLD_FOR)
    curtail_triggers.hear_signal("capacity", value, at=now, source=SOURCE, until=until)
    state.told_kw = limit_kw


def without_plan(told: Targets) -> bool:
    """Whether the standing rules steer."""
    return told.why not in {Why.PLAN, Why.BLACKOUT}


def remember(memory: Mapping[str, Memory], readings: Readings, tags: list[str], *, now_s: float) -> dict[str, Memory]:
    """How long each genset has run or rested, one step on."""
    found = dict(memory)
    for tag in tags:
        is_on, before = is_running(readings, tag, now_s, SLOW_S), memory.get(tag)
        if is_on is None:
            continue
        same = before is not None and before.is_on == is_on
        found[tag] = replace(before, since_steps=before.since_steps + 1) if same and before else Memory(is_on, 0)
    return found
