"""Accounts of the pool, its blocks, and the proofs that work is counted."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting, current_scope
from mbongi.core.identity.values import Permission
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.pool import payment_rows, selectors, telemetry, verify_share_proof
from mbongi.pool.selectors import AccountRow
from mbongi.pool.values import account_of
from mbongi.web import filters, pool_sight
from mbongi.web.context import script_words
from mbongi.web.exports import download
from mbongi.web.filters import QueryError
from mbongi.web.guard import needs
from mbongi.web.pages.paging import Pager
from mbongi.web.pages.pool import content_of
from mbongi.web.pool_division import division, share_proof
from mbongi.web.problems import json_answer, problem, title_of

WORKERS_SHOWN = 100
CHANGES_SHOWN = 30
WINDOWS_SHOWN = 3
LUCKS_SHOWN = 120
CREDITS_SHOWN = 200
VERIFIER = "verify_share_proof.py"
PROOF = "share-proof.json"


@require_safe
@needs(Permission.POOL_VIEW)
def accounts(request: HttpRequest) -> HttpResponse:
    """The accounts that the reader may see, with what is owed to them."""
    try:
        part = filters.part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "pool", "error": error}, status=400)
    text = request.GET.get("q", "").strip()[: filters.TEXT_MAX]
    rows = selectors.accounts(search=text, limit=part.limit + 1, offset=part.offset)
    total = part.offset + len(rows)
    content = content_of(
        rows=rows[: part.limit],
        sums=sums(),
        pager=Pager(request.GET, total, part.offset, part.limit),
        query=request.GET,
        narrowed=bool(text),
    )
    name = "parts/pool_account_rows.html" if request.headers.get("HX-Request") else "pages/pool_accounts.html"
    return render(request, name, content)


def sums() -> dict[str, int]:
    """What is owed to miners in all, of that not mature yet, and what may be paid now."""
    rows = selectors.miners_accounts()
    return {
        "accounts": len(rows),
        "balance_sat": sum(max(row.balance_sat, 0) for row in rows),
        "resting_sat": sum(row.resting_sat for row in rows),
        "payable_sat": sum(row.payable_sat for row in rows),
    }


@require_safe
def account(request: HttpRequest, name: str) -> HttpResponseBase:
    """A miner's own page; without sign-in where the site's configuration opens it to whoever knows the name.

    Who is signed in may also give the address that an account is paid to.
    """
    if request.user.is_authenticated:
        if not request.user.may(Permission.POOL_VIEW):
            raise PermissionDenied
        named = None if selectors.account(name) else selectors.account_paid_to(name)
        if named is not None:
            return redirect(f"/pool/account/{quote(named, safe='')}/")
        may_set = current_scope().site_wide and request.user.may(Permission.PAYOUT_PROPOSE)
        return render(request, "pages/pool_account.html", content_of(**_account(name) | {"may_set_address": may_set}))
    if not _is_public(name):
        return needs(Permission.POOL_VIEW)(account)(request, name)
    with acting(SITE):
        return render(request, "pages/pool_account_public.html", _account(name) | {"words": script_words()})


def _is_public(name: str) -> bool:
    """Whether anybody may open an account's page: a miner's where so configured, the pool's own never."""
    return settings.CONFIG.pool.public_accounts and not name.startswith(".")


def _account(name: str) -> dict[str, Any]:
    row = account_or_404(name)
    store, is_away = pool_sight.site_store(), False
    hour = day = None
    rows: list[telemetry.WorkerRow] = []
    try:
        hour = telemetry.totals(store, hours=1, accounts=[name])
        day = telemetry.totals(store, hours=24, accounts=[name])
        rows = telemetry.workers(store, accounts=[name], limit=WORKERS_SHOWN).rows
    except (StoreUnavailable, StoreRefused):
        is_away = True
    return {
        "account": row,
        "series": f"/pool/account/{quote(name, safe='')}/series.json",
        "hour": hour,
        "day": day,
        "workers": rows,
        "top": max((one.hour.high for one in rows), default=0.0) or 1.0,
        "store_away": is_away,
        "changes": selectors.changes(row.id, limit=CHANGES_SHOWN),
        "payments": payment_rows.outputs_of_account(row.id, limit=CHANGES_SHOWN),
        "proofs": proofs(row),
        "may_set_address": False,
    }


def account_or_404(name: str) -> AccountRow:
    """The account, or a page that says there is none: another tenant's looks the same as none at all."""
    row = selectors.account(name)
    if row is None:
        raise Http404
    return row


def proofs(row: AccountRow) -> list[dict[str, Any]]:
    """The newest windows in which an account's workers have work, each with where the workers' proofs are fetched."""
    found: dict[int, dict[str, Any]] = {}
    for worker in selectors.workers(account_id=row.id, limit=WORKERS_SHOWN):
        for window, work in selectors.windows_of_worker(worker.id, limit=WINDOWS_SHOWN):
            one = found.setdefault(window.id, {"window": window, "workers": []})
            url = f"/pool/proof/?window={quote(window.name, safe='')}&worker={quote(worker.name, safe='')}"
            one["workers"].append({"name": worker.name, "work": work, "url": url})
    return [each for _id, each in sorted(found.items(), reverse=True)[:WINDOWS_SHOWN]]


@require_safe
def account_series(request: HttpRequest, name: str) -> HttpResponse:
    """An account's hashrate over time, for who may see its page."""
    if not request.user.is_authenticated and not _is_public(name):
        return problem(401, title_of(401))
    if request.user.is_authenticated and not request.user.may(Permission.POOL_VIEW):
        return problem(403, title_of(403))
    try:
        hours = filters.hours(request.GET, limit=24 * 31)
        with acting(current_scope() if request.user.is_authenticated else SITE):
            account_or_404(name)
        return json_answer(pool_sight.series(hours, accounts=[name]))
    except QueryError as error:
        return problem(400, title_of(400), error.text, field=error.field)
    except (StoreUnavailable, StoreRefused):
        return problem(503, title_of(503))


@require_safe
@needs(Permission.POOL_VIEW)
def blocks(request: HttpRequest) -> HttpResponse:
    """The pool's blocks, newest first."""
    rows = pool_sight.blocks(200)
    counts = selectors.blocks_by_state()
    recent = [row for row in reversed(rows) if row.luck is not None][-LUCKS_SHOWN:]
    return render(request, "pages/pool_blocks.html", content_of(blocks=rows, counts=list(counts.items()), lucks=recent))


@require_safe
@needs(Permission.POOL_VIEW)
def block(request: HttpRequest, hash_: str) -> HttpResponse:
    """One block: what became of it, how its reward was divided, and how anybody can check that."""
    found = division(hash_)
    if found is None:
        raise Http404
    try:
        part = filters.part_query(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "pool", "error": error}, status=400)
    oldest = utc_now() - timedelta(days=settings.CONFIG.pool.proof_days)
    content = content_of(
        found=found.block,
        window=found.window,
        is_past_proof=found.window is not None and found.window.published_at < oldest,
        proof_days=settings.CONFIG.pool.proof_days,
        shares=found.shares[part.offset : part.offset + part.limit],
        most_work=max((work for _name, work in found.shares), default=0) or 1,
        pager=Pager(request.GET, len(found.shares), part.offset, part.limit),
        credits=found.credits[:CREDITS_SHOWN],
        credits_left_out=max(0, len(found.credits) - CREDITS_SHOWN),
        credited_sat=found.credited_sat,
        top=max((sat for _account, sat in found.credits), default=0) or 1,
    )
    name = "parts/pool_window_rows.html" if request.headers.get("HX-Request") else "pages/pool_block.html"
    return render(request, name, content)


@require_safe
@needs(Permission.POOL_VIEW)
def window_export(_request: HttpRequest, hash_: str, kind: str) -> HttpResponse:
    """All work of a block's window that the reader may see, as CSV or JSON."""
    found = division(hash_)
    if found is None:
        raise Http404
    rows = [[name, str(work)] for name, work in found.shares]
    return download(f"pool-window-{found.block.height}", kind, ("worker", "work_hashes"), rows, len(rows))


@require_safe
def proof(request: HttpRequest) -> HttpResponseBase:
    """The proof that a worker's work is part of a published window, to whom the worker is visible."""
    window, worker = request.GET.get("window", ""), request.GET.get("worker", "")
    if not request.user.is_authenticated and not _is_public(account_of(worker)):
        return needs(Permission.POOL_VIEW)(proof)(request)
    if request.user.is_authenticated and not request.user.may(Permission.POOL_VIEW):
        raise PermissionDenied
    with acting(current_scope() if request.user.is_authenticated else SITE):
        found = share_proof(window, worker)
    if found is None:
        raise Http404
    answer = HttpResponse(found.encoded(), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="{PROOF}"'
    return answer


@require_safe
def verifier(request: HttpRequest) -> HttpResponseBase:
    """The program that checks a proof: short, to be read, and sharing no code with what makes proofs."""
    if not request.user.is_authenticated and not settings.CONFIG.pool.public_accounts:
        return needs(Permission.POOL_VIEW)(verifier)(request)
    answer = HttpResponse(Path(verify_share_proof.__file__).read_bytes(), content_type="text/x-python; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{VERIFIER}"'
    return answer
