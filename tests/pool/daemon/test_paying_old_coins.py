"""Payouts from coins whose signatures stand in the transaction's id: one signed elsewhere, or otherwise, is known."""

from hashlib import sha256

import msgspec
import pytest
from coincurve import PrivateKey
from structlog.testing import capture_logs

from mbongi.pool.models import Coin, Payment
from mbongi.pool.paying_steps import note_tip
from mbongi.pool.payments import (
    PRACTICE_APPROVER,
    PRACTICE_PROPOSER,
    approve_payout,
    cancel_payout,
    export_payout,
    import_signed,
    propose_payout,
    unsigned_txid_of,
)
from mbongi.pool.payout_plan import Wish, plan_payout
from mbongi.pool.practice_steps import advance
from mbongi.pool.terms import PayingTerms
from mbongi.pool.values import PaymentState
from mbongi.wire.bitcoin.hashing import display, hash160
from mbongi.wire.bitcoin.script import push
from mbongi.wire.bitcoin.sighash import SignedHashes
from mbongi.wire.bitcoin.transaction import Transaction, TxOut
from tests.pool.daemon.test_paying import Bed, debits, found_block, state_of
from tests.pool.paying_bed import WALLET, balances, owe, terms

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


class TestSignaturesInTheId:
    """Of coins from before segwit the id is known only once it is signed, and each signer makes another."""

    KEYS = (PrivateKey(b"\x01" * 32), PrivateKey(b"\x02" * 32))
    UNLOCK = b"\x51" + b"".join(push(key.public_key.format()) for key in KEYS) + b"\x52\xae"
    """One of two."""
    SCRIPT = b"\xa9" + push(hash160(UNLOCK)) + b"\x87"

    @pytest.fixture
    def exported(self) -> tuple[Bed, Payment, PayingTerms]:
        owe(one=3_000_000)
        own = terms(script=self.SCRIPT, unlock=self.UNLOCK)
        bed = Bed(own)
        note_tip(bed.chain.height)
        payment = Payment.objects.get(pk=propose_payout(PRACTICE_PROPOSER, own, Wish(), reason="test"))
        approve_payout(PRACTICE_APPROVER, own, payment.pk, unsigned_txid=unsigned_txid_of(payment))
        export_payout(PRACTICE_PROPOSER, own, payment.pk)
        return bed, payment, own

    def _by(self, signer: int, payment: Payment) -> bytes:
        unsigned = Transaction.parse(bytes(payment.unsigned), witness=False)
        [only] = unsigned.inputs
        hashes = SignedHashes(unsigned, [TxOut(10_000_000, self.SCRIPT)])
        signature = self.KEYS[signer].sign(hashes.legacy(0, self.UNLOCK), hasher=None) + b"\x01"
        script = b"\0" + push(signature) + push(self.UNLOCK)
        return msgspec.structs.replace(unsigned, inputs=(msgspec.structs.replace(only, script=script),)).encode()

    def test_a_cancelled_one_that_its_signer_sent_is_debited(self, exported: tuple[Bed, Payment, PayingTerms]) -> None:
        bed, payment, own = exported
        cancel_payout(PRACTICE_PROPOSER, own, payment.pk, reason="the signer is ill")

        bed.mine(1, extra=(self._by(0, payment),))

        assert state_of(payment) == PaymentState.CONFIRMED
        assert balances() == {}

    def test_one_signed_otherwise_is_the_same_payout(self, exported: tuple[Bed, Payment, PayingTerms]) -> None:
        bed, payment, own = exported
        ours, theirs = self._by(0, payment), self._by(1, payment)
        import_signed(PRACTICE_PROPOSER, own, payment.pk, [ours.hex()])
        bed.rounds()
        assert state_of(payment) == PaymentState.BROADCAST
        bed.chain.pool.clear()

        bed.mine(1, extra=(theirs,))
        bed.mine(8)

        assert state_of(payment) == PaymentState.CONFIRMED
        assert (payment.txid, bytes(payment.signed)) == (display(Transaction.parse(theirs).txid), theirs)
        assert balances() == {}
        assert debits(payment) == [f"payment:{payment.pk}"]
        change = Coin.objects.filter(made_by=payment, is_gone=False)
        assert [(each.txid, each.confirmations) for each in change] == [(payment.txid, 9)]


class TestAnotherAddress:
    """The pool's address becomes a script's: what changes hands first is change of the former address's coins."""

    SCRIPT = b"\0\x20" + sha256(TestSignaturesInTheId.UNLOCK).digest()

    def test_its_first_change_can_be_spent(self) -> None:
        owe(one=3_000_000)
        bed = Bed()
        bed._terms = own = terms(script=self.SCRIPT, unlock=TestSignaturesInTheId.UNLOCK)
        bed.begin()
        note_tip(bed.chain.height)
        payment = Payment.objects.get(pk=advance(own, WALLET, lambda _: None))
        bed.rounds(2)
        bed.mine(2)
        owe(two=1_000_000)
        plan = plan_payout(own, Wish())

        [change] = Coin.objects.filter(made_by=payment)
        assert (bytes(change.script), bytes(change.unlock)) == (self.SCRIPT, own.unlock)
        assert [bytes(each.script) for each in plan.batch.coins] == [self.SCRIPT]


@pytest.fixture
def bed() -> Bed:
    owe(one=3_000_000)
    return Bed()


def test_a_block_that_paid_to_the_pools_former_address_becomes_a_coin_too(bed: Bed) -> None:
    former = bytes.fromhex("0014" + "ab" * 20)
    block = found_block(bed, former)
    bed.rounds(2)

    coin = Coin.objects.get(block=block)
    assert (bytes(coin.script), coin.confirmations) == (former, 1)


def test_a_former_address_that_nobody_knows_how_to_spend_stops_no_payout(bed: Bed) -> None:
    block = found_block(bed, bytes.fromhex("0020" + "ab" * 32))
    payment = bed.signed()
    with capture_logs() as logged:
        bed.rounds(2)

    assert not Coin.objects.filter(block=block).exists()
    assert [each["block"] for each in logged if each["event"] == "coin_not_taken_in"] == [block.hash]
    assert state_of(payment) == PaymentState.BROADCAST
