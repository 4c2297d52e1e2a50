"""secp256k1 as Stratum V2 uses it: ElligatorSwift keys and their ECDH (BIP 324), Schnorr signatures (BIP 340).

libsecp256k1, which coincurve packages, does the arithmetic in constant time. Public keys of certificates are x-only
(32 bytes), those of handshakes ElligatorSwift (64 bytes, random to look at). Source: section 4.3.1.
"""

import os
from dataclasses import dataclass, field
from typing import Any, Final, Self

# The compiled module carries no types.
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]

from mbongi.wire.noise.errors import KeyRefusedError

SECRET_BYTES: Final = 32
X_ONLY_BYTES: Final = 32
ELLSWIFT_BYTES: Final = 64
SIGNATURE_BYTES: Final = 64
_EXTRA_MAGIC: Final = b"\xda\x6f\xb3\x8c"  # SECP256K1_SCHNORRSIG_EXTRAPARAMS_MAGIC


def _must(done: int) -> None:
    """Of calls that fail for no argument that has been checked."""
    assert done == 1


def _blinded_context() -> Any:
    """A context of its own, blinded against side channels and never changed after, so that threads may share it."""
    context = ffi.gc(lib.secp256k1_context_create(lib.SECP256K1_CONTEXT_NONE), lib.secp256k1_context_destroy)
    _must(lib.secp256k1_context_randomize(context, os.urandom(32)))
    return context


_CONTEXT: Final = _blinded_context()
_NULL: Final = ffi.NULL
_BIP324_HASH: Final = lib.secp256k1_ellswift_xdh_hash_function_bip324
_new, _buffer = ffi.new, ffi.buffer
_OUT_32: Final = ffi.typeof("unsigned char[32]")
_OUT_64: Final = ffi.typeof("unsigned char[64]")
_create, _xdh = lib.secp256k1_ellswift_create, lib.secp256k1_ellswift_xdh


@dataclass(frozen=True, slots=True)
class EllSwiftKey:
    """A secret key and one ElligatorSwift encoding of its public key; the secret stays out of its repr."""

    secret: bytes = field(repr=False)
    public: bytes

    def __post_init__(self) -> None:
        """Raises KeyRefusedError for what is no secret key, or an encoding of another length than 64 bytes."""
        # Here once, since the library's ECDH takes a secret above the order and its other calls do not.
        _check_secret(self.secret)
        _check_size("ElligatorSwift key", self.public, ELLSWIFT_BYTES)

    @classmethod
    def generate(cls) -> Self:
        """A fresh key from the system's randomness, as every handshake needs one."""
        return cls.of_secret(new_secret())

    @classmethod
    def of_secret(cls, secret: bytes) -> Self:
        """The key of a stored secret, in a new random encoding. Raises KeyRefusedError for what is no secret key."""
        _check_secret(secret)
        out = _new(_OUT_64)
        _must(_create(_CONTEXT, out, secret, os.urandom(32)))
        return cls(secret, bytes(_buffer(out)))

    def shared_secret(self, theirs: bytes, *, initiator: bool) -> bytes:
        """BIP 324's v2_ecdh with a peer's ElligatorSwift key, for which any 64 bytes are valid: 32 bytes.

        Both sides hash the initiator's encoding first, so ``initiator`` says which side this one is.
        """
        _check_size("ElligatorSwift key", theirs, ELLSWIFT_BYTES)
        first, second = (self.public, theirs) if initiator else (theirs, self.public)
        out = _new(_OUT_32)
        _must(_xdh(_CONTEXT, out, first, second, self.secret, not initiator, _BIP324_HASH, _NULL))
        return bytes(_buffer(out))

    def x_only(self) -> bytes:
        """The public key's x coordinate, which a certificate states."""
        return x_only_of_ellswift(self.public)


def new_secret() -> bytes:
    """A random secret key, 1 to the order less 1."""
    while not lib.secp256k1_ec_seckey_verify(_CONTEXT, secret := os.urandom(SECRET_BYTES)):
        pass  # one in 2**128
    return secret


def x_only_of_ellswift(encoded: bytes) -> bytes:
    """The x coordinate that 64 bytes encode; every 64 bytes encode one. Source: BIP 324."""
    _check_size("ElligatorSwift key", encoded, ELLSWIFT_BYTES)
    point = _new("secp256k1_pubkey *")
    _must(lib.secp256k1_ellswift_decode(_CONTEXT, point, encoded))
    x_only = _new("secp256k1_xonly_pubkey *")
    _must(lib.secp256k1_xonly_pubkey_from_pubkey(_CONTEXT, x_only, _NULL, point))
    return _serialized(x_only)


def x_only_of_secret(secret: bytes) -> bytes:
    """The x-only public key of a secret key. Raises KeyRefusedError for what is no secret key."""
    x_only = _new("secp256k1_xonly_pubkey *")
    _must(lib.secp256k1_keypair_xonly_pub(_CONTEXT, x_only, _NULL, _key_pair(secret)))
    return _serialized(x_only)


def is_x_only(key: bytes) -> bool:
    """Whether 32 bytes are the x coordinate of a point; half of all are."""
    return _parsed(key) is not None


def sign(secret: bytes, message: bytes, randomness: bytes | None = None) -> bytes:
    """The Schnorr signature of a message of any length, 64 bytes. Raises KeyRefusedError for what is no secret key.

    ``randomness`` is BIP 340's auxiliary random data, 32 bytes; fresh where None.
    """
    auxiliary = os.urandom(32) if randomness is None else randomness
    _check_size("auxiliary randomness", auxiliary, 32)
    pair, held, out = _key_pair(secret), ffi.from_buffer(auxiliary), _new(_OUT_64)
    extra = _new("secp256k1_schnorrsig_extraparams *", {"magic": list(_EXTRA_MAGIC), "ndata": held})
    _must(lib.secp256k1_schnorrsig_sign_custom(_CONTEXT, out, message, len(message), pair, extra))
    return bytes(_buffer(out))


def is_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a Schnorr signature over a message is that of an x-only key; False for bytes of any other kind."""
    point = _parsed(public_key)
    if point is None or len(signature) != SIGNATURE_BYTES:
        return False
    return bool(lib.secp256k1_schnorrsig_verify(_CONTEXT, signature, message, len(message), point) == 1)


def _key_pair(secret: bytes) -> Any:
    _check_secret(secret)
    pair = _new("secp256k1_keypair *")
    _must(lib.secp256k1_keypair_create(_CONTEXT, pair, secret))
    return pair


def _parsed(key: bytes) -> Any:
    if len(key) != X_ONLY_BYTES:
        return None
    point = _new("secp256k1_xonly_pubkey *")
    return point if lib.secp256k1_xonly_pubkey_parse(_CONTEXT, point, key) else None


def _serialized(x_only: Any) -> bytes:
    out = _new(_OUT_32)
    _must(lib.secp256k1_xonly_pubkey_serialize(_CONTEXT, out, x_only))
    return bytes(_buffer(out))


def _check_secret(secret: bytes) -> None:
    _check_size("secret key", secret, SECRET_BYTES)
    if not lib.secp256k1_ec_seckey_verify(_CONTEXT, secret):
        raise KeyRefusedError("secret key: zero, or not below the curve's order")


def _check_size(what: str, found: bytes, expected: int) -> None:
    # The library reads a fixed number of bytes, whatever is there.
    if len(found) != expected:
        raise KeyRefusedError(f"{what}: {len(found)} bytes; expected {expected}")
