"""Turns the fields of a message's struct into its reader and its writer.

Neighbours of fixed size are packed and unpacked in one go, which is what makes shares cheap.
"""

import struct
from collections.abc import Callable
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

import msgspec

from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v2.datatypes import Blob, Fixed, codec_of, length_error, wire_type


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message of any protocol: its fields, in the order of the wire, each annotated with its data type."""


Kind = TypeVar("Kind", bound=Message)


class Layout(Generic[Kind]):
    """Reads and writes the payloads of one kind of message."""

    __slots__ = ("_kind", "_read", "_write")

    def __init__(self, kind: type[Kind]) -> None:
        parts = _parts(kind)
        self._kind = kind
        self._read = _reader(kind, parts)
        self._write = _write_run(parts[0].form) if _is_plain(parts) else _write_parts(parts)

    def read(self, payload: bytes) -> tuple[Kind, int]:
        """The message, and where its last field ends. Raises WireError where the payload ends before that."""
        try:
            return self._read(payload)
        except WireError as error:
            raise type(error)(f"{self._kind.__name__}: {error}") from error
        except (struct.error, IndexError) as error:
            raise WireError(f"{self._kind.__name__}: {len(payload)} bytes end too soon ({error})") from error

    def write(self, message: Kind) -> bytes:
        """The payload. Raises WireError for a value that its field cannot carry, TooLongError where it is too long."""
        try:
            return self._write(message)
        except WireError as error:
            raise type(error)(f"{self._kind.__name__}: {error}") from error
        except (struct.error, OverflowError, TypeError, ValueError, AttributeError) as error:
            raise WireError(f"{self._kind.__name__}: {error}; the message is {message!r:.200}") from error


class _Part(NamedTuple):
    """Some fields in a row, all of fixed size or only one; ``is_plain`` where ``form`` alone reads and writes them.

    ``short_bytes_max`` is for bytes whose length is one byte, the most that there may be; else 0.
    """

    fields: slice
    read: Callable[[bytes, int], tuple[Any, int]]
    write: Callable[..., bytes]
    form: struct.Struct | None = None
    is_plain: bool = False
    short_bytes_max: int = 0


def _parts(kind: type[Message]) -> list[_Part]:
    hints = get_type_hints(kind, include_extras=True)
    annotations = [hints[name] for name in kind.__struct_fields__]
    parts: list[_Part] = []
    at = 0
    for is_fixed, neighbours in groupby(annotations, lambda each: isinstance(wire_type(each), Fixed)):
        group = list(neighbours)
        if is_fixed:
            parts.append(_run([wire_type(each) for each in group], slice(at, at + len(group))))
        else:
            parts += [_single(each, slice(place, place + 1)) for place, each in enumerate(group, at)]
        at += len(group)
    return parts


def _single(annotation: Any, fields: slice) -> _Part:
    codec = codec_of(annotation)

    def read(data: bytes, at: int) -> tuple[tuple[Any], int]:
        value, at = codec.read(data, at)
        return (value,), at

    kind = wire_type(annotation)
    short_bytes_max = kind.bytes_max if isinstance(kind, Blob) and kind.prefix == 1 and not kind.is_text else 0
    return _Part(fields, read, codec.write, short_bytes_max=short_bytes_max)


def _run(kinds: list[Any], fields: slice) -> _Part:
    form = struct.Struct("<" + "".join(each.code for each in kinds))
    after = [(place, each.from_wire) for place, each in enumerate(kinds) if each.from_wire]
    before = [(place, each.to_wire) for place, each in enumerate(kinds) if each.to_wire]

    def read(data: bytes, at: int) -> tuple[Any, int]:
        if not after:
            return form.unpack_from(data, at), at + form.size
        values = list(form.unpack_from(data, at))
        for place, convert in after:
            values[place] = convert(values[place])
        return values, at + form.size

    def write(*values: Any) -> bytes:
        converted = list(values)
        for place, convert in before:
            converted[place] = convert(values[place])
        return form.pack(*converted)

    return _Part(fields, read, write if before else form.pack, form, is_plain=not after and not before)


def _is_plain(parts: list[_Part]) -> bool:
    return len(parts) == 1 and parts[0].is_plain


def _reader(kind: type[Kind], parts: list[_Part]) -> Callable[[bytes], tuple[Kind, int]]:
    if _is_plain(parts):
        return _read_run(kind, parts[0].form)
    if len(parts) == 2 and parts[0].is_plain and parts[1].short_bytes_max:  # an extended share is one
        return _read_run_and_short(kind, parts[0].form, parts[1].short_bytes_max)
    return _read_parts(kind, parts)


def _read_run_and_short(
    kind: type[Kind], form: struct.Struct | None, bytes_max: int
) -> Callable[[bytes], tuple[Kind, int]]:
    assert form is not None
    with_length, start = struct.Struct(form.format + "B"), form.size + 1
    unpack = with_length.unpack_from

    def read(payload: bytes) -> tuple[Kind, int]:
        *values, length = unpack(payload)
        end = start + length
        if length > bytes_max or end > len(payload):
            raise length_error(length, bytes_max, len(payload) - start)
        return kind(*values, payload[start:end]), end

    return read


def _read_run(kind: type[Kind], form: struct.Struct | None) -> Callable[[bytes], tuple[Kind, int]]:
    assert form is not None
    unpack, size = form.unpack_from, form.size
    return lambda payload: (kind(*unpack(payload)), size)


def _write_run(form: struct.Struct | None) -> Callable[[Message], bytes]:
    assert form is not None
    pack, values_of = form.pack, msgspec.structs.astuple
    return lambda message: pack(*values_of(message))


def _read_parts(kind: type[Kind], parts: list[_Part]) -> Callable[[bytes], tuple[Kind, int]]:
    readers = [part.read for part in parts]

    def read(payload: bytes) -> tuple[Kind, int]:
        values: list[Any] = []
        at = 0
        for part in readers:
            found, at = part(payload, at)
            values += found
        return kind(*values), at

    return read


def _write_parts(parts: list[_Part]) -> Callable[[Message], bytes]:
    writers = [(part.write, part.fields) for part in parts]
    values_of = msgspec.structs.astuple

    def write(message: Message) -> bytes:
        values = values_of(message)
        return b"".join([part(*values[fields]) for part, fields in writers])

    return write
