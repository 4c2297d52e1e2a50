"""Signing in through allauth, its limits and second factors, and the scope of requests."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.db import connections, transaction
from django.test import AsyncClient, Client

from mbongi.base.clock import utc_now
from mbongi.core.identity import services
from mbongi.core.identity.scope import NOBODY, SITE, acting, current_scope
from mbongi.core.identity.selectors import has_account
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.core.ledger import services as ledger_services
from mbongi.core.ledger.values import NewEntry
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db
LOGIN = "/account/login/"


@pytest.fixture(autouse=True)
def own_pages(settings) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.core.identity.urls"
    settings.ALLOWED_HOSTS = ["testserver"]
    yield
    cache.clear()


def sign_in(client: Client, email: str, password: str = PASSWORD):
    return client.post(LOGIN, {"login": email, "password": password})


def actions() -> list[str]:
    with acting(SITE):
        return [entry.action for entry in reversed(ledger.entries())]


def test_people_sign_in_by_email_in_any_case_and_it_is_recorded(client: Client, people) -> None:
    people(Role.TECHNICIAN, email="ada@example.org")
    assert sign_in(client, "ADA@example.org").status_code == 302
    assert client.get("/seen/").json()["site"] is True
    client.post("/account/logout/")
    assert client.get("/seen/").json()["site"] is False
    assert actions() == ["identity.sign_in", "identity.sign_out"]


def test_guessing_is_stopped_for_the_account_and_recorded_without_what_was_typed(client: Client, people) -> None:
    people(Role.TECHNICIAN, email="ada@example.org")
    for number in range(5):
        assert sign_in(client, "ada@example.org", f"guess {number}").status_code == 200
    # Now even the right pass phrase, and from another process too, since the count lies in the database.
    english = Client(headers={"Accept-Language": "en"})
    assert b"Too many" in sign_in(english, "ada@example.org").content
    assert client.get("/seen/").json()["site"] is False
    assert actions() == ["identity.sign_in.fail"] * 5
    with acting(SITE):
        assert "guess" not in str(ledger.entries())


def test_nobody_signs_up_by_themselves() -> None:
    page = Client(headers={"Accept-Language": "en"}).post(
        "/account/signup/", {"email": "eve@example.org", "password1": PASSWORD}
    )
    assert b"closed" in page.content.lower()
    assert not has_account()


def test_a_closed_account_does_not_sign_in(client: Client, people) -> None:
    user = people(Role.TECHNICIAN, email="ada@example.org")
    user.is_active = False
    user.save()
    sign_in(client, "ada@example.org")
    assert client.get("/seen/").json()["site"] is False


def test_a_second_factor_is_asked_for_and_its_seed_lies_encrypted(client: Client, people) -> None:
    user = people(Role.TECHNICIAN, email="ada@example.org")
    seed = "JBSWY3DPEHPK3PXP"
    TOTP.activate(user, seed)
    assert seed not in str(Authenticator.objects.get(user=user, type=Authenticator.Type.TOTP).data)
    assert sign_in(client, "ada@example.org").headers["Location"] == "/account/2fa/authenticate/"
    assert client.get("/seen/").json()["site"] is False
    code = format_hotp_value(hotp_value(seed, int(time.time()) // 30))
    client.post("/account/2fa/authenticate/", {"code": code})
    assert client.get("/seen/").json()["site"] is True


def test_the_page_for_passkeys_offers_a_challenge(client: Client) -> None:
    answer = client.get("/account/2fa/webauthn/login/", headers={"X-Requested-With": "XMLHttpRequest"})
    assert len(answer.json()["request_options"]["publicKey"]["challenge"]) >= 40


class TestScopeOfRequests:
    @pytest.fixture(autouse=True)
    def entries(self, db: None) -> None:
        with transaction.atomic():
            ledger_services.append([NewEntry("a:1", "b.c", "d:1", tenant_id=one) for one in (None, 901, 902)])

    def token(self, user) -> dict[str, str]:
        with acting(SITE):
            secret = services.issue_token(user, "script", utc_now() + timedelta(days=1))
        return {"Authorization": f"Bearer {secret}"}

    def test_nobody_sees_nothing(self, client: Client) -> None:
        assert client.get("/seen/").json() == {"tenant": None, "site": False, "tenants": []}

    def test_a_token_acts_for_its_owner_and_the_scope_ends_with_the_request(self, client: Client, people) -> None:
        answer = client.get("/seen/", headers=self.token(people(Role.AUDITOR)))
        assert answer.json()["site"] is True
        assert set(answer.json()["tenants"]) >= {901, 902}
        assert current_scope() == NOBODY
        assert client.get("/seen/").json()["tenants"] == []

    def test_a_tenants_token_sees_the_tenants_rows_only(self, client: Client, people, tenant) -> None:
        north = tenant("north")
        answer = client.get("/seen/", headers=self.token(people(Role.TENANT, tenant=north)))
        assert answer.json() == {"tenant": north.pk, "site": False, "tenants": [north.pk]}

    def test_a_bad_token_is_refused_rather_than_taken_for_nobody(self, client: Client) -> None:
        answer = client.get("/seen/", headers={"Authorization": "Bearer mbg_wrong"})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    def test_a_streamed_answer_keeps_the_scope(self, client: Client, people) -> None:
        answer = client.get("/stream/", headers=self.token(people(Role.AUDITOR)))
        assert list(answer.streaming_content) == [b"4;"] * 3
        assert current_scope() == NOBODY


@pytest.mark.django_db(transaction=True)
async def test_asynchronous_requests_have_their_own_scope(people_async) -> None:
    user, headers = people_async
    answer = await AsyncClient().get("/seen/", headers=headers)
    assert answer.json()["tenant"] == user.tenant_id
    assert (await AsyncClient().get("/seen/")).json()["tenant"] is None
    # The views ran on a thread of their own, whose connection nobody else closes.
    await sync_to_async(connections.close_all)()


@pytest.fixture
def people_async(transactional_db: None, people, tenant):
    user = people(Role.TENANT, tenant=tenant("north"))
    with acting(SITE):
        secret = services.issue_token(user, "script", utc_now() + timedelta(days=1))
    return user, {"Authorization": f"Bearer {secret}"}
