"""Writes of the pool's accounting. Each is one transaction: lock, rule, save, ledger, outbox.

Whoever calls acts for the whole site (``core.identity.scope.acting(SITE)``).
"""

from mbongi.pool.coinbase_plans import plan_coinbase
from mbongi.pool.crediting import Division, Taken, adopt_block, credit_key, lose_block, take_record
from mbongi.pool.entries import Occasion, credit, debit, ensure_accounts, lock_books, reverse, stands
from mbongi.pool.importing import ShardStep, import_shares, positions
from mbongi.pool.periods import follow_scheme, forget_minutes, note_height, pay_periods, put_aside
from mbongi.pool.retention import drop_old_work

__all__ = [
    "Division",
    "Occasion",
    "ShardStep",
    "Taken",
    "adopt_block",
    "credit",
    "credit_key",
    "debit",
    "drop_old_work",
    "ensure_accounts",
    "follow_scheme",
    "forget_minutes",
    "import_shares",
    "lock_books",
    "lose_block",
    "note_height",
    "pay_periods",
    "plan_coinbase",
    "positions",
    "put_aside",
    "reverse",
    "stands",
    "take_record",
]
