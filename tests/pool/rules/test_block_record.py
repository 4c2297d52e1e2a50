"""The record of a found block, on the mainnet's genesis block and on blocks put together here."""

import json
import struct
from hashlib import sha256

import pytest

from mbongi.pool.errors import BlockRecordError
from mbongi.pool.rules.block_record import BlockState, decode_record, encode_record, is_at_rest, record_of, state_of
from mbongi.pool.rules.job import EXTRANONCE_BYTES, Job, coinbase_of
from mbongi.pool.rules.template import empty_template
from mbongi.wire.bitcoin.transaction import TxOut

OURS, THEIRS = b"\x00\x14" + b"\x11" * 20, b"\x51\x20" + b"\x22" * 32
HEADER = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e"
    "67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
"""Of the genesis block, whose hash everybody knows."""
GENESIS = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"


def job(*outputs: TxOut, bits: int = 0x1D00FFFF) -> Job:
    template = empty_template(
        height=101,
        previous_hash=bytes(31) + b"\x01",
        version=4,
        bits=bits,
        time_s=9,
        time_min_s=1,
        subsidy_sat=sum(each.value_sat for each in outputs),
    )
    return Job(7, template, coinbase_of(template, outputs, b"tag", 7), made_at_s=0.0)


def test_a_record_says_what_the_block_is_and_what_it_pays() -> None:
    work = job(TxOut(3_000_000_000, THEIRS), TxOut(2_000_000_000, OURS))
    record = record_of(
        work,
        HEADER,
        b"\x01" + bytes(EXTRANONCE_BYTES - 1),
        worker="acct.one",
        shard=1,
        pool_script=OURS,
        time_ms=1_700_000_000_123,
    )

    # The coinbase, field by field (BIP 34 height 101 is pushed as one byte; 3 bytes of tag; 4 of the number; 13 of
    # extranonce).
    script_in = b"\x01\x65" + b"\x03tag" + b"\x04\x07\0\0\0" + b"\x01" + bytes(EXTRANONCE_BYTES - 1)
    coinbase = struct.pack("<i", 2) + b"\x01" + bytes(32) + b"\xff" * 4 + bytes([len(script_in)]) + script_in
    coinbase += b"\xff" * 4 + b"\x02" + struct.pack("<q", 3_000_000_000) + b"\x22" + THEIRS
    coinbase += struct.pack("<q", 2_000_000_000) + b"\x16" + OURS + bytes(4)
    assert record.hash == GENESIS
    assert record.previous_hash == "01" + "00" * 31
    assert record.coinbase_txid == sha256(sha256(coinbase).digest()).digest()[::-1].hex()
    assert [(each.script, each.value_sat) for each in record.outputs] == [
        (THEIRS.hex(), 3_000_000_000),
        (OURS.hex(), 2_000_000_000),
    ]
    assert (record.pool_output, record.subsidy_sat, record.fees_sat) == (1, 5_000_000_000, 0)
    assert (record.difficulty, record.bits, record.height, record.job, record.shard) == (1.0, 0x1D00FFFF, 101, 7, 1)
    assert (record.state, record.since_ms, record.confirmations) == (BlockState.FOUND, 1_700_000_000_123, 0)
    assert (record.worker, record.header, record.extranonce) == ("acct.one", HEADER.hex(), "01" + "00" * 12)


def test_a_block_that_pays_nothing_to_the_pool_says_so() -> None:
    work = job(TxOut(50, THEIRS))
    record = record_of(work, HEADER, bytes(13), worker="a", shard=0, pool_script=OURS, time_ms=1)
    assert record.pool_output is None


def test_a_record_is_read_as_it_was_written_and_is_plain_json() -> None:
    record = record_of(job(TxOut(50, OURS)), HEADER, bytes(13), worker="é.1", shard=0, pool_script=OURS, time_ms=1)
    written = encode_record(record)
    assert decode_record(written) == record
    plain = json.loads(written)
    assert (plain["version"], plain["hash"], plain["state"], plain["worker"]) == (1, GENESIS, "found", "é.1")
    assert plain["outputs"] == [{"script": OURS.hex(), "value_sat": 50}]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (b'"version": 1', b'"version": 2', "version 2; expected 1"),
        (b'"header": "01', b'"header": "0', "non-hexadecimal|a header of 159|fromhex"),
        (b'"header": "0100', b'"header": "', "expected 160"),
        (b'"state": "found"', b'"state": "lost"', "lost"),
        (b'"height": 101', b'"height": "x"', "height"),
        (b"{", b"", "Expected `object`"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_with_its_name(before: bytes, after: bytes, words: str) -> None:
    record = record_of(job(TxOut(50, OURS)), HEADER, bytes(13), worker="a", shard=0, pool_script=OURS, time_ms=1)
    written = encode_record(record).replace(before, after, 1)
    with pytest.raises(BlockRecordError, match=words) as error:
        decode_record(written, "some.json")
    assert str(error.value).startswith("some.json: ")


@pytest.mark.parametrize(
    ("confirmations", "tip_height", "expected"),
    [
        (None, 101, BlockState.FOUND),
        (1, 101, BlockState.IN_CHAIN),
        (5, 105, BlockState.IN_CHAIN),
        (6, 106, BlockState.SETTLED),
        (99, 199, BlockState.SETTLED),
        (100, 200, BlockState.MATURE),
        (-1, 101, BlockState.BESIDE),
        (-1, 105, BlockState.BESIDE),
        (-1, 106, BlockState.ORPHANED),
    ],
)
def test_a_state_follows_from_a_nodes_word(confirmations: int | None, tip_height: int, expected: BlockState) -> None:
    assert state_of(confirmations, height=101, tip_height=tip_height) is expected


def test_a_block_is_at_rest_when_mature_or_orphaned_for_long() -> None:
    assert is_at_rest(BlockState.MATURE, height=101, tip_height=200)
    assert not is_at_rest(BlockState.SETTLED, height=101, tip_height=199)
    assert not is_at_rest(BlockState.ORPHANED, height=101, tip_height=199)
    assert is_at_rest(BlockState.ORPHANED, height=101, tip_height=200)
    assert not is_at_rest(BlockState.REFUSED, height=101, tip_height=150)


def test_a_coinbase_that_cannot_be_read_costs_the_outputs_and_not_the_record() -> None:
    work = job(TxOut(50, OURS))
    record = record_of(work, HEADER, b"", worker="a", shard=0, pool_script=OURS, time_ms=1)
    assert (record.hash, record.outputs, record.pool_output) == (GENESIS, (), None)
