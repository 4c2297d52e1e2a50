"""From signatures to a transaction that nodes take: the finalizer and the extractor of BIP 174.

It knows the outputs that wallets sign for: a key (p2pkh, p2wpkh, also within p2sh), taproot by its key, and some of
several keys (multisignature within p2sh, p2wsh or both). Signatures are not verified here: ``signatures.py`` does.
"""

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from mbongi.wire.bitcoin.hashing import hash160
from mbongi.wire.bitcoin.psbt import Fields, Psbt
from mbongi.wire.bitcoin.psbt_fields import (
    FINAL_SCRIPT,
    FINAL_WITNESS,
    NON_WITNESS_UTXO,
    PARTIAL_SIGNATURE,
    REDEEM_SCRIPT,
    SIGHASH_TYPE,
    TAPROOT_KEY_SIGNATURE,
    WITNESS_SCRIPT,
    WITNESS_UTXO,
)
from mbongi.wire.bitcoin.script import (
    P2PKH,
    multisig,
    p2pkh_hash,
    p2sh_hash,
    push,
    witness_program,
)
from mbongi.wire.bitcoin.sighash import SIGHASH_ALL, SIGHASH_DEFAULT
from mbongi.wire.bitcoin.transaction import Reader, Transaction, TxIn, encode_witness, read_witness
from mbongi.wire.errors import WireError

_UTXOS = {NON_WITNESS_UTXO[0], WITNESS_UTXO[0]}
_CLEARED = {*range(0x02, 0x07), *range(0x0A, 0x0E), *range(0x13, 0x19)}
"""Types of the fields that are of no use once an input is final; those not known stay."""


class IncompleteError(WireError):
    """Signatures, or what is needed to place them, are missing still; nothing contradicts itself."""


def finalize(psbt: Psbt) -> Psbt:
    """Turn the signatures of every input into its final script and witness.

    Raises IncompleteError where more signatures are needed, WireError where an input contradicts itself, signs less
    than the whole transaction without saying so beforehand, or spends an output of a kind not known here.
    """
    inputs, incomplete = [], None
    for place in range(len(psbt.input_fields)):
        try:
            inputs.append(_finalized(psbt, place))
        except IncompleteError as error:  # a contradiction in a later input is told rather than this
            incomplete = incomplete or error
    if incomplete is not None:
        raise incomplete
    return msgspec.structs.replace(psbt, input_fields=tuple(inputs))


def extract(psbt: Psbt) -> Transaction:
    """The signed transaction of a finalized file. Raises IncompleteError where an input is not final."""
    inputs: list[TxIn] = []
    for place, (each, fields) in enumerate(zip(psbt.transaction.inputs, psbt.input_fields, strict=True)):
        if not _is_final(fields):
            raise IncompleteError(f"psbt input {place}: not final")
        witness = read_witness(Reader(fields.get(FINAL_WITNESS, b"\0"), "psbt witness"))
        inputs.append(msgspec.structs.replace(each, script=fields.get(FINAL_SCRIPT, b""), witness=witness))
    return msgspec.structs.replace(psbt.transaction, inputs=tuple(inputs))


def _is_final(fields: Fields) -> bool:
    return FINAL_SCRIPT in fields or FINAL_WITNESS in fields


def _finalized(psbt: Psbt, place: int) -> Fields:
    fields = psbt.input_fields[place]
    spent = psbt.spent_output(place)
    if _is_final(fields):
        return fields
    if spent is None:
        raise IncompleteError(f"psbt input {place}: the output that it spends is not known")
    try:
        script, witness = _proof(spent.script, fields)
    except IncompleteError as error:
        raise IncompleteError(f"psbt input {place}: {error}") from error
    except WireError as error:
        raise WireError(f"psbt input {place}: {error}") from error
    kept = {key: value for key, value in fields.items() if key[0] not in _CLEARED}
    if script:
        kept[FINAL_SCRIPT] = script
    if witness:
        kept[FINAL_WITNESS] = encode_witness(witness)
    return dict(sorted(kept.items()))


def _proof(spent: bytes, fields: Fields) -> tuple[bytes, list[bytes]]:
    """The script and the witness that show a right to spend."""
    script_hash = p2sh_hash(spent)
    if script_hash is None:
        if witness_program(spent) is not None:
            return b"", _witness(spent, fields)
        return _pushes(_signed(spent, fields)), []
    redeem = fields.get(REDEEM_SCRIPT)
    if redeem is None:
        raise IncompleteError("its redeem script is missing")
    if hash160(redeem) != script_hash:
        raise WireError("its redeem script is not the one that the output names")
    if witness_program(redeem) is not None:
        return push(redeem), _witness(redeem, fields)
    if WITNESS_UTXO in fields and NON_WITNESS_UTXO not in fields:
        raise WireError("an output that is not segwit's comes without its transaction")
    return _pushes([*_signed(redeem, fields), redeem]), []


def _witness(script: bytes, fields: Fields) -> list[bytes]:
    match witness_program(script):
        case (0, program) if len(program) == 20:
            return _signed(program.join(P2PKH), fields)  # BIP 143: as if the script paid to the key's hash
        case (0, program) if len(program) == 32:
            witness_script = fields.get(WITNESS_SCRIPT)
            if witness_script is None:
                raise IncompleteError("its witness script is missing")
            if sha256(witness_script).digest() != program:
                raise WireError("its witness script is not the one that the output names")
            return [*_signed(witness_script, fields), witness_script]
        case (1, program) if len(program) == 32:
            return [_taproot_signature(fields)]
        case _:
            raise WireError(f"an output of a kind not known: {script.hex()}")


def _signed(script: bytes, fields: Fields) -> list[bytes]:
    """What satisfies a script: signature and key, or the signatures in the order of the keys."""
    key_hash = p2pkh_hash(script)
    if key_hash is not None:
        for key, signature in _signatures(fields).items():
            if hash160(key) == key_hash:
                return [_checked(signature, fields), key]
        raise IncompleteError("not signed")
    needed, keys = multisig(script)
    signatures = _signatures(fields)
    found = [_checked(signatures[key], fields) for key in keys if key in signatures]
    if len(found) < needed:
        raise IncompleteError(f"{len(found)} of {needed} signatures")
    return [b"", *found[:needed]]  # one item too many is taken off the stack: nodes' oldest mistake, kept by all


def _signatures(fields: Fields) -> Fields:
    return {key[1:]: value for key, value in fields.items() if key.startswith(PARTIAL_SIGNATURE)}


def _taproot_signature(fields: Fields) -> bytes:
    signature = fields.get(TAPROOT_KEY_SIGNATURE)
    if signature is None:
        raise IncompleteError("not signed")
    _require_kind(signature[64] if len(signature) == 65 else SIGHASH_DEFAULT, fields, {SIGHASH_DEFAULT, SIGHASH_ALL})
    return signature


def _checked(signature: bytes, fields: Fields) -> bytes:
    _require_kind(signature[-1], fields, {SIGHASH_ALL})
    return signature


def _require_kind(kind: int, fields: Fields, usual: Iterable[int]) -> None:
    """Signatures are of the kind that the input states; where it states none, they sign the whole transaction."""
    stated = fields.get(SIGHASH_TYPE)
    allowed = {int.from_bytes(stated, "little")} if stated is not None else set(usual)
    if kind not in allowed:
        raise WireError(f"a signature of kind {kind:#04x}; expected {sorted(allowed)}")


def _pushes(items: Iterable[bytes]) -> bytes:
    return b"".join(push(item) for item in items)
