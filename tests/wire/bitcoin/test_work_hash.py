"""The compiled hashes against their twin, and both against real blocks."""

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.hashing import (
    coinbase_branch,
    coinbase_branch_in_python,
    display,
    from_display,
    merkle_root,
    root_of_branch,
    sha256d,
)
from mbongi.wire.bitcoin.work_hash import hashed_header_in_python, merkle_root_in_python

try:
    from mbongi.wire.bitcoin import _native as native
except ImportError:  # no C compiler here; ./mbongi said so
    native = None  # type: ignore[assignment]

PYTHON, PORTABLE, INSTRUCTIONS = "python", "portable C", "SHA instructions"
COMPILED = [] if native is None else [PORTABLE, *([INSTRUCTIONS] if native.use_extensions(1) else [])]

GENESIS_COINBASE = bytes.fromhex(
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d"
    "65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f7220"
    "62616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f"
    "4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)
"""Of the first block of the main chain, 3 January 2009."""
GENESIS_HASH = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"

numbers = st.integers(0, 2**32 - 1)
hashes = st.binary(min_size=32, max_size=32)
branches = st.lists(hashes, max_size=14).map(b"".join)


@pytest.fixture(params=[PYTHON, *COMPILED])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each way of hashing that there is on this machine."""
    if request.param != PYTHON:
        native.use_extensions(request.param == INSTRUCTIONS)
    yield request.param
    if native is not None:
        native.use_extensions(1)


def root(backend: str, *parts: bytes) -> bytes:
    return merkle_root_in_python(*parts) if backend == PYTHON else native.merkle_root(*parts)


def hashed(backend: str, *fields: object) -> tuple[bytes, bytes]:
    return (hashed_header_in_python if backend == PYTHON else native.hashed_header)(*fields)


def test_the_first_block_of_the_main_chain(backend: str) -> None:
    parts = GENESIS_COINBASE[:50], GENESIS_COINBASE[50:62], GENESIS_COINBASE[62:]
    header, hash_ = hashed(backend, *parts, b"", bytes(32), 1, 1_231_006_505, 0x1D00FFFF, 2_083_236_893)

    assert display(hash_) == GENESIS_HASH
    assert hash_ == sha256d(header)
    root_shown = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert header[36:68] == from_display(root_shown) == root(backend, *parts, b"")


@given(
    parts=st.tuples(*[st.binary(max_size=200)] * 3), branch=branches, previous=hashes, fields=st.tuples(*[numbers] * 4)
)
def test_compiled_and_python_agree(
    parts: tuple[bytes, bytes, bytes], branch: bytes, previous: bytes, fields: tuple[int, int, int, int]
) -> None:
    expected = hashed_header_in_python(*parts, branch, previous, *fields)
    branch_hashes = [branch[at : at + 32] for at in range(0, len(branch), 32)]

    for each in COMPILED:
        native.use_extensions(each == INSTRUCTIONS)
        assert native.hashed_header(*parts, branch, previous, *fields) == expected
        assert native.merkle_root(*parts, branch) == root_of_branch(sha256d(b"".join(parts)), branch_hashes)


@given(st.integers(0, 200).flatmap(lambda count: st.binary(min_size=32 * count, max_size=32 * count)), hashes)
def test_a_coinbases_branch_is_that_of_the_twin_and_leads_to_the_root(joined: bytes, leaf: bytes) -> None:
    others = [joined[at : at + 32] for at in range(0, len(joined), 32)]
    branch = coinbase_branch(others)

    assert branch == coinbase_branch_in_python(others)
    assert root_of_branch(leaf, branch) == merkle_root([leaf, *others])


def test_ids_that_are_not_whole_are_refused() -> None:
    for each in [] if native is None else [bytes(31), bytes(33)]:
        with pytest.raises(ValueError, match="expected a multiple of 32"):
            native.coinbase_branch(each)


@pytest.mark.parametrize("size", range(200))
def test_every_length_of_a_coinbase(backend: str, size: int) -> None:
    data = bytes(range(size))
    assert root(backend, data[: size // 2], data[size // 2 :], b"", b"") == sha256d(data)


def test_a_torn_branch_is_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="merkle branch of 33 bytes; expected a multiple of 32"):
        root(backend, b"", b"", b"", bytes(33))


def test_a_short_hash_is_refused(backend: str) -> None:
    with pytest.raises(ValueError, match="previous hash of 31 bytes; expected 32"):
        hashed(backend, b"", b"", b"", b"", bytes(31), 1, 2, 3, 4)


@pytest.mark.parametrize("number", [-1, 2**32, 2**80])
@pytest.mark.parametrize("place", range(4))
def test_a_number_that_does_not_fit_is_refused(backend: str, number: int, place: int) -> None:
    fields = [1, 2, 3, 4]
    fields[place] = number
    with pytest.raises((OverflowError, struct.error)):
        hashed(backend, b"", b"", b"", b"", bytes(32), *fields)


def test_what_is_no_bytes_is_refused(backend: str) -> None:
    with pytest.raises(TypeError):
        root(backend, "text", b"", b"", b"")  # type: ignore[arg-type]


def test_another_number_of_arguments_is_refused(backend: str) -> None:
    with pytest.raises(TypeError, match=r"argument"):
        root(backend, b"", b"", b"")
    with pytest.raises(TypeError, match=r"argument"):
        hashed(backend, b"", b"", b"", b"", bytes(32), 1, 2, 3)
