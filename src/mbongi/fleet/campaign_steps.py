"""What the stages of a campaign and its way back have in common: the flash as a step, and what a machine then runs."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from mbongi.fleet.campaigns import enter
from mbongi.fleet.image_file import ImageArguments
from mbongi.fleet.image_rows import ImageRow
from mbongi.fleet.machine_models import machine_model
from mbongi.fleet.models import Action, Campaign, Machine
from mbongi.fleet.operations import Step, halt, locked
from mbongi.fleet.rules.gate import Criteria
from mbongi.fleet.rules.stages import CampaignPlan, Phase
from mbongi.fleet.storable import storable
from mbongi.fleet.values import ActionKind, ActionStatus, OperationState

OPEN = (ActionStatus.PLANNED, ActionStatus.REQUESTED, ActionStatus.RUNNING)


def plan_of(campaign: Campaign) -> CampaignPlan:
    """Its plan."""
    return msgspec.convert(campaign.plan, CampaignPlan)


def locked_campaign(operation_id: int) -> tuple[Campaign, OperationState]:
    """The campaign, locked after its operation as people's buttons do it: else each waits for the other."""
    row = locked(operation_id)
    return Campaign.objects.select_for_update().get(operation=row), OperationState(row.state)


def halt_campaign(campaign: Campaign, message: str, phase: Phase) -> None:
    """Stand still in a phase until a person looks; the operation says why."""
    campaign.message = message[:500]
    enter(campaign, phase)
    halt(locked(campaign.operation_id), campaign.message)


def flash(machine: Machine, row: ImageRow, criteria: Criteria) -> Step:
    """The step that flashes an image."""
    power_w = machine_model(machine.model).power_w
    given = ImageArguments(image=row.sha256, version=row.version, size_bytes=row.size_bytes, back_s=criteria.back_s)
    known_w = power_w if power_w == power_w else 0.0  # noqa: PLR0124 -- NaN
    return Step(machine.pk, ActionKind.UPGRADE, msgspec.to_builtins(given), load_w=-known_w)


def note_flashed(steps: Iterable[Action]) -> None:
    """Write down which image machines run by flashes that were verified; their next poll says it too, but later."""
    machines: dict[tuple[str, str], list[int]] = defaultdict(list)
    for step in steps:
        if step.status == ActionStatus.DONE and step.verified and not step.dry_run:
            version = storable(str((step.after or {}).get("firmware") or step.arguments["version"]))[:120]
            machines[version, step.arguments["image"]].append(step.machine_id)
    for (version, sha256), ids in machines.items():
        Machine.objects.filter(pk__in=sorted(ids)).update(firmware=version, image=sha256)
