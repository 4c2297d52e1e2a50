"""Double SHA-256, the two ways of writing a hash, and merkle trees."""

import hashlib
from collections.abc import Sequence
from hashlib import sha256

from mbongi.wire.errors import WireError

try:
    from mbongi.wire.bitcoin import _native as native
except ImportError:  # no C compiler here; ./mbongi said so
    native = None  # type: ignore[assignment]

HASH_BYTES = 32


def sha256d(data: bytes) -> bytes:
    """SHA-256 of the SHA-256."""
    return sha256(sha256(data).digest()).digest()


def hash160(data: bytes) -> bytes:
    """RIPEMD-160 of the SHA-256, by which addresses name keys and scripts.

    Raises WireError where the system's OpenSSL leaves RIPEMD-160 out, as 3.0.0 to 3.0.6 do.
    """
    try:
        return hashlib.new("ripemd160", sha256(data).digest()).digest()
    except ValueError as error:
        raise WireError(f"hash160: this system's OpenSSL has no RIPEMD-160: {error}") from error


def display(hash_: bytes) -> str:
    """A hash as people and the nodes' RPC write it: hex, last byte first."""
    return hash_[::-1].hex()


def from_display(text: str) -> bytes:
    """Read a hash that people or RPC wrote. Raises WireError where it is not 64 hex digits."""
    try:
        found = bytes.fromhex(text)
    except (ValueError, TypeError) as error:
        raise WireError(f"hash {text!r}: expected 64 hex digits") from error
    if len(found) != HASH_BYTES:
        raise WireError(f"hash {text!r}: {len(found)} bytes; expected {HASH_BYTES}")
    return found[::-1]


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves, at least one; a level of odd length repeats its last.

    Source: Bitcoin Core, ComputeMerkleRoot.
    """
    level = list(leaves)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [sha256d(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def coinbase_branch(others: Sequence[bytes]) -> list[bytes]:
    """The hashes that lead from the coinbase to the root, deepest first; ``others`` are the ids after it."""
    if native is None:
        return coinbase_branch_in_python(others)
    joined = native.coinbase_branch(b"".join(others))
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


def coinbase_branch_in_python(others: Sequence[bytes]) -> list[bytes]:
    """The same; some times slower."""
    branch: list[bytes] = []
    level = list(others)  # without its first, which depends on the coinbase
    while level:
        branch.append(level[0])
        rest = level[1:]
        if len(rest) % 2:
            rest.append(rest[-1])
        level = [sha256d(left + right) for left, right in zip(rest[::2], rest[1::2], strict=True)]
    return branch


def root_of_branch(leaf: bytes, branch: Sequence[bytes]) -> bytes:
    """Fold a branch of the first leaf into the root."""
    for each in branch:
        leaf = sha256(sha256(leaf + each).digest()).digest()
    return leaf
