"""Frames: a header of six bytes, and a payload of at most 2**24 - 1. Source: section 3.2."""

import struct

import msgspec

from mbongi.wire.errors import TooLongError, WireError

HEADER_BYTES = 6
PAYLOAD_BYTES_MAX = 0xFF_FFFF
"""The most that a header can announce; a server states a lower limit for its clients."""
CHANNEL_BIT = 0x8000
"""Bit 15 of the header's extension field: the payload begins with the id of the channel that the message is for."""

_HEADER = struct.Struct("<HBHB")
_read_header = _HEADER.unpack_from
_write_header = _HEADER.pack


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame as it came; ``extension_type`` without the channel bit, which ``is_channel_message`` tells."""

    extension_type: int
    message_type: int
    payload: bytes
    is_channel_message: bool = False

    @property
    def channel_id(self) -> int:
        """The channel that a channel message is for, known or not. Raises WireError where there is none."""
        if not self.is_channel_message or len(self.payload) < 4:
            raise WireError(f"stratum v2: message {self.message_type:#04x} names no channel")
        return int.from_bytes(self.payload[:4], "little")


def unpack_header(data: bytes) -> tuple[int, int, int]:
    """Extension field (with the channel bit), message type, payload length [byte] of a header.

    Raises WireError where there are fewer than six bytes.
    """
    if len(data) < HEADER_BYTES:
        raise WireError(f"stratum v2: a header of {len(data)} bytes; expected {HEADER_BYTES}")
    extension_field, message_type, low, high = _read_header(data)
    return extension_field, message_type, low | high << 16


def frame_of(extension_field: int, message_type: int, payload: bytes) -> Frame:
    """A frame from the parts of its header, for streams that are cut elsewhere, as encrypted ones are."""
    return Frame(extension_field & ~CHANNEL_BIT, message_type, payload, extension_field >= CHANNEL_BIT)


def pack_frame(extension_field: int, message_type: int, payload: bytes) -> bytes:
    """Header and payload; ``extension_field`` with the channel bit. Raises TooLongError above PAYLOAD_BYTES_MAX."""
    length = len(payload)
    if length > PAYLOAD_BYTES_MAX:
        raise TooLongError(f"stratum v2: a payload of {length} bytes; at most {PAYLOAD_BYTES_MAX}")
    return _write_header(extension_field, message_type, length & 0xFFFF, length >> 16) + payload


class FrameBuffer:
    """Takes a plaintext connection's bytes, gives whole frames."""

    __slots__ = ("_payload_bytes_max", "_rest")

    def __init__(self, *, payload_bytes_max: int) -> None:
        self._payload_bytes_max = payload_bytes_max
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Raises TooLongError for a payload above the limit, when its header is seen; the connection ends with that."""
        rest = self._rest
        if not rest:
            frames, at = self._cut(data)
            rest += data[at:]
            return frames
        rest += data
        frames, at = self._cut(rest)
        del rest[:at]
        return frames

    def _cut(self, source: bytes | bytearray) -> tuple[list[Frame], int]:
        frames: list[Frame] = []
        at, size = 0, len(source)
        while size - at >= HEADER_BYTES:
            extension_field, message_type, low, high = _read_header(source, at)
            length = low | high << 16
            if length > self._payload_bytes_max:
                raise TooLongError(f"stratum v2: a payload of {length} bytes; at most {self._payload_bytes_max}")
            start, end = at + HEADER_BYTES, at + HEADER_BYTES + length
            if end > size:
                break
            frames.append(frame_of(extension_field, message_type, bytes(source[start:end])))
            at = end
        return frames, at
