"""Appending to the ledger. Everything about one entry happens in the transaction of the change it records."""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection

from mbongi.base.clock import Clock, utc_now
from mbongi.core.ledger.errors import EntryError, LedgerError
from mbongi.core.ledger.leaf import check_text, json_text, leaf_hash_of
from mbongi.core.ledger.merkle import Frontier
from mbongi.core.ledger.values import NODE_LEVEL_MIN, NewEntry

BATCH_MAX = 10_000
"""Entries of one call, at most; more is an error, so that the head is never locked for long."""

_APPEND = """
WITH entries AS (
    INSERT INTO ledger_entry (index, at, actor, action, subject, reason, tenant_id, before, after, leaf_hash)
    SELECT * FROM unnest(%b::bigint[], %b::timestamptz[], %b::text[], %b::text[], %b::text[], %b::text[],
                         %b::bigint[], %b::text[], %b::text[], %b::bytea[])
)
UPDATE ledger_head SET size = %b::bigint, frontier = %b::bytea WHERE id = 1
"""
_APPEND_NODES = """
INSERT INTO ledger_node (level, position, hash) SELECT * FROM unnest(%b::smallint[], %b::bigint[], %b::bytea[])
"""


def append(entries: Sequence[NewEntry], *, clock: Clock = utc_now) -> list[int]:
    """Record the entries, in order; returns their indices.

    Must be called inside ``transaction.atomic``, best as its last step: others who append wait until it ends.
    Raises EntryError when an entry cannot be recorded; then none is.
    """
    if not connection.in_atomic_block:
        raise LedgerError("ledger: append outside a transaction; record within the transaction of the change itself")
    if len(entries) > BATCH_MAX:
        raise EntryError(f"ledger: {len(entries)} entries at once; at most {BATCH_MAX}")
    if not entries:
        return []
    bodies = [_body(entry) for entry in entries]
    connection.ensure_scope()  # type: ignore[attr-defined]  # the statements below go round Django's cursor
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return _append(cursor, bodies, clock)


def _append(cursor: "psycopg.Cursor[Any]", bodies: list[tuple[Any, ...]], clock: Clock) -> list[int]:
    head = cursor.execute("SELECT size, frontier FROM ledger_head WHERE id = 1 FOR UPDATE", binary=True).fetchone()
    if head is None:
        raise LedgerError("ledger: its head row is missing; run ./mbongi ledger verify")
    frontier, at, nodes = Frontier(head[0], head[1]), clock(), []

    def keep_node(level: int, position: int, node: bytes) -> None:
        if level >= NODE_LEVEL_MIN:
            nodes.append((level, position, node))

    rows = []
    for index, body in enumerate(bodies, frontier.size):
        row = (index, at, *body)
        leaf = leaf_hash_of(row)
        frontier.append(leaf, keep_node)
        rows.append((*row, leaf))
    columns = [list(column) for column in zip(*rows, strict=True)]
    cursor.execute(_APPEND, [*columns, frontier.size, frontier.to_bytes()])
    if nodes:
        cursor.execute(_APPEND_NODES, [list(column) for column in zip(*nodes, strict=True)])
    return columns[0]


def _body(entry: NewEntry) -> tuple[Any, ...]:
    for what, value in (("actor", entry.actor), ("action", entry.action), ("subject", entry.subject)):
        if not value:
            raise EntryError(f"ledger entry: {what}: empty")
        check_text(value, what)
    check_text(entry.reason, "reason")
    return (
        entry.actor,
        entry.action,
        entry.subject,
        entry.reason,
        entry.tenant_id,
        json_text(entry.before, "before"),
        json_text(entry.after, "after"),
    )
