"""The table of routes. Add a line here and the route is served, checked, documented and tested for its permission."""

from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.fleet.selectors import SORTS
from mbongi.fleet.values import EventKind, Family, MachineState, Severity
from mbongi.web.api import structs, views
from mbongi.web.api.curtail_routes import CURTAIL_ROUTES
from mbongi.web.api.drift_routes import DRIFT_ROUTES
from mbongi.web.api.firmware_routes import FIRMWARE_ROUTES
from mbongi.web.api.group_routes import GROUP_ROUTES
from mbongi.web.api.healing_routes import HEALING_ROUTES
from mbongi.web.api.hosting_routes import HOSTING_ROUTES
from mbongi.web.api.onboarding_routes import ONBOARDING_ROUTES
from mbongi.web.api.pool_routes import POOL_ROUTES
from mbongi.web.api.route import Parameter, Route, one_of, reading, whole
from mbongi.web.api.work_routes import WORK_ROUTES
from mbongi.web.measures import measures

_LIMIT = Parameter("limit", whole(1, 1000, 50), _("rows of one answer"))
_OFFSET = Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over"))
_BEFORE = Parameter("before", whole(0, 2**62), _("goes on after a former answer: its next_before"))
_ORDERS = sorted({*SORTS, *measures()})
_MACHINE_PARAMETERS = (
    Parameter(
        "q", {"type": "string", "maxLength": 200}, _("words to find in address, MAC, serial number, host, model")
    ),
    Parameter("state", one_of(*(state.word for state in MachineState)), _("only this state, or several with commas")),
    Parameter("family", one_of(*(one.value for one in Family)), _("only this family")),
    Parameter("model", {"type": "string"}, _("only this model")),
    Parameter("hall", whole(0, 32767), _("only this hall")),
    Parameter("rack", whole(0, 32767), _("only this rack")),
    Parameter("alarm", one_of("1"), _("only machines with an open alarm")),
    Parameter("sort", one_of(*_ORDERS, *(f"-{one}" for one in _ORDERS)), _("order; a minus sign turns it round")),
    _LIMIT,
    _OFFSET,
)
_EVENT_PARAMETERS = (
    Parameter("machine", whole(1, 2**31 - 1), _("only this machine")),
    Parameter("kind", one_of(*(one.value for one in EventKind)), _("only this kind")),
    Parameter("severity", one_of(*(one.value for one in Severity)), _("only this severity")),
    Parameter("is", one_of("open", "past"), _("open: conditions that last; past: the rest")),
    Parameter(
        "since", {"type": "string", "format": "date-time"}, _("from this moment on; a date alone is its midnight")
    ),
    Parameter("until", {"type": "string", "format": "date-time"}, _("before this moment")),
    _LIMIT,
    _BEFORE,
)
_HOURS = Parameter("hours", whole(1, 24 * 366, 24), _("length of the series, up to now"))
_SITE_HOURS = Parameter("hours", whole(1, 24 * 31, 24), _("length of the series, up to now"))
_FIGURES = Parameter("figures", {"type": "string"}, _("columns of the reading, separated by commas"))
_SUBJECT = Parameter("subject", {"type": "string", "maxLength": 80}, _("only entries on this, such as machine:17"))

_SEE, _DO, _LEDGER = Permission.MACHINE_VIEW, Permission.MACHINE_CONTROL, Permission.LEDGER_VIEW


_MACHINE = "/machines/{id}"

ROUTES = (
    reading("/site", views.site, structs.SiteSummary, _SEE, _("The site at a glance")),
    reading("/site/series", views.site_series, structs.Series, _SEE, _("The site over time"), _SITE_HOURS),
    reading(
        "/machines", views.machines, structs.MachineList, _SEE, _("Machines by filter and order"), *_MACHINE_PARAMETERS
    ),
    reading(_MACHINE, views.machine, structs.MachineFull, _SEE, _("One machine")),
    reading(
        f"{_MACHINE}/series", views.machine_series, structs.Series, _SEE, _("One machine over time"), _HOURS, _FIGURES
    ),
    reading(
        f"{_MACHINE}/actions", views.machine_actions, structs.ActionList, _SEE, _("Actions on one machine"), _LIMIT
    ),
    Route(
        "POST",
        f"{_MACHINE}/actions",
        views.request_machine_action,
        structs.Action,
        _DO,
        _("Ask for an action on one machine"),
        body=structs.ActionRequest,
        status=202,
    ),
    Route(
        "POST",
        "/actions",
        views.request_actions,
        structs.ActionList,
        _DO,
        _("Ask for an action on several machines"),
        body=structs.ActionsRequest,
        status=202,
    ),
    reading("/actions/{id}", views.action, structs.Action, _SEE, _("One action and how far it has come")),
    reading("/events", views.events, structs.EventList, _SEE, _("Events by filter, newest first"), *_EVENT_PARAMETERS),
    reading("/alarms", views.alarms, structs.EventList, _SEE, _("Conditions that last, newest first"), _LIMIT, _BEFORE),
    reading(
        "/ledger/entries",
        views.ledger_entries,
        structs.LedgerList,
        _LEDGER,
        _("Entries of the ledger, newest first"),
        _SUBJECT,
        _LIMIT,
        _BEFORE,
    ),
    reading(
        "/ledger/checkpoint", views.ledger_checkpoint, structs.LedgerState, _LEDGER, _("The newest signed checkpoint")
    ),
    *CURTAIL_ROUTES,
    *GROUP_ROUTES,
    *DRIFT_ROUTES,
    *HEALING_ROUTES,
    *FIRMWARE_ROUTES,
    *WORK_ROUTES,
    *ONBOARDING_ROUTES,
    *HOSTING_ROUTES,
    *POOL_ROUTES,
)
