"""Tokens of the Job Declaration protocol: what one pool process gives out, all recognise by their common key. Pure.

A token says what it allows and until when, under a code that only the key's holders can make. That of a declared block
stands for that block alone.
"""

from collections.abc import Callable
from enum import IntEnum
from hmac import compare_digest
from hmac import digest as hmac_digest
from secrets import token_bytes
from typing import Final

CODE_BYTES: Final = 16
_NONCE_BYTES: Final = 8
_HEAD_BYTES: Final = 1 + 4 + _NONCE_BYTES
TOKEN_BYTES: Final = _HEAD_BYTES + CODE_BYTES


class Kind(IntEnum):
    """What a token allows. Its number stands in the token."""

    DECLARE = 1
    """To declare one block."""
    COINBASE_ONLY = 2
    """To mine blocks whose coinbase alone the pool gets to see."""
    DECLARED = 3
    """To mine the block that was declared."""


class Tokens:
    """Makes and recognises tokens."""

    def __init__(self, key: bytes, *, random: Callable[[int], bytes] = token_bytes) -> None:
        self._key, self._random = key, random

    def make(self, kind: Kind, *, until_s: float, digest: bytes = b"") -> bytes:
        """A token; ``digest`` is the declared block's."""
        head = bytes([kind]) + int(until_s).to_bytes(4, "little") + self._random(_NONCE_BYTES)
        return head + self._code(head, digest)

    def kind(self, token: bytes, *, now_s: float, digest: bytes = b"") -> Kind | None:
        """What a token allows now; None for one that is not ours, is over, or stands for another block."""
        head, code = token[:_HEAD_BYTES], token[_HEAD_BYTES:]
        if len(token) != TOKEN_BYTES or now_s > int.from_bytes(head[1:5], "little"):
            return None
        bound = digest if head[0] == Kind.DECLARED else b""
        return Kind(head[0]) if compare_digest(code, self._code(head, bound)) else None

    def _code(self, head: bytes, digest: bytes) -> bytes:
        return hmac_digest(self._key, head + digest, "sha256")[:CODE_BYTES]
