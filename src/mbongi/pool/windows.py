"""Payout windows out of the stored slices, and their published roots."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.db import connection
from django.db.models import Max, Sum

from mbongi.base.clock import utc_now
from mbongi.base.keys import stored_key
from mbongi.core.bus import outbox
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.errors import PayoutError
from mbongi.pool.events import WindowProven
from mbongi.pool.models import Account, Block, SliceWork, Window, WindowLeaf, Worker
from mbongi.pool.rules.payout.amounts import Terms
from mbongi.pool.rules.payout.windows import window_of
from mbongi.pool.rules.proof import ShareTree
from mbongi.pool.values import DONATION_ACCOUNT, FEE_ACCOUNT

ACTOR: Final = "process:pool-accounts"
_EDGE = """
SELECT sequence FROM (
    SELECT sequence, sum(work) OVER (ORDER BY sequence DESC) AS total FROM pool_slice
    WHERE sequence BETWEEN %s AND %s
) AS newest WHERE total >= %s ORDER BY sequence DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a window by worker's name [hashes], from the slice ``first`` to ``last``."""

    first: int
    last: int
    by_worker: dict[str, int]

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.by_worker.values())


def proof_secret(data_dir: Path) -> bytes:
    """What the salts of the share proofs are made with; made on first use."""
    return stored_key(data_dir / "secrets" / "pool-proof.key").encode("ascii")


def work_before(last: int, window_work: int, *, without: tuple[str, int] | None = None, since: int = 0) -> Work:
    """The last ``window_work`` hashes up to the end of slice ``last``; all there is where there is less.

    ``without`` leaves out the last share: its worker's name and work. Nothing before slice ``since`` counts.
    """
    reach = window_work + (without[1] if without else 0)
    found = edge_of(last, reach, since=since)
    first = since if found is None else found
    inside, edge = _by_worker(first + 1, last), _by_worker(first, first)
    if without is not None:
        newest = inside if first < last else edge
        newest[without[0]] = newest.get(without[0], 0) - without[1]
    work = window_of([inside, edge], window_work)
    return Work(first, last, work)


def edge_of(last: int, reach: int, *, since: int = 0) -> int | None:
    """The slice in which the last ``reach`` hashes up to the end of slice ``last`` begin; None where there is less."""
    with connection.cursor() as cursor:
        cursor.execute(_EDGE, [since, last, reach])
        found = cursor.fetchone()
    return None if found is None else int(found[0])


def work_of_block(block: Block, window_work: int, *, is_own_share_in: bool) -> Work:
    """A block's window. A pool whose very first share is a block has no work before it: then the share counts."""
    assert block.slice_id is not None
    if not is_own_share_in:
        work = work_before(block.slice_id, window_work, without=(block.worker.name, int(block.share_work)))
        if work.by_worker:
            return work
    return work_before(block.slice_id, window_work)


def by_account(work: Mapping[str, int]) -> dict[str, int]:
    """Work by account's name from work by worker's name."""
    accounts = dict(Worker.objects.filter(name__in=list(work)).values_list("name", "account__name"))
    if missing := set(work) - set(accounts):
        raise PayoutError(f"window: no worker {min(missing)}")
    sums: dict[str, int] = {}
    for worker, each in work.items():
        sums[accounts[worker]] = sums.get(accounts[worker], 0) + each
    return sums


def sharing_terms(fee_ppm: int, accounts: Iterable[str]) -> Terms:
    """The pool's fee, and what these accounts give away at present."""
    giving = Account.objects.filter(name__in=list(accounts), donation_ppm__gt=0)
    return Terms(
        fee_ppm=fee_ppm,
        fee_account=FEE_ACCOUNT,
        donations_ppm=dict(giving.values_list("name", "donation_ppm")),
        donation_account=DONATION_ACCOUNT,
    )


def publish(window: Window, work: Work, secret: bytes) -> ShareTree:
    """Store a window (unsaved until now) with its leaves; its root goes into the ledger and out on the bus."""
    tree = ShareTree(window.name, work.by_worker, secret)
    window.first_slice, window.last_slice = work.first, work.last
    window.total_work, window.leaves, window.root = tree.total_work, len(work.by_worker), tree.root.hex()
    window.published_at = utc_now()
    after = {
        "scheme": window.scheme,
        "root": window.root,
        "total_work": str(tree.total_work),
        "leaves": window.leaves,
        "slices": [work.first, work.last],
    }
    [window.ledger_index] = ledger.append(
        [NewEntry(ACTOR, "pool.window.publish", f"pool-window:{window.name}", after=after)]
    )
    window.save()
    _save_leaves(window, work.by_worker)
    outbox.emit(
        WindowProven(
            window=window.name,
            block="" if window.block is None else window.block.hash,
            root=window.root,
            total_work=str(tree.total_work),
            leaves=window.leaves,
            ledger_index=window.ledger_index,
            at_ms=int(window.published_at.timestamp() * 1000),
        )
    )
    return tree


def last_slice_before(sequence: int) -> int:
    """The last slice of the block before the one that ends with this slice; 0 where it is the first."""
    return Block.objects.filter(slice__lt=sequence).aggregate(last=Max("slice"))["last"] or 0


def _by_worker(first: int, last: int) -> dict[str, int]:
    rows = (
        SliceWork.objects.filter(slice__gte=first, slice__lte=last)
        .order_by()
        .values_list("worker__name")
        .annotate(all_work=Sum("work"))
    )
    return {name: int(each) for name, each in rows if each}


def _save_leaves(window: Window, work: Mapping[str, int]) -> None:
    workers = Worker.objects.in_bulk(list(work), field_name="name")
    WindowLeaf.objects.bulk_create(
        [
            WindowLeaf(window=window, worker=workers[name], tenant_id=workers[name].tenant_id, work=each)
            for name, each in work.items()
        ],
        batch_size=1000,
    )
