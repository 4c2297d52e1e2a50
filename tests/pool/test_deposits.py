"""Coins that the operator puts in: entered once, against the float's account, and never what is owed already."""

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.pool.deposits import enter_deposit
from mbongi.pool.errors import NotPermittedError, PayoutError, PayoutRefusedError
from mbongi.pool.models import Account, Block, Worker
from mbongi.pool.paying_steps import NewCoin, note_tip
from mbongi.pool.payout_plan import Wish, plan_payout
from mbongi.pool.values import FLOAT_ACCOUNT
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.pool.paying_bed import TERMS, TIP, WALLET, balances, coinbase, owe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


def test_coins_that_the_operator_puts_in_pay_from_then_on(people) -> None:
    ada, ben = people(Role.SHIFT_LEAD), people(Role.SECURITY_OFFICER)
    owe(one=3_000_000)
    source = TxIn(outpoint=OutPoint(bytes([5] * 32), 1))
    made = Transaction(inputs=(source,), outputs=(TxOut(7, b"\x51"), TxOut(8_000_000, WALLET.script)))
    coin = NewCoin(made.encode(), 1, 150)

    with pytest.raises(NotPermittedError, match="enter coin"):
        enter_deposit(ada, TERMS, coin, reason="reserve")
    with pytest.raises(PayoutError, match="does not pay to the pool's own script"):
        enter_deposit(ben, TERMS, NewCoin(made.encode(), 0, 150), reason="reserve")
    assert enter_deposit(ben, TERMS, coin, reason="reserve") == 8_000_000
    note_tip(TIP)

    assert balances() == {"one": 3_000_000, FLOAT_ACCOUNT: 8_000_000}
    assert ledger.entries()[0].actor == ben.actor
    assert plan_payout(TERMS, Wish()).batch.change_sat == 5_000_000
    with pytest.raises(PayoutRefusedError, match="among the pool's coins already"):
        enter_deposit(ben, TERMS, coin, reason="again")


def test_a_block_of_the_pools_own_is_no_deposit(people) -> None:
    """Its reward is owed already; entered again it would count twice."""
    ben = people(Role.SECURITY_OFFICER)
    owe(one=3_000_000)
    now, one = utc_now(), Account.objects.get(name="one")
    worker = Worker.objects.create(account=one, name="one.a", first_share_at=now, last_share_at=now)
    made = coinbase(3_000_000, 5)
    Block.objects.create(
        hash="ab" * 32,
        height=150,
        found_at=now,
        worker=worker,
        account=one,
        state="in_chain",
        state_at=now,
        work_since=1,
        share_work=1,
        coinbase_txid=display(made.txid),
    )

    with pytest.raises(PayoutRefusedError, match="among the pool's coins already"):
        enter_deposit(ben, TERMS, NewCoin(made.encode(), 0, 150), reason="reserve")
    assert balances() == {"one": 3_000_000}
