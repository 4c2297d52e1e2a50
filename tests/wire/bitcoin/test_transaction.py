"""Transactions against the examples of BIP 143, and bytes that are none."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.script import height_push, op_return, push, witness_commitment_script
from mbongi.wire.bitcoin.transaction import Reader, Transaction, compact_size
from mbongi.wire.errors import WireError

with (Path(__file__).parents[1] / "vectors" / "bip143_transactions.csv").open(encoding="ascii") as _file:
    EXAMPLES = [(row["unsigned"], row["signed"]) for row in csv.DictReader(_file)]
GENESIS_COINBASE = (
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d"
    "65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f72"
    "2062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6"
    "bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)


@pytest.mark.parametrize(("unsigned", "signed"), EXAMPLES)
def test_signed_examples_are_read_and_written_back(unsigned: str, signed: str) -> None:
    found, bare = Transaction.parse(bytes.fromhex(signed)), Transaction.parse(bytes.fromhex(unsigned))

    assert found.encode().hex() == signed
    assert (found.outputs, found.lock_time) == (bare.outputs, bare.lock_time)
    assert [each.outpoint for each in found.inputs] == [each.outpoint for each in bare.inputs]
    assert found.weight == 3 * len(found.encode(witness=False)) + len(signed) // 2
    assert found.txid != found.wtxid


def test_the_first_coinbase_has_its_id() -> None:
    found = Transaction.parse(bytes.fromhex(GENESIS_COINBASE))

    assert display(found.txid) == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert found.outputs[0].value_sat == 50 * 100_000_000
    assert (found.weight, found.vsize) == (4 * 204, 204)


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 40, 100, 203])
def test_a_cut_off_transaction_is_refused(cut: int) -> None:
    with pytest.raises(WireError):
        Transaction.parse(bytes.fromhex(GENESIS_COINBASE)[:cut])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(WireError, match="1 bytes after its end"):
        Transaction.parse(bytes.fromhex(GENESIS_COINBASE) + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_give_a_transaction_or_an_error(data: bytes) -> None:
    try:
        found = Transaction.parse(data)
    except WireError:
        return
    assert found.encode() == data


@given(st.integers(0, 2**64 - 1))
def test_compact_sizes_come_back(number: int) -> None:
    assert Reader(compact_size(number)).compact() == number


@pytest.mark.parametrize("text", ["fdfc00", "fe00000000", "feffff0000", "ff0000000000000000"])
def test_a_compact_size_longer_than_need_be_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="longer than need be"):
        Reader(bytes.fromhex(text)).compact()


@pytest.mark.parametrize(
    ("height", "script"),
    [  # BIP 34's own example, block 227,836, and Bitcoin Core's CScript() << height
        (0, "00"),
        (1, "51"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (256, "020001"),
        (227_836, "03fc7903"),
        (8_388_608, "0400008000"),
    ],
)
def test_a_height_is_pushed_as_nodes_expect_it(height: int, script: str) -> None:
    assert height_push(height).hex() == script


def test_a_witness_commitment_has_the_form_of_bip_141() -> None:
    script = witness_commitment_script(bytes(32), bytes(32))
    # A block with nothing but the coinbase: sha256d of 64 zero bytes.
    assert script.hex() == "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9"


@pytest.mark.parametrize(("size", "start"), [(0, "00"), (75, "4b"), (76, "4c4c"), (255, "4cff"), (256, "4d0001")])
def test_pushes_take_the_shortest_form(size: int, start: str) -> None:
    assert push(bytes(size)) == bytes.fromhex(start) + bytes(size)


def test_more_than_520_bytes_are_not_pushed() -> None:
    with pytest.raises(WireError, match="521 bytes"):
        op_return(bytes(521))
