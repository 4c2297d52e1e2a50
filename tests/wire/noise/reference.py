"""The handshake in plain integers: a second method, written from the texts alone, slow and open to side channels.

Sources: BIP 324 (XSwiftEC, v2_ecdh), BIP 340 (verification), RFC 8439 (ChaCha20-Poly1305), and sections 4.4 to 4.6
of the Stratum V2 specification. It shares no code with the package that it judges.
"""

import hmac
import struct
from dataclasses import dataclass
from hashlib import sha256

FIELD = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
ROOT_OF_MINUS_3 = 0xA2D2BA93507F1DF233770C2A797962CC61F6D15DA14ECD47D8D27AE1CD5F852
Point = tuple[int, int] | None
GENERATOR: Point = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(left: Point, right: Point) -> Point:
    """The chord and tangent rule; None is the point at infinity."""
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % FIELD == 0:
        return None
    if left == right:
        slope = 3 * x1 * x1 * pow(2 * y1, -1, FIELD) % FIELD
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, FIELD) % FIELD
    x3 = (slope * slope - x1 - x2) % FIELD
    return x3, (slope * (x1 - x3) - y1) % FIELD


def multiply(scalar: int, point: Point) -> Point:
    """Double and add."""
    total: Point = None
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def lift_x(x: int) -> Point:
    """The point with this x and an even y; None where there is none."""
    square = (pow(x, 3, FIELD) + 7) % FIELD
    y = pow(square, (FIELD + 1) // 4, FIELD)
    if y * y % FIELD != square:
        return None
    return x, y if y % 2 == 0 else FIELD - y


def x_bytes(point: Point) -> bytes:
    """The x coordinate, 32 bytes."""
    assert point is not None
    return point[0].to_bytes(32)


def public_x(secret: bytes) -> bytes:
    """The x-only public key."""
    return x_bytes(multiply(int.from_bytes(secret), GENERATOR))


def ellswift_decode(encoded: bytes) -> bytes:
    """BIP 324's XSwiftEC over both halves."""
    u = int.from_bytes(encoded[:32]) % FIELD or 1
    t = int.from_bytes(encoded[32:]) % FIELD or 1
    if (u**3 + t**2 + 7) % FIELD == 0:
        t = 2 * t % FIELD
    x = (u**3 + 7 - t**2) * pow(2 * t, -1, FIELD) % FIELD
    y = (x + t) * pow(ROOT_OF_MINUS_3 * u, -1, FIELD) % FIELD
    half = pow(2, -1, FIELD)
    if lift_x(first := (u + 4 * y * y) % FIELD):
        return first.to_bytes(32)
    ratio = x * pow(y, -1, FIELD)
    if lift_x(second := (-ratio - u) * half % FIELD):
        return second.to_bytes(32)
    return ((ratio - u) * half % FIELD).to_bytes(32)


@dataclass(frozen=True)
class Key:
    """A secret and one encoding of its public key."""

    secret: bytes
    public: bytes


def tagged_hash(tag: str, data: bytes) -> bytes:
    """BIP 340's."""
    tag_hash = sha256(tag.encode()).digest()
    return sha256(tag_hash + tag_hash + data).digest()


def ecdh(ours: Key, theirs: bytes, *, initiator: bool) -> bytes:
    """BIP 324's v2_ecdh."""
    point = lift_x(int.from_bytes(ellswift_decode(theirs)))
    shared = x_bytes(multiply(int.from_bytes(ours.secret), point))
    both = ours.public + theirs if initiator else theirs + ours.public
    return tagged_hash("bip324_ellswift_xonly_ecdh", both + shared)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """BIP 340's verification."""
    point, r, s = lift_x(int.from_bytes(public_key)), int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if point is None or r >= FIELD or s >= ORDER:
        return False
    challenge = int.from_bytes(tagged_hash("BIP0340/challenge", signature[:32] + public_key + message)) % ORDER
    found = add(multiply(s, GENERATOR), multiply(ORDER - challenge, point))
    return found is not None and found[1] % 2 == 0 and found[0] == r


def chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    """RFC 8439, section 2.3."""
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *struct.unpack("<8L", key), counter]
    start += struct.unpack("<3L", nonce)
    state = list(start)

    def mix(to: int, plus: int, into: int, bits: int) -> None:
        state[to] = (state[to] + state[plus]) & 0xFFFFFFFF
        word = state[into] ^ state[to]
        state[into] = (word << bits | word >> 32 - bits) & 0xFFFFFFFF

    columns = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
    diagonals = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for a, b, c, d in (columns + diagonals) * 10:
        mix(a, b, d, 16)
        mix(c, d, b, 12)
        mix(a, b, d, 8)
        mix(c, d, b, 7)
    return struct.pack("<16L", *((now + then) & 0xFFFFFFFF for now, then in zip(state, start, strict=True)))


def poly1305(key: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.5."""
    r, s = int.from_bytes(key[:16], "little") & 0xFFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF, int.from_bytes(key[16:], "little")
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + s) % 2**128).to_bytes(16, "little")


def _stream(key: bytes, nonce: bytes, data: bytes) -> bytes:
    blocks = (chacha20_block(key, 1 + at // 64, nonce) for at in range(0, len(data), 64))
    return bytes(left ^ right for left, right in zip(data, b"".join(blocks), strict=False))


def _tag(key: bytes, nonce: bytes, associated: bytes, ciphertext: bytes) -> bytes:
    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 16)

    lengths = struct.pack("<QQ", len(associated), len(ciphertext))
    return poly1305(chacha20_block(key, 0, nonce)[:32], padded(associated) + padded(ciphertext) + lengths)


def encrypt(key: bytes, count: int, associated: bytes, plaintext: bytes) -> bytes:
    """The specification's ENCRYPT: 32 zero bits and the counter, little-endian, for nonce."""
    nonce = bytes(4) + count.to_bytes(8, "little")
    ciphertext = _stream(key, nonce, plaintext)
    return ciphertext + _tag(key, nonce, associated, ciphertext)


def decrypt(key: bytes, count: int, associated: bytes, sealed: bytes) -> bytes:
    """The specification's DECRYPT; an assertion fails where the tag does not fit."""
    nonce = bytes(4) + count.to_bytes(8, "little")
    assert _tag(key, nonce, associated, sealed[:-16]) == sealed[-16:]
    return _stream(key, nonce, sealed[:-16])


class Handshake:
    """Section 4.4.2's variables and functions."""

    def __init__(self) -> None:
        self.ck = sha256(b"Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256").digest()
        self.h = sha256(self.ck).digest()
        self.k = b""
        self.n = 0

    def hkdf(self, material: bytes) -> tuple[bytes, bytes]:
        temp_key = hmac.new(self.ck, material, sha256).digest()
        output1 = hmac.new(temp_key, b"\x01", sha256).digest()
        return output1, hmac.new(temp_key, output1 + b"\x02", sha256).digest()

    def mix_hash(self, data: bytes) -> None:
        self.h = sha256(self.h + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.ck, self.k = self.hkdf(material)
        self.n = 0

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = encrypt(self.k, self.n, self.h, plaintext) if self.k else plaintext
        self.n += 1
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        plaintext = decrypt(self.k, self.n, self.h, ciphertext) if self.k else ciphertext
        self.n += 1
        self.mix_hash(ciphertext)
        return plaintext


def respond(act_1: bytes, *, ephemeral: Key, static: Key, signed: bytes) -> tuple[bytes, tuple[bytes, bytes]]:
    """Section 4.5.2.1: the second act, and the keys of both directions."""
    state = Handshake()
    state.mix_hash(act_1)
    state.decrypt_and_hash(b"")
    out = ephemeral.public
    state.mix_hash(ephemeral.public)
    state.mix_key(ecdh(ephemeral, act_1, initiator=False))
    out += state.encrypt_and_hash(static.public)
    state.mix_key(ecdh(static, act_1, initiator=False))
    out += state.encrypt_and_hash(signed)
    return out, state.hkdf(b"")


def conclude(act_2: bytes, *, ephemeral: Key) -> tuple[bytes, bytes, tuple[bytes, bytes]]:
    """Section 4.5.2.2: the server's static key, its SIGNATURE_NOISE_MESSAGE, and the keys of both directions."""
    state = Handshake()
    state.mix_hash(ephemeral.public)
    state.encrypt_and_hash(b"")
    theirs = act_2[:64]
    state.mix_hash(theirs)
    state.mix_key(ecdh(ephemeral, theirs, initiator=True))
    static = state.decrypt_and_hash(act_2[64:144])
    state.mix_key(ecdh(ephemeral, static, initiator=True))
    signed = state.decrypt_and_hash(act_2[144:])
    return static, signed, state.hkdf(b"")


def ciphertext_length(plain_length: int) -> int:
    """Section 4.6's pt_len_to_ct_len."""
    remainder = plain_length % 65519
    return plain_length // 65519 * 65535 + (remainder + 16 if remainder else 0)
