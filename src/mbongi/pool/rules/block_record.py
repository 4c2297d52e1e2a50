"""The record of a found block: what it is, what it pays, and what became of it. Pure.

The pool process that found a block keeps ``pool/blocks/HASH.json`` in the data folder, beside the block itself. It is
replaced as a whole, each time with a ``revision`` one higher, so a reader never sees half of one, and any process may
read it at any time. Fates are not final at once: a reorganisation leads from ``in_chain`` and ``settled`` to ``beside``
and back. A record that is at rest changes no more. It is removed only once whoever keeps the accounts has created
``HASH.booked`` (an empty file) beside it, which means: the record was at rest when it was booked.
"""

from enum import StrEnum
from pathlib import Path

import msgspec

from mbongi.pool.errors import BlockRecordError
from mbongi.pool.rules.job import Job
from mbongi.wire.bitcoin.hashing import display, sha256d
from mbongi.wire.bitcoin.header import HEADER_BYTES
from mbongi.wire.bitcoin.target import DIFFICULTY_1_TARGET, target_of_bits
from mbongi.wire.bitcoin.transaction import Transaction, TxOut
from mbongi.wire.errors import WireError

RECORD_SUFFIX = ".json"
BLOCK_SUFFIX = ".block"
"""The block itself, in hex."""
BOOKED_SUFFIX = ".booked"
SETTLED_CONFIRMATIONS = 6
MATURE_CONFIRMATIONS = 100
"""From then on the next block may spend the coinbase. Source: Bitcoin Core, COINBASE_MATURITY."""
_VERSION = 1


class BlockState(StrEnum):
    """What became of a found block."""

    FOUND = "found"
    """Handed in; no node has said yet that it has it."""
    REFUSED = "refused"
    """Every node that answered refused it; ``reason`` says why. It is handed in again for a while."""
    IN_CHAIN = "in_chain"
    """In the best chain, at most five deep."""
    BESIDE = "beside"
    """A node has it, outside the best chain, whose own block at that height is not six deep: it may come back."""
    SETTLED = "settled"
    """Six deep or more; its coins cannot be spent yet."""
    MATURE = "mature"
    """A hundred deep or more: at rest."""
    ORPHANED = "orphaned"
    """Outside the best chain, whose own block at that height is six deep; at rest once that is a hundred deep."""


class CoinbaseOutput(msgspec.Struct, frozen=True):
    """One output of the coinbase: the script it pays to, in hex, and how much [sat]."""

    script: str
    value_sat: int


class BlockRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One found block. Hashes are written as people write them; times are Unix milliseconds of the pool's clock."""

    version: int = _VERSION
    revision: int = 1
    hash: str
    """Also the share's, by which the share stands in the log."""
    height: int
    previous_hash: str
    worker: str
    time_ms: int
    """When the share came that made the block."""
    job: int
    shard: int
    header: str
    """The eighty bytes, in hex."""
    extranonce: str
    """Ours and the miner's together, in hex."""
    coinbase_txid: str
    outputs: tuple[CoinbaseOutput, ...]
    """In the transaction's order, the witness commitment's among them, so that an output's place is its index."""
    pool_output: int | None
    """Which output pays to the pool's own address; None where none does."""
    subsidy_sat: int
    fees_sat: int
    """Of the block's transactions. The outputs pay subsidy and fees together, to the satoshi."""
    bits: int
    """The chain's target, as the header states it."""
    difficulty: float
    """The chain's, by ``bits``."""
    is_at_rest: bool = False
    """Whether the state is final, as far as the pool goes on looking."""
    state: BlockState = BlockState.FOUND
    since_ms: int
    """When the state began."""
    confirmations: int = 0
    """How deep in the best chain; 0 where no node knows it, -1 beside the chain."""
    reason: str = ""
    """Why it was refused."""


def record_of(
    job: Job, header: bytes, extranonce: bytes, *, worker: str, shard: int, pool_script: bytes, time_ms: int
) -> BlockRecord:
    """The record of a block that has just been found."""
    template = job.template
    coinbase = job.coinbase.encoded(extranonce, witness=False)
    outputs = _outputs(coinbase)
    scripts = [output.script for output in outputs]
    return BlockRecord(
        hash=display(sha256d(header)),
        height=template.height,
        previous_hash=display(template.previous_hash),
        worker=worker,
        time_ms=time_ms,
        job=job.number,
        shard=shard,
        header=header.hex(),
        extranonce=extranonce.hex(),
        coinbase_txid=display(sha256d(coinbase)),
        outputs=tuple(CoinbaseOutput(output.script.hex(), output.value_sat) for output in outputs),
        pool_output=scripts.index(pool_script) if pool_script in scripts else None,
        subsidy_sat=template.value_sat - template.fees_sat,
        fees_sat=template.fees_sat,
        bits=template.bits,
        difficulty=DIFFICULTY_1_TARGET / target_of_bits(template.bits),
        since_ms=time_ms,
    )


def _outputs(coinbase: bytes) -> tuple[TxOut, ...]:
    """None at all where it cannot be read: the record is kept even of a block that no node will take."""
    try:
        return Transaction.parse(coinbase).outputs
    except WireError:
        return ()


def state_of(confirmations: int | None, *, height: int, tip_height: int) -> BlockState:
    """A block's state by a node's word: ``confirmations`` as ``ports.Node`` gives them, in a chain up to the tip."""
    if confirmations is None:
        return BlockState.FOUND
    if confirmations >= MATURE_CONFIRMATIONS:
        return BlockState.MATURE
    if confirmations >= SETTLED_CONFIRMATIONS:
        return BlockState.SETTLED
    if confirmations > 0:
        return BlockState.IN_CHAIN
    return BlockState.ORPHANED if tip_height - height + 1 >= SETTLED_CONFIRMATIONS else BlockState.BESIDE


def is_at_rest(state: BlockState, *, height: int, tip_height: int) -> bool:
    """Whether nothing more is expected to happen to a block."""
    is_past = tip_height - height + 1 >= MATURE_CONFIRMATIONS
    return state is BlockState.MATURE or (state is BlockState.ORPHANED and is_past)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BlockRecord).decode


def encode_record(record: BlockRecord) -> bytes:
    """As it stands in the file."""
    return msgspec.json.format(_encode(record), indent=1) + b"\n"


def decode_record(data: bytes, name: str = "block record") -> BlockRecord:
    """A record from its file's bytes. Raises BlockRecordError, which names it ``name``."""
    try:
        record = _decode(data)
        is_whole = len(bytes.fromhex(record.header)) == HEADER_BYTES
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise BlockRecordError(f"{name}: {error}; it begins {data[:40]!r}") from error
    if record.version != _VERSION:
        raise BlockRecordError(f"{name}: version {record.version}; expected {_VERSION}")
    if not is_whole:
        raise BlockRecordError(f"{name}: a header of {len(record.header)} hex digits; expected {2 * HEADER_BYTES}")
    return record


def booked_path(record_path: Path) -> Path:
    """The file whose presence says that a record was booked at rest, so that it may be removed."""
    return record_path.with_suffix(BOOKED_SUFFIX)
