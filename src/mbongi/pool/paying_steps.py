"""What happens to payouts once they are signed: debited, sent, in a block, out of it again, failed; and to the coins.

The daemon (``daemon/paying.py``) looks at the chain and calls these; each is one transaction, and calling one again
changes nothing. The debit is booked in the same transaction that makes a payment ``broadcast``, before its first byte
leaves; whatever dies afterwards, the same transaction is sent again, and chains hold a transaction once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import F, Q

from mbongi.base.clock import utc_now
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.entries import Occasion, credit, debit, lock_books, reverse, stands
from mbongi.pool.errors import BalanceError, PayoutError
from mbongi.pool.models import Block, Coin, Entry, Height, Payment
from mbongi.pool.payments import locked, record, unsigned_txid_of
from mbongi.pool.payout_plan import RESERVING, coin_names, coins_of
from mbongi.pool.rules.block_record import MATURE_CONFIRMATIONS, SETTLED_CONFIRMATIONS, BlockState
from mbongi.pool.values import FEE_ACCOUNT, FLOAT_ACCOUNT, FLOAT_KEYS, CoinKind, PaymentState
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.script import witness_program
from mbongi.wire.bitcoin.transaction import Transaction

PROCESS: Final = "process:pool-accounts"
_IN_CHAIN: Final = (BlockState.IN_CHAIN, BlockState.SETTLED, BlockState.MATURE)
_CLOSED: Final = (PaymentState.CANCELLED, PaymentState.FAILED)


@dataclass(frozen=True, slots=True)
class Watched:
    """A payment whose transaction may be in a block.

    ``txid`` is empty where signatures will change it and there are none yet. ``unsigned`` is the transaction without
    them where they change its id: whoever has the keys may have signed it otherwise than what we hold. ``raw`` is the
    signed transaction, empty while we have none. ``since_height``: no block up to there holds it.
    """

    id: int
    state: PaymentState
    txid: str
    unsigned: bytes
    raw: bytes
    since_height: int
    block_hash: str
    block_height: int | None
    missing_since: int | None


@dataclass(frozen=True, slots=True)
class NewCoin:
    """An output of ours that a block of the best chain holds."""

    transaction: bytes
    index: int
    height: int
    block_id: int | None = None


def watched() -> list[Watched]:
    """The payments to look for, oldest first: also those given up that somebody outside may have signed."""
    moving = Payment.objects.filter(is_at_rest=False).exclude(state=PaymentState.DRAFT)
    names = {each: set(coin_names(each)) for each in moving.exclude(sent_height=None, txid="").order_by("id")}
    coins = Coin.objects.filter(txid__in={txid for each in names.values() for txid, _ in each})
    rows = coins.values_list("txid", "index", "script")
    old = {(txid, index) for txid, index, script in rows if witness_program(bytes(script)) is None}
    return [_watched(each, is_fixed=old.isdisjoint(mine)) for each, mine in names.items()]


def _watched(payment: Payment, *, is_fixed: bool) -> Watched:
    txid = payment.txid or (unsigned_txid_of(payment) if is_fixed else "")
    return Watched(
        id=payment.pk,
        state=PaymentState(payment.state),
        txid=txid,
        unsigned=b"" if is_fixed else bytes(payment.unsigned),
        raw=bytes(payment.signed or b""),
        since_height=payment.sent_height or 0,
        block_hash=payment.block_hash,
        block_height=payment.block_height,
        missing_since=payment.missing_since,
    )


def pending_txids() -> set[str]:
    """The payments that are sent and in no block: what they make will be in the chain again, or for the first time."""
    return set(Payment.objects.filter(state=PaymentState.BROADCAST).values_list("txid", flat=True))


@transaction.atomic
def begin_broadcast(payment_id: int, *, tip_height: int) -> bool:
    """Debit a signed payment; from then on it is sent until a block holds it. Whether it was this call that did.

    Where a balance does not cover its amount any more (a block was orphaned meanwhile) nothing changes but the
    payment's message.
    """
    payment = locked(payment_id)
    if payment.state != PaymentState.SIGNED:
        return False
    former = payment.replaces
    if former is not None and former.state != PaymentState.BROADCAST:
        _say(payment, f"payment {former.pk}, which it replaces, is {former.state}; cancel this one")
        return False
    try:
        with transaction.atomic():
            if former is not None:
                _fail(former, f"replaced by payment {payment.pk}", lost=[])
                Coin.objects.filter(pk__in=[coin.pk for coin in coins_of(payment)]).update(reserved_by=payment)
            _debit(payment, may_owe=(FEE_ACCOUNT,))
    except BalanceError as error:
        _say(payment, str(error))
        return False
    payment.state, payment.broadcast_at, payment.message = PaymentState.BROADCAST, utc_now(), ""
    payment.sent_height = tip_height if payment.sent_height is None else payment.sent_height
    payment.save(update_fields=["state", "broadcast_at", "sent_height", "message"])
    _ensure_change(payment)
    record(payment, PROCESS, "broadcast", after={"txid": payment.txid, "height": tip_height})
    return True


def _debit(payment: Payment, *, may_owe: Sequence[str]) -> None:
    amounts = dict(payment.outputs.values_list("account__name", "amount_sat"))
    if payment.pool_fee_sat:
        amounts[FEE_ACCOUNT] = amounts.get(FEE_ACCOUNT, 0) + payment.pool_fee_sat
    debit(_key(payment), amounts, Occasion(PROCESS, f"payment {payment.pk}: {payment.txid}"), may_owe=may_owe)


def _key(payment: Payment) -> str:
    return f"payment:{payment.pk}"


def _ensure_change(payment: Payment) -> None:
    """The coin that comes back to us; it may be spent once it is in a block."""
    if payment.change_index is None:
        return
    output = Transaction.parse(bytes(payment.signed or b"")).outputs[payment.change_index]
    Coin.objects.update_or_create(
        txid=payment.txid,
        index=payment.change_index,
        defaults={
            "kind": CoinKind.CHANGE,
            "value_sat": output.value_sat,
            "script": output.script,
            "unlock": known_unlock(output.script),
            "transaction": payment.signed,
            "made_by": payment,
            "is_gone": False,
        },
    )


@transaction.atomic
def seen_in_block(payment_id: int, block_hash: str, height: int, raw: bytes) -> bool:
    """A block of the best chain holds the payment's transaction (``raw``). Whether that was news.

    One that we never sent counts as well: whoever signed it sent it. Then a balance may fall below 0.
    """
    payment = locked(payment_id)
    if payment.block_hash == block_hash and payment.state == PaymentState.CONFIRMED:
        return False
    before = payment.state
    made = display(Transaction.parse(raw).txid)
    if not PaymentState(before).is_debited:
        _take_up(payment, raw)
    elif made != payment.txid:  # the same payout, signed otherwise
        payment.change_coins.update(is_gone=True)
        payment.signed, payment.txid = raw, made
        payment.save(update_fields=["signed", "txid"])
        _ensure_change(payment)
    payment.state, payment.block_hash, payment.block_height = PaymentState.CONFIRMED, block_hash, height
    payment.confirmed_at, payment.missing_since, payment.message = utc_now(), None, ""
    payment.ended_at, payment.confirmations = None, max(payment.confirmations, 1)
    payment.save()
    payment.change_coins.filter(txid=made).update(height=height, confirmations=1, is_gone=False)
    after = {"txid": payment.txid, "block": block_hash, "height": height, "before": before}
    record(payment, PROCESS, "confirm", after=after)
    return True


def _take_up(payment: Payment, raw: bytes) -> None:
    """Debit a payment that went out without us, or came back after it had failed, and take its coins."""
    signed = Transaction.parse(raw)
    payment.signed, payment.txid = raw, display(signed.txid)
    payment.broadcast_at = payment.broadcast_at or utc_now()
    payment.save(update_fields=["signed", "txid", "broadcast_at"])
    names = [*payment.outputs.values_list("account__name", flat=True), FEE_ACCOUNT]
    if Entry.objects.filter(key=_key(payment)).exists():
        if not stands(_key(payment)):
            last = Entry.objects.filter(key__startswith=f"{_key(payment)}:").order_by("-id")[0]
            reverse(_next_key(payment), Occasion(PROCESS, f"payment {payment.pk} is in a block"), undoes=last.key)
    else:
        _debit(payment, may_owe=names)
    Coin.objects.filter(pk__in=[coin.pk for coin in coins_of(payment)]).update(reserved_by=payment, is_gone=False)
    _ensure_change(payment)


def _next_key(payment: Payment) -> str:
    """Keys of what undoes the debit, restores it, and so on, are counted."""
    return f"{_key(payment)}:{Entry.objects.filter(key__startswith=f'{_key(payment)}:').count() + 1}"


@transaction.atomic
def left_block(payment_id: int) -> bool:
    """Its block is in the best chain no more: it is sent again. Its debit stands. Whether that was news."""
    payment = locked(payment_id)
    if payment.state != PaymentState.CONFIRMED:
        return False
    after = {"txid": payment.txid, "block": payment.block_hash}
    payment.state, payment.block_hash, payment.block_height = PaymentState.BROADCAST, "", None
    payment.confirmations, payment.confirmed_at = 0, None
    payment.save(update_fields=["state", "block_hash", "block_height", "confirmations", "confirmed_at"])
    payment.change_coins.update(height=None, confirmations=0)
    record(payment, PROCESS, "unconfirm", after=after)
    return True


@transaction.atomic
def note_trouble(payment_id: int, message: str, *, missing_since: int | None = None) -> None:
    """Keep why a payment does not get on, for people; and since which height coins of it are missing."""
    payment = locked(payment_id)
    if payment.state in _CLOSED or payment.state == PaymentState.CONFIRMED:
        return
    payment.missing_since = missing_since
    payment.save(update_fields=["missing_since"])
    _say(payment, message)


@transaction.atomic
def fail(payment_id: int, reason: str, *, lost: Sequence[tuple[str, int]]) -> bool:
    """A payment that can never be in a block, since the chain does not hold the coins ``lost``: undo its debit.

    Its other coins are free again. It stays watched for a while all the same. Whether that was news.
    """
    payment = locked(payment_id)
    if payment.state != PaymentState.BROADCAST:
        return False
    _fail(payment, reason, lost=lost)
    return True


def _fail(payment: Payment, reason: str, *, lost: Sequence[tuple[str, int]]) -> None:
    undone = _key(payment)
    later = Entry.objects.filter(key__startswith=f"{undone}:").order_by("-id").values_list("key", flat=True).first()
    reverse(
        _next_key(payment), Occasion(PROCESS, f"payment {payment.pk} failed: {reason}"[:400]), undoes=later or undone
    )
    payment.state, payment.message, payment.ended_at = PaymentState.FAILED, reason[:500], utc_now()
    payment.save(update_fields=["state", "message", "ended_at"])
    payment.change_coins.update(is_gone=True)
    for txid, index in lost:
        Coin.objects.filter(txid=txid, index=index, reserved_by=payment).update(is_gone=True)
    Coin.objects.filter(reserved_by=payment, is_gone=False).update(reserved_by=None)
    record(payment, PROCESS, "fail", reason=reason[:500], after={"txid": payment.txid})


@transaction.atomic
def note_tip(height: int) -> None:
    """The best chain is so high: count confirmations, and let rest what is buried deep enough."""
    lock_books()
    deep = height + 1
    Coin.objects.filter(height__isnull=False, is_gone=False, height__lte=height).update(
        confirmations=deep - F("height")
    )
    confirmed = Payment.objects.filter(state=PaymentState.CONFIRMED, is_at_rest=False, block_height__lte=height)
    confirmed.update(confirmations=deep - F("block_height"))
    buried = Payment.objects.filter(state=PaymentState.CONFIRMED, confirmations__gte=MATURE_CONFIRMATIONS)
    buried.filter(is_at_rest=False).update(is_at_rest=True)
    for payment in Payment.objects.filter(state__in=_CLOSED, is_at_rest=False):
        if _is_overtaken_for_good(payment):
            payment.is_at_rest = True
            payment.save(update_fields=["is_at_rest"])


def _is_overtaken_for_good(payment: Payment) -> bool:
    """Whether another payment, six deep, has spent what a given-up one would: so that one is void."""
    return any(
        coin.reserved_by is not None
        and coin.reserved_by_id != payment.pk
        and coin.reserved_by.confirmations >= SETTLED_CONFIRMATIONS
        for coin in coins_of(payment)
    )


@dataclass(frozen=True, slots=True)
class BlockOutput:
    """A block's output that pays to the pool, whatever its address is by now. ``unlock`` is known from other coins."""

    block_id: int
    block_hash: str
    height: int
    index: int
    script: bytes
    unlock: bytes


def blocks_without_coin() -> list[BlockOutput]:
    """The outputs to the pool of its blocks in the chain that are not among the coins."""
    found = Block.objects.filter(state__in=_IN_CHAIN, own_output_index__isnull=False, own_output_sat__gt=0, coins=None)
    rows = found.order_by("height").values_list("pk", "hash", "height", "own_output_index", "own_output_script")
    return [
        BlockOutput(pk, block_hash, height, int(index or 0), bytes(script or b""), known_unlock(bytes(script or b"")))
        for pk, block_hash, height, index, script in rows
    ]


def known_unlock(script: bytes) -> bytes:
    """What a script is the hash of, as far as a coin of it tells; empty where none does."""
    coin = Coin.objects.filter(script=script).exclude(unlock=b"").first()
    return b"" if coin is None else bytes(coin.unlock)


@transaction.atomic
def add_coins(coins: Sequence[NewCoin], *, script: bytes, unlock: bytes) -> int:
    """Take outputs of ours in blocks of the best chain among the coins; returns how many are new.

    Raises PayoutError for one that does not pay to ``script``.
    """
    lock_books()
    added = 0
    for each in coins:
        made = Transaction.parse(each.transaction)
        if each.index >= len(made.outputs) or made.outputs[each.index].script != script:
            raise PayoutError(f"coin {display(made.txid)}:{each.index}: it does not pay to the pool's own script")
        _row, is_new = Coin.objects.get_or_create(
            txid=display(made.txid),
            index=each.index,
            defaults={
                "kind": CoinKind.COINBASE if made.is_coinbase else CoinKind.FLOAT,
                "value_sat": made.outputs[each.index].value_sat,
                "script": script,
                "unlock": unlock,
                "transaction": each.transaction,
                "height": each.height,
                "block_id": each.block_id,
            },
        )
        added += is_new
    return added


@transaction.atomic
def complete_unlocks(script: bytes, unlock: bytes) -> int:
    """Tell the coins of a script what it is the hash of, where they were made before that was known; how many.

    The first change to a new address of p2sh or p2wsh is such a coin: none of those that paid for it has that script.
    """
    unknown = Coin.objects.filter(script=script, unlock=b"")
    if not unlock or not unknown.exists():
        return 0
    lock_books()
    return unknown.update(unlock=unlock)


@transaction.atomic
def follow_blocks_coins() -> int:
    """Coins of blocks that left the chain are gone; of blocks that came back they are there. Returns how many moved."""
    coins = Coin.objects.filter(block__isnull=False)
    lost = coins.filter(is_gone=False).filter(Q(block__state=BlockState.ORPHANED) | Q(block__state=BlockState.BESIDE))
    back = coins.filter(is_gone=True, block__state__in=_IN_CHAIN)
    if not lost.exists() and not back.exists():
        return 0
    lock_books()
    return back.update(is_gone=False) + lost.update(is_gone=True, confirmations=0)


def coins_to_check(after_id: int, limit: int) -> list[tuple[int, str, int]]:
    """Coins in the chain that no payment of ours has spent, by id above ``after_id``: id, txid and index."""
    unspent = Coin.objects.filter(height__isnull=False, is_gone=False, is_spent=False, pk__gt=after_id)
    unspent = unspent.filter(Q(reserved_by=None) | Q(reserved_by__state__in=RESERVING))
    return list(unspent.order_by("pk").values_list("pk", "txid", "index")[:limit])


@transaction.atomic
def spent_outside(coin_id: int) -> bool:
    """The chain has held a coin of ours no more for a while, and no payment of ours spent it. Whether that was news.

    Nothing is paid from it any more; a payout that was to spend it says so, and has to be cancelled.
    """
    lock_books()
    coin = Coin.objects.select_related("reserved_by").get(pk=coin_id)
    if coin.is_spent or (coin.reserved_by is not None and not PaymentState(coin.reserved_by.state).reserves):
        return False
    coin.is_spent = True
    coin.save(update_fields=["is_spent"])
    if coin.reserved_by is not None:
        _say(coin.reserved_by, f"coin {coin} was spent by somebody else; cancel this payout")
    after = {"value_sat": coin.value_sat, "kind": coin.kind}
    ledger.append([NewEntry(PROCESS, "pool.coin.spent_outside", f"pool-coin:{coin}", after=after)])
    return True


@transaction.atomic
def take_in_float(
    key: str, coins: Sequence[NewCoin], *, script: bytes, unlock: bytes, reason: str, actor: str = PROCESS
) -> bool:
    """Enter coins that the operator put in, against the float's account, once under ``key``. Whether it was new."""
    if Entry.objects.filter(key=key).exists():
        return False
    lock_books()
    add_coins(coins, script=script, unlock=unlock)
    total_sat = sum(Transaction.parse(each.transaction).outputs[each.index].value_sat for each in coins)
    credit(key, {FLOAT_ACCOUNT: total_sat}, Occasion(actor, reason))
    return True


def blocks_in_chain() -> list[tuple[str, int]]:
    """The pool's blocks that the books count as the chain's: hash and height, oldest first."""
    found = Block.objects.filter(state__in=_IN_CHAIN).order_by("pk")
    return list(found.values_list("hash", "height"))


def debited() -> list[int]:
    """The payments whose debit stands, the newest first."""
    found = Payment.objects.filter(state__in=[state for state in PaymentState if state.is_debited])
    return list(found.order_by("-pk").values_list("pk", flat=True))


@transaction.atomic
def void(payment_id: int, reason: str) -> None:
    """The chain that a payment was in, or on its way to, is gone for good: undo its debit."""
    payment = locked(payment_id)
    if not PaymentState(payment.state).is_debited:
        return
    payment.block_hash, payment.block_height, payment.is_at_rest = "", None, True
    payment.confirmations, payment.confirmed_at = 0, None
    fields = ["block_hash", "block_height", "is_at_rest", "confirmations", "confirmed_at"]
    payment.save(update_fields=fields)
    _fail(payment, reason, lost=[])


@transaction.atomic
def forget_chain(key: str, reason: str) -> None:
    """The practice chain began anew: its coins are gone, and with them what is under way and the former float.

    ``key`` is the float's of the new chain; what stands under another is reversed. The former chain's blocks
    (``crediting.lose_block``) and payments (``void``) come before, each by itself.
    """
    lock_books()
    Coin.objects.filter(is_gone=False).update(is_gone=True, confirmations=0)
    Height.objects.all().delete()
    for payment in Payment.objects.filter(state__in=[state for state in PaymentState if state.reserves]):
        payment.state, payment.message, payment.ended_at = PaymentState.CANCELLED, reason, utc_now()
        payment.save(update_fields=["state", "message", "ended_at"])
        Coin.objects.filter(reserved_by=payment).update(reserved_by=None)
        record(payment, PROCESS, "cancel", reason=reason)
    Payment.objects.filter(is_at_rest=False).update(is_at_rest=True)
    for entry in Entry.objects.filter(key__startswith=FLOAT_KEYS, undoes=None).exclude(key=key):
        if stands(entry.key):
            reverse(f"{entry.key}:gone", Occasion(PROCESS, reason), undoes=entry.key)
    ledger.append([NewEntry(PROCESS, "pool.coin.forget", "pool:coins", reason)])


def _say(payment: Payment, message: str) -> None:
    if payment.message != message[:500]:
        payment.message = message[:500]
        payment.save(update_fields=["message"])
