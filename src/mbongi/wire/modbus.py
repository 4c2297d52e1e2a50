"""Modbus TCP: reading and writing registers. Frames in and out as bytes; both ends.

A frame is the MBAP header (transaction, protocol 0, length of what follows, unit) and a PDU (function, data), all
big-endian. Source: MODBUS Application Protocol Specification V1.1b3; MODBUS Messaging on TCP/IP Implementation Guide.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from mbongi.wire.errors import WireError

READ_HOLDING = 3
READ_INPUT = 4
REGISTERS_MAX = 125
"""Registers of one question, at most."""
ADDRESSES = 1 << 16
HEADER_BYTES = 7
FRAME_BYTES_MAX = 260
_HEADER = struct.Struct(">HHHB")
_READ = struct.Struct(">BHH")
_FAILED = 0x80


class ModbusError(WireError):
    """A frame that the standard does not allow."""


class Failure(IntEnum):
    """Why a device refuses: the exception codes that a reader meets."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    BUSY = 6
    GATEWAY_PATH = 10
    GATEWAY_TARGET = 11


class Frame(NamedTuple):
    """One frame without its header's fixed parts."""

    transaction: int
    unit: int
    pdu: bytes


class Reading(NamedTuple):
    """A question for so many ``registers`` from ``address`` on (0 is register 1 of the manuals)."""

    function: int
    address: int
    registers: int


class Refused(NamedTuple):
    """A device's exception answer; ``code`` is a ``Failure``, or another number."""

    function: int
    code: int


def frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A frame as it goes over the wire."""
    return _HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def frame_bytes(header: bytes) -> int:
    """How long the frame is whose first HEADER_BYTES these are. Raises ModbusError for what is no header."""
    _transaction, protocol, length, _unit = _HEADER.unpack(header)
    if protocol != 0 or not 2 <= length <= FRAME_BYTES_MAX - HEADER_BYTES + 1:
        raise ModbusError(f"modbus header {header.hex()}: expected protocol 0 and a length of 2..254")
    return HEADER_BYTES - 1 + int(length)


def read_frame(data: bytes) -> Frame:
    """A whole frame. Raises ModbusError."""
    if len(data) < HEADER_BYTES + 1 or len(data) != frame_bytes(data[:HEADER_BYTES]):
        raise ModbusError(f"modbus frame of {len(data)} bytes: expected as many as its header says")
    transaction, _protocol, _length, unit = _HEADER.unpack_from(data)
    return Frame(transaction, unit, data[HEADER_BYTES:])


def ask(address: int, count: int, *, function: int = READ_HOLDING) -> bytes:
    """The PDU of a question."""
    return _READ.pack(function, address, count)


def read_question(pdu: bytes) -> Reading | Refused:
    """What a client asks, or the refusal that it gets."""
    function = pdu[0]
    if function not in {READ_HOLDING, READ_INPUT}:
        return Refused(function, Failure.ILLEGAL_FUNCTION)
    if len(pdu) != _READ.size:
        return Refused(function, Failure.ILLEGAL_VALUE)
    _function, address, count = _READ.unpack(pdu)
    if not 1 <= count <= REGISTERS_MAX:
        return Refused(function, Failure.ILLEGAL_VALUE)
    if address + count > ADDRESSES:
        return Refused(function, Failure.ILLEGAL_ADDRESS)
    return Reading(function, address, count)


def answer(function: int, words: "tuple[int, ...] | list[int]") -> bytes:
    """The PDU that gives registers."""
    return struct.pack(f">BB{len(words)}H", function, 2 * len(words), *words)


def refusal(refused: Refused) -> bytes:
    """The PDU that refuses."""
    return bytes((refused.function | _FAILED, refused.code))


def answer_data(pdu: bytes, *, function: int, count: int) -> bytes | Refused:
    """The bytes of the registers that were asked for, two each, or the device's refusal. Raises ModbusError."""
    if len(pdu) == 2 and pdu[0] == function | _FAILED:
        return Refused(function, pdu[1])
    if len(pdu) != 2 + 2 * count or pdu[0] != function or pdu[1] != 2 * count:
        raise ModbusError(
            f"modbus answer {pdu[:8].hex()} of {len(pdu)} bytes: expected {count} registers by {function}"
        )
    return pdu[2:]


def read_answer(pdu: bytes, *, function: int, count: int) -> tuple[int, ...] | Refused:
    """The registers that were asked for, or the device's refusal. Raises ModbusError for any other answer."""
    data = answer_data(pdu, function=function, count=count)
    return data if isinstance(data, Refused) else struct.unpack(f">{count}H", data)


# Writing.

WRITE_SINGLE = 6
WRITE_MULTIPLE = 16
WRITES_MAX = 123
"""Registers of one write, at most."""


class Writing(NamedTuple):
    """A client's wish: so many ``words`` from ``address`` on."""

    function: int
    address: int
    words: tuple[int, ...]


def write(address: int, words: "tuple[int, ...] | list[int]") -> bytes:
    """The PDU that writes registers."""
    return struct.pack(f">BHHB{len(words)}H", WRITE_MULTIPLE, address, len(words), 2 * len(words), *words)


def read_writing(pdu: bytes) -> Writing | Refused:
    """What a client wants written, or the refusal that it gets."""
    function = pdu[0]
    if function == WRITE_SINGLE and len(pdu) == _READ.size:
        _function, address, word = _READ.unpack(pdu)
        return Writing(function, address, (word,))
    if function == WRITE_MULTIPLE and len(pdu) > _READ.size:
        _function, address, count = _READ.unpack_from(pdu)
        data = pdu[_READ.size + 1 :]
        if 1 <= count <= WRITES_MAX and pdu[_READ.size] == len(data) == 2 * count:
            fits = address + count <= ADDRESSES
            words = struct.unpack(f">{count}H", data)
            return Writing(function, address, words) if fits else Refused(function, Failure.ILLEGAL_ADDRESS)
    known = function in {WRITE_SINGLE, WRITE_MULTIPLE}
    return Refused(function, Failure.ILLEGAL_VALUE if known else Failure.ILLEGAL_FUNCTION)


def written(writing: Writing) -> bytes:
    """The PDU that says so: the word itself for a single one, else how many."""
    last = writing.words[0] if writing.function == WRITE_SINGLE else len(writing.words)
    return _READ.pack(writing.function, writing.address, last)
