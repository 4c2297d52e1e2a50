"""What all tests share: an embedded PostgreSQL 18 for the session, and people and scopes to act with.

Write ``@pytest.mark.django_db`` (or ask for ``db`` or ``transactional_db``) as usual. The server starts with the first
test that asks, on a free port; each xdist worker has its own database on it, migrated once. Statements run as
``mbongi_app`` and see no tenant's row unless the test acts: ask for ``as_site``, or use ``acting(scope)``.

Fixtures: ``as_site`` (the test acts for the whole site), ``people`` (makes accounts: ``people(Role.TECHNICIAN)``),
``tenant`` (makes tenants: ``tenant("north")``), ``free_port``.
Asynchronous views run on a thread of their own: a test that calls some ends with
``await sync_to_async(connections.close_all)()``, or the worker's database cannot be dropped.
``MBONGI_TEST_POSTGRES_URL`` runs the session on another server; its user must own databases and be able to create them.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from mbongi.web.catalogues import compile_catalogues
from tests import embedded

# How long a busy machine takes to think of examples says nothing of the code.
hypothesis_settings.register_profile("mbongi", suppress_health_check=[HealthCheck.too_slow], deadline=None)
hypothesis_settings.load_profile("mbongi")
_IS_FIRST = embedded.open_session()
if _IS_FIRST:
    # With the variable set, pytest-django has loaded the settings already, and the tests would use the site's database.
    assert "mbongi.settings" not in sys.modules, "unset DJANGO_SETTINGS_MODULE to run the tests"
    os.environ["MBONGI_TEST_OWNER"] = str(os.getpid())
# As the web process does at its start; Django keeps what it finds at its first text.
compile_catalogues()
# Only now may Django's settings be loaded. Named in pyproject.toml, pytest-django would load them before this file.
os.environ["DJANGO_SETTINGS_MODULE"] = "mbongi.settings"
django.setup()

from allauth.account.models import EmailAddress  # noqa: E402 -- models need Django set up
from django.contrib.auth.hashers import make_password  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.backends.postgresql.operations import DatabaseOperations  # noqa: E402
from django.utils import translation  # noqa: E402

from mbongi.core.identity.models import Tenant, User  # noqa: E402
from mbongi.core.identity.scope import SITE, acting, as_owner  # noqa: E402
from mbongi.core.identity.values import Role  # noqa: E402

PASSWORD = "a long enough pass phrase"


def pytest_unconfigure() -> None:
    """Stop the session's server."""
    if _IS_FIRST and embedded.STATE in os.environ:
        embedded.close_session()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need PostgreSQL 15 where there is none."""
    if embedded.DEBIAN_15.is_dir() or "MBONGI_TEST_POSTGRES15_URL" in os.environ:
        return
    without = [item for item in items if item.get_closest_marker("postgres15")]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Start the server before pytest-django makes this worker's database."""
    embedded.ensure_server()
    _teach_flush_the_ledger()


def _teach_flush_the_ledger() -> None:
    """Tests with ``transactional_db`` empty the tables afterwards, which the ledger's triggers refuse."""
    guarded = ("ledger_entry", "ledger_node", "ledger_checkpoint", "ledger_head")
    flush = DatabaseOperations.execute_sql_flush

    def flush_as_owner(self: Any, sql_list: list[str]) -> None:
        with as_owner(), connection.cursor() as cursor:
            for table in guarded:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            flush(self, sql_list)
            cursor.execute("INSERT INTO ledger_head (id, size, frontier) VALUES (1, 0, '')")
            for table in guarded:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    DatabaseOperations.execute_sql_flush = flush_as_owner  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """Texts of a test are English, whatever the site's own language and the pages asked for before."""
    with translation.override("en"):
        yield


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    [port] = embedded.free_ports(1)
    return port


@pytest.fixture
def as_site() -> Iterator[None]:
    """The test acts for the whole site and sees every row."""
    with acting(SITE):
        yield


@pytest.fixture
def tenant(db: None) -> Callable[[str], Tenant]:
    """Makes tenants by code."""

    def make(code: str) -> Tenant:
        return Tenant.objects.create(code=code, name=code.title())

    return make


@functools.cache
def _hashed_password() -> str:
    """Argon2 takes a quarter of a second on purpose; one hash serves every account of the session."""
    return make_password(PASSWORD)


@pytest.fixture
def people(db: None) -> Callable[..., User]:
    """Makes accounts: ``people(Role.TENANT, tenant=...)``. The password of all is ``tests.conftest.PASSWORD``."""

    def make(role: Role = Role.SITE_MANAGER, *, tenant: Tenant | None = None, email: str = "") -> User:
        user = User(email=email or f"{role}{User.objects.count()}@example.org", name="Ada", role=role, tenant=tenant)
        user.password = _hashed_password()
        user.save()
        EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
        return user

    return make
