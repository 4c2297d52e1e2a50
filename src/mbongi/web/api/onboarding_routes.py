"""The part of the table of routes that is about onboarding."""

from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.web.api import group_structs
from mbongi.web.api import onboarding_structs as structs
from mbongi.web.api import onboarding_views as views
from mbongi.web.api.route import Parameter, Route, one_of, reading, whole

_PLACE, _PASSWORDS = Permission.MACHINE_PLACE, Permission.CREDENTIAL_MANAGE

ONBOARDING_ROUTES = (
    reading("/onboarding", views.onboarding, structs.Onboarding, _PLACE, _("How far machines are brought in")),
    reading(
        "/onboarding/waiting",
        views.waiting,
        structs.WaitingList,
        _PLACE,
        _("Machines that wait for a position or a password, and unknown ones that reported"),
        Parameter("what", one_of("position", "password", "unknown"), _("for what they wait")),
        Parameter("limit", whole(1, 1000, 50), _("rows of one answer")),
        Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over")),
    ),
    Route(
        "POST",
        "/machines/{id}/position",
        views.place_machine,
        structs.Placed,
        _PLACE,
        _("Say where a machine stands"),
        body=structs.PlacementRequest,
        status=201,
    ),
    Route("POST", "/placements/{id}/undo", views.undo_placement, structs.Placed, _PLACE, _("Take a placement back")),
    Route(
        "POST",
        "/passwords",
        views.rotate_passwords,
        group_structs.Operation,
        _PASSWORDS,
        _("Give machines passwords of their own, by an operation"),
        body=structs.RotationRequest,
        status=201,
    ),
    Route(
        "POST",
        "/machines/{id}/password",
        views.show_password,
        structs.MachinePassword,
        _PASSWORDS,
        _("Show the password of a machine; the ledger notes it"),
        body=structs.PasswordRequest,
    ),
)
