"""The way back of a campaign: each machine gets what it ran before, and the settings that it stated before.

The operation that does it is fed: a machine that runs its former image again gets the writes that put back what the
bad one changed. A person may end it; then the campaign stands, and says which machines were not brought back.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from django.db import transaction
from django.db.models import Count, Value
from django.db.models.functions import Concat, Left

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.fleet.action_rules import checked_arguments
from mbongi.fleet.action_work import PROCESS
from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.campaign_gate import TRIED
from mbongi.fleet.campaign_steps import OPEN, flash, halt_campaign, locked_campaign, note_flashed, plan_of
from mbongi.fleet.campaigns import enter, image_before
from mbongi.fleet.errors import ActionRefusedError
from mbongi.fleet.image_rows import images
from mbongi.fleet.models import Action, Campaign, CampaignMachine, Operation
from mbongi.fleet.operations import (
    Plan,
    Step,
    add_steps,
    close_steps,
    finish_operation,
    halt,
    locked,
    plan_operation,
    start_operation,
)
from mbongi.fleet.rules.put_back import put_back
from mbongi.fleet.rules.stages import MachineStep, Phase
from mbongi.fleet.rules.stated import stated_in
from mbongi.fleet.values import ActionKind, ActionStatus, Family, Limits, OperationKind, OperationState

if TYPE_CHECKING:
    from django.db.models import QuerySet

CHUNK = 200
"""Machines that one look begins, or whose ends it takes over, at most."""
NAMED_MAX = 10
"""Machines that a campaign's message names; its page lists them all."""


def take_back(campaign: Campaign) -> None:
    """Plan the operation that flashes what each machine ran before; say of the others why they stay."""
    tried, kept = campaign.machines.filter(state__in=TRIED), images()
    count = tried.count()
    tried.filter(machine__retired_at__isnull=False).update(state=MachineStep.STUCK, reason="gone")
    kinds = tried.values_list("machine__family", "machine__model", "previous_version").order_by().distinct()
    for family, model, version in list(kinds):
        if image_before(kept, family, model, version) is None:
            theirs = tried.filter(machine__family=family, machine__model=model, previous_version=version)
            why = Left(Concat(Value(f"{version}: not in the store; "), "reason"), 500)
            theirs.update(state=MachineStep.STUCK, reason=why)
    returning = tried.update(state=MachineStep.RETURNING)
    row = locked(campaign.operation_id)
    if not returning:
        message = f"{campaign.message}; {count} machines cannot be rolled back: what they ran is not in the store"
        halt_campaign(campaign, message, Phase.STOPPED)
        return
    limits = msgspec.structs.replace(msgspec.convert(row.limits, Limits), failures_max=returning + 1)
    # The way back is not lost with the rights of whoever planned the way there.
    user = row.author
    if row.approver is not None and not user.may(Permission.OPERATION_RUN):
        user = row.approver
    back = plan_operation(
        user,
        Plan(
            kind=OperationKind.CAMPAIGN,
            steps=(),
            reason=campaign.message or row.reason,
            limits=limits,
            document={"rolls_back": row.pk},
            is_fed=True,
            actor=PROCESS,
        ),
    )
    campaign.roll_back_id = back.id
    enter(campaign, Phase.ROLLING_BACK)
    halt(row, campaign.message)
    start_operation(user, back.id)
    _feed(campaign, back.id)


def _feed(campaign: Campaign, operation_id: int) -> None:
    """The flashes of the next machines; not of all at once, as all else of the database waits meanwhile."""
    theirs = Action.objects.filter(operation=operation_id)
    if theirs.filter(status=ActionStatus.PLANNED).count() >= CHUNK:
        return
    rows = list(_returning(campaign).exclude(machine__in=theirs.values("machine")).select_related("machine")[:CHUNK])
    kept, criteria, steps = images(), plan_of(campaign).criteria, []
    for each in rows:
        before = image_before(kept, each.machine.family, each.machine.model, each.previous_version)
        if before is None:
            CampaignMachine.objects.filter(pk=each.pk).update(state=MachineStep.STUCK)
        else:
            steps.append(flash(each.machine, before, criteria))
    if steps:
        add_steps(operation_id, steps)


def ended_by_people() -> list[int]:
    """Operations that took campaigns back until a person ended them, and whose campaigns have not heard of it."""
    rows = Operation.objects.filter(state=OperationState.CANCELLED, rolls_back__phase=Phase.ROLLING_BACK)
    return list(rows.order_by("pk").values_list("pk", flat=True))


@transaction.atomic
def follow(operation_id: int) -> None:
    """Follow the operation that takes a campaign back; with its last step the campaign is over, or stands."""
    found = Campaign.objects.filter(roll_back=operation_id).values_list("operation_id", flat=True).first()
    if found is None:
        return
    campaign, _state = locked_campaign(found)
    back = locked(operation_id)
    if campaign.phase != Phase.ROLLING_BACK or campaign.roll_back_id != operation_id:
        return
    is_ended = back.state == OperationState.CANCELLED
    if not is_ended:
        _feed(campaign, operation_id)
        _give_way(campaign, operation_id)
    theirs, returning = Action.objects.filter(operation=operation_id), _returning(campaign)
    statuses = list(theirs.values_list("machine_id", "status"))
    under_way = {machine_id for machine_id, status in statuses if status in OPEN}
    over = {machine_id for machine_id, _status in statuses} - under_way
    ids = [machine_id for machine_id in returning.values_list("machine_id", flat=True) if machine_id in over][:CHUNK]
    ready = list(returning.filter(machine__in=ids).select_related("machine"))
    steps: dict[int, list[Action]] = defaultdict(list)
    for step in theirs.filter(machine__in=ids).order_by("pk"):
        steps[step.machine_id].append(step)
    asked = _asked_since(ready, operation_id)
    others = {pk for pk in _handed_over(campaign, ready) if ActionKind.SET_POOLS not in asked[pk]}
    more = [] if is_ended else _settings(ready, steps, asked, others)
    wait = {step.machine_id for step in more}
    _settle([each for each in ready if each.machine_id not in wait], steps, asked, others)
    if more:
        add_steps(operation_id, more)
    elif is_ended and len(ready) < CHUNK and not under_way:
        _stand(campaign, back)
    elif not returning.exists():
        _close(campaign, operation_id)


def _returning(campaign: Campaign) -> "QuerySet[CampaignMachine]":
    return campaign.machines.filter(state=MachineStep.RETURNING).defer("machine__detail").order_by("pk")


# Settings.


def _settings(
    ready: Sequence[CampaignMachine],
    steps: Mapping[int, Sequence[Action]],
    asked: Mapping[int, Collection[str]],
    others: Collection[int],
) -> list[Step]:
    """The writes for machines that have just come back."""
    back = [each for each in ready if len(steps[each.machine_id]) == 1]
    planned = [step for each in back for step in _put_back(each, steps[each.machine_id][0], others)[0]]
    return [step for step in planned if step.kind not in asked[step.machine_id]]


def _put_back(each: CampaignMachine, flashed: Action, others: Collection[int]) -> tuple[list[Step], list[str]]:
    """The writes that a machine's settings need after its flash back, and what cannot be written."""
    if flashed.status != ActionStatus.DONE:
        return [], []
    found, left = [], []
    abilities = adapter_of(Family(each.machine.family)).abilities
    for change in put_back(stated_in(each.settings), stated_in(flashed.after or {}), abilities):
        names = ", ".join(change.fields)
        if change.kind is None:
            left.append(f"{names} not put back: {change.why_not}")
            continue
        if change.kind is ActionKind.SET_POOLS and each.machine_id in others:
            left.append(f"{names} not put back: the machine is another owner's now")
            continue
        try:
            found.append(Step(each.machine_id, change.kind, checked_arguments(change.kind, change.arguments)))
        except ActionRefusedError as error:
            left.append(f"{names} not put back: {error}")
    return found, left


def _give_way(campaign: Campaign, operation_id: int) -> None:
    """Writes that wait for their turn are not sent any more where somebody wrote the same on purpose meanwhile."""
    waiting = Action.objects.filter(operation=operation_id, status=ActionStatus.PLANNED)
    writes = waiting.exclude(kind=ActionKind.UPGRADE)
    rows = list(_returning(campaign).filter(machine__in=writes.values("machine")))
    for machine_id, kinds in _asked_since(rows, operation_id).items():
        writes.filter(machine=machine_id, kind__in=kinds).update(
            status=ActionStatus.CANCELLED, finished_at=utc_now(), message="somebody wrote this meanwhile"
        )


def _handed_over(campaign: Campaign, ready: Sequence[CampaignMachine]) -> set[int]:
    """Those that are another's since they were flashed: the pools of before were in their former owner's interest."""
    owners = {each.machine_id: each.machine.tenant_id for each in ready}
    flashed = Action.objects.filter(operation=campaign.operation_id, machine__in=owners)
    return {pk for pk, owner in flashed.values_list("machine_id", "tenant_id") if owner != owners[pk]}


def _asked_since(back: Sequence[CampaignMachine], operation_id: int) -> Mapping[int, set[str]]:
    """Which settings somebody wrote on purpose since a machine was flashed, or is about to write: those stay."""
    found: dict[int, set[str]] = defaultdict(set)
    begun = {each.machine_id: each.begun_at for each in back}
    asked = [ActionStatus.REQUESTED, ActionStatus.RUNNING, ActionStatus.DONE]
    rows = Action.objects.filter(machine__in=begun, status__in=asked, dry_run=False)
    for machine_id, kind, at in rows.exclude(operation=operation_id).values_list("machine_id", "kind", "finished_at"):
        since = begun[machine_id]
        if since is not None and (at is None or at > since):
            found[machine_id].add(kind)
    return found


# How it ends.


def _settle(
    rows: Sequence[CampaignMachine],
    steps: Mapping[int, Sequence[Action]],
    asked: Mapping[int, Collection[str]],
    others: Collection[int],
) -> None:
    """Write down what became of machines for which nothing more is to be done."""
    for each in rows:
        theirs = steps[each.machine_id]
        ours = [step for step in theirs[1:] if step.kind not in asked[each.machine_id]]
        left = [step.message for step in ours if step.status != ActionStatus.DONE]
        left += _put_back(each, theirs[0], others)[1]
        is_back = theirs[0].status == ActionStatus.DONE and not left
        each.state = MachineStep.RETURNED if is_back else MachineStep.STUCK
        each.reason = "; ".join([theirs[0].message, *left])[:500]
    CampaignMachine.objects.bulk_update(rows, ["state", "reason"])
    note_flashed(steps[each.machine_id][0] for each in rows)


def _close(campaign: Campaign, operation_id: int) -> None:
    # Fed until here, so that it cannot end between its last step and this look, which would never come then.
    close_steps(operation_id)
    count = _counted(campaign)
    message = (
        f"{campaign.message}; rolled back: {count.get(MachineStep.RETURNED, 0)} machines,"
        f" not: {count.get(MachineStep.STUCK, 0)}"
    )
    enter(campaign, Phase.ROLLED_BACK)
    finish_operation(campaign.operation_id, OperationState.ROLLED_BACK, message)


def _stand(campaign: Campaign, back: Operation) -> None:
    """A person ended the way back: the campaign stands, and the machines that were not reached may be tried again."""
    _returning(campaign).update(state=MachineStep.STUCK, reason=back.message)
    stuck = campaign.machines.filter(state=MachineStep.STUCK).select_related("machine").order_by("pk")
    names = [str(each.machine.address or each.machine_id) for each in stuck.defer("machine__detail")[: NAMED_MAX + 1]]
    if len(names) > NAMED_MAX:
        names[NAMED_MAX:] = ["…"]
    count = _counted(campaign)
    tail = (
        f"; the way back was ended by a person: rolled back: {count.get(MachineStep.RETURNED, 0)} machines,"
        f" not: {count.get(MachineStep.STUCK, 0)}: {', '.join(names) or '–'}"
    )
    _try_again(campaign)
    campaign.roll_back_id = None
    message = f"{campaign.message[: 500 - len(tail)]}{tail}"
    if OperationState(locked(campaign.operation_id).state).is_over:
        campaign.message = message
        enter(campaign, Phase.OVER)
    else:
        halt_campaign(campaign, message, Phase.STOPPED)


def _try_again(campaign: Campaign) -> None:
    """Machines whose flash back was not begun are again what they were, so that they can be rolled back once more."""
    flashes = Action.objects.filter(kind=ActionKind.UPGRADE)
    ways_back = Operation.objects.filter(document__rolls_back=campaign.operation_id)
    begun = flashes.filter(operation__in=ways_back).exclude(status=ActionStatus.CANCELLED).values("machine")
    failed = flashes.filter(operation=campaign.operation_id, status=ActionStatus.FAILED).values("machine")
    rows = campaign.machines.filter(state=MachineStep.STUCK, machine__retired_at=None).exclude(machine__in=begun)
    rows.filter(machine__in=failed).update(state=MachineStep.FAILED)
    rows.update(state=MachineStep.FLASHED)


def _counted(campaign: Campaign) -> dict[str, int]:
    return dict(campaign.machines.values_list("state").annotate(count=Count("pk")).order_by())
