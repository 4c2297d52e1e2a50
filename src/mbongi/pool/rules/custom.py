"""Jobs that miners bring themselves: what their coinbase has to be, and what names a job that was declared. Pure.

A miner chooses the transactions; the pool's part is that its coinbase pays the pool, to the satoshi, on the tip that
the pool mines on. Source: Stratum V2, sections 5.3.18 and 6.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Self

from mbongi.pool.errors import CustomJobError
from mbongi.pool.rules.job import COINBASE_INPUT, EXTRANONCE1_BYTES, EXTRANONCE2_BYTES, SCRIPT_BYTES_MAX, Coinbase, Job
from mbongi.pool.rules.template import WITNESS_RESERVED, Template
from mbongi.pool.values import VERSION_GENERAL_MASK
from mbongi.wire.bitcoin.script import COMMITMENT_HEADER, height_push, op_return
from mbongi.wire.bitcoin.transaction import Reader, Transaction, TxOut, compact_size
from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v2.codes import ErrorCode, invalid_job_parameter

EXTRANONCE_BYTES = EXTRANONCE1_BYTES + EXTRANONCE2_BYTES
"""Of a custom job: it is made for one miner, and its difficulty never changes, so it carries no generation."""
FEES_TIMES_MAX: Final = 4
"""Fees that are believed unseen: so many times those of the pool's own work ..."""
FEES_SUBSIDY_PARTS: Final = 10
"""... and this part of the subsidy, for what a miner is paid by private agreement."""
_COMMITMENT_START = op_return(COMMITMENT_HEADER + bytes(32))[:6]
_SCRIPT_AT = 4 + len(COINBASE_INPUT) + 1
"""Where the input's script begins in a coinbase without witness: after version, input and length."""
_SEGWIT_MARK = b"\x00\x01"


@dataclass(frozen=True, slots=True)
class CustomCoinbase:
    """A miner's coinbase but for its extranonce, which ends the input's script."""

    version: int
    script_start: bytes
    sequence: int
    outputs: tuple[TxOut, ...]
    lock_time: int

    @classmethod
    def of_fields(cls, *, version: int, script_start: bytes, sequence: int, outputs: bytes, lock_time: int) -> Self:
        """From the fields of a SetCustomMiningJob; ``outputs`` begin with their count. Raises CustomJobError."""
        reader = Reader(outputs, "coinbase outputs")
        try:
            found = tuple(TxOut.read(reader) for _ in range(reader.count(9)))
            reader.end()
        except WireError as error:
            raise CustomJobError(invalid_job_parameter("coinbase_tx_outputs"), str(error)) from error
        return cls(version, script_start, sequence, found, lock_time)

    @classmethod
    def of_halves(cls, before: bytes, after: bytes) -> Self:
        """From the halves in a DeclareMiningJob, with or without witness. Raises CustomJobError."""
        try:
            whole = Transaction.parse(before + bytes(EXTRANONCE_BYTES) + after)
        except WireError as error:
            raise CustomJobError(ErrorCode.INVALID_COINBASE_TX, str(error)) from error
        if not whole.is_coinbase or whole.inputs[0].witness not in ((), (WITNESS_RESERVED,)):
            raise CustomJobError(ErrorCode.INVALID_COINBASE_TX, "no coinbase with one input and a witness of 32 zeros")
        marked = before[4:6] == _SEGWIT_MARK
        start = before[_SCRIPT_AT + (len(_SEGWIT_MARK) if marked else 0) :]
        if whole.inputs[0].script != start + bytes(EXTRANONCE_BYTES):
            what = f"the first half must end where the {EXTRANONCE_BYTES} bytes of extranonce begin and end the script"
            raise CustomJobError(ErrorCode.INVALID_COINBASE_TX, what)
        return cls(whole.version, start, whole.inputs[0].sequence, whole.outputs, whole.lock_time)

    def coinbase(self) -> Coinbase:
        """Its halves without witness, as the header commits to them."""
        before = self.version.to_bytes(4, "little") + COINBASE_INPUT
        before += compact_size(len(self.script_start) + EXTRANONCE_BYTES) + self.script_start
        after = self.sequence.to_bytes(4, "little") + compact_size(len(self.outputs))
        after += b"".join([output.encode() for output in self.outputs]) + self.lock_time.to_bytes(4, "little")
        return Coinbase(before, after)

    @property
    def commitment_script(self) -> bytes | None:
        """The last output that commits to witnesses (BIP 141)."""
        found = [each.script for each in self.outputs if each.script.startswith(_COMMITMENT_START)]
        return found[-1] if found else None

    def with_one_satoshi_more(self, script: bytes) -> Self:
        """The same, but that it pays one satoshi more to a script."""
        outputs = tuple(
            TxOut(each.value_sat + (each.script == script and each.value_sat > 0), each.script) for each in self.outputs
        )
        return replace(self, outputs=outputs)


def value_sat(coinbase: CustomCoinbase, own: Job, *, pool_script: bytes, subsidy_sat: int) -> int:
    """What a custom coinbase pays to the pool [sat]; all that it creates.

    ``own`` is the pool's job on the same tip. Raises CustomJobError: nothing may be paid past the pool, and less than
    the subsidy cannot be all of it.
    """
    start, height = coinbase.script_start, own.template.height
    if not start.startswith(height_push(height)):
        raise CustomJobError(invalid_job_parameter("coinbase_prefix"), f"it does not begin with height {height}")
    if len(start) + EXTRANONCE_BYTES > SCRIPT_BYTES_MAX:
        raise CustomJobError(invalid_job_parameter("coinbase_prefix"), f"a script above {SCRIPT_BYTES_MAX} bytes")
    # With any generation behind it this would be the pool's own work, and one hash could count twice.
    if coinbase.coinbase().before[:-1] == own.coinbase.before:
        raise CustomJobError(invalid_job_parameter("coinbase_prefix"), "it is the pool's own")
    paid = [each for each in coinbase.outputs if each.value_sat]
    if len(paid) != 1 or paid[0].script != pool_script:
        what = f"{len(paid)} outputs with a value; expected one, to the pool's script {pool_script.hex()}"
        raise CustomJobError(invalid_job_parameter("coinbase_tx_outputs"), what)
    if paid[0].value_sat < subsidy_sat:
        what = f"{paid[0].value_sat} sat for the pool; the subsidy alone is {subsidy_sat} sat"
        raise CustomJobError(invalid_job_parameter("coinbase_tx_outputs"), what)
    return paid[0].value_sat


def require_plausible_fees(fees_sat: int, *, best_sat: int, subsidy_sat: int) -> None:
    """Refuse fees that no mempool explains, of a block that nobody here has seen. Raises CustomJobError.

    ``best_sat`` is the most that the pool's own jobs earn, on this tip or the one before. Shares count by their
    difficulty alone, so such a claim pays nobody more; but a block that creates too much is none, and work on it is
    lost to the pool while it counts. A claim below the limit may still be wrong: only a whole block can be checked.
    """
    most_sat = FEES_TIMES_MAX * best_sat + subsidy_sat // FEES_SUBSIDY_PARTS
    if fees_sat > most_sat:
        what = (
            f"fees of {fees_sat} sat; the pool's own work earns {best_sat} sat, so at most {most_sat} sat are believed"
        )
        raise CustomJobError(invalid_job_parameter("coinbase_tx_outputs"), what)


def custom_template(
    own: Template,
    coinbase: CustomCoinbase,
    *,
    version: int,
    value_sat: int,
    fees_sat: int,
    branch: Sequence[bytes],
    transaction_count: int = 0,
    transactions_hex: tuple[bytes, ...] = (),
) -> Template:
    """The pool's template of a tip with a miner's transactions in place of ours. Raises CustomJobError for versions."""
    if (version ^ own.version) & ~VERSION_GENERAL_MASK:
        what = f"version {version:#010x} differs from {own.version:#010x} in bits that are not free"
        raise CustomJobError(invalid_job_parameter("version"), what)
    return replace(
        own,
        version=version,
        value_sat=value_sat,
        fees_sat=fees_sat,
        branch=tuple(branch),
        commitment_script=coinbase.commitment_script,
        transaction_count=transaction_count,
        transactions_hex=transactions_hex,
        weight=0,
        sigops=0,
    )


def digest_of(previous_hash: bytes, version: int, coinbase: Coinbase, branch: Sequence[bytes]) -> bytes:
    """Names all that a block is but its extranonce, time and free version bits."""
    digest = sha256(previous_hash)
    digest.update((version & ~VERSION_GENERAL_MASK).to_bytes(4, "little"))
    for each in (coinbase.before, coinbase.after, *branch):
        digest.update(len(each).to_bytes(4, "little") + each)
    return digest.digest()
