"""Whole blocks: a header and its transactions, the coinbase first."""

import msgspec

from mbongi.wire.bitcoin.hashing import merkle_root, sha256d
from mbongi.wire.bitcoin.header import HEADER_BYTES, Header
from mbongi.wire.bitcoin.script import COMMITMENT_HEADER, op_return, witness_commitment_script
from mbongi.wire.bitcoin.transaction import WITNESS_SCALE, Reader, Transaction, compact_size
from mbongi.wire.errors import WireError

_COMMITMENT_START = op_return(COMMITMENT_HEADER + bytes(32))[:6]
_TRANSACTION_BYTES_MIN = 10


class Block(msgspec.Struct, frozen=True):
    """A block. ``header`` has 80 bytes; each transaction is as it stands in the block, with its witness."""

    header: bytes
    transactions: tuple[bytes, ...]

    @classmethod
    def parse(cls, data: bytes) -> "Block":
        """Read one block and nothing after it. Raises WireError, also for a block without transactions."""
        reader = Reader(data, "block")
        header = reader.take(HEADER_BYTES)
        transactions = []
        for _ in range(reader.count(_TRANSACTION_BYTES_MIN)):
            start = reader.at
            Transaction.read(reader)
            transactions.append(data[start : reader.at])
        reader.end()
        if not transactions:
            raise WireError("block: no transactions; expected a coinbase at least")
        return cls(header, tuple(transactions))

    def encode(self) -> bytes:
        """As bytes, as ``submitblock`` takes them in hex."""
        return self.header + compact_size(len(self.transactions)) + b"".join(self.transactions)

    @property
    def hash(self) -> bytes:
        """The header's hash."""
        return sha256d(self.header)

    @property
    def weight(self) -> int:
        """Weight units, at most 4,000,000 in a valid block. Source: BIP 141."""
        count = len(compact_size(len(self.transactions)))
        weights = sum(Transaction.parse(each).weight for each in self.transactions)
        return WITNESS_SCALE * (HEADER_BYTES + count) + weights

    def require_commitments(self) -> None:
        """Raise WireError unless the header commits to these transactions, and the coinbase to their witnesses.

        A transaction that comes twice is refused too: it can leave the merkle root as it was (CVE-2012-2459).
        Source: BIP 141; Bitcoin Core, CheckMerkleRoot and CheckWitnessMalleation.
        """
        transactions = [Transaction.parse(each) for each in self.transactions]
        if not transactions or not transactions[0].is_coinbase:
            raise WireError("block: its first transaction is no coinbase")
        if any(each.is_coinbase for each in transactions[1:]):
            raise WireError("block: more than one coinbase")
        ids = [each.txid for each in transactions]
        if len(set(ids)) != len(ids):
            raise WireError("block: a transaction comes twice")
        if merkle_root(ids) != Header.parse(self.header).merkle_root:
            raise WireError("block: its header commits to other transactions")
        _require_witnesses(transactions)


def _require_witnesses(transactions: list[Transaction]) -> None:
    coinbase = transactions[0]
    stated = [each.script for each in coinbase.outputs if each.script.startswith(_COMMITMENT_START)]
    stated = [script for script in stated if len(script) >= len(_COMMITMENT_START) + 32]
    if not stated:
        if any(each.has_witness for each in transactions):
            raise WireError("block: it has witnesses, and its coinbase does not commit to them")
        return
    reserved = coinbase.inputs[0].witness
    if len(reserved) != 1 or len(reserved[0]) != 32:
        raise WireError("block: a coinbase that commits to witnesses has one of 32 bytes itself")
    root = merkle_root([bytes(32), *(each.wtxid for each in transactions[1:])])
    expected = witness_commitment_script(root, reserved[0])
    if not stated[-1].startswith(expected):  # the last commitment is the one that counts
        raise WireError("block: its coinbase commits to other witnesses")
