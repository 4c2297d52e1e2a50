"""Carrying a campaign on: a stage's steps, the gate after it, the stop, the way back. A driver of the fleet process.

Everything is in the database, so that a process that was killed, in the middle of a flash too, leaves nothing that the
next one lacks: what was being flashed is looked into by its version, and is never sent a second time.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Count, Max

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.fleet.action_work import PROCESS
from mbongi.fleet.campaign_telemetry import MACHINES_MAX, Span, blocks, side
from mbongi.fleet.campaigns import enter, image_before, step_on, stop, unfit
from mbongi.fleet.image_file import ImageArguments
from mbongi.fleet.image_rows import ImageRow, images
from mbongi.fleet.machine_models import machine_model
from mbongi.fleet.models import Action, Campaign, CampaignMachine, CampaignVerdict, Machine
from mbongi.fleet.operations import (
    Plan,
    Step,
    add_steps,
    close_steps,
    finish_operation,
    halt,
    locked,
    plan_operation,
    record,
    start_operation,
)
from mbongi.fleet.rules.gate import Criteria, Hard, Mark, Outcome, Track, Verdict, judge
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Phase
from mbongi.fleet.values import ActionKind, ActionStatus, Limits, MachineState, OperationKind, OperationState

LOOK = timedelta(seconds=30)
"""Between two looks of the gate: its figures are of minutes, and all else of the database waits for a slow store."""
TOGETHER = timedelta(minutes=5)
"""Machines that go dark by one cause are seen to within so long."""
_OPEN = (ActionStatus.PLANNED, ActionStatus.REQUESTED, ActionStatus.RUNNING)
_TRIED = (MachineStep.FLASHED, MachineStep.FAILED)
_DARK = (MachineState.OFF.value, MachineState.UNKNOWN.value)
StoreOf = Callable[[], Store]


def drive(operation_id: int, store: StoreOf) -> None:
    """One look at a campaign, or at the operation that takes one back. May be repeated."""
    campaign = Campaign.objects.filter(operation=operation_id).select_related("operation").first()
    if campaign is None:
        _returning(operation_id)
        return
    if campaign.operation.state != OperationState.RUNNING:
        return
    if campaign.phase == Phase.SOAKING:
        _soak(campaign, store)
        return
    with transaction.atomic():
        campaign, state = _locked(operation_id)
        if state is not OperationState.RUNNING:
            return
        if campaign.phase == Phase.WAITING:
            _begin_stage(campaign)
        elif campaign.phase == Phase.FLASHING:
            _flash(campaign)
        elif campaign.phase == Phase.STOPPING:
            _stop(campaign)
        elif campaign.phase == Phase.STOPPED:
            _halt(campaign, campaign.message, Phase.STOPPED)


def plan_of(campaign: Campaign) -> CampaignPlan:
    """Its plan."""
    return msgspec.convert(campaign.plan, CampaignPlan)


def _locked(operation_id: int) -> tuple[Campaign, OperationState]:
    """The campaign, locked after its operation as people's buttons do it: else each waits for the other."""
    row = locked(operation_id)
    return Campaign.objects.select_for_update().get(operation=row), OperationState(row.state)


# A stage begins.


def _begin_stage(campaign: Campaign) -> None:
    plan = plan_of(campaign)
    if campaign.stage >= len(plan.stages):
        enter(campaign, Phase.OVER)
        close_steps(campaign.operation_id)
        return
    row = next((each for each in images() if each.id == campaign.image_id), None)
    if row is None or not row.trusted:
        _halt(campaign, "the image is not in the store, or its key is trusted no more", Phase.WAITING)
        return
    waiting = list(campaign.machines.filter(stage=campaign.stage, state=MachineStep.WAITING).select_related("machine"))
    why = unfit([each.machine for each in waiting], row.version)
    for each in waiting:
        _prepare(each, why.get(each.machine_id, ""))
    CampaignMachine.objects.bulk_update(waiting, ["state", "reason", "previous_version", "pools", "begun_at"])
    ready = [each for each in waiting if each.state == MachineStep.FLASHING]
    if not ready:
        step_on(campaign)
        return
    add_steps(campaign.operation_id, [_step(each.machine, row, plan.criteria) for each in ready])
    enter(campaign, Phase.FLASHING)


def _prepare(each: CampaignMachine, why: str) -> None:
    """What the machine runs and mines for is noted at the last moment, so that its flash is compared with that."""
    if why:
        each.state, each.reason = MachineStep.LEFT, why
        return
    each.state, each.begun_at = MachineStep.FLASHING, utc_now()
    each.previous_version, each.pools = each.machine.firmware, pools_of(each.machine)


def pools_of(machine: Machine) -> list[list[str]]:
    """The pools that a machine stated last, as pairs of address and user."""
    return sorted([str(pool.get("url", "")), str(pool.get("user", ""))] for pool in machine.detail.get("pools", []))


def _step(machine: Machine, row: ImageRow, criteria: Criteria) -> Step:
    power_w = machine_model(machine.model).power_w
    given = ImageArguments(image=row.sha256, version=row.version, size_bytes=row.size_bytes, back_s=criteria.back_s)
    known_w = power_w if power_w == power_w else 0.0  # noqa: PLR0124 -- NaN
    return Step(machine.pk, ActionKind.UPGRADE, msgspec.to_builtins(given), load_w=-known_w)


# Machines come back.


def _flash(campaign: Campaign) -> None:
    under_way, now = _sync(campaign), utc_now()
    if under_way and campaign.looked_at is not None and now - campaign.looked_at < LOOK / 6:
        return  # With thousands of machines the look below is no small one.
    campaign.looked_at = now
    campaign.save(update_fields=["looked_at"])
    hard = _hard(campaign, plan_of(campaign).criteria, now)
    if hard.lost or hard.robbed:
        _regress(campaign, judge(plan_of(campaign).criteria, (), (), hard))
    elif not under_way:
        enter(campaign, Phase.SOAKING)


def _sync(campaign: Campaign) -> int:
    """Take over how the steps ended; returns how many machines are still under way."""
    flashing = {each.machine_id: each for each in campaign.machines.filter(state=MachineStep.FLASHING)}
    steps = Action.objects.filter(operation=campaign.operation_id, machine__in=flashing).order_by("pk")
    for step in steps:
        each = flashing[step.machine_id]
        if step.status in _OPEN:
            continue
        each.back_at, each.reason = step.finished_at, step.message
        if step.status == ActionStatus.CANCELLED:
            each.state = MachineStep.LEFT
        else:
            each.state = MachineStep.FLASHED if step.status == ActionStatus.DONE else MachineStep.FAILED
    ended = [each for each in flashing.values() if each.state != MachineStep.FLASHING]
    CampaignMachine.objects.bulk_update(ended, ["state", "reason", "back_at"])
    return len(flashing) - len(ended)


def _hard(campaign: Campaign, criteria: Criteria, now: datetime) -> Hard:
    """Machines that did not come back, went dark since, or mine for others than before.

    Those of which a person knew who let the campaign on, stop it no second time.
    """
    lost, robbed = [], []
    known = {
        machine_id
        for findings in campaign.verdicts.filter(outcome="override").values_list("findings", flat=True)
        for finding in findings
        if finding["mark"] in {Mark.LOST, Mark.POOLS}
        for machine_id in finding["machines"]
    }
    rows = campaign.machines.filter(state__in=_TRIED).exclude(machine__in=known)
    tried = list(rows.select_related("machine"))
    after = dict(
        Action.objects.filter(operation=campaign.operation_id, machine__in=[each.machine_id for each in tried])
        .order_by("pk")
        .values_list("machine_id", "after")
    )
    dark = _dark(campaign, tried, timedelta(seconds=criteria.back_s), now)
    begun = [each.begun_at for each in tried if each.begun_at is not None]
    written = Action.objects.filter(kind=ActionKind.SET_POOLS, dry_run=False, claimed_at__gt=min(begun, default=now))
    asked = dict(
        written.filter(machine__in=[each.machine_id for each in tried])
        .values_list("machine_id")
        .annotate(last=Max("claimed_at"))
        .order_by()
    )
    for each in tried:
        told: dict[str, Any] = after.get(each.machine_id) or {}
        if each.machine_id in dark or (told and told.get("firmware") is None):
            lost.append(each.machine_id)
        elif _is_robbed(each, told, asked.get(each.machine_id)):
            robbed.append(each.machine_id)
    return Hard(lost, robbed)


def _dark(campaign: Campaign, tried: Sequence[CampaignMachine], back: timedelta, now: datetime) -> set[int]:
    """Those that are dark for ``back`` since they were seen back; none where half of the others went dark with them.

    Then the grid or a link is gone, which is no image's doing.
    """
    found = {
        each.machine_id: each.machine.state_since
        for each in tried
        if each.machine.state in _DARK
        and now - max(each.machine.state_since, each.back_at or each.begun_at or now) > back
    }
    if not found:
        return set()
    flashed = campaign.machines.filter(state__in=_TRIED).values("machine")
    rest = Machine.objects.filter(retired_at=None, address__isnull=False).exclude(pk__in=flashed)
    with_them = rest.filter(state__in=_DARK, state_since__gt=min(found.values()) - TOGETHER).count()
    is_common = with_them > 0 and with_them >= rest.filter(state=MachineState.MINING).count()
    return set() if is_common else set(found)


def _is_robbed(each: CampaignMachine, told: dict[str, Any], asked_at: datetime | None) -> bool:
    if told.get("pools") and each.pools:
        seen = sorted([str(pool.get("url", "")), str(pool.get("user", ""))] for pool in told["pools"])
        if seen != each.pools:
            return True
    detail_at = each.machine.detail_at
    if not each.pools or each.back_at is None or detail_at is None or detail_at <= each.back_at:
        return False
    if asked_at is not None and each.begun_at is not None and asked_at > each.begun_at:
        return False  # We changed them ourselves since.
    now = pools_of(each.machine)
    return bool(now) and now != each.pools


# The gate.


def _soak(campaign: Campaign, store: StoreOf) -> None:
    now, plan = utc_now(), plan_of(campaign)
    if campaign.looked_at is not None and now - campaign.looked_at < LOOK:
        return
    try:
        verdict = look(campaign, plan.criteria, store(), now)
    except (StoreUnavailable, StoreRefused):
        # Without measurements there is no word, and at the limit a person is called; lost machines are seen as ever.
        verdict = judge(plan.criteria, (), (), _hard(campaign, plan.criteria, now))
    with transaction.atomic():
        campaign, state = _locked(campaign.operation_id)
        if state is OperationState.RUNNING and campaign.phase == Phase.SOAKING:
            _decide(campaign, plan, verdict, now)


def _decide(campaign: Campaign, plan: CampaignPlan, verdict: Verdict, now: datetime) -> None:
    stage = plan.stages[campaign.stage]
    campaign.looked_at, campaign.verdict = now, msgspec.to_builtins(verdict)
    campaign.save(update_fields=["looked_at", "verdict"])
    soaked_s = (now - campaign.phase_at).total_seconds()
    if verdict.outcome is Outcome.FAIL:
        _regress(campaign, verdict)
    elif verdict.outcome is Outcome.PASS and soaked_s >= stage.soak_s:
        _note(campaign, verdict)
        step_on(campaign)
    elif soaked_s >= stage.soak_max_s:
        _note(campaign, verdict)
        _halt(campaign, "the gate cannot say whether the machines are well; a person must look", Phase.STOPPED)


def look(campaign: Campaign, criteria: Criteria, store: Store, now: datetime) -> Verdict:
    """What the gate says at this moment. Raises StoreUnavailable, StoreRefused."""
    flashed = list(campaign.machines.filter(state=MachineStep.FLASHED).exclude(back_at=None).order_by("-pk"))
    flashed = flashed[:MACHINES_MAX]
    rest = campaign.machines.filter(state=MachineStep.WAITING).order_by("pk")
    control = list(rest.values_list("machine_id", flat=True)[:MACHINES_MAX])
    hard = _hard(campaign, criteria, now)
    if not flashed:
        return judge(criteria, (), (), hard)
    begun = min(each.begun_at.timestamp() for each in flashed if each.begun_at)
    whole = Span(begun - criteria.baseline_s, now.timestamp())
    found = blocks(store, [each.machine_id for each in flashed] + control, whole, criteria.block_s)

    def track(machine_id: int, begun_s: float, back_s: float) -> Track:
        series = found.get(machine_id, [])
        before = side(series, criteria.block_s, Span(whole.since_s, begun_s))
        after = side(series, criteria.block_s, Span(back_s + criteria.warm_s, whole.until_s))
        return Track(machine_id, before, after)

    times = [
        (each.begun_at.timestamp(), each.back_at.timestamp()) for each in flashed if each.begun_at and each.back_at
    ]
    tracks = [track(each.machine_id, *time) for each, time in zip(flashed, times, strict=True)]
    last = max(back for _, back in times)
    return judge(criteria, tracks, [track(machine_id, begun, last) for machine_id in control], hard)


def _note(campaign: Campaign, verdict: Verdict) -> None:
    findings = msgspec.to_builtins(verdict.findings)
    CampaignVerdict.objects.create(
        campaign=campaign, stage=campaign.stage, at=utc_now(), outcome=verdict.outcome, findings=findings
    )
    row = locked(campaign.operation_id)
    after = {"stage": campaign.stage, "outcome": verdict.outcome, "findings": findings}
    record(row, PROCESS, "gate", row.reason, after=after)


def _regress(campaign: Campaign, verdict: Verdict) -> None:
    """The first regression: no machine more is begun, and what was flashed is taken back if the plan says so."""
    campaign.verdict = msgspec.to_builtins(verdict)
    _note(campaign, verdict)
    failed = [finding.mark for finding in verdict.findings if finding.outcome is Outcome.FAIL]
    message = f"stage {campaign.stage + 1}: the gate found a regression: {', '.join(failed)}"
    stop(campaign, message, takes_back=plan_of(campaign).auto_roll_back)


def _halt(campaign: Campaign, message: str, phase: Phase) -> None:
    campaign.message = message
    enter(campaign, phase)
    halt(locked(campaign.operation_id), message)


# The way back.


def _stop(campaign: Campaign) -> None:
    if _sync(campaign):
        return
    if (campaign.verdict or {}).get("takes_back"):
        _take_back(campaign)
    else:
        _halt(campaign, campaign.message, Phase.STOPPED)


def _take_back(campaign: Campaign) -> None:
    """Plan the operation that flashes what each machine ran before; say of the others why they stay."""
    tried = list(campaign.machines.filter(state__in=_TRIED).select_related("machine"))
    kept, steps = images(), []
    criteria = plan_of(campaign).criteria
    for each in tried:
        before = image_before(kept, each.machine, each.previous_version)
        if each.machine.retired_at is not None:
            each.state, each.reason = MachineStep.STUCK, "gone"
        elif before is None:
            each.state, each.reason = (
                MachineStep.STUCK,
                f"{each.previous_version}: not in the store; {each.reason}"[:500],
            )
        else:
            each.state = MachineStep.RETURNING
            steps.append(_step(each.machine, before, criteria))
    CampaignMachine.objects.bulk_update(tried, ["state", "reason"])
    row = locked(campaign.operation_id)
    if not steps:
        message = f"{campaign.message}; {len(tried)} machines cannot be rolled back: what they ran is not in the store"
        _halt(campaign, message[:500], Phase.STOPPED)
        return
    limits = msgspec.structs.replace(msgspec.convert(row.limits, Limits), failures_max=len(steps) + 1)
    # The way back is not lost with the rights of whoever planned the way there.
    user = row.author
    if row.approver is not None and not user.may(Permission.OPERATION_RUN):
        user = row.approver
    back = plan_operation(
        user,
        Plan(
            kind=OperationKind.CAMPAIGN,
            steps=steps,
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


@transaction.atomic
def _returning(operation_id: int) -> None:
    """Follow the operation that takes a campaign back; with its last step the campaign is over."""
    found = Campaign.objects.filter(roll_back=operation_id).values_list("operation_id", flat=True).first()
    if found is None:
        return
    campaign, _state = _locked(found)
    if campaign.phase != Phase.ROLLING_BACK:
        return
    steps = list(Action.objects.filter(operation=operation_id).order_by("pk"))
    by_machine = {step.machine_id: step for step in steps if step.status not in _OPEN}
    rows = list(campaign.machines.filter(state=MachineStep.RETURNING, machine__in=by_machine))
    for each in rows:
        step = by_machine[each.machine_id]
        is_back = step.status == ActionStatus.DONE
        each.state, each.reason = MachineStep.RETURNED if is_back else MachineStep.STUCK, step.message
    CampaignMachine.objects.bulk_update(rows, ["state", "reason"])
    if any(step.status in _OPEN for step in steps):
        return
    # Fed until here, so that it cannot end between its last step and this look, which would never come then.
    close_steps(operation_id)
    count = dict(campaign.machines.values_list("state").annotate(count=Count("pk")).order_by())
    message = (
        f"{campaign.message}; rolled back: {count.get(MachineStep.RETURNED, 0)} machines,"
        f" not: {count.get(MachineStep.STUCK, 0)}"
    )
    enter(campaign, Phase.ROLLED_BACK)
    finish_operation(campaign.operation_id, OperationState.ROLLED_BACK, message)
