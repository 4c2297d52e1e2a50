"""What the tests of payouts share: a wallet, terms, balances and coins to pay them from."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from coincurve import PrivateKey

from mbongi.base.clock import utc_now
from mbongi.pool import services
from mbongi.pool.adapters.practice_wallet import PracticeWallet, miners_address
from mbongi.pool.models import Account
from mbongi.pool.paying_steps import NewCoin, add_coins, note_tip
from mbongi.pool.rules.payout.batch import FeePayer
from mbongi.pool.services import Occasion
from mbongi.pool.terms import PayingTerms
from mbongi.wire.bitcoin.address import networks
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut

WALLET = PracticeWallet(PrivateKey(b"\x07" * 32))
TERMS = PayingTerms(
    network=networks()["regtest-bcoin"],
    script=WALLET.script,
    unlock=b"",
    minimum_sat=100_000,
    approvals=1,
    fee_sat_kvb=2_000,
    fee_sat_kvb_max=100_000,
    payer=FeePayer.RECIPIENTS,
    is_practice=True,
)
TIP = 200
WHO = Occasion("process:test", "test")


def terms(**changes: Any) -> PayingTerms:
    return dataclasses.replace(TERMS, **changes)


def owe(**amounts: int) -> None:
    """Credit accounts that have an address."""
    now = utc_now()
    for name in amounts:
        Account.objects.get_or_create(name=name, defaults={"added_at": now, "payout_address": miners_address(name)})
    services.credit(f"block:{sorted(amounts.items())}", amounts, WHO)


def coinbase(value_sat: int, number: int, script: bytes = WALLET.script) -> Transaction:
    first = TxIn(outpoint=OutPoint(bytes(32), 0xFFFF_FFFF), script=number.to_bytes(4, "little"))
    return Transaction(inputs=(first,), outputs=(TxOut(value_sat, script),))


def put_in(*values: int, height: int = 1, script: bytes = WALLET.script, unlock: bytes = b"") -> Sequence[Transaction]:
    """Coins of blocks, ripe at TIP where ``height`` is left alone."""
    made = [coinbase(sat, height * 1000 + number, script) for number, sat in enumerate(values)]
    add_coins([NewCoin(each.encode(), 0, height) for each in made], script=script, unlock=unlock)
    note_tip(TIP)
    return made


def balances() -> dict[str, int]:
    return dict(Account.objects.exclude(balance_sat=0).values_list("name", "balance_sat"))
