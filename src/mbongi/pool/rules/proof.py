"""A tree over the work of a payout window, so that each worker can check that its work is counted. Pure.

A Merkle tree whose nodes carry sums: the root commits to the window's total work, and no worker's part can be left out
of the total or counted below 0 without the root changing. SHA-256 throughout, work as 16 bytes, highest first:

    leaf      = H(0x00 | worker, UTF-8 | salt, 16 bytes | work)
    node      = H(0x01 | left hash | left work | right hash | right work)
    published = H(0x02 | window, UTF-8 | number of leaves, 8 bytes | top hash | total work)

Leaves stand in the order of the workers' names (as bytes); a last one without a neighbour moves up as it is, which is
the shape of RFC 9162. The salt keeps a neighbour's name from being guessed from its hash; its work is there to be read,
as it must be for the sums to be checked. Each node holds both works apart: a tree that hashes only their sum, as
Maxwell's proof of liabilities did, can claim too little (Chalkias, Chatzigiannis and Ji, "Broken Proofs of Solvency in
Blockchain Custodial Wallets and Exchanges", 2022).
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from mbongi.pool.errors import ProofError

FORMAT: Final = "mbongi-share-proof-1"
WORK_BYTES: Final = 16
"""Enough for ten billion years of the whole network at 10**21 hashes/s."""
WORK_MAX: Final = (1 << 8 * WORK_BYTES) - 1
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
NAME_BYTES_MAX: Final = 255
LEAVES_MAX: Final = 1 << 32
PROOF_BYTES_MAX: Final = 16 * 1024


class ShareProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a worker's work is part of a published total.

    Hashes and salt are lower-case hex, work is decimal text (other languages' numbers do not hold it); ``path`` is the
    hash and work of each neighbour on the way from the leaf to the top.
    """

    format: str
    window: str
    root: str
    leaves: int
    total_work: str
    index: int
    worker: str
    salt: str
    work: str
    path: tuple[tuple[str, str], ...]

    def encoded(self) -> bytes:
        """The one JSON text that stands for this proof: keys sorted, no spaces, UTF-8, a line's end."""
        return msgspec.json.encode(self, order="sorted") + b"\n"


class ShareTree:
    """The tree of one window: O(n) to build, O(log n) for each proof.

    ``work`` is hashes (> 0) by worker; ``secret`` is for the salts, see ``salt_of``. Raises ProofError for an empty
    window, work out of range, or names that are empty or too long.
    """

    def __init__(self, window: str, work: Mapping[str, int], secret: bytes) -> None:
        _name_bytes(window)
        if not 0 < len(work) <= LEAVES_MAX:
            raise ProofError(f"window {window}: {len(work)} workers; expected 1..{LEAVES_MAX}")
        self.window = window
        self._secret = secret
        self._workers = sorted(work, key=_name_bytes)
        self._indices = {worker: index for index, worker in enumerate(self._workers)}
        leaves = [(leaf_hash(worker, self._salt(worker), work[worker]), work[worker]) for worker in self._workers]
        self._levels = [leaves]
        while len(self._levels[-1]) > 1:
            self._levels.append(_level_above(self._levels[-1]))
        top, self.total_work = self._levels[-1][0]
        self.root = published_root(window, len(leaves), top, self.total_work)

    def proof(self, worker: str) -> ShareProof:
        """The proof for a worker. Raises ProofError for one that has no work in this window."""
        if worker not in self._indices:
            raise ProofError(f"window {self.window}: no work of {worker}")
        index = place = self._indices[worker]
        path = []
        for level in self._levels[:-1]:
            if place ^ 1 < len(level):
                hash_, work = level[place ^ 1]
                path.append((hash_.hex(), str(work)))
            place >>= 1
        return ShareProof(
            format=FORMAT,
            window=self.window,
            root=self.root.hex(),
            leaves=len(self._workers),
            total_work=str(self.total_work),
            index=index,
            worker=worker,
            salt=self._salt(worker).hex(),
            work=str(self._levels[0][index][1]),
            path=tuple(path),
        )

    def _salt(self, worker: str) -> bytes:
        return salt_of(self._secret, self.window, worker)


def salt_of(secret: bytes, window: str, worker: str) -> bytes:
    """A leaf's salt, which only who knows the secret (16 bytes or more) can compute; it need not be stored."""
    if len(secret) < SALT_BYTES:
        raise ProofError(f"salt: a secret of {len(secret)} bytes; expected {SALT_BYTES} or more")
    parts = b"".join(len(part).to_bytes(2, "big") + part for part in map(_name_bytes, (window, worker)))
    return hmac.digest(secret, parts, "sha256")[:SALT_BYTES]


def leaf_hash(worker: str, salt: bytes, work: int) -> bytes:
    """The hash of one worker's work."""
    name = _name_bytes(worker)
    if len(salt) != SALT_BYTES:
        raise ProofError(f"{worker}: a salt of {len(salt)} bytes; expected {SALT_BYTES}")
    if not 0 < work <= WORK_MAX:
        raise ProofError(f"{worker}: work {work}; expected 1..2**128-1")
    return sha256(b"\x00" + name + salt + _work_bytes(work)).digest()


def node_of(left: tuple[bytes, int], right: tuple[bytes, int]) -> tuple[bytes, int]:
    """The node over two: its hash and the sum of their work. Raises ProofError where that is out of range."""
    work = left[1] + right[1]
    if min(left[1], right[1]) <= 0 or work > WORK_MAX:
        raise ProofError(f"work {left[1]} + {right[1]}: expected both above 0, together at most 2**128-1")
    parts = (b"\x01", left[0], _work_bytes(left[1]), right[0], _work_bytes(right[1]))
    return sha256(b"".join(parts)).digest(), work


def published_root(window: str, leaves: int, top: bytes, total_work: int) -> bytes:
    """What is published of a window."""
    parts = (b"\x02", _name_bytes(window), leaves.to_bytes(8, "big"), top, _work_bytes(total_work))
    return sha256(b"".join(parts)).digest()


def decoded_proof(text: bytes) -> ShareProof:
    """A proof from its canonical JSON text; any other text of the same content is refused (ProofError)."""
    if len(text) > PROOF_BYTES_MAX:
        raise ProofError(f"proof of {len(text)} bytes; at most {PROOF_BYTES_MAX}")
    try:
        proof = msgspec.json.decode(text, type=ShareProof)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProofError(f"proof: {error}") from error
    if proof.encoded() != text:
        raise ProofError("proof: not in its canonical form")
    return proof


def check_proof(proof: ShareProof, root: bytes) -> int:
    """The work that a proof shows to be part of the published root. Raises ProofError saying what is false."""
    if proof.format != FORMAT:
        raise ProofError(f"proof: format {proof.format}; expected {FORMAT}")
    if _bytes_of("root", proof.root, HASH_BYTES) != root:
        raise ProofError(f"proof: for root {proof.root}; published is {root.hex()}")
    if not 0 < proof.leaves <= LEAVES_MAX or not 0 <= proof.index < proof.leaves:
        raise ProofError(f"proof: leaf {proof.index} of {proof.leaves}; expected an index below their number")
    work, total_work = _work_of("work", proof.work), _work_of("total_work", proof.total_work)
    node = leaf_hash(proof.worker, _bytes_of("salt", proof.salt, SALT_BYTES), work), work
    neighbours = [(_bytes_of("path", each, HASH_BYTES), _work_of("path", sum_)) for each, sum_ in proof.path]
    node = _climb(node, neighbours, proof.index, proof.leaves)
    if node[1] != total_work:
        raise ProofError(f"proof: work adds up to {node[1]}; the total it states is {total_work}")
    if published_root(proof.window, proof.leaves, node[0], total_work) != root:
        raise ProofError("proof: it leads to another root; something in it is not what was published")
    return work


def _climb(node: tuple[bytes, int], neighbours: list[tuple[bytes, int]], index: int, leaves: int) -> tuple[bytes, int]:
    left_over = iter(neighbours)
    place, width = index, leaves
    while width > 1:
        if place ^ 1 < width:
            neighbour = next(left_over, None)
            if neighbour is None:
                raise ProofError(f"proof: {len(neighbours)} neighbours are too few for leaf {index} of {leaves}")
            node = node_of(neighbour, node) if place & 1 else node_of(node, neighbour)
        place, width = place >> 1, (width + 1) >> 1
    if next(left_over, None) is not None:
        raise ProofError(f"proof: {len(neighbours)} neighbours are too many for leaf {index} of {leaves}")
    return node


def _level_above(level: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    above = [node_of(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
    return above + level[-1:] if len(level) % 2 else above


def _work_bytes(work: int) -> bytes:
    return work.to_bytes(WORK_BYTES, "big")


def _name_bytes(name: str) -> bytes:
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise ProofError(f"name {name!r}: {error}") from error
    if not 0 < len(encoded) <= NAME_BYTES_MAX:
        raise ProofError(f"name of {len(encoded)} bytes: expected 1..{NAME_BYTES_MAX}")
    return encoded


def _work_of(what: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 39 and text[0] != "0"):
        raise ProofError(f"proof: {what} {text!r}; expected a whole number above 0 in decimal digits")
    if (work := int(text)) > WORK_MAX:
        raise ProofError(f"proof: {what} {text}; at most 2**128-1")
    return work


def _bytes_of(what: str, text: str, length: int) -> bytes:
    if len(text) != 2 * length or not set(text) <= set("0123456789abcdef"):
        raise ProofError(f"proof: {what} {text!r}; expected {length} bytes in lower-case hex")
    return bytes.fromhex(text)
