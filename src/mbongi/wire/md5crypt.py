"""md5-crypt, the ``$1$`` password scheme that btminer V2 signs with. No I/O.

Weak by today's measure; used because the devices demand it. Source: FreeBSD's crypt(3), as glibc and OpenSSL have it.
"""

import hashlib

_DIGITS = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 1000
_SALT_BYTES_MAX = 8


def md5_crypt(password: bytes, salt: bytes) -> str:
    """The 22 characters that follow ``$1$salt$``; of the salt eight bytes count."""
    salt = salt[:_SALT_BYTES_MAX]
    alternate = _digest(password + salt + password)
    start = password + b"$1$" + salt
    start += (alternate * (len(password) // 16 + 1))[: len(password)]
    bit = len(password)
    while bit:
        start += b"\0" if bit & 1 else password[:1]
        bit >>= 1
    state = _digest(start)
    for turn in range(_ROUNDS):
        text = password if turn % 2 else state
        text += salt if turn % 3 else b""
        text += password if turn % 7 else b""
        state = _digest(text + (state if turn % 2 else password))
    return _text(state)


def _digest(text: bytes) -> bytes:
    return hashlib.md5(text, usedforsecurity=False).digest()


def _text(state: bytes) -> str:
    """Three bytes to four characters, in the scheme's own order, lowest bits first."""
    found = bytearray()
    for first in range(5):
        third = 5 if first == 4 else first + 12
        found += _characters(state[first] << 16 | state[first + 6] << 8 | state[third], 4)
    return bytes(found + _characters(state[11], 2)).decode("ascii")


def _characters(value: int, count: int) -> bytes:
    return bytes(_DIGITS[value >> 6 * place & 63] for place in range(count))
