"""Takes shares from the logs into the accounts: rows and place in the log move in one transaction, or neither."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Max, Sum

from mbongi.base.clock import utc_now
from mbongi.core.bus import outbox
from mbongi.core.ledger import services as ledger
from mbongi.core.ledger.values import NewEntry
from mbongi.pool.entries import ensure_accounts
from mbongi.pool.errors import CursorMovedError
from mbongi.pool.events import BlockFound
from mbongi.pool.models import Account, Block, Cursor, Slice, Worker
from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.rules.tally import SLICE_MS, FoundBlock, Stretch, Tally
from mbongi.pool.values import Position, account_of

ACTOR: Final = "process:pool-accounts"
_LOCK: Final = 0x6D626F_11
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_WORKERS = """
UPDATE pool_worker SET shares = pool_worker.shares + new.shares, work = pool_worker.work + new.work,
    best = GREATEST(pool_worker.best, new.best), last_share_at = GREATEST(last_share_at, new.last_at),
    first_share_at = LEAST(first_share_at, new.first_at)
FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[], %s::float8[], %s::timestamptz[], %s::timestamptz[])
    AS new(id, shares, work, best, first_at, last_at)
WHERE pool_worker.id = new.id
"""
_MINUTES = """
INSERT INTO pool_workerminute (worker_id, tenant_id, minute, protocol, shares, work, best)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::smallint[], %s::bigint[], %s::numeric[],
    %s::float8[])
ON CONFLICT (worker_id, minute, protocol) DO UPDATE SET shares = pool_workerminute.shares + EXCLUDED.shares,
    work = pool_workerminute.work + EXCLUDED.work, best = GREATEST(pool_workerminute.best, EXCLUDED.best)
"""
_PARTS = """
INSERT INTO pool_slicework (slice_id, worker_id, work, shares)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[], %s::bigint[])
ON CONFLICT (slice_id, worker_id) DO UPDATE SET work = pool_slicework.work + EXCLUDED.work,
    shares = pool_slicework.shares + EXCLUDED.shares
"""


@dataclass(frozen=True, slots=True)
class ShardStep:
    """How far one shard's log moves, and what was met on the way. ``to_ms`` is the time of the last share, or None."""

    shard: int
    before: Position
    after: Position
    shares: int = 0
    replays: int = 0
    damaged_bytes: int = 0
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A worker as the rows need it."""

    id: int
    account: str
    account_id: int
    tenant_id: int | None


def positions() -> dict[int, Position]:
    """How far each shard's log is taken in."""
    return {row.shard: Position(row.file, row.offset) for row in Cursor.objects.all()}


@transaction.atomic
def import_shares(
    steps: Sequence[ShardStep], tally: Tally, names: Sequence[str], is_address: Callable[[str], bool]
) -> None:
    """Book shares that were added up, once; ``names`` are the workers' by the tally's numbers.

    Raises CursorMovedError, and books nothing, where a log is not taken in as far as a step begins.
    """
    lock_imports()
    _move_cursors(steps)
    if not tally.stretches:
        return
    workers = _workers(tally, names, is_address)
    _add_totals(tally, workers)
    _add_minutes(tally, workers)
    found = _add_stretches(tally.stretches, workers)
    _add_blocks(found, workers, names)


def lock_imports() -> None:
    """Wait until nobody else takes shares in; holds until the transaction ends. Taken before the lock of the books."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _move_cursors(steps: Sequence[ShardStep]) -> None:
    shards = [step.shard for step in steps]
    Cursor.objects.bulk_create([Cursor(shard=shard) for shard in shards], ignore_conflicts=True)
    rows = Cursor.objects.select_for_update().in_bulk(shards)
    for step in steps:
        row = rows[step.shard]
        if Position(row.file, row.offset) != step.before:
            raise CursorMovedError(
                f"shares of shard {step.shard}: taken in up to byte {row.offset} of file {row.file};"
                f" expected {step.before.offset} of {step.before.file}"
            )
        row.file, row.offset = step.after.file, step.after.offset
        row.shares += step.shares
        row.replays += step.replays
        row.damaged_bytes += step.damaged_bytes
        if step.to_ms is not None:
            row.imported_to = at_ms(step.to_ms)
    Cursor.objects.bulk_update(
        rows.values(), ["file", "offset", "shares", "replays", "damaged_bytes", "imported_to"], batch_size=1000
    )


def _workers(tally: Tally, names: Sequence[str], is_address: Callable[[str], bool]) -> dict[int, _Known]:
    """The workers of these shares, by the tally's numbers; new ones are entered, with their accounts."""
    numbers = {names[number]: number for number in tally.totals}
    known = _read_workers(numbers)
    missing = [name for name in numbers if numbers[name] not in known]
    if missing:
        _enter_workers(missing, tally, numbers, is_address)
        known |= _read_workers({name: numbers[name] for name in missing})
    return known


def _read_workers(numbers: Mapping[str, int]) -> dict[int, _Known]:
    rows = Worker.objects.filter(name__in=list(numbers)).order_by()
    columns = ("name", "id", "account__name", "account_id", "tenant_id")
    return {numbers[name]: _Known(*rest) for name, *rest in rows.values_list(*columns)}


def _enter_workers(
    missing: Sequence[str], tally: Tally, numbers: Mapping[str, int], is_address: Callable[[str], bool]
) -> None:
    now = utc_now()
    wanted = {account_of(name) for name in missing}
    Account.objects.bulk_create(
        [Account(name=name, payout_address=name if is_address(name) else "", added_at=now) for name in sorted(wanted)],
        ignore_conflicts=True,
        batch_size=1000,
    )
    accounts = Account.objects.in_bulk(list(wanted), field_name="name")
    rows = []
    for name in missing:
        account, totals = accounts[account_of(name)], tally.totals[numbers[name]]
        first_at, last_at = at_ms(totals.first_ms), at_ms(totals.last_ms)
        rows.append(
            Worker(
                name=name, account=account, tenant_id=account.tenant_id, first_share_at=first_at, last_share_at=last_at
            )
        )
    Worker.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)


def _add_totals(tally: Tally, workers: Mapping[int, _Known]) -> None:
    _execute(
        _WORKERS,
        (
            (
                workers[number].id,
                each.shares,
                each.work,
                each.best,
                at_ms(each.first_ms),
                at_ms(each.last_ms),
            )
            for number, each in tally.totals.items()
        ),
    )


def _add_minutes(tally: Tally, workers: Mapping[int, _Known]) -> None:
    _execute(
        _MINUTES,
        (
            (workers[number].id, workers[number].tenant_id, at_ms(minute), protocol, each.shares, each.work, each.best)
            for (number, minute, protocol), each in tally.minutes.items()
        ),
    )


def _add_stretches(stretches: Iterable[Stretch], workers: Mapping[int, _Known]) -> list[tuple[FoundBlock, int]]:
    """Append work to the open slice, closed and followed by another where it must be; the blocks and their slices."""
    current = Slice.objects.filter(is_closed=False).first()
    touched: dict[int, Slice] = {}
    parts, found = [], []
    for each in stretches:
        if current is not None and _half_hour(current.from_at) != _half_hour(at_ms(each.from_ms)):
            current.is_closed = True
            touched[current.sequence] = current
            current = None
        if current is None:
            current = _new_slice(each, touched)
        touched[current.sequence] = current
        current.to_at = max(current.to_at, at_ms(each.to_ms))
        for number, (work, shares) in each.parts.items():
            current.work += work
            current.shares += shares
            parts.append((current.sequence, workers[number].id, work, shares))
        if each.block is not None:
            found.append((each.block, current.sequence))
            current.is_closed = True
            current = None
    _save_slices(touched.values())
    _execute(_PARTS, _added_up(parts))
    return found


def _half_hour(moment: datetime) -> int:
    return int((moment - _EPOCH).total_seconds() * 1000) // SLICE_MS


def _new_slice(stretch: Stretch, touched: Mapping[int, Slice]) -> Slice:
    last = max(touched, default=None) or Slice.objects.aggregate(last=Max("sequence"))["last"] or 0
    begin = at_ms(stretch.from_ms)
    return Slice(sequence=last + 1, from_at=begin, to_at=begin, work=0, shares=0)


def _save_slices(slices: Iterable[Slice]) -> None:
    # Closed ones first: only one may be open at a time.
    Slice.objects.bulk_create(
        sorted(slices, key=lambda each: not each.is_closed),
        update_conflicts=True,
        unique_fields=["sequence"],
        update_fields=["to_at", "work", "shares", "is_closed"],
        batch_size=1000,
    )


def _added_up(parts: Iterable[tuple[int, int, int, int]]) -> Iterable[tuple[int, int, int, int]]:
    """One row for each slice and worker: a statement may touch a row once."""
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    for sequence, worker, work, shares in parts:
        before = sums.get((sequence, worker), (0, 0))
        sums[sequence, worker] = before[0] + work, before[1] + shares
    return ((sequence, worker, work, shares) for (sequence, worker), (work, shares) in sums.items())


def _add_blocks(found: Sequence[tuple[FoundBlock, int]], workers: Mapping[int, _Known], names: Sequence[str]) -> None:
    entries = []
    for block, sequence in found:
        known = workers[block.worker]
        if enter_block(block, sequence, worker_id=known.id, account_id=known.account_id):
            after = {"height": block.height, "worker": names[block.worker], "slice": sequence}
            entries.append(NewEntry(ACTOR, "pool.block.find", f"pool-block:{block.hash}", after=after))
            outbox.emit(
                BlockFound(
                    hash=block.hash,
                    height=block.height,
                    worker=names[block.worker],
                    account=known.account,
                    tenant_id=known.tenant_id,
                    at_ms=block.time_ms,
                )
            )
    ledger.append(entries)


def enter_block(block: FoundBlock, sequence: int, *, worker_id: int, account_id: int) -> bool:
    """Enter a block whose window ends with a slice; False where it is known."""
    if Block.objects.filter(hash=block.hash).exists():
        return False
    before = Block.objects.filter(slice__lt=sequence).aggregate(last=Max("slice"))["last"] or 0
    work = Slice.objects.filter(sequence__gt=before, sequence__lte=sequence).aggregate(all=Sum("work"))["all"] or 0
    Block.objects.create(
        hash=block.hash,
        height=block.height,
        found_at=at_ms(block.time_ms),
        worker_id=worker_id,
        account_id=account_id,
        slice_id=sequence,
        state=BlockState.FOUND,
        state_at=at_ms(block.time_ms),
        share_work=block.work,
        work_since=work,
    )
    return True


def enter_worker(name: str, time_ms: int) -> Worker:
    """A worker, entered with its account where it is new."""
    account = ensure_accounts([account_of(name)])[account_of(name)]
    moment = at_ms(time_ms)
    defaults = {"account": account, "tenant_id": account.tenant_id, "first_share_at": moment, "last_share_at": moment}
    return Worker.objects.get_or_create(name=name, defaults=defaults)[0]


def at_ms(milliseconds: int) -> datetime:
    """A moment from milliseconds since 1970."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _execute(statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        with connection.cursor() as cursor:
            cursor.execute(statement, columns)
