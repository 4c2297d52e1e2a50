"""Sealed frames against RFC 8439, against plain integers, and against whoever cuts, changes or repeats them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.noise.errors import SealError
from mbongi.wire.noise.transport import NONCES, CipherState, FrameDecryptor, encrypt_frame, sealed_bytes
from mbongi.wire.stratum_v2.frames import CHANNEL_BIT, Frame, pack_frame
from tests.wire.noise import reference

KEY = bytes(range(32))
LIMIT = 2**18

# RFC 8439, appendix A.5: its nonce begins with 32 zero bits, as Noise's do, so it is our counter.
RFC_KEY = bytes.fromhex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0")
RFC_COUNT = int.from_bytes(bytes.fromhex("0102030405060708"), "little")
RFC_ASSOCIATED = bytes.fromhex("f33388860000000000004e91")
RFC_TEXT = (
    "Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or obsoleted "
    "by other documents at any time. It is inappropriate to use Internet-Drafts as reference material or to cite them "
    "other than as /“work in progress./”"
).encode()
RFC_TAG = bytes.fromhex("eead9d67890cbb22392336fea1851f38")


def at(count: int, key: bytes = KEY) -> CipherState:
    state = CipherState(key)
    state._count = count
    return state


def decryptor(limit: int = LIMIT) -> FrameDecryptor:
    return FrameDecryptor(CipherState(KEY), payload_bytes_max=limit)


def sealed(*frames: bytes) -> list[bytes]:
    state = CipherState(KEY)
    return [encrypt_frame(state, frame) for frame in frames]


def test_the_cipher_is_rfc_8439s_with_the_counter_for_nonce() -> None:
    ciphertext = at(RFC_COUNT, RFC_KEY).encrypt(RFC_TEXT, RFC_ASSOCIATED)

    assert len(RFC_TEXT) == 265
    assert ciphertext[-16:] == RFC_TAG
    assert ciphertext[:8].hex() == "64a0861575861af4"
    assert ciphertext == reference.encrypt(RFC_KEY, RFC_COUNT, RFC_ASSOCIATED, RFC_TEXT)
    assert at(RFC_COUNT, RFC_KEY).decrypt(ciphertext, RFC_ASSOCIATED) == RFC_TEXT


@given(st.binary(min_size=32, max_size=32), st.integers(0, NONCES - 1), st.binary(max_size=200), st.binary(max_size=40))
def test_the_cipher_is_that_of_plain_integers(key: bytes, count: int, text: bytes, associated: bytes) -> None:
    assert at(count, key).encrypt(text, associated) == reference.encrypt(key, count, associated, text)


@pytest.mark.parametrize("length", [0, 1, 30, 300])
def test_a_sealed_frame_is_its_header_and_its_payload_sealed_in_turn(length: int) -> None:
    frame = pack_frame(CHANNEL_BIT, 0x1A, bytes(range(256))[:length] + bytes(max(0, length - 256)))

    (first, second) = sealed(frame, frame)

    count = 0
    for found in (first, second):
        assert len(found) == 22 + reference.ciphertext_length(length)
        assert reference.decrypt(KEY, count, b"", found[:22]) == frame[:6]
        count += 1
        if length:  # an empty payload has no block
            assert reference.decrypt(KEY, count, b"", found[22:]) == frame[6:]
            count += 1


@pytest.mark.parametrize("length", [65518, 65519, 65520, 2 * 65519, 2 * 65519 + 1])
def test_a_long_payload_is_sealed_in_blocks_of_65535_bytes(length: int) -> None:
    payload = os.urandom(length)

    (found,) = sealed(pack_frame(0, 0x71, payload))

    state = CipherState(KEY)
    assert state.decrypt(found[:22])[3:] == length.to_bytes(3, "little")
    blocks = [found[start : start + 65535] for start in range(22, len(found), 65535)]
    assert b"".join(state.decrypt(block) for block in blocks) == payload
    assert len(found) == 22 + reference.ciphertext_length(length)
    assert decryptor().feed(found) == [Frame(0, 0x71, payload)]


@given(st.one_of(st.integers(0, 2**24 - 1), st.integers(0, 255).map(lambda blocks: blocks * 65519)))
def test_a_payload_takes_as_many_bytes_as_the_specifications_function_says(length: int) -> None:
    assert sealed_bytes(length) == reference.ciphertext_length(length)


@given(st.data())
def test_frames_are_read_however_the_stream_is_cut(data: st.DataObject) -> None:
    payloads = data.draw(st.lists(st.binary(max_size=90), max_size=6))
    frames = [Frame(number, 0x10 + number, payload) for number, payload in enumerate(payloads)]
    stream = b"".join(sealed(*(pack_frame(each.extension_type, each.message_type, each.payload) for each in frames)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))

    reader, found = decryptor(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])

    assert found == frames


def test_a_long_frame_is_read_byte_by_byte_at_its_seams() -> None:
    payload = os.urandom(65519 + 5)
    (stream,) = sealed(pack_frame(0, 0x71, payload))
    reader = decryptor()

    assert reader.feed(stream[:21]) == reader.feed(stream[21:22]) == []
    assert reader.feed(stream[22 : 22 + 65535]) == reader.feed(stream[22 + 65535 : -1]) == []
    assert reader.feed(stream[-1:]) == [Frame(0, 0x71, payload)]


def test_the_channel_bit_is_read_apart_from_the_extension() -> None:
    (stream,) = sealed(pack_frame(CHANNEL_BIT | 2, 0x1A, bytes(8)))

    assert decryptor().feed(stream) == [Frame(2, 0x1A, bytes(8), is_channel_message=True)]


@pytest.mark.parametrize("place", range(22 + 9 + 16))
def test_a_change_of_any_byte_of_a_frame_is_found_and_ends_the_session(place: int) -> None:
    first, second = sealed(pack_frame(0, 1, b"job is 01"), pack_frame(0, 1, b"job is 02"))
    changed = bytearray(first)
    changed[place] ^= 1 << place % 8
    reader = decryptor()

    with pytest.raises(SealError, match="does not fit"):
        reader.feed(bytes(changed))
    for later in (first, second, b""):
        with pytest.raises(SealError, match="ended"):
            reader.feed(later)


def test_a_repeated_frame_is_refused() -> None:
    (first,) = sealed(pack_frame(0, 1, b"share"))
    reader = decryptor()
    reader.feed(first)

    with pytest.raises(SealError):
        reader.feed(first)


def test_frames_out_of_order_or_left_out_are_refused() -> None:
    first, second, third = sealed(*(pack_frame(0, 1, b"share %d" % number) for number in range(3)))

    with pytest.raises(SealError):
        decryptor().feed(second + first)
    reader = decryptor()
    reader.feed(first)
    with pytest.raises(SealError):
        reader.feed(third)


def test_blocks_of_one_payload_in_another_order_are_refused() -> None:
    (stream,) = sealed(pack_frame(0, 0x71, os.urandom(2 * 65519)))
    header, first, second = stream[:22], stream[22 : 22 + 65535], stream[22 + 65535 :]

    with pytest.raises(SealError):
        decryptor().feed(header + second + first)


def test_a_frame_cut_short_is_never_given_and_what_follows_in_its_place_is_refused() -> None:
    first, second = sealed(pack_frame(0, 1, b"share 1"), pack_frame(0, 1, b"share 2"))
    reader = decryptor()

    assert reader.feed(first[:-1]) == []
    with pytest.raises(SealError):
        reader.feed(second)


def test_a_stream_sealed_with_another_key_is_refused() -> None:
    stream = encrypt_frame(CipherState(bytes(32)), pack_frame(0, 1, b"share"))

    with pytest.raises(SealError):
        decryptor().feed(stream)


def test_a_payload_at_the_limit_is_taken_and_one_above_is_refused_from_its_header_alone() -> None:
    (good,) = sealed(pack_frame(0, 1, bytes(100)))
    (bad,) = sealed(pack_frame(0, 1, bytes(101)))
    reader = decryptor(limit=100)

    assert decryptor(limit=100).feed(good) == [Frame(0, 1, bytes(100))]
    with pytest.raises(TooLongError):
        reader.feed(bad[:22])
    with pytest.raises(SealError, match="ended"):
        reader.feed(bad[22:])


def test_a_decryptor_keeps_no_more_than_one_unfinished_frame() -> None:
    reader = decryptor(limit=100)
    stream = b"".join(sealed(*[pack_frame(0, 1, bytes(100))] * 50))

    for start in range(0, len(stream), 170):
        reader.feed(stream[start : start + 170])
        assert len(reader._rest) < 22 + 116


@pytest.mark.parametrize("frame", [b"", b"\0\0\1\0\0", b"\0\0\1\2\0\0x", b"\0\0\1\1\0\0xx"])
def test_a_frame_whose_header_does_not_fit_it_is_not_sealed(frame: bytes) -> None:
    state = CipherState(KEY)

    with pytest.raises(WireError):
        encrypt_frame(state, frame)
    assert encrypt_frame(state, pack_frame(0, 1, b"x")) == sealed(pack_frame(0, 1, b"x"))[0]  # no nonce was spent


def test_the_last_nonce_is_used_and_none_after_it() -> None:
    writer, reader = at(NONCES - 1), at(NONCES - 1)

    assert reader.decrypt(writer.encrypt(b"last")) == b"last"

    for use in (writer.encrypt, reader.decrypt):
        with pytest.raises(SealError, match="spent"):
            use(bytes(16))


def test_a_frame_that_needs_more_nonces_than_are_left_is_refused() -> None:
    with pytest.raises(SealError, match="spent"):
        encrypt_frame(at(NONCES - 1), pack_frame(0, 1, b"x"))


def test_a_cipher_is_of_no_use_after_a_tag_that_did_not_fit() -> None:
    good = CipherState(KEY).encrypt(b"share")
    state = CipherState(KEY)
    with pytest.raises(SealError):
        state.decrypt(bytes(21))

    with pytest.raises(SealError, match="ended"):
        state.decrypt(good)
    with pytest.raises(SealError, match="ended"):
        state.encrypt(b"job")


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_are_refused_when_a_header_is_complete(pieces: list[bytes]) -> None:
    reader, seen = decryptor(), 0
    for piece in pieces:
        seen += len(piece)
        if seen < 22:
            assert reader.feed(piece) == []
        else:
            with pytest.raises(SealError):
                reader.feed(piece)


@given(st.binary(max_size=100))
def test_any_bytes_for_one_ciphertext_are_refused(ciphertext: bytes) -> None:
    with pytest.raises(SealError):
        CipherState(KEY).decrypt(ciphertext)
