"""Errors of the security layer; each ends its connection."""

from mbongi.wire.errors import WireError


class KeyRefusedError(WireError):
    """Bytes that are no secret key or no public key of secp256k1."""


class HandshakeError(WireError):
    """An act of the handshake that cannot be the peer's, or comes out of turn."""


class CertificateError(HandshakeError):
    """A server that its authority does not vouch for, or not now."""


class SealError(WireError):
    """A ciphertext whose tag does not fit, or a use of a session that has ended."""
