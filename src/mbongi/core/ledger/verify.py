"""Verification: reads every entry again and holds it against its hash, the tree and the signed checkpoints."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from django.db import connection

from mbongi.core.ledger.leaf import leaf_hash_of
from mbongi.core.ledger.merkle import Frontier
from mbongi.core.ledger.models import LedgerHead, LedgerNode
from mbongi.core.ledger.values import NODE_LEVEL_MIN, Checkpoint, Problem, Verification

PAGE = 4_096
"""Entries in memory at a time."""
PROBLEMS_MAX = 1_000
"""More problems than this are not listed one by one."""
REORDER_SEARCH_MAX = 200
"""Among at most this many altered entries, those that only changed places are told apart."""

_SELECT = """
SELECT index, at, actor, action, subject, reason, tenant_id, before, after, leaf_hash
FROM ledger_entry WHERE index >= %s ORDER BY index LIMIT %s
"""

Progress = Callable[[int, int], None]
"""Told how many entries of how many are read."""


def verify(checkpoints: Sequence[Checkpoint], *, on_progress: Progress | None = None) -> Verification:
    """Verify the whole ledger against ``checkpoints``. Needs the whole site's scope; appending may go on meanwhile.

    Finds entries that were altered, removed (also from the end), reordered or smuggled in, and says which; where an
    entry was changed together with its hash, the narrowest span that the stored tree and checkpoints allow.
    """
    head = LedgerHead.objects.filter(pk=1).first()
    size, frontier = (0, Frontier()) if head is None else (head.size, Frontier(head.size, bytes(head.frontier)))
    scan = _Scan(size, checkpoints)
    for page in _pages():
        scan.read(page)
        if on_progress is not None:
            on_progress(min(scan.next_index, size), size)
        if page[-1][0] >= size and not _is_behind_head(scan, size):
            break
    if head is None:
        scan.report("removed", 0, 0, "the head row is missing")
    return scan.finish(frontier.root())


def _is_behind_head(scan: "_Scan", size: int) -> bool:
    """Whether entries after the head belong to a later head, because somebody appended meanwhile."""
    now = LedgerHead.objects.filter(pk=1).values_list("size", flat=True).first() or 0
    return bool(now < scan.next_index and size == now)


def _pages() -> Iterator[list[tuple[Any, ...]]]:
    connection.ensure_scope()  # type: ignore[attr-defined]
    first = 0
    # psycopg's own cursor in binary: Django's would cost more than the hashing.
    with psycopg.Cursor(connection.connection) as cursor:
        while page := cursor.execute(_SELECT, [first, PAGE], binary=True).fetchall():
            yield page
            first = page[-1][0] + 1


class _Scan:
    """What one pass over the entries has found so far."""

    def __init__(self, size: int, checkpoints: Sequence[Checkpoint]) -> None:
        self.size = size
        self.next_index = 0
        self._tree = Frontier()
        self._is_whole = True
        self._problems: list[Problem] = []
        self._altered: list[tuple[int, tuple[Any, ...], bytes]] = []
        self._checkpoints = sorted(checkpoints, key=lambda one: one.size)
        self._checked = 0
        self._good_size = 0
        self._span: Problem | None = None
        self._blocks: list[tuple[int, bytes]] = []

    def read(self, page: list[tuple[Any, ...]]) -> None:
        """Take the next entries, which come in the order of their indices."""
        for row in page:
            index, stored = row[0], row[9]
            if index >= self.size:
                break
            if index != self.next_index:
                self.report("removed", self.next_index, index - 1, "missing")
                self._is_whole = False
            leaf = leaf_hash_of(row[:9])
            if leaf != stored:
                self._altered.append((index, row[:9], stored))
            self.next_index = index + 1
            if self._is_whole:
                self._grow(stored)
        self._check_blocks()
        self._check_added(page)

    def _grow(self, leaf: bytes) -> None:
        self._tree.append(leaf, self._keep_block)
        while self._checked < len(self._checkpoints) and self._checkpoints[self._checked].size <= self._tree.size:
            self._check(self._checkpoints[self._checked])
            self._checked += 1

    def _check(self, checkpoint: Checkpoint) -> None:
        if checkpoint.size != self._tree.size:
            return
        if checkpoint.root == self._tree.root():
            self._good_size = checkpoint.size
        else:
            self._broken(checkpoint.size, f"not those that the checkpoint of {checkpoint.size} entries signs for")

    def _broken(self, size: int, text: str) -> None:
        """The tree of ``size`` entries is wrong; the cause is after the last size that was right."""
        if self._span is None:
            self._span = Problem("altered", self._good_size, size - 1, text)

    def _keep_block(self, level: int, position: int, node: bytes) -> None:
        if level == NODE_LEVEL_MIN:
            self._blocks.append((position, node))

    def _check_blocks(self) -> None:
        if not self._blocks:
            return
        stored = LedgerNode.objects.filter(
            level=NODE_LEVEL_MIN, position__gte=self._blocks[0][0], position__lte=self._blocks[-1][0]
        )
        kept = {position: bytes(node) for position, node in stored.values_list("position", "hash")}
        for position, node in self._blocks:
            first = position << NODE_LEVEL_MIN
            last = first + (1 << NODE_LEVEL_MIN) - 1
            known = any(first <= index <= last for index, _row, _leaf in self._altered)
            if kept.get(position) != node and not known:
                self.report("altered", first, last, "the stored subtree does not fit these entries")
        self._blocks.clear()

    def _check_added(self, page: list[tuple[Any, ...]]) -> None:
        behind = [row[0] for row in page if row[0] >= self.size]
        if behind:
            now = LedgerHead.objects.filter(pk=1).values_list("size", flat=True).first() or 0
            if behind[-1] >= now:
                self.report("added", max(behind[0], now), behind[-1], "behind the end of the ledger")

    def report(self, kind: str, first: int, last: int, text: str) -> None:
        """Note a problem, up to the limit."""
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(Problem(kind, first, last, text))

    def finish(self, head_root: bytes) -> Verification:
        """The verdict after the last entry."""
        signed = self._checkpoints[-1].size if self._checkpoints else 0
        promised = max(self.size, signed)
        if self.next_index < promised:
            why = "signed for in a checkpoint" if signed > self.size else "counted by the head"
            self.report("removed", self.next_index, promised - 1, f"missing at the end, though {why}")
        elif self._is_whole and self._tree.root() != head_root:
            self._broken(self.size, "not those that the head was computed from")
        self._judge_altered()
        # The span that a signed root condemns is worth telling only where nothing narrower was found in it.
        span = self._span
        if span is not None and not any(one.first <= span.last and one.last >= span.first for one in self._problems):
            self._problems.append(span)
        problems = tuple(sorted(self._problems, key=lambda one: one.first))
        return Verification(self.next_index, self._tree.root(), self._checked, problems)

    def _judge_altered(self) -> None:
        """Tell entries that changed places from entries whose content changed."""
        altered = self._altered
        hashes = {stored for _index, _row, stored in altered} if len(altered) <= REORDER_SEARCH_MAX else set()
        places = [index for index, _row, _stored in altered] if hashes else []
        for index, row, stored in altered:
            # An entry that changed places still has its hash somewhere, under the index that it had.
            came_from = next((one for one in places if leaf_hash_of((one, *row[1:])) in hashes), None)
            if came_from is None or came_from == index:
                self.report("altered", index, index, f"does not fit its hash {stored.hex()[:16]}…")
            else:
                self.report("reordered", index, index, f"holds what was entry {came_from}")
