"""Payouts by people: proposed by one, approved by another, signed outside and brought back, each step in the ledger."""

import dataclasses
from hashlib import sha256

import msgspec
import pytest
from coincurve import PrivateKey

from mbongi.base.clock import utc_now
from mbongi.core.bus.models import OutboxMessage
from mbongi.core.identity.models import User
from mbongi.core.identity.scope import Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.pool import payment_rows, services
from mbongi.pool.adapters.practice_wallet import PracticeWallet
from mbongi.pool.errors import (
    NotPermittedError,
    PayoutError,
    PayoutRefusedError,
    ShortOfCoinsError,
    UnknownPaymentError,
)
from mbongi.pool.models import Account, Coin, Payment, PaymentOutput, PlannedScript, Slice, SliceWork, Worker
from mbongi.pool.payments import (
    PRACTICE_PROPOSER,
    approve_payout,
    cancel_payout,
    export_payout,
    import_signed,
    propose_payout,
    set_payout_address,
    unsigned_txid_of,
)
from mbongi.pool.payout_plan import Wish, plan_payout, reserved_sat
from mbongi.pool.rules.payout.batch import FeePayer
from mbongi.pool.values import FEE_ACCOUNT, PaymentState
from mbongi.wire.bitcoin.hashing import display, hash160
from mbongi.wire.bitcoin.psbt import Psbt, Spent, create_psbt, with_signature
from mbongi.wire.bitcoin.psbt_fields import FINAL_WITNESS, NON_WITNESS_UTXO, SIGHASH_TYPE, WITNESS_SCRIPT, WITNESS_UTXO
from mbongi.wire.bitcoin.psbt_finalizer import extract, finalize
from mbongi.wire.bitcoin.script import push
from mbongi.wire.bitcoin.sighash import SignedHashes
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.pool.accounts_bed import division
from tests.pool.paying_bed import TERMS, WALLET, balances, coinbase, owe, put_in, terms

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
WHY = {"reason": "weekly payout"}


@pytest.fixture
def ada(people) -> User:
    return people(Role.SHIFT_LEAD, email="ada@example.org")


@pytest.fixture
def ben(people) -> User:
    return people(Role.SECURITY_OFFICER, email="ben@example.org")


@pytest.fixture
def proposed(ada) -> Payment:
    owe(one=3_000_000, two=1_000_000)
    put_in(10_000_000)
    return Payment.objects.get(pk=propose_payout(ada, TERMS, Wish(), **WHY))


@pytest.fixture
def approved(proposed, ben) -> Payment:
    approve_payout(ben, TERMS, proposed.pk, unsigned_txid=unsigned_txid_of(proposed))
    proposed.refresh_from_db()
    return proposed


def state_of(payment: Payment) -> str:
    payment.refresh_from_db()
    return payment.state


class TestDryRun:
    def test_it_shows_everything_and_changes_nothing(self) -> None:
        owe(one=3_000_000, two=1_000_000, small=99_999)
        put_in(10_000_000)
        Account.objects.filter(name="two").update(payout_address="bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")

        plan = plan_payout(TERMS, Wish())

        assert [(each.account, each.amount_sat) for each in plan.batch.paid] == [("one", 3_000_000)]
        assert plan.waiting == {"small": "minimum", "two": "address"}
        # By hand: 10.5 + 68 + 2 * 31 virtual bytes at 2 sat.
        assert (plan.batch.vsize, plan.batch.fee_sat, plan.batch.change_sat) == (141, 282, 7_000_000)
        assert balances() == {"one": 3_000_000, "two": 1_000_000, "small": 99_999}
        assert not Payment.objects.exists()
        assert not Coin.objects.exclude(reserved_by=None).exists()
        assert not reserved_sat()

    def test_named_accounts_are_paid_below_the_minimum_and_unknown_ones_are_told(self) -> None:
        owe(one=3_000_000, small=50_000)
        put_in(10_000_000)

        plan = plan_payout(TERMS, Wish(accounts=("small", "nobody")))

        assert [each.account for each in plan.batch.paid] == ["small"]
        assert plan.waiting == {"nobody": "nothing"}

    def test_an_accounts_own_minimum_counts(self) -> None:
        owe(one=3_000_000, two=1_000_000)
        put_in(10_000_000)
        Account.objects.filter(name="two").update(minimum_sat=1_000_001)

        assert plan_payout(TERMS, Wish()).waiting == {"two": "minimum"}

    def test_young_coins_do_not_pay(self) -> None:
        owe(one=3_000_000)
        put_in(10_000_000, height=150)

        with pytest.raises(ShortOfCoinsError, match="0 sat can be spent"):
            plan_payout(TERMS, Wish())

    @pytest.mark.parametrize("rate", [999, 100_001])
    def test_a_fee_rate_outside_the_bounds_is_refused(self, rate: int) -> None:
        owe(one=3_000_000)
        put_in(10_000_000)
        with pytest.raises(PayoutError, match=r"expected 1\.\.100"):
            plan_payout(TERMS, Wish(fee_sat_kvb=rate))

    def test_the_pool_pays_fees_from_its_own_account_alone(self) -> None:
        owe(one=3_000_000)
        put_in(10_000_000)
        wish = Wish(fee_sat_kvb=10_000, payer=FeePayer.POOL)

        with pytest.raises(PayoutError, match=r"a fee of 1410 sat for the pool, whose account \.fee holds 0 sat"):
            plan_payout(TERMS, wish)
        services.credit("fees", {FEE_ACCOUNT: 1_410}, services.Occasion("process:test"))
        assert plan_payout(TERMS, wish).batch.pool_fee_sat == 1_410


class TestProposing:
    def test_amounts_and_coins_are_set_aside_and_the_step_is_recorded(self, ada, proposed) -> None:
        row = payment_rows.payment(proposed.pk)

        assert row is not None
        assert (row.state, row.proposer, row.amount_sat, row.outputs) == (PaymentState.DRAFT, "Ada", 4_000_000, 2)
        assert reserved_sat() == {"one": 3_000_000, "two": 1_000_000}
        assert balances() == {"one": 3_000_000, "two": 1_000_000}
        assert Coin.objects.get().reserved_by_id == proposed.pk
        entry = ledger.entries(subject=f"payment:{proposed.pk}")[0]
        assert (entry.actor, entry.action, entry.reason) == (ada.actor, "pool.payment.propose", "weekly payout")
        assert entry.after["unsigned_txid"] == row.unsigned_txid
        assert OutboxMessage.objects.filter(subject="event.pool.payment.v1").count() == 1

    def test_what_is_set_aside_is_not_paid_by_another(self, ada, proposed) -> None:
        put_in(50_000_000, height=2)
        with pytest.raises(PayoutError, match="nothing to pay"):
            propose_payout(ada, TERMS, Wish(), **WHY)

        owe(one=200_000)
        second = propose_payout(ada, TERMS, Wish(), **WHY)

        assert list(PaymentOutput.objects.filter(payment=second).values_list("amount_sat", flat=True)) == [200_000]
        assert not set(Coin.objects.filter(reserved_by=second)) & set(Coin.objects.filter(reserved_by=proposed))

    def test_who_may_not_is_refused(self, people) -> None:
        owe(one=3_000_000)
        put_in(10_000_000)
        for role in (Role.TECHNICIAN, Role.SECURITY_OFFICER, Role.AUDITOR):
            with pytest.raises(NotPermittedError, match="propose a payout"):
                propose_payout(people(role), TERMS, Wish(), **WHY)
        with pytest.raises(NotPermittedError, match="a practice person has no say"):
            propose_payout(PRACTICE_PROPOSER, terms(is_practice=False), Wish(), **WHY)
        assert not Payment.objects.exists()

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
    def test_a_reason_is_needed(self, ada, reason: str) -> None:
        with pytest.raises(PayoutRefusedError, match="reason"):
            propose_payout(ada, TERMS, Wish(), reason=reason)


class TestApproving:
    def test_somebody_elses_approval_lets_it_be_signed(self, approved, ben) -> None:
        assert approved.state == PaymentState.APPROVED
        [row] = payment_rows.approvals(approved.pk)
        assert (row.approved_by, row.name) == (ben.actor, "Ada")
        assert ledger.entries(subject=f"payment:{approved.pk}")[0].action == "pool.payment.approve"

    def test_the_proposer_may_not_whatever_the_role(self, people) -> None:
        owe(one=3_000_000)
        put_in(10_000_000)
        manager = people(Role.SITE_MANAGER)
        number = propose_payout(manager, TERMS, Wish(), **WHY)
        payment = Payment.objects.get(pk=number)

        with pytest.raises(PayoutRefusedError, match="somebody else must approve"):
            approve_payout(manager, TERMS, number, unsigned_txid=unsigned_txid_of(payment))
        assert state_of(payment) == PaymentState.DRAFT

    def test_who_may_not_is_refused(self, proposed, people) -> None:
        for role in (Role.SHIFT_LEAD, Role.AUDITOR):
            with pytest.raises(NotPermittedError, match="approve"):
                approve_payout(people(role), TERMS, proposed.pk, unsigned_txid=unsigned_txid_of(proposed))

    def test_two_approvals_are_two_persons(self, ada, ben, people) -> None:
        owe(one=3_000_000)
        put_in(10_000_000)
        number = propose_payout(ada, terms(approvals=2), Wish(), **WHY)
        payment = Payment.objects.get(pk=number)
        same = {"unsigned_txid": unsigned_txid_of(payment)}

        assert approve_payout(ben, TERMS, number, **same) == PaymentState.DRAFT
        with pytest.raises(PayoutRefusedError, match="has approved it already"):
            approve_payout(ben, TERMS, number, **same)
        assert approve_payout(people(Role.SITE_MANAGER), TERMS, number, **same) == PaymentState.APPROVED

    def test_another_transaction_than_was_looked_at_is_not_approved(self, proposed, ben) -> None:
        with pytest.raises(PayoutRefusedError, match="look at it again"):
            approve_payout(ben, TERMS, proposed.pk, unsigned_txid="00" * 32)
        with pytest.raises(UnknownPaymentError):
            approve_payout(ben, TERMS, proposed.pk + 1, unsigned_txid="00" * 32)


class TestExporting:
    def test_a_signer_finds_the_outputs_that_are_spent_and_their_transactions(self, approved, ada) -> None:
        psbt = Psbt.from_base64(export_payout(ada, TERMS, approved.pk))

        assert psbt.fee_sat() == approved.fee_sat
        assert display(psbt.transaction.txid) == unsigned_txid_of(approved)
        assert psbt.input_fields[0].keys() == {NON_WITNESS_UTXO, WITNESS_UTXO}
        assert [each.value_sat for each in psbt.transaction.outputs] == sorted(
            [approved.change_sat, *approved.outputs.values_list("sent_sat", flat=True)]
        )

    def test_only_what_is_approved_leaves(self, proposed, ada) -> None:
        with pytest.raises(PayoutRefusedError, match="it is draft; expected approved"):
            export_payout(ada, TERMS, proposed.pk)

    def test_a_script_of_several_keys_travels_along(self, ada, ben) -> None:
        keys = [PrivateKey(bytes([number]) * 32) for number in (1, 2, 3)]
        script = b"\x52" + b"".join(push(key.public_key.format()) for key in keys) + b"\x53\xae"
        own = terms(script=b"\0\x20" + sha256(script).digest(), unlock=script)
        owe(one=3_000_000)
        put_in(10_000_000, script=own.script, unlock=script)
        payment = Payment.objects.get(pk=propose_payout(ada, own, Wish(), **WHY))
        approve_payout(ben, own, payment.pk, unsigned_txid=unsigned_txid_of(payment))
        text = export_payout(ada, own, payment.pk)
        psbt = Psbt.from_base64(text)
        message = SignedHashes(psbt.transaction, [psbt.spent_output(0)]).segwit(0, script)
        files = [
            with_signature(
                psbt, 0, public_key=key.public_key.format(), signature=key.sign(message, hasher=None) + b"\x01"
            ).to_base64()
            for key in keys
        ]

        assert psbt.input_fields[0][WITNESS_SCRIPT] == script
        with pytest.raises(PayoutRefusedError, match="1 of 2 signatures"):
            import_signed(ada, own, payment.pk, files[:1])
        import_signed(ada, own, payment.pk, files[1:])
        assert state_of(payment) == PaymentState.SIGNED
        assert Transaction.parse(bytes(payment.signed)).weight <= payment.weight


def signed_file(payment: Payment, ada: User, wallet: PracticeWallet = WALLET) -> Psbt:
    return wallet.sign(Psbt.from_base64(export_payout(ada, TERMS, payment.pk)))


def tampered(psbt: Psbt, **changes) -> Psbt:
    """The same file about another transaction, signed for that one."""
    transaction = msgspec.structs.replace(psbt.transaction, **changes)
    spent = [Spent(output=psbt.spent_output(0)) for _ in transaction.inputs]
    return WALLET.sign(create_psbt(transaction, spent))


class TestBringingBack:
    def test_the_signed_transaction_is_kept_with_its_id(self, approved, ada) -> None:
        txid = import_signed(ada, TERMS, approved.pk, [signed_file(approved, ada).to_base64()])

        assert state_of(approved) == PaymentState.SIGNED
        assert txid == approved.txid == unsigned_txid_of(approved)
        found = Transaction.parse(bytes(approved.signed))
        assert approved.weight - 4 <= found.weight <= approved.weight
        assert ledger.entries(subject=f"payment:{approved.pk}")[0].after["txid"] == txid
        assert balances() == {"one": 3_000_000, "two": 1_000_000}

    def test_another_output_amount_or_input_is_refused(self, approved, ada) -> None:
        psbt = Psbt.from_base64(export_payout(ada, TERMS, approved.pk))
        outputs = psbt.transaction.outputs
        other = TxOut(outputs[0].value_sat, b"\0\x14" + b"m" * 20)
        more = TxOut(outputs[0].value_sat - 1, outputs[0].script)
        extra = TxIn(outpoint=OutPoint(coinbase(1, 9).txid, 0))
        for changes in (
            {"outputs": (other, *outputs[1:])},
            {"outputs": (more, *outputs[1:])},
            {"outputs": outputs[:-1]},
            {"outputs": (*outputs, TxOut(1_000, b"\x51"))},
            {"inputs": (*psbt.transaction.inputs, extra)},
            {"inputs": (msgspec.structs.replace(psbt.transaction.inputs[0], sequence=0),)},
            {"lock_time": 7},
            {"version": 1},
        ):
            with pytest.raises(PayoutRefusedError, match="not signatures of one transaction"):
                import_signed(ada, TERMS, approved.pk, [tampered(psbt, **changes).to_base64()])
        assert state_of(approved) == PaymentState.APPROVED
        assert not approved.txid

    def test_missing_and_wrong_signatures_are_refused(self, approved, ada) -> None:
        psbt = Psbt.from_base64(export_payout(ada, TERMS, approved.pk))
        signed = WALLET.sign(psbt)
        public = PrivateKey(b"\x07" * 32).public_key.format()
        signature = signed.input_fields[0][b"\x02" + public]
        stranger = PrivateKey(b"\x08" * 32)
        wrong = stranger.sign(bytes(32), hasher=None) + b"\x01"
        for file, reason in [
            (psbt, "input 0: not signed"),
            (with_signature(psbt, 0, public_key=stranger.public_key.format(), signature=wrong), "not signed"),
            (with_signature(psbt, 0, public_key=public, signature=wrong), "input 0: its signature is not valid"),
            (with_signature(psbt, 0, public_key=public, signature=signature[:-1] + b"\x02"), "a signature of kind"),
            (
                with_signature(psbt, 0, public_key=public, signature=signature[:-1] + b"\x02").with_input(
                    0, {SIGHASH_TYPE: (2).to_bytes(4, "little")}
                ),
                "its signature is not valid",
            ),
            (psbt.with_input(0, {FINAL_WITNESS: b"\x01\x01\x51"}), "1 parts"),
        ]:
            with pytest.raises(PayoutRefusedError, match=reason):
                import_signed(ada, TERMS, approved.pk, [file.to_base64()])
        assert state_of(approved) == PaymentState.APPROVED

    def test_what_the_file_says_of_the_coins_does_not_count(self, approved, ada) -> None:
        psbt = Psbt.from_base64(export_payout(ada, TERMS, approved.pk))
        stranger = PrivateKey(b"\x08" * 32)
        theirs = TxOut(10_000_000, b"\0\x14" + hash160(stranger.public_key.format()))
        made_up = create_psbt(psbt.transaction, [Spent(output=theirs)])
        signed = PracticeWallet(stranger).sign(made_up)

        with pytest.raises(PayoutRefusedError, match="not signed"):
            import_signed(ada, TERMS, approved.pk, [signed.to_base64()])

    @pytest.mark.parametrize("text", ["", "not base64!", "cHNidP8="])
    def test_what_is_no_file_is_refused(self, approved, ada, text: str) -> None:
        with pytest.raises(PayoutRefusedError, match="psbt"):
            import_signed(ada, TERMS, approved.pk, [text])
        with pytest.raises(PayoutRefusedError, match="0 files"):
            import_signed(ada, TERMS, approved.pk, [])

    def test_the_signed_transaction_itself_is_taken_too(self, approved, ada) -> None:
        signed = extract(finalize(signed_file(approved, ada)))
        other = msgspec.structs.replace(signed, lock_time=9)
        for changed, reason in [
            (other, "not the signed form of that one transaction"),
            (msgspec.structs.replace(signed, outputs=signed.outputs[:1]), "not the signed form"),
            (Transaction.parse(bytes(approved.unsigned), witness=False), "0 parts"),
        ]:
            with pytest.raises(PayoutRefusedError, match=reason):
                import_signed(ada, TERMS, approved.pk, [changed.encode().hex()])

        assert import_signed(ada, TERMS, approved.pk, [signed.encode().hex()]) == unsigned_txid_of(approved)

    def test_it_is_brought_back_once(self, approved, ada) -> None:
        text = signed_file(approved, ada).to_base64()
        import_signed(ada, TERMS, approved.pk, [text])
        with pytest.raises(PayoutRefusedError, match="it is signed; expected approved"):
            import_signed(ada, TERMS, approved.pk, [text])


def test_what_is_set_aside_and_not_covered_is_kept_back_from_coinbases(ada, proposed) -> None:
    """Else a payout whose balances a reversal lowered would wait for ever."""
    now = utc_now()
    Slice.objects.create(sequence=1, from_at=now, to_at=now, work=4, shares=4)
    for name, work in (("one", 3), ("two", 1)):
        account = Account.objects.get(name=name)
        times = {"first_share_at": now, "last_share_at": now}
        worker = Worker.objects.create(account=account, name=f"{name}.a", **times)
        SliceWork.objects.create(slice_id=1, worker=worker, work=work, shares=work)
    services.note_height(300, bits=0x207FFFFF, network_work=2, subsidy_sat=5_000_000_000, fees_sat=0)
    services.debit("a loss", {"one": 400_000}, services.Occasion("process:test"))

    plan = services.plan_coinbase(dataclasses.replace(division(), network=TERMS.network), minimum_sat=1_000)

    assert plan is not None
    assert [(each.work, each.debt_sat) for each in plan.outputs] == [("3", 400_000), ("1", 0)]
    cancel_payout(ada, TERMS, proposed.pk, reason="wrong week")
    plan = services.plan_coinbase(dataclasses.replace(division(), network=TERMS.network), minimum_sat=1_000)
    assert plan is not None
    assert [each.debt_sat for each in plan.outputs] == [0, 0]


class TestGivingUp:
    def test_amounts_and_coins_are_free_again(self, proposed, ada) -> None:
        cancel_payout(ada, TERMS, proposed.pk, reason="wrong week")

        assert state_of(proposed) == PaymentState.CANCELLED
        assert proposed.is_at_rest
        assert not reserved_sat()
        assert Coin.objects.get().reserved_by is None
        assert plan_payout(TERMS, Wish()).batch.amount_sat == 4_000_000
        with pytest.raises(PayoutRefusedError, match="it is cancelled"):
            cancel_payout(ada, TERMS, proposed.pk, reason="again")

    def test_one_that_may_be_signed_outside_cannot_be_paid_beside_the_next(self, approved, ada) -> None:
        """Otherwise its holder could send it later, and everybody would be paid twice."""
        export_payout(ada, TERMS, approved.pk)
        cancel_payout(ada, TERMS, approved.pk, reason="the signer is ill")
        put_in(90_000_000, height=2)

        plan = plan_payout(TERMS, Wish())

        tied = {each.outpoint for each in Transaction.parse(bytes(approved.unsigned), witness=False).inputs}
        assert tied & {each.outpoint for each in plan.batch.transaction.inputs}
        assert not approved.is_at_rest

    def test_the_same_once_more_is_signed_like_any_other(self, approved, ada, ben) -> None:
        """Proposed again alike it is the same transaction, with the same id."""
        export_payout(ada, TERMS, approved.pk)
        import_signed(ada, TERMS, approved.pk, [signed_file(approved, ada).to_base64()])
        cancel_payout(ada, TERMS, approved.pk, reason="somebody doubts")
        again = Payment.objects.get(pk=propose_payout(ada, TERMS, Wish(), **WHY))
        approve_payout(ben, TERMS, again.pk, unsigned_txid=unsigned_txid_of(again))

        txid = import_signed(ada, TERMS, again.pk, [signed_file(again, ada).to_base64()])

        assert txid == unsigned_txid_of(approved)
        assert state_of(again) == PaymentState.SIGNED
        assert (state_of(approved), approved.txid) == (PaymentState.CANCELLED, "")

    def test_who_waits_for_such_a_conflict_is_told(self, approved, ada) -> None:
        export_payout(ada, TERMS, approved.pk)
        cancel_payout(ada, TERMS, approved.pk, reason="the signer is ill")
        put_in(90_000_000, height=2)
        propose_payout(ada, TERMS, Wish(accounts=("one",)), **WHY)

        with pytest.raises(PayoutError, match="nothing to pay"):
            plan_payout(TERMS, Wish())
        owe(three=5_000_000)
        assert plan_payout(TERMS, Wish()).waiting == {"two": "conflict"}


class TestSight:
    def test_a_tenant_finds_the_payments_that_pay_it_and_its_own_outputs(self, tenant, ada) -> None:
        north, south = tenant("north"), tenant("south")
        owe(one=3_000_000, two=1_000_000)
        Account.objects.filter(name="one").update(tenant=north)
        put_in(10_000_000)
        PlannedScript.objects.create(script="51", account=Account.objects.get(name="two"))
        number = propose_payout(ada, TERMS, Wish(), **WHY)

        with acting(Scope(tenant_id=north.pk, site_wide=False)):
            [row] = payment_rows.payments()
            assert row.id == number
            assert [each.account for each in payment_rows.outputs(number)] == ["one"]
            assert not Coin.objects.exists()
            assert not PlannedScript.objects.exists()
        with acting(Scope(tenant_id=south.pk, site_wide=False)):
            assert payment_rows.payments() == []
            assert payment_rows.payment(number) is None

    def test_totals_of_the_coins(self, proposed) -> None:
        put_in(7_000, 9_000, height=2)
        put_in(5_000, height=150)
        found = payment_rows.coin_totals()
        assert (found.spendable_sat, found.resting_sat, found.taken_sat) == (16_000, 5_000, 10_000_000)


class TestAddress:
    def test_it_is_recorded_with_what_it_was(self, ada) -> None:
        owe(one=3_000_000)
        before = Account.objects.get().payout_address
        set_payout_address(ada, TERMS, "one", "rb1qw508d6qejxtdg4y5r3zarvary0c5xw7k38f4sn", reason="asked by mail")

        entry = ledger.entries(subject=f"pool-account:{Account.objects.get().pk}")[0]
        assert (entry.before, entry.reason) == ({"payout_address": before}, "asked by mail")
        with pytest.raises(PayoutRefusedError, match="not one of"):
            set_payout_address(ada, TERMS, "one", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", reason="x")
        with pytest.raises(UnknownPaymentError, match="account none: not known"):
            set_payout_address(ada, TERMS, "none", "", reason="x")
