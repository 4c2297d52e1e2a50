"""Jobs: a template with our coinbase, in the two halves between which each miner's extranonce stands. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mbongi.pool.errors import TemplateError
from mbongi.pool.rules.generations import GENERATIONS
from mbongi.pool.rules.template import WITNESS_RESERVED, Template
from mbongi.wire.bitcoin.hashing import sha256d
from mbongi.wire.bitcoin.script import height_push
from mbongi.wire.bitcoin.transaction import TxOut, compact_size

NUMBER_BYTES = 4
"""A job's number in the coinbase."""
GENERATION_BYTES = 1
"""Ours: a miner's generation of difficulty, see ``generations``."""
EXTRANONCE1_BYTES = 4
"""Ours: tells connections apart."""
EXTRANONCE2_BYTES = 8
"""The miner's to roll; eight, as ckpool gives, so that a whole farm behind a proxy has room."""
EXTRANONCE_BYTES = GENERATION_BYTES + EXTRANONCE1_BYTES + EXTRANONCE2_BYTES
"""In this order."""
MARKS = tuple(bytes([generation]) for generation in range(GENERATIONS))
"""Each generation as it stands in the coinbase."""
SCRIPT_BYTES_MAX = 100
"""Of the coinbase's input. Source: Bitcoin Core, CheckTransaction (bad-cb-length)."""
COINBASE_INPUT = b"\x01" + bytes(32) + b"\xff\xff\xff\xff"
"""The count of inputs, and the outpoint that creates coins."""


@dataclass(frozen=True, slots=True)
class Coinbase:
    """The coinbase without its witness, before and after the extranonce, ready to be hashed."""

    before: bytes
    after: bytes

    def hash(self, extranonce: bytes) -> bytes:
        """Its id with this extranonce."""
        return sha256d(self.before + extranonce + self.after)

    def encoded(self, extranonce: bytes, *, witness: bool) -> bytes:
        """The whole transaction as it stands in a block; with its witness where the block commits to one (BIP 141)."""
        whole = self.before + extranonce + self.after
        if not witness:
            return whole
        return whole[:4] + b"\x00\x01" + whole[4:-4] + b"\x01\x20" + WITNESS_RESERVED + whole[-4:]


def coinbase_of(template: Template, outputs: Sequence[TxOut], tag: bytes, number: int) -> Coinbase:
    """The coinbase that pays ``outputs`` and carries height (BIP 34), tag, job number and room for the extranonce.

    The job's number makes the work of each job its own: after a reorganisation back to a tip, or when the mempool is
    again what it was, a share of the job before is none of the job now, so that none counts twice.
    Raises TemplateError where the outputs do not add up to the template's value to the satoshi, or the script is too
    long.
    """
    total = sum(output.value_sat for output in outputs)
    if total != template.value_sat or any(output.value_sat < 0 for output in outputs):
        raise TemplateError(f"coinbase at {template.height}: outputs of {total} sat; expected {template.value_sat} sat")
    start = height_push(template.height) + _push(tag) + _push(number.to_bytes(NUMBER_BYTES, "little"))
    length = len(start) + EXTRANONCE_BYTES
    if not 2 <= length <= SCRIPT_BYTES_MAX:
        raise TemplateError(f"coinbase at {template.height}: a script of {length} bytes; at most {SCRIPT_BYTES_MAX}")
    encoded = [output.encode() for output in outputs]
    if template.commitment_script is not None:
        encoded.append(TxOut(0, template.commitment_script).encode())
    before = template.coinbase_version.to_bytes(4, "little") + COINBASE_INPUT + compact_size(length) + start
    after = template.coinbase_sequence.to_bytes(4, "little") + compact_size(len(encoded)) + b"".join(encoded)
    after += template.coinbase_lock_time.to_bytes(4, "little")
    return Coinbase(before, after)


def _push(data: bytes) -> bytes:
    return bytes([len(data)]) + data if data else b""


@dataclass(slots=True)
class Job:
    """Work for miners. ``number`` counts the jobs of a process and is never used twice.

    ``has_block`` is False for a custom job whose transactions only its miner knows, who must hand in its blocks itself.
    ``seen`` holds what was submitted for it: the first eight bytes of each block hash. ``is_current`` turns False once
    the chain's tip is another.
    """

    number: int
    template: Template
    coinbase: Coinbase
    made_at_s: float
    is_current: bool = True
    extranonce_bytes: int = EXTRANONCE_BYTES
    has_block: bool = True
    seen: set[bytes] = field(default_factory=set)
    branch: bytes = field(init=False)
    """The template's merkle branch, its hashes one after the other."""

    def __post_init__(self) -> None:
        self.branch = b"".join(self.template.branch)

    def retire(self) -> None:
        """The tip is another: no share of it counts any more, and what a block of it would have held can go."""
        self.is_current = False
        self.seen.clear()
        self.template = replace(self.template, transactions_hex=(), branch=())
        self.branch = b""

    def block_hex(self, header: bytes, extranonce: bytes) -> list[bytes]:
        """The whole block in hex, in parts to be written one after the other.

        They are not joined here, for that takes longer than all else between a winning share and its block.
        """
        template = self.template
        coinbase = self.coinbase.encoded(extranonce, witness=template.commitment_script is not None)
        return [(header + template.count_prefix + coinbase).hex().encode("ascii"), *template.transactions_hex]
