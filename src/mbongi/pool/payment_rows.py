"""Reads of payouts, within the scope that the caller acts in: tenants find the payments that pay them, of the site's
people everybody finds all. Rows are plain frozen values; amounts are whole satoshis."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from mbongi.pool.models import Coin, Payment, PaymentOutput
from mbongi.pool.payments import unsigned_txid_of
from mbongi.pool.rules.block_record import MATURE_CONFIRMATIONS
from mbongi.pool.rules.payout.batch import FeePayer
from mbongi.pool.values import CoinKind, PaymentState

PAGE_MAX = 1000


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A payout. ``proposed_by`` is as the ledger names them; ``proposer`` the account's name, empty for a program.

    ``txid`` is empty until it is signed, ``block_hash`` while no block holds it. ``message`` says why it does not get
    on, or why it ended. ``weight`` is the most that it can be, signed.
    """

    id: int
    state: PaymentState
    reason: str
    proposed_by: str
    proposer: str
    proposed_at: datetime
    approvals_needed: int
    payer: FeePayer
    fee_sat_kvb: int
    fee_sat: int
    pool_fee_sat: int
    amount_sat: int
    change_sat: int
    weight: int
    outputs: int
    unsigned_txid: str
    exported_at: datetime | None
    signed_at: datetime | None
    txid: str
    broadcast_at: datetime | None
    block_hash: str
    block_height: int | None
    confirmations: int
    confirmed_at: datetime | None
    ended_at: datetime | None
    message: str
    replaces: int | None
    """The payment whose coins it spends at a higher fee."""

    @property
    def vsize(self) -> int:
        """Virtual bytes, at most."""
        return -(-self.weight // 4)


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """Who approved a payout; ``name`` is empty for a program."""

    approved_by: str
    name: str
    approved_at: datetime


@dataclass(frozen=True, slots=True)
class OutputRow:
    """An account's part of a payout: ``amount_sat`` comes off its balance, ``sent_sat`` reaches its address."""

    payment_id: int
    state: PaymentState
    txid: str
    confirmations: int
    proposed_at: datetime
    broadcast_at: datetime | None
    account: str
    index: int
    address: str
    amount_sat: int
    sent_sat: int


@dataclass(frozen=True, slots=True)
class CoinTotals:
    """What the pool's own coins hold: free to be spent now, resting (a block's own, or change in no block yet), and
    taken by payouts that are not in a block."""

    spendable_sat: int
    resting_sat: int
    taken_sat: int
    spendable: int


def payments(*, limit: int = 100, offset: int = 0, state: PaymentState | None = None) -> list[PaymentRow]:
    """The newest payouts first."""
    found = _payments() if state is None else _payments().filter(state=state)
    return [_payment_row(each) for each in found.order_by("-id")[offset : offset + min(limit, PAGE_MAX)]]


def payment(payment_id: int) -> PaymentRow | None:
    """One payout; None where there is none of that number in the scope."""
    return next((_payment_row(each) for each in _payments().filter(pk=payment_id)), None)


def outputs(payment_id: int, *, limit: int = PAGE_MAX, offset: int = 0) -> list[OutputRow]:
    """Whom a payout pays, largest first."""
    return _output_rows(
        PaymentOutput.objects.filter(payment_id=payment_id).order_by("-amount_sat", "id"), limit, offset
    )


def outputs_of_account(account_id: int, *, limit: int = 100, offset: int = 0) -> list[OutputRow]:
    """What an account was or is to be paid, newest first."""
    return _output_rows(PaymentOutput.objects.filter(account_id=account_id).order_by("-payment_id"), limit, offset)


def approvals(payment_id: int) -> list[ApprovalRow]:
    """Who approved a payout, first to last. Acts within the site's scope."""
    found = Payment.objects.get(pk=payment_id).approvals.select_related("user") if _exists(payment_id) else []
    return [ApprovalRow(each.approved_by, each.user.name if each.user else "", each.approved_at) for each in found]


def coin_totals() -> CoinTotals:
    """What there is to pay from. Acts within the site's scope."""
    mature = Q(confirmations__gte=MATURE_CONFIRMATIONS) | (~Q(kind=CoinKind.COINBASE) & Q(confirmations__gte=1))
    free, open_states = Q(reserved_by=None), [state for state in PaymentState if state.reserves or state == "broadcast"]
    found = Coin.objects.filter(is_gone=False, is_spent=False).aggregate(
        spendable=Sum("value_sat", filter=free & mature),
        resting=Sum("value_sat", filter=free & ~mature),
        taken=Sum("value_sat", filter=Q(reserved_by__state__in=open_states)),
        count=Count("id", filter=free & mature),
    )
    return CoinTotals(found["spendable"] or 0, found["resting"] or 0, found["taken"] or 0, found["count"])


def _exists(payment_id: int) -> bool:
    return Payment.objects.filter(pk=payment_id).exists()


def _payments() -> "QuerySet[Payment, Payment]":
    return Payment.objects.select_related("proposer").annotate(output_count=Count("outputs"))


def _output_rows(found: "QuerySet[PaymentOutput, Any]", limit: int, offset: int) -> list[OutputRow]:
    rows = found.select_related("payment", "account")[offset : offset + min(limit, PAGE_MAX)]
    return [
        OutputRow(
            payment_id=each.payment_id,
            state=PaymentState(each.payment.state),
            txid=each.payment.txid,
            confirmations=each.payment.confirmations,
            proposed_at=each.payment.proposed_at,
            broadcast_at=each.payment.broadcast_at,
            account=each.account.name,
            index=each.index,
            address=each.address,
            amount_sat=each.amount_sat,
            sent_sat=each.sent_sat,
        )
        for each in rows
    ]


def _payment_row(each: Payment) -> PaymentRow:
    return PaymentRow(
        id=each.pk,
        state=PaymentState(each.state),
        reason=each.reason,
        proposed_by=each.proposed_by,
        proposer=each.proposer.name if each.proposer else "",
        proposed_at=each.proposed_at,
        approvals_needed=each.approvals_needed,
        payer=FeePayer(each.payer),
        fee_sat_kvb=each.fee_sat_kvb,
        fee_sat=each.fee_sat,
        pool_fee_sat=each.pool_fee_sat,
        amount_sat=each.amount_sat,
        change_sat=each.change_sat,
        weight=each.weight,
        outputs=each.output_count,  # type: ignore[attr-defined]
        unsigned_txid=unsigned_txid_of(each),
        exported_at=each.exported_at,
        signed_at=each.signed_at,
        txid=each.txid,
        broadcast_at=each.broadcast_at,
        block_hash=each.block_hash,
        block_height=each.block_height,
        confirmations=each.confirmations,
        confirmed_at=each.confirmed_at,
        ended_at=each.ended_at,
        message=each.message,
        replaces=each.replaces_id,
    )
