"""The JSON interface of cgminer and its relatives on TCP 4028: one request, one answer, then the device closes.

Answers may end in NUL and may be JSON of a kind that firmwares are known to get wrong; these mistakes are mended, and
only after plain decoding failed. Shapes: captured replies of real devices.
"""

import re
from typing import Any

import msgspec

from mbongi.wire.errors import WireError
from mbongi.wire.tolerant import Reply, TolerantDecoder

REPLY_BYTES_MAX = 1024 * 1024
_encode = msgspec.json.Encoder().encode
_ENDING = b"\0 \r\n\t"

_REPAIRS: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (re.compile(rb"[\x00-\x1f]+"), b" "),  # raw line breaks inside texts (btminer), NUL between parts
    (re.compile(rb"}\s*{"), b"},{"),  # no comma between rows (bmminer's stats)
    (re.compile(rb"\[\s*,"), b"["),  # a comma before the first row
    (re.compile(rb",\s*([}\]])"), rb"\1"),  # a comma after the last
    (re.compile(rb'"\s*"(?=[A-Za-z_ ]+\d*"\s*:)'), b'","'),  # no comma between fields
    (re.compile(rb":\s*-?(?:nan|inf)\b", re.IGNORECASE), b":null"),  # figures that C prints
    (re.compile(rb'"error_code"\s*:\s*\[("[^\]{}]*"\s*:[^\]]*)\]'), rb'"error_code":{\1}'),  # a list with keys
)


class Status(msgspec.Struct, gc=False):
    """How the device took the command: S success, W warning, I information, E error, F fatal."""

    STATUS: str = ""
    When: int | None = None
    Code: int | None = None
    Msg: Any = None
    Description: str = ""


def command(name: str, **fields: object) -> bytes:
    """A command's bytes; further fields stand beside it at the top level, as ``new_api`` does."""
    return _encode({"command": name, **fields})


def is_whole(data: bytes | bytearray) -> bool:
    """Whether an answer is known to be complete before the device closes: some end in NUL."""
    return data.endswith(b"\0")


def decode(data: bytes, decoder: TolerantDecoder[Reply]) -> Reply:
    """An answer into its struct. Raises WireError where it cannot be read, or where nothing came."""
    text = data.rstrip(_ENDING)
    if not text:
        raise WireError("rpc reply: the device closed without a word")
    try:
        return decoder(text)
    except WireError as error:
        if text[:1] not in b"{," or text[-1:] != b"}":
            raise
        try:
            return decoder(repaired(text))
        except WireError:
            raise error from None


def repaired(text: bytes) -> bytes:
    """The answer with the known mistakes of firmwares mended."""
    if text.startswith(b","):
        text = b"{" + text[1:]
    for pattern, replacement in _REPAIRS:
        text = pattern.sub(replacement, text)
    return text
