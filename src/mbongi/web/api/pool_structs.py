"""What the API says of the pool. Amounts are whole satoshis; hashrates hashes per second, with their 95 % interval."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from mbongi.pool.rules.block_record import BlockState
from mbongi.pool.rules.payout.batch import FeePayer
from mbongi.pool.values import EntryKind, PaymentState, Scheme

Sat = Annotated[int, Meta(description="satoshis")]
Txid = Annotated[str, Meta(min_length=64, max_length=64)]
Reason = Annotated[str, Meta(min_length=1, max_length=500, description="goes into the ledger")]


class Hashrate(msgspec.Struct, kw_only=True):
    """A hashrate [hashes/s] over ``span_s``, and the interval that chance leaves open."""

    value: float
    low: float
    high: float
    span_s: float


class PoolTemplate(msgspec.Struct, kw_only=True):
    """The job that is out; ``best_fees_sat`` is what the node's newest template would bring."""

    height: int
    fees_sat: Sat
    best_fees_sat: Sat
    transactions: int
    age_s: float


class PoolNode(msgspec.Struct, kw_only=True):
    """A Bitcoin node as the pool sees it."""

    name: str
    standing: str
    reason: str
    height: int
    followed: bool


class PoolSummary(msgspec.Struct, kw_only=True):
    """The pool at a glance. ``stale``: its processes are silent, and what is said of them is what was known last."""

    heard_at: datetime | None
    stale: bool
    processes: int
    listening: bool
    trouble: str
    workers: int
    connections_v1: int
    connections_v2: int
    hashrates: Annotated[dict[str, Hashrate], Meta(description="by minute, hour and day")]
    reject_pct: float | None
    blocks_day: int
    expected_blocks_day: float
    luck: float | None
    best_share: float | None
    template: PoolTemplate | None
    nodes: list[PoolNode]
    told_ms: Annotated[dict[str, float | None], Meta(description="from a job to its last miner, by quantile")]
    checked_ms: Annotated[dict[str, float | None], Meta(description="a template's check by the node, by quantile")]


class PoolWorker(msgspec.Struct, kw_only=True):
    """A worker's last day."""

    worker: str
    account: str
    firmware: str
    hashrate_hour: Hashrate
    hashrate_day: Hashrate
    shares: int
    rejected: int
    best: float
    blocks: int
    last_share_at: datetime | None


class PoolWorkerList(msgspec.Struct, kw_only=True):
    """Part of a list of workers."""

    items: list[PoolWorker]
    total: int
    offset: int
    limit: int


class PoolRejects(msgspec.Struct, kw_only=True):
    """Accepted and rejected shares of one firmware over a day."""

    firmware: str
    accepted: int
    rejected: int
    reasons: dict[str, int]


class PoolRejectList(msgspec.Struct, kw_only=True):
    """By firmware, those with most shares first."""

    items: list[PoolRejects]


class PoolAccount(msgspec.Struct, kw_only=True):
    """An account. Of its balance, ``immature_sat`` comes from blocks whose coins cannot be spent yet."""

    name: str
    balance_sat: Sat
    immature_sat: Sat
    payable_sat: Sat
    minimum_sat: Sat
    payout_address: str
    added_at: datetime


class PoolAccountList(msgspec.Struct, kw_only=True):
    """Part of a list of accounts, by name."""

    items: list[PoolAccount]
    offset: int
    limit: int


class PoolChange(msgspec.Struct, kw_only=True):
    """One change of a balance."""

    key: str
    kind: EntryKind
    at: datetime
    sat: Sat
    block_hash: str | None


class PoolAccountFull(PoolAccount, kw_only=True):
    """An account with its newest changes."""

    changes: list[PoolChange]


class PoolBlock(msgspec.Struct, kw_only=True):
    """A block that the pool found. ``luck`` above 1: less work than expected."""

    hash: str
    height: int
    found_at: datetime
    worker: str
    account: str
    state: BlockState
    confirmations: int
    subsidy_sat: Sat | None
    fees_sat: Sat | None
    luck: float | None
    scheme: Scheme | None
    window: str | None
    root: str | None


class PoolBlockList(msgspec.Struct, kw_only=True):
    """Blocks, newest first."""

    items: list[PoolBlock]


class PoolCredit(msgspec.Struct, kw_only=True):
    """What an account has of a block."""

    account: str
    sat: Sat


class PoolWindowWork(msgspec.Struct, kw_only=True):
    """A worker's work in a window [hashes], as decimal text: other languages' numbers do not hold it."""

    worker: str
    work: str


class PoolBlockFull(PoolBlock, kw_only=True):
    """A block with its window and credits, as far as the asker may see them; of both lists the part asked for."""

    coinbase_txid: str
    total_work: str | None
    ledger_index: int | None
    credits: list[PoolCredit]
    credits_total: int
    shares: list[PoolWindowWork]
    shares_total: int
    offset: int
    limit: int


class PoolPayout(msgspec.Struct, kw_only=True):
    """A payout and how far it is."""

    id: int
    state: PaymentState
    reason: str
    proposed_by: str
    proposed_at: datetime
    amount_sat: Sat
    fee_sat: Sat
    change_sat: Sat
    accounts: int
    unsigned_txid: str
    txid: str
    block_hash: str
    confirmations: int
    message: str


class PoolPayoutList(msgspec.Struct, kw_only=True):
    """Payouts, newest first."""

    items: list[PoolPayout]


class PoolPaid(msgspec.Struct, kw_only=True):
    """An account's part of a payout: ``amount_sat`` comes off its balance, ``sent_sat`` reaches the address."""

    account: str
    address: str
    amount_sat: Sat
    sent_sat: Sat


class PayoutPlan(msgspec.Struct, kw_only=True):
    """A payout as it would be, or was proposed: then ``id`` is its number. ``waiting``: whom it leaves out, and why."""

    id: int | None
    unsigned_txid: str
    amount_sat: Sat
    fee_sat: Sat
    change_sat: Sat
    paid: list[PoolPaid]
    waiting: dict[str, str]


class PayoutRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A payout to propose. ``dry_run`` only shows it, and is the default."""

    dry_run: bool = True
    reason: Annotated[str, Meta(max_length=500, description="goes into the ledger")] = ""
    fee_sat_kvb: Annotated[int, Meta(ge=1, le=100_000_000)] | None = None
    payer: FeePayer | None = None
    accounts: Annotated[list[str], Meta(max_length=1000)] = []
    in_advance: bool = False


class PayoutApproval(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Consent to exactly this transaction."""

    unsigned_txid: Txid


class PayoutCancel(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why a payout is given up."""

    reason: Reason


class SignedFiles(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Signed files (PSBT, base64); several where each holds other signatures."""

    files: Annotated[list[str], Meta(min_length=1, max_length=15)]


class UnsignedFile(msgspec.Struct, kw_only=True):
    """The file to be signed outside (PSBT, base64)."""

    psbt: str
