"""Partially signed transactions, version 0 (BIP 174): how an unsigned transaction travels to those who sign it.

Every field of the file is kept as its bytes, known or not; the fields that BIP 174 and BIP 371 define have their form
checked, so that what is parsed can be relied upon.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from mbongi.wire.bitcoin.psbt_fields import (
    GLOBAL_FORMS,
    GLOBAL_UNSIGNED_TX,
    INPUT_FORMS,
    NON_WITNESS_UTXO,
    OUTPUT_FORMS,
    PARTIAL_SIGNATURE,
    TAPROOT_KEY_SIGNATURE,
    WITNESS_UTXO,
    Form,
    require_form,
)
from mbongi.wire.bitcoin.script import p2sh_hash, witness_program
from mbongi.wire.bitcoin.transaction import Reader, Transaction, TxOut, compact_size
from mbongi.wire.errors import WireError

MAGIC: Final = b"psbt\xff"
PSBT_BYTES_MAX = 16_000_000
"""Ours: a payout of a thousand outputs that spends a hundred large transactions fits; more is refused."""
VALUE_SAT_MAX = 21_000_000 * 100_000_000

Fields = dict[bytes, bytes]
"""Key (type and its data) to value."""


class Psbt(msgspec.Struct, frozen=True, kw_only=True):
    """An unsigned transaction and what is known of it: as a whole, of each input and of each output."""

    transaction: Transaction
    global_fields: Fields
    input_fields: tuple[Fields, ...]
    output_fields: tuple[Fields, ...]

    @classmethod
    def parse(cls, data: bytes) -> "Psbt":
        """Read the binary form. Raises WireError, also for a version other than 0 and for a key that comes twice."""
        if len(data) > PSBT_BYTES_MAX:
            raise WireError(f"psbt of {len(data)} bytes; at most {PSBT_BYTES_MAX}")
        if not data.startswith(MAGIC):
            raise WireError(f"psbt: it begins with {data[:5].hex()}; expected {MAGIC.hex()}")
        reader = Reader(data, "psbt")
        reader.take(len(MAGIC))
        global_fields = _read_fields(reader, GLOBAL_FORMS, "global")
        unsigned = global_fields.get(GLOBAL_UNSIGNED_TX)
        if unsigned is None:
            raise WireError("psbt: no unsigned transaction")
        transaction = Transaction.parse(unsigned, witness=False)
        _require_unsigned(transaction)
        inputs = [_read_fields(reader, INPUT_FORMS, f"input {place}") for place in range(len(transaction.inputs))]
        outputs = [_read_fields(reader, OUTPUT_FORMS, f"output {place}") for place in range(len(transaction.outputs))]
        reader.end()
        return cls(
            transaction=transaction,
            global_fields=global_fields,
            input_fields=tuple(inputs),
            output_fields=tuple(outputs),
        )

    def encode(self) -> bytes:
        """The binary form; fields keep their order."""
        maps = (self.global_fields, *self.input_fields, *self.output_fields)
        return MAGIC + b"".join([_encode_fields(fields) for fields in maps])

    @classmethod
    def from_base64(cls, text: str) -> "Psbt":
        """Read the text form, as wallets exchange it. Raises WireError."""
        try:
            data = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError) as error:
            raise WireError(f"psbt: not base64: {error}") from error
        return cls.parse(data)

    def to_base64(self) -> str:
        """The text form."""
        return base64.b64encode(self.encode()).decode("ascii")

    def spent_output(self, place: int) -> TxOut | None:
        """The output that an input spends; None where the file does not say.

        Raises WireError where what it says does not fit: another transaction than the input names, two outputs that
        differ, or an output alone that is not segwit's, which leaves its value unproven.
        """
        fields, outpoint = self.input_fields[place], self.transaction.inputs[place].outpoint
        stated = fields.get(WITNESS_UTXO)
        output = _output(stated) if stated is not None else None
        whole = fields.get(NON_WITNESS_UTXO)
        if whole is None:
            if output and witness_program(output.script) is None and p2sh_hash(output.script) is None:
                raise WireError(f"psbt input {place}: an output that is not segwit's comes without its transaction")
            return output
        previous = Transaction.parse(whole)
        if previous.txid != outpoint.txid or outpoint.index >= len(previous.outputs):
            raise WireError(f"psbt input {place}: the transaction that comes with it is not the one that it spends")
        found = previous.outputs[outpoint.index]
        if output is not None and output != found:
            raise WireError(f"psbt input {place}: its output is not that of its transaction")
        return found

    def fee_sat(self) -> int | None:
        """What the transaction leaves to the miner [sat]; None where an input's value is not known.

        Raises WireError as ``spent_output`` does, for outputs above the inputs, and for values above 21 million coins.
        """
        spent = [self.spent_output(place) for place in range(len(self.input_fields))]
        known = [each.value_sat for each in spent if each is not None]
        if len(known) < len(spent):
            return None
        paid_sat = sum(each.value_sat for each in self.transaction.outputs)
        if not paid_sat <= sum(known) <= VALUE_SAT_MAX:
            raise WireError(f"psbt: outputs of {paid_sat} sat, inputs of {sum(known)} sat")
        return sum(known) - paid_sat

    def with_input(self, place: int, added: Mapping[bytes, bytes]) -> "Psbt":
        """A copy in which an input has these fields too, in the order of their keys. Raises WireError for a bad one."""
        for key, value in added.items():
            require_form(key, value, INPUT_FORMS, f"psbt input {place}")
        inputs = list(self.input_fields)
        inputs[place] = dict(sorted({**inputs[place], **added}.items()))
        return msgspec.structs.replace(self, input_fields=tuple(inputs))


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What an input spends.

    The output alone is enough for taproot. Segwit's older inputs need ``transaction`` as well before hardware wallets
    sign them, and all others always.
    """

    output: TxOut | None = None
    transaction: Transaction | None = None


def create_psbt(transaction: Transaction, spent: Sequence[Spent]) -> Psbt:
    """The file that asks for the signatures of an unsigned transaction; ``spent`` in the order of its inputs.

    Raises WireError where an input is signed already, or what it spends is not known or not the output that it names.
    """
    _require_unsigned(transaction)
    if len(spent) != len(transaction.inputs):
        raise WireError(f"psbt: {len(spent)} spent outputs for {len(transaction.inputs)} inputs")
    psbt = Psbt(
        transaction=transaction,
        global_fields={GLOBAL_UNSIGNED_TX: transaction.encode()},
        input_fields=tuple({} for _ in transaction.inputs),
        output_fields=tuple({} for _ in transaction.outputs),
    )
    for place, each in enumerate(spent):
        added = {NON_WITNESS_UTXO: each.transaction.encode()} if each.transaction else {}
        if each.output:
            added[WITNESS_UTXO] = each.output.encode()
        psbt = psbt.with_input(place, added)
        if psbt.spent_output(place) is None:
            raise WireError(f"psbt input {place}: what it spends is not known")
    return psbt


def with_signature(psbt: Psbt, place: int, *, public_key: bytes, signature: bytes) -> Psbt:
    """Add an input's ECDSA signature (DER, then the byte of its kind) to a copy. Raises WireError for a bad form."""
    return psbt.with_input(place, {PARTIAL_SIGNATURE + public_key: signature})


def with_taproot_signature(psbt: Psbt, place: int, *, signature: bytes) -> Psbt:
    """Add an input's Schnorr signature by its output's key (64 or 65 bytes) to a copy. Source: BIP 371."""
    return psbt.with_input(place, {TAPROOT_KEY_SIGNATURE: signature})


def combine(first: Psbt, *others: Psbt) -> Psbt:
    """All that several signers say of one transaction, fields in the order of their keys.

    Where two say different things of one key, the earlier argument's stays: put the file that you trust first.
    Raises WireError for files of different transactions.
    """
    for other in others:
        if other.transaction != first.transaction:
            raise WireError("psbt: these are not signatures of one transaction")
    every = (first, *others)
    return Psbt(
        transaction=first.transaction,
        global_fields=_merged([each.global_fields for each in every]),
        input_fields=tuple(map(_merged, zip(*(each.input_fields for each in every), strict=True))),
        output_fields=tuple(map(_merged, zip(*(each.output_fields for each in every), strict=True))),
    )


def _merged(maps: Sequence[Fields]) -> Fields:
    merged: Fields = {}
    for fields in reversed(maps):
        merged.update(fields)
    return dict(sorted(merged.items()))


def _require_unsigned(transaction: Transaction) -> None:
    for place, each in enumerate(transaction.inputs):
        if each.script or each.witness:
            raise WireError(f"psbt: input {place} of the unsigned transaction is signed")


def _output(data: bytes) -> TxOut:
    reader = Reader(data, "psbt output")
    output = TxOut.read(reader)
    reader.end()
    return output


def _read_fields(reader: Reader, forms: Mapping[int, Form | None], where: str) -> Fields:
    fields: Fields = {}
    while key := reader.blob():
        if key in fields:
            raise WireError(f"psbt {where}: key {key[:8].hex()} comes twice")
        value = reader.blob()
        require_form(key, value, forms, f"psbt {where}")
        fields[key] = value
    return fields


def _encode_fields(fields: Fields) -> bytes:
    parts: list[bytes] = []
    for key, value in fields.items():
        parts += (compact_size(len(key)), key, compact_size(len(value)), value)
    parts.append(b"\0")
    return b"".join(parts)
