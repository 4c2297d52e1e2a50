"""A tenant sees its own machines through every page, download, stream and API route, and nothing of anybody else's."""

import json
from collections.abc import Callable

import pytest
from django.test import Client

from mbongi.core.identity.values import Role, Scope
from mbongi.web.live.board import BOARD
from tests.web.conftest import Pilot


@pytest.fixture
def tenant_client(pilot: Pilot, sign_in: Callable[..., Client]) -> Client:
    """Somebody of the tenant north."""
    return sign_in(Role.TENANT, owner=pilot.north, language="en")


def test_lists_hold_the_tenants_machines_alone(tenant_client: Client, pilot: Pilot) -> None:
    for page in ("/machines/", "/events/", "/", "/machines/export.csv", "/events/export.csv", "/floor/layout.json"):
        text = tenant_client.get(page).content.decode()
        assert "20/01/04" not in text, page
        assert "127.20.1.4" not in text, page
    assert json.loads(tenant_client.get("/floor/layout.json").content)["id"] == [one.pk for one in pilot.machines[4:]]


def test_anothers_machine_looks_like_none(tenant_client: Client, pilot: Pilot) -> None:
    number = pilot.machines[0].pk
    for page in (f"/machines/{number}/", f"/machines/{number}/record/", f"/api/v1/machines/{number}",
                 f"/api/v1/machines/{number}/series", f"/api/v1/machines/{number}/actions"):  # fmt: skip
        assert tenant_client.get(page).status_code == 404, page


def test_sums_are_over_the_tenants_machines(tenant_client: Client) -> None:
    site = json.loads(tenant_client.get("/api/v1/site").content)
    assert site["machines"] == 2
    assert site["hashrate_ths"] == pytest.approx(204 + 205)
    assert site["alarms"] == {"critical": 1}


def test_the_api_lists_the_tenants_alone(tenant_client: Client, pilot: Pilot) -> None:
    listed = json.loads(tenant_client.get("/api/v1/machines").content)
    assert [item["id"] for item in listed["items"]] == [one.pk for one in pilot.machines[4:]]
    assert json.loads(tenant_client.get("/api/v1/events").content)["total"] == 1


def test_a_tenant_controls_nothing(tenant_client: Client, pilot: Pilot) -> None:
    own = pilot.machines[4].pk
    answer = tenant_client.post(
        f"/api/v1/machines/{own}/actions", {"kind": "sleep", "reason": "x"}, content_type="application/json"
    )
    assert answer.status_code == 403
    assert tenant_client.get(f"/machines/{own}/actions/sleep/").status_code == 403


def test_the_stream_holds_the_tenants_machines_alone(pilot: Pilot) -> None:
    scope = Scope(tenant_id=pilot.north.pk, site_wide=False)
    assert BOARD.changes(scope, 0, ["power_w"])["id"] == [one.pk for one in pilot.machines[4:]]
    asked_for_anothers = BOARD.changes(scope, 0, ["power_w"], ids=[pilot.machines[0].pk])
    assert asked_for_anothers["id"] == []


def test_nobodys_scope_sees_nothing(pilot: Pilot) -> None:
    assert BOARD.changes(Scope(tenant_id=None, site_wide=False), 0, [])["id"] == []
