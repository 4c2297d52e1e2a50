"""One transaction that pays many: weights, coins, fees and dust, to the satoshi."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import PayoutError, ShortOfCoinsError
from mbongi.pool.rules.payout.batch import Batch, Claim, FeePayer, FeePolicy, build_batch, signed_weight
from mbongi.pool.rules.payout.coins import Coin, by_worth, input_weight
from mbongi.wire.bitcoin.script import push
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut

P2PKH = bytes.fromhex("76a914" + "11" * 20 + "88ac")
P2SH = bytes.fromhex("a914" + "11" * 20 + "87")
P2WPKH = bytes.fromhex("0014" + "11" * 20)
P2WSH = bytes.fromhex("0020" + "11" * 32)
P2TR = bytes.fromhex("5120" + "11" * 32)
KEY = b"\x02" + bytes(32)
TWO_OF_THREE = b"\x52" + (b"\x21" + KEY) * 3 + b"\x53\xae"
SIGNATURE = bytes(72)


@pytest.mark.parametrize(
    ("script", "unlock", "vbytes"),
    [
        # Source: Bitcoin Optech, transaction size calculator.
        (P2PKH, b"", 148),
        (P2SH, P2WPKH, 91),
        (P2SH, TWO_OF_THREE, 297),
        (P2WPKH, b"", 68),
        (P2WSH, TWO_OF_THREE, 104.5),
        (P2TR, b"", 57.5),
    ],
)
def test_an_input_weighs_what_is_published_of_its_kind(script: bytes, unlock: bytes, vbytes: float) -> None:
    assert input_weight(script, unlock).weight / 4 == vbytes


def _signed(script: bytes, unlock: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Script and witness in full length, written out from the standard forms."""
    several = b"\0" + push(SIGNATURE) * 2 + push(unlock)
    return {
        P2PKH: (push(SIGNATURE) + push(KEY), ()),
        P2SH: (several, ()) if unlock == TWO_OF_THREE else (push(unlock), (SIGNATURE, KEY)),
        P2WPKH: (b"", (SIGNATURE, KEY)),
        P2WSH: (b"", (b"", SIGNATURE, SIGNATURE, unlock)),
        P2TR: (b"", (bytes(64),)),
    }[script]


KINDS = [(P2PKH, b""), (P2SH, P2WPKH), (P2SH, TWO_OF_THREE), (P2WPKH, b""), (P2WSH, TWO_OF_THREE), (P2TR, b"")]


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=300), st.lists(st.sampled_from(KINDS), max_size=300))
def test_a_signed_transaction_weighs_what_was_foretold(spent, paid) -> None:
    coins = [Coin(bytes(32), index, 1, script, unlock=unlock) for index, (script, unlock) in enumerate(spent)]
    inputs = []
    for coin in coins:
        script, witness = _signed(coin.script, coin.unlock)
        inputs.append(TxIn(outpoint=OutPoint(coin.txid, coin.index), script=script, witness=witness))
    scripts = [script for script, _ in paid]
    whole = Transaction(inputs=tuple(inputs), outputs=tuple(TxOut(1, script) for script in scripts))

    assert signed_weight(coins, scripts) == whole.weight


def coin(value_sat: int, number: int = 1, **fields) -> Coin:
    fields = {"confirmations": 1} | fields
    return Coin(number.to_bytes(32, "big"), 0, value_sat, P2WPKH, **fields)


def claims(**amounts: int) -> list[Claim]:
    return [Claim(account, b"\0\x14" + account.encode().ljust(20, b"."), sat) for account, sat in amounts.items()]


def sums(batch: Batch) -> None:
    """What must hold of every batch."""
    put_in = sum(each.value_sat for each in batch.coins)
    sent = {each.index: each.sent_sat for each in batch.paid}
    assert put_in == sum(each.value_sat for each in batch.transaction.outputs) + batch.fee_sat
    assert put_in == batch.amount_sat + batch.pool_fee_sat + batch.change_sat
    assert all(batch.transaction.outputs[index].value_sat == sat for index, sat in sent.items())
    assert sorted([*sent, *([batch.change_index] if batch.change_index is not None else [])]) == list(
        range(len(batch.transaction.outputs))
    )


class TestFee:
    def test_recipients_bear_it_by_their_amounts(self) -> None:
        policy = FeePolicy(10_000)

        batch = build_batch([coin(10_000_000)], claims(ada=3_000_000, bob=1_000_000), policy, change_script=P2WPKH)

        # By hand: 10.5 + 68 + 3 * 31 = 171.5, so 172 virtual bytes at 10 sat, three quarters of it Ada's.
        assert (batch.vsize, batch.fee_sat, batch.pool_fee_sat) == (172, 1_720, 0)
        assert {each.account: each.sent_sat for each in batch.paid} == {"ada": 2_998_710, "bob": 999_570}
        assert {each.account: each.amount_sat for each in batch.paid} == {"ada": 3_000_000, "bob": 1_000_000}
        assert batch.change_sat == 6_000_000
        sums(batch)

    def test_the_pool_bears_it_where_so_agreed(self) -> None:
        policy = FeePolicy(10_000, FeePayer.POOL)

        batch = build_batch([coin(10_000_000)], claims(ada=3_000_000, bob=1_000_000), policy, change_script=P2WPKH)

        assert {each.account: each.sent_sat for each in batch.paid} == {"ada": 3_000_000, "bob": 1_000_000}
        assert (batch.fee_sat, batch.pool_fee_sat, batch.change_sat) == (1_720, 1_720, 5_998_280)
        sums(batch)

    def test_change_that_would_be_dust_goes_to_the_miner(self) -> None:
        # 294 sat is the least for p2wpkh (Bitcoin Core, GetDustThreshold); one output less makes 141 virtual bytes.
        for more_sat, change_sat in [(293, 0), (294, 294)]:
            at = coin(1_000_000 + more_sat)
            batch = build_batch([at], claims(ada=800_000, bob=200_000), FeePolicy(1_000), change_script=P2WPKH)
            assert batch.change_sat == change_sat
            sums(batch)
        small = build_batch([coin(1_000_100)], claims(ada=1_000_000), FeePolicy(1_000), change_script=P2WPKH)
        # By hand: 10.5 + 68 + 31 = 109.5, so 110; the pool bears the 100 that were left over, Ada the other 10.
        assert (small.fee_sat, small.pool_fee_sat, small.paid[0].sent_sat) == (110, 100, 999_990)
        sums(small)

    @pytest.mark.parametrize("rate", [0, 999, 200_001, 10**9])
    def test_a_rate_outside_the_bounds_is_refused(self, rate: int) -> None:
        with pytest.raises(PayoutError, match=r"fee rate of .*; expected 1\.\.200"):
            FeePolicy(rate)

    def test_a_fee_that_eats_the_payment_is_refused(self) -> None:
        with pytest.raises(PayoutError, match="fee of 14100 sat to pay 100000 sat: more than 10%"):
            build_batch([coin(1_000_000)], claims(ada=100_000), FeePolicy(100_000), change_script=P2WPKH)


class TestDust:
    @pytest.mark.parametrize(
        # Source: Bitcoin Core, GetDustThreshold at 3 sat/vB, as its tests and documents state them.
        ("script", "least_sat"),
        [(P2PKH, 546), (P2SH, 540), (P2WPKH, 294), (P2WSH, 330), (P2TR, 330)],
    )
    def test_a_claim_below_its_limit_waits(self, script: bytes, least_sat: int) -> None:
        policy = FeePolicy(1_000, FeePayer.POOL)
        others = claims(ada=1_000_000)

        below = build_batch(
            [coin(9_000_000)], [*others, Claim("bob", script, least_sat - 1)], policy, change_script=P2WPKH
        )
        at = build_batch([coin(9_000_000)], [*others, Claim("bob", script, least_sat)], policy, change_script=P2WPKH)

        assert below.left_out == {"bob": "dust"}
        assert [each.account for each in below.paid] == ["ada"]
        assert sorted(each.account for each in at.paid) == ["ada", "bob"]

    def test_a_claim_that_its_part_of_the_fee_makes_dust_waits(self) -> None:
        policy = FeePolicy(100_000)

        batch = build_batch([coin(9_000_000)], claims(ada=1_000_000, bob=295), policy, change_script=P2WPKH)

        assert batch.left_out == {"bob": "dust"}
        sums(batch)

    def test_nothing_but_dust_is_no_payment(self) -> None:
        with pytest.raises(PayoutError, match="nothing to pay; 1 accounts wait"):
            build_batch([coin(9_000_000)], claims(ada=293), FeePolicy(1_000), change_script=P2WPKH)
        with pytest.raises(PayoutError, match="nothing to pay; 0 accounts wait"):
            build_batch([coin(9_000_000)], [], FeePolicy(1_000), change_script=P2WPKH)


class TestCoins:
    def test_the_fewest_are_taken_and_always_the_same(self) -> None:
        coins = [coin(sat, number) for number, sat in enumerate([500_000, 3_000_000, 1_000_000, 3_000_000])]

        once = build_batch(coins, claims(ada=3_500_000), FeePolicy(1_000), change_script=P2WPKH)
        again = build_batch(coins[::-1], claims(ada=3_500_000), FeePolicy(1_000), change_script=P2WPKH)

        assert [each.value_sat for each in once.coins] == [3_000_000, 3_000_000]
        assert once.transaction.encode() == again.transaction.encode()

    def test_a_coinbase_rests_for_a_hundred_blocks_and_change_for_one(self) -> None:
        young = [coin(9, 1, confirmations=99, is_coinbase=True), coin(9, 2, confirmations=0)]
        ripe = [coin(9_000, 3, confirmations=100, is_coinbase=True), coin(9_000, 4, confirmations=1)]

        assert by_worth([*young, *ripe], 1_000) == ripe
        with pytest.raises(ShortOfCoinsError, match="0 sat can be spent, 1000 sat are missing"):
            build_batch(young, claims(ada=1_000), FeePolicy(1_000), change_script=P2WPKH)

    def test_a_coin_that_costs_more_than_it_holds_stays(self) -> None:
        # 68 virtual bytes at 10 sat.
        assert by_worth([coin(680, 1), coin(681, 2)], 10_000) == [coin(681, 2)]

    def test_what_is_missing_is_said(self) -> None:
        with pytest.raises(ShortOfCoinsError, match="1000 sat can be spent, 110 sat are missing") as found:
            build_batch([coin(1_000)], claims(ada=1_000), FeePolicy(1_000, FeePayer.POOL), change_script=P2WPKH)
        # By hand: 10.5 + 68 + 31 = 109.5 virtual bytes.
        assert found.value.missing_sat == 110

    def test_required_coins_are_spent_in_any_case(self) -> None:
        tied = coin(700, 9)
        coins = [coin(5_000_000, 1), tied]

        batch = build_batch(coins, claims(ada=1_000_000), FeePolicy(1_000), change_script=P2WPKH, required=[tied])

        assert {each.value_sat for each in batch.coins} == {5_000_000, 700}
        sums(batch)

    def test_a_script_that_nobody_knows_how_to_spend_is_an_error(self) -> None:
        for script, reason in [
            (b"\x51", "not known"),
            (P2SH, "redeem script is not known"),
            (P2WSH, "witness script is not known"),
            (bytes.fromhex("5220" + "11" * 32), "not known"),
        ]:
            with pytest.raises(PayoutError, match=reason):
                input_weight(script)
        with pytest.raises(PayoutError, match="a kind not known"):
            input_weight(P2WSH, b"\x51")


class TestWeight:
    def test_what_one_transaction_cannot_hold_waits_smallest_first(self) -> None:
        many = [Claim(f"a{number:05}", P2TR, 1_000_000 + number) for number in range(3_000)]

        batch = build_batch([coin(10**13)], many, FeePolicy(1_000), change_script=P2WPKH)

        assert 399_800 < batch.weight <= 400_000
        assert len(batch.paid) + len(batch.left_out) == 3_000
        assert min(each.amount_sat for each in batch.paid) > 1_000_000 + len(batch.left_out) - 1
        assert set(batch.left_out.values()) == {"weight"}
        sums(batch)


def test_inputs_and_outputs_stand_in_the_order_of_bip_69() -> None:
    # The order that BIP 69 describes, by hand: hashes as people write them, then places; amounts, then scripts.
    coins = [
        Coin(bytes([2, 0]) + bytes(30), 1, 400_000, P2WPKH, 1),
        Coin(bytes([2, 0]) + bytes(30), 0, 400_000, P2WPKH, 1),
        Coin(bytes(31) + b"\x01", 0, 400_000, P2WPKH, 1),
        Coin(bytes([1]) + bytes(31), 0, 400_000, P2WPKH, 1),
    ]
    paid = [Claim("a", b"\0\x14" + b"z" * 20, 500_000), Claim("b", b"\0\x14" + b"a" * 20, 500_000)]
    paid += [Claim("c", P2WPKH, 400_000)]

    batch = build_batch(coins, paid, FeePolicy(1_000, FeePayer.POOL), change_script=P2WPKH)

    assert [(each.outpoint.txid[:2].hex(), each.outpoint.index) for each in batch.transaction.inputs] == [
        ("0100", 0),
        ("0200", 0),
        ("0200", 1),
        ("0000", 0),
    ]
    assert [each.value_sat for each in batch.transaction.outputs] == [batch.change_sat, 400_000, 500_000, 500_000]
    assert [each.account for each in batch.paid] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([*claims(ada=1_000), *claims(ada=2_000)], "claims twice"),
        (claims(ada=0), "claims 0 sat"),
        (claims(ada=1_000, bob=-5), "bob claims -5 sat"),
    ],
)
def test_claims_that_cannot_be_right_are_refused(bad: list[Claim], reason: str) -> None:
    with pytest.raises(PayoutError, match=reason):
        build_batch([coin(10_000_000)], bad, FeePolicy(1_000), change_script=P2WPKH)


@given(
    values=st.lists(st.integers(300, 10**8), min_size=1, max_size=30),
    amounts=st.lists(st.integers(1, 10**7), min_size=1, max_size=30),
    rate=st.integers(1_000, 200_000),
    payer=st.sampled_from(FeePayer),
)
def test_whatever_is_paid_adds_up_and_pays_its_rate(values, amounts, rate, payer) -> None:
    coins = [coin(sat, number) for number, sat in enumerate(values)]
    wanted = claims(**{f"a{number}": sat for number, sat in enumerate(amounts)})
    try:
        batch = build_batch(coins, wanted, FeePolicy(rate, payer, part_ppm_max=10**9), change_script=P2WPKH)
    except PayoutError:
        return

    sums(batch)
    inputs = tuple(msgspec.structs.replace(each, witness=(SIGNATURE, KEY)) for each in batch.transaction.inputs)
    whole = msgspec.structs.replace(batch.transaction, inputs=inputs)
    assert whole.weight == batch.weight
    assert batch.fee_sat * 1_000 >= whole.vsize * rate
    assert min(each.value_sat for each in batch.transaction.outputs) >= 294
    assert {each.account for each in batch.paid} | batch.left_out.keys() == {each.account for each in wanted}
