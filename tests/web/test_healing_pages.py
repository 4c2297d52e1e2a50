"""Healing as people see it and ask it over the API: rules, their form, what was tried, and replays."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import healing_rows
from mbongi.fleet.models import HealingReplay
from mbongi.fleet.rules.healing import Mode
from mbongi.web import healing_sight
from tests.web import healing_site
from tests.web.conftest import Pilot

PLACE = "/fleet/healing/"
JSON = "application/json"
STAFF = set(Role) - {Role.TENANT, Role.RESEARCHER}
EDITORS = {Role.SHIFT_LEAD, Role.SITE_MANAGER}


@pytest.fixture
def rules(pilot: Pilot) -> dict[str, int]:
    """The built-in rules, one attempt of each outcome by the hung one, and a replay that is made."""
    return healing_site.make_rules(pilot.machines[0])


@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_its_pages_of_healing(
    role: Role, pilot: Pilot, sign_in: Callable[..., Client], rules: dict[str, int]
) -> None:
    number = healing_site.make_replay(sign_in().user, pilot.machines[0].pk)  # type: ignore[attr-defined]
    client = sign_in(role, owner=pilot.north if role == Role.TENANT else None)
    seen = [PLACE, f"{PLACE}{rules['hung']}/", f"{PLACE}attempts/", f"{PLACE}replays/{number}/"]
    done = [f"{PLACE}{rules['hung']}/edit/", f"{PLACE}new/?like={rules['hung']}", f"{PLACE}{rules['hung']}/on/"]
    found = {page: client.get(page).status_code for page in seen + done}
    assert found == {page: 200 if role in (EDITORS if page in done else STAFF) else 403 for page in seen + done}


def test_a_rule_is_switched_with_a_reason_and_acts_in_that_name(
    sign_in: Callable[..., Client], rules: dict[str, int]
) -> None:
    client, rule = sign_in(Role.SHIFT_LEAD, language="en"), rules["hung"]
    assert "in your name" in client.get(f"{PLACE}{rule}/on/").content.decode()
    client.post(f"{PLACE}{rule}/on/", {"reason": ""})
    with acting(SITE):
        assert healing_rows.rule(rule).mode is Mode.WATCH
    client.post(f"{PLACE}{rule}/on/", {"reason": "seen to be right"})
    with acting(SITE):
        row = healing_rows.rule(rule)
    assert (row.mode, row.author) == (Mode.ON, str(client.user))  # type: ignore[attr-defined]
    assert client.get(f"{PLACE}99/on/").status_code == 404
    assert client.get(f"{PLACE}{rule}/explode/").status_code == 404


def test_the_form_gives_back_what_it_shows_and_says_what_is_wrong(
    sign_in: Callable[..., Client], rules: dict[str, int]
) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    for key in ("hung", "asleep", "over_temperature"):
        with acting(SITE):
            before = healing_rows.rule(rules[key])
        form = healing_sight.form_of(before.document, name=str(key), rank=before.rank)
        given = {name: value for name, value in form.items() if value not in (False, "")} | {"reason": "look"}
        answer = client.post(f"{PLACE}{rules[key]}/edit/", given)
        assert answer.status_code == 302, answer.content
        with acting(SITE):
            after = healing_rows.rule(rules[key])
        assert (after.document, after.version) == (before.document, before.version + 1)

        for wrong in ({"for_s": "soon"}, {"for_s": "nan"}, {"at_once": "0"}, {"kinds": []}):
            answer = client.post(f"{PLACE}{rules[key]}/edit/", {**given, "column": "", **wrong})
            assert answer.status_code == 400
            assert 'role="alert"' in answer.content.decode()


def test_a_copy_is_made_by_the_form_under_another_name(sign_in: Callable[..., Client], rules: dict[str, int]) -> None:
    client = sign_in(Role.SITE_MANAGER, language="en")
    text = client.get(f"{PLACE}new/?like={rules['hung']}").content.decode()
    assert 'value="Hung (copy)"' in text
    with acting(SITE):
        document = healing_rows.rule(rules["hung"]).document
    form = healing_sight.form_of(document, name="Hung in hall 20", rank=41) | {"reason": "try", "halls": "20"}
    place = client.post(f"{PLACE}new/", {name: value for name, value in form.items() if value not in (False, "")})[
        "Location"
    ]
    assert "Hung in hall 20" in client.get(place).content.decode()
    assert client.post(f"{place}remove/", {"reason": "done"})["Location"] == PLACE
    assert client.get(place).status_code == 404


def test_attempts_are_listed_with_their_outcomes_in_both_languages(
    pilot: Pilot, sign_in: Callable[..., Client], rules: dict[str, int]
) -> None:
    for language, word in (("en", "Not recovered"), ("fr", "Non rétablie")):
        client = sign_in(language=language)
        assert word in client.get(f"{PLACE}attempts/").content.decode()
        text = client.get(f"{PLACE}attempts/?outcome=recovered").content.decode()
        assert text.count(f"/machines/{pilot.machines[0].pk}/") == 1
        assert client.get(f"{PLACE}attempts/?outcome=odd").status_code == 400


def test_a_replay_shows_its_progress_then_its_result_and_what_nobody_can_know(
    pilot: Pilot, sign_in: Callable[..., Client], rules: dict[str, int]
) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")
    place = client.post(f"{PLACE}replays/", {"rule": [rules["hung"], rules["off"]], "hours": "24"})["Location"]
    assert "It waits for the fleet process" in client.get(place).content.decode()
    with acting(SITE):
        HealingReplay.objects.update(begun_at=utc_now(), done=400, total=1000)
    part = client.get(place, headers={"HX-Request": "true"}).content.decode()
    assert 'value="40"' in part
    assert 'hx-trigger="every 1s"' in part
    with acting(SITE):
        HealingReplay.objects.update(error="telemetry store 127.0.0.1:1: refused", finished_at=utc_now())
    assert "The simulation failed" in client.get(place).content.decode()
    assert client.post(f"{PLACE}replays/", {"hours": "24"})["Location"] == PLACE, "no rule was chosen"

    number = healing_site.make_replay(client.user, pilot.machines[0].pk)  # type: ignore[attr-defined]
    text = client.get(f"{PLACE}replays/{number}/").content.decode()
    for words in ("Nobody can know", "We put it to sleep", "heal-line", "as &lt;b&gt;", "20/03/01"):
        assert words in text, words


def test_rules_are_written_switched_and_tried_out_over_the_api(
    sign_in: Callable[..., Client], rules: dict[str, int]
) -> None:
    client = sign_in(Role.SHIFT_LEAD, language="en")

    def post(path: str, status: int, **body: Any) -> Any:
        answer = client.post(f"/api/v1{path}", body, content_type=JSON)
        assert answer.status_code == status, answer.content
        return answer.json()

    document = {"kinds": ["fault"], "steps": ["reboot"], "for_s": 900}
    made = post("/healing-rules", 201, name="mine", document=document, reason="try")
    assert (made["mode"], made["document"]["for_s"], made["version"]) == ("off", 900, 1)
    assert post(f"/healing-rules/{made['id']}", 200, mode="watch", reason="look")["mode"] == "watch"
    assert "for_s" in post("/healing-rules", 400, name="b", document=document | {"for_s": 1}, reason="x")["detail"]
    post("/healing-rules", 400, name="b", document=document | {"odd": 1}, reason="x")
    post("/healing-rules/99", 404, mode="on", reason="x")
    names = [each["name"] for each in client.get("/api/v1/healing-rules").json()["items"]]
    assert names[0] == "over_temperature", "in the order in which they are asked"
    assert client.get("/api/v1/healing-attempts?outcome=recovered").json()["total"] == 1

    until = utc_now()
    span = {"since": (until - timedelta(hours=6)).isoformat(), "until": until.isoformat()}
    replay = post("/healing-replays", 202, documents={"try": document}, **span)
    assert (replay["percent"], replay["rules"][0]["id"]) == (0, -1)
    assert client.get(f"/api/v1/healing-replays/{replay['id']}").json()["result"] is None
    assert (
        "span"
        in post("/healing-replays", 400, rules=[rules["hung"]], since=span["until"], until=span["since"])["detail"]
    )
