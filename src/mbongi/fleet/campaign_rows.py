"""Reads of campaigns: how far each stage is, what the gate says, and figures of flashed machines beside the rest."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db.models import Count

from mbongi.base.clock import utc_now
from mbongi.core.telemetry.client import Store
from mbongi.fleet.campaign_telemetry import MACHINES_MAX, Span, blocks, means
from mbongi.fleet.errors import UnknownOperationError
from mbongi.fleet.image_rows import ImageRow, image
from mbongi.fleet.models import Campaign, CampaignMachine
from mbongi.fleet.operation_rows import OperationRow, operation
from mbongi.fleet.rules.gate import Verdict
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Phase, Stage

SHOWN_MAX = 200
"""Machines that a page lists; it counts all."""
_DONE = (MachineStep.FLASHED, MachineStep.RETURNED)


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage: its machines by state."""

    number: int
    stage: Stage
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Machines in all."""
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        """Machines that wait for nothing."""
        return self.total - self.counts.get(MachineStep.WAITING, 0) - self.counts.get(MachineStep.FLASHING, 0)


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What decided about a stage. ``author`` empty: the gate."""

    stage: int
    at: datetime
    outcome: str
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign. ``verdict`` is what the gate said last; ``soak_share`` how much of the present soak time is over."""

    operation: OperationRow
    image: ImageRow
    plan: CampaignPlan
    stage: int
    phase: Phase
    phase_at: datetime
    message: str
    verdict: Verdict | None
    stages: Sequence[StageRow]
    roll_back_id: int | None
    soak_share: float | None

    @property
    def total(self) -> int:
        """Machines in all."""
        return sum(stage.total for stage in self.stages)

    @property
    def flashed(self) -> int:
        """Machines that run the image."""
        return sum(stage.counts.get(MachineStep.FLASHED, 0) for stage in self.stages)


def campaigns(limit: int = 50) -> list[CampaignRow]:
    """Campaigns, newest first."""
    return [_row(row) for row in Campaign.objects.order_by("-pk")[:limit]]


def campaign(operation_id: int) -> CampaignRow:
    """One campaign, by its operation. Raises UnknownOperationError."""
    row = Campaign.objects.filter(operation=operation_id).first()
    if row is None:
        raise UnknownOperationError(f"campaign {operation_id}: not known")
    return _row(row)


def _row(row: Campaign) -> CampaignRow:
    plan = msgspec.convert(row.plan, CampaignPlan)
    counts: dict[int, Counter[str]] = {number: Counter() for number in range(len(plan.stages))}
    for stage, state, count in row.machines.values_list("stage", "state").annotate(count=Count("pk")).order_by():
        counts[stage][state] = count
    soak = None
    if row.phase == Phase.SOAKING and plan.stages[row.stage].soak_s > 0:
        soak = min((utc_now() - row.phase_at).total_seconds() / plan.stages[row.stage].soak_s, 1.0)
    found = row.verdict or {}
    return CampaignRow(
        operation=operation(row.operation_id),
        image=image(row.image_id, removed_too=True),
        plan=plan,
        stage=row.stage,
        phase=Phase(row.phase),
        phase_at=row.phase_at,
        message=row.message,
        verdict=msgspec.convert({key: found[key] for key in ("outcome", "findings")}, Verdict)
        if "findings" in found
        else None,
        stages=[StageRow(number, stage, dict(counts[number])) for number, stage in enumerate(plan.stages)],
        roll_back_id=row.roll_back_id,
        soak_share=soak,
    )


def machines(operation_id: int) -> list[CampaignMachine]:
    """The machines of a campaign that something happened to, the newest stage first; then those that wait."""
    rows = CampaignMachine.objects.filter(campaign__operation=operation_id).select_related("machine")
    rows = rows.defer("machine__detail").order_by("-stage", "pk")
    shown = list(rows.exclude(state=MachineStep.WAITING)[:SHOWN_MAX])
    return [*shown, *rows.filter(state=MachineStep.WAITING)[: SHOWN_MAX - len(shown)]]


def decisions(operation_id: int) -> list[DecisionRow]:
    """What decided about its stages, newest first."""
    row = Campaign.objects.get(operation=operation_id)
    return [
        DecisionRow(each.stage, each.at, each.outcome, "" if each.author is None else str(each.author), each.reason)
        for each in row.verdicts.select_related("author").order_by("-at", "-pk")
    ]


def figures(store: Store, operation_id: int, *, points: int = 240) -> dict[str, Any]:
    """Mean hashrate and efficiency of the flashed machines and of those that wait, since before the first flash.

    Raises UnknownOperationError, StoreUnavailable, StoreRefused.
    """
    row = Campaign.objects.filter(operation=operation_id).first()
    if row is None:
        raise UnknownOperationError(f"campaign {operation_id}: not known")
    criteria = msgspec.convert(row.plan, CampaignPlan).criteria
    tried = row.machines.exclude(begun_at=None).order_by("begun_at")
    first, now = tried.first(), utc_now()
    begun = first.begun_at if first is not None and first.begun_at else now
    since = begun - timedelta(seconds=min(criteria.baseline_s, 6 * 3600.0))
    flashed = list(tried.values_list("machine_id", flat=True)[:MACHINES_MAX])
    control = list(row.machines.filter(begun_at=None).values_list("machine_id", flat=True)[:MACHINES_MAX])
    step = max(round((now - since).total_seconds() / points), 10)
    span = Span(since.timestamp(), now.timestamp())
    found = blocks(store, flashed + control, span, step)
    starts = list(range(int(span.since_s) // step * step, int(span.until_s), step))
    lines = {
        name: means({pk: found[pk] for pk in ids if pk in found}, starts)
        for name, ids in (("flashed", flashed), ("control", control))
    }
    columns = {f"{who}_{figure}": values for who, each in lines.items() for figure, values in each.items()}
    return {"at": starts, "columns": columns, "begun_at": int(begun.timestamp()) if first is not None else None}
