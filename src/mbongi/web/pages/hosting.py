"""Hosting: contracts, and a contract's month. A tenant sees its own, and nothing to decide."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import contracts, group_rows, hosting_rows, hosting_wording, work_order_rows
from mbongi.fleet.errors import HostingRefusedError, NotPermittedError, UnknownContractError
from mbongi.fleet.hosting_rows import StatementRow
from mbongi.fleet.rules.hosting_terms import CurtailmentClass, currencies
from mbongi.fleet.rules.work_orders import WorkState
from mbongi.fleet.work_order_rows import OrderFilter, OrderRow
from mbongi.web import hosting_forms, hosting_sight
from mbongi.web.filters import QueryError, part_query
from mbongi.web.guard import needs
from mbongi.web.pages.paging import Pager

ORDERS_MAX = 50


def content(request: HttpRequest, **rest: Any) -> dict[str, Any]:
    """What every page of hosting needs."""
    user: Any = request.user
    is_ours = user.tenant_id is None
    return {
        "here": "hosting",
        "is_ours": is_ours,
        "may_edit": is_ours and user.may(Permission.HOSTING_EDIT),
        "may_approve": is_ours and user.may(Permission.HOSTING_APPROVE),
        "may_close": is_ours and user.may(Permission.STATEMENT_CLOSE),
        "zone": settings.CONFIG.site.timezone,
    } | rest


@require_safe
@needs(Permission.HOSTING_VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """All contracts; a tenant with one only is led to it."""
    rows = hosting_rows.contracts()
    user: Any = request.user
    if user.tenant_id is not None and len(rows) == 1:
        return redirect(f"/hosting/{rows[0].id}/")
    newest = hosting_rows.latest()
    listed = [(row, newest.get(row.id)) for row in rows]
    return render(request, "pages/hosting.html", content(request, tab="contracts", rows=listed))


@require_safe
@needs(Permission.HOSTING_VIEW)
def contract(request: HttpRequest, contract_id: int) -> HttpResponse:
    """A contract's month: uptime day by day, hash-hours, downtime, open work orders, statements."""
    try:
        month = hosting_sight.checked_month(request.GET.get("month", ""), hosting_sight.this_month())
        part = part_query(request.GET)
        closed = hosting_rows.statements(contract_id=contract_id, limit=36)
        latest = next((one for one in closed if one.month == month and one.newest), None)
        sight = hosting_sight.month_sight(
            contract_id, month, offset=part.offset, limit=part.limit, with_sheet=latest is not None
        )
    except UnknownContractError as error:
        raise Http404 from error
    except (HostingRefusedError, QueryError) as error:
        return render(request, "pages/refused.html", {"here": "hosting", "error": error}, status=400)
    total = 0 if sight.document is None else len(sight.document.machines)
    found = content(
        request,
        tab="contracts",
        sight=sight,
        contract=sight.contract,
        document=sight.document if latest is None else latest.document,
        has_changed=latest is not None and _has_changed(sight, latest),
        months=_months(month),
        statements=closed,
        closed=latest,
        versions=hosting_rows.versions(contract_id),
        orders=_open_orders(sight),
        pager=Pager(request.GET, total, part.offset, part.limit),
    )
    return render(request, "pages/hosting_contract.html", found)


def _has_changed(sight: hosting_sight.MonthSight, closed: StatementRow) -> bool:
    """Whether the month would be closed otherwise now."""
    found = sight.document
    return found is None or (found.sheet_sha256, found.bill) != (closed.sheet_sha256, closed.document.bill)


def _open_orders(sight: hosting_sight.MonthSight) -> list[OrderRow]:
    """Open work orders on the contract's machines, within what the reader may see."""
    if sight.document is None:
        return []
    own = {one.machine_id for one in sight.document.machines}
    states = (WorkState.OPEN, WorkState.TAKEN, WorkState.FIXED)
    rows = work_order_rows.orders(OrderFilter(states=states, machine_ids=tuple(own)), limit=ORDERS_MAX).rows
    return list(rows)


def _months(month: str) -> tuple[str, str]:
    """The months before and after."""
    year, number = map(int, month.split("-"))
    before, after = year * 12 + number - 2, year * 12 + number
    return f"{before // 12}-{before % 12 + 1:02d}", f"{after // 12}-{after % 12 + 1:02d}"


@require_http_methods(["GET", "POST"])
@needs(Permission.HOSTING_EDIT)
def write(request: HttpRequest, contract_id: int = 0) -> HttpResponse:
    """Write a new contract, or a new version of one."""
    user: Any = request.user
    if user.tenant_id is not None:
        raise PermissionDenied
    row = None
    if contract_id:
        try:
            row = hosting_rows.contract(contract_id)
        except UnknownContractError as error:
            raise Http404 from error
    refusal = ""
    if request.method == "POST":
        try:
            return redirect(f"/hosting/{_written(request, contract_id)}/")
        except HostingRefusedError as error:
            refusal = error.text
    given = request.POST.dict() if request.method == "POST" else hosting_forms.form_of(row.terms if row else None)
    found = content(
        request,
        tab="contracts",
        contract=row,
        given=given,
        refusal=refusal,
        tenants=hosting_rows.tenant_choices(),
        groups=group_rows.groups(),
        currencies=sorted(currencies()),
        curtailments=[(each.value, hosting_wording.CURTAILMENTS[each]) for each in CurtailmentClass],
        this_month=hosting_sight.this_month(),
    )
    return render(request, "pages/hosting_write.html", found, status=400 if refusal else 200)


def _written(request: HttpRequest, contract_id: int) -> int:
    user: Any = request.user
    given = request.POST
    terms = hosting_forms.terms_of(given.dict())
    reason = given.get("reason", "")
    if contract_id:
        contracts.write_version(user, contract_id, terms, reason=reason)
        messages.success(request, _("Proposed. It governs once somebody else approves it."))
        return contract_id
    tenant = given.get("tenant", "")
    number = int(tenant) if tenant.isascii() and tenant.isdigit() and len(tenant) < 10 else 0
    made = contracts.add_contract(user, number, given.get("name", ""), terms, reason=reason)
    messages.success(request, _("Proposed. It governs once somebody else approves it."))
    return made.contract_id


@require_POST
@needs(Permission.HOSTING_VIEW)
def decide(request: HttpRequest, version_id: int, word: str) -> HttpResponse:
    """Approve or refuse a proposed version."""
    user: Any = request.user
    act = {"approve": contracts.approve_version, "refuse": contracts.refuse_version}[word]
    try:
        row = act(user, version_id, reason=request.POST.get("reason", ""))
    except UnknownContractError as error:
        raise Http404 from error
    except NotPermittedError as error:
        raise PermissionDenied from error
    except HostingRefusedError as error:
        messages.error(request, error.text)
        return redirect(request.POST.get("back", "") if _is_own(request.POST.get("back", "")) else "/hosting/")
    messages.success(request, _("Decided."))
    return redirect(f"/hosting/{row.contract_id}/")


def _is_own(path: str) -> bool:
    return path.startswith("/hosting/") and "//" not in path
