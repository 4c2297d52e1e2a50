"""A pool's work as a virtual machine hashes it: true double SHA-256 over block headers, on the processor. Pure."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

from mbongi.wire.bitcoin.hashing import root_of_branch, sha256d
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.bitcoin.target import DIFFICULTY_1_TARGET, difficulty_of_target

NONCES: Final = 1 << 32
_CUT: Final = 64
"""SHA-256 takes 64 bytes at a time: what stands in the first 64 of a header is hashed once for all nonces."""
_NONCE: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Found:
    """A nonce whose hash meets the target; ``best`` is the difficulty that the hash reached."""

    nonce: int
    best: float


@dataclass(frozen=True, slots=True)
class Work:
    """A header but for its nonce, and what its hash must meet.

    ``job_id``, ``extranonce2``, ``version`` and ``version_bits`` (None where none are rolled) go back with a share.
    """

    job_id: Any
    tail: bytes
    begun: Any
    target: int
    difficulty: float
    time_s: int
    version: int
    extranonce2: bytes = b""
    version_bits: int | None = None

    @classmethod
    def of(
        cls, header: Header, *, job_id: Any, target: int, extranonce2: bytes = b"", version_bits: int | None = None
    ) -> Self:
        """Work on a header, whose own nonce means nothing."""
        head = header.encode()
        return cls(
            job_id=job_id,
            tail=head[_CUT : -_NONCE.size],
            begun=sha256(head[:_CUT]),
            target=target,
            difficulty=difficulty_of_target(target),
            time_s=header.time_s,
            version=header.version,
            extranonce2=extranonce2,
            version_bits=version_bits,
        )

    def search(self, first: int, count: int) -> tuple[int, Found | None]:
        """Hash nonces from ``first``, at most ``count``, until one meets the target: hashes done, and what was found.

        Nonces go round at their end.
        """
        copy, tail, target, pack, number = self.begun.copy, self.tail, self.target, _NONCE.pack, int.from_bytes
        top = target >> 248
        for done in range(count):
            nonce = (first + done) % NONCES
            half = copy()
            half.update(tail + pack(nonce))
            hash_ = sha256(half.digest()).digest()
            if hash_[31] <= top and number(hash_, "little") <= target:
                return done + 1, Found(nonce, DIFFICULTY_1_TARGET / max(number(hash_, "little"), 1))
        return count, None


def root_over(before: bytes, extranonce: bytes, after: bytes, branch: Sequence[bytes]) -> bytes:
    """The Merkle root of a job whose coinbase a miner completes."""
    return root_of_branch(sha256d(before + extranonce + after), branch)
