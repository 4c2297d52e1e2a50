"""The pool's own coins: which may be spent, what spending them weighs, and which are taken. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.block_record import MATURE_CONFIRMATIONS
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.script import multisig, p2pkh_hash, p2sh_hash, push, witness_program
from mbongi.wire.bitcoin.transaction import WITNESS_SCALE, compact_size
from mbongi.wire.errors import WireError

ECDSA_BYTES: Final = 72
"""The longest signature that nodes relay (low S), with the byte of its kind; some are a byte or two shorter, so a
transaction never pays less than the rate that was asked for. Source: BIP 62, BIP 146."""
SCHNORR_BYTES: Final = 64
KEY_BYTES: Final = 33
_OUTPOINT_AND_SEQUENCE: Final = 32 + 4 + 4


@dataclass(frozen=True, slots=True)
class Coin:
    """An output of ours. ``txid`` is in internal order; ``confirmations`` is 0 for one that is in no block.

    ``unlock`` is what its script is the hash of: the redeem script of p2sh, the witness script of p2wsh; else empty.
    """

    txid: bytes
    index: int
    value_sat: int
    script: bytes
    confirmations: int = 0
    is_coinbase: bool = False
    unlock: bytes = b""

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{display(self.txid)}:{self.index}"

    @property
    def is_spendable(self) -> bool:
        """Whether nodes would take a transaction that spends it, in the next block."""
        return self.confirmations >= (MATURE_CONFIRMATIONS if self.is_coinbase else 1)

    @property
    def order(self) -> tuple[bytes, int]:
        """Its place among the inputs. Source: BIP 69."""
        return self.txid[::-1], self.index


@dataclass(frozen=True, slots=True)
class InputWeight:
    """What spending a coin adds to a transaction, at most: ``weight`` without the witness' count where it has none."""

    weight: int
    has_witness: bool


def input_weight(script: bytes, unlock: bytes = b"") -> InputWeight:
    """What an input weighs that spends an output of ``script``, signed; for several keys, with as many as it needs.

    Raises PayoutError for a script that the finalizer does not know, or whose ``unlock`` is missing or another's.
    """
    try:
        if p2sh_hash(script) is not None:
            return _p2sh_weight(unlock)
        if witness_program(script) is not None:
            return InputWeight(_plain(0) + _witness_bytes(script, unlock), has_witness=True)
        if p2pkh_hash(script) is not None:
            return InputWeight(_plain(_key_bytes()), has_witness=False)
    except WireError as error:
        raise PayoutError(f"coin of script {script.hex()}: {error}") from error
    raise PayoutError(f"coin of script {script.hex()}: spending it is not known here")


def by_worth(coins: Iterable[Coin], fee_sat_kvb: int) -> list[Coin]:
    """The coins that are worth their own fee, largest first; those that may not be spent yet are left out.

    The order is by what a coin adds after the fee for spending it, then by its name, so everybody finds the same.
    """
    worth = [(each.value_sat - _fee_sat(each, fee_sat_kvb), each) for each in coins if each.is_spendable]
    return [each for added_sat, each in sorted(worth, key=lambda pair: (-pair[0], pair[1].order)) if added_sat > 0]


def growing(required: Sequence[Coin], others: Sequence[Coin]) -> Iterator[list[Coin]]:
    """A set of coins that grows by one each time: the required ones first, then the others in order.

    Since the others come largest first, it has the fewest coins when it first is enough. It is one list, not copies.
    """
    picked = list(required)
    taken = set(picked)
    if picked:
        yield picked
    for each in others:
        if each not in taken:
            picked.append(each)
            yield picked


def _fee_sat(coin: Coin, fee_sat_kvb: int) -> int:
    weight = input_weight(coin.script, coin.unlock).weight
    return -(-weight * fee_sat_kvb // (WITNESS_SCALE * 1000))


def _plain(script_bytes: int) -> int:
    return (_OUTPOINT_AND_SEQUENCE + len(compact_size(script_bytes)) + script_bytes) * WITNESS_SCALE


def _key_bytes() -> int:
    """A signature and its key, each with its length."""
    return 1 + ECDSA_BYTES + 1 + KEY_BYTES


def _p2sh_weight(redeem: bytes) -> InputWeight:
    if not redeem:
        raise PayoutError("coin of p2sh: its redeem script is not known; state pool.spend_script")
    if witness_program(redeem) is not None:
        return InputWeight(_plain(len(push(redeem))) + _witness_bytes(redeem, b""), has_witness=True)
    needed, _keys = multisig(redeem)
    return InputWeight(_plain(1 + needed * (1 + ECDSA_BYTES) + len(push(redeem))), has_witness=False)


def _witness_bytes(script: bytes, unlock: bytes) -> int:
    match witness_program(script):
        case (0, program) if len(program) == 20:
            return 1 + _key_bytes()
        case (0, program) if len(program) == 32:
            if not unlock:
                raise PayoutError("coin of p2wsh: its witness script is not known; state pool.spend_script")
            needed, _keys = multisig(unlock)
            return 2 + needed * (1 + ECDSA_BYTES) + len(compact_size(len(unlock))) + len(unlock)
        case (1, program) if len(program) == 32:
            return 1 + 1 + SCHNORR_BYTES
    raise PayoutError(f"coin of script {script.hex()}: spending it is not known here")
