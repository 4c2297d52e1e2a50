"""The part of the table of routes that is about drift and diversions."""

from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.fleet.rules.drift import DRIFT_KINDS
from mbongi.web.api import drift_structs as structs
from mbongi.web.api import drift_views as views
from mbongi.web.api.route import Parameter, one_of, reading, whole

_SEE = Permission.MACHINE_VIEW
_PARTS = (
    Parameter("limit", whole(1, 1000, 50), _("rows of one answer")),
    Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over")),
)
_KIND = Parameter("kind", one_of(*(kind.value for kind in DRIFT_KINDS)), _("only this kind"))
_GROUP = Parameter("group", whole(1, 2**31 - 1), _("only this group"))
_MACHINE = Parameter("machine", whole(1, 2**31 - 1), _("only this machine"))
_OPEN = Parameter("open", one_of("0", "1"), _("only those that last, or that are over"))
_HOURS = Parameter("hours", whole(1, 24 * 366, 24), _("length of the period"))

DRIFT_ROUTES = (
    reading(
        "/drift",
        views.drift,
        structs.DriftList,
        _SEE,
        _("Machines that are not as their profiles want them"),
        _KIND,
        _GROUP,
        *_PARTS,
    ),
    reading(
        "/diversions",
        views.diversions,
        structs.DiversionList,
        _SEE,
        _("Work for foreign pools and names, newest first"),
        _OPEN,
        _MACHINE,
        *_PARTS,
    ),
    reading(
        "/diversions/totals",
        views.diversion_totals,
        structs.PoolTotalList,
        _SEE,
        _("What went to each foreign pool"),
        _HOURS,
    ),
)
