"""What the pool owes its accounts: entries that are only ever added, each under a key that counts once. Pure.

A block that is orphaned is reversed by an entry of its own, and if it returns to the chain that entry is reversed in
turn. An entry that comes a second time changes nothing, so that whoever was interrupted may simply begin again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mbongi.pool.errors import BalanceError
from mbongi.pool.values import EntryKind

KEY_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of balances [sat, never 0] under its key; ``undoes`` is the key of what a reversal reverses."""

    key: str
    kind: EntryKind
    changes: tuple[tuple[str, int], ...]
    undoes: str = ""

    @property
    def total_sat(self) -> int:
        """By how much all balances together change."""
        return sum(sat for _account, sat in self.changes)


@dataclass(slots=True)
class Balances:
    """All entries and what they add up to.

    The three ways to add return the new entry, or None where it stands already. They raise BalanceError, and change
    nothing, for a key that stands for another entry or that is empty or too long.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    owed_sat: dict[str, int] = field(default_factory=dict)
    """By account, without those at 0. Below 0 where a block was orphaned whose money was paid out already."""
    total_sat: int = 0
    _undone: set[str] = field(default_factory=set)

    def credit(self, key: str, changes: Mapping[str, int]) -> Entry | None:
        """Add earnings. A change below 0 is a balance that the coinbase paid off, which there must have been."""
        return self._add(Entry(key, EntryKind.CREDIT, _sorted(changes.items())))

    def debit(self, key: str, amounts: Mapping[str, int]) -> Entry | None:
        """Take off what was paid [sat, > 0]. Raises BalanceError for more than a balance holds."""
        if min(amounts.values(), default=0) < 0:
            raise BalanceError(f"{key}: a payment of less than 0 sat")
        return self._add(Entry(key, EntryKind.DEBIT, _sorted((name, -sat) for name, sat in amounts.items())))

    def reverse(self, key: str, *, undoes: str) -> Entry | None:
        """Undo an entry, or a reversal, that stands. A balance may fall below 0: later earnings make up for it.

        Raises BalanceError where there is no such entry or it is undone already.
        """
        undone = self.entries.get(undoes)
        if undone is None:
            raise BalanceError(f"{key}: no entry {undoes} to undo")
        return self._add(Entry(key, EntryKind.REVERSAL, tuple((name, -sat) for name, sat in undone.changes), undoes))

    def stands(self, key: str) -> bool:
        """Whether an entry counts: it is there, and nothing that stands undoes it."""
        return key in self.entries and key not in self._undone

    def _add(self, entry: Entry) -> Entry | None:
        known = self.entries.get(entry.key)
        if known == entry:
            return None
        if known is not None:
            raise BalanceError(f"{entry.key}: stands for another {known.kind} of {known.total_sat} sat")
        if not 0 < len(entry.key) <= KEY_CHARS_MAX:
            raise BalanceError(f"key of {len(entry.key)} characters: expected 1..{KEY_CHARS_MAX}")
        if entry.kind is EntryKind.REVERSAL:
            self._undo(entry)
        else:
            self._check_covered(entry)
        self._book(entry)
        return entry

    def _check_covered(self, entry: Entry) -> None:
        for account, sat in entry.changes:
            owed_sat = self.owed_sat.get(account, 0)
            if sat < 0 and owed_sat + sat < 0:
                raise BalanceError(f"{entry.key}: {account}: {-sat} sat to pay; the balance is {owed_sat} sat")

    def _undo(self, reversal: Entry) -> None:
        """Note what stands no longer, and so, where that was a reversal itself, what stands again, and so on."""
        flips: list[tuple[str, bool]] = []
        below, is_undone = reversal, True
        while below.kind is EntryKind.REVERSAL:
            if (below.undoes in self._undone) is is_undone:
                raise BalanceError(f"{reversal.key}: {below.undoes} is {'undone' if is_undone else 'in force'} already")
            flips.append((below.undoes, is_undone))
            below, is_undone = self.entries[below.undoes], not is_undone
        for key, is_undone in flips:
            if is_undone:
                self._undone.add(key)
            else:
                self._undone.discard(key)

    def _book(self, entry: Entry) -> None:
        self.entries[entry.key] = entry
        self.total_sat += entry.total_sat
        for account, sat in entry.changes:
            owed_sat = self.owed_sat.get(account, 0) + sat
            if owed_sat:
                self.owed_sat[account] = owed_sat
            else:
                self.owed_sat.pop(account, None)


def balances_of(entries: Iterable[Entry]) -> Balances:
    """The balances that entries, read back in their order, add up to. Raises BalanceError where they contradict."""
    balances = Balances()
    for entry in entries:
        if entry.kind is EntryKind.REVERSAL:
            added = balances.reverse(entry.key, undoes=entry.undoes)
        elif entry.kind is EntryKind.DEBIT:
            added = balances.debit(entry.key, {account: -sat for account, sat in entry.changes})
        else:
            added = balances.credit(entry.key, dict(entry.changes))
        if added not in (None, entry):
            raise BalanceError(f"{entry.key}: reads otherwise than it was added")
    return balances


def _sorted(changes: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((account, sat) for account, sat in changes if sat))
