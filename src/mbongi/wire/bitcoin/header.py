"""The eighty bytes that miners hash."""

import struct

import msgspec

from mbongi.wire.bitcoin.hashing import sha256d
from mbongi.wire.errors import WireError

HEADER_BYTES = 80
_HEADER = struct.Struct("<I32s32sIII")


class Header(msgspec.Struct, gc=False, frozen=True, kw_only=True):
    """A block header. ``version`` is unsigned; ``time_s`` is Unix seconds."""

    version: int
    previous_hash: bytes
    merkle_root: bytes
    time_s: int
    bits: int
    nonce: int

    @classmethod
    def parse(cls, data: bytes) -> "Header":
        """Read eighty bytes. Raises WireError for any other number."""
        if len(data) != HEADER_BYTES:
            raise WireError(f"block header of {len(data)} bytes; expected {HEADER_BYTES}")
        version, previous_hash, root, time_s, bits, nonce = _HEADER.unpack(data)
        return cls(
            version=version, previous_hash=previous_hash, merkle_root=root, time_s=time_s, bits=bits, nonce=nonce
        )

    def encode(self) -> bytes:
        """The eighty bytes. Raises WireError where a field does not fit."""
        try:
            return pack_header(self.version, self.previous_hash, self.merkle_root, self.time_s, self.bits, self.nonce)
        except struct.error as error:
            raise WireError(f"block header: {error}") from error

    @property
    def hash(self) -> bytes:
        """The block's hash."""
        return sha256d(self.encode())


pack_header = _HEADER.pack
"""``(version, previous_hash, merkle_root, time_s, bits, nonce)`` to eighty bytes, for hot paths."""
