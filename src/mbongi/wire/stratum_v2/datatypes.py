"""The data types of fields, named as in the specification, and how one value of each is read and written.

An annotation such as ``channel_id: U32`` is both the Python type and the wire type, which ``layout`` takes from there.
U256 is 32 bytes as they stand on the wire; TARGET is a U256 taken as a number. Source: section 3.1.
"""

import struct
from collections.abc import Callable
from itertools import chain
from operator import getitem
from typing import Annotated, Any, NamedTuple, TypeVar, get_args

import msgspec

from mbongi.wire.errors import TooLongError, WireError

Element = TypeVar("Element")


class Fixed(msgspec.Struct, frozen=True):
    """A type of fixed size: a letter of the struct module, and what its value still has to go through, if anything."""

    code: str
    from_wire: Callable[[Any], Any] | None = None
    to_wire: Callable[[Any], Any] | None = None


class Blob(msgspec.Struct, frozen=True):
    """A length of ``prefix`` bytes [1..3] and that many bytes, at most ``bytes_max``."""

    prefix: int
    bytes_max: int
    is_text: bool = False


class Series(msgspec.Struct, frozen=True):
    """A count of ``prefix`` bytes [1..2] and that many elements; an option is a series of at most one."""

    prefix: int
    is_option: bool = False


class Codec(NamedTuple):
    """``read(data, at)`` gives the value and where it ends; ``write(value)`` the bytes.

    ``read`` may raise IndexError or struct.error where the data ends too soon: ``layout`` turns both into WireError.
    """

    read: Callable[[bytes, int], tuple[Any, int]]
    write: Callable[[Any], bytes]


def _lowest_bit(value: int) -> bool:
    return value & 1 == 1


def _number(blob: bytes) -> int:
    return int.from_bytes(blob, "little")


def _three_bytes(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _target_bytes(target: int) -> bytes:
    return target.to_bytes(32, "little")


def _hash_bytes(blob: bytes) -> bytes:
    # The struct module would cut or fill other lengths without a word.
    if len(blob) != 32:
        raise WireError(f"a U256 of {len(blob)} bytes; expected 32")
    return blob


BOOL = Annotated[bool, Fixed("B", _lowest_bit, bool)]
U8 = Annotated[int, Fixed("B")]
U16 = Annotated[int, Fixed("H")]
U24 = Annotated[int, Fixed("3s", _number, _three_bytes)]
U32 = Annotated[int, Fixed("I")]
U64 = Annotated[int, Fixed("Q")]
U256 = Annotated[bytes, Fixed("32s", None, _hash_bytes)]
TARGET = Annotated[int, Fixed("32s", _number, _target_bytes)]
F32 = Annotated[float, Fixed("f")]
STR0_255 = Annotated[str, Blob(1, 255, is_text=True)]
B0_32 = Annotated[bytes, Blob(1, 32)]
B0_255 = Annotated[bytes, Blob(1, 255)]
B0_64K = Annotated[bytes, Blob(2, 0xFFFF)]
B0_16M = Annotated[bytes, Blob(3, 0xFF_FFFF)]
OPTION = Annotated[Element | None, Series(1, is_option=True)]
SEQ0_255 = Annotated[tuple[Element, ...], Series(1)]
SEQ0_64K = Annotated[tuple[Element, ...], Series(2)]


def wire_type(annotation: Any) -> Fixed | Blob | Series:
    """The wire type in an annotation."""
    found = annotation.__metadata__[0]
    assert isinstance(found, Fixed | Blob | Series)
    return found


def codec_of(annotation: Any) -> Codec:
    """Reader and writer of one annotated value."""
    match wire_type(annotation):
        case Fixed() as fixed:
            return _fixed_codec(fixed)
        case Blob() as blob:
            return _text_codec(blob) if blob.is_text else _blob_codec(blob)
        case Series() as series:
            element = get_args(get_args(annotation)[0])[0]
            return _option_codec(element) if series.is_option else _series_codec(series, element)


_u16_at = struct.Struct("<H").unpack_from
_u24_at = struct.Struct("<HB").unpack_from


def _read_u16(data: bytes, at: int) -> int:
    return int(_u16_at(data, at)[0])


def _read_u24(data: bytes, at: int) -> int:
    low, high = _u24_at(data, at)
    return int(low | high << 16)


_PREFIX_READERS: dict[int, Callable[[bytes, int], int]] = {1: getitem, 2: _read_u16, 3: _read_u24}


def _fixed_codec(fixed: Fixed) -> Codec:
    form = struct.Struct("<" + fixed.code)
    from_wire, to_wire = fixed.from_wire, fixed.to_wire

    def read(data: bytes, at: int) -> tuple[Any, int]:
        (value,) = form.unpack_from(data, at)
        return (from_wire(value) if from_wire else value), at + form.size

    def write(value: Any) -> bytes:
        return form.pack(to_wire(value) if to_wire else value)

    return Codec(read, write)


def _blob_codec(blob: Blob) -> Codec:
    prefix, bytes_max, length_at = blob.prefix, blob.bytes_max, _PREFIX_READERS[blob.prefix]

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        length = length_at(data, at)
        at += prefix
        value = data[at : at + length]
        if length > bytes_max or len(value) != length:
            raise length_error(length, bytes_max, len(value))
        return value, at + length

    def write(value: bytes) -> bytes:
        if len(value) > bytes_max:
            raise TooLongError(f"a field of {len(value)} bytes; at most {bytes_max}")
        return len(value).to_bytes(prefix, "little") + value

    return Codec(read, write)


def length_error(length: int, bytes_max: int, left: int) -> WireError:
    """What is wrong with a field that announces so many bytes while so many are left."""
    if length > bytes_max:
        return TooLongError(f"a field of {length} bytes; at most {bytes_max}")
    return WireError(f"a field of {length} bytes, {left} left")


def _text_codec(blob: Blob) -> Codec:
    read_bytes, write_bytes = _blob_codec(blob)

    # The specification allows any bytes; those that are no UTF-8 become lone surrogates and are written back unchanged.
    def read(data: bytes, at: int) -> tuple[str, int]:
        value, at = read_bytes(data, at)
        return value.decode("utf-8", "surrogateescape"), at

    def write(value: str) -> bytes:
        return write_bytes(value.encode("utf-8", "surrogateescape"))

    return Codec(read, write)


def _option_codec(annotation: Any) -> Codec:
    read_one, write_one = codec_of(annotation)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        count = data[at]
        if count > 1:
            raise WireError(f"an option of {count} elements; at most 1")
        return read_one(data, at + 1) if count else (None, at + 1)

    def write(value: Any) -> bytes:
        return b"\0" if value is None else b"\1" + write_one(value)

    return Codec(read, write)


def _series_codec(series: Series, annotation: Any) -> Codec:
    kind = wire_type(annotation)
    read_many = _fixed_elements(kind) if isinstance(kind, Fixed) else _elements(codec_of(annotation))
    write_one = codec_of(annotation).write
    prefix, count_max, count_at = series.prefix, (1 << 8 * series.prefix) - 1, _PREFIX_READERS[series.prefix]

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        return read_many(data, at + prefix, count_at(data, at))

    def write(values: tuple[Any, ...]) -> bytes:
        if len(values) > count_max:
            raise TooLongError(f"a sequence of {len(values)} elements; at most {count_max}")
        return len(values).to_bytes(prefix, "little") + b"".join(map(write_one, values))

    return Codec(read, write)


_ReadMany = Callable[[bytes, int, int], tuple[tuple[Any, ...], int]]


def _fixed_elements(fixed: Fixed) -> _ReadMany:
    form, from_wire = struct.Struct("<" + fixed.code), fixed.from_wire

    def read(data: bytes, at: int, count: int) -> tuple[tuple[Any, ...], int]:
        end = at + count * form.size
        if end > len(data):
            raise WireError(f"{count} elements of {form.size} bytes, {len(data) - at} bytes left")
        values = chain.from_iterable(form.iter_unpack(data[at:end]))
        return tuple(map(from_wire, values) if from_wire else values), end

    return read


def _elements(codec: Codec) -> _ReadMany:
    read_one = codec.read

    def read(data: bytes, at: int, count: int) -> tuple[tuple[Any, ...], int]:
        values = []
        for _ in range(count):
            value, at = read_one(data, at)
            values.append(value)
        return tuple(values), at

    return read
