"""What a payout would be: whom it pays, from which coins, at what fee. Reads only; ``payments.py`` makes it so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.db.models import F, Max, Sum

from mbongi.pool import selectors
from mbongi.pool.errors import PayoutError
from mbongi.pool.models import Account, Coin, Payment, PaymentOutput
from mbongi.pool.rules.payout import coins as rules
from mbongi.pool.rules.payout.batch import FEE_SAT_KVB_MIN, Batch, Claim, FeePayer, FeePolicy, build_batch
from mbongi.pool.terms import PayingTerms
from mbongi.pool.values import FEE_ACCOUNT, CoinKind, PaymentState
from mbongi.wire.bitcoin.address import script_of_address
from mbongi.wire.bitcoin.hashing import display, from_display
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.errors import WireError

RESERVING: Final = tuple(state for state in PaymentState if state.reserves)
LEFT_OVER_SAT_MAX: Final = 1_000
"""What the pool's fee account may go into the red for: change too small for an output of its own."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a proposer may choose; None: as the configuration says.

    ``accounts`` empty: everybody with a payable balance; those named are paid below the pool's minimum too.
    ``in_advance`` pays balances from blocks whose coins still rest, too: from the operator's own coins.
    """

    fee_sat_kvb: int | None = None
    payer: FeePayer | None = None
    accounts: tuple[str, ...] = ()
    in_advance: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A payout in every detail. ``waiting`` are the accounts that it leaves out, with the reason: dust, weight,
    minimum, address (none, or none of this network), nothing (is owed), conflict (a cancelled payout could still reach
    them)."""

    batch: Batch
    policy: FeePolicy
    addresses: Mapping[str, str]
    waiting: Mapping[str, str] = field(default_factory=dict)

    @property
    def unsigned_txid(self) -> str:
        """The id of the unsigned transaction: what approvers approve."""
        return display(self.batch.transaction.txid)


@dataclass(frozen=True, slots=True)
class _Owed:
    account: str
    address: str
    minimum_sat: int
    sat: int


def plan_payout(terms: PayingTerms, wish: Wish) -> Plan:
    """The payout that would be proposed now. Raises PayoutError where there is nothing to pay or not enough to pay it.

    Acts within the site's scope. Changes nothing.
    """
    policy = terms.policy(wish.fee_sat_kvb, wish.payer)
    required, threatened = _threats()
    claims, addresses, waiting = _claims(terms, wish, threatened)
    batch = build_batch(spendable_coins(), claims, policy, change_script=terms.script, required=required)
    _require_fee_covered(batch)
    return Plan(batch, policy, addresses, dict(sorted((waiting | batch.left_out).items())))


def plan_replacement(terms: PayingTerms, former: Payment, fee_sat_kvb: int) -> Plan:
    """The same accounts paid the same amounts from the same coins, at a higher fee. Changes nothing.

    Raises PayoutError where nodes would not take it in place of the former (BIP 125: it must pay for both), or where
    the higher fee leaves somebody less than nodes relay.
    """
    policy = terms.policy(fee_sat_kvb, FeePayer(former.payer))
    addresses = dict(former.outputs.values_list("account__name", "address"))
    amounts = former.outputs.values_list("account__name", "amount_sat")
    claims = [Claim(name, script_of_address(addresses[name], terms.network), sat) for name, sat in amounts]
    coins = [coin_of(row) for row in coins_of(former)]
    batch = build_batch([], claims, policy, change_script=terms.script, required=coins)
    least_sat = former.fee_sat + -(-batch.vsize * FEE_SAT_KVB_MIN // 1000)
    if batch.left_out:
        raise PayoutError(
            f"payment {former.pk}: at {fee_sat_kvb / 1000:g} sat/vB it pays {min(batch.left_out)} no more"
        )
    if fee_sat_kvb <= former.fee_sat_kvb or batch.fee_sat < least_sat:
        raise PayoutError(
            f"payment {former.pk}: a fee of {batch.fee_sat} sat at {fee_sat_kvb / 1000:g} sat/vB; expected"
            f" {least_sat} sat or more and above {former.fee_sat_kvb / 1000:g} sat/vB, or nodes keep the former"
        )
    _require_fee_covered(batch)
    return Plan(batch, policy, addresses)


def spendable_coins() -> list[rules.Coin]:
    """The pool's coins that no payment has taken."""
    free = Coin.objects.filter(reserved_by=None, is_gone=False, is_spent=False, height__isnull=False).defer(
        "transaction"
    )
    return [coin_of(row) for row in free.order_by("id")]


def coin_of(row: Coin) -> rules.Coin:
    """A stored coin as the rules know it."""
    return rules.Coin(
        txid=from_display(row.txid),
        index=row.index,
        value_sat=row.value_sat,
        script=bytes(row.script),
        confirmations=row.confirmations,
        is_coinbase=row.kind == CoinKind.COINBASE,
        unlock=bytes(row.unlock),
    )


def coin_names(payment: Payment) -> list[tuple[str, int]]:
    """The coins that a payment spends, or would: id and index."""
    inputs = Transaction.parse(bytes(payment.unsigned), witness=False).inputs
    return [(display(each.outpoint.txid), each.outpoint.index) for each in inputs]


def coins_of(payment: Payment) -> list[Coin]:
    """The same as rows, in the order of the inputs; also of a payment that has given its coins up."""
    names = coin_names(payment)
    rows = {(row.txid, row.index): row for row in Coin.objects.filter(txid__in={txid for txid, _ in names})}
    return [rows[name] for name in names]


def noted_tip() -> int:
    """The chain's height when the pool last looked, at most; 0 where it has no coin in the chain."""
    found = Coin.objects.filter(height__isnull=False, is_gone=False)
    above: int | None = found.aggregate(above=Max(F("height") + F("confirmations")))["above"]
    return max((above or 0) - 1, 0)


def reserved_sat() -> dict[str, int]:
    """What open payments set aside, by account; what a replacement pays is debited by the payment that it replaces."""
    found = PaymentOutput.objects.filter(payment__state__in=RESERVING, payment__replaces=None).order_by()
    rows = found.values("account__name").annotate(sat=Sum("amount_sat"))
    return {row["account__name"]: int(row["sat"]) for row in rows}


def _claims(terms: PayingTerms, wish: Wish, threatened: set[str]) -> tuple[list[Claim], dict[str, str], dict[str, str]]:
    reserved = reserved_sat()
    claims, addresses, waiting = [], {}, dict.fromkeys(wish.accounts, "nothing")
    for owed in _owed(wish):
        sat = owed.sat - reserved.get(owed.account, 0)
        if sat <= 0:
            continue
        waiting.pop(owed.account, None)
        reason, script = _checked(owed, sat, terms, named=bool(wish.accounts))
        if owed.account in threatened:
            reason = "conflict"
        if reason:
            waiting[owed.account] = reason
        else:
            claims.append(Claim(owed.account, script, sat))
            addresses[owed.account] = owed.address
    return claims, addresses, waiting


def _checked(owed: _Owed, sat: int, terms: PayingTerms, *, named: bool) -> tuple[str, bytes]:
    """Why an account waits (empty: it does not), and its script."""
    try:
        script = script_of_address(owed.address, terms.network)
    except WireError:
        return "address", b""
    least_sat = 0 if named else max(owed.minimum_sat, terms.minimum_sat)
    return ("minimum" if sat < least_sat else ""), script


def _owed(wish: Wish) -> list[_Owed]:
    if wish.in_advance:
        rows = Account.objects.filter(balance_sat__gt=0).exclude(payout_address="")
        found = [_Owed(row.name, row.payout_address, row.minimum_sat, row.balance_sat) for row in rows]
    else:
        payable = selectors.payable_accounts()
        found = [_Owed(row.name, row.payout_address, row.minimum_sat, row.payable_sat) for row in payable]
    return [each for each in found if not wish.accounts or each.account in wish.accounts]


def _threats() -> tuple[list[rules.Coin], set[str]]:
    """What payouts ask for that were cancelled after somebody outside could have signed them.

    The next payout must spend one coin of each, so that only one of the two can ever be in the chain. Where another
    payment under way has taken all of them, the accounts concerned wait until that one is in a block.
    """
    required: dict[tuple[bytes, int], rules.Coin] = {}
    threatened: set[str] = set()
    for payment in Payment.objects.filter(state=PaymentState.CANCELLED, is_at_rest=False):
        mine = coins_of(payment)
        free = [coin_of(row) for row in mine if row.reserved_by_id is None and not row.is_gone and not row.is_spent]
        free = [each for each in free if each.is_spendable]
        if any((each.txid, each.index) in required for each in free):
            continue
        if free:
            chosen = max(free, key=lambda each: (each.value_sat, each.order))
            required[chosen.txid, chosen.index] = chosen
        elif not _is_overtaken(mine):
            threatened |= set(payment.outputs.values_list("account__name", flat=True))
    return list(required.values()), threatened


def _is_overtaken(coins: list[Coin]) -> bool:
    """Whether a payment that is in a block has spent one of the coins, or the chain holds one no more."""
    return any(
        row.is_gone or row.is_spent or (row.reserved_by is not None and row.reserved_by.state == PaymentState.CONFIRMED)
        for row in coins
    )


def _require_fee_covered(batch: Batch) -> None:
    """The fee that the pool bears comes off its own account, or it would be paid with the miners' money."""
    if batch.pool_fee_sat <= LEFT_OVER_SAT_MAX:
        return
    held_sat = Account.objects.filter(name=FEE_ACCOUNT).values_list("balance_sat", flat=True).first() or 0
    open_sat = Payment.objects.filter(state__in=RESERVING).aggregate(sat=Sum("pool_fee_sat"))["sat"] or 0
    if held_sat - open_sat < batch.pool_fee_sat:
        raise PayoutError(
            f"payment: a fee of {batch.pool_fee_sat} sat for the pool, whose account {FEE_ACCOUNT} holds"
            f" {held_sat - open_sat} sat; let the recipients bear it"
        )
