"""Carrying a campaign on: a stage's steps, the gate after it, the stop, the way back. A driver of the fleet process.

Everything is in the database, so that a process that was killed, in the middle of a flash too, leaves nothing that the
next one lacks: what was being flashed is looked into by its version, and is never sent a second time.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from django.db import transaction

from mbongi.base.clock import utc_now
from mbongi.fleet.action_work import PROCESS
from mbongi.fleet.campaign_gate import TRIED, Measured, Question, hard, pairs, question
from mbongi.fleet.campaign_return import follow, take_back
from mbongi.fleet.campaign_steps import OPEN, flash, halt_campaign, locked_campaign, note_flashed, plan_of
from mbongi.fleet.campaigns import enter, step_on, stop, unfit
from mbongi.fleet.image_rows import images
from mbongi.fleet.models import Action, Campaign, CampaignMachine, CampaignVerdict
from mbongi.fleet.operations import add_steps, close_steps, locked, record
from mbongi.fleet.reading import MachineDetail
from mbongi.fleet.rules.gate import Criteria, Outcome, Verdict, judge, soak_s_min
from mbongi.fleet.rules.stages import CampaignPlan, MachineStep, Phase
from mbongi.fleet.rules.stated import stated_of, stated_words
from mbongi.fleet.values import ActionStatus, OperationState

LOOK = timedelta(seconds=30)
"""Between two looks of the gate, at most: its figures are of minutes."""
_PREPARED = ("state", "reason", "previous_version", "pools", "settings", "begun_at")
CHUNK = 200
"""Machines that one look begins, or whose ends it takes over, at most: all else of the database waits meanwhile."""
Ask = Callable[[Question], Measured | None]
"""Asks the telemetry; None: the answer is not there yet, and the next look asks again."""


def drive(operation_id: int, ask: Ask) -> None:
    """One look at a campaign, or at the operation that takes one back. May be repeated."""
    campaign = Campaign.objects.filter(operation=operation_id).select_related("operation").first()
    if campaign is None:
        follow(operation_id)
        return
    if campaign.operation.state != OperationState.RUNNING:
        return
    if campaign.phase == Phase.SOAKING:
        _soak(campaign, ask)
        return
    with transaction.atomic():
        campaign, state = locked_campaign(operation_id)
        if state is not OperationState.RUNNING:
            return
        if campaign.phase == Phase.WAITING:
            _begin_stage(campaign)
        elif campaign.phase == Phase.FLASHING:
            _flash(campaign)
        elif campaign.phase == Phase.STOPPING:
            _stop(campaign)
        elif campaign.phase == Phase.STOPPED:
            halt_campaign(campaign, campaign.message, Phase.STOPPED)


# A stage begins.


def _begin_stage(campaign: Campaign) -> None:
    if campaign.stage >= len(plan_of(campaign).stages):
        enter(campaign, Phase.OVER)
        close_steps(campaign.operation_id)
        return
    enter(campaign, Phase.FLASHING)
    _flash(campaign)


def _feed(campaign: Campaign) -> int:
    """Begin the next machines of the stage; returns how many wait. Halts it without the image."""
    waiting = campaign.machines.filter(stage=campaign.stage, state=MachineStep.WAITING)
    planned = Action.objects.filter(operation=campaign.operation_id, status=ActionStatus.PLANNED)
    rows = [] if planned.count() >= CHUNK else list(waiting.select_related("machine").order_by("pk")[:CHUNK])
    if not rows:
        return waiting.count()
    row = next((each for each in images() if each.id == campaign.image_id), None)
    if row is None or not row.trusted:
        halt_campaign(campaign, "the image is not in the store, or its key is trusted no more", Phase.FLASHING)
        return waiting.count()
    why = unfit([each.machine for each in rows], row.version)
    for each in rows:
        _prepare(each, why.get(each.machine_id, ""))
    CampaignMachine.objects.bulk_update(rows, ["state", "reason", "previous_version", "pools", "settings", "begun_at"])
    criteria = plan_of(campaign).criteria
    ready = [each.machine for each in rows if each.state == MachineStep.FLASHING]
    if ready:
        add_steps(campaign.operation_id, [flash(machine, row, criteria) for machine in ready])
    return waiting.count()


def _prepare(each: CampaignMachine, why: str) -> None:
    """What the machine runs and how it is set is noted at the last moment: its flash is compared with that."""
    if why:
        each.state, each.reason = MachineStep.LEFT, why
        return
    each.state, each.begun_at = MachineStep.FLASHING, utc_now()
    each.previous_version = each.machine.firmware
    each.pools = pairs(each.machine.detail.get("pools", []))
    each.settings = stated_words(stated_of(msgspec.convert(each.machine.detail, MachineDetail)))


# Machines come back.


def _flash(campaign: Campaign) -> None:
    left, now = _feed(campaign) + _sync(campaign), utc_now()
    if left and campaign.looked_at is not None and now - campaign.looked_at < LOOK / 6:
        return
    campaign.looked_at = now
    campaign.save(update_fields=["looked_at"])
    found = hard(campaign, plan_of(campaign).criteria, now)
    if found.lost or found.robbed:
        _regress(campaign, judge(plan_of(campaign).criteria, (), (), found))
    elif not left and campaign.machines.filter(stage=campaign.stage, state__in=TRIED).exists():
        enter(campaign, Phase.SOAKING)
    elif not left:
        step_on(campaign)


def _sync(campaign: Campaign) -> int:
    """Take over how steps ended since the last look; returns how many machines are still under way."""
    flashing = campaign.machines.filter(state=MachineStep.FLASHING)
    theirs = Action.objects.filter(operation=campaign.operation_id)
    over = theirs.exclude(status__in=OPEN).order_by("pk").values_list("machine_id", flat=True)
    still = set(flashing.values_list("machine_id", flat=True))
    ids = [machine_id for machine_id in over if machine_id in still][:CHUNK]
    ended = {step.machine_id: step for step in theirs.filter(machine__in=ids)}
    rows = list(flashing.filter(machine__in=ids))
    for each in rows:
        step = ended[each.machine_id]
        each.back_at, each.reason = step.finished_at, step.message
        if step.status == ActionStatus.CANCELLED:
            each.state = MachineStep.LEFT
        else:
            each.state = MachineStep.FLASHED if step.status == ActionStatus.DONE else MachineStep.FAILED
    CampaignMachine.objects.bulk_update(rows, ["state", "reason", "back_at"])
    note_flashed(ended.values())
    return len(still) - len(rows)


# The gate.


def _soak(campaign: Campaign, ask: Ask) -> None:
    now, criteria = utc_now(), plan_of(campaign).criteria
    if campaign.looked_at is not None and now - campaign.looked_at < pause(criteria):
        return
    found = ask(question(campaign, criteria, now))
    if found is None:
        return
    # Without measurements there is no word, and at the limit a person is called; lost machines are seen as ever.
    verdict = judge(criteria, found.flashed, found.control, hard(campaign, criteria, now))
    with transaction.atomic():
        campaign, state = locked_campaign(campaign.operation_id)
        if state is OperationState.RUNNING and campaign.phase == Phase.SOAKING:
            _decide(campaign, plan_of(campaign), verdict, now)


def pause(criteria: Criteria) -> timedelta:
    """Between two looks of the gate: a tenth of a block, LOOK at most."""
    return min(LOOK, timedelta(seconds=criteria.block_s / 10))


def _decide(campaign: Campaign, plan: CampaignPlan, verdict: Verdict, now: datetime) -> None:
    stage = plan.stages[campaign.stage]
    campaign.looked_at, campaign.verdict = now, msgspec.to_builtins(verdict)
    campaign.save(update_fields=["looked_at", "verdict"])
    soaked_s = (now - campaign.phase_at).total_seconds()
    if verdict.outcome is Outcome.FAIL:
        _regress(campaign, verdict)
    elif verdict.outcome is Outcome.PASS and soaked_s >= max(stage.soak_s, soak_s_min(plan.criteria)):
        # Earlier it would rest on the machines of the stages before.
        _note(campaign, verdict)
        step_on(campaign)
    elif soaked_s >= stage.soak_max_s:
        _note(campaign, verdict)
        halt_campaign(campaign, "the gate cannot say whether the machines are well; a person must look", Phase.STOPPED)


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


# The stop.


def _stop(campaign: Campaign) -> None:
    if _sync(campaign):
        return
    if (campaign.verdict or {}).get("takes_back"):
        take_back(campaign)
    else:
        halt_campaign(campaign, campaign.message, Phase.STOPPED)
