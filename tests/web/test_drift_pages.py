"""The page of drift, its series and its API: what differs, what went elsewhere; new pools approved in the dialog."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet.models import Action, Diversion, Event
from mbongi.fleet.values import ActionStatus, EventKind, Severity
from tests.web.conftest import Pilot
from tests.web.group_site import group

URL = "stratum+tcp://elsewhere.example:3333"


@pytest.fixture
def hijacked(pilot: Pilot, sign_in: Callable[..., Client]) -> int:
    """The first machine works for another pool since two hours, in a group whose profile does not re-assert itself."""
    lead = sign_in(Role.SHIFT_LEAD)
    group(lead.user, pilot)  # type: ignore[attr-defined]
    machine, at = pilot.machines[0], utc_now() - timedelta(hours=2)
    with acting(SITE):
        params = {"wanted": "stratum+tcp://pool.example:3333 acct.20-01-01", "found": f"{URL} <thief>"}
        Event.objects.create(
            machine=machine, kind=EventKind.POOL_DRIFT, severity=Severity.CRITICAL, at=at, params=params
        )
        Diversion.objects.create(
            machine=machine, url=URL, user="thief", since=at, seen_at=utc_now(), hashes_th=720_000.0
        )
    return machine.pk


def test_the_page_says_what_differs_where_work_went_and_what_comes_next(
    hijacked: int, sign_in: Callable[..., Client]
) -> None:
    text = sign_in(language="en").get("/fleet/drift/").content.decode()

    assert f'href="/machines/{hijacked}/"' in text
    assert "&lt;thief&gt;" in text
    assert "<thief>" not in text
    assert '720.0<span class="unit">PH' in text.replace("&nbsp;", "")
    assert "the profile does not re-assert itself" in text
    assert "elsewhere.example" in sign_in().get(f"/machines/{hijacked}/").content.decode()


def test_a_site_without_drift_says_so(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    text = sign_in(language="en").get("/fleet/drift/").content.decode()

    assert "Every machine is as its profile wants it" in text
    assert "No work went elsewhere" in text


def test_the_series_adds_up_to_what_was_counted(hijacked: int, sign_in: Callable[..., Client]) -> None:
    answer = sign_in().get("/fleet/drift/series.json?hours=24").json()

    # 720,000 TH over two hours are 100 TH/s; 120 steps of 720 s.
    assert sum(answer["columns"]["0"]) * 720 == pytest.approx(720_000, rel=0.01)
    assert max(answer["columns"]["0"]) == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize("query", ["hours=0", "hours=x", "kind=nonsense", "group=-1"])
def test_a_question_that_makes_no_sense_is_refused(query: str, pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    assert sign_in().get(f"/fleet/drift/?{query}").status_code == 400


def test_the_api_gives_drift_diversions_and_totals(hijacked: int, sign_in: Callable[..., Client]) -> None:
    client = sign_in()

    [one] = client.get("/api/v1/drift").json()["items"]
    assert (one["machine_id"], one["then"], one["tries"], one["version"]) == (hijacked, "hand", 0, 1)
    assert one["drifts"][0]["kind"] == "pool_drift"
    [diversion] = client.get("/api/v1/diversions?open=1").json()["items"]
    assert (diversion["pool"], diversion["worker"], diversion["hashes_th"]) == (URL, "thief", 720_000.0)
    assert not client.get("/api/v1/diversions?open=0").json()["items"]
    [total] = client.get("/api/v1/diversions/totals").json()["items"]
    assert (total["machines"], total["lasting"], total["is_ours"]) == (1, 1, False)


def test_tenants_see_no_drift_of_others(hijacked: int, pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TENANT, owner=pilot.north)

    assert client.get("/api/v1/drift").json() == {"items": [], "total": 0}
    assert not client.get("/api/v1/diversions").json()["items"]


def test_pools_by_hand_wait_in_the_dialog_until_a_second_person_approves(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    number = pilot.machines[3].pk
    asks = {"step": "do", "reason": "own pool", "url": "stratum+tcp://pool.example:3333", "user": "site.7"}
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    text = lead.post(f"/machines/{number}/actions/set_pools/", asks).content.decode()
    assert "A second account is needed." in text
    with acting(SITE):
        action = Action.objects.get()
    manager = sign_in(Role.SITE_MANAGER, language="en")
    assert "somebody else must approve" in lead.get(f"/actions/{action.pk}/").content.decode()
    assert lead.post(f"/actions/{action.pk}/approve/", {"reason": "me"}).status_code == 403
    assert "Awaiting approval" in manager.get(f"/machines/{number}/record/").content.decode()
    assert "State a reason." in manager.post(f"/actions/{action.pk}/approve/", {"reason": ""}).content.decode()

    manager.post(f"/actions/{action.pk}/approve/", {"reason": "agreed"})

    with acting(SITE):
        action.refresh_from_db()
        assert action.operation is not None
        assert (action.operation.state, action.status) == ("running", ActionStatus.PLANNED)
