"""One transaction that pays many: from the pool's coins, the claims and a fee rate to outputs that add up. Pure.

Inputs and outputs stand in the order of BIP 69: whoever checks a proposal can make the same transaction again, byte by
byte, and the change is not told apart by its place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mbongi.pool.errors import NothingToPayError, PayoutError, ShortOfCoinsError
from mbongi.pool.rules.payout.amounts import PPM, split
from mbongi.pool.rules.payout.coins import Coin, by_worth, growing, input_weight
from mbongi.wire.bitcoin.script import dust_limit_sat
from mbongi.wire.bitcoin.transaction import WITNESS_SCALE, OutPoint, Transaction, TxIn, TxOut, compact_size

WEIGHT_MAX: Final = 400_000
"""Of a transaction that nodes relay. Source: Bitcoin Core, MAX_STANDARD_TX_WEIGHT."""
FEE_SAT_KVB_MIN: Final = 1_000
"""Below it most nodes relay nothing. Source: Bitcoin Core before 30, DEFAULT_MIN_RELAY_TX_FEE."""
SEQUENCE: Final = 0xFFFF_FFFD
"""The transaction may be replaced by one with a higher fee (BIP 125), and its lock time counts for nothing."""


class FeePayer(StrEnum):
    """Who bears a transaction's fee."""

    POOL = "pool"
    """Everybody receives the whole of their amount; the fee is taken off the pool's own account."""
    RECIPIENTS = "recipients"
    """Everybody bears a part of it by their amount, to the satoshi."""


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """What a transaction may cost [sat per 1,000 virtual bytes; ppm of what it pays]."""

    fee_sat_kvb: int
    payer: FeePayer = FeePayer.RECIPIENTS
    fee_sat_kvb_max: int = 200_000
    part_ppm_max: int = 100_000
    weight_max: int = WEIGHT_MAX

    def __post_init__(self) -> None:
        """Raises PayoutError for a rate outside the bounds."""
        if not FEE_SAT_KVB_MIN <= self.fee_sat_kvb <= self.fee_sat_kvb_max:
            low, high = FEE_SAT_KVB_MIN / 1000, self.fee_sat_kvb_max / 1000
            raise PayoutError(f"fee rate of {self.fee_sat_kvb / 1000:g} sat/vB; expected {low:g}..{high:g}")

    def fee_sat(self, weight: int) -> int:
        """The fee of a transaction, rounded up, as nodes count it: by whole virtual bytes."""
        vsize = -(-weight // WITNESS_SCALE)
        return -(-vsize * self.fee_sat_kvb // 1000)


@dataclass(frozen=True, slots=True)
class Claim:
    """What an account is to be paid, and where."""

    account: str
    script: bytes
    amount_sat: int

    @property
    def dust_sat(self) -> int:
        """The least that nodes relay to it."""
        return dust_limit_sat(self.script)


@dataclass(frozen=True, slots=True)
class Paid:
    """An account's part: ``amount_sat`` is taken off its balance, ``sent_sat`` stands in output ``index``."""

    account: str
    index: int
    amount_sat: int
    sent_sat: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A transaction to be signed, and what it does.

    ``amount`` of all accounts and ``pool_fee_sat`` add up to what the pool's coins lose. ``weight`` is that of the
    signed transaction, at most. ``left_out`` are the accounts that wait, with the reason.
    """

    transaction: Transaction
    coins: tuple[Coin, ...]
    paid: tuple[Paid, ...]
    change_index: int | None
    fee_sat: int
    pool_fee_sat: int
    weight: int
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def amount_sat(self) -> int:
        """What all accounts together are debited."""
        return sum(each.amount_sat for each in self.paid)

    @property
    def change_sat(self) -> int:
        """What comes back to the pool."""
        return 0 if self.change_index is None else self.transaction.outputs[self.change_index].value_sat

    @property
    def vsize(self) -> int:
        """Virtual bytes of the signed transaction, at most."""
        return -(-self.weight // WITNESS_SCALE)


@dataclass(frozen=True, slots=True)
class _Draft:
    coins: Sequence[Coin]
    sent: Sequence[int]
    change_sat: int
    fee_sat: int
    pool_fee_sat: int
    weight: int


def build_batch(
    coins: Iterable[Coin],
    claims: Iterable[Claim],
    policy: FeePolicy,
    *,
    change_script: bytes,
    required: Sequence[Coin] = (),
) -> Batch:
    """Pay as many claims as one transaction holds, largest first, with the fewest coins.

    ``required`` coins are spent in any case. A claim below its dust limit, after its part of the fee too, waits. Change
    below its own dust limit goes to the miner, at the expense of whoever bears the fee, beyond it at the pool's.
    Raises ShortOfCoinsError where the spendable coins do not suffice, PayoutError for amounts, accounts or a fee that
    cannot be right.
    """
    wanted, left_out = _ordered(claims)
    _without_heavy(wanted, left_out, policy.weight_max)
    worth = by_worth(coins, policy.fee_sat_kvb)
    while True:
        if not wanted:
            raise NothingToPayError(len(left_out))
        draft = _draft(wanted, required, worth, policy, change_script)
        small = {
            each.account for each, sent_sat in zip(wanted, draft.sent, strict=True) if sent_sat < max(each.dust_sat, 1)
        }
        if small:
            left_out |= dict.fromkeys(small, "dust")
            wanted = [each for each in wanted if each.account not in small]
        elif draft.weight > policy.weight_max:
            _drop_smallest(wanted, left_out, draft.weight - policy.weight_max)
        else:
            break
    _require_sane_fee(draft, sum(each.amount_sat for each in wanted), policy)
    return _batch(wanted, draft, left_out, change_script)


def _ordered(claims: Iterable[Claim]) -> tuple[list[Claim], dict[str, str]]:
    """Largest first, and those that wait because their output would be dust."""
    found = sorted(claims, key=lambda each: (-each.amount_sat, each.account))
    if len({each.account for each in found}) < len(found):
        raise PayoutError("payment: an account claims twice")
    if found and found[-1].amount_sat <= 0:
        raise PayoutError(f"payment: {found[-1].account} claims {found[-1].amount_sat} sat; expected more than 0")
    left_out = {each.account: "dust" for each in found if each.amount_sat < each.dust_sat}
    return [each for each in found if each.account not in left_out], left_out


def _without_heavy(wanted: list[Claim], left_out: dict[str, str], weight_max: int) -> None:
    over = sum(_output_weight(each.script) for each in wanted) - weight_max
    _drop_smallest(wanted, left_out, over)


def _drop_smallest(wanted: list[Claim], left_out: dict[str, str], weight: int) -> None:
    while weight > 0 and wanted:
        dropped = wanted.pop()
        left_out[dropped.account] = "weight"
        weight -= _output_weight(dropped.script)


def _draft(
    wanted: Sequence[Claim], required: Sequence[Coin], worth: Sequence[Coin], policy: FeePolicy, change_script: bytes
) -> _Draft:
    total_sat = sum(each.amount_sat for each in wanted)
    scripts = [each.script for each in wanted]
    missing_sat = total_sat
    for picked in growing(required, worth):
        surplus_sat = sum(each.value_sat for each in picked) - total_sat
        least_sat = policy.fee_sat(signed_weight(picked, scripts)) if policy.payer is FeePayer.POOL else 0
        if surplus_sat >= least_sat:
            return _divided(wanted, picked, policy, surplus_sat, change_script)
        missing_sat = least_sat - surplus_sat
    spendable_sat = sum(each.value_sat for each in {*required, *worth})
    raise ShortOfCoinsError(
        f"payment of {total_sat} sat: {spendable_sat} sat can be spent, {missing_sat} sat are missing", missing_sat
    )


def _divided(
    wanted: Sequence[Claim], picked: Sequence[Coin], policy: FeePolicy, surplus_sat: int, change_script: bytes
) -> _Draft:
    """Divide what the coins hold beyond the claims into fee and change, and the fee among those who bear it."""
    scripts = [each.script for each in wanted]
    plain, with_change = signed_weight(picked, scripts), signed_weight(picked, [*scripts, change_script])
    amounts = [each.amount_sat for each in wanted]
    is_pool = policy.payer is FeePayer.POOL
    fee_sat = policy.fee_sat(with_change)
    change_sat = surplus_sat - fee_sat if is_pool else surplus_sat
    if change_sat >= max(dust_limit_sat(change_script), 1):
        sent = amounts if is_pool else _less(wanted, fee_sat)
        return _Draft(picked, sent, change_sat, fee_sat, fee_sat if is_pool else 0, with_change)
    shared_sat = 0 if is_pool else max(policy.fee_sat(plain) - surplus_sat, 0)
    return _Draft(picked, _less(wanted, shared_sat), 0, surplus_sat + shared_sat, surplus_sat, plain)


def _less(wanted: Sequence[Claim], fee_sat: int) -> list[int]:
    """Amounts less the parts of a fee, which add up to it."""
    parts = split(fee_sat, {each.account: each.amount_sat for each in wanted})
    return [each.amount_sat - parts[each.account] for each in wanted]


def _require_sane_fee(draft: _Draft, amount_sat: int, policy: FeePolicy) -> None:
    if draft.fee_sat * PPM > amount_sat * policy.part_ppm_max:
        raise PayoutError(
            f"fee of {draft.fee_sat} sat to pay {amount_sat} sat: more than {policy.part_ppm_max / PPM:.0%};"
            " wait for larger balances or a lower fee rate"
        )


def _batch(wanted: Sequence[Claim], draft: _Draft, left_out: dict[str, str], change_script: bytes) -> Batch:
    sent = [(TxOut(sat, each.script), each) for sat, each in zip(draft.sent, wanted, strict=True)]
    rows: list[tuple[TxOut, Claim | None]] = [*sent]
    if draft.change_sat:
        rows.append((TxOut(draft.change_sat, change_script), None))
    # Source: BIP 69. Equal outputs may stand either way; the account decides, so that the same comes out each time.
    rows.sort(key=lambda row: (row[0].value_sat, row[0].script, row[1].account if row[1] else ""))
    coins = tuple(sorted(draft.coins, key=lambda each: each.order))
    transaction = Transaction(
        inputs=tuple(TxIn(outpoint=OutPoint(each.txid, each.index), sequence=SEQUENCE) for each in coins),
        outputs=tuple(output for output, _ in rows),
    )
    return Batch(
        transaction=transaction,
        coins=coins,
        paid=tuple(
            Paid(claim.account, index, claim.amount_sat, output.value_sat)
            for index, (output, claim) in enumerate(rows)
            if claim is not None
        ),
        change_index=next((index for index, (_, claim) in enumerate(rows) if claim is None), None),
        fee_sat=draft.fee_sat,
        pool_fee_sat=draft.pool_fee_sat,
        weight=draft.weight,
        left_out=dict(sorted(left_out.items())),
    )


def signed_weight(coins: Sequence[Coin], scripts: Sequence[bytes]) -> int:
    """What a signed transaction weighs, at most, that spends ``coins`` and pays to ``scripts``. Source: BIP 141."""
    inputs = [input_weight(each.script, each.unlock) for each in coins]
    fixed = 4 + len(compact_size(len(inputs))) + len(compact_size(len(scripts))) + 4
    weight = fixed * WITNESS_SCALE + sum(each.weight for each in inputs) + sum(map(_output_weight, scripts))
    if any(each.has_witness for each in inputs):
        weight += 2 + sum(not each.has_witness for each in inputs)  # marker and flag; an empty witness each
    return weight


def _output_weight(script: bytes) -> int:
    return (8 + len(compact_size(len(script))) + len(script)) * WITNESS_SCALE
