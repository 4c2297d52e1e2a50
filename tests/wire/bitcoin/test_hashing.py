"""Hashes, merkle trees and headers against blocks of the main chain."""

import pytest

from mbongi.wire.bitcoin.hashing import (
    coinbase_branch,
    display,
    from_display,
    merkle_root,
    root_of_branch,
    sha256d,
)
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.errors import WireError

GENESIS = (
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3"
    "888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
BLOCK_100000 = [
    "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
    "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
    "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
    "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
]
"""The transactions of block 100,000 of the main chain."""


def test_the_first_block_has_its_hash() -> None:
    header = Header.parse(bytes.fromhex(GENESIS))

    assert display(header.hash) == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert header.encode().hex() == GENESIS
    assert (header.time_s, header.nonce) == (1_231_006_505, 2_083_236_893)


def test_a_header_made_of_its_fields_has_the_blocks_hash() -> None:
    header = Header(  # block 125,552 of the main chain
        version=1,
        previous_hash=from_display("00000000000008a3a41b85b8b29ad444def299fee21793cd8b9e567eab02cd81"),
        merkle_root=from_display("2b12fcf1b09288fcaff797d71e950e71ae42b91e8bdb2304758dfcffc2b620e3"),
        time_s=0x4DD7F5C7,
        bits=0x1A44B9F2,
        nonce=0x9546A142,
    )

    assert display(header.hash) == "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"


@pytest.mark.parametrize("size", [0, 79, 81])
def test_a_header_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(WireError, match=f"{size} bytes; expected 80"):
        Header.parse(bytes(size))


def test_a_field_that_does_not_fit_is_refused() -> None:
    header = Header(version=-1, previous_hash=bytes(32), merkle_root=bytes(32), time_s=0, bits=0, nonce=0)
    with pytest.raises(WireError, match="block header"):
        header.encode()


def test_four_transactions_have_the_root_of_their_block() -> None:
    leaves = [from_display(each) for each in BLOCK_100000]

    root = merkle_root(leaves)

    assert display(root) == "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766"
    assert root_of_branch(leaves[0], coinbase_branch(leaves[1:])) == root


@pytest.mark.parametrize("count", range(1, 40))
def test_a_branch_of_any_tree_leads_to_its_root(count: int) -> None:
    leaves = [sha256d(bytes([number])) for number in range(count)]

    branch = coinbase_branch(leaves[1:])

    assert len(branch) == (count - 1).bit_length()
    assert root_of_branch(leaves[0], branch) == merkle_root(leaves)


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 31, "00" * 33])
def test_a_hash_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(WireError):
        from_display(text)
