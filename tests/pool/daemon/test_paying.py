"""Signed payouts go out once, are found in blocks, follow reorganisations, and fail only when they can never be."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.ledger import selectors as ledger
from mbongi.pool import services
from mbongi.pool.daemon.paying import Paying
from mbongi.pool.errors import PayoutError, PayoutRefusedError
from mbongi.pool.models import Account, Block, Coin, Entry, Payment, Worker
from mbongi.pool.paying_steps import NewCoin, add_coins, note_tip
from mbongi.pool.payments import (
    PRACTICE_APPROVER,
    PRACTICE_PROPOSER,
    approve_payout,
    cancel_payout,
    export_payout,
    import_signed,
    propose_payout,
    propose_replacement,
    unsigned_txid_of,
)
from mbongi.pool.payout_plan import Wish, plan_payout, reserved_sat
from mbongi.pool.practice_steps import advance
from mbongi.pool.rules.payout.batch import FeePayer
from mbongi.pool.terms import PayingTerms
from mbongi.pool.values import FEE_ACCOUNT, PaymentState
from mbongi.wire.bitcoin.hashing import from_display
from mbongi.wire.bitcoin.psbt import Psbt
from mbongi.wire.bitcoin.psbt_finalizer import extract, finalize
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.pool.daemon.fake_chain import FakeChain
from tests.pool.paying_bed import TERMS, WALLET, WHO, balances, coinbase, owe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


class Bridge:
    """Calls at once, in the test's own transaction, which Django would not find from within a running loop."""

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return function(*args, **kwargs)
        finally:
            asyncio._set_running_loop(loop)


class Interrupted(BaseException):
    """In place of ``kill -9``."""


class Bed:
    """A chain with one ripe coin of ours, and a payer that can be begun anew."""

    def __init__(self, own: PayingTerms = TERMS) -> None:
        self.chain, self._terms = FakeChain(), own
        self.put_in(10_000_000)
        self.chain.mine(120)
        self.begin()

    def put_in(self, value_sat: int) -> None:
        own = self._terms
        made = coinbase(value_sat, self.chain.height + 1, own.script)
        self.chain.mine(1, extra=(made.encode(),))
        add_coins([NewCoin(made.encode(), 0, self.chain.height)], script=own.script, unlock=own.unlock)
        note_tip(self.chain.height)

    def begin(self, at_point: Callable[[str], None] = lambda _: None) -> None:
        self._paying = Paying(Bridge(), [self.chain], self._terms, at_point=at_point)  # type: ignore[arg-type, list-item]

    def rounds(self, count: int = 1) -> None:
        for _ in range(count):
            asyncio.run(self._paying.round())

    def mine(self, count: int = 1, **how: Any) -> None:
        """Blocks, each looked at."""
        for _ in range(count):
            self.chain.mine(1, **how)
            self.rounds()

    def signed(self) -> Payment:
        """A payout of all balances, ready to go out."""
        note_tip(self.chain.height)
        return Payment.objects.get(pk=advance(TERMS, WALLET, lambda _: None))


@pytest.fixture
def bed() -> Bed:
    owe(one=3_000_000, two=1_000_000)
    return Bed()


def state_of(payment: Payment) -> str:
    payment.refresh_from_db()
    return payment.state


def debits(payment: Payment) -> list[str]:
    return list(
        Entry.objects.filter(key__startswith=f"payment:{payment.pk}").order_by("id").values_list("key", flat=True)
    )


def test_a_signed_payout_is_debited_sent_and_confirmed(bed: Bed) -> None:
    payment = bed.signed()
    assert balances() == {"one": 3_000_000, "two": 1_000_000}

    bed.rounds()
    assert state_of(payment) == PaymentState.BROADCAST
    assert balances() == {}
    assert bed.chain.pool.keys() == {payment.txid}
    bed.rounds(3)
    bed.mine(3)

    assert state_of(payment) == PaymentState.CONFIRMED
    assert (payment.block_height, payment.confirmations) == (bed.chain.height - 2, 3)
    assert bed.chain.sent == [payment.txid]
    change = Coin.objects.get(made_by=payment)
    assert (change.value_sat, change.confirmations, change.reserved_by) == (6_000_000, 3, None)
    actions = [entry.action for entry in ledger.entries(subject=f"payment:{payment.pk}")]
    verbs = ["confirm", "broadcast", "sign", "export", "approve", "propose"]
    assert actions == [f"pool.payment.{verb}" for verb in verbs]
    bed.mine(97)
    payment.refresh_from_db()
    assert payment.is_at_rest


@pytest.mark.parametrize("point", ["before_debit", "after_debit", "before_send", "after_send"])
def test_a_payout_interrupted_anywhere_is_paid_once(bed: Bed, point: str) -> None:
    payment = bed.signed()

    def interrupt(name: str) -> None:
        if name == point:
            raise Interrupted

    bed.begin(interrupt)
    with pytest.raises(Interrupted):
        bed.rounds()
    bed.begin()
    bed.rounds()
    bed.mine(2)

    assert state_of(payment) == PaymentState.CONFIRMED
    assert bed.chain.count(payment.txid) == 1
    assert debits(payment) == [f"payment:{payment.pk}"]
    assert balances() == {}


def test_a_payout_whose_block_is_orphaned_goes_out_again_and_stays_debited(bed: Bed) -> None:
    payment = bed.signed()
    bed.rounds()
    bed.mine(3)
    former = payment.block_hash or Payment.objects.get().block_hash

    bed.chain.drop(3)
    bed.chain.mine(4)
    bed.rounds()

    assert state_of(payment) == PaymentState.BROADCAST
    assert (payment.block_hash, payment.confirmations) == ("", 0)
    assert balances() == {}
    assert Coin.objects.get(made_by=payment).height is None
    assert bed.chain.pool.keys() == {payment.txid}
    bed.mine()
    assert state_of(payment) == PaymentState.CONFIRMED
    assert payment.block_hash != former
    assert debits(payment) == [f"payment:{payment.pk}"]
    assert bed.chain.count(payment.txid) == 1


def test_a_reorganisation_to_a_block_that_holds_it_too_is_followed(bed: Bed) -> None:
    payment = bed.signed()
    bed.rounds()
    raw = bed.chain.pool[Payment.objects.get().txid]
    bed.mine(2)
    bed.chain.drop(2)
    bed.chain.mine(1)
    bed.chain.mine(2, extra=(raw,))
    bed.rounds()

    assert state_of(payment) == PaymentState.CONFIRMED
    assert payment.block_height == bed.chain.height - 1
    assert payment.confirmations == 2


def test_a_payout_whose_coins_are_gone_for_good_fails_and_is_credited_back(bed: Bed) -> None:
    payment = bed.signed()
    bed.rounds()
    bed.chain.pool.clear()
    thief = Transaction.parse(bytes(Payment.objects.get().signed))
    other = Transaction(inputs=thief.inputs, outputs=thief.outputs[:1])
    bed.mine(1, extra=(other.encode(),))
    bed.mine(5)

    assert state_of(payment) == PaymentState.BROADCAST
    assert "coins are not in the chain since height" in payment.message
    bed.mine(2)

    assert state_of(payment) == PaymentState.FAILED
    assert balances() == {"one": 3_000_000, "two": 1_000_000}
    assert not Coin.objects.filter(is_gone=False).exists()
    assert ledger.entries(subject=f"payment:{payment.pk}")[0].action == "pool.payment.fail"
    bed.put_in(20_000_000)
    bed.chain.mine(100)
    bed.rounds()
    second = bed.signed()
    bed.rounds()
    bed.mine(1)
    assert state_of(second) == PaymentState.CONFIRMED
    assert balances() == {}


def test_a_failed_payout_that_is_in_a_block_after_all_counts(bed: Bed) -> None:
    payment = bed.signed()
    bed.rounds()
    raw = bytes(Payment.objects.get().signed)
    bed.chain.pool.clear()
    height = bed.chain.height
    thief = Transaction.parse(raw)
    bed.mine(1, extra=(Transaction(inputs=thief.inputs, outputs=thief.outputs[:1]).encode(),))
    bed.mine(7)
    assert state_of(payment) == PaymentState.FAILED

    bed.chain.drop(bed.chain.height - height)
    bed.chain.mine(1, extra=(raw,))
    bed.chain.mine(8)
    bed.rounds()

    assert state_of(payment) == PaymentState.CONFIRMED
    assert balances() == {}
    assert debits(payment) == [f"payment:{payment.pk}{end}" for end in ("", ":1", ":2")]
    assert Coin.objects.get(made_by=payment).is_gone is False


def test_nothing_moves_while_no_node_answers(bed: Bed) -> None:
    payment = bed.signed()
    bed.chain.is_away = True
    bed.rounds(3)
    assert state_of(payment) == PaymentState.SIGNED
    bed.chain.is_away = False
    bed.rounds()
    assert state_of(payment) == PaymentState.BROADCAST


def test_what_the_node_would_refuse_is_not_debited(bed: Bed) -> None:
    payment = bed.signed()
    bed.chain.refuses = "min relay fee not met"
    bed.rounds(2)
    assert (state_of(payment), payment.message) == (PaymentState.SIGNED, "min relay fee not met")
    assert balances() == {"one": 3_000_000, "two": 1_000_000}
    bed.chain.refuses = ""
    bed.rounds()
    assert (state_of(payment), payment.message) == (PaymentState.BROADCAST, "")


def test_a_balance_that_an_orphaned_block_took_away_is_not_paid(bed: Bed) -> None:
    payment = bed.signed()
    key = Entry.objects.get(kind="credit").key
    services.reverse("orphan:1", WHO, undoes=key)

    bed.rounds(2)

    assert state_of(payment) == PaymentState.SIGNED
    assert "the balance is 0 sat" in payment.message
    assert not bed.chain.sent


def test_the_fee_that_the_pool_bears_comes_off_its_account(bed: Bed) -> None:
    services.credit("fees", {FEE_ACCOUNT: 5_000}, WHO)
    wish = Wish(payer=FeePayer.POOL)
    note_tip(bed.chain.height)
    number = propose_payout(PRACTICE_PROPOSER, TERMS, wish, reason="test")
    advance(TERMS, WALLET, lambda _: None)

    bed.rounds()

    payment = Payment.objects.get(pk=number)
    # By hand: 10.5 + 68 + 3 * 31 = 171.5 virtual bytes at 2 sat.
    assert (payment.fee_sat, payment.pool_fee_sat) == (344, 344)
    assert balances() == {FEE_ACCOUNT: 4_656}


def _exported(bed: Bed) -> tuple[Payment, bytes]:
    """A payout that somebody outside has signed and kept to himself."""
    note_tip(bed.chain.height)
    payment = Payment.objects.get(pk=propose_payout(PRACTICE_PROPOSER, TERMS, Wish(), reason="test"))
    approve_payout(PRACTICE_APPROVER, TERMS, payment.pk, unsigned_txid=unsigned_txid_of(payment))
    psbt = Psbt.from_base64(export_payout(PRACTICE_PROPOSER, TERMS, payment.pk))
    return payment, extract(finalize(WALLET.sign(psbt))).encode()


def test_what_its_signer_sent_without_us_is_debited_too(bed: Bed) -> None:
    payment, raw = _exported(bed)

    bed.mine(1, extra=(raw,))

    assert state_of(payment) == PaymentState.CONFIRMED
    assert bytes(payment.signed) == raw
    assert balances() == {}
    assert Coin.objects.get(made_by=payment).value_sat == 6_000_000


def test_of_a_cancelled_payout_and_the_next_only_one_can_be_in_the_chain(bed: Bed) -> None:
    first, raw = _exported(bed)
    cancel_payout(PRACTICE_PROPOSER, TERMS, first.pk, reason="the signer is ill")
    bed.put_in(50_000_000)
    bed.mine(100)
    second = bed.signed()
    bed.rounds()
    bed.mine(1)
    assert state_of(second) == PaymentState.CONFIRMED
    assert asyncio.run(bed.chain.send(raw)) == "missing-inputs"
    assert state_of(first) == PaymentState.CANCELLED
    assert not first.is_at_rest

    bed.mine(5)
    assert state_of(first) == PaymentState.CANCELLED
    assert first.is_at_rest


def test_a_cancelled_payout_that_its_signer_sent_is_debited_and_the_next_fails(bed: Bed) -> None:
    first, raw = _exported(bed)
    cancel_payout(PRACTICE_PROPOSER, TERMS, first.pk, reason="the signer is ill")
    owe(two=500_000)
    second = bed.signed()
    bed.mine(1, extra=(raw,))

    assert state_of(first) == PaymentState.CONFIRMED
    assert balances() == {"two": 500_000}
    assert state_of(second) == PaymentState.SIGNED
    assert "coins are not in the chain" in second.message
    assert len(debits(second)) == 0


def test_a_cancelled_payout_that_was_proposed_again_alike_is_one_transaction(bed: Bed) -> None:
    first, raw = _exported(bed)
    cancel_payout(PRACTICE_PROPOSER, TERMS, first.pk, reason="the signer is ill")
    second = bed.signed()
    bed.mine(1, extra=(raw,))

    assert (state_of(first), state_of(second)) == (PaymentState.CANCELLED, PaymentState.CONFIRMED)
    assert balances() == {}


def found_block(bed: Bed, script: bytes) -> Block:
    """A block of ours in the chain that pays to a script."""
    made = coinbase(625_000_000, 77, script)
    bed.chain.mine(1, extra=(made.encode(),))
    [worker] = Worker.objects.bulk_create(
        [
            Worker(
                account=Account.objects.get(name="one"),
                name="one.a",
                first_share_at=utc_now(),
                last_share_at=utc_now(),
            )
        ]
    )
    return Block.objects.create(
        hash=asyncio.run(bed.chain.tip()).hash,
        height=bed.chain.height,
        found_at=utc_now(),
        worker=worker,
        account=worker.account,
        state="in_chain",
        state_at=utc_now(),
        work_since=1,
        share_work=1,
        own_output_index=0,
        own_output_sat=625_000_000,
        own_output_script=script,
    )


def test_a_block_of_ours_becomes_a_coin_and_an_orphan_none(bed: Bed) -> None:
    block = found_block(bed, WALLET.script)
    bed.rounds(2)
    coin = Coin.objects.get(block=block)
    assert (coin.value_sat, coin.confirmations, coin.kind) == (625_000_000, 1, "coinbase")

    Block.objects.update(state="orphaned")
    bed.rounds()
    coin.refresh_from_db()
    assert coin.is_gone
    Block.objects.update(state="settled")
    bed.mine()
    coin.refresh_from_db()
    assert (coin.is_gone, coin.confirmations) == (False, 2)


def test_signing_twice_pays_once(bed: Bed) -> None:
    payment, _raw = _exported(bed)
    psbt = WALLET.sign(Psbt.from_base64(export_payout(PRACTICE_PROPOSER, TERMS, payment.pk)))
    import_signed(PRACTICE_PROPOSER, TERMS, payment.pk, [psbt.to_base64(), psbt.to_base64()])
    bed.rounds(2)
    bed.mine(1)
    assert bed.chain.count(payment.txid or Payment.objects.get().txid) == 1


class TestReplacing:
    """A payout at too low a fee is sent again at a higher one, from the same coins, to the same accounts."""

    def _replaced(self, bed: Bed) -> tuple[Payment, Payment]:
        former = bed.signed()
        bed.rounds()
        why = {"fee_sat_kvb": 20_000, "reason": "no block takes it"}
        number = propose_replacement(PRACTICE_PROPOSER, TERMS, former.pk, **why)
        assert balances() == {}
        assert not reserved_sat()
        advance(TERMS, WALLET, lambda _: None)
        return former, Payment.objects.get(pk=number)

    def test_one_of_the_two_is_in_the_chain_and_debited(self, bed: Bed) -> None:
        former, payment = self._replaced(bed)
        assert payment.fee_sat > former.fee_sat
        assert payment.replaces_id == former.pk
        bed.rounds()
        assert (state_of(former), state_of(payment)) == (PaymentState.FAILED, PaymentState.BROADCAST)
        assert bed.chain.pool.keys() == {payment.txid}
        bed.mine(6)

        assert state_of(payment) == PaymentState.CONFIRMED
        assert balances() == {}
        assert debits(former) == [f"payment:{former.pk}", f"payment:{former.pk}:1"]
        assert debits(payment) == [f"payment:{payment.pk}"]
        assert Coin.objects.filter(made_by=former, is_gone=False).count() == 0
        assert state_of(former) == PaymentState.FAILED
        assert former.is_at_rest

    def test_where_a_block_takes_the_former_after_all_the_other_fails(self, bed: Bed) -> None:
        former, payment = self._replaced(bed)
        raw = bytes(Payment.objects.get(pk=former.pk).signed)
        bed.rounds()
        bed.chain.pool.clear()
        bed.mine(1, extra=(raw,))
        assert state_of(former) == PaymentState.CONFIRMED
        bed.mine(8)

        assert state_of(payment) == PaymentState.FAILED
        assert balances() == {}
        assert bed.chain.count(former.txid) == 1

    def test_one_that_is_confirmed_meanwhile_is_not_replaced(self, bed: Bed) -> None:
        former, payment = self._replaced(bed)
        bed.chain.mine(1)
        bed.rounds()
        assert state_of(former) == PaymentState.CONFIRMED
        assert state_of(payment) == PaymentState.SIGNED
        assert payment.message
        with pytest.raises(PayoutRefusedError, match="it is confirmed; expected broadcast"):
            propose_replacement(PRACTICE_PROPOSER, TERMS, former.pk, fee_sat_kvb=30_000, reason="again")

    def test_a_fee_that_nodes_would_not_take_for_it_is_refused(self, bed: Bed) -> None:
        former = bed.signed()
        bed.rounds()
        # By hand: 172 virtual bytes at 2 sat before; nodes want 172 sat more for relaying it again (BIP 125).
        for rate in (2_000, 2_900):
            with pytest.raises(PayoutError, match="expected 516 sat or more"):
                propose_replacement(PRACTICE_PROPOSER, TERMS, former.pk, fee_sat_kvb=rate, reason="too low")
        propose_replacement(PRACTICE_PROPOSER, TERMS, former.pk, fee_sat_kvb=3_000, reason="enough")
        with pytest.raises(PayoutRefusedError, match="another replacement is open"):
            propose_replacement(PRACTICE_PROPOSER, TERMS, former.pk, fee_sat_kvb=9_000, reason="again")


class TestCoinsSpentOutside:
    """Whoever has the key may move the pool's coins past the pool, as to a safer place."""

    def test_nothing_is_paid_from_them_any_more(self, bed: Bed) -> None:
        swept = Coin.objects.get()
        bed.rounds()
        spends = TxIn(outpoint=OutPoint(from_display(swept.txid), 0))
        bed.mine(1, extra=(Transaction(inputs=(spends,), outputs=(TxOut(9, b"\x51"),)).encode(),))
        bed.mine(5)
        assert not Coin.objects.get().is_spent
        bed.mine(1)

        assert Coin.objects.get().is_spent
        assert ledger.entries()[0].action == "pool.coin.spent_outside"
        with pytest.raises(PayoutError, match="0 sat can be spent"):
            plan_payout(TERMS, Wish())

    def test_a_payout_that_was_to_spend_them_says_so(self, bed: Bed) -> None:
        payment, _raw = _exported(bed)
        bed.rounds()
        spends = Transaction.parse(bytes(payment.unsigned), witness=False).inputs
        bed.mine(1, extra=(Transaction(inputs=spends, outputs=(TxOut(9, b"\x51"),)).encode(),))
        bed.mine(6)

        assert (state_of(payment), "spent by somebody else" in payment.message) == (PaymentState.APPROVED, True)
        cancel_payout(PRACTICE_PROPOSER, TERMS, payment.pk, reason="swept")
        bed.put_in(20_000_000)
        bed.mine(100)
        assert plan_payout(TERMS, Wish()).batch.amount_sat == 4_000_000
