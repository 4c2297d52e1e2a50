"""Partially signed transactions against the vectors of BIP 174, BIP 370 and BIP 371."""

import csv
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.hashing import from_display, hash160
from mbongi.wire.bitcoin.psbt import (
    Psbt,
    Spent,
    combine,
    create_psbt,
    with_signature,
    with_taproot_signature,
)
from mbongi.wire.bitcoin.psbt_fields import NON_WITNESS_UTXO, SIGHASH_TYPE, WITNESS_UTXO
from mbongi.wire.bitcoin.psbt_finalizer import IncompleteError, extract, finalize
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn, TxOut
from mbongi.wire.errors import WireError

with (Path(__file__).parents[1] / "vectors" / "psbt.csv").open(encoding="ascii") as _file:
    ROWS = list(csv.DictReader(_file))
STEP = {row["case"]: bytes.fromhex(row["hex"]) for row in ROWS if row["verdict"] == "step"}
KEY = bytes.fromhex("029583bf39ae0a609747ad199addd634fa6108559d6c5cd39b4c2183f1ab96e07f")
"""A key of BIP 174's examples."""
SIGNATURE = bytes.fromhex(
    "3044022074018ad4180097b873323c0015720b3684cc8123891048e7dbcd9b55ad679c99022073d369b740e3eb53dcefa33823c8070514"
    "ca55a7dd9544f157c167913261118c01"
)


def _cases(verdict: str) -> list[pytest.ParameterSet]:
    found = [row for row in ROWS if row["verdict"] == verdict]
    return [pytest.param(bytes.fromhex(row["hex"]), id=f"{row['source']}: {row['case']}"[:90]) for row in found]


@pytest.mark.parametrize("data", _cases("valid"))
def test_valid_files_are_read_and_written_back(data: bytes) -> None:
    found = Psbt.parse(data)

    assert found.encode() == data
    assert Psbt.from_base64(found.to_base64()) == found


@pytest.mark.parametrize("data", _cases("invalid"))
def test_invalid_files_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        Psbt.parse(data)


@pytest.mark.parametrize("data", _cases("contradicts itself"))
def test_files_that_a_signer_must_refuse_are_not_made_final(data: bytes) -> None:
    with pytest.raises(WireError, match=r"comes without its transaction|is not the one") as found:
        finalize(Psbt.parse(data))
    assert not isinstance(found.value, IncompleteError)


def _example() -> Transaction:
    spends = [
        ("75ddabb27b8845f5247975c8a5ba7c6f336c4570708ebe230caf6db5217ae858", 0),
        ("1dea7cd05979072a3578cab271c02244ea8a090bbb46aa680a65ecd027048d83", 1),
    ]
    return Transaction(
        inputs=tuple(TxIn(outpoint=OutPoint(from_display(txid), index)) for txid, index in spends),
        outputs=(
            TxOut(149_990_000, bytes.fromhex("0014d85c2b71d0060b09c9886aeb815e50991dda124d")),
            TxOut(100_000_000, bytes.fromhex("001400aea9a2e5f0f876a588df5546e8742d1d87008f")),
        ),
    )


def test_a_creator_writes_the_file_of_the_bip_and_the_outputs_that_it_spends() -> None:
    updated = Psbt.parse(STEP["updated"])
    spent = [
        Spent(transaction=Transaction.parse(updated.input_fields[0][NON_WITNESS_UTXO])),
        Spent(output=updated.spent_output(1)),
    ]

    made = create_psbt(_example(), spent)

    assert msgspec.structs.replace(made, input_fields=({}, {})).encode() == STEP["created"]
    for place, key in enumerate([NON_WITNESS_UTXO, WITNESS_UTXO]):
        assert made.input_fields[place] == {key: updated.input_fields[place][key]}
    assert made.fee_sat() == 50_000_000 + 200_000_000 - 249_990_000
    assert Psbt.parse(STEP["created"]).fee_sat() is None


def test_an_updater_states_the_kind_of_signature() -> None:
    updated = Psbt.parse(STEP["updated"])

    for place in range(2):
        updated = updated.with_input(place, {SIGHASH_TYPE: (1).to_bytes(4, "little")})

    assert updated.encode() == STEP["updated with its kind of signature"]


def test_signatures_are_added_as_the_bips_signer_does() -> None:
    signed, psbt = Psbt.parse(STEP["signed by one"]), Psbt.parse(STEP["updated with its kind of signature"])

    for place, fields in enumerate(signed.input_fields):
        for key in fields.keys() - psbt.input_fields[place].keys():
            psbt = with_signature(psbt, place, public_key=key[1:], signature=fields[key])

    assert psbt.encode() == STEP["signed by one"]


def test_two_signers_files_become_one_then_final_then_a_transaction() -> None:
    one, another = Psbt.parse(STEP["signed by one"]), Psbt.parse(STEP["signed by another"])

    combined = combine(one, another)
    final = finalize(combined)

    # The BIP's own combiner wrote some signatures in another order than that of their keys.
    assert combined == combine(another, one) == Psbt.parse(STEP["combined"])
    assert combined.encode() == combine(another, one).encode()
    assert final.encode() == finalize(final).encode() == STEP["finalized"]
    assert extract(final).encode() == STEP["extracted"]


def test_unknown_fields_are_combined_too() -> None:
    files = [Psbt.parse(STEP[f"unknown fields {number}"]) for number in (1, 2)]

    assert combine(*files).encode() == STEP["unknown fields combined"]


def test_one_of_two_signatures_is_not_enough() -> None:
    with pytest.raises(IncompleteError, match="psbt input 0: 1 of 2 signatures"):
        finalize(Psbt.parse(STEP["signed by one"]))
    with pytest.raises(IncompleteError, match="psbt input 0: not final"):
        extract(Psbt.parse(STEP["combined"]))
    with pytest.raises(IncompleteError, match="not known"):
        finalize(Psbt.parse(STEP["created"]))


def test_what_the_first_file_says_stays() -> None:
    psbt = Psbt.parse(STEP["signed by one"])
    other = with_signature(psbt, 0, public_key=KEY, signature=SIGNATURE[:-1] + b"\x02")

    assert combine(psbt, other) == psbt
    assert combine(other, psbt) == other


def test_files_of_different_transactions_are_not_combined() -> None:
    with pytest.raises(WireError, match="not signatures of one transaction"):
        combine(Psbt.parse(STEP["created"]), Psbt.parse(STEP["unknown fields 1"]))


def test_a_signature_of_another_kind_than_stated_is_refused() -> None:
    psbt = with_signature(Psbt.parse(STEP["combined"]), 0, public_key=KEY, signature=SIGNATURE[:-1] + b"\x02")
    with pytest.raises(WireError, match=re.escape("a signature of kind 0x02; expected [1]")):
        finalize(psbt)


def _previous(script: str) -> Transaction:
    return Transaction(
        inputs=(TxIn(outpoint=OutPoint(bytes([7] * 32), 0)),), outputs=(TxOut(100_000, bytes.fromhex(script)),)
    )


def _spending(previous: Transaction, *, witness: bool) -> Psbt:
    transaction = Transaction(
        inputs=(TxIn(outpoint=OutPoint(previous.txid, 0)),),
        outputs=(TxOut(99_000, bytes.fromhex("0014" + "22" * 20)),),
    )
    return create_psbt(transaction, [Spent(output=previous.outputs[0]) if witness else Spent(transaction=previous)])


def test_an_output_of_a_key_is_spent_by_signature_and_key() -> None:
    # The forms of Bitcoin's standard outputs: in the script for p2pkh, in the witness for p2wpkh (BIP 141).
    old = _spending(_previous(f"76a914{hash160(KEY).hex()}88ac"), witness=False)
    segwit = _spending(_previous(f"0014{hash160(KEY).hex()}"), witness=True)

    old_input, segwit_input = (
        extract(finalize(with_signature(psbt, 0, public_key=KEY, signature=SIGNATURE))).inputs[0]
        for psbt in (old, segwit)
    )

    assert (old_input.script, old_input.witness) == (b"\x47" + SIGNATURE + b"\x21" + KEY, ())
    assert (segwit_input.script, segwit_input.witness) == (b"", (SIGNATURE, KEY))


def test_another_keys_signature_does_not_count() -> None:
    psbt = _spending(_previous("0014" + "11" * 20), witness=True)
    with pytest.raises(IncompleteError, match="psbt input 0: not signed"):
        finalize(with_signature(psbt, 0, public_key=KEY, signature=SIGNATURE))


def test_a_taproot_output_is_spent_by_one_signature() -> None:
    signed = Psbt.parse(
        next(bytes.fromhex(row["hex"]) for row in ROWS if row["case"].endswith("derivation path, and signature"))
    )
    signature = signed.input_fields[0][b"\x13"]

    final = finalize(signed)

    assert final.input_fields[0].keys() == {WITNESS_UTXO, b"\x08"}
    assert extract(final).inputs[0].witness == (signature,)
    again = _spending(_previous("5120" + "33" * 32), witness=True)
    assert extract(finalize(with_taproot_signature(again, 0, signature=signature))).inputs[0].witness == (signature,)


@pytest.mark.parametrize(("kind", "fits"), [(0x01, True), (0x02, False), (0x83, False)])
def test_a_taproot_signature_signs_the_whole_transaction(kind: int, fits: bool) -> None:
    psbt = _spending(_previous("5120" + "33" * 32), witness=True)
    psbt = with_taproot_signature(psbt, 0, signature=bytes(64) + bytes([kind]))
    if fits:
        finalize(psbt)
        return
    with pytest.raises(WireError, match="a signature of kind"):
        finalize(psbt)


@pytest.mark.parametrize("script", ["5214" + "11" * 20, "51"])
def test_an_output_of_a_kind_not_known_is_not_made_final(script: str) -> None:
    with pytest.raises(WireError, match="a kind not known"):
        finalize(_spending(_previous(script), witness=False))


def test_a_creator_refuses_what_does_not_fit() -> None:
    previous = _previous("0014" + "11" * 20)
    transaction = _spending(previous, witness=True).transaction
    other = Transaction(inputs=previous.inputs, outputs=(TxOut(5, b"\x51"),))
    signed = msgspec.structs.replace(transaction, inputs=(TxIn(outpoint=OutPoint(bytes(32), 0), script=b"\x51"),))

    for asked, spent, reason in [
        (transaction, [], "0 spent outputs for 1 inputs"),
        (transaction, [Spent()], "not known"),
        (transaction, [Spent(transaction=other)], "not the one that it spends"),
        (transaction, [Spent(transaction=previous, output=other.outputs[0])], "not that of its transaction"),
        (transaction, [Spent(output=TxOut(5, bytes.fromhex("76a914" + "11" * 20 + "88ac")))], "not segwit's"),
        (signed, [Spent(transaction=previous)], "is signed"),
    ]:
        with pytest.raises(WireError, match=reason):
            create_psbt(asked, spent)


def test_a_fee_is_never_below_zero() -> None:
    transaction = msgspec.structs.replace(
        _spending(_previous("0014" + "11" * 20), witness=True).transaction, outputs=(TxOut(100_001, b"\x51"),)
    )
    psbt = create_psbt(transaction, [Spent(output=TxOut(100_000, bytes.fromhex("0014" + "11" * 20)))])
    with pytest.raises(WireError, match="outputs of 100001 sat, inputs of 100000 sat"):
        psbt.fee_sat()


@pytest.mark.parametrize("text", ["", "cHNi", "é", "not base64!", "cHNidP8"])
def test_text_that_is_no_file_is_an_error(text: str) -> None:
    with pytest.raises(WireError, match="psbt"):
        Psbt.from_base64(text)


@given(st.binary(max_size=80), st.integers(0, 1500), st.sampled_from(sorted(STEP)))
def test_any_bytes_give_a_file_or_an_error(changed: bytes, at: int, case: str) -> None:
    data = STEP[case][:at] + changed + STEP[case][at + len(changed) :]
    try:
        found = Psbt.parse(data)
    except WireError:
        return
    assert found.encode() == data
    for attempt in (found.fee_sat, lambda: finalize(found)):
        try:
            attempt()
        except WireError:
            continue
