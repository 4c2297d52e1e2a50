"""Jobs as bytes: for the bus, which carries them to every pool process, and for the disk. Pure.

A job is one body, the block's transactions as they are hashed and not in hex. On the bus it travels in parts, each with
the job's number, its place, how many there are, and the body's checksum, so that parts of two bodies never mix.
"""

import struct
import zlib
from binascii import hexlify, unhexlify
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from mbongi.pool.errors import JobError
from mbongi.pool.rules.job import Coinbase, Job
from mbongi.pool.rules.template import Template

FORM: Final = 1
"""Of the body; a process that finds another one leaves the job alone."""
PART_BYTES_MAX: Final = 900_000
"""A NATS server takes a million bytes at once unless told otherwise."""
PARTS_MAX: Final = 32
"""Of one job: seven times what a full block needs."""
UNFINISHED_MAX: Final = 4
"""Jobs of which parts are missing, at most; the oldest are given up."""
_PART: Final = struct.Struct("<IIHH")
"""Job number, CRC-32 of the body, the part's place from 0, how many there are."""


class _Body(msgspec.Struct, array_like=True, frozen=True, gc=False):
    form: int
    number: int
    made_at_s: float
    height: int
    previous_hash: bytes
    version: int
    bits: int
    target: bytes
    time_s: int
    time_min_s: int
    value_sat: int
    fees_sat: int
    branch: tuple[bytes, ...]
    commitment_script: bytes | None
    transaction_count: int
    weight: int
    sigops: int
    coinbase_before: bytes
    coinbase_after: bytes
    transactions: tuple[bytes, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode


def encode_job(job: Job) -> bytes:
    """The body of a job. What was submitted for it stays behind. Raises JobError for one of a tip of the past."""
    template = job.template
    if not job.is_current:  # looked at after its template was taken, for another thread may retire it
        raise JobError(f"job {job.number}: its tip is of the past, and its transactions are gone")
    return _encode(
        _Body(
            FORM,
            job.number,
            job.made_at_s,
            template.height,
            template.previous_hash,
            template.version,
            template.bits,
            template.target.to_bytes(32, "big"),
            template.time_s,
            template.time_min_s,
            template.value_sat,
            template.fees_sat,
            template.branch,
            template.commitment_script,
            template.transaction_count,
            template.weight,
            template.sigops,
            job.coinbase.before,
            job.coinbase.after,
            tuple([unhexlify(each) for each in template.transactions_hex]),
        )
    )


def decode_job(body: bytes, before: Job | None = None) -> Job:
    """A job from its body; current, and nothing submitted for it. Raises JobError.

    Transactions that ``before`` holds too are not stored a second time.
    """
    try:
        read = _decode(body)
    except msgspec.DecodeError as error:
        raise JobError(f"job of {len(body)} bytes: cannot be read: {error}") from error
    if read.form != FORM:
        raise JobError(f"job {read.number}: written in form {read.form}; expected {FORM}")
    known = {each: each for each in before.template.transactions_hex} if before is not None else {}
    hexes = map(hexlify, read.transactions)
    template = Template(
        height=read.height,
        previous_hash=read.previous_hash,
        version=read.version,
        bits=read.bits,
        target=int.from_bytes(read.target, "big"),
        time_s=read.time_s,
        time_min_s=read.time_min_s,
        value_sat=read.value_sat,
        fees_sat=read.fees_sat,
        branch=read.branch,
        commitment_script=read.commitment_script,
        transaction_count=read.transaction_count,
        transactions_hex=tuple([known.get(each, each) for each in hexes]),
        weight=read.weight,
        sigops=read.sigops,
    )
    return Job(read.number, template, Coinbase(read.coinbase_before, read.coinbase_after), read.made_at_s)


def parts_of(number: int, body: bytes, *, bytes_max: int = PART_BYTES_MAX) -> list[bytes]:
    """A body in parts of at most ``bytes_max`` bytes and their heads. Raises JobError where it needs too many."""
    count = max(-(-len(body) // bytes_max), 1)
    if count > PARTS_MAX:
        raise JobError(f"job {number}: {len(body)} bytes; at most {PARTS_MAX * bytes_max}")
    checksum = zlib.crc32(body)
    return [
        _PART.pack(number, checksum, place, count) + body[place * bytes_max : (place + 1) * bytes_max]
        for place in range(count)
    ]


class Assembly:
    """Puts parts together, in whatever order they come."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[tuple[int, int], list[bytes | None]] = OrderedDict()

    def add(self, part: bytes) -> bytes | None:
        """The body that this part completes; None while others are missing. Raises JobError for what is no part."""
        try:
            number, checksum, place, count = _PART.unpack_from(part)
        except struct.error as error:
            raise JobError(f"part of a job: {len(part)} bytes; expected at least {_PART.size}") from error
        if not place < count <= PARTS_MAX:
            raise JobError(f"job {number}: part {place + 1} of {count}; expected at most {PARTS_MAX}")
        key = number, checksum
        found = self._bodies.setdefault(key, [None] * count)
        if len(found) != count:
            raise JobError(f"job {number}: a part says {count} parts, another {len(found)}")
        found[place] = part[_PART.size :]
        while len(self._bodies) > UNFINISHED_MAX:
            self._bodies.popitem(last=False)
        if None in found:
            return None
        self._bodies.pop(key, None)
        return _whole(number, checksum, [each for each in found if each is not None])


def _whole(number: int, checksum: int, parts: Sequence[bytes]) -> bytes:
    body = b"".join(parts)
    if zlib.crc32(body) != checksum:
        raise JobError(f"job {number}: the checksum of its {len(body)} bytes is another than its parts say")
    return body
