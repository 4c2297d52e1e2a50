"""Merkle trees of RFC 6962: hashes, the growing frontier, inclusion and consistency proofs. Pure.

Source: RFC 6962, section 2.1; verification of proofs as in RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()

Complete = Callable[[int, int], bytes]
"""The root of the complete subtree of 2**level leaves that starts at leaf position * 2**level."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """The roots of the complete subtrees that a tree consists of, largest first: enough to append and to know the root.

    A tree of n leaves has one subtree for each set bit of n, so at most 63 hashes of 32 bytes.
    """

    def __init__(self, size: int = 0, hashes: bytes = b"") -> None:
        if len(hashes) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"frontier of {size} leaves: found {len(hashes)} bytes, expected {size.bit_count()} * 32")
        self.size = size
        self._hashes = [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]

    def append(self, leaf: bytes, on_node: Callable[[int, int, bytes], None] | None = None) -> None:
        """Add one leaf hash; ``on_node(level, position, hash)`` hears of every inner node that becomes complete."""
        hashes, size, level, node = self._hashes, self.size, 0, leaf
        while size >> level & 1:
            node = sha256(b"\1" + hashes.pop() + node).digest()
            level += 1
            if on_node is not None:
                on_node(level, size >> level, node)
        hashes.append(node)
        self.size = size + 1

    def root(self) -> bytes:
        """The root of the tree."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root

    def to_bytes(self) -> bytes:
        """The hashes one after the other, as the head row keeps them."""
        return b"".join(self._hashes)


def range_root(complete: Complete, start: int, count: int) -> bytes:
    """The root over ``count`` leaves from ``start``, where ``start`` is a multiple of the power of two >= ``count``."""
    if count == 0:
        return EMPTY_ROOT
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return complete(level, start >> level)
    left = _split(count)
    return node_hash(range_root(complete, start, left), range_root(complete, start + left, count - left))


def inclusion_proof(complete: Complete, index: int, size: int) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of the first ``size`` leaves, from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"inclusion proof: entry {index} is not among the first {size}")
    path: list[bytes] = []
    start, count = 0, size
    while count > 1:
        left = _split(count)
        if index - start < left:
            path.append(range_root(complete, start + left, count - left))
            count = left
        else:
            path.append(range_root(complete, start, left))
            start, count = start + left, count - left
    return path[::-1]


def consistency_proof(complete: Complete, old: int, new: int) -> list[bytes]:
    """Proof that the tree of ``old`` leaves is the beginning of the tree of ``new``."""
    if not 0 <= old <= new:
        raise ValueError(f"consistency proof: {old} is not within 0..{new}")
    path: list[bytes] = []
    start, count, is_old_root, within = 0, new, True, old
    while within not in {0, count}:
        left = _split(count)
        if within <= left:
            path.append(range_root(complete, start + left, count - left))
            count = left
        else:
            path.append(range_root(complete, start, left))
            start, count, within, is_old_root = start + left, count - left, within - left, False
    if within and not is_old_root:
        path.append(range_root(complete, start, count))
    return path[::-1]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that the leaf hash stands at ``index`` of the tree of ``size`` leaves with ``root``."""
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and node == root


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the tree of ``old`` leaves is the beginning of the tree of ``new``."""
    if old in {0, new}:
        return not proof and (old_root == new_root if old == new else old_root == EMPTY_ROOT)
    if not 0 < old < new or not proof:
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_node, new_node = node_hash(sibling, old_node), node_hash(sibling, new_node)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            new_node = node_hash(new_node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and old_node == old_root and new_node == new_root


def _split(count: int) -> int:
    """The largest power of two smaller than ``count`` (> 1)."""
    return 1 << ((count - 1).bit_length() - 1)
