"""What the pool tells the other domains, over the bus. Times are milliseconds since 1970, UTC."""

import msgspec

from mbongi.core.bus.messages import message


@message("pool.block_found.v1")
class BlockFound(msgspec.Struct, frozen=True, kw_only=True):
    """A share made a block; whether the chain takes it comes later. ``tenant_id`` is its account's."""

    hash: str
    height: int
    worker: str
    account: str
    tenant_id: int | None
    at_ms: int


@message("pool.block_taken.v1")
class BlockTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A block of ours stands in the best chain, for the first time or again, and is credited to its miners."""

    hash: str
    height: int
    reward_sat: int
    scheme: str
    at_ms: int


@message("pool.block_orphaned.v1")
class BlockOrphaned(msgspec.Struct, frozen=True, kw_only=True):
    """A block of ours that was credited stands beside the best chain; its credits are undone."""

    hash: str
    height: int
    at_ms: int


@message("pool.block_settled.v1")
class BlockSettled(msgspec.Struct, frozen=True, kw_only=True):
    """A block of ours is so deep that its coins can be spent."""

    hash: str
    height: int
    at_ms: int


@message("pool.window_proven.v1")
class WindowProven(msgspec.Struct, frozen=True, kw_only=True):
    """The root over a payout window's work is in the ledger, at ``ledger_index``. Work is decimal text."""

    window: str
    block: str
    root: str
    total_work: str
    leaves: int
    ledger_index: int
    at_ms: int


@message("pool.payment.v1")
class PaymentChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A payout came to another state (``values.PaymentState``)."""

    payment_id: int
    state: str
    txid: str
    amount_sat: int
    fee_sat: int
    outputs: int
    at_ms: int
