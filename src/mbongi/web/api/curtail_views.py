"""What the routes of curtailment answer."""

from typing import Any

from mbongi.fleet import curtail_rows, curtail_triggers, curtailing
from mbongi.fleet.curtail_rows import CurtailRow
from mbongi.fleet.curtail_triggers import SignalRow, TriggerRow
from mbongi.fleet.rules.metering import MeterTrouble
from mbongi.web import curtail_sight, filters
from mbongi.web.api import curtail_structs as structs
from mbongi.web.api.views import Call


def site_power(_call: Call) -> structs.SitePower:
    """The site's power."""
    power = curtail_rows.power_now()
    if power is None:
        silent = MeterTrouble.SILENT
        return structs.SitePower(
            at=None, power_w=None, machines_w=None, frequency_hz=None, source="meter", trouble=silent, is_stale=True
        )
    return structs.SitePower(
        at=power.at,
        power_w=power.power_w,
        machines_w=power.machines_w,
        frequency_hz=power.frequency_hz,
        source=power.source,
        trouble=power.trouble,
        is_stale=power.is_stale,
    )


def rehearse(call: Call) -> structs.Rehearsal:
    """What a curtailment would do now."""
    found = curtail_sight.rehearse(call.body)
    return structs.Rehearsal(
        baseline_w=found.baseline_w,
        target_w=found.target_w,
        need_w=found.need_w,
        saves_w=found.saves_w,
        source=found.source,
        ramp_kw_s=_kilo(found.ramp_w_s),
        soonest_s=found.soonest_s,
        is_late=found.is_late,
        problem=found.problem,
        machine_ids=[one.machine_id for one in found.chosen],
        able=len(found.ranking),
        left=dict(found.left),
    )


def begin(call: Call) -> structs.Curtailment:
    """Begin one."""
    row = curtailing.begin(
        _user(call),
        call.body.wish,
        curtail_sight.figures(),
        reason=call.body.reason,
        ramp_kw_s_max=curtail_sight.ramp_kw_s_max(),
    )
    return _curtailment(row)


def retarget(call: Call) -> structs.Curtailment:
    """Give it another target."""
    limit = curtail_sight.ramp_kw_s_max()
    row = curtailing.retarget(_user(call), call.number, call.body.wish, reason=call.body.reason, ramp_kw_s_max=limit)
    return _curtailment(row)


def end(call: Call) -> structs.Curtailment:
    """Wake its machines."""
    return _curtailment(curtailing.end(_user(call), call.number, reason=call.body.reason, abort=call.body.abort))


def wake_left(call: Call) -> structs.Started:
    """Wake what curtailments that are over have left asleep."""
    limit = curtail_sight.ramp_kw_s_max()
    return structs.Started(operation_id=curtailing.wake_left(_user(call), reason=call.body.reason, ramp_kw_s_max=limit))


def curtailment_list(call: Call) -> structs.CurtailmentList:
    """Curtailments, newest first."""
    part = filters.part_query(call.request.GET)
    rows = curtail_rows.history(limit=part.limit, offset=part.offset)
    return structs.CurtailmentList(items=[_curtailment(row) for row in rows])


def one_curtailment(call: Call) -> structs.Curtailment:
    """One of them."""
    return _curtailment(curtail_rows.curtailment(call.number))


def trigger_list(_call: Call) -> structs.TriggerList:
    """All triggers."""
    return structs.TriggerList(items=[_trigger(row) for row in curtail_triggers.triggers()])


def add_trigger(call: Call) -> structs.Trigger:
    """Add one."""
    return _write_trigger(call, None)


def write_trigger(call: Call) -> structs.Trigger:
    """Write one anew."""
    return _write_trigger(call, call.number)


def _write_trigger(call: Call, trigger_id: int | None) -> structs.Trigger:
    wish: structs.TriggerRequest = call.body
    row = curtail_triggers.write_trigger(
        _user(call), wish.name, wish.kind, wish.condition, wish.wish, reason=wish.reason, trigger_id=trigger_id
    )
    return _trigger(row)


def approve_trigger(call: Call) -> structs.Trigger:
    """Agree to one."""
    return _trigger(curtail_triggers.approve_trigger(_user(call), call.number, reason=call.body.reason))


def switch_trigger(call: Call) -> structs.Trigger:
    """Look at it, or do not."""
    found = curtail_triggers.switch_trigger(_user(call), call.number, on=call.body.on, reason=call.body.reason)
    return _trigger(found)


def retire_trigger(call: Call) -> structs.Nothing:
    """Take it away."""
    curtail_triggers.retire_trigger(_user(call), call.number, reason=call.body.reason)
    return structs.Nothing()


def signal_list(_call: Call) -> structs.SignalList:
    """What was last told."""
    return structs.SignalList(items=[_signal(row) for row in curtail_triggers.signals()])


def tell_signal(call: Call) -> structs.Signal:
    """Tell it."""
    wish: structs.SignalRequest = call.body
    return _signal(curtail_triggers.tell_signal(_user(call), wish.kind, wish.value, source=wish.source))


def _curtailment(row: CurtailRow) -> structs.Curtailment:
    names = (
        *("id", "state", "phase", "abort", "wish", "reason", "author", "actor", "trigger_id", "began_at"),
        *("deadline_at", "ends_at", "reached_at", "wake_at", "finished_at", "message", "baseline_w", "target_w"),
        *("power_w", "added"),
    )
    return structs.Curtailment(
        **{name: getattr(row, name) for name in names},
        ramp_kw_s=_kilo(row.ramp_w_s),
        energy_not_used_kwh=row.saved_wh / 1000.0,
        asleep=0 if row.is_over else len(curtail_rows.asleep_by(row.id)),
        progress=curtail_sight.progress(row).share,
    )


def _trigger(row: TriggerRow) -> structs.Trigger:
    names = (
        *("id", "name", "kind", "condition", "wish", "reason", "author", "approver", "approved_at", "is_on"),
        *("is_active", "began_at", "ended_at", "message", "needs_second"),
    )
    return structs.Trigger(**{name: getattr(row, name) for name in names})


def _signal(row: SignalRow) -> structs.Signal:
    return structs.Signal(kind=row.kind, value=row.value, at=row.at, source=row.source, until=row.until)


def _kilo(watts: float | None) -> float | None:
    return None if watts is None else watts / 1000.0


def _user(call: Call) -> Any:
    return call.request.user
