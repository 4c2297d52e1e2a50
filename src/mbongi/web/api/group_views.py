"""What the routes of groups, profiles and operations answer."""

from typing import Any

from mbongi.fleet import group_rows, groups, moves, operation_rows, operations, reconcile
from mbongi.fleet.group_rows import GroupRow, ProfileRow
from mbongi.fleet.operation_rows import OperationRow
from mbongi.fleet.values import ActionStatus
from mbongi.web import filters
from mbongi.web.api import group_structs as structs
from mbongi.web.api.structs import ActionList
from mbongi.web.api.views import Call, action_struct
from mbongi.web.live.poller_board import POLLERS


def group_list(_call: Call) -> structs.GroupList:
    """All groups."""
    return structs.GroupList(items=[_group(row) for row in group_rows.groups()])


def one_group(call: Call) -> structs.Group:
    """One group."""
    return _group(group_rows.group(call.number))


def add_group(call: Call) -> structs.Group:
    """Add a group."""
    wish: structs.GroupRequest = call.body
    return _group(
        groups.add_group(_user(call), wish.name, note=wish.note, tenant_id=wish.tenant_id, reason=wish.reason)
    )


def change_group(call: Call) -> structs.Group:
    """Change a group's note, or whether drift in it is left alone."""
    wish: structs.GroupChange = call.body
    return _group(groups.change_group(_user(call), call.number, note=wish.note, paused=wish.paused, reason=wish.reason))


def poller_list(_call: Call) -> structs.PollerList:
    """Who asks which machines."""
    return structs.PollerList(
        items=[
            structs.Poller(
                number=one.status.number,
                is_gone=one.is_gone,
                heard_at=one.heard_at,
                started_at=one.started_at,
                slots=list(one.status.slots),
                slots_since=one.since,
                leads=one.status.leads,
                machines=one.status.machines,
                polls_per_s=one.polls_per_s,
                rounds_in_time_pct=one.in_time_pct,
                failures=one.status.failures,
            )
            for one in POLLERS.now()
        ]
    )


def put_machines(call: Call) -> structs.Put:
    """Put machines into a group."""
    put = groups.put_machines(_user(call), call.number, call.body.machine_ids, reason=call.body.reason)
    return structs.Put(count=put.changed, waiting=put.waiting, move_id=put.move_id)


def move_list(_call: Call) -> structs.MoveList:
    """The moves that wait for a second person."""
    return structs.MoveList(
        items=[
            structs.Move(**{name: getattr(row, name) for name in structs.Move.__struct_fields__})
            for row in moves.open_moves()
        ]
    )


def approve_move(call: Call) -> structs.Count:
    """Agree to a move that somebody else asked for."""
    return structs.Count(count=moves.approve_move(_user(call), call.number, reason=call.body.reason))


def refuse_move(call: Call) -> structs.Count:
    """Refuse a move, or withdraw one's own."""
    moves.refuse_move(_user(call), call.number, reason=call.body.reason)
    return structs.Count(count=0)


def profile_list(call: Call) -> structs.ProfileList:
    """The versions of a group's profile."""
    group_rows.group(call.number)
    return structs.ProfileList(items=[_profile(row) for row in group_rows.profiles(call.number)])


def write_profile(call: Call) -> structs.Profile:
    """A new version, proposed at once where that is asked for."""
    wish: structs.ProfileRequest = call.body
    row = groups.write_profile(_user(call), call.number, wish.document, reason=wish.reason)
    return _profile(groups.propose_profile(_user(call), row.id) if wish.propose else row)


def propose_profile(call: Call) -> structs.Profile:
    """Ask for a draft to become active."""
    return _profile(groups.propose_profile(_user(call), call.number))


def approve_profile(call: Call) -> structs.Profile:
    """Make a version active that somebody else proposed."""
    return _profile(groups.approve_profile(_user(call), call.number, reason=call.body.reason))


def refuse_profile(call: Call) -> structs.Profile:
    """Refuse a version, or withdraw one's own."""
    return _profile(groups.refuse_profile(_user(call), call.number, reason=call.body.reason))


def preview(call: Call) -> structs.Preview:
    """What a reconciliation would do now."""
    found = reconcile.preview(call.number)
    return structs.Preview(
        group_id=found.group_id,
        version=found.number,
        same=found.same,
        pending=found.pending,
        steps=found.steps,
        left=dict(found.left),
        machines=[
            structs.MachinePlan(
                machine_id=plan.machine_id,
                stated_at=plan.stated_at,
                differences=[
                    structs.Difference(field=each.field, wanted=each.wanted, found=each.found, known=each.known)
                    for each in plan.differences
                ],
                changes=[
                    structs.PlannedChange(
                        fields=list(each.fields),
                        kind=each.kind,
                        arguments=dict(each.arguments),
                        why_not=each.why_not,
                    )
                    for each in plan.changes
                ],
            )
            for plan in found.machines
        ],
    )


def reconcile_group(call: Call) -> structs.Operation:
    """Make an operation of it."""
    wish: structs.ReconcileRequest = call.body
    row = reconcile.reconcile(
        _user(call), call.number, machine_ids=wish.machine_ids, reason=wish.reason, start=wish.start
    )
    return operation_struct(row)


def operation_list(call: Call) -> structs.OperationList:
    """Operations, newest first."""
    part = filters.part_query(call.request.GET)
    rows = operation_rows.operations(limit=part.limit, offset=part.offset)
    return structs.OperationList(items=[operation_struct(row) for row in rows])


def one_operation(call: Call) -> structs.Operation:
    """One operation and how far it is."""
    return operation_struct(operation_rows.operation(call.number))


def operation_steps(call: Call) -> ActionList:
    """Its steps in their order; ``failed=1`` those that could not be done."""
    operation_rows.operation(call.number)
    part = filters.part_query(call.request.GET)
    statuses = [ActionStatus.FAILED] if call.request.GET.get("failed") == "1" else []
    page = operation_rows.steps(call.number, statuses=statuses, limit=part.limit, offset=part.offset)
    return ActionList(items=[action_struct(row) for row in page.rows])


def approve_operation(call: Call) -> structs.Operation:
    """Agree to an operation that somebody else planned; it starts."""
    return operation_struct(operations.approve_operation(_user(call), call.number, reason=call.body.reason, start=True))


def refuse_operation(call: Call) -> structs.Operation:
    """Refuse an operation that awaits approval, or withdraw one's own."""
    return operation_struct(operations.refuse_operation(_user(call), call.number, reason=call.body.reason))


def start_operation(call: Call) -> structs.Operation:
    """Let a planned one begin."""
    return operation_struct(operations.start_operation(_user(call), call.number))


def pause_operation(call: Call) -> structs.Operation:
    """Begin no more steps."""
    return operation_struct(operations.pause_operation(_user(call), call.number, reason=call.body.reason))


def resume_operation(call: Call) -> structs.Operation:
    """Let a paused or halted one go on."""
    return operation_struct(operations.resume_operation(_user(call), call.number, reason=call.body.reason))


def cancel_operation(call: Call) -> structs.Operation:
    """End it; what has not begun is not done."""
    return operation_struct(operations.cancel_operation(_user(call), call.number, reason=call.body.reason))


def _user(call: Call) -> Any:
    return call.request.user


def _group(row: GroupRow) -> structs.Group:
    return structs.Group(**{name: getattr(row, name) for name in structs.Group.__struct_fields__})


def _profile(row: ProfileRow) -> structs.Profile:
    facts = {name: getattr(row, name) for name in structs.Profile.__struct_fields__ if hasattr(row, name)}
    changes = [structs.VersionChange(field=name, before=before, after=after) for name, before, after in row.changes]
    return structs.Profile(**(facts | {"document": row.desired, "changes": changes}))


def operation_struct(row: OperationRow) -> structs.Operation:
    """An operation as the API gives it."""
    facts = {name: getattr(row, name) for name in structs.Operation.__struct_fields__}
    return structs.Operation(**(facts | {"document": dict(row.document), "steps": dict(row.steps)}))
