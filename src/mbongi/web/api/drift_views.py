"""What the routes of drift and diversions answer."""

from mbongi.fleet import drift_rows
from mbongi.fleet.drift_rows import MachineDrift
from mbongi.fleet.rules.drift import DRIFT_KINDS
from mbongi.fleet.values import EventKind
from mbongi.web import filters
from mbongi.web.api import drift_structs as structs
from mbongi.web.api.views import Call


def drift(call: Call) -> structs.DriftList:
    """Machines that drift."""
    query = call.request.GET
    part = filters.part_query(query)
    page = drift_rows.drifting(
        kinds=filters.choices(query, "kind", EventKind, DRIFT_KINDS),
        group_id=filters.whole(query, "group", None, 1, filters.ID_MAX),
        limit=part.limit,
        offset=part.offset,
    )
    return structs.DriftList(items=[_machine(row) for row in page.rows], total=page.total)


def _machine(row: MachineDrift) -> structs.MachineDrift:
    return structs.MachineDrift(
        machine_id=row.machine.id,
        group=row.group,
        version=row.version,
        since=row.since,
        tries=row.tries,
        then=row.then,
        due_at=row.due_at,
        drifts=[
            structs.DriftItem(
                kind=each.kind,
                severity=each.severity,
                since=each.at,
                wanted=str(each.params.get("wanted", "")),
                found=str(each.params.get("found", "")),
                text=each.text,
            )
            for each in row.drifts
        ],
    )


def diversions(call: Call) -> structs.DiversionList:
    """Diversions, newest first."""
    query = call.request.GET
    part = filters.part_query(query)
    rows = drift_rows.diversions(
        is_open={"1": True, "0": False}.get(query.get("open", "")),
        machine_id=filters.whole(query, "machine", None, 1, filters.ID_MAX),
        limit=part.limit,
        offset=part.offset,
    )
    return structs.DiversionList(
        items=[
            structs.Diversion(
                id=row.id,
                machine_id=row.machine_id,
                pool=row.url,
                worker=row.user,
                since=row.since,
                until=row.until,
                seen_at=row.seen_at,
                hashes_th=row.hashes_th,
            )
            for row in rows
        ]
    )


def diversion_totals(call: Call) -> structs.PoolTotalList:
    """What went to each pool."""
    return structs.PoolTotalList(
        items=[
            structs.PoolTotal(
                pool=row.url,
                machines=row.machines,
                lasting=row.lasting,
                hashes_th=row.hashes_th,
                first_at=row.first_at,
                is_ours=row.is_ours,
            )
            for row in drift_rows.pool_totals(hours=filters.hours(call.request.GET))
        ]
    )
