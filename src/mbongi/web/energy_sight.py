"""What the pages see of dispatch: what holds now, the newest plan, and its chart."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from mbongi.base.clock import utc_now
from mbongi.core.telemetry.client import Store
from mbongi.energy import dispatch_rows, meter_record, supplies, wording
from mbongi.energy.dispatch_rows import PlanRow
from mbongi.energy.rules.figures import Figure
from mbongi.energy.values import Supply

SUPPLY = ("feed", "solar", "discharge", "genset")
"""What the chart stacks, from the bottom up."""


def now() -> dict[str, Any]:
    """What lives on the page."""
    state, plan, tries = dispatch_rows.state(), dispatch_rows.newest(), dispatch_rows.tries()
    return {
        "state": state,
        "why": "" if state is None else wording.WHY.get(state.why, ""),
        "phase": "" if state is None else wording.PHASES.get(state.phase, ""),
        "plan": plan,
        "relaxed": [] if plan is None else [wording.relaxed_text(**_known(one)) for one in plan.relaxed],
        "last": tries[0] if tries else None,
        "saved": None if plan is None else saved(plan),
        "supply": supplies.in_force(),
    }


def _known(one: dict[str, Any]) -> dict[str, Any]:
    return {name: one[name] for name in ("kind", "tag", "amount", "steps")}


def saved(plan: PlanRow) -> list[tuple[float, float, float]]:
    """Rows of the plan, of doing nothing, and of the difference: money, energy from outside [kWh], carbon [kg]."""
    planned, idle = plan.summary["plan"], plan.summary["nothing"]
    rows = [(planned[name], idle[name], idle[name] - planned[name]) for name in ("net", "imported_kwh", "carbon_kg")]
    return [(float(one), float(two), float(three)) for one, two, three in rows]


def figures(supply: Supply) -> list[Figure]:
    """The figures of the last day; none without meters. Raises StoreUnavailable, StoreRefused."""
    if supply.meters is None:
        return []
    store = Store.open(settings.CONFIG)
    try:
        return meter_record.figures(store, supply.meters, now=utc_now(), sources=meter_record.sources(supply))
    finally:
        store.close()


def chart(plan_id: int) -> dict[str, Any] | None:
    """The plan's chart: layers of supply and lines in W, prices, and why each step is as it is."""
    found = dispatch_rows.series(plan_id)
    if found is None:
        return None
    start: datetime = found["starts_at"]
    steps = len(found["unserved"])
    times = [(start + timedelta(minutes=found["step_min"] * step)).timestamp() for step in range(steps)]
    layers = [
        {"name": tag, "kind": kind, "w": [1000 * power for power in powers]}
        for kind in SUPPLY
        for tag, powers in found["plan"][kind].items()
        if any(powers)
    ]
    return {
        "at": times,
        "layers": layers,
        "mining_w": _sum(found["plan"]["mining"], steps),
        "nothing_w": _sum(found["nothing"]["feed"], steps),
        "price": found["prices"] or None,
        "tariff": found["tariff"],
        "why": [[wording.reason_text(word, tag) for word, tag in step] for step in found["reasons"]],
    }


def _sum(series: dict[str, list[float]], steps: int) -> list[float]:
    return [1000 * sum(powers[step] for powers in series.values()) for step in range(steps)]
