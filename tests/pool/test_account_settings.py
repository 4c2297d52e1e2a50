"""Changes of accounts: with a name and a reason, in the ledger, and a tenant's rows become its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from mbongi.base.clock import utc_now
from mbongi.core.identity.models import Tenant, User
from mbongi.core.identity.scope import Scope, acting
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.pool import selectors, services
from mbongi.pool.account_settings import AccountChange, change_account
from mbongi.pool.daemon.importer import Importer
from mbongi.pool.errors import NotPermittedError, PayoutError, UnknownAccountError
from mbongi.pool.models import Account
from mbongi.pool.payments import set_payout_address
from tests.pool.accounts_bed import Logged, Logs, division, hash_text, record
from tests.pool.paying_bed import TERMS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]


@pytest.fixture
def mined(db: None, as_site: None, tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.write([Logged("ada.one", 1), Logged("ben.one", 2, is_block=True)])
    Importer(tmp_path, lambda _name: False).step()
    logs.close()
    services.take_record(record(2), division())


@pytest.mark.usefixtures("mined")
def test_a_tenant_sees_all_of_an_account_that_was_given_to_it(
    people: Callable[..., User], tenant: Callable[[str], Tenant]
) -> None:
    manager, north = people(Role.SITE_MANAGER), tenant("north")
    ada = Account.objects.get(name="ada")

    change_account(manager, "ada", AccountChange(tenant_id=north.pk), reason="its machines")
    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert [row.name for row in selectors.accounts()] == ["ada"]
        [worker] = selectors.workers()
        assert [change.sat for change in selectors.changes(ada.pk)] == [2_500_000_500]
        [(window, _work)] = selectors.windows_of_worker(worker.id)
        assert window.name == hash_text(2)
    change_account(manager, "ada", AccountChange(tenant_id=0), reason="sold")
    with acting(Scope(tenant_id=north.pk, site_wide=False)):
        assert selectors.accounts() == []
        assert selectors.workers() == []


def test_no_share_is_taken_in_and_nothing_booked_meanwhile(people: Callable[..., User]) -> None:
    """Else rows of shares that are under way would stay the former tenant's."""
    Account.objects.create(name="ada", added_at=utc_now())
    assert advisory_locks() == 0

    change_account(people(Role.SHIFT_LEAD), "ada", AccountChange(minimum_sat=5_000), reason="as asked by mail")

    assert advisory_locks() == 2


def test_an_address_is_changed_while_nothing_is_booked(people: Callable[..., User]) -> None:
    """Else whoever books an entry and whoever changes the address could wait for each other."""
    Account.objects.create(name="ada", added_at=utc_now())

    set_payout_address(people(Role.SHIFT_LEAD), TERMS, "ada", "", reason="as asked by mail")

    assert advisory_locks() == 1


def advisory_locks() -> int:
    """How many this connection holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        [number] = cursor.fetchone()
    return int(number)


@pytest.mark.usefixtures("mined")
def test_a_change_is_in_the_ledger_with_before_and_after(people: Callable[..., User]) -> None:
    lead = people(Role.SHIFT_LEAD)

    change_account(lead, "ada", AccountChange(minimum_sat=5_000, donation_ppm=10_000), reason="as asked by mail")

    ada = Account.objects.get(name="ada")
    [entry] = ledger.entries(subject=f"pool-account:{ada.pk}")
    assert (ada.minimum_sat, ada.donation_ppm) == (5_000, 10_000)
    assert (entry.actor, entry.reason) == (lead.actor, "as asked by mail")
    assert (entry.before, entry.after) == (
        {"minimum_sat": 0, "donation_ppm": 0},
        {"minimum_sat": 5_000, "donation_ppm": 10_000},
    )


@pytest.mark.usefixtures("mined")
def test_what_is_not_permitted_not_known_or_out_of_range_changes_nothing(people: Callable[..., User]) -> None:
    lead = people(Role.SHIFT_LEAD)

    with pytest.raises(NotPermittedError, match="tenant_manage"):
        change_account(lead, "ada", AccountChange(tenant_id=0), reason="why not")
    with pytest.raises(NotPermittedError, match="payout_propose"):
        change_account(people(Role.TECHNICIAN), "ada", AccountChange(minimum_sat=1), reason="why not")
    with pytest.raises(UnknownAccountError, match="account nobody: not known"):
        change_account(lead, "nobody", AccountChange(minimum_sat=1), reason="why not")
    for change, reason, says in (
        (AccountChange(minimum_sat=1), " ", "found no reason"),
        (AccountChange(minimum_sat=-1), "why not", "a minimum of -1 sat"),
        (AccountChange(donation_ppm=1_000_001), "why not", "expected 0..1000000"),
    ):
        with pytest.raises(PayoutError, match=says):
            change_account(lead, "ada", change, reason=reason)
    assert Account.objects.get(name="ada").minimum_sat == 0
