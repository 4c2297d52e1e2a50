"""Who a server is: an authority's signature over its key and the time it is valid, and the authority's key as text.

Source: sections 4.5.2 (SIGNATURE_NOISE_MESSAGE), 4.5.3 and 4.7.
"""

import re
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from mbongi.wire.bitcoin.address import base58check_decode, base58check_encode
from mbongi.wire.errors import WireError
from mbongi.wire.noise.errors import CertificateError, KeyRefusedError
from mbongi.wire.noise.secp import SIGNATURE_BYTES, X_ONLY_BYTES, is_signed, is_x_only, sign

VERSION: Final = 0
"""The only version of the certificate format so far."""
_TERMS: Final = struct.Struct("<HII")
CERTIFICATE_BYTES: Final = _TERMS.size + SIGNATURE_BYTES
TIME_S_MAX: Final = 2**32 - 1
_KEY_PREFIX: Final = (1).to_bytes(2, "little")
_URL: Final = re.compile(
    r"stratum2\+tcp://(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})(?:/(?P<key>[^/]*))?/?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """SIGNATURE_NOISE_MESSAGE: all of a certificate but the two keys, which the reader has from elsewhere.

    Times are Unix seconds, 0 to TIME_S_MAX, both included in what is valid.
    """

    valid_from_s: int
    not_valid_after_s: int
    signature: bytes
    version: int = VERSION

    def pack(self) -> bytes:
        """As the handshake carries it: 74 bytes."""
        return _TERMS.pack(self.version, self.valid_from_s, self.not_valid_after_s) + self.signature

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read it; nothing is checked yet. Raises CertificateError for another length."""
        if len(data) != CERTIFICATE_BYTES:
            raise CertificateError(f"noise: a certificate of {len(data)} bytes; expected {CERTIFICATE_BYTES}")
        version, valid_from_s, not_valid_after_s = _TERMS.unpack_from(data)
        return cls(valid_from_s, not_valid_after_s, data[_TERMS.size :], version)


def sign_certificate(
    authority_secret: bytes, *, server_key: bytes, valid_from_s: int, not_valid_after_s: int
) -> Certificate:
    """An authority's word that a server's x-only key is its own.

    Raises CertificateError for times that are out of range or in the wrong order, KeyRefusedError for a secret that
    is none.
    """
    if not 0 <= valid_from_s <= not_valid_after_s <= TIME_S_MAX:
        raise CertificateError(
            f"noise: certificate from {valid_from_s} to {not_valid_after_s}: expected 0 <= from <= to <= {TIME_S_MAX}"
        )
    message = _message(VERSION, valid_from_s, not_valid_after_s, server_key)
    return Certificate(valid_from_s, not_valid_after_s, sign(authority_secret, message))


def check_certificate(
    certificate: Certificate, *, server_key: bytes, authority_key: bytes, now_s: int, tolerance_s: int
) -> None:
    """Raises CertificateError, saying why, unless the authority vouches for the server's x-only key now.

    ``now_s`` is Unix time, ``tolerance_s`` by how much the clocks of both sides may differ.
    """
    if certificate.version != VERSION:
        raise CertificateError(f"noise: a certificate of version {certificate.version}; expected {VERSION}")
    message = _message(certificate.version, certificate.valid_from_s, certificate.not_valid_after_s, server_key)
    if not is_signed(authority_key, message, certificate.signature):
        raise CertificateError(f"noise: the authority {authority_key.hex()} did not sign the server's key")
    if now_s < certificate.valid_from_s - tolerance_s:
        raise CertificateError(
            f"noise: the certificate is valid from {certificate.valid_from_s} only; now is {now_s} here"
        )
    if now_s > certificate.not_valid_after_s + tolerance_s:
        raise CertificateError(
            f"noise: the certificate was valid to {certificate.not_valid_after_s}; now is {now_s} here"
        )


def authority_text(key: bytes) -> str:
    """An authority's x-only key as people pass it on. Raises KeyRefusedError for what is no key."""
    if not is_x_only(key):
        raise KeyRefusedError(f"authority key {key.hex()}: no x coordinate of a point of secp256k1")
    return base58check_encode(_KEY_PREFIX + key)


def read_authority(text: str) -> bytes:
    """An authority's x-only key from its text. Raises WireError, saying why, where it is none."""
    payload = base58check_decode(text)
    if len(payload) != len(_KEY_PREFIX) + X_ONLY_BYTES or not payload.startswith(_KEY_PREFIX):
        raise KeyRefusedError(f"authority key {text!r}: not 32 bytes after the prefix {_KEY_PREFIX.hex()}")
    key = payload[len(_KEY_PREFIX) :]
    if not is_x_only(key):
        raise KeyRefusedError(f"authority key {text!r}: no x coordinate of a point of secp256k1")
    return key


@dataclass(frozen=True, slots=True)
class PoolAddress:
    """Where a pool listens; ``authority_key`` (x-only) is None where its URL names none."""

    host: str
    port: int
    authority_key: bytes | None = None

    def url(self) -> str:
        """``stratum2+tcp://host:port/KEY``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        key = "" if self.authority_key is None else "/" + authority_text(self.authority_key)
        return f"stratum2+tcp://{host}:{self.port}{key}"


def read_pool_url(text: str) -> PoolAddress:
    """A pool's address from its URL; the port has no default. Raises WireError, saying why, where it is none."""
    found = _URL.fullmatch(text)
    if found is None:
        raise WireError(f"pool URL {text[:200]!r}: expected stratum2+tcp://host:port/KEY")
    port = int(found["port"])
    if not 0 < port < 65536:
        raise WireError(f"pool URL {text!r}: port {port}; expected 1..65535")
    return PoolAddress(found["host"].strip("[]"), port, read_authority(found["key"]) if found["key"] else None)


def _message(version: int, valid_from_s: int, not_valid_after_s: int, server_key: bytes) -> bytes:
    return sha256(_TERMS.pack(version, valid_from_s, not_valid_after_s) + server_key).digest()
