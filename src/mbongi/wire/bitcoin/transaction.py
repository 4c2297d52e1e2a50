"""Transactions, with and without witness (BIP 141, BIP 144), and the compact sizes that count their parts."""

import struct
from collections.abc import Sequence

import msgspec

from mbongi.wire.bitcoin.hashing import sha256d
from mbongi.wire.errors import WireError

WITNESS_SCALE = 4
_PART_BYTES_MAX = 4_000_000
"""No part of a transaction can be larger than a block."""


def compact_size(number: int) -> bytes:
    """A count or length as Bitcoin writes it. Source: Bitcoin Core, WriteCompactSize."""
    if number < 0xFD:
        return bytes([number])
    if number <= 0xFFFF:
        return b"\xfd" + number.to_bytes(2, "little")
    if number <= 0xFFFF_FFFF:
        return b"\xfe" + number.to_bytes(4, "little")
    return b"\xff" + number.to_bytes(8, "little")


class Reader:
    """Reads the parts of ``what`` one after the other; every method raises WireError where the bytes end too soon."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str = "transaction") -> None:
        self._data, self._at, self._what = data, 0, what

    @property
    def at(self) -> int:
        """Bytes read so far."""
        return self._at

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise WireError(f"{self._what}: {count} bytes expected at {self._at}, {self.left} left")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int) -> int:
        """The next little-endian number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little")

    def compact(self) -> int:
        """The next compact size; only its shortest form is taken."""
        first = self.number(1)
        if first < 0xFD:
            return first
        size = {0xFD: 2, 0xFE: 4, 0xFF: 8}[first]
        number = self.number(size)
        if number <= {2: 0xFC, 4: 0xFFFF, 8: 0xFFFF_FFFF}[size]:
            raise WireError(f"{self._what}: compact size {number} in {size} bytes, longer than need be")
        return number

    def count(self, bytes_min: int) -> int:
        """The next compact size, as a number of parts that the bytes left can hold: a forged one costs no memory."""
        count = self.compact()
        if count * bytes_min > self.left:
            raise WireError(f"{self._what}: {count} parts do not fit in {self.left} bytes")
        return count

    def blob(self) -> bytes:
        """The next length and that many bytes."""
        size = self.compact()
        if size > _PART_BYTES_MAX:
            raise WireError(f"{self._what}: a part of {size} bytes; at most {_PART_BYTES_MAX}")
        return self.take(size)

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise WireError(f"{self._what}: {self.left} bytes after its end")


class OutPoint(msgspec.Struct, gc=False, frozen=True):
    """An output of a transaction; ``txid`` in internal order."""

    txid: bytes
    index: int

    @property
    def is_null(self) -> bool:
        """Whether it names no output, as a coinbase's input does."""
        return self.index == 0xFFFF_FFFF and not any(self.txid)


class TxIn(msgspec.Struct, frozen=True, kw_only=True):
    """An input. ``witness`` is empty where the transaction carries none."""

    outpoint: OutPoint
    script: bytes = b""
    sequence: int = 0xFFFF_FFFF
    witness: tuple[bytes, ...] = ()


class TxOut(msgspec.Struct, gc=False, frozen=True):
    """An output."""

    value_sat: int
    script: bytes

    @classmethod
    def read(cls, reader: Reader) -> "TxOut":
        """The next output. Raises WireError."""
        return cls(reader.number(8), reader.blob())

    def encode(self) -> bytes:
        """As it stands in a transaction."""
        return self.value_sat.to_bytes(8, "little") + compact_size(len(self.script)) + self.script


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A whole transaction."""

    version: int = 2
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    lock_time: int = 0

    @classmethod
    def parse(cls, data: bytes, *, witness: bool = True) -> "Transaction":
        """Read one transaction and nothing after it. Raises WireError.

        ``witness`` False reads the form without one, in which alone a transaction can have no inputs (BIP 174).
        """
        reader = Reader(data)
        found = cls.read(reader, witness=witness)
        reader.end()
        return found

    @classmethod
    def read(cls, reader: Reader, *, witness: bool = True) -> "Transaction":
        """Read one transaction of several. Raises WireError."""
        version = reader.number(4)
        count = reader.count(41)
        has_witness = witness and count == 0 and reader.left > 0
        if has_witness:
            if reader.number(1) != 1:
                raise WireError("transaction: no inputs, and no witness flag either")
            count = reader.count(41)
        inputs = [_input(reader) for _ in range(count)]
        outputs = tuple(TxOut.read(reader) for _ in range(reader.count(9)))
        if has_witness:
            inputs = [_with_witness(each, reader) for each in inputs]
            if not any(each.witness for each in inputs):
                raise WireError("transaction: marked as having a witness and has none")
        lock_time = reader.number(4)
        return cls(version=version, inputs=tuple(inputs), outputs=outputs, lock_time=lock_time)

    def encode(self, *, witness: bool = True) -> bytes:
        """As bytes; the witness is left out where asked, or where there is none."""
        with_witness = witness and self.has_witness
        parts = [self.version.to_bytes(4, "little")]
        if with_witness:
            parts.append(b"\x00\x01")
        parts.append(compact_size(len(self.inputs)))
        for each in self.inputs:
            parts += (each.outpoint.txid, struct.pack("<I", each.outpoint.index), compact_size(len(each.script)))
            parts += (each.script, struct.pack("<I", each.sequence))
        parts.append(compact_size(len(self.outputs)))
        parts += [output.encode() for output in self.outputs]
        if with_witness:
            parts += [encode_witness(each.witness) for each in self.inputs]
        parts.append(struct.pack("<I", self.lock_time))
        return b"".join(parts)

    def unsigned(self) -> "Transaction":
        """The same without scripts and witnesses of its inputs: what its signers were asked to sign."""
        bare = tuple(TxIn(outpoint=each.outpoint, sequence=each.sequence) for each in self.inputs)
        return msgspec.structs.replace(self, inputs=bare)

    @property
    def has_witness(self) -> bool:
        """Whether any input carries a witness."""
        return any(each.witness for each in self.inputs)

    @property
    def is_coinbase(self) -> bool:
        """Whether it creates coins instead of spending any."""
        return len(self.inputs) == 1 and self.inputs[0].outpoint.is_null

    @property
    def txid(self) -> bytes:
        """Its id, which the witness does not change."""
        return sha256d(self.encode(witness=False))

    @property
    def wtxid(self) -> bytes:
        """The hash of all of it."""
        return sha256d(self.encode())

    @property
    def weight(self) -> int:
        """Weight units. Source: BIP 141."""
        return (WITNESS_SCALE - 1) * len(self.encode(witness=False)) + len(self.encode())

    @property
    def vsize(self) -> int:
        """Virtual bytes, for fee rates: a quarter of the weight, rounded up."""
        return -(-self.weight // WITNESS_SCALE)


def _input(reader: Reader) -> TxIn:
    outpoint = OutPoint(reader.take(32), reader.number(4))
    return TxIn(outpoint=outpoint, script=reader.blob(), sequence=reader.number(4))


def _with_witness(each: TxIn, reader: Reader) -> TxIn:
    return msgspec.structs.replace(each, witness=read_witness(reader))


def read_witness(reader: Reader) -> tuple[bytes, ...]:
    """The next witness: its items, counted."""
    return tuple(reader.blob() for _ in range(reader.count(1)))


def encode_witness(items: Sequence[bytes]) -> bytes:
    """A witness as it stands in a transaction."""
    return compact_size(len(items)) + b"".join([compact_size(len(item)) + item for item in items])
