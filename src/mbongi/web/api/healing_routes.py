"""The part of the table of routes that is about healing."""

from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.fleet.rules.healing import Outcome
from mbongi.web.api import healing_structs as structs
from mbongi.web.api import healing_views as views
from mbongi.web.api.route import Parameter, Route, one_of, reading, whole

_SEE, _EDIT = Permission.HEALING_VIEW, Permission.HEALING_EDIT
_PARAMETERS = (
    Parameter("rule", whole(1, 2**31 - 1), _("only of this rule")),
    Parameter("machine", whole(1, 2**31 - 1), _("only this machine")),
    Parameter("outcome", one_of(*(each.value for each in Outcome)), _("only with this outcome")),
    Parameter("limit", whole(1, 1000, 50), _("rows of one answer")),
    Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over")),
)

HEALING_ROUTES = (
    reading("/healing-rules", views.healing_rules, structs.HealingRuleList, _SEE, _("Healing rules")),
    Route(
        "POST",
        "/healing-rules",
        views.add_healing_rule,
        structs.HealingRule,
        _EDIT,
        _("Add a healing rule; it is off at first"),
        body=structs.HealingRuleRequest,
        status=201,
    ),
    reading("/healing-rules/{id}", views.healing_rule, structs.HealingRule, _SEE, _("One healing rule")),
    Route(
        "POST",
        "/healing-rules/{id}",
        views.change_healing_rule,
        structs.HealingRule,
        _EDIT,
        _("Change a healing rule, or switch it: off, watch only, on"),
        body=structs.HealingChangeRequest,
    ),
    reading(
        "/healing-attempts",
        views.healing_attempts,
        structs.HealingAttemptList,
        _SEE,
        _("What healing rules did, newest first"),
        *_PARAMETERS,
    ),
    Route(
        "POST",
        "/healing-replays",
        views.ask_healing_replay,
        structs.HealingReplay,
        _EDIT,
        _("Ask what healing rules would have done in a span of the past; no machine is told anything"),
        body=structs.ReplayRequest,
        status=202,
    ),
    reading(
        "/healing-replays/{id}",
        views.healing_replay,
        structs.HealingReplay,
        _SEE,
        _("A replay of healing rules, how far it is, and its result"),
    ),
)
