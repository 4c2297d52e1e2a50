"""Whole blocks, against blocks of the test network that BIP 158 publishes."""

import csv
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import display, merkle_root
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.errors import WireError

with (Path(__file__).parents[1] / "vectors" / "bip158_blocks.csv").open(encoding="ascii") as _file:
    ROWS = list(csv.DictReader(_file))
FIRST, OLD, SEGWIT = (bytes.fromhex(row["hex"]) for row in ROWS)


def _with_header_for(block: Block, transactions: list[Transaction]) -> Block:
    """The block with other transactions, to which its header commits."""
    header = Header.parse(block.header)
    root = merkle_root([each.txid for each in transactions])
    encoded = msgspec.structs.replace(header, merkle_root=root).encode()
    return Block(encoded, tuple(each.encode() for each in transactions))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["height"])
def test_published_blocks_are_read_and_commit_to_what_they_hold(row: dict[str, str]) -> None:
    data = bytes.fromhex(row["hex"])

    block = Block.parse(data)

    assert display(block.hash) == row["hash"]
    assert block.encode() == data
    block.require_commitments()


def test_a_block_weighs_its_bytes_without_witness_thrice_and_its_bytes_once() -> None:
    assert Block.parse(FIRST).weight == 4 * 285
    bare = [Transaction.parse(each).encode(witness=False) for each in Block.parse(SEGWIT).transactions]
    assert Block.parse(SEGWIT).weight == 3 * (81 + sum(map(len, bare))) + len(SEGWIT)


@pytest.mark.parametrize("cut", [0, 79, 80, 81, 100, 517])
def test_a_cut_off_block_is_refused(cut: int) -> None:
    with pytest.raises(WireError, match=r"block|transaction"):
        Block.parse(SEGWIT[:cut])


def test_bytes_after_the_end_and_blocks_without_transactions_are_refused() -> None:
    with pytest.raises(WireError, match="after its end"):
        Block.parse(SEGWIT + b"\0")
    with pytest.raises(WireError, match="no transactions"):
        Block.parse(SEGWIT[:80] + b"\0")


def test_more_transactions_than_the_bytes_can_hold_are_refused() -> None:
    with pytest.raises(WireError, match="do not fit"):
        Block.parse(SEGWIT[:80] + b"\xfe\xff\xff\xff\xff" + SEGWIT[81:])


@given(st.binary(max_size=200))
def test_any_bytes_give_a_block_or_an_error(tail: bytes) -> None:
    try:
        found = Block.parse(SEGWIT[:80] + tail)
    except WireError:
        return
    assert found.encode() == SEGWIT[:80] + tail


def test_a_header_of_other_transactions_is_refused() -> None:
    block = Block.parse(OLD)
    with pytest.raises(WireError, match="commits to other transactions"):
        Block(block.header, block.transactions[:-1]).require_commitments()


def test_a_transaction_that_comes_twice_is_refused_though_the_root_is_the_same() -> None:
    block = Block.parse(OLD)
    assert len(block.transactions) == 5
    doubled = Block(block.header, (*block.transactions, block.transactions[-1]))

    assert merkle_root([Transaction.parse(each).txid for each in doubled.transactions]) == merkle_root(
        [Transaction.parse(each).txid for each in block.transactions]
    )
    with pytest.raises(WireError, match="comes twice"):
        doubled.require_commitments()


def test_the_coinbase_comes_first_and_alone() -> None:
    block = Block.parse(OLD)
    with pytest.raises(WireError, match="first transaction is no coinbase"):
        Block(block.header, block.transactions[1:]).require_commitments()
    with pytest.raises(WireError, match="more than one coinbase"):
        Block(block.header, (*block.transactions, Block.parse(FIRST).transactions[0])).require_commitments()


def _segwit() -> list[Transaction]:
    return [Transaction.parse(each) for each in Block.parse(SEGWIT).transactions]


def test_a_changed_witness_breaks_the_coinbases_commitment() -> None:
    coinbase, other = _segwit()
    first = msgspec.structs.replace(other.inputs[0], witness=(b"\x01", *other.inputs[0].witness[1:]))
    changed = msgspec.structs.replace(other, inputs=(first, *other.inputs[1:]))

    with pytest.raises(WireError, match="commits to other witnesses"):
        _with_header_for(Block.parse(SEGWIT), [coinbase, changed]).require_commitments()


def test_witnesses_without_a_commitment_are_refused() -> None:
    coinbase, other = _segwit()
    bare = msgspec.structs.replace(coinbase, outputs=coinbase.outputs[:1])

    with pytest.raises(WireError, match="does not commit to them"):
        _with_header_for(Block.parse(SEGWIT), [bare, other]).require_commitments()


def test_a_coinbase_that_commits_carries_a_witness_of_32_bytes() -> None:
    coinbase, other = _segwit()
    spent = msgspec.structs.replace(coinbase.inputs[0], witness=())
    bare = msgspec.structs.replace(coinbase, inputs=(spent,))

    with pytest.raises(WireError, match="one of 32 bytes itself"):
        _with_header_for(Block.parse(SEGWIT), [bare, other]).require_commitments()
