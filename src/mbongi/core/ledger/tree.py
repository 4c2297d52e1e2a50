"""Reads the Merkle tree from its table of subtree roots and, below those, from the entries' leaf hashes."""

from mbongi.core.ledger.errors import LedgerError
from mbongi.core.ledger.merkle import Frontier
from mbongi.core.ledger.models import LedgerEntry, LedgerNode
from mbongi.core.ledger.values import NODE_LEVEL_MIN


class StoredTree:
    """The stored tree, read node by node; keeps the last block of leaf hashes it read. Needs the whole site's scope."""

    def __init__(self) -> None:
        self._block = -1
        self._leaves: list[bytes] = []

    def complete(self, level: int, position: int) -> bytes:
        """The root of a complete subtree. Raises LedgerError when it is not stored."""
        if level >= NODE_LEVEL_MIN:
            found = LedgerNode.objects.filter(level=level, position=position).values_list("hash", flat=True).first()
            if found is None:
                raise LedgerError(f"ledger: subtree {level}/{position} is not stored; run ./mbongi ledger verify")
            return bytes(found)
        start, count = position << level, 1 << level
        block = start >> NODE_LEVEL_MIN
        if block != self._block:
            self._read(block)
        within = start - (block << NODE_LEVEL_MIN)
        leaves = self._leaves[within : within + count]
        if len(leaves) != count:
            raise LedgerError(f"ledger: entries {start} to {start + count - 1} are not all there")
        tree = Frontier()
        for leaf in leaves:
            tree.append(leaf)
        return tree.root()

    def _read(self, block: int) -> None:
        first = block << NODE_LEVEL_MIN
        rows = LedgerEntry.objects.filter(index__gte=first, index__lt=first + (1 << NODE_LEVEL_MIN)).order_by("index")
        found = list(rows.values_list("index", "leaf_hash"))
        if [index for index, _ in found] != list(range(first, first + len(found))):
            raise LedgerError(f"ledger: entries are missing from {first} on; run ./mbongi ledger verify")
        self._block, self._leaves = block, [bytes(leaf) for _, leaf in found]
