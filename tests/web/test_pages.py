"""Each page for each role and for nobody, in both languages."""

import re
from collections.abc import Callable

import pytest
from django.test import Client

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet.models import Machine
from mbongi.fleet.values import MachineState
from mbongi.web.live.board import BOARD
from tests.web.conftest import Pilot

LEDGER = {Role.SHIFT_LEAD, Role.SITE_MANAGER, Role.SECURITY_OFFICER, Role.AUDITOR}
HOSTING = {Role.SHIFT_LEAD, Role.SITE_MANAGER, Role.SECURITY_OFFICER, Role.AUDITOR, Role.TENANT}
PEOPLE = {Role.SHIFT_LEAD, Role.SITE_MANAGER, Role.SECURITY_OFFICER, Role.AUDITOR}
EVERYBODY = set(Role)
PAGES = {
    "/": EVERYBODY,
    "/overview/alarms/": EVERYBODY,
    "/floor/": EVERYBODY,
    "/floor/layout.json": EVERYBODY,
    "/machines/": EVERYBODY,
    "/machines/export.csv": EVERYBODY,
    "/fleet/groups/": EVERYBODY,
    "/fleet/operations/": EVERYBODY,
    "/fleet/pollers/": {Role.TECHNICIAN, Role.SHIFT_LEAD, Role.SITE_MANAGER},
    "/events/": EVERYBODY,
    "/events/export.json": EVERYBODY,
    "/more/": EVERYBODY,
    "/account/": EVERYBODY,
    "/api/v1/docs/": EVERYBODY,
    "/hosting/": HOSTING,
    "/hosting/statements/": HOSTING,
    "/ledger/": LEDGER,
    "/ledger/export.csv": LEDGER,
    "/people/": PEOPLE,
    "/tokens/": EVERYBODY - {Role.TRAINEE},
}


@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_its_pages_and_is_refused_the_others(
    role: Role, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(role, owner=pilot.north if role == Role.TENANT else None)
    found = {page: client.get(page).status_code for page in PAGES}
    assert found == {page: 200 if role in allowed else 403 for page, allowed in PAGES.items()}


@pytest.mark.parametrize("page", list(PAGES))
def test_nobody_is_led_to_the_sign_in(page: str, db: None) -> None:
    answer = Client().get(page)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/login/?next=")


def test_the_overview_shows_sums_with_their_units(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    text = sign_in().get("/").content.decode()
    assert "1,22" in text  # 6 machines of 200 to 205 TH/s are 1.215 PH/s
    assert "PH/s" in text
    assert "21,00" in text  # 6 × 3.5 kW
    assert "Trop chaude" in text


def test_pages_speak_french_and_english(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    assert 'lang="fr"' in sign_in().get("/").content.decode()
    english = sign_in(language="en").get("/").content.decode()
    assert 'lang="en"' in english
    assert "Hottest machines" in english


def test_a_browser_of_another_language_gets_french(db: None) -> None:
    assert 'lang="fr"' in Client(headers={"accept-language": "ln"}).get("/account/login/").content.decode()


def test_a_machine_page_shows_its_facts_and_escapes_what_the_machine_says(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    text = sign_in().get(f"/machines/{pilot.machines[0].pk}/").content.decode()
    assert "stratum+tcp://pool.example:3333" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)" not in text


def test_a_machine_without_fresh_evidence_is_unknown_whatever_was_recorded(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    BOARD.__init__()
    with acting(SITE):
        Machine.objects.update(last_seen_at=None)
    text = sign_in(language="en").get(f"/machines/{pilot.machines[0].pk}/").content.decode()
    assert 'data-state="unknown"' in text
    assert "No reading yet" in text


def test_the_list_is_filtered_searched_and_sorted(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in()

    def names(query: str) -> list[str]:
        return re.findall(r'/machines/\d+/">([^<]+)</a>', client.get(f"/machines/?{query}").content.decode())

    assert names("state=off") == ["20/01/04"]
    assert names("q=20/01/02") == ["20/01/02"]
    assert names("q=127.20.1.6") == ["20/01/06"]
    assert names("sort=-hashrate_ths")[0] == "20/01/06"
    assert names("sort=chip_temp_max_c")[0] == "20/01/01"
    assert names("alarm=1") == ["20/01/04", "20/01/05"]
    assert names("limit=2&page=2") == ["20/01/03", "20/01/04"]


@pytest.mark.parametrize(
    "page",
    ["/machines/?sort=nonsense", "/machines/?limit=0", "/machines/?state=happy", "/events/?since=yesterday",
     "/events/?kind=x", "/ledger/?before=-1", "/machines/?page=" + "9" * 30, "/machines/?q=" + "x" * 201],
)  # fmt: skip
def test_a_query_that_cannot_be_used_is_refused_with_400(
    page: str, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    assert sign_in().get(page).status_code == 400


def test_an_htmx_request_gets_the_results_alone(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    text = sign_in().get("/machines/", headers={"HX-Request": "true"}).content.decode()
    assert 'id="results"' in text
    assert "<html" not in text


def test_a_page_that_is_not_there_says_so_in_the_language(db: None) -> None:
    answer = Client(headers={"accept-language": "en"}).get("/nowhere/")
    assert answer.status_code == 404
    assert "Not found" in answer.content.decode()


def test_empty_states_say_what_comes(db: None, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    assert "No machine yet" in client.get("/machines/").content.decode()
    assert "Nothing happened yet" in client.get("/events/").content.decode()
    assert "No open alarm" in client.get("/").content.decode()


def test_states_are_counted_with_machines_that_never_answered_as_unknown(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    BOARD.__init__()
    text = sign_in().get("/").content.decode()
    assert f'data-state-count="{MachineState.UNKNOWN.word}">6<' in text
