"""md5-crypt, the ``$1$`` password scheme that btminer V2 signs with. No I/O.

Weak by today's measure; used because the devices demand it. Source: FreeBSD's crypt(3), as glibc and OpenSSL have it.
"""

try:
    # CPython's own: a third of OpenSSL's cost for texts of a few bytes.
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:
    from hashlib import md5

_DIGITS = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ROUNDS = 1000
_PERIOD = 2 * 3 * 7
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
    for even, odd in _turns(password, salt):
        state = _digest(odd + _digest(state + even))
    return _text(state)


def _turns(password: bytes, salt: bytes) -> list[tuple[bytes, bytes]]:
    """What is hashed behind the state in even rounds, and before it in odd ones, two rounds at a time.

    Salt and password take part by the round's number modulo 3 and 7, so all repeats after 42 rounds.
    """
    parts = [(salt if turn % 3 else b"") + (password if turn % 7 else b"") for turn in range(_PERIOD)]
    pairs = [(even + password, password + odd) for even, odd in zip(parts[::2], parts[1::2], strict=True)]
    return (pairs * (_ROUNDS // _PERIOD + 1))[: _ROUNDS // 2]


def _digest(text: bytes) -> bytes:
    found: bytes = md5(text, usedforsecurity=False).digest()
    return found


def _text(state: bytes) -> str:
    """Three bytes to four characters, in the scheme's own order, lowest bits first."""
    found = bytearray()
    for first in range(5):
        third = 5 if first == 4 else first + 12
        found += _characters(state[first] << 16 | state[first + 6] << 8 | state[third], 4)
    return bytes(found + _characters(state[11], 2)).decode("ascii")


def _characters(value: int, count: int) -> bytes:
    return bytes(_DIGITS[value >> 6 * place & 63] for place in range(count))
