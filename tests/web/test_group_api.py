"""Groups, profiles and operations over the API: two people, a dry run, an operation to its end."""

from collections.abc import Callable
from typing import Any

from django.test import Client

from mbongi.core.identity.values import Role
from mbongi.web.live.poller_board import POLLERS
from tests.web import group_site
from tests.web.conftest import Pilot
from tests.web.group_site import DOCUMENT, operation
from tests.web.test_pollers import word

JSON = "application/json"


def post(client: Client, path: str, status: int, **body: Any) -> Any:
    answer = client.post(f"/api/v1{path}", body, content_type=JSON)
    assert answer.status_code == status, answer.content
    return answer.json()


def get(client: Client, path: str) -> Any:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_pools_are_changed_by_two_people_and_reconciled_by_an_operation(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD), sign_in(Role.SITE_MANAGER)
    ids = [machine.pk for machine in pilot.machines[:2]]
    group = post(lead, "/groups", 201, name="Hall A", reason="new")["id"]
    assert post(lead, f"/groups/{group}/machines", 200, machine_ids=ids, reason="new") == {
        "count": 2,
        "waiting": 0,
        "move_id": None,
    }
    profile = post(lead, f"/groups/{group}/profiles", 201, document=DOCUMENT, reason="pool", propose=True)
    assert (profile["state"], profile["needs_second"]) == ("proposed", True)
    post(lead, f"/profiles/{profile['id']}/approve", 403, reason="me")

    assert post(manager, f"/profiles/{profile['id']}/approve", 200, reason="agreed")["state"] == "active"

    found = get(lead, f"/groups/{group}/preview")
    assert (found["steps"], found["same"], [each["machine_id"] for each in found["machines"]]) == (2, 0, ids)
    assert found["machines"][0]["differences"][0]["found"] == "site.w"
    made = post(lead, f"/groups/{group}/reconcile", 202, reason="own pool")
    assert (made["state"], made["steps"]) == ("running", {"planned": 2})
    steps = get(lead, f"/operations/{made['id']}/steps")["items"]
    assert [(step["machine_id"], step["kind"], step["status"]) for step in steps] == [
        (machine_id, "set_pools", "planned") for machine_id in ids
    ]
    assert post(lead, f"/operations/{made['id']}/pause", 200, reason="wait")["state"] == "paused"
    assert post(lead, f"/operations/{made['id']}/resume", 200, reason="go")["state"] == "running"
    assert post(lead, f"/operations/{made['id']}/cancel", 200, reason="no")["steps"] == {"cancelled": 2}


def test_a_move_to_other_pools_waits_for_a_second_person(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD), sign_in(Role.SITE_MANAGER)
    number = group_site.group(lead.user, pilot)  # type: ignore[attr-defined]
    other = pilot.machines[2].pk
    put = post(lead, f"/groups/{number}/machines", 200, machine_ids=[other], reason="new rack")
    assert (put["count"], put["waiting"]) == (0, 1)
    assert [row["machine_ids"] for row in get(lead, "/moves")["items"]] == [[other]]
    post(lead, f"/moves/{put['move_id']}/approve", 403, reason="me")

    assert post(manager, f"/moves/{put['move_id']}/approve", 200, reason="agreed") == {"count": 1}

    assert get(lead, "/moves")["items"] == []
    assert get(lead, f"/groups/{number}")["machines"] == 3
    post(manager, f"/moves/{put['move_id']}/refuse", 400, reason="late")


def test_what_is_not_there_or_not_possible_is_a_clear_problem(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    for path in ("/groups/99", "/groups/99/profiles", "/groups/99/preview", "/operations/99", "/operations/99/steps"):
        assert lead.get(f"/api/v1{path}").status_code == 404, path
    post(lead, "/profiles/99/propose", 404)
    group = post(lead, "/groups", 201, name="Empty", reason="x")["id"]
    assert "already" in post(lead, "/groups", 400, name="Empty", reason="x")["detail"]
    assert "no active profile" in lead.get(f"/api/v1/groups/{group}/preview").json()["detail"]
    bad = {"pools": [{"url": "stratum+tcp://a:1", "user": "u", "password": "p"}]}
    post(lead, f"/groups/{group}/profiles", 400, document=bad, reason="x")
    started = operation(lead.user, pilot)
    assert post(lead, f"/operations/{started}/start", 200)["state"] == "running"
    assert "further meanwhile" in post(lead, f"/operations/{started}/start", 400)["detail"]


def test_a_group_is_paused_with_a_reason_and_its_note_stays(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD)
    group = post(lead, "/groups", 201, name="Hall A", note="south", reason="new")["id"]
    changed = post(lead, f"/groups/{group}", 200, paused=True, reason="works on the hall")
    assert (changed["paused"], changed["note"]) == (True, "south")
    post(lead, f"/groups/{group}", 400, paused=False)
    assert get(lead, f"/groups/{group}")["paused"] is True


def test_pollers_are_listed_as_they_were_heard(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    POLLERS.__init__()  # type: ignore[misc]
    POLLERS.hear(word(0, range(64)))
    found = get(sign_in(Role.TECHNICIAN), "/pollers")["items"]
    assert [(one["number"], one["is_gone"], len(one["slots"])) for one in found] == [(0, False, 64)]
    POLLERS.__init__()  # type: ignore[misc]
