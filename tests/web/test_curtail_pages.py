"""The curtailment console: what is known, what is not, the dry run, who may do what."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import curtail_rows, curtail_triggers
from mbongi.fleet.models import Action, Operation
from mbongi.fleet.values import CurtailPhase
from tests.web import curtail_site
from tests.web.conftest import Pilot
from tests.web.test_fleet_pages import page, send

PLACE = "/fleet/curtailment/"
JSON = "application/json"


def test_before_the_first_reading_the_page_says_so_and_nothing_can_begin(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")

    assert "No reading of the site's power yet" in page(lead, PLACE)
    assert "is not known now" in page(lead, f"{PLACE}rehearsal/", by="pct", value="50")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"power_w": None, "trouble": "frozen"}, "It is not believed"),
        ({"power_w": None, "trouble": "silent"}, "does not answer"),
        ({"source": "machines"}, "The site has no meter"),
        ({"at": utc_now() - timedelta(minutes=3)}, "what you see is old"),
    ],
)
def test_a_power_that_is_no_measurement_looks_like_none(
    pilot: Pilot, sign_in: Callable[..., Client], facts: dict[str, object], said: str
) -> None:
    curtail_site.measured(**facts)  # type: ignore[arg-type]

    assert said in page(sign_in(Role.AUDITOR, language="en"), PLACE)


def test_it_is_rehearsed_begun_changed_and_aborted_with_reasons(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    curtail_site.measured()
    shown = page(lead, f"{PLACE}rehearsal/", by="pct", value="25", within="2", within_unit="min")
    assert "Begin now" in shown
    with acting(SITE):
        assert not Operation.objects.exists()
    assert send(lead, f"{PLACE}begin/", by="pct", value="25", reason="the grid is weak") == PLACE
    with acting(SITE):
        row = curtail_rows.active()
        assert row is not None
        assert row.target_w == pytest.approx(9_000)
        assert Action.objects.filter(operation_id=row.id).exists()
    live = page(lead, PLACE)
    assert "coming down" in live
    assert f"{PLACE}ask/abort/{row.id}/" in live
    assert "wake" in page(lead, f"{PLACE}ask/abort/{row.id}/")
    send(lead, f"{PLACE}begin/", by="pct", value="10", reason="less will do", id=str(row.id))
    send(lead, f"{PLACE}{row.id}/end/", reason="a mistake", abort="1")
    with acting(SITE):
        now = curtail_rows.curtailment(row.id)
    assert now.target_w == pytest.approx(10_800)
    assert now.phase is CurtailPhase.WAKE
    assert now.abort
    course = lead.get(f"{PLACE}course.json").json()
    assert course["power"]["power_w"] == 12_000
    assert len(course["at"]) == len(course["plan_w"]) == len(course["target_w"])


def test_what_cannot_be_read_is_said(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    curtail_site.measured()

    assert "is no number" in page(lead, f"{PLACE}rehearsal/", by="pct", value="much")
    assert "not both" in page(lead, f"{PLACE}rehearsal/", by="pct")
    send(lead, f"{PLACE}begin/", by="pct", value="500", reason="x")
    page(lead, f"{PLACE}ask/nothing/1/", 404)
    assert lead.get(f"{PLACE}course.json?id=99999").status_code == 404
    with acting(SITE):
        assert curtail_rows.active() is None


def test_who_may_see_and_who_may_act(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD)
    number = curtail_site.begun(lead.user)  # type: ignore[attr-defined]

    page(sign_in(Role.TENANT, owner=pilot.north), PLACE, 403)
    auditor = sign_in(Role.AUDITOR)
    assert f"{PLACE}ask/end/{number}/" not in page(auditor, PLACE)
    assert auditor.post(f"{PLACE}begin/", {"by": "pct", "value": "5", "reason": "x"}).status_code == 403
    technician = sign_in(Role.TECHNICIAN)
    assert technician.post(f"{PLACE}begin/", {"by": "pct", "value": "5", "reason": "x"}).status_code == 403
    send(technician, f"{PLACE}{number}/end/", reason="needed")


def test_a_trigger_is_written_in_a_form_and_approved_by_a_second_person(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD, language="en"), sign_in(Role.SITE_MANAGER, language="en")
    page(lead, f"{PLACE}triggers/new/")
    form = {
        "name": "Evening",
        "kind": "price",
        "begin": "120,5",
        "end": "90",
        "by": "mw",
        "value": "0.005",
        "reason": "x",
    }
    send(lead, f"{PLACE}triggers/new/", **form)
    with acting(SITE):
        (row,) = curtail_triggers.triggers()
    assert row.condition.begin == 120.5
    assert row.needs_second
    assert f"trigger-approve/{row.id}/" not in page(lead, PLACE)
    assert f"trigger-approve/{row.id}/" in page(manager, PLACE)
    send(manager, f"{PLACE}triggers/{row.id}/approve/", reason="agreed")
    send(lead, f"{PLACE}triggers/{row.id}/off/", reason="holiday")
    page(lead, f"{PLACE}triggers/{row.id}/")
    with acting(SITE):
        assert not curtail_triggers.trigger(row.id).is_on
    send(lead, f"{PLACE}triggers/{row.id}/retire/", reason="over")
    page(lead, f"{PLACE}triggers/{row.id}/", 404)


def test_programs_do_the_same_over_the_api(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD), sign_in(Role.SITE_MANAGER)
    curtail_site.measured()

    def post(client: Client, path: str, body: dict[str, object], status: int) -> dict[str, object]:
        answer = client.post(f"/api/v1{path}", body, content_type=JSON)
        assert answer.status_code == status, answer.content
        found: dict[str, object] = answer.json()
        return found

    found = post(lead, "/curtailments/preview", {"reduce_pct": 25}, 200)
    assert found["target_w"] == pytest.approx(9_000)
    assert found["machine_ids"]
    wish = {"wish": {"reduce_pct": 25, "within_s": 3, "ramp_kw_s": 1}, "reason": "grid"}
    post(lead, "/curtailments", wish, 400)  # 3 kW at 1 kW/s take 5.5 s
    begun = post(lead, "/curtailments", {"wish": {"reduce_pct": 25}, "reason": "grid"}, 202)
    post(lead, f"/curtailments/{begun['id']}/target", {"wish": {"reduce_pct": 10}, "reason": "less"}, 200)
    ended = post(lead, f"/curtailments/{begun['id']}/end", {"reason": "over", "abort": True}, 200)
    assert ended["phase"] == "wake"
    post(lead, "/signals", {"kind": "price", "value": 120.0, "source": "market"}, 200)
    body = {"name": "Feeder", "kind": "capacity", "reason": "x"}
    made = post(lead, "/triggers", body, 201)
    post(lead, f"/triggers/{made['id']}/approve", {"reason": "x"}, 403)
    assert post(manager, f"/triggers/{made['id']}/approve", {"reason": "x"}, 200)["is_on"]
    assert not post(lead, f"/triggers/{made['id']}/switch", {"on": False, "reason": "x"}, 200)["is_on"]
    post(lead, f"/triggers/{made['id']}/retire", {"reason": "x"}, 200)
    post(lead, f"/triggers/{made['id']}/retire", {"reason": "x"}, 404)
