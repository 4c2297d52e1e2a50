"""The mining pool at a glance, and its workers."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mbongi.core.identity.scope import current_scope
from mbongi.core.identity.values import Permission
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.pool import telemetry
from mbongi.pool.addresses import pool_addresses
from mbongi.pool.telemetry import WorkerPage, WorkerRow
from mbongi.twin.scale import site_scale, twin_mines
from mbongi.web import filters, pool_sight
from mbongi.web.exports import ROWS_MAX, download
from mbongi.web.filters import QueryError
from mbongi.web.guard import needs
from mbongi.web.pages.paging import Pager

HEADS = (
    ("worker", _("Worker")),
    ("account", _("Account")),
    ("hashrate", _("Hashrate, 1 h")),
    ("day", _("24 h")),
    ("reject", _("Rejected")),
    ("best", _("Best share")),
    ("seen", _("Last share")),
)
EXPORT = (
    *("worker", "account", "firmware", "hashrate_1h_hs", "low_1h_hs", "high_1h_hs", "hashrate_24h_hs", "shares_24h"),
    *("rejected_24h", "best_24h", "last_share_at"),
)


def content_of(**content: Any) -> dict[str, Any]:
    """What every page of the pool needs besides its own content."""
    return {
        "here": "pool",
        "site_wide": current_scope().site_wide,
        **content,
    }


@require_safe
@needs(Permission.POOL_VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """The whole pool, for the site's own people; a tenant's are led to their accounts."""
    if not current_scope().site_wide:
        return redirect("/pool/accounts/")
    config = settings.CONFIG
    host = urlsplit(f"//{request.get_host()}").hostname or "localhost"
    content = content_of(
        pool=pool_sight.pool(),
        practice_scale=site_scale(config.twin) if twin_mines(config) else None,
        connect=pool_addresses(config, host_seen=host) if config.pool.enabled else None,
    )
    return render(request, "pages/pool.html", content)


@require_safe
@needs(Permission.POOL_VIEW)
def record(request: HttpRequest) -> HttpResponse:
    """What changes slowly: rejects, latencies, nodes, blocks."""
    if not current_scope().site_wide:
        raise Http404
    return render(request, "parts/pool_record.html", content_of(pool=pool_sight.pool(), refreshed=True))


class Head:
    """A column head that sorts: the next click turns the order round."""

    def __init__(self, name: str, label: Any, query: QueryDict, sort: str) -> None:
        self.name, self.label = name, label
        self.is_figure = name not in {"worker", "account"}
        self.aria = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
        first, second = (f"-{name}", name) if self.is_figure else (name, f"-{name}")
        link = query.copy()
        link.pop("page", None)
        link["sort"] = second if sort == first else first
        self.url = "?" + link.urlencode()


@require_safe
@needs(Permission.POOL_VIEW)
def workers(request: HttpRequest) -> HttpResponse:
    """Workers of the last day; htmx asks for the results alone."""
    try:
        text, sort, limit, offset = worker_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "pool", "error": error}, status=400)
    page, is_away = _page(text, sort, limit, offset)
    export = request.GET.copy()
    export.pop("page", None)
    content = content_of(
        page=page,
        store_away=is_away,
        pager=Pager(request.GET, page.total, offset, limit),
        heads=[Head(name, label, request.GET, sort) for name, label in HEADS],
        top=max((row.hour.high for row in page.rows), default=0.0) or 1.0,
        query=request.GET,
        export=export.urlencode(),
        narrowed=bool(text),
    )
    name = "parts/pool_worker_rows.html" if request.headers.get("HX-Request") else "pages/pool_workers.html"
    return render(request, name, content)


def worker_query(query: QueryDict) -> tuple[str, str, int, int]:
    """Text, order, limit and offset. Raises QueryError."""
    text = query.get("q", "").strip()
    if len(text) > filters.TEXT_MAX:
        raise QueryError("q", str(_("at most %(limit)d characters")) % {"limit": filters.TEXT_MAX})
    sort = query.get("sort", "") or "-hashrate"
    if sort.removeprefix("-") not in telemetry.SORTS:
        raise QueryError("sort", str(_("“%(found)s” is no order of this list")) % {"found": sort[:40]})
    part = filters.part_query(query)
    return text, sort, part.limit, part.offset


def _page(text: str, sort: str, limit: int, offset: int) -> tuple[WorkerPage, bool]:
    try:
        found = telemetry.workers(
            pool_sight.site_store(),
            text=text,
            sort=sort,
            limit=limit,
            offset=offset,
            accounts=pool_sight.own_accounts(),
        )
    except (StoreUnavailable, StoreRefused):
        return WorkerPage([], 0), True
    return found, False


@require_safe
@needs(Permission.POOL_VIEW)
def export(request: HttpRequest, kind: str) -> HttpResponse:
    """The workers with the same search and order, as CSV or JSON."""
    try:
        text, sort, _limit, _offset = worker_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "pool", "error": error}, status=400)
    page, _away = _page(text, sort, ROWS_MAX, 0)
    return download("pool-workers", kind, EXPORT, [export_row(row) for row in page.rows], page.total)


def export_row(row: WorkerRow) -> list[Any]:
    """A worker as a row of the download."""
    rates = [row.hour.value, row.hour.low, row.hour.high, row.day.value]
    facts: list[Any] = [row.worker, row.account, row.agent, *(round(rate) for rate in rates)]
    return [*facts, row.shares, row.rejected, row.best, row.last_share_at]


@require_safe
@needs(Permission.POOL_VIEW)
def worker(request: HttpRequest) -> HttpResponse:
    """One worker: hashrate, rejects, best share. Another tenant's looks the same as none at all."""
    name = request.GET.get("name", "")
    store, accounts = pool_sight.site_store(), pool_sight.own_accounts()
    try:
        rows = telemetry.workers(store, worker=name, accounts=accounts).rows if name else []
        rejects = telemetry.rejects(store, worker=name, accounts=accounts) if rows else []
    except (StoreUnavailable, StoreRefused):
        return render(request, "pages/pool_away.html", content_of(), status=503)
    if not rows:
        raise Http404
    return render(request, "pages/pool_worker.html", content_of(worker=rows[0], rejects=rejects))
