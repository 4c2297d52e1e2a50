"""Cuts a stream into lines, and reads a line as a request or a reply."""

from typing import Any

import msgspec

from mbongi.wire.errors import TooLongError, WireError

LINE_BYTES_MAX = 16_384
"""A client's line is some hundred bytes; a pool's ``mining.notify`` with a full coinbase some thousand."""
ID_BYTES_MAX = 64
_NULL = msgspec.Raw(b"null")


class LineBuffer:
    """Takes a connection's bytes, gives whole lines without their line ends; empty lines are left out."""

    __slots__ = ("_bytes_max", "_rest")

    def __init__(self, *, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """The beginning of a line whose end has not come."""
        return self._rest

    def is_whole(self, data: bytes) -> bool:
        """Whether these bytes follow a line's end and end with one: a line, if not several, and not too long."""
        return not self._rest and data.endswith(b"\n") and len(data) <= self._bytes_max

    def feed(self, data: bytes) -> list[bytes]:
        """Raises TooLongError for a line above the limit, its line feed not counted.

        The connection cannot be used after that, and lines that came whole in the same bytes are lost with it.
        """
        if not self._rest and data.endswith(b"\n") and data.find(b"\n") == len(data) - 1:
            if len(data) > self._bytes_max + 1:
                raise TooLongError(f"stratum: a line of {len(data) - 1} bytes; at most {self._bytes_max}")
            line = data.strip()
            return [line] if line else []
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = b""
        longest = max(map(len, (rest, *lines)))
        if longest > self._bytes_max:
            raise TooLongError(f"stratum: a line of {longest} bytes; at most {self._bytes_max}")
        self._rest = rest
        return [stripped for line in lines if (stripped := line.strip())]


class Line(msgspec.Struct, gc=False):
    """A line as it came. ``id`` is raw, because an answer must carry just the same bytes: a number, a text or null."""

    id: msgspec.Raw = _NULL
    method: str | None = None
    params: Any = None
    result: Any = None
    error: Any = None
    reject_reason: Any = msgspec.field(default=None, name="reject-reason")
    """ckpool says here, and not in ``error``, why it refuses a share."""

    @property
    def arguments(self) -> list[Any]:
        """The parameters; empty where a firmware sends none, null, or an object."""
        return self.params if isinstance(self.params, list) else []

    @property
    def is_notice(self) -> bool:
        """Whether it has no id, and so wants no answer."""
        return bytes(self.id) == b"null"


_decode = msgspec.json.Decoder(Line).decode


def decode_line(data: bytes) -> Line:
    """Read a line. Raises WireError where it is no JSON object, or its id is longer than any counter."""
    try:
        line = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"stratum: {error}; the line begins {data[:40]!r}") from error
    check_id(bytes(line.id))
    return line


def check_id(raw: bytes) -> None:
    """Raises WireError for an id that no answer could carry: too long, a list or an object, or no UTF-8."""
    if len(raw) > ID_BYTES_MAX or raw[:1] in {b"{", b"["}:
        raise WireError(f"stratum: an id of {len(raw)} bytes; expected a number or a short text")
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise WireError(f"stratum: the id {raw!r} is no UTF-8") from error
