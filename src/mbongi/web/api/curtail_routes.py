"""The part of the table of routes that is about curtailment."""

from collections.abc import Callable

import msgspec
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.fleet.values import CurtailWish
from mbongi.web.api import curtail_structs as structs
from mbongi.web.api import curtail_views as views
from mbongi.web.api.group_structs import ReasonRequest
from mbongi.web.api.route import Parameter, Route, reading, whole
from mbongi.web.api.views import Call

_PARTS = (
    Parameter("limit", whole(1, 500, 50), _("rows of one answer")),
    Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over")),
)
_SEE, _RUN = Permission.CURTAIL_VIEW, Permission.OPERATION_RUN


def _write(
    path: str,
    view: Callable[[Call], msgspec.Struct],
    answer: type[msgspec.Struct],
    summary: Promise,
    body: type[msgspec.Struct] = ReasonRequest,
    *,
    permission: Permission = _RUN,
    status: int = 200,
) -> Route:
    return Route("POST", path, view, answer, permission, summary, body=body, status=status)


CURTAIL_ROUTES = (
    reading("/site-power", views.site_power, structs.SitePower, _SEE, _("The site's power as it was last measured")),
    _write(
        "/curtailments/preview",
        views.rehearse,
        structs.Rehearsal,
        _("What a curtailment would do now; no machine is written"),
        CurtailWish,
        permission=_SEE,
    ),
    reading(
        "/curtailments", views.curtailment_list, structs.CurtailmentList, _SEE, _("Curtailments, newest first"), *_PARTS
    ),
    _write(
        "/curtailments", views.begin, structs.Curtailment, _("Begin a curtailment"), structs.CurtailRequest, status=202
    ),
    reading(
        "/curtailments/{id}", views.one_curtailment, structs.Curtailment, _SEE, _("One curtailment and how it stands")
    ),
    _write(
        "/curtailments/{id}/target",
        views.retarget,
        structs.Curtailment,
        _("Give a curtailment another target"),
        structs.CurtailRequest,
    ),
    _write(
        "/curtailments/{id}/end",
        views.end,
        structs.Curtailment,
        _("End or abort a curtailment: wake what it put to sleep"),
        structs.EndRequest,
        permission=Permission.MACHINE_CONTROL,
    ),
    _write(
        "/curtailments/wake-left",
        views.wake_left,
        structs.Started,
        _("Wake what curtailments that are over have left asleep"),
        status=202,
    ),
    reading("/triggers", views.trigger_list, structs.TriggerList, _SEE, _("What begins curtailments by itself")),
    _write("/triggers", views.add_trigger, structs.Trigger, _("Add a trigger"), structs.TriggerRequest, status=201),
    _write("/triggers/{id}", views.write_trigger, structs.Trigger, _("Write a trigger anew"), structs.TriggerRequest),
    _write(
        "/triggers/{id}/approve",
        views.approve_trigger,
        structs.Trigger,
        _("Agree to a trigger that somebody else wrote"),
        permission=Permission.TRIGGER_APPROVE,
    ),
    _write(
        "/triggers/{id}/switch",
        views.switch_trigger,
        structs.Trigger,
        _("Switch a trigger on or off"),
        structs.SwitchRequest,
    ),
    _write("/triggers/{id}/retire", views.retire_trigger, structs.Nothing, _("Take a trigger away")),
    reading("/signals", views.signal_list, structs.SignalList, _SEE, _("Price and capacity as they were last told")),
    _write(
        "/signals",
        views.tell_signal,
        structs.Signal,
        _("Tell what energy costs, or how much power there is"),
        structs.SignalRequest,
    ),
)
