"""The kinds of field that both sides read: hex, words of four bytes, numbers and texts.

Lower and upper case, ``0x`` before the digits and left-out leading zeros are all found in the field.
"""

import binascii
import math
from collections.abc import Sequence
from typing import Any

from mbongi.wire.errors import WireError

TEXT_MAX = 512
"""Longest user name or agent that is read; a longer one is cut."""
HEX_CHARACTERS_MAX = 128
"""Of any field but a coinbase; the longest that the protocol has is a target of 64."""


def text_of(arguments: Sequence[Any], place: int) -> str:
    """A text without characters that a database refuses; empty where there is none."""
    value = arguments[place] if len(arguments) > place else ""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value[:TEXT_MAX] if character.isprintable())


def blob(value: Any, what: str, *, characters_max: int = HEX_CHARACTERS_MAX) -> bytes:
    """Bytes from hex. Raises WireError naming ``what`` for anything else, and for more than ``characters_max``."""
    digits = _digits(value, what, characters_max)
    try:
        return binascii.unhexlify(digits)
    except ValueError as error:
        raise WireError(f"stratum: {what} {value!r:.80}; expected pairs of hex digits") from error


def word(value: Any, what: str) -> int:
    """Eight hex digits as a number, highest first; fewer digits, but at least one, stand for leading zeros.

    Raises WireError naming ``what``.
    """
    digits = _digits(value, what, HEX_CHARACTERS_MAX)
    if not 1 <= len(digits) <= 8:
        raise WireError(f"stratum: {what} of {len(digits)} hex digits; expected 1 to 8")
    try:
        return int.from_bytes(binascii.unhexlify(digits.rjust(8, "0")))
    except ValueError as error:
        raise WireError(f"stratum: {what} {value!r:.80}; expected 8 hex digits") from error


def word_or_number(value: Any, what: str) -> int:
    """A word, or the same as a JSON number. Raises WireError naming ``what``. Source: SRI's reader takes both."""
    if type(value) is not int:
        return word(value, what)
    if not 0 <= value <= 0xFFFF_FFFF:
        raise WireError(f"stratum: {what} {value}; expected 0 to 4294967295")
    return value


def _digits(value: Any, what: str, characters_max: int) -> str:
    """The text behind a ``0x``, if there is one."""
    if not isinstance(value, str):
        raise WireError(f"stratum: {what} {value!r:.80}; expected a text of hex digits")
    if len(value) > characters_max:
        raise WireError(f"stratum: {what} of {len(value)} characters; at most {characters_max}")
    return value[2:] if value[:2] in {"0x", "0X"} else value


def positive(value: Any) -> float | None:
    """A finite number above 0, from a number or a text; None for anything else."""
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 and not isinstance(value, bool) else None
