"""Merkle trees against the published vectors of Certificate Transparency, and against RFC 6962's definition."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbongi.core.ledger import merkle
from mbongi.core.ledger.merkle import Frontier

# Leaves and roots of the reference test data in google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# (index from 0, size, path), same source.
INCLUSION = [
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]
CONSISTENCY = [
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]


def mth(leaves: list[bytes]) -> bytes:
    """The tree hash as RFC 6962 2.1 defines it, by recursion: the second method."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def complete_of(leaves: list[bytes]) -> merkle.Complete:
    def complete(level: int, position: int) -> bytes:
        return mth(leaves[position << level : (position + 1) << level])

    return complete


def frontier_of(leaves: list[bytes]) -> Frontier:
    tree = Frontier()
    for leaf in leaves:
        tree.append(merkle.leaf_hash(leaf))
    return tree


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size: int) -> None:
    tree = frontier_of(LEAVES[:size])
    assert tree.root().hex() == ROOTS[size - 1]
    assert Frontier(size, tree.to_bytes()).root().hex() == ROOTS[size - 1]
    assert merkle.range_root(complete_of(LEAVES), 0, size).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones(index: int, size: int, path: list[str]) -> None:
    proof = merkle.inclusion_proof(complete_of(LEAVES), index, size)
    assert [node.hex() for node in proof] == path
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.is_included(merkle.leaf_hash(LEAVES[index]), index, size, proof, root)


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(old: int, new: int, path: list[str]) -> None:
    proof = merkle.consistency_proof(complete_of(LEAVES), old, new)
    assert [node.hex() for node in proof] == path
    assert merkle.is_consistent(old, bytes.fromhex(ROOTS[old - 1]), new, bytes.fromhex(ROOTS[new - 1]), proof)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.data())
def test_every_proof_holds_and_no_other_entry_or_size_passes(size: int, data: st.DataObject) -> None:
    leaves = [bytes([number]) for number in range(size)]
    complete, root = complete_of(leaves), mth(leaves)
    assert frontier_of(leaves).root() == root
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(complete, index, size)
    leaf = merkle.leaf_hash(leaves[index])
    assert merkle.is_included(leaf, index, size, proof, root)
    assert not merkle.is_included(merkle.leaf_hash(b"other"), index, size, proof, root)
    assert not merkle.is_included(leaf, index, size, [*proof, root], root)
    old = data.draw(st.integers(1, size))
    consistency = merkle.consistency_proof(complete, old, size)
    assert merkle.is_consistent(old, mth(leaves[:old]), size, root, consistency)
    assert not merkle.is_consistent(old, sha256(b"other").digest(), size, root, consistency)


def test_nodes_are_told_when_their_subtree_is_complete() -> None:
    told: list[tuple[int, int, bytes]] = []
    tree = Frontier()
    for leaf in LEAVES:
        tree.append(merkle.leaf_hash(leaf), lambda *node: told.append(node))
    assert (2, 0, bytes.fromhex(ROOTS[3])) in told
    assert (3, 0, bytes.fromhex(ROOTS[7])) in told
    assert len(told) == 7


def test_a_frontier_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="frontier of 3"):
        Frontier(3, b"\0" * 32)
