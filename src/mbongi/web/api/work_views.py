"""What the routes of work orders and spare parts answer."""

from typing import Any

from mbongi.fleet import stock, work_order_rows, work_orders
from mbongi.fleet.rules import repair
from mbongi.fleet.work_order_rows import OrderRow, PartRow
from mbongi.web import filters
from mbongi.web.api import work_structs as structs
from mbongi.web.api.views import Call
from mbongi.web.pages.work import order_filter
from mbongi.web.sight import machine_name


def work_order_list(call: Call) -> structs.WorkOrderList:
    """Work orders by filter, newest first."""
    part = filters.part_query(call.request.GET)
    page = work_order_rows.orders(order_filter(call.request), limit=part.limit, offset=part.offset)
    items = [structs.WorkOrder(**_order(row)) for row in page.rows]
    return structs.WorkOrderList(items=items, total=page.total, offset=part.offset, limit=part.limit)


def work_order(call: Call) -> structs.WorkOrderFull:
    """One work order with its entries."""
    entries = [
        structs.WorkEntry(
            key=row.key,
            kind=row.kind,
            author=row.author,
            at=row.at,
            received_at=row.received_at,
            text=row.text,
            facts=dict(row.facts),
            outcome=row.outcome,
            clash=row.clash,
            settled_by=row.settled_by,
        )
        for row in work_order_rows.entries(call.number)
    ]
    return structs.WorkOrderFull(**_order(work_order_rows.order(call.number)), entries=entries)


def _order(row: OrderRow) -> dict[str, Any]:
    names = (
        *("id", "machine_id", "model", "serial", "fault", "note", "state", "reporter", "technician", "reported_at"),
        *("taken_at", "fixed_at", "verified_at", "cancelled_at", "conflicts"),
    )
    name = machine_name(row.rack_label, row.slot, row.address, row.machine_id)
    return {"machine": name} | {each: getattr(row, each) for each in names}


def enter_work(call: Call) -> structs.WorkReceipts:
    """Take entries in."""
    user: Any = call.request.user
    return structs.WorkReceipts(items=work_orders.enter(user, call.body.entries, sent_at=call.body.sent_at))


def parts(_call: Call) -> structs.PartList:
    """Every spare part."""
    return structs.PartList(items=[structs.Part(**_part(row)) for row in work_order_rows.parts()])


def part(call: Call) -> structs.PartFull:
    """One spare part with its newest moves."""
    names = ("id", "at", "kind", "pieces", "order", "reason", "author")
    row = work_order_rows.part(call.number)
    moves = work_order_rows.moves(call.number, filters.limit(call.request.GET))
    return structs.PartFull(
        **_part(row), moves=[structs.PartMove(**{name: getattr(each, name) for name in names}) for each in moves]
    )


def _part(row: PartRow) -> dict[str, Any]:
    names = ("id", "number", "name", "fits", "reorder_point", "stock")
    return {name: getattr(row, name) for name in names} | {"low": row.is_low, "used_90_days": row.used}


def add_part(call: Call) -> structs.Part:
    """Add a spare part."""
    user: Any = call.request.user
    body: structs.PartRequest = call.body
    number = stock.write_part(
        user, number=body.number, name=body.name, fits=body.fits, reorder_point=body.reorder_point
    )
    return structs.Part(**_part(work_order_rows.part(number)))


def move_part(call: Call) -> structs.Part:
    """Receive, scrap or count pieces."""
    user: Any = call.request.user
    body: structs.MoveRequest = call.body
    stock.move(user, call.number, body.kind, body.pieces, key=body.key, reason=body.reason)
    return structs.Part(**_part(work_order_rows.part(call.number)))


def repair_statistics(call: Call) -> structs.RepairStatistics:
    """Repair statistics by model."""
    found = work_order_rows.repairs(filters.whole(call.request.GET, "days", 90, 1, 3660) or 90)
    return structs.RepairStatistics(
        since=found.since,
        until=found.until,
        confidence=found.confidence,
        models=[
            structs.ModelRepairs(
                model=each.model,
                machines=each.machines,
                observed_h=each.observed_h,
                mtbf=_mean(each.mtbf),
                mttr=_mean(each.repair),
                hands_on=_mean(each.hands_on),
            )
            for each in found.models
        ],
        faults={fault.value: count for fault, count in found.faults},
    )


def _mean(mean: repair.Mean) -> structs.Mean:
    return structs.Mean(value_h=mean.value_h, low_h=mean.low_h, high_h=mean.high_h, count=mean.seen)
