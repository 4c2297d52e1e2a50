"""Adds everything up again and compares it with what is stored: work, windows, roots, credits, entries, balances.

It changes nothing; meanwhile nobody else books anything, and shares wait in their logs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from mbongi.core.ledger import selectors as ledger
from mbongi.pool.crediting import IN_CHAIN, credit_key
from mbongi.pool.entries import digest_of, entry_of, lock_books, stands
from mbongi.pool.errors import PoolError
from mbongi.pool.importing import lock_imports
from mbongi.pool.models import Account, Block, Cursor, Entry, EntryChange, Slice, Window, Worker
from mbongi.pool.retention import dropped
from mbongi.pool.rules.payout.amounts import Reward, Terms
from mbongi.pool.rules.payout.division import BlockDivision, fraction_of, period_changes
from mbongi.pool.rules.proof import ShareTree
from mbongi.pool.values import DONATION_ACCOUNT, FEE_ACCOUNT, EntryKind, Scheme
from mbongi.pool.windows import Work, by_account, work_before, work_of_block


@dataclass(slots=True)
class Report:
    """What was compared, and every difference in a sentence; none where the books agree."""

    differences: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


@transaction.atomic
def audit(secret: bytes) -> Report:
    """Look at all of it; minutes where years are in the books."""
    lock_imports()
    lock_books()
    report = Report()
    for check in (_work, _windows, _entries, _balances, _rewards):
        report.differences += check(report.counts, secret)
    return report


Check = Callable[[dict[str, int], bytes], Iterator[str]]


def _work(counts: dict[str, int], _secret: bytes) -> Iterator[str]:
    """Shares and work by slice, by worker and by log come to the same."""
    slices = Slice.objects.aggregate(work=Sum("work"), shares=Sum("shares"))
    workers = Worker.objects.aggregate(work=Sum("work"), shares=Sum("shares"))
    logs = Cursor.objects.aggregate(shares=Sum("shares"))
    counts["shares"], counts["work, hashes"] = int(slices["shares"] or 0), int(slices["work"] or 0)
    yield from _differs("shares of all slices", slices["shares"], "of all workers", workers["shares"])
    yield from _differs("shares of all slices", slices["shares"], "taken in from the logs", logs["shares"])
    yield from _differs("work of all slices", slices["work"], "of all workers", workers["work"])
    kept = Slice.objects.filter(sequence__gt=dropped().slices_to)
    odd = kept.annotate(
        part_work=Coalesce(Sum("parts__work"), Decimal(0)), part_shares=Coalesce(Sum("parts__shares"), 0)
    )
    for each in odd.exclude(work=F("part_work"), shares=F("part_shares")):
        found: Any = each
        parts = f"its parts {found.part_work}, {found.part_shares}"
        yield f"slice {each.sequence}: work {each.work}, {each.shares} shares; {parts}"


def _windows(counts: dict[str, int], secret: bytes) -> Iterator[str]:
    """Every window follows from the slices, its root from its leaves, its credit from both.

    Of one whose leaves were dropped the root and the credit stand in the ledger, and can be compared with that alone.
    """
    carried, without_leaves = Fraction(0), dropped().windows_to
    for window in Window.objects.select_related("block__worker", "block__account").order_by("last_slice", "id"):
        counts["windows"] = counts.get("windows", 0) + 1
        if window.pk <= without_leaves:
            yield from _differs(f"window {window.name}: root", window.root, "in the ledger", _published(window))
            carried = fraction_of(window.carried) if window.block is None else carried
            continue
        try:
            work = _work_again(window)
            yield from _compare_leaves(window, work, secret)
            if window.block is None:
                changes, carried = _period_again(window, work, carried)
                key = window.name
            else:
                changes, key = _block_again(window, work), credit_key(window.block.hash)
        except PoolError as error:
            yield f"window {window.name}: {error}"
            continue
        stored = _changes_of(key)
        if stored is None or stored != changes:
            given = f"the window gives {sum(changes.values())} to {len(changes)}"
            yield f"entry {key}: {sum((stored or {}).values())} sat to {len(stored or {})}; {given}"


def _work_again(window: Window) -> Work:
    wanted = int(window.window_work)
    if window.block is None or Scheme(window.scheme) in {Scheme.SOLO, Scheme.FPPS}:
        return work_before(window.last_slice, wanted, since=window.first_slice)
    return work_of_block(window.block, wanted, is_own_share_in=window.scheme == Scheme.PPLNS)


def _compare_leaves(window: Window, work: Work, secret: bytes) -> Iterator[str]:
    leaves = {name: int(each) for name, each in window.leaf_rows.values_list("worker__name", "work")}
    if leaves != work.by_worker:
        odd = {name for name in leaves.keys() | work.by_worker.keys() if leaves.get(name) != work.by_worker.get(name)}
        yield f"window {window.name}: work of {len(odd)} workers differs from the slices', {min(odd)} among them"
    root = ShareTree(window.name, leaves, secret).root.hex()
    published = _published(window)
    yield from _differs(f"window {window.name}: root", window.root, "of its leaves", root)
    yield from _differs(f"window {window.name}: root", window.root, "in the ledger", published)


def _published(window: Window) -> Any:
    return _ledger_says(f"pool-window:{window.name}", "root")


def _block_again(window: Window, work: Work) -> dict[str, int]:
    assert window.block is not None
    return BlockDivision(
        scheme=Scheme(window.scheme),
        reward=Reward(window.subsidy_sat, window.fees_sat),
        finder=window.block.account.name,
        work=by_account(work.by_worker),
        window_work=int(window.window_work),
        terms=_terms(window),
        direct_sat=window.direct_sat,
    ).changes()


def _period_again(window: Window, work: Work, carried: Fraction) -> tuple[dict[str, int], Fraction]:
    reward = Reward(window.subsidy_sat, window.fees_sat)
    accounts = by_account(work.by_worker)
    changes, left = period_changes(accounts, reward, int(window.network_work), _terms(window), carried)
    if left != fraction_of(window.carried):
        raise PoolError(f"carries {window.carried} sat; recomputed {left}")
    return changes, left


def _terms(window: Window) -> Terms:
    return Terms(
        fee_ppm=window.fee_ppm,
        fee_account=FEE_ACCOUNT,
        donations_ppm=window.donations_ppm,
        donation_account=DONATION_ACCOUNT,
    )


def _entries(counts: dict[str, int], _secret: bytes) -> Iterator[str]:
    """No entry was altered after it went into the ledger, and a reversal undoes exactly what it names."""
    for row in Entry.objects.select_related("undoes").order_by("id").iterator():
        counts["entries"] = counts.get("entries", 0) + 1
        entry = entry_of(row)
        yield from _differs(f"entry {row.key}: digest", row.digest, "of its changes", digest_of(entry))
        recorded = _ledger_says(f"pool-entry:{row.pk}", "sha256")
        yield from _differs(f"entry {row.key}: digest", row.digest, "in the ledger", recorded)
        if row.undoes is not None:
            undone = {name: -sat for name, sat in entry_of(row.undoes).changes}
            if dict(entry.changes) != undone:
                yield f"entry {row.key}: does not undo {row.undoes.key} to the satoshi"


def _balances(counts: dict[str, int], _secret: bytes) -> Iterator[str]:
    """Every balance is what its changes add up to."""
    rows = EntryChange.objects.order_by().values("account_id").annotate(all_sat=Sum("sat"))
    sums = {row["account_id"]: int(row["all_sat"]) for row in rows}
    for account in Account.objects.order_by("name"):
        counts["accounts"] = counts.get("accounts", 0) + 1
        counts["balances, sat"] = counts.get("balances, sat", 0) + account.balance_sat
        yield from _differs(
            f"account {account.name}: balance", account.balance_sat, "of its entries", sums.get(account.pk, 0)
        )


def _rewards(counts: dict[str, int], _secret: bytes) -> Iterator[str]:
    """A block is credited while, and only while, the chain holds it; balances are rewards, puts and payments."""
    rewards_sat = 0
    for block in Block.objects.select_related("window").order_by("id"):
        counts["blocks"] = counts.get("blocks", 0) + 1
        is_credited = stands(credit_key(block.hash))
        if is_credited is not (block.state in IN_CHAIN):
            yield f"block {block.hash}: {block.state}, and its credit {'stands' if is_credited else 'does not stand'}"
        if is_credited:
            window = block.window
            rewards_sat += window.subsidy_sat + window.fees_sat - sum(window.direct_sat.values())
    of_blocks = _sum_of(block__isnull=False)
    yield from _differs("rewards of the blocks in the chain", rewards_sat, "credits of blocks", of_blocks)
    yield from _differs(
        "periods, paid out of the reserve", 0, "their entries", _sum_of(window__block=None, window__isnull=False)
    )
    paid = _sum_of(kind=EntryKind.DEBIT)
    balances = int(Account.objects.aggregate(sat=Sum("balance_sat"))["sat"] or 0)
    others = _sum_of(block=None, window=None)
    counts["rewards of blocks, sat"], counts["debits, sat"] = rewards_sat, paid
    yield from _differs("all balances", balances, "rewards, what was put in and payments", rewards_sat + others)


def _sum_of(**conditions: Any) -> int:
    entries = Entry.objects.filter(**conditions)
    return int(EntryChange.objects.filter(entry__in=entries).aggregate(sat=Sum("sat"))["sat"] or 0)


def _changes_of(key: str) -> dict[str, int] | None:
    row = Entry.objects.filter(key=key).first()
    return None if row is None else dict(entry_of(row).changes)


def _ledger_says(subject: str, name: str) -> Any:
    """What the first entry on a subject recorded."""
    found = ledger.entries(subject=subject)
    return found[-1].after.get(name) if found and isinstance(found[-1].after, dict) else None


def _differs(what: str, stored: Any, against: str, again: Any) -> Iterator[str]:
    if (stored or 0) != (again or 0):
        yield f"{what}: {stored}; {against}: {again}"
