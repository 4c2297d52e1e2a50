"""What of the work's details is dropped once nobody can ask for it any more: each worker's part of old slices, and the
leaves of old windows. Slices' sums, windows and their roots stay for good, in the ledger too.

What a window may still reach is kept whatever its age. How far all is dropped stands in the ledger, so that the audit
knows what it can still add up, and nobody removes anything unnoticed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Max, Min

from mbongi.core.ledger import selectors as ledger_selectors
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.crediting import Division
from mbongi.pool.entries import lock_books
from mbongi.pool.importing import ACTOR
from mbongi.pool.models import Block, Height, Slice, SliceWork, Window, WindowLeaf
from mbongi.pool.periods import first_unpaid
from mbongi.pool.values import Scheme
from mbongi.pool.windows import edge_of

SUBJECT: Final = "pool:work"
ACTION: Final = "pool.work.drop"
REACH: Final = 4
"""So many windows are kept: no retarget makes one longer than fourfold. Source: Bitcoin Core, pow.cpp."""
SLICES_AT_ONCE: Final = 200
WINDOWS_AT_ONCE: Final = 200
"""Of one transaction: a million rows for 5,000 workers."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The last slice whose parts, and the last window (its id) whose leaves are dropped; 0: none."""

    slices_to: int = 0
    windows_to: int = 0


def dropped() -> Dropped:
    """How far all is dropped, as the ledger says."""
    entries = ledger_selectors.entries(subject=SUBJECT)
    after: Any = entries[0].after if entries else {}
    return Dropped(int(after.get("slices_to", 0)), int(after.get("windows_to", 0)))


@transaction.atomic
def drop_old_work(division: Division, before: datetime) -> bool:
    """Drop what is from before a moment and out of every window's reach, up to a limit; whether there was any."""
    lock_books()
    done = dropped()
    windows_to = max(_windows_to(done, before), done.windows_to)
    slices_to = max(_slices_to(division, done, windows_to, before), done.slices_to)
    now = Dropped(slices_to, windows_to)
    if now == done:
        return False
    leaves, _ = WindowLeaf.objects.filter(window_id__gt=done.windows_to, window_id__lte=windows_to).delete()
    parts, _ = SliceWork.objects.filter(slice_id__gt=done.slices_to, slice_id__lte=slices_to).delete()
    after = {"slices_to": slices_to, "windows_to": windows_to, "parts": parts, "leaves": leaves}
    ledger.append([NewEntry(ACTOR, ACTION, SUBJECT, "pool.proof_days", after=after)])
    return True


def _windows_to(done: Dropped, before: datetime) -> int:
    """The last window that may lose its leaves; none whose block may still be undone or restored."""
    following = Window.objects.filter(pk__gt=done.windows_to).order_by("pk")
    rows = list(following.values_list("pk", "published_at", "block__is_at_rest")[:WINDOWS_AT_ONCE])
    found = done.windows_to
    for pk, published_at, is_at_rest in rows:
        if published_at >= before or is_at_rest is False:
            break
        found = pk
    return found


def _slices_to(division: Division, done: Dropped, windows_to: int, before: datetime) -> int:
    """The last slice whose parts no window needs: none to come, and none of those that the audit adds up again."""
    newest = Slice.objects.aggregate(last=Max("sequence"))["last"]
    hardest = Height.objects.aggregate(work=Max("network_work"))["work"]
    if newest is None or hardest is None:
        return done.slices_to
    moving = Block.objects.filter(is_at_rest=False, slice__isnull=False).aggregate(first=Min("slice"))["first"]
    last = newest if moving is None else min(newest, moving)
    edge = edge_of(last, REACH * division.window_work(int(hardest)))
    aged = Slice.objects.filter(to_at__lt=before).aggregate(last=Max("sequence"))["last"]
    audited = Window.objects.filter(pk__gt=windows_to).aggregate(first=Min("first_slice"))["first"]
    unpaid = first_unpaid()
    limits: list[int | None] = [edge, None if aged is None else aged + 1, audited, unpaid]
    if edge is None or aged is None:
        return done.slices_to
    if division.scheme in {Scheme.SOLO, Scheme.FPPS}:  # their windows reach back to the block before
        limits.append((Block.objects.filter(slice__lt=last).aggregate(last=Max("slice"))["last"] or 0) + 1)
    return min(*(each - 1 for each in limits if each is not None), _step(done))


def _step(done: Dropped) -> int:
    """As far as one transaction goes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(sequence) FROM (SELECT sequence FROM pool_slice WHERE sequence > %s"
            " ORDER BY sequence LIMIT %s) AS next",
            [done.slices_to, SLICES_AT_ONCE],
        )
        found = cursor.fetchone()[0]
    return int(found or done.slices_to)
