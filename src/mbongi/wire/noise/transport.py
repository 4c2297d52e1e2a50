"""A session after its handshake: two ciphers that count, and Stratum frames sealed with them.

The header is sealed alone, the payload in blocks of at most 65535 bytes. Source: sections 4.4.1 and 4.6. Short frames,
as shares and their answers are, are sealed and opened in compiled code (``_native.c``) where ``./mbongi`` could compile
it, in one call of 0.5 µs instead of two of 1.5; what it leaves is done here.
"""

from typing import TYPE_CHECKING, Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.noise.errors import SealError
from mbongi.wire.stratum_v2.frames import HEADER_BYTES, Frame, frame_of, unpack_header

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16
BLOCK_BYTES_MAX: Final = 65535
"""The most that one ciphertext may have, tag included."""
BLOCK_PLAIN_BYTES_MAX: Final = BLOCK_BYTES_MAX - TAG_BYTES
SEALED_HEADER_BYTES: Final = HEADER_BYTES + TAG_BYTES
NONCES: Final = 2**64 - 1
"""How many messages one key seals; the last value of the counter is Noise's own (Noise, section 5.1)."""
_ENDED: Final = NONCES + 1

if TYPE_CHECKING:
    from mbongi.wire.noise._native import open_frame, seal_frame
else:
    try:
        from mbongi.wire.noise._native import open_frame, seal_frame
    except ImportError:

        def seal_frame(*_: object) -> None:
            """Leave it."""

        open_frame = seal_frame


class CipherState:
    """ChaCha20-Poly1305 under one key with a counter for nonce: 32 zero bits, then the counter in 64, little-endian.

    One direction of one session. It ends for good with a tag that does not fit, and when its counter is spent.
    """

    __slots__ = ("_aead", "_count", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._aead: ChaCha20Poly1305 | None = None
        self._count = 0

    def seal_short(self, frame: bytes) -> bytes | None:
        """A frame's header and payload sealed, where compiled code does that; else None, and nothing has changed."""
        count = self._count
        sealed = seal_frame(self._key, count, frame) if count < NONCES - 1 else None
        if sealed is not None:
            self._count = count + 2
        return sealed

    def open_short(self, data: bytes, at: int, payload_bytes_max: int) -> tuple[int, int, bytes, int] | None:
        """Extension field, message type, payload and end of the frame at ``at``, where compiled code opens it.

        None where it does not, whatever the reason: then nothing has changed, and ``decrypt`` finds what is wrong.
        """
        count = self._count
        opened = open_frame(self._key, count, data, at, payload_bytes_max) if count < NONCES - 1 else None
        if opened is not None:
            self._count = count + 2
        return opened

    def encrypt(self, plaintext: bytes, associated: bytes | None = None) -> bytes:
        """The ciphertext and its tag. Raises SealError where the session has ended or the counter is spent."""
        count = self._count
        if count >= NONCES:
            self._refuse()
        self._count = count + 1
        return self._cipher().encrypt((count << 32).to_bytes(12, "little"), plaintext, associated)

    def decrypt(self, ciphertext: bytes | bytearray | memoryview, associated: bytes | None = None) -> bytes:
        """The plaintext. Raises SealError as ``encrypt`` does, and for a tag that does not fit, which ends it."""
        count = self._count
        if count >= NONCES:
            self._refuse()
        try:
            plaintext = self._cipher().decrypt((count << 32).to_bytes(12, "little"), ciphertext, associated)
        except InvalidTag:
            self._count = _ENDED
            raise SealError(
                f"noise: message {count}: its tag does not fit; changed, replayed, lost or not this session's"
            ) from None
        self._count = count + 1
        return plaintext

    def _cipher(self) -> ChaCha20Poly1305:
        if self._aead is None:
            self._aead = ChaCha20Poly1305(self._key)
        return self._aead

    def _refuse(self) -> NoReturn:
        if self._count == _ENDED:
            raise SealError("noise: this session ended with a tag that did not fit")
        raise SealError(f"noise: all {NONCES} nonces of this key are spent; connect anew")


def sealed_bytes(payload_bytes: int) -> int:
    """How many bytes a payload takes when sealed; none for an empty one."""
    return payload_bytes + -(-payload_bytes // BLOCK_PLAIN_BYTES_MAX) * TAG_BYTES


def encrypt_frame(state: CipherState, frame: bytes) -> bytes:
    """Seal a frame as ``pack_frame`` makes it: header and payload.

    Raises WireError where the header's length is not the payload's, and SealError where the session has ended.
    """
    return state.seal_short(frame) or encrypt_frame_in_python(state, frame)


def encrypt_frame_in_python(state: CipherState, frame: bytes) -> bytes:
    """The same for frames of any length."""
    _, _, length = unpack_header(frame)
    if length != len(frame) - HEADER_BYTES:
        raise WireError(f"noise: a frame of {len(frame)} bytes whose header says {length} of payload")
    encrypt = state.encrypt
    if not length:
        return encrypt(frame)
    if length <= BLOCK_PLAIN_BYTES_MAX:
        return encrypt(frame[:HEADER_BYTES]) + encrypt(frame[HEADER_BYTES:])
    blocks = [encrypt(frame[:HEADER_BYTES])]
    blocks += [
        encrypt(frame[at : at + BLOCK_PLAIN_BYTES_MAX]) for at in range(HEADER_BYTES, len(frame), BLOCK_PLAIN_BYTES_MAX)
    ]
    return b"".join(blocks)


class FrameDecryptor:
    """Takes an encrypted connection's bytes, gives whole frames; it keeps at most one unfinished frame.

    A frame is given when its last byte is there and every tag has fitted. Any error ends the session: the frames
    that the same bytes held before it are lost with it, and every later call raises.
    """

    __slots__ = ("_has_ended", "_header", "_payload_bytes_max", "_rest", "_state")

    def __init__(self, state: CipherState, *, payload_bytes_max: int) -> None:
        self._state = state
        self._payload_bytes_max = payload_bytes_max
        self._rest = bytearray()
        self._header: tuple[int, int, int] | None = None
        self._has_ended = False

    def feed(self, data: bytes) -> list[Frame]:
        """Raises SealError for what the peer did not seal, TooLongError once a header announces more than the limit."""
        if self._has_ended:
            raise SealError("noise: this session has ended with an error")
        frames: list[Frame] = []
        rest, at = self._rest, 0
        if not rest and self._header is None:
            open_short, payload_bytes_max, size = self._state.open_short, self._payload_bytes_max, len(data)
            while (opened := open_short(data, at, payload_bytes_max)) is not None:
                extension_field, message_type, payload, at = opened
                frames.append(frame_of(extension_field, message_type, payload))
                if at == size:
                    return frames
        self._has_ended = True  # so that whatever is raised below ends it
        if rest:
            rest += data
            at = self._cut(rest, 0, frames)
            del rest[:at]
        else:
            rest += data[self._cut(data, at, frames) :]
        self._has_ended = False
        return frames

    def _cut(self, source: bytes | bytearray, at: int, frames: list[Frame]) -> int:
        """Add the whole frames from ``at`` on; returns where what is left begins."""
        size, header = len(source), self._header
        decrypt = self._state.decrypt
        while True:
            if header is None:
                end = at + SEALED_HEADER_BYTES
                if end > size:
                    break
                header = self._header = unpack_header(decrypt(source[at:end]))
                at = end
                if header[2] > self._payload_bytes_max:
                    raise self._too_long(header[2])
            extension_field, message_type, length = header
            end = at + sealed_bytes(length)
            if end > size:
                break
            if end - at <= BLOCK_BYTES_MAX:
                payload = decrypt(source[at:end]) if length else b""
            else:
                payload = b"".join(
                    decrypt(source[start : min(start + BLOCK_BYTES_MAX, end)])
                    for start in range(at, end, BLOCK_BYTES_MAX)
                )
            frames.append(frame_of(extension_field, message_type, payload))
            at, header, self._header = end, None, None
        return at

    def _too_long(self, length: int) -> TooLongError:
        return TooLongError(f"noise: a payload of {length} bytes; at most {self._payload_bytes_max}")
