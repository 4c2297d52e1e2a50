"""Whether a transaction's signatures are valid, for the outputs that the finalizer knows.

It is no interpreter of scripts: it knows the few forms that wallets sign for, and refuses every other, so that a
signed file that comes back to us is either understood whole or not taken. libsecp256k1 does the arithmetic; like the
nodes' relay rules it takes strict DER and the lower half of S alone.
"""

from collections.abc import Sequence
from hashlib import sha256

from coincurve import PublicKey, PublicKeyXOnly

from mbongi.wire.bitcoin.hashing import hash160
from mbongi.wire.bitcoin.script import (
    OP_PUSHDATA4,
    P2PKH,
    multisig,
    operations,
    p2pkh_hash,
    p2sh_hash,
    push,
    witness_program,
)
from mbongi.wire.bitcoin.sighash import SIGHASH_ALL, SIGHASH_DEFAULT, SignedHashes
from mbongi.wire.bitcoin.transaction import Transaction, TxIn, TxOut
from mbongi.wire.errors import WireError


def require_signed(transaction: Transaction, spent: Sequence[TxOut]) -> None:
    """Raise WireError, naming the input, unless every input is signed for what it spends, and signs all of it."""
    hashes = SignedHashes(transaction, spent)
    for place, (each, output) in enumerate(zip(transaction.inputs, spent, strict=True)):
        try:
            _require_input(hashes, place, each, output.script)
        except WireError as error:
            raise WireError(f"input {place}: {error}") from error


def _require_input(hashes: SignedHashes, place: int, each: TxIn, script: bytes) -> None:
    script_hash = p2sh_hash(script)
    if script_hash is None:
        if witness_program(script) is None:
            _expect(not each.witness, "a witness for an output from before segwit")
            _require_stack(_pushed(each.script), script, hashes.legacy(place, script))
            return
        _expect(not each.script, "a script beside the witness")
        _require_witness(hashes, place, each, script)
        return
    stack = _pushed(each.script)
    _expect(bool(stack) and hash160(stack[-1]) == script_hash, "its redeem script is not the one that the output names")
    redeem = stack[-1]
    if witness_program(redeem) is not None:
        _expect(each.script == push(redeem), "more than the redeem script beside the witness")
        _require_witness(hashes, place, each, redeem)
        return
    _expect(not each.witness, "a witness for an output from before segwit")
    _require_stack(stack[:-1], redeem, hashes.legacy(place, redeem))


def _require_witness(hashes: SignedHashes, place: int, each: TxIn, script: bytes) -> None:
    match witness_program(script):
        case (0, program) if len(program) == 20:
            code = program.join(P2PKH)
            _require_stack(list(each.witness), code, hashes.segwit(place, code))
        case (0, program) if len(program) == 32:
            _expect(bool(each.witness), "not signed")
            code = each.witness[-1]
            _expect(sha256(code).digest() == program, "its witness script is not the one that the output names")
            _require_stack(list(each.witness[:-1]), code, hashes.segwit(place, code))
        case (1, program) if len(program) == 32:
            _expect(len(each.witness) == 1, f"a witness of {len(each.witness)} parts; expected its key's signature")
            _require_schnorr(hashes, place, program, each.witness[0])
        case _:
            raise WireError(f"an output of a kind not known: {script.hex()}")


def _require_stack(stack: list[bytes], script: bytes, message: bytes) -> None:
    """Raise WireError unless the stack satisfies a script that asks for a key's or several keys' signatures."""
    key_hash = p2pkh_hash(script)
    if key_hash is not None:
        _expect(len(stack) == 2, f"{len(stack)} parts; expected a signature and its key")
        _expect(hash160(stack[1]) == key_hash, "signed by another key than the output names")
        _expect(_is_ecdsa(stack[1], stack[0], message), "its signature is not valid")
        return
    needed, keys = multisig(script)
    _expect(len(stack) == needed + 1 and stack[0] == b"", f"{len(stack)} parts; expected {needed} signatures")
    left = iter(keys)
    for number, signature in enumerate(stack[1:], start=1):
        # Signatures stand in the order of their keys, so each goes on where the one before it ended.
        found = any(_is_ecdsa(key, signature, message) for key in left)
        _expect(found, f"signature {number} of {needed} is not valid")


def _is_ecdsa(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a DER signature with the byte of its kind, which must be SIGHASH_ALL, is a key's."""
    if not signature or signature[-1] != SIGHASH_ALL:
        return False
    try:
        return PublicKey(key).verify(signature[:-1], message, hasher=None)
    except ValueError:  # no point of the curve, or no DER
        return False


def _require_schnorr(hashes: SignedHashes, place: int, key: bytes, signature: bytes) -> None:
    kind = signature[64] if len(signature) == 65 else SIGHASH_DEFAULT
    _expect(len(signature) == 64 or kind == SIGHASH_ALL, "its signature does not sign the whole transaction")
    message = hashes.taproot(place, kind)
    try:
        is_valid = PublicKeyXOnly(key).verify(signature[:64], message)
    except ValueError:
        is_valid = False
    _expect(is_valid, "its signature is not valid")


def _pushed(script: bytes) -> list[bytes]:
    """What a script of pushes alone leaves on the stack. Raises WireError for any other."""
    found = []
    for operation, data in operations(script):
        _expect(operation <= OP_PUSHDATA4, "its script holds more than signatures and keys")
        found.append(data)
    return found


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise WireError(otherwise)
