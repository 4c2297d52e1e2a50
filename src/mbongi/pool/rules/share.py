"""Whether a share counts: the header that the miner hashed, rebuilt, and its hash against the target. Pure."""

from typing import Final

from mbongi.pool.rules.job import Job
from mbongi.pool.values import BLOCK_FUTURE_S_MAX, TIME_MARGIN_S, VERSION_ROLLING_MASK, Reject
from mbongi.wire.bitcoin.work_hash import hashed_header, merkle_root

SEEN_BYTES = 8
"""Of each hash, kept to know it again: two of a million different ones agree with a chance of 3 in 10**8."""
Proof = tuple[bytes, bytes, int]
"""A share's header, its hash, and the hash as the number that targets are compared with."""
NO_PROOF: Final[Proof] = b"", b"", 0


def rolled_version(version: int, bits: int | None, mask: int = VERSION_ROLLING_MASK) -> int | None:
    """The header's version with the miner's bits in place of ours; None where it changed bits outside the mask.

    Source: BIP 310: version = (ours & ~mask) | (the miner's & mask).
    """
    if bits is None:
        return version
    if bits & ~mask & 0xFFFF_FFFF:
        return None
    return (version & ~mask) | bits


def merkle_root_of(job: Job, extranonce: bytes) -> bytes:
    """The header's root with this extranonce in the coinbase."""
    return merkle_root(job.coinbase.before, extranonce, job.coinbase.after, job.branch)


def header_of(job: Job, extranonce: bytes, version: int, time_s: int, nonce: int) -> tuple[bytes, bytes]:
    """The eighty bytes that the miner hashed, and their hash."""
    coinbase, template = job.coinbase, job.template
    return hashed_header(
        coinbase.before,
        extranonce,
        coinbase.after,
        job.branch,
        template.previous_hash,
        version,
        time_s,
        template.bits,
        nonce,
    )


def judge(
    job: Job, extranonce: bytes, version: int, time_s: int, nonce: int, target: int, now_s: float
) -> tuple[Reject | None, Proof]:
    """Judge a share: the reason against it or None, and its proof, which is NO_PROOF where it was not hashed.

    ``extranonce`` is ours and the miner's together; ``target`` is the share's. An accepted share is remembered in the
    job, so that it counts once.
    """
    if not job.is_current:
        return Reject.STALE, NO_PROOF
    if len(extranonce) != job.extranonce_bytes:
        return Reject.MALFORMED, NO_PROOF
    template = job.template
    # The node's clock and the job's age, not our own clock: that may have been set wrong.
    latest_s = template.time_s + now_s - job.made_at_s + BLOCK_FUTURE_S_MAX - TIME_MARGIN_S
    if not template.time_min_s <= time_s <= latest_s:
        return Reject.TIME_OUT_OF_RANGE, NO_PROOF
    header, found = header_of(job, extranonce, version, time_s, nonce)
    value = int.from_bytes(found, "little")
    proof = header, found, value
    if value > target:
        return Reject.LOW_DIFFICULTY, proof
    mark, seen = found[:SEEN_BYTES], job.seen
    if mark in seen:
        return Reject.DUPLICATE, proof
    seen.add(mark)
    return None, proof


def is_block(job: Job, hash_: bytes) -> bool:
    """Whether a share's hash makes a block of its job's template."""
    return int.from_bytes(hash_, "little") <= job.template.target
