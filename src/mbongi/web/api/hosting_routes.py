"""The part of the table of routes that is about hosting."""

from collections.abc import Callable

import msgspec
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.core.identity.values import Permission
from mbongi.web.api import hosting_structs as structs
from mbongi.web.api import hosting_views as views
from mbongi.web.api.route import Parameter, Route, reading, whole
from mbongi.web.api.views import Call

_PARTS = (
    Parameter("limit", whole(1, 1000, 50), _("rows of one answer")),
    Parameter("offset", whole(0, 2**31 - 1, 0), _("rows to pass over")),
)
_MONTH = Parameter("month", {"type": "string", "pattern": r"^2\d{3}-\d{2}$"}, _("a month at the site, such as 2026-11"))
_CONTRACT = Parameter("contract", whole(1, 2**31 - 1), _("only this contract"))
_SEE, _EDIT = Permission.HOSTING_VIEW, Permission.HOSTING_EDIT
_APPROVE, _CLOSE = Permission.HOSTING_APPROVE, Permission.STATEMENT_CLOSE


def _write(
    path: str,
    view: Callable[[Call], msgspec.Struct],
    answer: type[msgspec.Struct],
    permission: Permission,
    summary: Promise,
    body: type[msgspec.Struct] = structs.HostingDecision,
    status: int = 200,
) -> Route:
    ways = (_EDIT, _APPROVE) if "/refuse" in path else ()
    return Route("POST", path, view, answer, permission, summary, body=body, status=status, or_permissions=ways)


HOSTING_ROUTES = (
    reading(
        "/hosting/contracts",
        views.hosting_contracts,
        structs.HostingContractList,
        _SEE,
        _("Contracts of tenants; a tenant sees its own"),
    ),
    _write(
        "/hosting/contracts",
        views.add_hosting_contract,
        structs.HostingVersion,
        _EDIT,
        _("Add a contract; somebody else approves its first version"),
        structs.HostingContractRequest,
        201,
    ),
    reading("/hosting/contracts/{id}", views.hosting_contract, structs.HostingContract, _SEE, _("One contract")),
    reading(
        "/hosting/contracts/{id}/versions",
        views.hosting_versions,
        structs.HostingVersionList,
        _SEE,
        _("A contract's versions with what each changes"),
    ),
    _write(
        "/hosting/contracts/{id}/versions",
        views.write_hosting_version,
        structs.HostingVersion,
        _EDIT,
        _("Propose a new version of a contract"),
        structs.HostingVersionRequest,
        201,
    ),
    _write(
        "/hosting/versions/{id}/approve",
        views.approve_hosting_version,
        structs.HostingVersion,
        _APPROVE,
        _("Approve a version that somebody else proposed"),
    ),
    _write(
        "/hosting/versions/{id}/refuse",
        views.refuse_hosting_version,
        structs.HostingVersion,
        _APPROVE,
        _("Refuse a version of a contract, or withdraw one's own"),
    ),
    reading(
        "/hosting/contracts/{id}/month",
        views.hosting_month,
        structs.HostingMonth,
        _SEE,
        _("A contract's month as it is reckoned now: uptime, hash-hours, downtime, charges"),
        _MONTH,
    ),
    reading(
        "/hosting/excuses",
        views.hosting_excuses,
        structs.HostingExcuseList,
        _SEE,
        _("What excuses downtime, newest first; for the site's own people"),
        *_PARTS,
    ),
    _write(
        "/hosting/excuses",
        views.enter_hosting_excuse,
        structs.HostingExcuse,
        _EDIT,
        _("Enter an excuse, to be agreed to by somebody else"),
        structs.HostingExcuseRequest,
        201,
    ),
    _write(
        "/hosting/excuses/{id}/approve",
        views.approve_hosting_excuse,
        structs.HostingExcuse,
        _APPROVE,
        _("Agree to an excuse that somebody else entered"),
    ),
    _write(
        "/hosting/excuses/{id}/refuse",
        views.refuse_hosting_excuse,
        structs.HostingExcuse,
        _APPROVE,
        _("Refuse an excuse, or withdraw one's own"),
    ),
    reading(
        "/hosting/statements",
        views.hosting_statements,
        structs.HostingStatementList,
        _SEE,
        _("Monthly statements, newest month first"),
        _MONTH,
        _CONTRACT,
        *_PARTS,
    ),
    reading(
        "/hosting/statements/{id}",
        views.hosting_statement,
        structs.HostingStatementFull,
        _SEE,
        _("One statement with everything that it states"),
    ),
    _write(
        "/hosting/closings",
        views.close_hosting_month,
        structs.HostingClosing,
        _CLOSE,
        _("Close a month, or correct a closed one"),
        structs.HostingClosingRequest,
        202,
    ),
    reading(
        "/hosting/closings/{id}",
        views.hosting_closing,
        structs.HostingClosing,
        _SEE,
        _("How far the closing of a month is"),
    ),
)
