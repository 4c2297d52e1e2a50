"""The handshake: 64 bytes from the initiator, 234 from the responder, after which both hold the same two keys.

Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256; the responder's certificate travels in its last bytes.
Source: sections 4.4.2 and 4.5 (whose "170 bytes" for the second act is older than its ElligatorSwift keys).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Final

from mbongi.wire.noise.certificate import CERTIFICATE_BYTES, Certificate, check_certificate
from mbongi.wire.noise.errors import HandshakeError, SealError
from mbongi.wire.noise.secp import ELLSWIFT_BYTES, EllSwiftKey, x_only_of_ellswift
from mbongi.wire.noise.transport import TAG_BYTES, CipherState

PROTOCOL_NAME: Final = b"Noise_NX_Secp256k1+EllSwift_ChaChaPoly_SHA256"
ACT_1_BYTES: Final = ELLSWIFT_BYTES
ACT_2_BYTES: Final = ELLSWIFT_BYTES + (ELLSWIFT_BYTES + TAG_BYTES) + (CERTIFICATE_BYTES + TAG_BYTES)
_STATIC_END: Final = ELLSWIFT_BYTES + ELLSWIFT_BYTES + TAG_BYTES
_CHAINING_KEY: Final = sha256(PROTOCOL_NAME).digest()
_HASH: Final = sha256(_CHAINING_KEY).digest()


@dataclass(frozen=True, slots=True)
class Session:
    """What a finished handshake leaves: a cipher for each direction."""

    sending: CipherState = field(repr=False)
    receiving: CipherState = field(repr=False)


class Responder:
    """The server's side: one for all connections, since its static key and certificate are the same for each."""

    __slots__ = ("_certificate", "_key", "_new_key")

    def __init__(
        self, key: EllSwiftKey, certificate: Certificate, *, new_key: Callable[[], EllSwiftKey] = EllSwiftKey.generate
    ) -> None:
        """``new_key`` makes the ephemeral key of each handshake; no two may be alike."""
        self._key = key
        self._certificate = certificate.pack()
        self._new_key = new_key

    def answer(self, act_1: bytes) -> tuple[bytes, Session]:
        """The second act and the session, from the first act. Raises HandshakeError for one of another length.

        Any 64 bytes are a valid key: whether the peer holds its secret shows with its first frame.
        """
        if len(act_1) != ACT_1_BYTES:
            raise HandshakeError(f"noise: a first act of {len(act_1)} bytes; expected {ACT_1_BYTES}")
        symmetric, ephemeral = _Symmetric(), self._new_key()
        symmetric.mix_hash(act_1)
        symmetric.mix_hash(b"")
        symmetric.mix_hash(ephemeral.public)
        symmetric.mix_key(ephemeral.shared_secret(act_1, initiator=False))
        static = symmetric.encrypt_and_hash(self._key.public)
        symmetric.mix_key(self._key.shared_secret(act_1, initiator=False))
        certificate = symmetric.encrypt_and_hash(self._certificate)
        to_responder, to_initiator = symmetric.split()
        return ephemeral.public + static + certificate, Session(sending=to_initiator, receiving=to_responder)


class Initiator:
    """The client's side of one connection.

    ``authority_key`` is the x-only key that vouches for the server; None trusts whoever answers, which the
    specification allows on a local network only.
    """

    __slots__ = ("_authority_key", "_key", "_symmetric")

    def __init__(
        self, authority_key: bytes | None, *, new_key: Callable[[], EllSwiftKey] = EllSwiftKey.generate
    ) -> None:
        """``new_key`` makes the ephemeral key; no two connections may share one."""
        self._authority_key = authority_key
        self._key = new_key()
        self._symmetric: _Symmetric | None = _Symmetric()
        self._symmetric.mix_hash(self._key.public)
        self._symmetric.mix_hash(b"")

    def act_1(self) -> bytes:
        """What opens the connection: 64 bytes."""
        return self._key.public

    def finish(self, act_2: bytes, *, now_s: int, tolerance_s: int) -> Session:
        """The session, from the server's answer; once only.

        ``now_s`` is Unix time, ``tolerance_s`` by how much the two clocks may differ.
        Raises HandshakeError for an answer that is not one to this first act, CertificateError for a server that the
        authority does not vouch for now.
        """
        symmetric, self._symmetric = self._symmetric, None
        if symmetric is None:
            raise HandshakeError("noise: this handshake is over; connect anew")
        if len(act_2) != ACT_2_BYTES:
            raise HandshakeError(f"noise: a second act of {len(act_2)} bytes; expected {ACT_2_BYTES}")
        theirs = act_2[:ELLSWIFT_BYTES]
        try:
            symmetric.mix_hash(theirs)
            symmetric.mix_key(self._key.shared_secret(theirs, initiator=True))
            static = symmetric.decrypt_and_hash(act_2[ELLSWIFT_BYTES:_STATIC_END])
            symmetric.mix_key(self._key.shared_secret(static, initiator=True))
            certificate = Certificate.unpack(symmetric.decrypt_and_hash(act_2[_STATIC_END:]))
        except SealError as error:
            raise HandshakeError("noise: the second act was changed, or answers another first act") from error
        if self._authority_key is not None:
            check_certificate(
                certificate,
                server_key=x_only_of_ellswift(static),
                authority_key=self._authority_key,
                now_s=now_s,
                tolerance_s=tolerance_s,
            )
        to_responder, to_initiator = symmetric.split()
        return Session(sending=to_responder, receiving=to_initiator)


def hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Two keys of 32 bytes from a chaining key and what is mixed in. Source: RFC 5869 with an empty ``info``."""
    temporary = hmac_digest(chaining_key, material, "sha256")
    first = hmac_digest(temporary, b"\x01", "sha256")
    return first, hmac_digest(temporary, first + b"\x02", "sha256")


class _Symmetric:
    """Noise's SymmetricState: the chaining key, the hash of all that was said, and the cipher of the moment."""

    __slots__ = ("_chaining_key", "_cipher", "_hash")

    def __init__(self) -> None:
        self._chaining_key = _CHAINING_KEY
        self._hash = _HASH
        self._cipher: CipherState

    def mix_hash(self, said: bytes) -> None:
        self._hash = sha256(self._hash + said).digest()

    def mix_key(self, material: bytes) -> None:
        self._chaining_key, key = hkdf(self._chaining_key, material)
        self._cipher = CipherState(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """With a cipher, so after ``mix_key``; before it the specification's is ``mix_hash`` alone."""
        ciphertext = self._cipher.encrypt(plaintext, self._hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        plaintext = self._cipher.decrypt(ciphertext, self._hash)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """The ciphers of initiator to responder, and of responder to initiator."""
        first, second = hkdf(self._chaining_key, b"")
        return CipherState(first), CipherState(second)
