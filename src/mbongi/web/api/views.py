"""What each route answers. Views return structs; dispatch encodes them and turns errors into problems."""

import base64
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from mbongi.base.clock import utc_now
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import actions as fleet_actions
from mbongi.fleet import selectors
from mbongi.fleet.selectors import ActionRow, EventFilter, EventRow
from mbongi.fleet.values import ActionKind
from mbongi.web import filters, series, sight
from mbongi.web.api import structs
from mbongi.web.pages.ledger import checkpoint


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked: its user may, its body fits, its path numbers are numbers."""

    request: HttpRequest
    number: int = 0
    body: Any = None


def site(_call: Call) -> structs.SiteSummary:
    """The site at a glance."""
    counts, totals = selectors.counts(), sight.totals()
    return structs.SiteSummary(
        name=settings.CONFIG.site.name,
        code=settings.CONFIG.site.code,
        at=utc_now(),
        newest_at=totals.newest_at,
        machines=counts.total,
        fresh=totals.fresh,
        states=sight.state_counts(counts.total, totals.states),
        hashrate_ths=totals.hashrate_ths,
        power_w=totals.power_w,
        power_estimated=totals.estimated,
        efficiency_jth=totals.efficiency_jth,
        alarms={severity.value: count for severity, count in selectors.open_alarm_counts().items()},
    )


def site_series(call: Call) -> structs.Series:
    """Hashrate, power and efficiency of all machines together, minute by minute."""
    return series.of_site(filters.hours(call.request.GET, limit=24 * 31))


def machines(call: Call) -> structs.MachineList:
    """Machines by filter and order."""
    part = filters.list_query(call.request.GET)
    page = sight.machines(
        filters.machine_filter(call.request.GET), sort=part.sort, limit=part.limit, offset=part.offset
    )
    items = [structs.Machine(**_machine(one)) for one in page.rows]
    return structs.MachineList(items=items, total=page.total, offset=part.offset, limit=part.limit)


def machine(call: Call) -> structs.MachineFull:
    """One machine with everything that is recorded of it."""
    one = sight.machine(call.number)
    row = one.row
    return structs.MachineFull(
        **_machine(one),
        mac=row.mac,
        serial=row.serial,
        firmware=row.firmware,
        hostname=row.hostname,
        tenant_id=row.tenant_id,
        added_at=row.added_at,
        retired_at=row.retired_at,
        detail=dict(row.detail),
        detail_at=row.detail_at,
        figures=one.columns,
    )


def _machine(one: sight.MachineSight) -> dict[str, Any]:
    row = one.row
    estimated = one.figure("power_estimated")
    return {
        "id": row.id,
        "name": one.name,
        "address": row.address,
        "family": row.family,
        "model": row.model,
        "hall": row.hall,
        "rack": row.rack,
        "slot": row.slot,
        "state": one.state.word,
        "state_since": one.state_since,
        "state_reason": row.state_reason,
        "reading_at": one.reading_at,
        "age_s": one.figure("age_s"),
        "stale": one.is_stale,
        "power_estimated": None if estimated is None else bool(estimated),
        "pool": "" if one.reading is None else one.reading.pool,
    } | {name: one.figure(name) for name in _FIGURES}


_FIGURES = (
    *("hashrate_ths", "hashrate_nominal_ths", "power_w", "efficiency_jth", "chip_temp_max_c", "board_temp_max_c"),
    *("inlet_temp_c", "fan_rpm", "reject_ratio", "uptime_s"),
)


def machine_series(call: Call) -> structs.Series:
    """One machine over time."""
    sight.machine(call.number)
    wanted = tuple(part for part in call.request.GET.get("figures", "").split(",") if part)
    return series.of_machine(call.number, filters.hours(call.request.GET), wanted)


def machine_actions(call: Call) -> structs.ActionList:
    """The newest actions on a machine."""
    sight.machine(call.number)
    rows = selectors.actions(call.number, filters.limit(call.request.GET))
    return structs.ActionList(items=[action_struct(row) for row in rows])


def request_machine_action(call: Call) -> structs.Action:
    """Ask for an action on one machine."""
    sight.machine(call.number)
    return action_struct(_request(call, [call.number])[0])


def request_actions(call: Call) -> structs.ActionList:
    """Ask for the same action on several machines."""
    return structs.ActionList(items=[action_struct(row) for row in _request(call, call.body.machine_ids)])


def _request(call: Call, machine_ids: list[int]) -> list[ActionRow]:
    wish: structs.ActionRequest = call.body
    pools = [{"url": pool.url, "user": pool.user} for pool in wish.pools]
    arguments = {"pools": pools} if pools or wish.kind is ActionKind.SET_POOLS else {}
    user: Any = call.request.user
    return fleet_actions.request_action(
        user, machine_ids, wish.kind, arguments, reason=wish.reason, dry_run=wish.dry_run
    )


def action(call: Call) -> structs.Action:
    """One action and how far it has come."""
    return action_struct(selectors.action(call.number))


def action_struct(row: ActionRow) -> structs.Action:
    """An action as the API gives it."""
    return structs.Action(
        id=row.id,
        machine_id=row.machine_id,
        kind=row.kind,
        reason=row.reason,
        author=row.author,
        dry_run=row.dry_run,
        status=row.status,
        requested_at=row.requested_at,
        finished_at=row.finished_at,
        before=None if row.before is None else dict(row.before),
        after=None if row.after is None else dict(row.after),
        verified=row.verified,
        message=row.message,
        operation_id=row.operation_id,
        awaits_second=row.awaits_second,
    )


def events(call: Call) -> structs.EventList:
    """Events by filter, newest first."""
    return _events(filters.event_filter(call.request.GET), call)


def alarms(call: Call) -> structs.EventList:
    """The conditions that last, newest first."""
    return _events(EventFilter(is_open=True), call)


def _events(wanted: EventFilter, call: Call) -> structs.EventList:
    query = call.request.GET
    page = selectors.events(wanted, limit=filters.limit(query), before=filters.before(query))
    return structs.EventList(items=[_event(row) for row in page.rows], total=page.total, next_before=page.next_before)


def _event(row: EventRow) -> structs.Event:
    return structs.Event(
        id=row.id,
        machine_id=row.machine_id,
        machine=sight.machine_name(row.rack_label, row.slot, row.address, row.machine_id),
        kind=row.kind,
        part=row.part,
        severity=row.severity,
        at=row.at,
        cleared_at=row.cleared_at,
        open=row.kind.is_condition and row.cleared_at is None,
        text=row.text,
    )


def ledger_entries(call: Call) -> structs.LedgerList:
    """Entries of the ledger, newest first."""
    query = call.request.GET
    limit = filters.limit(query)
    found = ledger.entries(query.get("subject", "")[:80] or None, filters.before(query), limit)
    items = [
        structs.LedgerEntry(
            index=entry.index,
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            subject=entry.subject,
            reason=entry.reason,
            tenant_id=entry.tenant_id,
            before=entry.before,
            after=entry.after,
        )
        for entry in found
    ]
    return structs.LedgerList(
        items=items, next_before=found[-1].index if len(found) == limit and found[-1].index else None
    )


def ledger_checkpoint(_call: Call) -> structs.LedgerState:
    """The newest signed checkpoint, held against the ledger as it is."""
    size, root = ledger.head()
    newest = checkpoint()
    return structs.LedgerState(
        size=size,
        root=base64.b64encode(root).decode(),
        holds=newest["holds"],
        checkpoint_size=newest.get("size"),
        checkpoint=newest.get("note", ""),
        verifier=newest["verifier"],
    )
