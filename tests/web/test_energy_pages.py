"""The energy pages: before there is anything, with a plan, with an old one, and who may do what."""

import json
import math
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.models import Tenant, User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.core.telemetry.errors import StoreUnavailable
from mbongi.energy import dispatching, supplies
from mbongi.energy.adapters.highs import Highs
from mbongi.energy.models import DispatchPlan, DispatchState, SupplyVersion
from mbongi.energy.rules.figures import Figure
from mbongi.web import energy_sight
from tests.energy.supplies import DOCUMENT, readings, supply
from tests.energy.test_dispatching import ZONE
from tests.web.test_fleet_pages import page, send

PLACE = "/energy/"


@pytest.fixture
def planned(people: Callable[..., User]) -> None:
    """A supply in force, a plan, and targets that hold."""
    with acting(SITE):
        author = people(Role.SHIFT_LEAD, email="author@example.org")
        row = supplies.write(author, supply(), reason="contract")
        supplies.approve(people(Role.SITE_MANAGER, email="second@example.org"), row.id, reason="read")
        now = utc_now()
        told = readings(now.timestamp())
        del told["BAT", "charge_pct"]
        kept = dispatching.plan_now(Highs(), told, ZONE, now=now)
        dispatching.steer(kept, None, told, ZONE, now=now)


def test_before_there_is_a_supply_the_page_says_so(db: None, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    shown = page(lead, PLACE)
    assert "No supply is in force" in shown
    assert "No plan yet" in shown
    assert json.loads(page(lead, f"{PLACE}plan.json")) == {"at": [], "layers": []}
    assert "Write a new version" in page(lead, f"{PLACE}supply/")


def test_the_plan_its_saving_and_what_was_assumed_are_shown(planned: None, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.AUDITOR, language="en")
    shown = page(lead, PLACE)
    assert "the plan steers" in shown
    assert "BAT charge_pct" in shown
    assert "shown only" in shown
    assert "Hand them over" not in shown, "an auditor only looks"
    chart = json.loads(page(lead, f"{PLACE}plan.json"))
    assert len(chart["at"]) == len(chart["why"]) == 288
    assert {layer["kind"] for layer in chart["layers"]} <= {"feed", "solar", "discharge", "genset"}
    assert all(len(layer["w"]) == 288 for layer in chart["layers"])


def test_figures_come_from_named_meters_and_a_store_that_is_away_is_said(
    planned: None, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    assert "No meters are named" in page(lead, f"{PLACE}figures/")
    with acting(SITE):
        meters = {"facility": [{"tag": "MAIN"}], "it": [{"tag": "UPS"}]}
        SupplyVersion.objects.update(document={**DOCUMENT, "meters": meters})

    def away(*_arguments: object, **_more: object) -> list[Figure]:
        raise StoreUnavailable("away")

    monkeypatch.setattr(energy_sight, "figures", away)
    assert "does not answer" in page(lead, f"{PLACE}figures/")
    known = [
        Figure("iPUE1", None, "", math.nan, 0.4, ("UPS",)),
        Figure("iREF", 0.2, "", 0.01, 1.0),
        Figure("ipPUE1", None, "", math.nan, 1.0, (), 12.5, ("PV",)),
    ]
    monkeypatch.setattr(energy_sight, "figures", lambda _supply: known)
    shown = page(lead, f"{PLACE}figures/")
    assert "iPUE1" in shown
    assert "UPS" in shown
    assert "0.200" in shown
    assert "energy is missing from them. Not among them: PV" in shown
    assert "12.5" in shown


def test_a_silent_process_and_a_failed_plan_look_so(planned: None, sign_in: Callable[..., Client]) -> None:
    with acting(SITE):
        DispatchState.objects.update(at=utc_now() - timedelta(minutes=3))
        last = DispatchPlan.objects.get()
        last.pk, last.is_usable, last.status = None, False, "dispatch: the solver ended with time limit"
        last.relaxed = []
        last.save()
        DispatchPlan.objects.filter(is_usable=True).update(
            relaxed=[{"kind": "load", "tag": "", "amount": 12.34, "steps": 3, "penalty": 1.0}]
        )
    shown = page(sign_in(Role.SHIFT_LEAD, language="en"), PLACE)
    assert "what you see is old" in shown
    assert "the solver ended with time limit" in shown
    assert "12.3 kWh of firm load are not supplied" in shown


def test_a_supply_is_written_refused_and_approved_by_another(db: None, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD, language="en")
    place = f"{PLACE}supply/"
    refused = lead.post(place, {"document": json.dumps({**DOCUMENT, "outage_p": [0.1]}), "reason": "x"})
    assert refused.status_code == 422
    assert "expected 24" in refused.content.decode()
    assert send(lead, place, document=json.dumps(DOCUMENT), reason="contract") == place
    with acting(SITE):
        [row] = supplies.versions()
    send(lead, f"{place}{row.id}/approve/", reason="mine")
    with acting(SITE):
        assert supplies.in_force() is None
    manager = sign_in(Role.SITE_MANAGER, language="en")
    assert f"{place}{row.id}/approve/" in page(manager, place)
    send(manager, f"{place}{row.id}/approve/", reason="read")
    with acting(SITE):
        assert supplies.in_force() is not None
    assert "in force" in page(manager, place)
    send(manager, f"{PLACE}switch/on/", reason="trial")
    with acting(SITE):
        assert DispatchState.objects.get().is_on


@pytest.mark.parametrize(("role", "status"), [(Role.TENANT, 403), (Role.AUDITOR, 200)])
def test_who_may_look(role: Role, status: int, tenant: Callable[[str], Tenant], sign_in: Callable[..., Client]) -> None:
    reader = sign_in(role, owner=tenant("north") if role is Role.TENANT else None)
    assert reader.get(PLACE).status_code == status
    assert reader.post(f"{PLACE}switch/on/", {"reason": "x"}).status_code == 403
    assert reader.post(f"{PLACE}supply/", {"document": json.dumps(DOCUMENT), "reason": "x"}).status_code == 403
