"""The practice persons' steps of a payout, by the services that people use."""

from collections.abc import Callable
from typing import Final

from mbongi.pool.adapters.practice_wallet import PracticeWallet, miners_address
from mbongi.pool.models import Account, Entry, Payment
from mbongi.pool.payments import (
    PRACTICE_APPROVER,
    PRACTICE_PROPOSER,
    approve_payout,
    export_payout,
    import_signed,
    propose_payout,
    set_payout_address,
    unsigned_txid_of,
)
from mbongi.pool.payout_plan import RESERVING, Wish
from mbongi.pool.terms import PayingTerms
from mbongi.pool.values import PRACTICE_ADDRESS_REASON, PRACTICE_REASON, PaymentState
from mbongi.wire.bitcoin.psbt import Psbt

_ADDRESSES_PER_ROUND: Final = 100


def has_float(key: str) -> bool:
    """Whether the float of this chain is entered."""
    return Entry.objects.filter(key=key).exists()


def advance(terms: PayingTerms, wallet: PracticeWallet, at_point: Callable[[str], None]) -> int:
    """Propose a payout, approve, sign and bring it back, or go on with one that was left half done; its number.

    Raises PayoutError where there is nothing to pay, or not enough to pay it.
    """
    _give_addresses(terms)
    payment = _open() or Payment.objects.get(
        pk=propose_payout(PRACTICE_PROPOSER, terms, Wish(in_advance=True), reason=PRACTICE_REASON)
    )
    at_point("proposed")
    if payment.state == PaymentState.DRAFT:
        approve_payout(PRACTICE_APPROVER, terms, payment.pk, unsigned_txid=unsigned_txid_of(payment))
        at_point("approved")
        payment.refresh_from_db()
    if payment.state == PaymentState.APPROVED:
        text = export_payout(PRACTICE_PROPOSER, terms, payment.pk)
        at_point("exported")
        signed = wallet.sign(Psbt.from_base64(text)).to_base64()
        import_signed(PRACTICE_PROPOSER, terms, payment.pk, [signed])
        at_point("signed")
    return payment.pk


def _open() -> Payment | None:
    mine = Payment.objects.filter(state__in=RESERVING, proposed_by=PRACTICE_PROPOSER.actor)
    return mine.order_by("id").first()


def _give_addresses(terms: PayingTerms) -> None:
    without = Account.objects.filter(balance_sat__gt=0, payout_address="").exclude(name__startswith=".")
    for name in without.order_by("id").values_list("name", flat=True)[:_ADDRESSES_PER_ROUND]:
        set_payout_address(PRACTICE_PROPOSER, terms, name, miners_address(name), reason=PRACTICE_ADDRESS_REASON)
