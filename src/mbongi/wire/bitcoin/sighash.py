"""What the signatures of a transaction sign, where they sign all of it: before segwit, BIP 143, and BIP 341 by key."""

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec

from mbongi.wire.bitcoin.hashing import sha256d
from mbongi.wire.bitcoin.transaction import Transaction, TxOut, compact_size
from mbongi.wire.errors import WireError

SIGHASH_DEFAULT: Final = 0x00
"""All of the transaction, in the shorter signature of taproot. Source: BIP 341."""
SIGHASH_ALL: Final = 0x01


class SignedHashes:
    """The hashes that the inputs of one transaction sign; ``spent`` are the outputs that they spend, in their order."""

    def __init__(self, transaction: Transaction, spent: Sequence[TxOut]) -> None:
        if len(spent) != len(transaction.inputs):
            raise WireError(f"signatures: {len(spent)} spent outputs for {len(transaction.inputs)} inputs")
        self._transaction, self._spent = transaction, spent
        self._prevouts = b"".join([each.outpoint.txid + _u32(each.outpoint.index) for each in transaction.inputs])
        self._sequences = b"".join([_u32(each.sequence) for each in transaction.inputs])
        self._outputs = b"".join([output.encode() for output in transaction.outputs])

    def legacy(self, place: int, script: bytes) -> bytes:
        """The hash for an output from before segwit; ``script`` is the output's, or the redeem script of p2sh.

        Source: Bitcoin Core, SignatureHash with SigVersion::BASE; the script must hold no OP_CODESEPARATOR.
        """
        inputs = [
            msgspec.structs.replace(each, script=script if at == place else b"", witness=())
            for at, each in enumerate(self._transaction.inputs)
        ]
        stripped = msgspec.structs.replace(self._transaction, inputs=tuple(inputs))
        return sha256d(stripped.encode(witness=False) + _u32(SIGHASH_ALL))

    def segwit(self, place: int, script_code: bytes) -> bytes:
        """The hash for an output of segwit version 0. Source: BIP 143."""
        transaction, each = self._transaction, self._transaction.inputs[place]
        parts = (
            _u32(transaction.version),
            sha256d(self._prevouts),
            sha256d(self._sequences),
            each.outpoint.txid + _u32(each.outpoint.index),
            compact_size(len(script_code)) + script_code,
            self._spent[place].value_sat.to_bytes(8, "little"),
            _u32(each.sequence),
            sha256d(self._outputs),
            _u32(transaction.lock_time),
            _u32(SIGHASH_ALL),
        )
        return sha256d(b"".join(parts))

    def taproot(self, place: int, kind: int = SIGHASH_DEFAULT) -> bytes:
        """The hash for a taproot output that is spent by its key, without annex. Source: BIP 341."""
        if kind not in {SIGHASH_DEFAULT, SIGHASH_ALL}:
            raise WireError(f"a signature of kind {kind:#04x}; expected {SIGHASH_DEFAULT} or {SIGHASH_ALL}")
        values = b"".join([each.value_sat.to_bytes(8, "little") for each in self._spent])
        scripts = b"".join([compact_size(len(each.script)) + each.script for each in self._spent])
        hashed = (self._prevouts, values, scripts, self._sequences, self._outputs)
        parts = (
            bytes([0, kind]),  # the epoch, then the kind
            _u32(self._transaction.version) + _u32(self._transaction.lock_time),
            *(sha256(each).digest() for each in hashed),
            bytes([0]),  # by the key, and no annex
            _u32(place),
        )
        return _tagged("TapSighash", b"".join(parts))


def _tagged(tag: str, message: bytes) -> bytes:
    """Source: BIP 340."""
    prefix = sha256(tag.encode()).digest()
    return sha256(prefix + prefix + message).digest()


def _u32(number: int) -> bytes:
    return struct.pack("<I", number)
