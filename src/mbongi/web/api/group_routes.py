"""The part of the table of routes that is about groups, profiles and operations."""

from collections.abc import Callable

import msgspec
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.web.api import group_structs as structs
from mbongi.web.api import group_views as views
from mbongi.web.api.route import Parameter, Route, one_of, reading, whole
from mbongi.web.api.structs import ActionList
from mbongi.web.api.views import Call

_PARTS = (
    Parameter("limit", whole(1, 1000, 50), _("rows of one answer")),
    Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over")),
)
_FAILED = Parameter("failed", one_of("1"), _("only steps that could not be done"))
_SEE, _CONTROL = Permission.MACHINE_VIEW, Permission.MACHINE_CONTROL
_EDIT, _APPROVE, _RUN = Permission.PROFILE_EDIT, Permission.PROFILE_APPROVE, Permission.OPERATION_RUN


def _write(
    path: str,
    view: Callable[[Call], msgspec.Struct],
    answer: type[msgspec.Struct],
    permission: Permission,
    summary: Promise,
    body: type[msgspec.Struct] | None = structs.ReasonRequest,
    status: int = 200,
) -> Route:
    return Route("POST", path, view, answer, permission, summary, body=body, status=status)


GROUP_ROUTES = (
    reading("/groups", views.group_list, structs.GroupList, _SEE, _("Groups of machines, by name")),
    _write("/groups", views.add_group, structs.Group, _EDIT, _("Add a group"), structs.GroupRequest, 201),
    _write("/groups/{id}", views.change_group, structs.Group, _EDIT, _("Change or pause a group"), structs.GroupChange),
    reading("/pollers", views.poller_list, structs.PollerList, _CONTROL, _("Which process asks which machines")),
    reading("/groups/{id}", views.one_group, structs.Group, _SEE, _("One group")),
    _write(
        "/groups/{id}/machines",
        views.put_machines,
        structs.Put,
        _EDIT,
        _("Put machines into a group; those that would work for others wait for a second person"),
        structs.MachinesRequest,
    ),
    reading("/moves", views.move_list, structs.MoveList, _SEE, _("Moves into groups that wait for a second person")),
    _write(
        "/moves/{id}/approve",
        views.approve_move,
        structs.Count,
        _APPROVE,
        _("Agree to a move that somebody else asked for"),
    ),
    Route(
        "POST",
        "/moves/{id}/refuse",
        views.refuse_move,
        structs.Count,
        _EDIT,
        _("Refuse a move, or withdraw one's own"),
        body=structs.ReasonRequest,
        or_permissions=(_APPROVE,),
    ),
    reading(
        "/groups/{id}/profiles",
        views.profile_list,
        structs.ProfileList,
        _SEE,
        _("The versions of a group's profile with what each changes"),
    ),
    _write(
        "/groups/{id}/profiles",
        views.write_profile,
        structs.Profile,
        _EDIT,
        _("Write a new version of a group's profile"),
        structs.ProfileRequest,
        201,
    ),
    reading(
        "/groups/{id}/preview",
        views.preview,
        structs.Preview,
        _SEE,
        _("What a reconciliation would do now; no machine is written"),
    ),
    _write(
        "/groups/{id}/reconcile",
        views.reconcile_group,
        structs.Operation,
        _RUN,
        _("Bring a group's machines to its profile"),
        structs.ReconcileRequest,
        202,
    ),
    _write(
        "/profiles/{id}/propose",
        views.propose_profile,
        structs.Profile,
        _EDIT,
        _("Ask for a draft to become active"),
        None,
    ),
    _write(
        "/profiles/{id}/approve",
        views.approve_profile,
        structs.Profile,
        _APPROVE,
        _("Make a version active that somebody else proposed"),
    ),
    Route(
        "POST",
        "/profiles/{id}/refuse",
        views.refuse_profile,
        structs.Profile,
        _EDIT,
        _("Refuse a version, or withdraw one's own"),
        body=structs.ReasonRequest,
        or_permissions=(_APPROVE,),
    ),
    reading("/operations", views.operation_list, structs.OperationList, _SEE, _("Operations, newest first"), *_PARTS),
    reading("/operations/{id}", views.one_operation, structs.Operation, _SEE, _("One operation and how far it is")),
    reading(
        "/operations/{id}/steps",
        views.operation_steps,
        ActionList,
        _SEE,
        _("The steps of an operation in their order"),
        _FAILED,
        *_PARTS,
    ),
    _write(
        "/operations/{id}/approve",
        views.approve_operation,
        structs.Operation,
        _APPROVE,
        _("Agree to an operation that somebody else planned, and start it"),
    ),
    Route(
        "POST",
        "/operations/{id}/refuse",
        views.refuse_operation,
        structs.Operation,
        _EDIT,
        _("Refuse an operation that awaits approval, or withdraw one's own"),
        body=structs.ReasonRequest,
        or_permissions=(_APPROVE, Permission.MACHINE_MANAGE),
    ),
    _write(
        "/operations/{id}/start", views.start_operation, structs.Operation, _RUN, _("Start a planned operation"), None
    ),
    _write(
        "/operations/{id}/pause",
        views.pause_operation,
        structs.Operation,
        _CONTROL,
        _("Pause an operation: no more steps begin"),
    ),
    _write(
        "/operations/{id}/resume",
        views.resume_operation,
        structs.Operation,
        _RUN,
        _("Let a paused or halted operation go on"),
    ),
    _write(
        "/operations/{id}/cancel",
        views.cancel_operation,
        structs.Operation,
        _RUN,
        _("Cancel an operation: what has not begun is not done"),
    ),
)
