"""Firmware campaigns: the list, the dry run of a new one, one with its stages, gate, figures and buttons."""

import math
from functools import cache
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.fleet import campaign_rows, campaigns, group_rows, image_rows, operations, selectors
from mbongi.fleet.errors import ActionRefusedError, OperationRefusedError, UnknownImageError, UnknownOperationError
from mbongi.fleet.firmware_wording import LEFT, MARKS, OUTCOMES, PHASES, STEPS
from mbongi.fleet.rules.gate import Criteria
from mbongi.fleet.rules.stages import CampaignPlan, Phase, Stage
from mbongi.fleet.selectors import MachineFilter
from mbongi.fleet.values import Limits, OperationState
from mbongi.web.guard import needs
from mbongi.web.pages.attempts import attempt
from mbongi.web.problems import json_answer, problem, title_of

STAGE_FIELDS = 4
PAGE = 1000
_GIVEN = {
    "kind_0": "machines",
    "size_0": "3",
    "soak_0": "2",
    "kind_1": "percent",
    "size_1": "5",
    "soak_1": "1",
    "kind_2": "percent",
    "size_2": "25",
    "soak_2": "1",
    "kind_3": "percent",
    "size_3": "100",
    "soak_3": "1",
    "hashrate": "3",
    "efficiency": "3",
    "rejects": "0.5",
    "reboots": "1",
    "back": "10",
    "batch": "20",
    "roll_back": "on",
}


@require_safe
@needs(Permission.FIRMWARE_VIEW)
def campaign_list(request: HttpRequest) -> HttpResponse:
    """All campaigns, newest first."""
    user: Any = request.user
    content = {
        "campaigns": [(row, PHASES[row.phase]) for row in campaign_rows.campaigns()],
        "may_run": user.may(Permission.FIRMWARE_MANAGE) and user.may(Permission.OPERATION_RUN),
    }
    return render(request, "pages/campaigns.html", content)


@require_http_methods(["GET", "POST"])
@needs(Permission.FIRMWARE_MANAGE)
def new(request: HttpRequest) -> HttpResponse:
    """Choose image, machines, stages and gate. ``step=dry`` shows what would be done, ``step=plan`` writes it down."""
    given = request.POST or {**_GIVEN, "image": request.GET.get("image", "")}
    content: dict[str, Any] = {
        "images": image_rows.images(),
        "groups": group_rows.groups(),
        "given": given,
        "stages": [_field(given, number) for number in range(STAGE_FIELDS)],
    }
    if request.method != "POST":
        return render(request, "pages/campaign_new.html", content)
    user: Any = request.user
    try:
        image_id, plan, ids = _asked(given)
        if given.get("step") == "plan":
            limits = Limits(batch=int(_number(given, "batch")), failures_max=5)
            place = campaigns.plan_campaign(user, image_id, ids, plan, reason=given.get("reason", ""), limits=limits)
            return attempt(request, lambda: f"/fleet/campaigns/{place.id}/", otherwise="/fleet/campaigns/")
        content["dry"] = _dry(campaigns.preview(image_id, ids, plan))
    except ActionRefusedError as error:
        return render(request, "pages/campaign_new.html", content | {"refusal": error.text}, status=400)
    except UnknownImageError:
        text = _("Choose an image.")
        return render(request, "pages/campaign_new.html", content | {"refusal": text}, status=400)
    return render(request, "pages/campaign_new.html", content)


def _field(given: Any, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "shown": number + 1,
        **{name: given.get(f"{name}_{number}", "") for name in ("kind", "size", "soak")},
    }


def _dry(found: campaigns.Preview) -> dict[str, Any]:
    reasons: dict[str, int] = {}
    for why in found.left.values():
        reasons[why] = reasons.get(why, 0) + 1
    return {
        "stages": [len(stage) for stage in found.stages],
        "total": sum(map(len, found.stages)),
        "left": [(LEFT[why], count) for why, count in sorted(reasons.items())],
        "without_image": found.without_image,
    }


def _asked(given: Any) -> tuple[int, CampaignPlan, list[int]]:
    stages = []
    for number in range(STAGE_FIELDS):
        if not given.get(f"size_{number}", "").strip():
            continue
        size, soak_s = _number(given, f"size_{number}"), _number(given, f"soak_{number}") * 3600
        is_count = given.get(f"kind_{number}") == "machines"
        stages.append(
            Stage(
                machines=int(size) if is_count else None,
                percent=None if is_count else size,
                soak_s=soak_s,
                soak_max_s=max(6 * soak_s, 6 * 3600.0),
            )
        )
    criteria = Criteria(
        hashrate_drop_pct=_number(given, "hashrate"),
        efficiency_rise_pct=_number(given, "efficiency"),
        reject_rise_points=_number(given, "rejects"),
        reboots_max=int(_number(given, "reboots")),
        back_s=_number(given, "back") * 60,
    )
    image_id = int(given.get("image", "")) if given.get("image", "").isdigit() else 0
    plan = CampaignPlan(stages=tuple(stages), criteria=criteria, auto_roll_back=bool(given.get("roll_back")))
    return image_id, plan, _machines(given, image_id)


def _machines(given: Any, image_id: int) -> list[int]:
    """All that fit the image, or those of one group."""
    row = image_rows.image(image_id)
    group = given.get("group", "")
    wanted = MachineFilter(group_id=int(group)) if group.isdigit() else MachineFilter()
    ids: list[int] = []
    offset, total = 0, 1
    while offset < total:
        page = selectors.machines(wanted, limit=PAGE, offset=offset)
        ids += [each.id for each in page.rows if row.fits(each.family, each.model)]
        total, offset = page.total, offset + PAGE
    return ids


def _number(given: Any, name: str) -> float:
    text = given.get(name, "").strip().replace(",", ".")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise OperationRefusedError(
            f"new campaign: {name} {text[:20]!r}: no number", _("One of the numbers cannot be read.")
        )
    return number


@require_safe
@needs(Permission.FIRMWARE_VIEW)
def campaign(request: HttpRequest, operation_id: int) -> HttpResponse:
    """One campaign; htmx asks for the part that changes alone."""
    try:
        row = campaign_rows.campaign(operation_id)
    except UnknownOperationError as error:
        raise Http404 from error
    content = _content(row, request.user)
    is_part = request.headers.get("HX-Request")
    return render(request, "parts/campaign.html" if is_part else "pages/campaign.html", content)


def _content(row: campaign_rows.CampaignRow, user: Any) -> dict[str, Any]:
    state = row.operation.state
    is_stoppable = state in {OperationState.RUNNING, OperationState.PAUSED, OperationState.HALTED}
    may_run = user.may(Permission.FIRMWARE_MANAGE) and user.may(Permission.OPERATION_RUN)
    findings = [] if row.verdict is None else row.verdict.findings
    return {
        "campaign": row,
        "operation": row.operation,
        "phase": PHASES[row.phase],
        "findings": [(each, MARKS[each.mark], OUTCOMES[each.outcome]) for each in findings],
        "verdict_word": "" if row.verdict is None else OUTCOMES[row.verdict.outcome],
        "decisions": [(each, OUTCOMES[each.outcome]) for each in campaign_rows.decisions(row.operation.id)],
        "machines": [(each, STEPS[each.state], LEFT.get(each.reason, each.reason)) for each in _listed(row)],
        "may_approve": row.operation.needs_second
        and user.may(Permission.PROFILE_APPROVE)
        and user.pk != row.operation.author_id,
        "is_own": row.operation.needs_second and user.pk == row.operation.author_id,
        "may_pause": state is OperationState.RUNNING and user.may(Permission.MACHINE_CONTROL),
        "may_go_on": may_run and state in {OperationState.PAUSED, OperationState.HALTED} and row.roll_back_id is None,
        "may_roll_back": may_run and is_stoppable and row.roll_back_id is None and row.phase is not Phase.STOPPING,
        "may_end": may_run and not state.is_over and row.roll_back_id is None,
        "every": "3s" if state is OperationState.RUNNING or row.phase is Phase.ROLLING_BACK else "15s",
    }


def _listed(row: campaign_rows.CampaignRow) -> list[Any]:
    return campaign_rows.machines(row.operation.id)


@require_POST
@needs(Permission.FIRMWARE_VIEW)
def act(request: HttpRequest, operation_id: int, verb: str) -> HttpResponse:
    """What people do to a campaign; each with its reason."""
    user: Any = request.user
    place, reason = f"/fleet/campaigns/{operation_id}/", request.POST.get("reason", "")

    def do() -> str:
        match verb:
            case "approve":
                operations.approve_operation(user, operation_id, reason=reason, start=True)
            case "halt":
                operations.pause_operation(user, operation_id, reason=reason)
            case "continue":
                campaigns.go_on(user, operation_id, reason=reason)
            case "roll-back":
                campaigns.roll_back(user, operation_id, reason=reason)
            case "end":
                campaigns.cancel(user, operation_id, reason=reason)
            case _:
                raise Http404
        return place

    return attempt(request, do, otherwise=place, told=_("Done."))


@require_safe
@needs(Permission.FIRMWARE_VIEW)
def figures(_request: HttpRequest, operation_id: int) -> HttpResponse:
    """Flashed machines beside those that wait, for the charts."""
    try:
        return json_answer(campaign_rows.figures(_store(), operation_id))
    except UnknownOperationError as error:
        raise Http404 from error
    except (StoreUnavailable, StoreRefused):
        return problem(503, title_of(503))


@cache
def _store() -> Store:
    return Store.open(settings.CONFIG)
