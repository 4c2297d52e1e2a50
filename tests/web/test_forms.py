"""What people change through pages: actions, tokens, invitations, accounts, the first account."""

import re
from collections.abc import Callable

import pytest
from django.test import Client

from mbongi.core.identity import selectors, services
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import services as fleet
from mbongi.fleet.action_work import Ending
from mbongi.fleet.models import Action
from mbongi.web.pages.actions import changes
from tests.conftest import PASSWORD
from tests.web.conftest import Pilot


def test_an_action_goes_through_reason_rehearsal_and_confirmation(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TECHNICIAN, language="en")
    url = f"/machines/{pilot.machines[0].pk}/actions/sleep/"
    assert "Reason" in client.get(url).content.decode()
    shown = client.post(url, {"reason": "too hot", "step": "rehearse"}).content.decode()
    assert "Reading the machine" in shown
    with acting(SITE):
        work = fleet.claim_actions()[0]
        assert work.dry_run
        ending = Ending(work.action_id, done=True, message="", before={"mode": "normal"}, after={"mode": "sleep"})
        fleet.finish_actions([ending])
    rehearsed = client.get(f"/actions/{work.action_id}/").content.decode()
    assert "normal" in rehearsed
    assert 'value="do"' in rehearsed
    client.post(url, {"reason": "too hot", "step": "do"})
    with acting(SITE):
        newest = Action.objects.order_by("-pk").first()
        assert newest is not None
        assert (newest.dry_run, newest.reason, newest.author_id) == (False, "too hot", client.user.pk)
    page = client.get(f"/machines/{pilot.machines[0].pk}/record/").content.decode()
    assert "too hot" in page


def test_without_a_reason_nothing_is_asked_for(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TECHNICIAN, language="en")
    answer = client.post(f"/machines/{pilot.machines[0].pk}/actions/reboot/", {"reason": " ", "step": "do"})
    assert "State a reason." in answer.content.decode()
    with acting(SITE):
        assert Action.objects.count() == 0


def test_pools_are_taken_without_passwords(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client, url = sign_in(), f"/machines/{pilot.machines[0].pk}/actions/set_pools/"
    assert "stratum+tcp://pool.example:3333" in client.get(url).content.decode()
    client.post(url, {"reason": "new pool", "url": ["stratum+tcp://b.example:1", ""], "user": ["site.w", ""]})
    with acting(SITE):
        asked = Action.objects.get()
    assert asked.arguments == {"pools": [{"url": "stratum+tcp://b.example:1", "user": "site.w"}]}


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.TRAINEE, Role.RESEARCHER, Role.SECURITY_OFFICER])
def test_who_may_not_control_sees_no_buttons_and_is_refused(
    role: Role, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client, number = sign_in(role), pilot.machines[0].pk
    assert "actions/sleep" not in client.get(f"/machines/{number}/").content.decode()
    assert client.post(f"/machines/{number}/actions/sleep/", {"reason": "x"}).status_code == 403


def test_an_unknown_action_is_not_found(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    assert sign_in().get(f"/machines/{pilot.machines[0].pk}/actions/explode/").status_code == 404
    assert sign_in().get("/actions/999999/").status_code == 404


def test_changes_are_told_side_by_side() -> None:
    found = changes({"mode": 0, "pools": [{"url": "a"}]}, {"mode": 1, "pools": [{"url": "a"}]})
    assert found == [("mode", "0", "1", True), ("pools 1 url", "a", "a", False)]


def test_a_token_is_shown_once_and_revoked(db: None, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    issued = client.post("/tokens/", {"name": "grafana", "days": "30", "use": ["machine_view"]}).content.decode()
    secret = re.search(r'id="secret">([^<]+)<', issued)
    assert secret is not None
    assert secret[1] not in client.get("/tokens/").content.decode()
    program = Client(headers={"Authorization": f"Bearer {secret[1]}"})
    assert program.get("/api/v1/site").status_code == 200
    with acting(SITE):
        token = selectors.tokens(client.user).get()
    client.post(f"/tokens/{token.pk}/revoke/")
    assert program.get("/api/v1/site").status_code == 401


@pytest.mark.parametrize(
    "form", [{}, {"name": "x", "days": "x"}, {"name": "x", "days": "30"}, {"name": "", "days": "7"}]
)
def test_a_token_that_cannot_be_made_is_refused(form: dict[str, str], db: None, sign_in: Callable[..., Client]) -> None:
    assert sign_in().post("/tokens/", form).status_code == 400


def test_the_first_link_makes_the_first_account_and_signs_in(db: None) -> None:
    with acting(SITE):
        link = services.create_first_account_link()
    assert link is not None
    client = Client(headers={"accept-language": "en"})
    assert "Welcome to your site" in client.get(link).content.decode()
    refused = client.post(link, {"name": "Ada", "email": "ada@example.org", "password": "short"})
    assert refused.status_code == 400
    done = client.post(link, {"name": "Ada", "email": "ada@example.org", "password": PASSWORD})
    assert (done.status_code, done["Location"]) == (302, "/?welcome")
    assert client.get("/").status_code == 200
    assert client.get(link).status_code == 410


def test_a_wrong_link_says_what_to_do(db: None) -> None:
    answer = Client().get("/start/nonsense")
    assert answer.status_code == 410
    assert "mbongi account first-link" in answer.content.decode()


def test_somebody_is_invited_and_joins(db: None, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    page = client.post("/people/invite/", {"email": "jean@example.org", "role": "technician"}).content.decode()
    link = re.search(r'id="link">https?://[^/]+([^<]+)<', page)
    assert link is not None
    guest = Client()
    guest.post(link[1], {"name": "Jean", "password": PASSWORD})
    with acting(SITE):
        joined = selectors.users().get(email="jean@example.org")
    assert joined.role == Role.TECHNICIAN
    assert guest.get("/people/").status_code == 403


@pytest.mark.parametrize("form", [{"email": "x", "role": "technician"}, {"email": "a@example.org", "role": "king"},
                                  {"email": "a@example.org", "role": "tenant"}])  # fmt: skip
def test_a_bad_invitation_is_refused(form: dict[str, str], db: None, sign_in: Callable[..., Client]) -> None:
    assert sign_in().post("/people/invite/", form).status_code == 400


def test_a_security_officer_makes_no_site_manager(db: None, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.SECURITY_OFFICER)
    form = {"email": "a@example.org", "role": "site_manager"}
    assert client.post("/people/invite/", form).status_code == 403


def test_an_account_is_changed_with_a_reason(db: None, sign_in: Callable[..., Client]) -> None:
    manager, other = sign_in(), sign_in(Role.TECHNICIAN)
    url = f"/people/{other.user.pk}/"
    assert manager.post(url, {"role": "shift_lead", "active": "1", "reason": ""}).status_code == 400
    assert manager.post(url, {"role": "shift_lead", "active": "0", "reason": "left"}).status_code == 302
    with acting(SITE):
        assert not selectors.users().get(pk=other.user.pk).is_active
    assert other.get("/").status_code == 302


def test_a_choice_of_theme_and_language_stays_on_the_site(db: None) -> None:
    client = Client()
    assert client.post("/theme/", {"next": "https://elsewhere.example/"})["Location"] == "/"
    assert client.post("/language/", {"language": "en", "next": "/account/login/"})["Location"] == "/account/login/"
    assert 'lang="en"' in client.get("/account/login/").content.decode()


def test_sign_in_works_through_the_page(db: None, people: Callable[..., object]) -> None:
    with acting(SITE):
        people(Role.TECHNICIAN, email="jean@example.org")
    client = Client()
    assert client.post("/account/login/", {"login": "jean@example.org", "password": "wrong"}).status_code == 200
    done = client.post("/account/login/", {"login": "jean@example.org", "password": PASSWORD})
    assert (done.status_code, done["Location"]) == (302, "/")


def test_nobody_signs_up_alone(db: None) -> None:
    answer = Client().post("/account/signup/", {"email": "x@example.org", "password1": PASSWORD})
    assert answer.status_code == 200
    with acting(SITE):
        assert not selectors.has_account()
