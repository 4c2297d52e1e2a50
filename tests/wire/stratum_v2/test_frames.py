"""Frames and the streams that carry them. Source: section 3.2."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.stratum_v2.frames import CHANNEL_BIT, Frame, FrameBuffer, frame_of, pack_frame, unpack_header

FRAMES = st.lists(
    st.builds(Frame, st.integers(0, 0x7FFF), st.integers(0, 255), st.binary(max_size=80), st.booleans()), max_size=6
)


def packed(frame: Frame) -> bytes:
    bit = CHANNEL_BIT if frame.is_channel_message else 0
    return pack_frame(frame.extension_type | bit, frame.message_type, frame.payload)


def test_a_header_is_read_as_the_reference_reads_it() -> None:
    # SRI, framing-sv2, test_header_from_bytes.
    assert unpack_header(bytes([1, 2, 3, 4, 5, 6])) == (0x0201, 0x03, 0x060504)


def test_a_header_is_written_as_the_reference_writes_it() -> None:
    # SRI, framing-sv2, test_header_from_len: length 0x1234, type 0x56, extension 0x789a.
    assert pack_frame(0x789A, 0x56, bytes(0x1234))[:6] == bytes([0x9A, 0x78, 0x56, 0x34, 0x12, 0x00])


def test_a_length_is_24_bits_wide() -> None:
    data = pack_frame(0, 0x56, bytes(0x030201))

    assert data[3:6] == b"\x01\x02\x03"
    assert unpack_header(data) == (0, 0x56, 0x030201)
    with pytest.raises(TooLongError):
        pack_frame(0, 0x56, bytes(2**24))


@pytest.mark.parametrize("size", range(6))
def test_a_header_cut_short_is_refused(size: int) -> None:
    with pytest.raises(WireError, match="header"):
        unpack_header(bytes(size))


def test_the_channel_bit_is_no_part_of_the_extension() -> None:
    # Section 3.2.1: 0x8ABC is the same extension as 0x0ABC.
    with_bit = frame_of(0x8ABC, 7, b"\x04\x03\x02\x01rest")

    assert with_bit == Frame(0x0ABC, 7, b"\x04\x03\x02\x01rest", is_channel_message=True)
    assert frame_of(0x0ABC, 7, b"") == Frame(0x0ABC, 7, b"", is_channel_message=False)
    assert with_bit.channel_id == 0x01020304


@pytest.mark.parametrize("frame", [Frame(2, 7, bytes(8)), Frame(2, 7, bytes(3), is_channel_message=True)])
def test_a_frame_without_channel_names_none(frame: Frame) -> None:
    with pytest.raises(WireError, match="names no channel"):
        _ = frame.channel_id


@given(FRAMES, st.lists(st.integers(0, 600), max_size=20))
def test_frames_come_whole_however_the_stream_is_cut(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(map(packed, frames))
    buffer = FrameBuffer(payload_bytes_max=80)
    places = [0, *sorted(cuts), len(stream)]

    found = [frame for start, end in pairwise(places) for frame in buffer.feed(stream[start:end])]

    assert found == frames
    assert all(type(frame.payload) is bytes for frame in found)


def test_a_payload_above_the_limit_is_refused_at_its_header() -> None:
    assert FrameBuffer(payload_bytes_max=9).feed(pack_frame(0, 1, bytes(9))) == [Frame(0, 1, bytes(9))]
    with pytest.raises(TooLongError, match="10 bytes; at most 9"):
        FrameBuffer(payload_bytes_max=9).feed(pack_frame(0, 1, bytes(10))[:6])


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_stream_gives_frames_or_a_wire_error(pieces: list[bytes]) -> None:
    buffer = FrameBuffer(payload_bytes_max=100)
    try:
        found = [frame for piece in pieces for frame in buffer.feed(piece)]
    except WireError:
        return

    assert b"".join(pieces).startswith(b"".join(map(packed, found)))
