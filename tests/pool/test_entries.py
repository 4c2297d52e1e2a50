"""Entries of the balances: exact, once each, undone and restored, and recorded in the ledger."""

from collections.abc import Callable

import pytest
from django.db.models import Sum
from django.utils import timezone

from mbongi.core.identity.models import Tenant
from mbongi.core.identity.scope import Scope, acting
from mbongi.core.ledger import selectors as ledger
from mbongi.pool import selectors, services
from mbongi.pool.errors import BalanceError
from mbongi.pool.models import Account, Entry, EntryChange
from mbongi.pool.services import Occasion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
WHO = Occasion("process:pool-accounts", "test")


def balances() -> dict[str, int]:
    return dict(Account.objects.values_list("name", "balance_sat"))


def test_a_credit_changes_balances_once_however_often_it_comes() -> None:
    first = services.credit("block:a", {"ada": 30, "ben": 12, "idle": 0}, WHO)
    again = services.credit("block:a", {"ben": 12, "ada": 30}, WHO)

    assert first is not None
    assert again is None
    assert balances() == {"ada": 30, "ben": 12}
    [recorded] = [Entry.objects.get(pk=first)]
    [entry] = ledger.entries(subject=f"pool-entry:{first}")
    assert entry.index == recorded.ledger_index
    assert entry.action == "pool.entry.credit"
    assert entry.after == {"key": "block:a", "total_sat": 42, "accounts": 2, "sha256": recorded.digest}


def test_a_key_stands_for_one_entry_only() -> None:
    services.credit("block:a", {"ada": 30}, WHO)

    with pytest.raises(BalanceError, match="stands for another credit"):
        services.credit("block:a", {"ada": 31}, WHO)
    services.credit("block:b", {"ada": 1}, WHO)
    with pytest.raises(BalanceError, match="stands for another entry"):
        services.reverse("block:b", WHO, undoes="block:a")
    assert balances() == {"ada": 31}


def test_a_payment_of_more_than_the_balance_is_refused_and_changes_nothing() -> None:
    services.credit("block:a", {"ada": 30, "ben": 5}, WHO)

    with pytest.raises(BalanceError, match="ben: 6 sat to pay; the balance is 5 sat"):
        services.debit("payment:1", {"ada": 30, "ben": 6}, WHO)
    services.debit("payment:1", {"ada": 30, "ben": 5}, WHO)

    assert balances() == {"ada": 0, "ben": 0}


def test_a_reversal_and_its_own_reversal_lead_back() -> None:
    services.credit("block:a", {"ada": 30}, WHO)
    services.debit("payment:1", {"ada": 20}, WHO)
    services.reverse("orphan:1", WHO, undoes="block:a")
    assert balances() == {"ada": -20}
    assert not services.stands("block:a")

    services.reverse("orphan:1", WHO, undoes="block:a")
    services.reverse("back:1", WHO, undoes="orphan:1")

    assert balances() == {"ada": 10}
    assert services.stands("block:a")
    with pytest.raises(BalanceError, match="undone already"):
        services.reverse("back:2", WHO, undoes="orphan:1")
    services.reverse("orphan:2", WHO, undoes="block:a")
    assert balances() == {"ada": -20}
    with pytest.raises(BalanceError, match="no entry nothing to undo"):
        services.reverse("back:3", WHO, undoes="nothing")


def test_only_who_may_owe_goes_below_0_by_a_credit() -> None:
    with pytest.raises(BalanceError, match=r"\.reserve: 5 sat to pay"):
        services.credit("period:1", {"ada": 5, ".reserve": -5}, WHO)
    services.credit("period:1", {"ada": 5, ".reserve": -5}, WHO, may_owe=[".reserve"])

    assert balances() == {"ada": 5, ".reserve": -5}


def test_stored_balances_are_what_the_changes_add_up_to() -> None:
    for number in range(20):
        services.credit(f"block:{number}", {f"acct{each}": each + number for each in range(50)}, WHO)
        if number % 3 == 0:
            services.reverse(f"orphan:{number}", WHO, undoes=f"block:{number}")

    sums = EntryChange.objects.order_by().values("account__name").annotate(total=Sum("sat"))
    assert {row["account__name"]: row["total"] for row in sums} == balances()


def test_a_tenant_sees_its_own_accounts_and_changes_only(tenant: Callable[[str], Tenant]) -> None:
    north, south = tenant("north"), tenant("south")
    now = timezone.now()
    Account.objects.create(name="ada", tenant=north, added_at=now)
    Account.objects.create(name="ben", tenant=south, added_at=now)
    services.credit("block:a", {"ada": 30, "ben": 12}, WHO)
    ben = Account.objects.get(name="ben")

    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert [row.name for row in selectors.accounts()] == ["ada"]
        assert selectors.account("ben") is None
        assert selectors.changes(ben.pk) == []
        [change] = selectors.changes(Account.objects.get().pk)
    assert (change.key, change.sat) == ("block:a", 30)
