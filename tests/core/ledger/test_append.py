"""Appending."""

import hashlib
import json
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection, transaction

from mbongi.core.identity.scope import as_owner
from mbongi.core.ledger import merkle, selectors, services
from mbongi.core.ledger.errors import EntryError, LedgerError
from mbongi.core.ledger.models import LedgerEntry
from mbongi.core.ledger.tree import StoredTree
from mbongi.core.ledger.values import NewEntry
from tests.core.ledger.conftest import record

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


def test_indices_count_from_zero_without_gaps() -> None:
    assert record(3) == [0, 1, 2]
    assert record(1) == [3]
    assert selectors.head()[0] == 4


def test_an_entry_reads_back_as_it_was_written() -> None:
    record(reason='règle n° 5 "quoted"', before={"b": 1.5, "a": None}, after=["ü", True], tenant_id=7)
    (entry,) = selectors.entries()
    assert (entry.reason, entry.before, entry.after) == ('règle n° 5 "quoted"', {"a": None, "b": 1.5}, ["ü", True])
    assert entry.before_json == '{"a":null,"b":1.5}'
    assert (entry.actor, entry.action, entry.tenant_id) == ("user:1", "test.thing.do", 7)


def test_the_leaf_is_the_documented_json_and_the_root_is_rfc_6962s() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)
    with transaction.atomic():
        entry = NewEntry("user:3", "fleet.machine.sleep", "machine:17", "trop chaud é\n", {"z": 1, "a": 2}, None, 4)
        services.append([entry], clock=lambda: at)
    fields = [1, 0, "2026-01-02T03:04:05.000060Z", "user:3", "fleet.machine.sleep", "machine:17", "trop chaud é\n", 4,
              {"a": 2, "z": 1}, None]  # fmt: skip
    # Python's own JSON writer is the second method.
    leaf = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    assert selectors.head() == (1, hashlib.sha256(b"\0" + leaf).digest())


def test_entries_of_a_subject_newest_first_page_by_page() -> None:
    record(5)
    record(3, subject="machine:1")
    assert [entry.index for entry in selectors.entries(subject="machine:1")] == [7, 6, 5]
    assert [entry.index for entry in selectors.entries(before_index=6, limit=2)] == [5, 4]


def test_nothing_is_recorded_when_the_transaction_fails() -> None:
    record(2)
    with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012 -- the failure comes after the append
        services.append([NewEntry("user:1", "a.b.c", "x:1")])
        raise RuntimeError
    assert selectors.head()[0] == 2
    assert record() == [2]


@pytest.mark.parametrize(
    "entry",
    [
        NewEntry("", "a.b", "x:1"),
        NewEntry("user:1", "a.b", "x:1", reason="\0"),
        NewEntry("user:1", "a.b", "x:1", reason="\ud800"),
        NewEntry("user:1", "a.b", "x:1", reason="r" * 5_000),
        NewEntry("user:1", "a.b", "x:1", after=object()),
        NewEntry("user:1", "a.b", "x:1", after={"\ud800": 1}),
        NewEntry("user:1", "a.b", "x:1", after="x" * 200_000),
    ],
)
def test_an_entry_that_cannot_be_kept_as_it_is_refuses_the_whole_batch(entry: NewEntry) -> None:
    with pytest.raises(EntryError), transaction.atomic():
        services.append([NewEntry("user:1", "a.b", "x:1"), entry])
    assert selectors.head()[0] == 0


def test_more_than_a_batch_is_refused() -> None:
    with pytest.raises(EntryError, match="at most"), transaction.atomic():
        services.append([NewEntry("user:1", "a.b", "x:1")] * (services.BATCH_MAX + 1))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET reason = 'other'",
        "DELETE FROM ledger_entry",
        "TRUNCATE ledger_entry",
        "DELETE FROM ledger_head",
        "UPDATE ledger_head SET size = 0",
        "UPDATE ledger_node SET level = 9",
        "DELETE FROM ledger_checkpoint",
    ],
)
@pytest.mark.parametrize("owner", [False, True])
def test_nobody_changes_or_removes_anything_not_even_the_owner(statement: str, owner: bool) -> None:
    record(2)
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:  # noqa: PT012
        if owner:
            with as_owner():
                cursor.execute(statement)
        else:
            cursor.execute(statement)
    assert LedgerEntry.objects.count() == 2


def test_proofs_from_the_stored_tree_hold_across_its_levels() -> None:
    record(700)
    size, root = selectors.head()
    assert selectors.root_at(size) == root
    for index in (0, 255, 256, 511, 512, 699):
        leaf, path = selectors.prove(index, size)
        assert merkle.is_included(leaf, index, size, path, root)
    old_root = selectors.root_at(300)
    proof = merkle.consistency_proof(StoredTree().complete, 300, size)
    assert merkle.is_consistent(300, old_root, size, root, proof)


@pytest.mark.django_db(transaction=True)
def test_appending_outside_a_transaction_is_refused() -> None:
    with pytest.raises(LedgerError, match="outside a transaction"):
        services.append([NewEntry("user:1", "a.b", "x:1")])
