"""What each route of the pool answers."""

from typing import Any

from mbongi.base.errors import MbongiError
from mbongi.core.identity.scope import current_scope
from mbongi.pool import payment_rows, payments, selectors, telemetry
from mbongi.pool.errors import UnknownPaymentError
from mbongi.pool.payment_rows import PaymentRow
from mbongi.pool.payout_plan import Plan, Wish, plan_payout
from mbongi.pool.rules.hashrate import Rate
from mbongi.pool.rules.proof import ShareProof
from mbongi.pool.selectors import AccountRow, BlockRow
from mbongi.pool.telemetry import WorkerRow
from mbongi.web import filters, pool_sight
from mbongi.web.api import pool_structs as structs
from mbongi.web.api.structs import Series
from mbongi.web.api.views import Call
from mbongi.web.pages.pool import worker_query
from mbongi.web.pages.pool_payouts import terms
from mbongi.web.pages.pool_statement import SignedStatement, signed_statement
from mbongi.web.pool_division import division, share_proof

ROWS_MAX = 1000


class NotHereError(MbongiError, LookupError):
    """No such thing, or none that the asker may see."""


def _require_site() -> None:
    if not current_scope().site_wide:
        raise NotHereError("of the site's own people alone")


def pool(_call: Call) -> structs.PoolSummary:
    """The pool at a glance."""
    _require_site()
    sight = pool_sight.pool(blocks=1)
    status, luck = sight.status, sight.luck
    template = None if status is None else status.template
    nothing = (None,) * len(pool_sight.QUANTILES)
    checked, told = [each.values for each in sight.quantiles] or [nothing, nothing]
    names = [name for name, _part in pool_sight.QUANTILES]
    return structs.PoolSummary(
        heard_at=sight.now.heard_at,
        stale=sight.now.is_stale,
        processes=sight.now.processes,
        listening=status is not None and status.listening,
        trouble="" if status is None else status.trouble,
        workers=0 if status is None else status.workers,
        connections_v1=0 if status is None else status.v1_connections,
        connections_v2=0 if status is None else status.v2_connections,
        hashrates={bar.name: _hashrate(bar.rate, bar.span_s) for bar in sight.bars},
        reject_pct=sight.reject_pct,
        blocks_day=luck.blocks,
        expected_blocks_day=luck.expected,
        luck=luck.ratio,
        best_share=None if status is None or status.best is None else status.best.difficulty,
        template=None
        if template is None
        else structs.PoolTemplate(
            height=template.height,
            fees_sat=template.fees_sat,
            best_fees_sat=template.best_fees_sat,
            transactions=template.transactions,
            age_s=template.age_s,
        ),
        nodes=[]
        if status is None
        else [
            structs.PoolNode(
                name=node.name,
                standing=node.standing,
                reason=node.reason,
                height=node.height,
                followed=node.followed,
            )
            for node in status.nodes
        ],
        told_ms=dict(zip(names, told, strict=True)),
        checked_ms=dict(zip(names, checked, strict=True)),
    )


def _hashrate(rate: Rate, span_s: float) -> structs.Hashrate:
    return structs.Hashrate(value=rate.value, low=rate.low, high=rate.high, span_s=span_s)


def pool_series(call: Call) -> Series:
    """The hashrate with its interval over time: of the pool, an account or a worker."""
    query = call.request.GET
    hours = filters.hours(query, limit=24 * 31)
    own, worker, account = pool_sight.own_accounts(), query.get("worker", ""), query.get("account", "")
    if account:
        _account(account)
        own = [account]
    return pool_sight.series(hours, worker=worker, accounts=own)


def pool_workers(call: Call) -> structs.PoolWorkerList:
    """Workers of the last day, by search and order."""
    text, sort, limit, offset = worker_query(call.request.GET)
    page = telemetry.workers(
        pool_sight.site_store(),
        text=text,
        sort=sort,
        limit=limit,
        offset=offset,
        accounts=pool_sight.own_accounts(),
    )
    return structs.PoolWorkerList(
        items=[_worker(row) for row in page.rows], total=page.total, offset=offset, limit=limit
    )


def _worker(row: WorkerRow) -> structs.PoolWorker:
    return structs.PoolWorker(
        worker=row.worker,
        account=row.account,
        firmware=row.agent,
        hashrate_hour=_hashrate(row.hour, 3600.0),
        hashrate_day=_hashrate(row.day, 86_400.0),
        shares=row.shares,
        rejected=row.rejected,
        best=row.best,
        blocks=row.blocks,
        last_share_at=row.last_share_at,
    )


def pool_rejects(_call: Call) -> structs.PoolRejectList:
    """Rejected shares by firmware and reason, over a day."""
    rows = telemetry.rejects(pool_sight.site_store(), accounts=pool_sight.own_accounts(), limit=64)
    return structs.PoolRejectList(
        items=[
            structs.PoolRejects(firmware=row.agent, accepted=row.accepted, rejected=row.rejected, reasons=row.reasons)
            for row in rows
        ]
    )


def pool_accounts(call: Call) -> structs.PoolAccountList:
    """Accounts by name."""
    part = filters.part_query(call.request.GET)
    text = call.request.GET.get("q", "").strip()[: filters.TEXT_MAX]
    rows = selectors.accounts(search=text, limit=part.limit, offset=part.offset)
    items = [structs.PoolAccount(**_account_facts(row)) for row in rows]
    return structs.PoolAccountList(items=items, offset=part.offset, limit=part.limit)


def pool_account(call: Call) -> structs.PoolAccountFull:
    """One account with its newest changes."""
    row = _account(call.request.GET.get("name", ""))
    changes = [
        structs.PoolChange(key=each.key, kind=each.kind, at=each.at, sat=each.sat, block_hash=each.block_hash)
        for each in selectors.changes(row.id, limit=filters.limit(call.request.GET))
    ]
    return structs.PoolAccountFull(**_account_facts(row), changes=changes)


def _account(name: str) -> AccountRow:
    row = selectors.account(name) if name else None
    if row is None:
        raise NotHereError(f"account {name}: not known")
    return row


def _account_facts(row: AccountRow) -> dict[str, Any]:
    names = ("name", "balance_sat", "immature_sat", "payable_sat", "minimum_sat", "payout_address", "added_at")
    return {name: getattr(row, name) for name in names}


def pool_blocks(call: Call) -> structs.PoolBlockList:
    """Blocks, newest first."""
    rows = pool_sight.blocks(filters.limit(call.request.GET))
    return structs.PoolBlockList(items=[structs.PoolBlock(**_block_facts(row)) for row in rows])


def pool_block(call: Call) -> structs.PoolBlockFull:
    """One block with its window, its credits and the work of the workers that the asker may see."""
    found = division(call.request.GET.get("hash", ""))
    if found is None:
        raise NotHereError("block: not known")
    part = filters.part_query(call.request.GET, limit=ROWS_MAX)
    rows, window = slice(part.offset, part.offset + part.limit), found.window
    return structs.PoolBlockFull(
        **_block_facts(found.block),
        coinbase_txid=found.block.coinbase_txid,
        total_work=None if window is None else str(window.total_work),
        ledger_index=None if window is None else window.ledger_index,
        credits=[structs.PoolCredit(account=name, sat=sat) for name, sat in found.credits[rows]],
        credits_total=len(found.credits),
        shares=[structs.PoolWindowWork(worker=name, work=str(work)) for name, work in found.shares[rows]],
        shares_total=len(found.shares),
        offset=part.offset,
        limit=part.limit,
    )


def _block_facts(row: BlockRow) -> dict[str, Any]:
    names = (
        *("hash", "height", "found_at", "worker", "account", "state", "confirmations", "subsidy_sat", "fees_sat"),
        *("luck", "scheme", "window", "root"),
    )
    return {name: getattr(row, name) for name in names}


def pool_proof(call: Call) -> ShareProof:
    """The proof that a worker's work is part of a published window."""
    window, worker = call.request.GET.get("window", ""), call.request.GET.get("worker", "")
    found = share_proof(window, worker)
    if found is None:
        raise NotHereError(f"window {window}: no work of {worker}")
    return found


def pool_statement(_call: Call) -> SignedStatement:
    """The signed statement of the pool's hashrate by site and country."""
    return signed_statement()


def pool_payouts(call: Call) -> structs.PoolPayoutList:
    """Payouts, newest first."""
    rows = payment_rows.payments(limit=filters.limit(call.request.GET))
    return structs.PoolPayoutList(items=[_payout(row) for row in rows])


def pool_payout(call: Call) -> structs.PoolPayout:
    """One payout and how far it is."""
    return _payout(_payment(call.number))


def _payment(number: int) -> PaymentRow:
    row = payment_rows.payment(number)
    if row is None:
        raise UnknownPaymentError(f"payment {number}: not known")
    return row


def _payout(row: PaymentRow) -> structs.PoolPayout:
    return structs.PoolPayout(
        id=row.id,
        state=row.state,
        reason=row.reason,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        amount_sat=row.amount_sat,
        fee_sat=row.fee_sat,
        change_sat=row.change_sat,
        accounts=row.outputs,
        unsigned_txid=row.unsigned_txid,
        txid=row.txid,
        block_hash=row.block_hash,
        confirmations=row.confirmations,
        message=row.message,
    )


def propose_payout(call: Call) -> structs.PayoutPlan:
    """Propose a payout, or show what it would be."""
    _require_site()
    wish: structs.PayoutRequest = call.body
    accounts = tuple(name.replace("\0", "") for name in wish.accounts)
    asked = Wish(fee_sat_kvb=wish.fee_sat_kvb, payer=wish.payer, accounts=accounts, in_advance=wish.in_advance)
    plan = plan_payout(terms(), asked)
    user: Any = call.request.user
    number = None if wish.dry_run else payments.propose_payout(user, terms(), asked, reason=wish.reason)
    return _plan(plan, number)


def _plan(plan: Plan, number: int | None) -> structs.PayoutPlan:
    paid = [
        structs.PoolPaid(
            account=each.account,
            address=plan.addresses[each.account],
            amount_sat=each.amount_sat,
            sent_sat=each.sent_sat,
        )
        for each in plan.batch.paid
    ]
    return structs.PayoutPlan(
        id=number,
        unsigned_txid=plan.unsigned_txid,
        amount_sat=plan.batch.amount_sat,
        fee_sat=plan.batch.fee_sat,
        change_sat=plan.batch.change_sat,
        paid=paid,
        waiting=dict(plan.waiting),
    )


def approve_payout(call: Call) -> structs.PoolPayout:
    """Agree to exactly one transaction."""
    _require_site()
    user: Any = call.request.user
    payments.approve_payout(user, terms(), call.number, unsigned_txid=call.body.unsigned_txid)
    return _payout(_payment(call.number))


def export_payout(call: Call) -> structs.UnsignedFile:
    """The file to be signed outside."""
    _require_site()
    user: Any = call.request.user
    return structs.UnsignedFile(psbt=payments.export_payout(user, terms(), call.number))


def import_payout(call: Call) -> structs.PoolPayout:
    """Take the signed file back."""
    _require_site()
    user: Any = call.request.user
    payments.import_signed(user, terms(), call.number, call.body.files)
    return _payout(_payment(call.number))


def cancel_payout(call: Call) -> structs.PoolPayout:
    """Give a payout up."""
    _require_site()
    user: Any = call.request.user
    payments.cancel_payout(user, terms(), call.number, reason=call.body.reason)
    return _payout(_payment(call.number))
