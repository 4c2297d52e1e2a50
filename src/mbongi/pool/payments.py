"""Payouts by people: proposed, approved by somebody else, signed outside, brought back. ``paying.py`` does the rest.

Every step is one transaction: lock, rule, save, ledger, event. The bookings' lock makes the steps of all payouts follow
one another. The transaction of a payout is made once, at its proposal, and never changes: what is approved is what is
signed is what is sent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.entries import lock_books
from mbongi.pool.errors import NotPermittedError, PayoutError, PayoutRefusedError, UnknownPaymentError
from mbongi.pool.events import PaymentChanged
from mbongi.pool.models import Account, Coin, Payment, PaymentApproval, PaymentOutput
from mbongi.pool.payout_plan import RESERVING, Plan, Wish, coins_of, noted_tip, plan_payout, plan_replacement
from mbongi.pool.terms import PayingTerms
from mbongi.pool.values import PaymentState
from mbongi.wire.bitcoin.address import script_of_address
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.psbt import Psbt, Spent, combine, create_psbt
from mbongi.wire.bitcoin.psbt_fields import REDEEM_SCRIPT, WITNESS_SCRIPT
from mbongi.wire.bitcoin.psbt_finalizer import IncompleteError, extract, finalize
from mbongi.wire.bitcoin.script import p2sh_hash, witness_program
from mbongi.wire.bitcoin.signatures import require_signed
from mbongi.wire.bitcoin.transaction import Transaction, TxOut
from mbongi.wire.errors import WireError

REASON_CHARS_MAX: Final = 500
OPEN_MAX: Final = 20
"""Payouts under way at a time, at most."""
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
FILES_MAX: Final = 15
"""Signed files of one import, at most: a script's keys can be as many."""


class Person(Protocol):
    """Whoever asks: an account, or a practice person."""

    @property
    def pk(self) -> Any:
        """The account's number; None for a practice person."""

    @property
    def actor(self) -> str:
        """How the ledger names them."""

    def may(self, permission: Permission) -> bool:
        """Whether they may do it."""


@dataclass(frozen=True, slots=True)
class PracticePerson:
    """A program that plays a person, on the practice chain alone."""

    actor: str
    permissions: frozenset[Permission]
    pk: None = field(default=None, init=False)

    def may(self, permission: Permission) -> bool:
        """Whether it may do it."""
        return permission in self.permissions


CANCELLING: Final = (Permission.PAYOUT_PROPOSE, Permission.PAYOUT_APPROVE)
"""Either permits to cancel a payout."""
PRACTICE_PROPOSER: Final = PracticePerson("practice:proposer", frozenset({Permission.PAYOUT_PROPOSE}))
PRACTICE_APPROVER: Final = PracticePerson("practice:approver", frozenset({Permission.PAYOUT_APPROVE}))


@transaction.atomic
def propose_payout(by: Person, terms: PayingTerms, wish: Wish, *, reason: str) -> int:
    """Propose the payout that ``plan_payout`` shows at this moment; returns its number.

    Its amounts and coins are set aside until it is debited, cancelled or failed. Raises NotPermittedError,
    PayoutRefusedError (no reason, too many open), PayoutError as ``plan_payout`` does.
    """
    _require(by, terms, Permission.PAYOUT_PROPOSE, "propose a payout")
    reason = _checked_reason(reason, "propose a payout")
    lock_books()
    if Payment.objects.filter(state__in=[state for state in PaymentState if state.reserves]).count() >= OPEN_MAX:
        raise PayoutRefusedError(
            f"propose a payout: {OPEN_MAX} are open; finish or cancel one first",
            _("Too many payouts are open; finish or cancel one first."),
        )
    plan = plan_payout(terms, wish)
    payment = _saved(by, terms, plan, reason)
    after = {
        "amount_sat": payment.amount_sat,
        "fee_sat": payment.fee_sat,
        "pool_fee_sat": payment.pool_fee_sat,
        "fee_sat_kvb": payment.fee_sat_kvb,
        "payer": payment.payer,
        "accounts": len(plan.batch.paid),
        "coins": len(plan.batch.coins),
        "unsigned_txid": plan.unsigned_txid,
    }
    record(payment, by.actor, "propose", reason=reason, after=after)
    return payment.pk


@transaction.atomic
def propose_replacement(by: Person, terms: PayingTerms, payment_id: int, *, fee_sat_kvb: int, reason: str) -> int:
    """Propose to pay the same accounts from the same coins at a higher fee, instead of a payout that no block takes.

    Only one of the two can ever be in the chain. Returns its number; it is approved and signed like any other. Raises
    NotPermittedError, UnknownPaymentError, PayoutRefusedError; PayoutError for a rate that nodes would not take for it.
    """
    what = f"replace payment {payment_id}"
    _require(by, terms, Permission.PAYOUT_PROPOSE, what)
    reason = _checked_reason(reason, what)
    former = locked(payment_id)
    _require_state(former, what, PaymentState.BROADCAST)
    if former.replaced_by.filter(state__in=RESERVING).exists():
        raise PayoutRefusedError(
            f"{what}: another replacement is open; cancel it first",
            _("A replacement is open already; cancel it first."),
        )
    plan = plan_replacement(terms, former, fee_sat_kvb)
    payment = _saved(by, terms, plan, reason, replaces=former)
    after = {
        "replaces": former.pk,
        "fee_sat": payment.fee_sat,
        "fee_sat_before": former.fee_sat,
        "unsigned_txid": plan.unsigned_txid,
    }
    record(payment, by.actor, "propose", reason=reason, after=after)
    return payment.pk


def _saved(by: Person, terms: PayingTerms, plan: Plan, reason: str, replaces: Payment | None = None) -> Payment:
    batch = plan.batch
    payment = Payment.objects.create(
        state=PaymentState.DRAFT,
        reason=reason,
        proposer_id=by.pk,
        proposed_by=by.actor,
        replaces=replaces,
        proposed_at=utc_now(),
        approvals_needed=terms.approvals,
        payer=plan.policy.payer,
        fee_sat_kvb=plan.policy.fee_sat_kvb,
        fee_sat=batch.fee_sat,
        pool_fee_sat=batch.pool_fee_sat,
        amount_sat=batch.amount_sat,
        change_sat=batch.change_sat,
        change_index=batch.change_index,
        weight=batch.weight,
        unsigned=batch.transaction.encode(),
    )
    accounts = Account.objects.in_bulk([each.account for each in batch.paid], field_name="name")
    PaymentOutput.objects.bulk_create(
        PaymentOutput(
            payment=payment,
            account=accounts[each.account],
            tenant_id=accounts[each.account].tenant_id,
            index=each.index,
            address=plan.addresses[each.account],
            amount_sat=each.amount_sat,
            sent_sat=each.sent_sat,
        )
        for each in batch.paid
    )
    for coin in batch.coins if replaces is None else ():  # a replacement takes them over when it is debited
        taken = Coin.objects.filter(txid=display(coin.txid), index=coin.index, reserved_by=None)
        if taken.update(reserved_by=payment) != 1:
            raise PayoutError(f"payment: coin {coin.name} was taken meanwhile; propose again")
    return payment


@transaction.atomic
def approve_payout(by: Person, terms: PayingTerms, payment_id: int, *, unsigned_txid: str) -> PaymentState:
    """Approve exactly the transaction with this id; with enough approvals it may be signed. Returns the state.

    Never by the proposer, and once by each person. Raises NotPermittedError, UnknownPaymentError, PayoutRefusedError.
    """
    what = f"approve payment {payment_id}"
    _require(by, terms, Permission.PAYOUT_APPROVE, what)
    payment = locked(payment_id)
    _require_state(payment, what, PaymentState.DRAFT)
    if by.actor == payment.proposed_by:
        raise PayoutRefusedError(
            f"{what}: {by.actor} proposed it; somebody else must approve",
            _("You proposed this payout; somebody else must approve it."),
        )
    if payment.approvals.filter(approved_by=by.actor).exists():
        raise PayoutRefusedError(
            f"{what}: {by.actor} has approved it already", _("You have approved this payout already.")
        )
    if unsigned_txid != unsigned_txid_of(payment):
        raise PayoutRefusedError(
            f"{what}: it is transaction {unsigned_txid_of(payment)}, not {unsigned_txid}; look at it again",
            _("This is not the transaction that you looked at; look again."),
        )
    PaymentApproval.objects.create(payment=payment, user_id=by.pk, approved_by=by.actor, approved_at=utc_now())
    approvals = payment.approvals.count()
    if approvals >= payment.approvals_needed:
        payment.state = PaymentState.APPROVED
        payment.save(update_fields=["state"])
    after = {"unsigned_txid": unsigned_txid, "approvals": approvals, "needed": payment.approvals_needed}
    record(payment, by.actor, "approve", after=after)
    return PaymentState(payment.state)


@transaction.atomic
def export_payout(by: Person, terms: PayingTerms, payment_id: int) -> str:
    """The file (PSBT, base64) to be signed outside. From now on the payout counts as one that somebody may have signed.

    Raises NotPermittedError, UnknownPaymentError, PayoutRefusedError unless it is approved.
    """
    what = f"export payment {payment_id}"
    _require(by, terms, Permission.PAYOUT_PROPOSE, what)
    payment = locked(payment_id)
    _require_state(payment, what, PaymentState.APPROVED)
    if payment.exported_at is None:
        payment.exported_at, payment.sent_height = utc_now(), noted_tip()
        payment.save(update_fields=["exported_at", "sent_height"])
    text = psbt_of(payment).to_base64()
    record(payment, by.actor, "export", after={"unsigned_txid": unsigned_txid_of(payment)})
    return text


@transaction.atomic
def import_signed(by: Person, terms: PayingTerms, payment_id: int, files: Sequence[str]) -> str:
    """Take the signed file back (several, where each holds other signatures); returns the transaction's id.

    A file is a PSBT in base64, or the signed transaction in hex. It must be the very transaction that was approved,
    with every input validly signed for the coin that our own record names, whatever else the file says. Raises
    NotPermittedError, UnknownPaymentError, PayoutRefusedError.
    """
    what = f"import payment {payment_id}"
    _require(by, terms, Permission.PAYOUT_PROPOSE, what)
    payment = locked(payment_id)
    _require_state(payment, what, PaymentState.APPROVED)
    if not 1 <= len(files) <= FILES_MAX:
        raise PayoutRefusedError(f"{what}: {len(files)} files; expected 1..{FILES_MAX}")
    try:
        signed = _signed(psbt_of(payment), files)
    except IncompleteError as error:
        text = _("Signatures are missing: %(what)s.") % {"what": error}
        raise PayoutRefusedError(f"{what}: {error}; sign it with every key that it takes", text) from error
    except WireError as error:
        text = _("This is not the approved transaction, validly signed: %(what)s.") % {"what": error}
        raise PayoutRefusedError(f"{what}: {error}", text) from error
    payment.signed, payment.txid, payment.signed_at = signed.encode(), display(signed.txid), utc_now()
    payment.state, payment.message = PaymentState.SIGNED, ""
    # One that was given up and proposed again alike is the same transaction; its id stands for the one under way.
    given_up = [state for state in PaymentState if not state.is_open]
    Payment.objects.filter(txid=payment.txid, state__in=given_up).update(txid="")
    payment.save(update_fields=["signed", "txid", "signed_at", "state", "message"])
    record(payment, by.actor, "sign", after={"txid": payment.txid, "wtxid": display(signed.wtxid)})
    return payment.txid


def _signed(ours: Psbt, files: Sequence[str]) -> Transaction:
    """The signed transaction. Raises WireError unless the files only add what makes ours valid."""
    spent = [ours.spent_output(place) for place in range(len(ours.input_fields))]
    if len(files) == 1 and _HEX.fullmatch(files[0]):
        found = Transaction.parse(bytes.fromhex(files[0]))
        if found.unsigned() != ours.transaction:
            raise WireError("this is not the signed form of that one transaction")
    else:
        found = extract(finalize(combine(ours, *(Psbt.from_base64(text) for text in files))))
    require_signed(found, [each for each in spent if each is not None])
    return found


@transaction.atomic
def cancel_payout(by: Person, terms: PayingTerms, payment_id: int, *, reason: str) -> None:
    """Give up a payout that is not debited; its amounts and coins are free again.

    One that somebody outside may have signed stays watched, and the next payout spends one of its coins, so that only
    one of the two can ever be in the chain. Raises NotPermittedError, UnknownPaymentError, PayoutRefusedError.
    """
    what = f"cancel payment {payment_id}"
    _require(by, terms, next((each for each in CANCELLING if by.may(each)), CANCELLING[0]), what)
    reason = _checked_reason(reason, what)
    payment = locked(payment_id)
    _require_state(payment, what, *(state for state in PaymentState if state.reserves))
    payment.state, payment.message, payment.ended_at = PaymentState.CANCELLED, reason, utc_now()
    payment.is_at_rest = payment.exported_at is None
    payment.save(update_fields=["state", "message", "ended_at", "is_at_rest"])
    Coin.objects.filter(reserved_by=payment).update(reserved_by=None)
    record(payment, by.actor, "cancel", reason=reason, after={"exported": payment.exported_at is not None})


@transaction.atomic
def set_payout_address(by: Person, terms: PayingTerms, account: str, address: str, *, reason: str) -> None:
    """State where an account is paid; empty: its balance waits. What is proposed already keeps its address.

    Raises NotPermittedError, UnknownPaymentError for an account that is not known, PayoutRefusedError for an address
    that is not one of the pool's network, or without a reason.
    """
    what = f"set the address of {account}"
    _require(by, terms, Permission.PAYOUT_PROPOSE, what)
    reason = _checked_reason(reason, what)
    try:
        if address:
            script_of_address(address, terms.network)
    except WireError as error:
        raise PayoutRefusedError(f"{what}: {error}", _("This is no address of the pool's chain.")) from error
    lock_books()  # before the row: whoever books takes them in this order
    row = Account.objects.select_for_update().filter(name=account).first()
    if row is None:
        raise UnknownPaymentError(f"account {account}: not known")
    before, row.payout_address = row.payout_address, address
    row.save(update_fields=["payout_address"])
    values = ({"payout_address": before}, {"payout_address": address})
    ledger.append([NewEntry(by.actor, "pool.account.address", f"pool-account:{row.pk}", reason, *values)])


def psbt_of(payment: Payment) -> Psbt:
    """A payment's transaction with what signers need to know of the coins that it spends."""
    unsigned = Transaction.parse(bytes(payment.unsigned), witness=False)
    coins = coins_of(payment)
    psbt = create_psbt(unsigned, [_spent(coin) for coin in coins])
    for place, coin in enumerate(coins):
        unlock, script = bytes(coin.unlock), bytes(coin.script)
        if unlock:
            psbt = psbt.with_input(place, {REDEEM_SCRIPT if p2sh_hash(script) else WITNESS_SCRIPT: unlock})
    return psbt


def _spent(coin: Coin) -> Spent:
    script = bytes(coin.script)
    is_segwit = witness_program(script) is not None or (
        p2sh_hash(script) is not None and witness_program(bytes(coin.unlock)) is not None
    )
    whole = Transaction.parse(bytes(coin.transaction))
    return Spent(output=TxOut(coin.value_sat, script) if is_segwit else None, transaction=whole)


def unsigned_txid_of(payment: Payment) -> str:
    """The id of what approvers approve; of segwit coins alone also the id that the signed transaction will have."""
    return display(Transaction.parse(bytes(payment.unsigned), witness=False).txid)


def locked(payment_id: int) -> Payment:
    """A payment, nobody else being at the books until the transaction ends. Raises UnknownPaymentError."""
    lock_books()
    payment = Payment.objects.filter(pk=payment_id).first()
    if payment is None:
        raise UnknownPaymentError(f"payment {payment_id}: not known")
    return payment


def record(payment: Payment, actor: str, verb: str, *, reason: str = "", after: Any = None) -> None:
    """Put a step into the ledger and tell the bus; the last thing in its transaction."""
    outbox.emit(
        PaymentChanged(
            payment_id=payment.pk,
            state=payment.state,
            txid=payment.txid,
            amount_sat=payment.amount_sat,
            fee_sat=payment.fee_sat,
            outputs=payment.outputs.count(),
            at_ms=int(utc_now().timestamp() * 1000),
        )
    )
    ledger.append([NewEntry(actor, f"pool.payment.{verb}", f"payment:{payment.pk}", reason, after=after)])


def _require(by: Person, terms: PayingTerms, permission: Permission, what: str) -> None:
    if by.pk is None and not terms.is_practice:
        raise NotPermittedError(f"{by.actor}: {what}: a practice person has no say on {terms.network.name}")
    if not by.may(permission):
        raise NotPermittedError(f"{by.actor}: {what}: the role does not permit it")


def _require_state(payment: Payment, what: str, *expected: PaymentState) -> None:
    if payment.state not in expected:
        text = _("This payout is not in a state that allows it; load the page again.")
        raise PayoutRefusedError(f"{what}: it is {payment.state}; expected {' or '.join(expected)}", text)


def _checked_reason(reason: str, what: str) -> str:
    reason = reason.replace("\0", "").strip()
    if not reason:
        raise PayoutRefusedError(f"{what}: found no reason; state why", _("State a reason."))
    if len(reason) > REASON_CHARS_MAX:
        text = _("The reason is too long: %(found)d characters; at most %(limit)d.")
        raise PayoutRefusedError(
            f"{what}: reason of {len(reason)} characters; at most {REASON_CHARS_MAX}",
            text % {"found": len(reason), "limit": REASON_CHARS_MAX},
        )
    return reason
