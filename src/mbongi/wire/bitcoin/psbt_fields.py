"""The fields of partially signed transactions that BIP 174 and BIP 371 define, and the form that each must have."""

from collections.abc import Callable, Mapping
from typing import Final

from mbongi.wire.bitcoin.transaction import Reader, Transaction, TxOut, read_witness
from mbongi.wire.errors import WireError

GLOBAL_UNSIGNED_TX: Final = b"\x00"
NON_WITNESS_UTXO: Final = b"\x00"
WITNESS_UTXO: Final = b"\x01"
PARTIAL_SIGNATURE: Final = b"\x02"
"""Followed by the public key."""
SIGHASH_TYPE: Final = b"\x03"
REDEEM_SCRIPT: Final = b"\x04"
WITNESS_SCRIPT: Final = b"\x05"
FINAL_SCRIPT: Final = b"\x07"
FINAL_WITNESS: Final = b"\x08"
TAPROOT_KEY_SIGNATURE: Final = b"\x13"

Form = Callable[[bytes, bytes], bool]
"""Whether a key's data (after its type) and its value are as they must be; may raise WireError itself."""


def require_form(key: bytes, value: bytes, forms: Mapping[int, Form | None], where: str) -> None:
    """Raise WireError unless a field has the form of its type; a type that is not known may have any.

    A type whose form is None belongs to version 2 (BIP 370) and is refused.
    """
    reader = Reader(key, f"{where}: key")
    kind = reader.compact()
    form = forms.get(kind, _any)
    if form is None:
        raise WireError(f"{where}: field {kind:#04x} is not for version 0")
    if not form(reader.take(reader.left), value):
        raise WireError(f"{where}: field {kind:#04x}, key {key[:40].hex()}: not in the form of its type")


def _any(data: bytes, value: bytes) -> bool:  # noqa: ARG001  # a form like the others
    return True


def _blob(data: bytes, value: bytes) -> bool:  # noqa: ARG001  # a form like the others
    return not data


def _sized(*sizes: int) -> Form:
    return lambda data, value: not data and len(value) in sizes


def _hashed(size: int) -> Form:
    return lambda data, _: len(data) == size


def _transaction(data: bytes, value: bytes) -> bool:
    Transaction.parse(value)
    return not data


def _unsigned(data: bytes, value: bytes) -> bool:
    Transaction.parse(value, witness=False)
    return not data


def _output(data: bytes, value: bytes) -> bool:
    reader = Reader(value, "psbt output")
    TxOut.read(reader)
    reader.end()
    return not data


def _witness(data: bytes, value: bytes) -> bool:
    reader = Reader(value, "psbt witness")
    read_witness(reader)
    reader.end()
    return not data


def _is_public_key(data: bytes) -> bool:
    return (len(data) == 33 and data[0] in {2, 3}) or (len(data) == 65 and data[0] == 4)


def _partial_signature(data: bytes, value: bytes) -> bool:
    return _is_public_key(data) and 9 <= len(value) <= 73


def _derivation(data: bytes, value: bytes) -> bool:
    return _is_public_key(data) and len(value) >= 4 and len(value) % 4 == 0


def _extended_key(data: bytes, value: bytes) -> bool:
    return len(data) == 78 and len(value) == 4 * (1 + data[4])  # the fifth byte is the depth


def _version(data: bytes, value: bytes) -> bool:
    return not data and value == bytes(4)


def _proprietary(data: bytes, value: bytes) -> bool:  # noqa: ARG001  # a form like the others
    reader = Reader(data, "psbt proprietary key")
    reader.blob()
    reader.compact()
    return True


def _taproot_script_signature(data: bytes, value: bytes) -> bool:
    return len(data) == 64 and len(value) in {64, 65}


def _taproot_leaf(data: bytes, value: bytes) -> bool:
    return len(data) >= 33 and (len(data) - 33) % 32 == 0 and len(data) <= 33 + 128 * 32 and bool(value)


def _taproot_derivation(data: bytes, value: bytes) -> bool:
    reader = Reader(value, "psbt taproot derivation")
    reader.take(32 * reader.count(32))
    return len(data) == 32 and reader.left >= 4 and reader.left % 4 == 0


def _taproot_tree(data: bytes, value: bytes) -> bool:
    reader = Reader(value, "psbt taproot tree")
    while reader.left:
        reader.take(2)
        reader.blob()
    return not data and bool(value)


GLOBAL_FORMS: Final[Mapping[int, Form | None]] = {
    0x00: _unsigned,
    0x01: _extended_key,
    **dict.fromkeys(range(0x02, 0x07)),
    0xFB: _version,
    0xFC: _proprietary,
}
INPUT_FORMS: Final[Mapping[int, Form | None]] = {
    0x00: _transaction,
    0x01: _output,
    0x02: _partial_signature,
    0x03: _sized(4),
    0x04: _blob,
    0x05: _blob,
    0x06: _derivation,
    0x07: _blob,
    0x08: _witness,
    0x0A: _hashed(20),
    0x0B: _hashed(32),
    0x0C: _hashed(20),
    0x0D: _hashed(32),
    **dict.fromkeys(range(0x0E, 0x13)),
    0x13: _sized(64, 65),
    0x14: _taproot_script_signature,
    0x15: _taproot_leaf,
    0x16: _taproot_derivation,
    0x17: _sized(32),
    0x18: _sized(32),
    0xFC: _proprietary,
}
OUTPUT_FORMS: Final[Mapping[int, Form | None]] = {
    0x00: _blob,
    0x01: _blob,
    0x02: _derivation,
    **dict.fromkeys((0x03, 0x04)),
    0x05: _sized(32),
    0x06: _taproot_tree,
    0x07: _taproot_derivation,
    0xFC: _proprietary,
}
