"""Verification finds what somebody did who owns the database and switched every guard off."""

from collections.abc import Callable

import pytest

from mbongi.core.ledger import selectors
from mbongi.core.ledger.checkpoints import Keeper, read_checkpoints
from mbongi.core.ledger.errors import TamperedError
from mbongi.core.ledger.leaf import leaf_hash_of
from mbongi.core.ledger.merkle import Frontier
from mbongi.core.ledger.models import LedgerEntry
from mbongi.core.ledger.verify import verify
from tests.core.ledger.conftest import record

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]

Tamper = Callable[..., None]


@pytest.fixture
def ledger(db: None, keeper: Keeper) -> Keeper:
    """600 entries, with checkpoints at 100, 400 and 600, in the database and in the file."""
    for count in (100, 300, 200):
        record(count)
        keeper.sign()
    return keeper


def found(keeper: Keeper) -> list[tuple[str, int, int]]:
    known = selectors.checkpoints(keeper.signer) + read_checkpoints(keeper.file, keeper.signer)
    return [(problem.kind, problem.first, problem.last) for problem in verify(known).problems]


def rewrite(tamper: Tamper, index: int, reason: str) -> None:
    """Change an entry together with its hash."""
    columns = ("index", "at", "actor", "action", "subject", "reason", "tenant_id", "before", "after")
    row = list(LedgerEntry.objects.values_list(*columns).get(pk=index))
    row[5] = reason
    leaf = leaf_hash_of(tuple(row)).hex()
    tamper(f"UPDATE ledger_entry SET reason = '{reason}', leaf_hash = '\\x{leaf}' WHERE index = {index}")


def test_an_untouched_ledger_is_intact(ledger: Keeper) -> None:
    told: list[tuple[int, int]] = []
    result = verify(read_checkpoints(ledger.file, ledger.signer), on_progress=lambda *so_far: told.append(so_far))
    assert result.is_intact
    assert (result.size, result.checkpoints, result.root) == (600, 3, selectors.head()[1])
    assert told[-1] == (600, 600)


def test_an_empty_ledger_is_intact() -> None:
    assert verify([]).is_intact


@pytest.mark.parametrize("column", ["reason", "actor", "action", "subject", "before", "after"])
def test_an_altered_entry_is_named(ledger: Keeper, tamper: Tamper, column: str) -> None:
    tamper(f"UPDATE ledger_entry SET {column} = '\"x\"' WHERE index = 123")
    assert found(ledger) == [("altered", 123, 123)]


@pytest.mark.parametrize("change", ["at = at + interval '1 microsecond'", "tenant_id = 5", "leaf_hash = '\\x00'"])
def test_an_altered_time_tenant_or_hash_is_named(ledger: Keeper, tamper: Tamper, change: str) -> None:
    tamper(f"UPDATE ledger_entry SET {change} WHERE index = 123")
    assert found(ledger) == [("altered", 123, 123)]


def test_an_entry_altered_with_its_hash_is_found_within_its_block(ledger: Keeper, tamper: Tamper) -> None:
    rewrite(tamper, 300, "other")
    assert found(ledger) == [("altered", 256, 511)]


def test_and_after_the_last_whole_block_between_its_checkpoints(ledger: Keeper, tamper: Tamper) -> None:
    rewrite(tamper, 550, "other")
    assert found(ledger) == [("altered", 400, 599)]


def test_removed_entries_are_named(ledger: Keeper, tamper: Tamper) -> None:
    tamper("DELETE FROM ledger_entry WHERE index IN (50, 51, 300)")
    assert found(ledger) == [("removed", 50, 51), ("removed", 300, 300)]


def test_reordered_entries_are_named(ledger: Keeper, tamper: Tamper) -> None:
    tamper(
        "UPDATE ledger_entry SET index = -1 WHERE index = 20",
        "UPDATE ledger_entry SET index = 20 WHERE index = 30",
        "UPDATE ledger_entry SET index = 30 WHERE index = -1",
    )
    assert found(ledger) == [("reordered", 20, 20), ("reordered", 30, 30)]


def test_a_removed_tail_is_found_by_the_head(ledger: Keeper, tamper: Tamper) -> None:
    tamper("DELETE FROM ledger_entry WHERE index >= 590")
    assert found(ledger) == [("removed", 590, 599)]


def test_a_tail_removed_with_head_nodes_and_checkpoints_is_found_by_the_file(ledger: Keeper, tamper: Tamper) -> None:
    shorter = Frontier()
    for leaf in LedgerEntry.objects.filter(index__lt=590).order_by("index").values_list("leaf_hash", flat=True):
        shorter.append(bytes(leaf))
    tamper(
        "DELETE FROM ledger_entry WHERE index >= 590",
        "DELETE FROM ledger_checkpoint WHERE size > 590",
        f"UPDATE ledger_head SET size = 590, frontier = '\\x{shorter.to_bytes().hex()}'",
    )
    assert verify(selectors.checkpoints(ledger.signer)).is_intact
    assert found(ledger) == [("removed", 590, 599)]
    with pytest.raises(TamperedError, match="were removed"):
        ledger.sign()


def test_an_entry_smuggled_in_behind_the_end_is_named(ledger: Keeper, tamper: Tamper) -> None:
    tamper(
        "INSERT INTO ledger_entry SELECT 600, at, actor, action, subject, reason, tenant_id, before, after, leaf_hash"
        " FROM ledger_entry WHERE index = 599"
    )
    assert found(ledger) == [("added", 600, 600)]


def test_a_history_written_anew_is_found_by_the_checkpoints_and_not_signed(ledger: Keeper, tamper: Tamper) -> None:
    tamper("DELETE FROM ledger_entry", "DELETE FROM ledger_node", "UPDATE ledger_head SET size = 0, frontier = ''")
    record(700, actor="user:2")
    assert found(ledger) == [("altered", 0, 99)]
    with pytest.raises(TamperedError, match="not those signed for"):
        ledger.sign()


def test_nothing_new_is_not_signed_again(ledger: Keeper) -> None:
    assert ledger.sign() is None
    record()
    checkpoint = ledger.sign()
    assert checkpoint is not None
    assert checkpoint.size == 601
    assert [one.size for one in read_checkpoints(ledger.file, ledger.signer)] == [100, 400, 600, 601]
    assert ledger.file.stat().st_mode & 0o777 == 0o600
