"""The balances' entries as they are stored: each books its changes, its record in the ledger and nothing twice.

The rules are those of ``rules/payout/balances.py``. All bookings of the site follow one another, under one lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec
from django.db import connection, transaction

from mbongi.base.clock import utc_now
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.errors import BalanceError
from mbongi.pool.models import Account, EntryChange
from mbongi.pool.models import Entry as EntryRow
from mbongi.pool.rules.payout.balances import Balances, Entry
from mbongi.pool.values import EntryKind

_LOCK: Final = 0x6D626F_10
"""Advisory lock of the books, held until the transaction ends."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why an entry is booked: who does it, for what reason, and the block or window that it belongs to."""

    actor: str
    reason: str = ""
    block_id: int | None = None
    window_id: int | None = None


@transaction.atomic
def credit(key: str, changes: Mapping[str, int], occasion: Occasion, *, may_owe: Sequence[str] = ()) -> int | None:
    """Book earnings by account's name; returns the entry's id, or None where it stands already.

    A change below 0 must be covered by the account's balance, but of those in ``may_owe``. Accounts that do not exist
    yet are opened. Raises BalanceError for a key that stands for another entry.
    """
    lock_books()
    return _book(Entry(key, EntryKind.CREDIT, _sorted(changes)), occasion, frozenset(may_owe))


@transaction.atomic
def debit(key: str, amounts: Mapping[str, int], occasion: Occasion, *, may_owe: Sequence[str] = ()) -> int | None:
    """Book a payment [sat, > 0] by account's name; returns the entry's id, or None where it stands already.

    Raises BalanceError for more than a balance holds, but of those in ``may_owe``, or a key that stands for another
    entry.
    """
    if min(amounts.values(), default=0) < 0:
        raise BalanceError(f"{key}: a payment of less than 0 sat")
    lock_books()
    changes = {account: -sat for account, sat in amounts.items()}
    return _book(Entry(key, EntryKind.DEBIT, _sorted(changes)), occasion, frozenset(may_owe))


@transaction.atomic
def reverse(key: str, occasion: Occasion, *, undoes: str) -> int | None:
    """Book the undoing of an entry, or of a reversal, that stands; a balance may fall below 0.

    Returns the entry's id, or None where it stands already. Raises BalanceError where there is no such entry or it is
    undone already.
    """
    lock_books()
    undone = EntryRow.objects.filter(key=undoes).first()
    if undone is None:
        raise BalanceError(f"{key}: no entry {undoes} to undo")
    rule = _family(undone)
    if key not in rule.entries and EntryRow.objects.filter(key=key).exists():
        raise BalanceError(f"{key}: stands for another entry than the undoing of {undoes}")
    entry = rule.reverse(key, undoes=undoes)
    return None if entry is None else _store(entry, occasion, undone)


def stands(key: str) -> bool:
    """Whether an entry counts: it is there, and nothing that stands undoes it."""
    row = EntryRow.objects.filter(key=key).first()
    return row is not None and _family(row).stands(key)


def lock_books() -> None:
    """Wait until nobody else books; holds until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def entry_of(row: EntryRow) -> Entry:
    """A stored entry as the rules know it."""
    changes = row.changes.values_list("account__name", "sat")
    undoes = "" if row.undoes is None else row.undoes.key
    return Entry(row.key, EntryKind(row.kind), tuple(sorted(changes)), undoes)


def digest_of(entry: Entry) -> str:
    """What the ledger holds of an entry beside its total: SHA-256 of its canonical JSON, in hex."""
    return sha256(msgspec.json.encode([entry.key, entry.kind, entry.undoes, entry.changes])).hexdigest()


def ensure_accounts(names: Sequence[str]) -> dict[str, Account]:
    """The accounts of these names, opened where they are new."""
    now = utc_now()
    Account.objects.bulk_create([Account(name=name, added_at=now) for name in names], ignore_conflicts=True)
    return Account.objects.in_bulk(names, field_name="name")


def _book(entry: Entry, occasion: Occasion, may_owe: frozenset[str]) -> int | None:
    known = EntryRow.objects.filter(key=entry.key).first()
    owed = dict(Account.objects.filter(name__in=[name for name, _ in entry.changes]).values_list("name", "balance_sat"))
    rule = Balances(owed_sat=owed)
    if known is not None:
        rule.entries[entry.key] = entry_of(known)
    for name, sat in entry.changes:
        if name in may_owe and sat < 0:
            owed[name] = max(owed.get(name, 0), -sat)
    changes = dict(entry.changes)
    if entry.kind is EntryKind.DEBIT:
        added = rule.debit(entry.key, {name: -sat for name, sat in changes.items()})
    else:
        added = rule.credit(entry.key, changes)
    return None if added is None else _store(added, occasion, None)


def _family(row: EntryRow) -> Balances:
    """The rules' view of an entry, what it undoes down to the first, and all that undo one of these, in order."""
    root = row
    while root.undoes is not None:
        root = root.undoes
    rule = Balances(entries={root.key: entry_of(root)})
    reversals, level = [], [root.pk]
    while level:
        above = list(EntryRow.objects.filter(undoes__in=level).select_related("undoes"))
        reversals += above
        level = [each.pk for each in above]
    for each in sorted(reversals, key=lambda found: found.pk):
        assert each.undoes is not None
        rule.reverse(each.key, undoes=each.undoes.key)
    return rule


def _store(entry: Entry, occasion: Occasion, undone: EntryRow | None) -> int:
    accounts = ensure_accounts([name for name, _sat in entry.changes])
    digest = digest_of(entry)
    row = EntryRow.objects.create(
        key=entry.key,
        kind=entry.kind,
        at=utc_now(),
        undoes=undone,
        block_id=occasion.block_id,
        window_id=occasion.window_id,
        digest=digest,
    )
    EntryChange.objects.bulk_create(
        [
            EntryChange(entry=row, account=accounts[name], tenant_id=accounts[name].tenant_id, sat=sat)
            for name, sat in entry.changes
        ],
        batch_size=1000,
    )
    _move_balances([(accounts[name].pk, sat) for name, sat in entry.changes])
    after = {"key": entry.key, "total_sat": entry.total_sat, "accounts": len(entry.changes), "sha256": digest}
    if entry.undoes:
        after["undoes"] = entry.undoes
    action = f"pool.entry.{entry.kind}"
    [row.ledger_index] = ledger.append(
        [NewEntry(occasion.actor, action, f"pool-entry:{row.pk}", occasion.reason, after=after)]
    )
    row.save(update_fields=["ledger_index"])
    return row.pk


def _move_balances(changes: Sequence[tuple[int, int]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pool_account SET balance_sat = balance_sat + moved.sat"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS moved(id, sat) WHERE pool_account.id = moved.id",
            [[each for each, _ in changes], [sat for _, sat in changes]],
        )


def _sorted(changes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((account, sat) for account, sat in changes.items() if sat))
