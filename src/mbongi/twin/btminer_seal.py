"""The machine's side of btminer V2's encrypted writes: md5-crypt signs, AES-256-ECB hides.

Written apart from the client's codec on purpose, so that one misreading cannot pass on both sides.
Source: MicroBT's public "WhatsminerAPI" document for V2; md5-crypt after Poul-Henning Kamp's description (FreeBSD 2).
"""

import base64
import binascii
import hashlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 1000
_BLOCK = 16
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


class SealError(ValueError):
    """Something encrypted that cannot be opened."""


def md5_crypt(word: str, salt: str) -> str:
    """The 22 characters that ``$1$salt$`` puts behind the salt; at most eight characters of salt count."""
    secret, grain = word.encode(), salt.encode()[:8]
    inner = _md5(secret + grain + secret)
    mixed = secret + b"$1$" + grain + (inner * (len(secret) // _BLOCK + 1))[: len(secret)]
    length = len(secret)
    while length:
        mixed += b"\0" if length & 1 else secret[:1]
        length >>= 1
    final = _md5(mixed)
    for turn in range(_ROUNDS):
        parts = [secret if turn & 1 else final]
        parts += [grain] if turn % 3 else []
        parts += [secret] if turn % 7 else []
        parts += [final if turn & 1 else secret]
        final = _md5(b"".join(parts))
    groups = [(final[a] << 16 | final[b] << 8 | final[c], 4) for a, b, c in _ORDER]
    return "".join(_base64(value, digits) for value, digits in [*groups, (final[11], 2)])


class Seal:
    """One token: what the client must sign with, and the key that hides its writes."""

    def __init__(self, *, password: str, salt: str, newsalt: str, time: str) -> None:
        secret = md5_crypt(password, salt)
        self.sign = md5_crypt(secret + time, newsalt)
        self._cipher = Cipher(algorithms.AES(hashlib.sha256(secret.encode()).digest()), modes.ECB())  # noqa: S305

    def open(self, text: str) -> bytes:
        """The plain text of a client's ``data``, padding removed. Raises SealError where it is not ours to open."""
        try:
            hidden = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise SealError("data is not base64") from error
        if not hidden or len(hidden) % _BLOCK:
            raise SealError(f"data is {len(hidden)} bytes; expected a multiple of {_BLOCK}")
        decryptor = self._cipher.decryptor()
        return (decryptor.update(hidden) + decryptor.finalize()).rstrip(b"\0")

    def close(self, plain: bytes) -> str:
        """The base64 text that hides a reply."""
        padded = plain + b"\0" * (-len(plain) % _BLOCK)
        encryptor = self._cipher.encryptor()
        return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode("ascii")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _base64(value: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        text, value = text + _ALPHABET[value & 63], value >> 6
    return text
