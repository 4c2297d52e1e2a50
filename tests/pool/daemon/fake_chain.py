"""A chain in memory with the questions that payouts ask of a node: blocks, reorganisations, a pool of transactions."""

import itertools
from collections.abc import Iterator

from mbongi.pool.adapters.node_paying import Tip
from mbongi.pool.errors import NodeUnreachable
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.transaction import OutPoint, Transaction, TxIn

_NOTHING = Transaction(inputs=(TxIn(outpoint=OutPoint(bytes(32), 0xFFFF_FFFF)),), outputs=()).encode()
"""In the place of a coinbase."""


class FakeChain:
    """``holds`` and ``send`` keep the rules of real nodes: no output is spent twice, or from nowhere."""

    name = "fake"

    def __init__(self, *, first: int = 1) -> None:
        """``first`` is the number of its first block, so that two chains differ from there on."""
        self._numbers = itertools.count(first)
        self._blocks: list[tuple[str, list[bytes]]] = [("0" * 64, [])]
        self.pool: dict[str, bytes] = {}
        self.sent: list[str] = []
        self.is_away = False
        self.refuses = ""

    def mine(self, count: int = 1, *, extra: tuple[bytes, ...] = (), take_pool: bool = True) -> None:
        """Blocks, the first with what waits."""
        for _ in range(count):
            taken = [*extra, *(self.pool.values() if take_pool else ())]
            if take_pool:
                self.pool.clear()
            self._blocks.append((f"{next(self._numbers):064x}", taken))
            extra = ()

    def drop(self, count: int) -> None:
        """The best chain loses its last blocks; what they held is nowhere."""
        del self._blocks[-count:]

    @property
    def height(self) -> int:
        return len(self._blocks) - 1

    def count(self, txid: str) -> int:
        """How often the chain holds a transaction."""
        return sum(display(each.txid) == txid for each in self._transactions())

    def _transactions(self) -> Iterator[Transaction]:
        for _hash, raws in self._blocks:
            for raw in raws:
                yield Transaction.parse(raw)

    def _answer(self) -> None:
        if self.is_away:
            raise NodeUnreachable("node fake: away")

    async def tip(self) -> Tip:
        self._answer()
        return Tip(self.height, self._blocks[-1][0])

    async def block_hash(self, height: int) -> str | None:
        self._answer()
        return self._blocks[height][0] if height <= self.height else None

    async def txids(self, block_hash: str) -> list[str]:
        self._answer()
        return [display(Transaction.parse(raw).txid) for raw in dict(self._blocks)[block_hash]]

    async def block(self, block_hash: str) -> bytes:
        raws = dict(self._blocks)[block_hash] or [_NOTHING]
        return bytes(80) + bytes([len(raws)]) + b"".join(raws)

    async def holds(self, txid: str, index: int) -> bool:
        self._answer()
        name = (txid, index)
        made = {(display(each.txid), at) for each in self._transactions() for at in range(len(each.outputs))}
        spent = {(display(i.outpoint.txid), i.outpoint.index) for each in self._transactions() for i in each.inputs}
        return name in made - spent

    async def is_waiting(self, txid: str) -> bool:
        self._answer()
        return txid in self.pool

    async def test(self, raw: bytes) -> str | None:
        return self.refuses or None

    async def send(self, raw: bytes) -> str | None:
        self._answer()
        transaction = Transaction.parse(raw)
        self.sent.append(display(transaction.txid))
        for each in transaction.inputs:
            txid, index = display(each.outpoint.txid), each.outpoint.index
            if txid not in self.pool and not await self.holds(txid, index):
                return "missing-inputs"
        if self.refuses:
            return self.refuses
        spent = {each.outpoint for each in transaction.inputs}
        for other, waiting in list(self.pool.items()):
            if spent & {each.outpoint for each in Transaction.parse(waiting).inputs}:
                del self.pool[other]  # replaced by the newer, whose fee the caller has seen to
        self.pool[display(transaction.txid)] = raw
        return None
