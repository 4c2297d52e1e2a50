"""What a share's hash costs: the coinbase, the merkle branch and the header, hashed in one call.

In compiled code (``_native.c``) where ``./mbongi`` could compile it, else here; both give the same, the compiled code
four to five times faster.
"""

from hashlib import sha256
from typing import TYPE_CHECKING

from mbongi.wire.bitcoin.hashing import HASH_BYTES
from mbongi.wire.bitcoin.header import pack_header

__all__ = ["IS_COMPILED", "hashed_header", "merkle_root"]


def merkle_root_in_python(before: bytes, extranonce: bytes, after: bytes, branch: bytes) -> bytes:
    """The root over a coinbase in three parts and its branch, whose hashes stand one after the other."""
    if len(branch) % HASH_BYTES:
        raise ValueError(f"merkle branch of {len(branch)} bytes; expected a multiple of {HASH_BYTES}")
    node = sha256(sha256(before + extranonce + after).digest()).digest()
    for at in range(0, len(branch), HASH_BYTES):
        node = sha256(sha256(node + branch[at : at + HASH_BYTES]).digest()).digest()
    return node


def hashed_header_in_python(  # noqa: PLR0913, PLR0917 -- a header's fields; by position, for the hot path
    before: bytes,
    extranonce: bytes,
    after: bytes,
    branch: bytes,
    previous_hash: bytes,
    version: int,
    time_s: int,
    bits: int,
    nonce: int,
) -> tuple[bytes, bytes]:
    """The eighty bytes of the header that this coinbase leads to, and their double SHA-256.

    Numbers are unsigned, of 32 bits. Raises ValueError for a hash that is no 32 bytes long, OverflowError or
    struct.error for a number that does not fit.
    """
    if len(previous_hash) != HASH_BYTES:
        raise ValueError(f"previous hash of {len(previous_hash)} bytes; expected {HASH_BYTES}")
    root = merkle_root_in_python(before, extranonce, after, branch)
    header = pack_header(version, previous_hash, root, time_s, bits, nonce)
    return header, sha256(sha256(header).digest()).digest()


if TYPE_CHECKING:
    merkle_root, hashed_header, IS_COMPILED = merkle_root_in_python, hashed_header_in_python, True
else:
    try:
        from mbongi.wire.bitcoin._native import hashed_header, merkle_root

        IS_COMPILED = True
    except ImportError:
        merkle_root, hashed_header, IS_COMPILED = merkle_root_in_python, hashed_header_in_python, False
