"""The practice chain pays by itself: its float, its two practice persons, and a chain that begins anew."""

import asyncio

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.ledger import selectors as ledger
from mbongi.pool import services
from mbongi.pool.adapters.practice_wallet import PracticeWallet, miners_address
from mbongi.pool.daemon.paying import Paying
from mbongi.pool.daemon.practice import Practice
from mbongi.pool.errors import PayoutError
from mbongi.pool.models import Account, Block, Coin, Entry, Payment, Worker
from mbongi.pool.services import Occasion
from mbongi.pool.values import FLOAT_ACCOUNT, PaymentState
from mbongi.wire.bitcoin.psbt import Spent, create_psbt
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.pool.daemon.fake_chain import FakeChain
from tests.pool.daemon.test_paying import Bridge
from tests.pool.paying_bed import TERMS, WALLET, WHO, balances, coinbase

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
FIRST_BLOCKS = 8


def new_chain(seed: int) -> FakeChain:
    """Eight blocks of 50 coins for the wallet, and a hundred more so that they ripen."""
    chain = FakeChain(first=seed * 10_000)
    for number in range(FIRST_BLOCKS):
        chain.mine(1, extra=(coinbase(5_000_000_000, seed * 100 + number).encode(),))
    chain.mine(100)
    return chain


def payer(chain: FakeChain) -> Paying:
    bridge = Bridge()
    practice = Practice(bridge, TERMS, WALLET, first_blocks=FIRST_BLOCKS, every_s=0.0)  # type: ignore[arg-type]
    return Paying(bridge, [chain], TERMS, practice=practice.step)  # type: ignore[arg-type, list-item]


def rounds(paying: Paying, count: int = 1) -> None:
    for _ in range(count):
        asyncio.run(paying.round())


def earn(key: str, **amounts: int) -> None:
    services.credit(key, amounts, WHO)


def test_a_miner_without_address_is_paid_from_the_float_by_two_practice_persons() -> None:
    chain = new_chain(1)
    earn("block:a", twin=625_000_000)

    paying = payer(chain)
    rounds(paying, 2)
    chain.mine()
    rounds(paying)

    payment = Payment.objects.get()
    assert payment.state == PaymentState.CONFIRMED
    assert (payment.proposed_by, payment.approvals.get().approved_by) == ("practice:proposer", "practice:approver")
    assert Account.objects.get(name="twin").payout_address == miners_address("twin")
    assert balances() == {FLOAT_ACCOUNT: 8 * 5_000_000_000}
    actors = {entry.actor for entry in ledger.entries(subject=f"payment:{payment.pk}")}
    assert actors == {"practice:proposer", "practice:approver", "process:pool-accounts"}
    [entry] = [entry for entry in ledger.entries() if entry.reason.startswith("practice money")]
    assert entry.after["total_sat"] == 8 * 5_000_000_000


def test_the_float_is_entered_once_however_often_the_process_starts() -> None:
    chain = new_chain(1)
    for _ in range(3):
        rounds(payer(chain))

    assert balances() == {FLOAT_ACCOUNT: 8 * 5_000_000_000}
    assert Coin.objects.count() == 8


def test_a_chain_that_begins_anew_has_a_new_float_and_pays_on() -> None:
    chain = new_chain(1)
    earn("block:a", twin=625_000_000)
    paying = payer(chain)
    rounds(paying, 2)
    assert Payment.objects.get().state == PaymentState.BROADCAST

    chain = new_chain(2)
    paying = payer(chain)
    rounds(paying, 2)
    chain.mine()
    rounds(paying)

    states = list(Payment.objects.order_by("id").values_list("state", flat=True))
    assert states == [PaymentState.FAILED, PaymentState.CONFIRMED]
    assert balances() == {FLOAT_ACCOUNT: 8 * 5_000_000_000}
    assert Coin.objects.filter(is_gone=False, kind="coinbase").count() == 8
    assert Entry.objects.filter(key__startswith="float:", key__endswith=":gone").count() == 1


def found_block(hash_: str, height: int, state: str, *, account: str) -> Block:
    """A block of ours whose reward is credited to one account."""
    now = utc_now()
    who, _ = Account.objects.get_or_create(name=account, defaults={"added_at": now})
    times = {"first_share_at": now, "last_share_at": now}
    worker, _ = Worker.objects.get_or_create(name=f"{account}.a", defaults={"account": who, **times})
    block = Block.objects.create(
        hash=hash_,
        height=height,
        found_at=now,
        worker=worker,
        account=who,
        state=state,
        state_at=now,
        is_at_rest=state == "mature",
        confirmations=100,
        work_since=1,
        share_work=1,
        own_output_index=0,
        own_output_sat=625_000_000,
        own_output_script=WALLET.script,
    )
    services.credit(services.credit_key(hash_), {account: 625_000_000}, Occasion("process:test", "", block.pk))
    return block


def test_what_a_chain_that_is_gone_paid_and_credited_is_undone() -> None:
    chain = new_chain(1)
    chain.mine(1, extra=(coinbase(625_000_000, 77).encode(),))
    block = found_block(asyncio.run(chain.tip()).hash, chain.height, "mature", account="twin")
    chain.mine(100)
    paying = payer(chain)
    rounds(paying, 2)
    chain.mine()
    rounds(paying)
    assert Payment.objects.get().state == PaymentState.CONFIRMED
    assert Coin.objects.filter(block=block, is_gone=False).exists()
    Payment.objects.update(is_at_rest=True)  # as if it lay deep

    chain = new_chain(2)
    chain.mine(1, extra=(coinbase(625_000_000, 78).encode(),))
    kept = found_block(asyncio.run(chain.tip()).hash, chain.height, "in_chain", account="ada")
    Account.objects.filter(name="ada").update(minimum_sat=10**12)
    chain.mine(100)
    rounds(payer(chain), 3)

    former = Payment.objects.order_by("id").first()
    assert former is not None
    assert (former.state, former.block_hash, former.is_at_rest) == (PaymentState.FAILED, "", True)
    assert Payment.objects.count() == 1
    block.refresh_from_db()
    kept.refresh_from_db()
    assert (block.state, kept.state) == ("orphaned", "in_chain")
    assert balances() == {FLOAT_ACCOUNT: 8 * 5_000_000_000, "ada": 625_000_000}
    assert set(Coin.objects.filter(is_gone=False).exclude(block=None).values_list("block", flat=True)) == {kept.pk}


def test_it_waits_where_there_is_nothing_to_pay_and_leaves_the_pools_own_accounts_alone() -> None:
    chain = new_chain(1)
    Account.objects.create(name=".fee", added_at=utc_now())
    earn("fees", **{".fee": 700_000})

    rounds(payer(chain), 3)

    assert not Payment.objects.exists()
    assert not Account.objects.get(name=".fee").payout_address


def test_the_wallet_signs_its_own_coins_alone() -> None:
    other = TxOut(1_000, b"\0\x14" + b"x" * 20)
    transaction = Transaction(
        inputs=(TxIn(outpoint=OutPoint(bytes([1] * 32), 0)),), outputs=(TxOut(900, WALLET.script),)
    )
    with pytest.raises(PayoutError, match="input 0 is not of this wallet"):
        WALLET.sign(create_psbt(transaction, [Spent(output=other)]))


def test_the_wallet_is_made_once_and_readable_by_its_owner_alone(tmp_path) -> None:
    first, again = PracticeWallet.of(tmp_path), PracticeWallet.of(tmp_path)

    assert first.address == again.address
    assert first.address.startswith("rb1q")
    assert (tmp_path / "secrets" / "practice-wallet.key").stat().st_mode & 0o777 == 0o600
    assert "key" not in repr(first).lower().replace("practicewallet", "")
