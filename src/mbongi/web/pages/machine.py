"""One machine: what it does, what it is, what happened to it, and what was done to it."""

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import drift_rows, group_rows, operation_rows, reconcile, selectors, wording, work_order_rows
from mbongi.fleet.errors import OperationRefusedError, UnknownMachineError
from mbongi.fleet.rules.work_orders import WorkState
from mbongi.fleet.selectors import EventFilter
from mbongi.fleet.values import HAND_KINDS, ActionKind
from mbongi.fleet.work_order_rows import OrderFilter
from mbongi.twin.scale import site_scale, twin_mines
from mbongi.web import sight
from mbongi.web.guard import needs
from mbongi.web.live.board import FIGURES
from mbongi.web.pages.events import name, title
from mbongi.web.pages.fleet_drift import bar, comparison
from mbongi.web.pages.ledger import sentence

LIVE = (
    *("hashrate_ths", "hashrate_pct", "power_w", "efficiency_jth", "chip_temp_max_c", "board_temp_max_c"),
    *("inlet_temp_c", "fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm", "fan_duty_pct", "fan_rpm", "reject_pct"),
    *("accepted", "rejected", "uptime_s", "board1_ths", "board2_ths", "board3_ths", "board1_temp_c"),
    *("board2_temp_c", "board3_temp_c", "poll_ms", "psu_temp_c", "frequency_mhz", "voltage_v"),
    *("pool_side_ths", "pool_side_low_ths", "pool_side_high_ths"),
)
UNFIXED = tuple(state for state in WorkState if state.is_unfixed)
assert set(LIVE) - {"hashrate_pct", "fan_rpm", "reject_pct"} <= set(FIGURES)


def machine_or_404(machine_id: int) -> sight.MachineSight:
    """The machine, or a page that says there is none: another tenant's looks the same as none at all."""
    try:
        return sight.machine(machine_id)
    except UnknownMachineError as error:
        raise Http404 from error


@require_safe
@needs(Permission.MACHINE_VIEW)
def machine(request: HttpRequest, machine_id: int) -> HttpResponse:
    """The page of one machine."""
    one = machine_or_404(machine_id)
    may_work = request.user.may(Permission.WORK_VIEW)  # type: ignore[union-attr]
    content = {
        "here": "machines",
        "machine": one,
        "boards": boards(one),
        "fans": fans(one),
        "detail": one.row.detail,
        "live": f"ids={machine_id}&figures={','.join(LIVE)}",
        "action_kinds": action_kinds(request.user),
        "may_report": request.user.may(Permission.WORK_DO),  # type: ignore[union-attr]
        "may_work": may_work,
        "unfixed_orders": work_order_rows.orders(OrderFilter(machine_id=machine_id, states=UNFIXED), limit=1).total,
        "orders": work_order_rows.orders(OrderFilter(machine_id=machine_id), limit=4).rows if may_work else [],
        "operations": operation_rows.operations_of_machine(machine_id),
        **_profile_state(one),
        "pool_test": comparison(one),
        "pool_bar": bar(comparison(one)),
        "drift": drift_rows.of_machine(machine_id),
        "diverted": drift_rows.diversions(machine_id=machine_id, limit=5),
        "practice_scale": site_scale(settings.CONFIG.twin) if twin_mines(settings.CONFIG) else None,
    }
    return render(request, "pages/machine.html", content | record(machine_id, request.user))


def _profile_state(one: sight.MachineSight) -> dict[str, Any]:
    """The machine's group, and how what it states compares with its profile, where it has one."""
    if one.row.group_id is None or one.row.retired_at is not None:
        return {"group": None}
    group = group_rows.group(one.row.group_id)
    if group.active is None:
        return {"group": group}
    try:
        found = reconcile.preview(group.id, machine_ids=[one.id])
    except OperationRefusedError:  # its version was withdrawn at this moment
        return {"group": group}
    plan = found.machines[0] if found.machines else None
    return {"group": group, "compared": found, "plan": plan}


@require_safe
@needs(Permission.MACHINE_VIEW)
def machine_record(request: HttpRequest, machine_id: int) -> HttpResponse:
    """The changing part of the page: alarms, events, actions and ledger entries."""
    one = machine_or_404(machine_id)
    return render(request, "parts/machine_record.html", {"machine": one} | record(machine_id, request.user))


def record(machine_id: int, user: Any) -> dict[str, Any]:
    """What happened to a machine and what was done to it, as far as the reader may see."""
    events = selectors.events(EventFilter(machine_id=machine_id), limit=12).rows
    entries = ledger.entries(f"machine:{machine_id}", limit=12) if user.may(Permission.LEDGER_VIEW) else None
    return {
        "events": [(row, title(row), name(row)) for row in events],
        "actions": [
            (row, wording.ACTIONS[row.kind], wording.STATUSES[row.status]) for row in selectors.actions(machine_id, 8)
        ],
        "entries": None if entries is None else [(entry, sentence(entry.action)) for entry in entries],
    }


def action_kinds(user: Any) -> list[tuple[ActionKind, Any]]:
    """What the reader may ask of a machine."""
    permissions = {ActionKind.SET_POOLS: Permission.MACHINE_MANAGE}
    kinds = [kind for kind in HAND_KINDS if user.may(permissions.get(kind, Permission.MACHINE_CONTROL))]
    return [(kind, wording.ACTIONS[kind]) for kind in kinds]


def boards(one: sight.MachineSight) -> list[dict[str, Any]]:
    """Its boards: the newest figures over the slower facts."""
    known = {board.get("index"): board for board in one.row.detail.get("boards", ())}
    expected = int(one.figure("board_expected") or 0)
    rows = []
    for index in sorted({*known, *range(1, expected + 1)}):
        facts = known.get(index, {})
        live = index <= 3 and not one.is_stale
        rows.append({
            "index": index,
            "serial": facts.get("serial", ""),
            "hashrate_ths": one.figure(f"board{index}_ths") if live else facts.get("hashrate_ths"),
            "nominal_ths": facts.get("nominal_ths"),
            "temp_c": one.figure(f"board{index}_temp_c") if live else facts.get("chip_temp_max_c"),
            "chips": facts.get("chips"),
            "chips_expected": facts.get("chips_expected"),
            "hw_errors": facts.get("hw_errors"),
            "is_missing": index not in known,
        })  # fmt: skip
    return rows


def fans(one: sight.MachineSight) -> list[tuple[str, float]]:
    """Its fans by column, those that it has."""
    found = ((f"fan{index}_rpm", one.figure(f"fan{index}_rpm")) for index in range(1, 5))
    return [(column, rpm) for column, rpm in found if rpm is not None]
