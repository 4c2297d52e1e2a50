"""Signatures against the vectors of BIP 143, BIP 174 and BIP 341, and every way in which one can be wrong."""

import csv
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from coincurve import PrivateKey

from mbongi.wire.bitcoin.hashing import hash160
from mbongi.wire.bitcoin.psbt import Psbt
from mbongi.wire.bitcoin.script import push
from mbongi.wire.bitcoin.sighash import SignedHashes
from mbongi.wire.bitcoin.signatures import require_signed
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from mbongi.wire.errors import WireError

VECTORS = Path(__file__).parents[1] / "vectors"
KEYS = [PrivateKey(bytes([number]) * 32) for number in (1, 2, 3)]


def _rows(name: str) -> list[dict[str, str]]:
    with (VECTORS / name).open(encoding="ascii") as file:
        return list(csv.DictReader(file))


def test_the_hash_of_segwit_is_that_of_bip_143() -> None:
    unsigned = Transaction.parse(bytes.fromhex(_rows("bip143_transactions.csv")[0]["unsigned"]))
    spent = [TxOut(625_000_000, b"\x51"), TxOut(600_000_000, b"\x51")]
    code = bytes.fromhex("76a9141d0f172a0ecb48aee1be1f2687d2963ae33f71a188ac")

    found = SignedHashes(unsigned, spent).segwit(1, code)

    assert found.hex() == "c37af31116d1b27caf68aae9e3ac82f1477929014d5b917657d0eb49478cb670"


def test_a_nested_key_of_bip_143_is_signed_validly() -> None:
    signed = Transaction.parse(bytes.fromhex(_rows("bip143_transactions.csv")[1]["signed"]))
    spent = [TxOut(1_000_000_000, bytes.fromhex("a9144733f37cf4db86fbc2efed2500b4f4e49f31202387"))]

    require_signed(signed, spent)
    with pytest.raises(WireError, match="input 0: its signature is not valid"):
        require_signed(signed, [TxOut(1_000_000_001, spent[0].script)])


def test_the_old_and_the_nested_signatures_of_several_keys_of_bip_174_are_valid() -> None:
    rows = {row["case"]: bytes.fromhex(row["hex"]) for row in _rows("psbt.csv") if row["verdict"] == "step"}
    updated, signed = Psbt.parse(rows["updated"]), Transaction.parse(rows["extracted"])
    spent = [updated.spent_output(place) for place in range(2)]

    require_signed(signed, spent)
    for place in range(2):
        outputs = msgspec.structs.replace(signed, lock_time=1)
        with pytest.raises(WireError, match="input 0: signature 1 of 2 is not valid"):
            require_signed(outputs, spent)
        bare = msgspec.structs.replace(signed.inputs[place], script=b"", witness=())
        inputs = [*signed.inputs[:place], bare, *signed.inputs[place + 1 :]]
        with pytest.raises(WireError, match=f"input {place}: its redeem script"):
            require_signed(msgspec.structs.replace(signed, inputs=tuple(inputs)), spent)


@pytest.mark.parametrize("row", _rows("bip341_key_paths.csv"), ids=["0x01", "0x00"])
def test_the_hashes_of_taproot_are_those_of_bip_341(row: dict[str, str]) -> None:
    unsigned = Transaction.parse(bytes.fromhex(row["unsigned"]))
    spent = [
        TxOut(int(sat), bytes.fromhex(script)) for sat, _, script in (e.partition(":") for e in row["spent"].split())
    ]
    place = int(row["input"])

    assert SignedHashes(unsigned, spent).taproot(place, int(row["kind"])).hex() == row["hash"]


def _unsigned(count: int = 1) -> Transaction:
    inputs = tuple(TxIn(outpoint=OutPoint(bytes([7] * 32), index)) for index in range(count))
    return Transaction(inputs=inputs, outputs=(TxOut(900, b"\x51"), TxOut(50, b"\x52")))


def _with(transaction: Transaction, *, script: bytes = b"", witness: tuple[bytes, ...] = ()) -> Transaction:
    first = msgspec.structs.replace(transaction.inputs[0], script=script, witness=witness)
    return msgspec.structs.replace(transaction, inputs=(first, *transaction.inputs[1:]))


def _der(key: PrivateKey, message: bytes, kind: int = 1) -> bytes:
    return key.sign(message, hasher=None) + bytes([kind])


def test_a_key_of_before_segwit_signs_with_script_and_key() -> None:
    public = KEYS[0].public_key.format()
    output = TxOut(1_000, b"\x76\xa9\x14" + hash160(public) + b"\x88\xac")
    signature = _der(KEYS[0], SignedHashes(_unsigned(), [output]).legacy(0, output.script))

    require_signed(_with(_unsigned(), script=push(signature) + push(public)), [output])
    for script, reason in [
        (b"", "0 parts"),
        (push(signature) + push(KEYS[1].public_key.format()), "another key"),
        (push(signature) + push(public) + b"\x61", "more than signatures and keys"),
        (push(signature[:-1] + b"\x02") + push(public), "not valid"),
        (push(b"") + push(public), "not valid"),
        (push(b"\x30\x01") + push(public), "not valid"),
    ]:
        with pytest.raises(WireError, match=reason):
            require_signed(_with(_unsigned(), script=script), [output])
    with pytest.raises(WireError, match="a witness for an output from before"):
        require_signed(_with(_unsigned(), script=push(signature) + push(public), witness=(b"x",)), [output])


def test_a_key_of_segwit_signs_the_value_too() -> None:
    public = KEYS[0].public_key.format()
    output = TxOut(1_000, b"\0\x14" + hash160(public))
    code = b"\x76\xa9\x14" + hash160(public) + b"\x88\xac"
    signature = _der(KEYS[0], SignedHashes(_unsigned(), [output]).segwit(0, code))
    signed = _with(_unsigned(), witness=(signature, public))

    require_signed(signed, [output])
    for changed, spent in [
        (signed, TxOut(1_001, output.script)),
        (msgspec.structs.replace(signed, outputs=(TxOut(901, b"\x51"), TxOut(50, b"\x52"))), output),
        (msgspec.structs.replace(signed, outputs=signed.outputs[::-1]), output),
        (msgspec.structs.replace(signed, version=1), output),
    ]:
        with pytest.raises(WireError, match="input 0: its signature is not valid"):
            require_signed(changed, [spent])
    with pytest.raises(WireError, match="a script beside the witness"):
        require_signed(_with(_unsigned(), script=b"\x51", witness=(signature, public)), [output])
    with pytest.raises(WireError, match="2 spent outputs for 1 inputs"):
        require_signed(signed, [output, output])


def test_two_of_three_keys_sign_in_their_order() -> None:
    publics = [key.public_key.format() for key in KEYS]
    script = b"\x52" + b"".join(map(push, publics)) + b"\x53\xae"
    output = TxOut(1_000, b"\0\x20" + sha256(script).digest())
    message = SignedHashes(_unsigned(), [output]).segwit(0, script)
    first, second, third = (_der(key, message) for key in KEYS)

    for pair in [(first, second), (first, third), (second, third)]:
        require_signed(_with(_unsigned(), witness=(b"", *pair, script)), [output])
    for stack, reason in [
        ((b"", second, first), "signature 2 of 2 is not valid"),
        ((b"", first, first), "signature 2 of 2 is not valid"),
        ((b"", _der(PrivateKey(b"\x09" * 32), message), third), "signature 1 of 2 is not valid"),
        ((b"", first), "2 parts; expected 2 signatures"),
        ((b"\x01", first, second), "expected 2 signatures"),
    ]:
        with pytest.raises(WireError, match=reason):
            require_signed(_with(_unsigned(), witness=(*stack, script)), [output])
    with pytest.raises(WireError, match="witness script is not the one"):
        require_signed(_with(_unsigned(), witness=(b"", first, second, b"\x51")), [output])
    with pytest.raises(WireError, match="not signed"):
        require_signed(_unsigned(), [output])


def test_a_taproot_key_signs_once_and_all() -> None:
    public = KEYS[0].public_key_xonly.format()
    output = TxOut(1_000, b"\x51\x20" + public)
    hashes = SignedHashes(_unsigned(), [output])
    signature = KEYS[0].sign_schnorr(hashes.taproot(0))
    of_all = KEYS[0].sign_schnorr(hashes.taproot(0, 1)) + b"\x01"

    require_signed(_with(_unsigned(), witness=(signature,)), [output])
    require_signed(_with(_unsigned(), witness=(of_all,)), [output])
    for witness, reason in [
        ((), "a witness of 0 parts"),
        ((signature, b""), "a witness of 2 parts"),
        ((signature[:-1] + b"\0",), "not valid"),
        ((signature + b"\0",), "does not sign the whole"),
        ((signature + b"\x02",), "does not sign the whole"),
        ((signature[:40],), "does not sign the whole"),
        ((of_all[:64],), "not valid"),
    ]:
        with pytest.raises(WireError, match=reason):
            require_signed(_with(_unsigned(), witness=witness), [output])
    with pytest.raises(WireError, match="a signature of kind 0x03"):
        hashes.taproot(0, 3)
    with pytest.raises(WireError, match="a kind not known"):
        require_signed(_with(_unsigned(), witness=(signature,)), [TxOut(1_000, b"\x52\x20" + public)])
