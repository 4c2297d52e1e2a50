"""Hashing headers: against the first block of all, whose nonce and hash are published."""

from mbongi.twin.work import NONCES, Work, root_over
from mbongi.wire.bitcoin.hashing import from_display
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.bitcoin.target import DIFFICULTY_1_TARGET, TARGET_MAX

GENESIS_HASH = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
GENESIS_NONCE = 2_083_236_893
GENESIS = Header(
    version=1,
    previous_hash=bytes(32),
    merkle_root=from_display("4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"),
    time_s=1_231_006_505,
    bits=0x1D00FFFF,
    nonce=0,
)


def test_the_first_blocks_nonce_is_found_and_nothing_before_it() -> None:
    work = Work.of(GENESIS, job_id="1", target=DIFFICULTY_1_TARGET)

    done, found = work.search(GENESIS_NONCE - 1000, 5000)

    assert done == 1001
    assert found is not None
    assert found.nonce == GENESIS_NONCE
    assert found.best == DIFFICULTY_1_TARGET / int(GENESIS_HASH, 16)
    assert work.difficulty == 1.0


def test_a_hash_that_is_the_target_meets_it_and_one_above_does_not() -> None:
    at, below = (Work.of(GENESIS, job_id="1", target=int(GENESIS_HASH, 16) - less) for less in (0, 1))

    assert at.search(GENESIS_NONCE, 1)[1] is not None
    assert below.search(GENESIS_NONCE, 1) == (1, None)


def test_nonces_go_round_at_their_end() -> None:
    work = Work.of(GENESIS, job_id="1", target=TARGET_MAX)

    assert [work.search(first, 1)[1].nonce for first in (NONCES - 1, NONCES)] == [NONCES - 1, 0]  # type: ignore[union-attr]


def test_the_root_over_a_coinbase_alone_is_its_own_hash() -> None:
    """The first block's coinbase, published in full, cut where a miner's extranonce could stand."""
    coinbase = bytes.fromhex(
        "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054"
        "696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420"
        "666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61"
        "deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
    )

    assert root_over(coinbase[:50], coinbase[50:62], coinbase[62:], ()) == GENESIS.merkle_root
