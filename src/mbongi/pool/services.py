"""Writes of the pool's accounting. Each is one transaction: lock, rule, save, ledger, outbox.

Whoever calls acts for the whole site (``core.identity.scope.acting(SITE)``).
"""

from mbongi.pool.entries import Occasion, credit, debit, ensure_accounts, lock_books, reverse, stands

__all__ = ["Occasion", "credit", "debit", "ensure_accounts", "lock_books", "reverse", "stands"]
