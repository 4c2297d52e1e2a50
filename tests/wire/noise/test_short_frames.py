"""Compiled sealing and opening of short frames, against its twin, RFC 8439's vectors and plain integers.

Where nothing was compiled the twin stands in for it, and what is said here holds all the same.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.noise.transport import NONCES, CipherState, FrameDecryptor, encrypt_frame, encrypt_frame_in_python
from mbongi.wire.stratum_v2.frames import HEADER_BYTES, pack_frame
from tests.wire.noise import reference

try:
    from mbongi.wire.noise import _native as native
except ImportError:  # no C compiler here; ./mbongi said so
    native = None  # type: ignore[assignment]

TAG = 16
SHORT_BYTES_MAX = 1024
keys = st.binary(min_size=32, max_size=32) | st.sampled_from([bytes(32), b"\xff" * 32])
counts = st.integers(0, NONCES - 2) | st.sampled_from([0, 2**32 - 2, 2**32 - 1, NONCES - 2])
payloads = st.binary(min_size=1, max_size=300) | st.integers(1, SHORT_BYTES_MAX + 1).map(bytes)


def at(key: bytes, count: int) -> CipherState:
    state = CipherState(key)
    state._count = count
    return state


def poly1305(key: bytes, blocks: bytes) -> bytes:
    return reference.poly1305(key, blocks) if native is None else native.poly1305(key, blocks)


@given(keys, counts, payloads)
def test_a_short_frame_is_sealed_as_the_twin_and_plain_integers_seal_it(key: bytes, count: int, payload: bytes) -> None:
    frame = pack_frame(0x8000, 0x1B, payload)
    sealed = encrypt_frame(at(key, count), frame)

    assert sealed == encrypt_frame_in_python(at(key, count), frame)
    header, body = frame[:HEADER_BYTES], frame[HEADER_BYTES:]
    assert sealed == reference.encrypt(key, count, b"", header) + reference.encrypt(key, count + 1, b"", body)


@given(keys, counts, payloads)
def test_a_sealed_frame_is_opened_and_both_sides_have_counted_alike(key: bytes, count: int, payload: bytes) -> None:
    sender, receiver = at(key, count), at(key, count)
    decryptor = FrameDecryptor(receiver, payload_bytes_max=2 * SHORT_BYTES_MAX)

    (found,) = decryptor.feed(encrypt_frame(sender, pack_frame(0x8001, 0x1C, payload)))

    assert (found.extension_type, found.message_type, found.payload) == (1, 0x1C, payload)
    assert sender._count == receiver._count == count + 2


@given(keys, counts, payloads, st.data())
def test_compiled_code_opens_nothing_that_was_changed_cut_or_is_too_long(
    key: bytes, count: int, payload: bytes, data: st.DataObject
) -> None:
    sealed = encrypt_frame_in_python(at(key, count), pack_frame(0, 5, payload))
    before = data.draw(st.binary(max_size=40))
    state, place = at(key, count), data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:place] + bytes([sealed[place] ^ data.draw(st.integers(1, 255))]) + sealed[place + 1 :]

    assert state.open_short(before + changed, len(before), 2 * SHORT_BYTES_MAX) is None
    assert state.open_short(before + sealed[:place], len(before), 2 * SHORT_BYTES_MAX) is None
    assert state.open_short(before + sealed, len(before), len(payload) - 1) is None
    assert state.open_short(sealed, len(sealed) + 1, 2 * SHORT_BYTES_MAX) is None
    assert state._count == count
    if native is not None and len(payload) <= SHORT_BYTES_MAX:
        opened = state.open_short(before + sealed + before, len(before), len(payload))
        assert opened == (0, 5, payload, len(before) + len(sealed))


@given(keys, st.integers(0, 2**64 - 1), st.binary(max_size=200), st.integers(0, 300), st.integers(0, 2000))
def test_any_bytes_are_opened_as_nothing(key: bytes, count: int, data: bytes, place: int, longest: int) -> None:
    assert at(key, count).open_short(data, place, longest) is None


@pytest.mark.parametrize("frame", [b"", bytes(5), pack_frame(0, 1, b""), bytes(8), pack_frame(0, 1, b"ab")[:-1]])
def test_compiled_code_seals_no_frame_whose_header_does_not_fit_it_or_that_is_empty(frame: bytes) -> None:
    state = CipherState(bytes(32))
    assert state.seal_short(frame) is None
    assert state._count == 0


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 20).flatmap(lambda n: st.binary(min_size=16 * n, max_size=16 * n)),
)
def test_tags_are_those_of_plain_integers(key: bytes, blocks: bytes) -> None:
    assert poly1305(key, blocks) == reference.poly1305(key, blocks)


@pytest.mark.parametrize(
    ("r", "s", "blocks", "tag"),
    [
        # RFC 8439, appendix A.3, vectors 7 to 11: sums that reach or just miss the modulus 2**130 - 5.
        ("02", "00", "ff" * 16, "03"),
        ("02", "ff" * 16, "02" + "00" * 15, "03"),
        ("01", "00", "ff" * 16 + "f0" + "ff" * 15 + "11" + "00" * 15, "05"),
        ("01", "00", "ff" * 16 + "fb" + "fe" * 15 + "01" * 16, "00"),
        ("02", "00", "fd" + "ff" * 15, "fa" + "ff" * 15),
    ],
)
def test_sums_at_the_modulus_are_those_of_the_rfc(r: str, s: str, blocks: str, tag: str) -> None:
    key = bytes.fromhex(r).ljust(16, b"\0") + bytes.fromhex(s).ljust(16, b"\0")
    assert poly1305(key, bytes.fromhex(blocks)) == bytes.fromhex(tag).ljust(TAG, b"\0")
