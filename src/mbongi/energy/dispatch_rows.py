"""Reads for dispatch: the newest plan, what holds now, the last tries."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mbongi.base.clock import utc_now
from mbongi.energy.models import DispatchPlan, DispatchState

OLD = timedelta(seconds=45)
"""What holds is kept every ten seconds; older, the energy process is silent."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A try to plan. ``summary`` has the bills of the plan and of doing nothing; empty without a plan."""

    id: int
    starts_at: datetime
    made_at: datetime
    status: str
    is_usable: bool
    gap: float | None
    solve_s: float
    assumed: list[str]
    relaxed: list[dict[str, Any]]
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StateRow:
    """What holds now. ``told_kw`` None: the fleet is not limited by us."""

    is_on: bool
    why: str
    phase: str
    phase_since: datetime | None
    targets: dict[str, dict[str, float]]
    told_kw: float | None
    at: datetime | None

    @property
    def is_stale(self) -> bool:
        """Whether the energy process is silent."""
        return self.at is None or utc_now() - self.at > OLD

    @property
    def mining_kw(self) -> float:
        """The target of all mining."""
        return sum(self.targets.get("mining", {}).values())


def state() -> StateRow | None:
    """None before the process has looked for the first time."""
    row = DispatchState.objects.filter(number=1).first()
    if row is None:
        return None
    return StateRow(row.is_on, row.why, row.phase, row.phase_since, row.targets, row.told_kw, row.at)


def tries(limit: int = 12) -> list[PlanRow]:
    """The newest tries, newest first."""
    return [_row(row) for row in DispatchPlan.objects.defer("document", "inputs").order_by("-pk")[:limit]]


def newest() -> PlanRow | None:
    """The newest plan that may be used."""
    row = DispatchPlan.objects.defer("document", "inputs").filter(is_usable=True).last()
    return None if row is None else _row(row)


def series(plan_id: int) -> dict[str, Any] | None:
    """A plan's series, as ``dispatching`` writes them; None where it is not known or its series are gone."""
    found = DispatchPlan.objects.filter(pk=plan_id).values("document", "starts_at").first()
    return {**found["document"], "starts_at": found["starts_at"]} if found and found["document"] else None


def _row(row: DispatchPlan) -> PlanRow:
    return PlanRow(
        id=row.pk,
        starts_at=row.starts_at,
        made_at=row.made_at,
        status=row.status,
        is_usable=row.is_usable,
        gap=row.gap,
        solve_s=row.solve_s,
        assumed=row.assumed,
        relaxed=row.relaxed,
        summary=row.summary,
    )
