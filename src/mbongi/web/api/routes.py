"""The table of routes. Add a line here and the route is served, checked, documented and tested for its permission."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.fleet.selectors import SORTS
from mbongi.fleet.values import EventKind, Family, MachineState, Severity
from mbongi.web.api import structs, views
from mbongi.web.measures import measures


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query, as a JSON schema."""

    name: str
    schema: dict[str, Any]
    doc: Promise


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path. ``path`` may hold ``{id}``; ``status`` is that of success."""

    method: str
    path: str
    view: Callable[[views.Call], msgspec.Struct]
    answer: type[msgspec.Struct]
    permission: Permission
    summary: Promise
    parameters: tuple[Parameter, ...] = ()
    body: type[msgspec.Struct] | None = None
    status: int = 200

    @property
    def name(self) -> str:
        """The operation's id in the OpenAPI document."""
        return self.view.__name__


def _one_of(*words: str) -> dict[str, Any]:
    return {"type": "string", "enum": sorted(words)}


def _whole(low: int, high: int, default: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return schema if default is None else schema | {"default": default}


_LIMIT = Parameter("limit", _whole(1, 1000, 50), _("rows of one answer"))
_OFFSET = Parameter("offset", _whole(0, 2**31 - 1, 0), _("rows to pass over"))
_BEFORE = Parameter("before", _whole(0, 2**62), _("goes on after a former answer: its next_before"))
_ORDERS = sorted({*SORTS, *measures()})
_MACHINE_PARAMETERS = (
    Parameter(
        "q", {"type": "string", "maxLength": 200}, _("words to find in address, MAC, serial number, host, model")
    ),
    Parameter("state", _one_of(*(state.word for state in MachineState)), _("only this state, or several with commas")),
    Parameter("family", _one_of(*(one.value for one in Family)), _("only this family")),
    Parameter("model", {"type": "string"}, _("only this model")),
    Parameter("hall", _whole(0, 32767), _("only this hall")),
    Parameter("rack", _whole(0, 32767), _("only this rack")),
    Parameter("alarm", _one_of("1"), _("only machines with an open alarm")),
    Parameter("sort", _one_of(*_ORDERS, *(f"-{one}" for one in _ORDERS)), _("order; a minus sign turns it round")),
    _LIMIT,
    _OFFSET,
)
_EVENT_PARAMETERS = (
    Parameter("machine", _whole(1, 2**31 - 1), _("only this machine")),
    Parameter("kind", _one_of(*(one.value for one in EventKind)), _("only this kind")),
    Parameter("severity", _one_of(*(one.value for one in Severity)), _("only this severity")),
    Parameter("is", _one_of("open", "past"), _("open: conditions that last; past: the rest")),
    Parameter(
        "since", {"type": "string", "format": "date-time"}, _("from this moment on; a date alone is its midnight")
    ),
    Parameter("until", {"type": "string", "format": "date-time"}, _("before this moment")),
    _LIMIT,
    _BEFORE,
)
_HOURS = Parameter("hours", _whole(1, 24 * 366, 24), _("length of the series, up to now"))
_SITE_HOURS = Parameter("hours", _whole(1, 24 * 31, 24), _("length of the series, up to now"))
_FIGURES = Parameter("figures", {"type": "string"}, _("columns of the reading, separated by commas"))
_SUBJECT = Parameter("subject", {"type": "string", "maxLength": 80}, _("only entries on this, such as machine:17"))

_SEE, _DO, _LEDGER = Permission.MACHINE_VIEW, Permission.MACHINE_CONTROL, Permission.LEDGER_VIEW


def _get(
    path: str,
    view: Callable[[views.Call], msgspec.Struct],
    answer: type[msgspec.Struct],
    permission: Permission,
    summary: Promise,
    *parameters: Parameter,
) -> Route:
    return Route("GET", path, view, answer, permission, summary, parameters)


_MACHINE = "/machines/{id}"

ROUTES = (
    _get("/site", views.site, structs.SiteSummary, _SEE, _("The site at a glance")),
    _get("/site/series", views.site_series, structs.Series, _SEE, _("The site over time"), _SITE_HOURS),
    _get(
        "/machines", views.machines, structs.MachineList, _SEE, _("Machines by filter and order"), *_MACHINE_PARAMETERS
    ),
    _get(_MACHINE, views.machine, structs.MachineFull, _SEE, _("One machine")),
    _get(
        f"{_MACHINE}/series", views.machine_series, structs.Series, _SEE, _("One machine over time"), _HOURS, _FIGURES
    ),
    _get(f"{_MACHINE}/actions", views.machine_actions, structs.ActionList, _SEE, _("Actions on one machine"), _LIMIT),
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
    _get("/actions/{id}", views.action, structs.Action, _SEE, _("One action and how far it has come")),
    _get("/events", views.events, structs.EventList, _SEE, _("Events by filter, newest first"), *_EVENT_PARAMETERS),
    _get("/alarms", views.alarms, structs.EventList, _SEE, _("Conditions that last, newest first"), _LIMIT, _BEFORE),
    _get(
        "/ledger/entries",
        views.ledger_entries,
        structs.LedgerList,
        _LEDGER,
        _("Entries of the ledger, newest first"),
        _SUBJECT,
        _LIMIT,
        _BEFORE,
    ),
    _get(
        "/ledger/checkpoint", views.ledger_checkpoint, structs.LedgerState, _LEDGER, _("The newest signed checkpoint")
    ),
)
