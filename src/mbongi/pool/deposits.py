"""Coins that the operator puts in, to pay from before blocks ripen, for the pool's fees, or as FPPS's reserve."""

from django.db import transaction
from django.utils.translation import gettext as _

from mbongi.core.identity.values import Permission
from mbongi.pool.entries import lock_books
from mbongi.pool.errors import NotPermittedError, PayoutRefusedError
from mbongi.pool.models import Block, Coin
from mbongi.pool.paying_steps import NewCoin, take_in_float
from mbongi.pool.payments import Person
from mbongi.pool.terms import PayingTerms
from mbongi.pool.values import FLOAT_KEYS
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.transaction import Transaction


@transaction.atomic
def enter_deposit(by: Person, terms: PayingTerms, coin: NewCoin, *, reason: str) -> int:
    """Enter an output that pays to the pool's address, against the account ``.float``; returns its value [sat].

    ``coin`` must come from a block of the best chain, as a node tells it. Raises NotPermittedError, PayoutRefusedError
    for one that is among the coins already, PayoutError for one that does not pay to the pool's script.
    """
    txid = display(Transaction.parse(coin.transaction).txid)
    name = f"{txid}:{coin.index}"
    if not by.may(Permission.PAYOUT_APPROVE):
        raise NotPermittedError(f"{by.actor}: enter coin {name}: the role does not permit it")
    lock_books()
    is_a_blocks = Block.objects.filter(coinbase_txid=txid).exists()  # its accounts' money, whether taken in yet or not
    if is_a_blocks or Coin.objects.filter(txid=txid, index=coin.index).exists():
        text = _("This coin is among the pool's coins already.")
        raise PayoutRefusedError(f"enter coin {name}: it is among the pool's coins already", text)
    key = f"{FLOAT_KEYS}deposit:{name}"
    take_in_float(key, [coin], script=terms.script, unlock=terms.unlock, reason=reason, actor=by.actor)
    return Coin.objects.get(txid=txid, index=coin.index).value_sat
