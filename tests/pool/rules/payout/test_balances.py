"""Balances: each key counts once, orphans are undone and come back, and no satoshi is lost or made."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import BalanceError
from mbongi.pool.rules.payout.balances import Balances, EntryKind, balances_of


def test_a_block_is_credited_once_however_often_it_is_told() -> None:
    balances = Balances()

    first = balances.credit("block/aa", {"a": 70, "b": 30, "c": 0})
    again = balances.credit("block/aa", {"b": 30, "a": 70})

    assert first is not None
    assert again is None
    assert (balances.owed_sat, balances.total_sat) == ({"a": 70, "b": 30}, 100)


def test_a_key_that_stands_for_something_else_is_refused_and_nothing_changes() -> None:
    balances = Balances()
    balances.credit("block/aa", {"a": 70})

    for attempt in (
        lambda: balances.credit("block/aa", {"a": 71}),
        lambda: balances.debit("block/aa", {"a": 70}),
        lambda: balances.credit("", {"a": 1}),
        lambda: balances.credit("k" * 201, {"a": 1}),
    ):
        with pytest.raises(BalanceError):
            attempt()
    assert (balances.owed_sat, len(balances.entries)) == ({"a": 70}, 1)


def test_no_more_is_paid_than_is_owed() -> None:
    balances = Balances()
    balances.credit("block/aa", {"a": 70, "b": 30})

    with pytest.raises(BalanceError, match="b: 31 sat to pay; the balance is 30 sat"):
        balances.debit("payment/1", {"a": 70, "b": 31})
    with pytest.raises(BalanceError, match="less than 0"):
        balances.debit("payment/1", {"a": -5})
    with pytest.raises(BalanceError, match="the balance is 0 sat"):
        balances.credit("block/bb", {"nobody": -1})
    assert balances.owed_sat == {"a": 70, "b": 30}

    balances.debit("payment/1", {"a": 70})
    assert balances.owed_sat == {"b": 30}


def test_an_orphaned_block_is_undone_and_counts_again_when_it_returns() -> None:
    balances = Balances()
    balances.credit("block/aa", {"a": 70})

    balances.reverse("orphan/aa/1", undoes="block/aa")
    assert (balances.owed_sat, balances.stands("block/aa")) == ({}, False)
    assert balances.reverse("orphan/aa/1", undoes="block/aa") is None
    with pytest.raises(BalanceError, match="undone already"):
        balances.reverse("orphan/aa/2", undoes="block/aa")

    balances.reverse("return/aa/1", undoes="orphan/aa/1")
    assert (balances.owed_sat, balances.stands("block/aa")) == ({"a": 70}, True)

    balances.reverse("orphan/aa/2", undoes="block/aa")
    assert (balances.owed_sat, balances.total_sat) == ({}, 0)
    with pytest.raises(BalanceError, match="block/aa is undone already"):
        balances.reverse("error", undoes="return/aa/1")


def test_an_orphan_that_was_paid_out_leaves_a_debt_that_later_earnings_make_up_for() -> None:
    balances = Balances()
    balances.credit("block/aa", {"a": 70})
    balances.debit("payment/1", {"a": 70})

    balances.reverse("orphan/aa/1", undoes="block/aa")
    assert balances.owed_sat == {"a": -70}
    balances.credit("block/bb", {"a": 100})

    assert balances.owed_sat == {"a": 30}


def test_a_payment_that_never_confirmed_is_owed_again() -> None:
    balances = Balances()
    balances.credit("block/aa", {"a": 70})
    balances.debit("payment/1", {"a": 70})

    balances.reverse("unpaid/1", undoes="payment/1")

    assert balances.owed_sat == {"a": 70}


def test_what_is_not_there_cannot_be_undone() -> None:
    with pytest.raises(BalanceError, match="no entry"):
        Balances().reverse("orphan/aa/1", undoes="block/aa")


@dataclass
class Books:
    """The second method: which blocks and payments stand, and what that adds up to, counted anew each time."""

    amounts: dict[str, dict[str, int]] = field(default_factory=dict)
    chain: dict[str, list[str]] = field(default_factory=dict)
    """The keys of a block's or payment's entries, each undoing the one before it."""

    def owed(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for key, changes in self.amounts.items():
            if len(self.chain[key]) % 2:
                for account, sat in changes.items():
                    totals[account] = totals.get(account, 0) + sat
        return {account: sat for account, sat in totals.items() if sat}


AMOUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 1000), min_size=1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("block"), st.integers(0, 5), AMOUNTS),
        st.tuples(st.just("pay"), st.integers(0, 5), AMOUNTS),
        st.tuples(st.just("flip"), st.integers(0, 11), st.just({})),
        st.tuples(st.just("again"), st.integers(0, 40), st.just({})),
    ),
    max_size=60,
)


@given(STEPS)
def test_through_any_orphans_returns_and_repetitions_balances_are_what_stands(
    steps: list[tuple[str, int, dict[str, int]]],
) -> None:
    balances, books = Balances(), Books()
    for what, number, amounts in steps:
        before = dict(balances.owed_sat)
        if what == "block":
            _add(balances, books, f"block/{number}", amounts)
        elif what == "pay" and f"payment/{number}" not in books.amounts:
            covered = {name: min(sat, before.get(name, 0)) for name, sat in amounts.items() if before.get(name, 0) > 0}
            balances.debit(f"payment/{number}", covered)
            books.amounts[f"payment/{number}"] = {name: -sat for name, sat in covered.items()}
            books.chain[f"payment/{number}"] = [f"payment/{number}"]
        elif what == "flip" and books.chain:
            key, chain = sorted(books.chain.items())[number % len(books.chain)]
            balances.reverse(f"flip/{key}/{len(chain)}", undoes=chain[-1])
            chain.append(f"flip/{key}/{len(chain)}")
        elif what == "again" and balances.entries:
            entry = list(balances.entries.values())[number % len(balances.entries)]
            assert _repeat(balances, entry.key) is None
            assert balances.owed_sat == before
        assert balances.owed_sat == books.owed()
        assert balances.total_sat == sum(balances.owed_sat.values())
        assert all(balances.stands(key) == bool(len(chain) % 2) for key, chain in books.chain.items())

    assert balances_of(balances.entries.values()) == balances


def _add(balances: Balances, books: Books, key: str, amounts: dict[str, int]) -> None:
    if key in books.amounts and books.amounts[key] != amounts:
        with pytest.raises(BalanceError):
            balances.credit(key, amounts)
    else:
        assert (balances.credit(key, amounts) is None) == (key in books.amounts)
        books.amounts[key] = amounts
        books.chain.setdefault(key, [key])


def _repeat(balances: Balances, key: str) -> object:
    entry = balances.entries[key]
    if entry.kind is EntryKind.REVERSAL:
        return balances.reverse(key, undoes=entry.undoes)
    if entry.kind is EntryKind.DEBIT:
        return balances.debit(key, {name: -sat for name, sat in entry.changes})
    return balances.credit(key, dict(entry.changes))
