"""Reads of the pool's accounting, within the scope that the caller acts in. Rows are plain frozen values.

Amounts are whole satoshis, work is whole hashes: work / seconds is a hashrate in hashes per second.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum

from mbongi.base.ids import TenantId
from mbongi.pool.models import Account, Block, Cursor, EntryChange, Slice, Window, WindowLeaf, Worker, WorkerMinute
from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.rules.proof import ShareProof, ShareTree
from mbongi.pool.values import EntryKind, Protocol, Scheme

PAGE_MAX = 1000
"""Rows of one page, at most; a larger limit is lowered to it."""


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account. Of ``balance_sat``, ``immature_sat`` comes from blocks whose coins cannot be spent yet.

    ``payable_sat`` is what may be paid now (>= 0).
    """

    id: int
    name: str
    tenant_id: TenantId | None
    payout_address: str
    minimum_sat: int
    donation_ppm: int
    balance_sat: int
    immature_sat: int
    added_at: datetime

    @property
    def payable_sat(self) -> int:
        """What may be paid at present."""
        return max(min(self.balance_sat, self.balance_sat - self.immature_sat), 0)

    @property
    def resting_sat(self) -> int:
        """What of the balance has to wait for its blocks (>= 0): less than is immature, where some was paid ahead."""
        return max(self.balance_sat, 0) - self.payable_sat

    @property
    def is_own(self) -> bool:
        """Whether it is one of the pool's own, which no miner works for."""
        return self.name.startswith(".")


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker and its totals ever; ``best`` is the highest difficulty that a share of it reached."""

    id: int
    name: str
    account: str
    tenant_id: TenantId | None
    first_share_at: datetime
    last_share_at: datetime
    shares: int
    work: int
    best: float


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """Shares of one minute over the workers asked for."""

    minute: datetime
    protocol: Protocol
    shares: int
    work: int
    best: float


@dataclass(frozen=True, slots=True)
class WorkRow:
    """A worker's shares of a span of time; see ``work_by_worker``."""

    worker_id: int
    shares: int
    work: int
    best: float


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A block of the pool; what its record has not told yet is None. ``luck`` above 1: less work than expected.

    ``worker`` and ``account`` are empty where they are another tenant's.
    """

    id: int
    hash: str
    height: int
    found_at: datetime
    worker: str
    account: str
    state: BlockState
    state_at: datetime
    confirmations: int
    subsidy_sat: int | None
    fees_sat: int | None
    work_since: int
    network_work: int | None
    luck: float | None
    coinbase_txid: str
    own_output_index: int | None
    own_output_sat: int | None
    own_output_script: bytes | None
    scheme: Scheme | None
    window: str | None
    root: str | None


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A payout window and what was published of it; ``block_hash`` is None for a period of FPPS."""

    id: int
    name: str
    block_hash: str | None
    scheme: Scheme
    total_work: int
    leaves: int
    root: str
    published_at: datetime
    ledger_index: int | None


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One change of an account's balance; ``undoes`` is the key of the entry that a reversal undoes."""

    key: str
    kind: EntryKind
    at: datetime
    sat: int
    block_hash: str | None
    undoes: str


@dataclass(frozen=True, slots=True)
class CursorRow:
    """How far a shard's shares are taken in; ``replays`` were in the log a second time and not counted."""

    shard: int
    imported_to: datetime | None
    shares: int
    replays: int
    damaged_bytes: int


def accounts(*, search: str = "", limit: int = PAGE_MAX, offset: int = 0) -> list[AccountRow]:
    """Accounts by name; ``search`` is part of a name, or the whole address that an account is paid to."""
    named = Q(name__icontains=search) | Q(payout_address=search)
    found = Account.objects.filter(named) if search else Account.objects.all()
    return _account_rows(found.order_by("name")[offset : offset + min(limit, PAGE_MAX)])


def miners_accounts() -> list[AccountRow]:
    """All accounts but the pool's own, however many there are: for sums and for whose figures a tenant may see."""
    return _account_rows(Account.objects.exclude(name__startswith=".").order_by("name"))


def account(name: str) -> AccountRow | None:
    """One account; None where there is none of that name in the scope."""
    return next(iter(_account_rows(Account.objects.filter(name=name))), None)


def account_paid_to(address: str) -> str | None:
    """The name of the one account that is paid to an address and has another name; None without, or with several."""
    found = Account.objects.filter(payout_address=address).values_list("name", flat=True)[:2] if address else []
    names = list(found)
    return names[0] if len(names) == 1 and names[0] != address else None


def newest_work_at() -> datetime | None:
    """When the newest share was made that is taken in, by the pool's clock; None before the first."""
    return Slice.objects.order_by("-sequence").values_list("to_at", flat=True).first()


def payable_accounts() -> list[AccountRow]:
    """The accounts to which something may be paid now: an address is known and mature money is owed."""
    found = Account.objects.filter(balance_sat__gt=0).exclude(payout_address="")
    return [row for row in _account_rows(found) if row.payable_sat > 0]


def workers(*, account_id: int | None = None, limit: int = PAGE_MAX, offset: int = 0) -> list[WorkerRow]:
    """Workers by name, of one account or all."""
    found = Worker.objects.select_related("account").order_by("name")
    if account_id is not None:
        found = found.filter(account_id=account_id)
    return [
        WorkerRow(
            id=each.pk,
            name=each.name,
            account=each.account.name,
            tenant_id=_tenant(each.tenant_id),
            first_share_at=each.first_share_at,
            last_share_at=each.last_share_at,
            shares=each.shares,
            work=int(each.work),
            best=each.best,
        )
        for each in found[offset : offset + min(limit, PAGE_MAX)]
    ]


def minutes(
    since: datetime, until: datetime, *, account_id: int | None = None, worker_id: int | None = None
) -> list[MinuteRow]:
    """Shares by minute and protocol (since <= minute < until), oldest first."""
    found = _minutes(since, until, account_id)
    if worker_id is not None:
        found = found.filter(worker_id=worker_id)
    grouped = found.values("minute", "protocol").annotate(
        all_shares=Sum("shares"), all_work=Sum("work"), all_best=Max("best")
    )
    return [
        MinuteRow(row["minute"], Protocol(row["protocol"]), row["all_shares"], int(row["all_work"]), row["all_best"])
        for row in grouped.order_by("minute", "protocol")
    ]


def work_by_worker(since: datetime, until: datetime, *, account_id: int | None = None) -> dict[int, WorkRow]:
    """Each worker's shares of whole minutes (since <= minute < until), by the worker's id."""
    grouped = (
        _minutes(since, until, account_id)
        .values("worker_id")
        .annotate(all_shares=Sum("shares"), all_work=Sum("work"), all_best=Max("best"))
    )
    return {
        row["worker_id"]: WorkRow(row["worker_id"], row["all_shares"], int(row["all_work"]), row["all_best"])
        for row in grouped
    }


def blocks(*, limit: int = 100, account_id: int | None = None) -> list[BlockRow]:
    """The newest blocks first."""
    found = _blocks().order_by("-found_at", "-id")
    if account_id is not None:
        found = found.filter(account_id=account_id)
    return _block_rows(found[: min(limit, PAGE_MAX)])


def block(hash_: str) -> BlockRow | None:
    """One block."""
    return next(iter(_block_rows(_blocks().filter(hash=hash_))), None)


def windows(*, limit: int = 100) -> list[WindowRow]:
    """The newest payout windows first."""
    return [_window_row(each) for each in Window.objects.select_related("block")[: min(limit, PAGE_MAX)]]


def window(name: str) -> WindowRow | None:
    """One payout window."""
    return next((_window_row(each) for each in Window.objects.select_related("block").filter(name=name)), None)


def windows_of_worker(worker_id: int, *, limit: int = 100) -> list[tuple[WindowRow, int]]:
    """The windows in which a worker has work, newest first, each with that work."""
    leaves = WindowLeaf.objects.filter(worker_id=worker_id).select_related("window__block").order_by("-window_id")
    return [(_window_row(each.window), int(each.work)) for each in leaves[: min(limit, PAGE_MAX)]]


def window_shares(window_name: str) -> list[tuple[str, int]]:
    """The workers that the scope sees in a window, each with its work there, most first."""
    leaves = WindowLeaf.objects.filter(window__name=window_name).order_by("-work", "worker__name")
    return [(name, int(work)) for name, work in leaves.values_list("worker__name", "work")]


def credits_of_block(hash_: str) -> list[tuple[str, int]]:
    """What the accounts that the scope sees have of a block [sat], most first; a block undone has nothing."""
    found = (
        EntryChange.objects.filter(entry__block__hash=hash_)
        .order_by()
        .values("account__name")
        .annotate(total=Sum("sat"))
    )
    rows = [(row["account__name"], int(row["total"])) for row in found if row["total"]]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def share_proof(window_name: str, worker_name: str, secret: bytes) -> ShareProof | None:
    """The proof that a worker's work is part of a published window; ``proof.encoded()`` is the file to hand out.

    None where the worker, as far as the scope sees it, has no work there. ``secret`` is ``proofs.proof_secret``.
    Acting for a tenant, the caller must see the leaf; the tree is built from all leaves, so this needs the site's
    scope: check with ``windows_of_worker`` first whose worker it is.
    """
    leaves = WindowLeaf.objects.filter(window__name=window_name).values_list("worker__name", "work")
    work = {name: int(each) for name, each in leaves}
    return ShareTree(window_name, work, secret).proof(worker_name) if worker_name in work else None


def changes(account_id: int, *, limit: int = 100, offset: int = 0) -> list[ChangeRow]:
    """What an account earned and was paid, newest first."""
    found = (
        EntryChange.objects.filter(account_id=account_id)
        .select_related("entry__block", "entry__undoes")
        .order_by("-id")[offset : offset + min(limit, PAGE_MAX)]
    )
    return [
        ChangeRow(
            key=each.entry.key,
            kind=EntryKind(each.entry.kind),
            at=each.entry.at,
            sat=each.sat,
            block_hash=None if each.entry.block is None else each.entry.block.hash,
            undoes="" if each.entry.undoes is None else each.entry.undoes.key,
        )
        for each in found
    ]


def cursors() -> list[CursorRow]:
    """How far the shares of each shard are taken in."""
    return [
        CursorRow(each.shard, each.imported_to, each.shares, each.replays, each.damaged_bytes)
        for each in Cursor.objects.order_by("shard")
    ]


def blocks_by_state() -> Mapping[BlockState, int]:
    """How many blocks there are in each state."""
    counts = Block.objects.order_by().values("state").annotate(number=Count("id"))
    return {BlockState(row["state"]): row["number"] for row in counts}


def _account_rows(found: "Iterable[Account]") -> list[AccountRow]:
    rows = list(found)
    immature = (
        EntryChange.objects.filter(account__in=[each.pk for each in rows])
        .filter(Q(entry__block__isnull=False) & ~Q(entry__block__state=BlockState.MATURE))
        .order_by()
        .values("account_id")
        .annotate(sat=Sum("sat"))
    )
    by_account = {row["account_id"]: int(row["sat"]) for row in immature}
    return [
        AccountRow(
            id=each.pk,
            name=each.name,
            tenant_id=_tenant(each.tenant_id),
            payout_address=each.payout_address,
            minimum_sat=each.minimum_sat,
            donation_ppm=each.donation_ppm,
            balance_sat=each.balance_sat,
            immature_sat=by_account.get(each.pk, 0),
            added_at=each.added_at,
        )
        for each in rows
    ]


def _minutes(since: datetime, until: datetime, account_id: int | None) -> "QuerySet[WorkerMinute, Any]":
    found = WorkerMinute.objects.filter(minute__gte=since, minute__lt=until).order_by()
    return found if account_id is None else found.filter(worker__account_id=account_id)


def _blocks() -> "QuerySet[Block, Block]":
    return Block.objects.select_related("window")


def _block_rows(found: "Iterable[Block]") -> list[BlockRow]:
    """Blocks are everybody's, who found them is not: a name that the scope does not see stays empty."""
    rows = list(found)
    workers = dict(Worker.objects.filter(pk__in={each.worker_id for each in rows}).values_list("pk", "name"))
    accounts = dict(Account.objects.filter(pk__in={each.account_id for each in rows}).values_list("pk", "name"))
    return [_block_row(each, workers.get(each.worker_id, ""), accounts.get(each.account_id, "")) for each in rows]


def _block_row(each: Block, worker: str, account: str) -> BlockRow:
    window = getattr(each, "window", None)
    return BlockRow(
        id=each.pk,
        hash=each.hash,
        height=each.height,
        found_at=each.found_at,
        worker=worker,
        account=account,
        state=BlockState(each.state),
        state_at=each.state_at,
        confirmations=each.confirmations,
        subsidy_sat=each.subsidy_sat,
        fees_sat=each.fees_sat,
        work_since=int(each.work_since),
        network_work=None if each.network_work is None else int(each.network_work),
        luck=each.luck,
        coinbase_txid=each.coinbase_txid,
        own_output_index=each.own_output_index,
        own_output_sat=each.own_output_sat,
        own_output_script=None if each.own_output_script is None else bytes(each.own_output_script),
        scheme=Scheme(each.scheme) if each.scheme else None,
        window=None if window is None else window.name,
        root=None if window is None else window.root,
    )


def _window_row(each: Window) -> WindowRow:
    return WindowRow(
        id=each.pk,
        name=each.name,
        block_hash=None if each.block is None else each.block.hash,
        scheme=Scheme(each.scheme),
        total_work=int(each.total_work),
        leaves=each.leaves,
        root=each.root,
        published_at=each.published_at,
        ledger_index=each.ledger_index,
    )


def _tenant(number: int | None) -> TenantId | None:
    return None if number is None else TenantId(number)
