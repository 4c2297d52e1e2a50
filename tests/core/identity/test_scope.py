"""Scopes and row-level security."""

import threading

import pytest
from django.db import DatabaseError, connection, transaction

from mbongi.base.ids import TenantId
from mbongi.core.identity.errors import UnsafeRoleError
from mbongi.core.identity.postgresql.base import DatabaseWrapper
from mbongi.core.identity.scope import NOBODY, SITE, Scope, acting, as_owner, current_scope, scope_of
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.core.ledger import services
from mbongi.core.ledger.values import NewEntry


def record(tenant_id: int | None) -> None:
    with transaction.atomic():
        services.append([NewEntry("process:test", "test.thing.do", "thing:1", tenant_id=tenant_id)])


def seen() -> list[int | None]:
    return sorted((entry.tenant_id for entry in ledger.entries()), key=str)


@pytest.fixture
def three_entries(db: None) -> None:
    record(1)
    record(2)
    record(None)


@pytest.mark.usefixtures("three_entries")
class TestWhatIsSeen:
    def test_nothing_unless_somebody_acts(self) -> None:
        assert seen() == []

    def test_the_site_sees_everything(self) -> None:
        with acting(SITE):
            assert seen() == [1, 2, None]

    def test_a_tenant_sees_its_own_rows_only(self) -> None:
        with acting(Scope(TenantId(1), site_wide=False)):
            assert seen() == [1]

    def test_scopes_nest_and_end(self) -> None:
        with acting(SITE):
            with acting(Scope(TenantId(2), site_wide=False)):
                assert seen() == [2]
            assert seen() == [1, 2, None]
        assert seen() == []

    def test_a_scope_told_in_a_transaction_that_rolls_back_does_not_stay(self) -> None:
        with acting(Scope(TenantId(1), site_wide=False)):
            assert seen() == [1]
        with pytest.raises(RuntimeError), transaction.atomic():  # noqa: PT012 -- the roll-back is the subject
            with acting(SITE):
                assert seen() == [1, 2, None]
            assert seen() == []
            raise RuntimeError
        assert seen() == []
        with acting(Scope(TenantId(2), site_wide=False)):
            assert seen() == [2]


@pytest.mark.django_db(transaction=True)
def test_a_scope_does_not_reach_other_threads() -> None:
    record(1)
    found: list[list[int | None]] = []

    def look() -> None:
        found.append(seen())
        connection.close()

    with acting(SITE):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert found == [[]]


@pytest.mark.django_db(transaction=True)
def test_a_new_connection_is_told_the_scope_again() -> None:
    record(1)
    with acting(SITE):
        assert seen() == [1]
        connection.close()
        assert seen() == [1]
    connection.close()
    assert seen() == []


@pytest.mark.django_db
def test_statements_run_as_the_application_role_which_may_not_change_the_schema() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("mbongi_app",)
        with pytest.raises(DatabaseError), transaction.atomic():
            cursor.execute("CREATE TABLE intruder (id int)")
        with as_owner():
            cursor.execute("SELECT current_user")
            assert cursor.fetchone() != ("mbongi_app",)


@pytest.mark.django_db(transaction=True)
def test_a_role_that_bypasses_row_security_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.close()

    # The query asks PostgreSQL's catalogue; the answer for a superuser is stood in, since tests have none.
    class Cursor:
        def execute(self, _sql: str) -> "Cursor":
            return self

        def fetchone(self) -> tuple[str, bool]:
            return ("postgres", True)

    with pytest.raises(UnsafeRoleError, match="bypasses"):
        DatabaseWrapper._check_role(connection, Cursor())  # type: ignore[arg-type]


@pytest.mark.django_db
def test_who_sees_what(people, tenant) -> None:
    north = tenant("north")
    assert scope_of(people(Role.TECHNICIAN)) == SITE
    assert scope_of(people(Role.TENANT, tenant=north)) == Scope(TenantId(north.pk), site_wide=False)
    assert scope_of(people(Role.RESEARCHER, tenant=north)) == Scope(TenantId(north.pk), site_wide=False)
    closed = people(Role.TECHNICIAN)
    closed.is_active = False
    assert scope_of(closed) == NOBODY
    assert current_scope() == NOBODY
