"""Firmware campaigns as people plan and steer them. ``campaign_work`` carries them on.

A campaign is an operation: planned by one person, approved by another, paced by the same limits. Its steps are not
known beforehand, since each stage begins only after the gate of the one before.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.fleet.errors import NotPermittedError, OperationRefusedError, UnknownOperationError
from mbongi.fleet.firmware_wording import PLAN_PROBLEMS
from mbongi.fleet.groups import checked_reason
from mbongi.fleet.image_rows import ImageRow, image, images
from mbongi.fleet.models import Action, Campaign, CampaignMachine, CampaignVerdict, Machine, Operation, WorkOrder
from mbongi.fleet.operation_rows import OperationRow, operation
from mbongi.fleet.operations import Plan, finish, locked, move, plan_operation, record
from mbongi.fleet.positions import rack_label
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Phase, Place, divided, problem
from mbongi.fleet.rules.work_orders import WorkState
from mbongi.fleet.values import ActionStatus, Limits, MachineState, OperationKind, OperationState

if TYPE_CHECKING:
    from mbongi.core.identity.models import User

MACHINES_MAX = 20_000
_BUSY = (ActionStatus.PLANNED, ActionStatus.REQUESTED, ActionStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Preview:
    """A dry run: the machines of each stage, and those left out with a key of ``firmware_wording.LEFT``."""

    image: ImageRow
    stages: Sequence[Sequence[int]]
    left: dict[int, str]
    without_image: int
    """Machines whose present firmware is not in the store, so that they could not be rolled back."""


def preview(image_id: int, machine_ids: Sequence[int], plan: CampaignPlan) -> Preview:
    """What a campaign would do now; no device is written. Machines that are not for the image are passed over.

    Raises UnknownImageError, OperationRefusedError for a plan that cannot be.
    """
    what = f"plan a campaign of image {image_id}"
    if wrong := problem(plan):
        raise OperationRefusedError(f"{what}: {wrong}", str(PLAN_PROBLEMS[wrong]))
    row = image(image_id)
    found = [machine for machine in _machines(machine_ids) if row.fits(machine.family, machine.model)]
    why = unfit(found, row.version)
    fit = [machine for machine in found if machine.pk not in why]
    stages = divided(plan, [Place(machine.pk, rack_label(machine.hall, machine.rack)) for machine in fit])
    kept = images()
    kinds = Counter((machine.family, machine.model, machine.firmware) for machine in fit)
    without = sum(count for kind, count in kinds.items() if image_before(kept, *kind) is None)
    return Preview(row, stages, why, without)


def image_before(kept: Sequence[ImageRow], family: str, model: str, version: str) -> ImageRow | None:
    """The trusted image of those ``kept`` that such a machine runs when it states ``version``; None: there is none."""
    fitting = (each for each in kept if each.trusted and each.fits(family, model))
    return next((each for each in fitting if states(version, each.version)), None)


def states(stated: str, version: str) -> bool:
    """Whether what a machine states is a version; some put their firmware's name before it."""
    return bool(version) and (stated == version or stated.endswith(f" {version}"))


def _machines(machine_ids: Sequence[int]) -> list[Machine]:
    rows = Machine.objects.filter(pk__in=list(machine_ids)[:MACHINES_MAX], retired_at=None)
    return list(rows.order_by("hall", "rack", "slot", "pk"))


def unfit(machines: Sequence[Machine], version: str, *, but_not: int | None = None) -> dict[int, str]:
    """Why machines must not be flashed now, by id: keys of ``firmware_wording.LEFT``.

    ``but_not``: an operation whose own steps do not count.
    """
    ids = [machine.pk for machine in machines]
    busy = Action.objects.filter(machine__in=ids, status__in=_BUSY)
    if but_not is not None:
        busy = busy.exclude(operation=but_not)
    busy_ids = set(busy.values_list("machine_id", flat=True))
    states = [WorkState.OPEN, WorkState.TAKEN]
    on_bench = set(WorkOrder.objects.filter(machine__in=ids, state__in=states).values_list("machine_id", flat=True))
    found: dict[int, str] = {}
    for machine in machines:
        why = _unfit(machine, version)
        if not why and machine.pk in on_bench:
            why = "work_order"
        if not why and machine.pk in busy_ids:
            why = "busy"
        if why:
            found[machine.pk] = why
    return found


def _unfit(machine: Machine, version: str) -> str:
    if machine.address is None or machine.retired_at is not None:
        return "gone"
    if states(machine.firmware, version):
        return "same"
    if machine.state == MachineState.SLEEPING:
        return "asleep"
    return "" if machine.state == MachineState.MINING else "not_mining"


@transaction.atomic
def plan_campaign(
    user: "User",
    image_id: int,
    machine_ids: Sequence[int],
    plan: CampaignPlan,
    *,
    reason: str,
    limits: Limits | None = None,
) -> OperationRow:
    """Write a campaign down as the dry run shows it; somebody else must approve it before anything is flashed.

    Raises NotPermittedError, UnknownImageError, OperationRefusedError.
    """
    what = f"plan a campaign of image {image_id}"
    require(user, what)
    found = preview(image_id, machine_ids, plan)
    if not found.image.trusted:
        text = _("The key that signed this image is trusted no more.")
        raise OperationRefusedError(f"{what}: the key {found.image.key} is trusted no more", text)
    if not any(found.stages):
        raise OperationRefusedError(f"{what}: no machine for it", _("There is no machine that could be flashed."))
    row = plan_operation(
        user,
        Plan(
            kind=OperationKind.CAMPAIGN,
            steps=(),
            reason=reason,
            limits=limits or Limits(batch=20, failures_max=5),
            document={
                "image": found.image.id,
                "sha256": found.image.sha256,
                "version": found.image.version,
                "stages": [len(stage) for stage in found.stages],
                "left_out": len(found.left),
            },
            second=True,
            is_fed=True,
        ),
    )
    campaign = Campaign.objects.create(
        operation_id=row.id,
        image_id=found.image.id,
        plan=msgspec.to_builtins(plan),
        phase=Phase.WAITING,
        phase_at=utc_now(),
    )
    machines = Machine.objects.in_bulk([pk for stage in found.stages for pk in stage])
    CampaignMachine.objects.bulk_create(
        CampaignMachine(
            campaign=campaign,
            machine_id=pk,
            tenant_id=machines[pk].tenant_id,
            stage=number,
            state=MachineStep.WAITING,
            previous_version=machines[pk].firmware,
        )
        for number, stage in enumerate(found.stages)
        for pk in stage
    )
    return operation(row.id)


@transaction.atomic
def go_on(user: "User", operation_id: int, *, reason: str) -> OperationRow:
    """Let a campaign on that stands: where the gate stopped it, its next stage begins in spite of that.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"let campaign {operation_id} go on"
    require(user, what)
    reason = checked_reason(reason, what)
    campaign, row = _of(operation_id)
    if row.state not in {OperationState.PAUSED, OperationState.HALTED} or campaign.roll_back_id is not None:
        raise OperationRefusedError(f"{what}: it is {row.state}", _further())
    row.failures_before, row.message = row.failures_now, ""
    row.save(update_fields=["failures_before", "message"])
    if campaign.phase == Phase.STOPPED:
        CampaignVerdict.objects.create(
            campaign=campaign,
            stage=campaign.stage,
            at=utc_now(),
            outcome="override",
            findings=(campaign.verdict or {}).get("findings", []),
            author=user,
            reason=reason,
        )
        step_on(campaign)
    move(row, OperationState.RUNNING, user.actor, "resume", reason, after={"stage": campaign.stage})
    return operation(operation_id)


def step_on(campaign: Campaign) -> None:
    """The next stage is due."""
    campaign.stage += 1
    campaign.message = ""
    enter(campaign, Phase.WAITING)


@transaction.atomic
def roll_back(user: "User", operation_id: int, *, reason: str) -> OperationRow:
    """Take a campaign back: begin no more machines, and flash what each ran before, where the store has it.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"roll campaign {operation_id} back"
    require(user, what)
    reason = checked_reason(reason, what)
    campaign, row = _of(operation_id)
    states = {OperationState.RUNNING, OperationState.PAUSED, OperationState.HALTED}
    if row.state not in states or campaign.roll_back_id is not None or campaign.phase == Phase.STOPPING:
        raise OperationRefusedError(f"{what}: it is {row.state}", _further())
    record(row, user.actor, "roll_back", reason, after={"stage": campaign.stage})
    stop(campaign, reason, takes_back=True)
    if row.state != OperationState.RUNNING:
        move(row, OperationState.RUNNING, user.actor, "resume", reason)
    return operation(operation_id)


def stop(campaign: Campaign, message: str, *, takes_back: bool) -> None:
    """Begin no more machines; what is under way is seen through, and then it is taken back, or stands."""
    planned = Action.objects.filter(operation=campaign.operation_id, status=ActionStatus.PLANNED)
    planned.update(status=ActionStatus.CANCELLED, finished_at=utc_now(), message=message[:500])
    # Failures no longer halt it: what is under way must be seen through, and then taken back.
    Operation.objects.filter(pk=campaign.operation_id).update(failures_before=MACHINES_MAX)
    campaign.message = message[:500]
    campaign.verdict = dict(campaign.verdict or {}) | {"takes_back": takes_back}
    enter(campaign, Phase.STOPPING)


def enter(campaign: Campaign, phase: Phase) -> None:
    """Into another phase."""
    campaign.phase, campaign.phase_at = phase, utc_now()
    campaign.looked_at = None
    campaign.save()


@transaction.atomic
def cancel(user: "User", operation_id: int, *, reason: str) -> OperationRow:
    """End a campaign where it stands: flashed machines keep what they run.

    Raises NotPermittedError, UnknownOperationError, OperationRefusedError.
    """
    what = f"end campaign {operation_id}"
    require(user, what)
    reason = checked_reason(reason, what)
    campaign, row = _of(operation_id)
    # One on its way back ends with the operation that takes it back.
    if OperationState(row.state).is_over or campaign.phase == Phase.ROLLING_BACK:
        raise OperationRefusedError(f"{what}: it is {row.state}, {campaign.phase}", _further())
    enter(campaign, Phase.OVER)
    finish(row, OperationState.CANCELLED, user.actor, reason)
    return operation(operation_id)


def _of(operation_id: int) -> tuple[Campaign, Operation]:
    row = locked(operation_id)
    campaign = Campaign.objects.select_for_update().filter(operation=row).first()
    if campaign is None:
        raise UnknownOperationError(f"operation {operation_id}: is no campaign")
    return campaign, row


def require(user: "User", what: str) -> None:
    """Raises NotPermittedError unless the user may run campaigns."""
    if not (user.may(Permission.FIRMWARE_MANAGE) and user.may(Permission.OPERATION_RUN)):
        raise NotPermittedError(f"{user.actor}: {what}: the role {user.role} does not permit it")


def _further() -> str:
    return _("The operation has come further meanwhile; look again.")
