"""The onboarding page and the rack walk as people see them."""

import dataclasses
from collections.abc import Callable

import pytest
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import credentials, reports
from mbongi.fleet.models import Machine
from mbongi.fleet.reports import Heard
from tests.web.conftest import Pilot

PLACERS = {Role.TECHNICIAN, Role.SHIFT_LEAD, Role.SITE_MANAGER}
WALK = "/fleet/onboarding/walk/"


@pytest.fixture(autouse=True)
def _own_key(tmp_path, settings):
    """Keys of the tests stay out of the working folder."""
    site = dataclasses.replace(settings.CONFIG.site, data_dir=tmp_path)
    settings.CONFIG = dataclasses.replace(settings.CONFIG, site=site)


@pytest.mark.parametrize("role", list(Role))
def test_who_may_bring_machines_in(role: Role, pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(role, owner=pilot.north if role == Role.TENANT else None)
    wanted = 200 if role in PLACERS else 403
    pages = ("/fleet/onboarding/", "/fleet/onboarding/?what=password", "/fleet/onboarding/?what=unknown", WALK)
    assert {page: client.get(page).status_code for page in pages} == dict.fromkeys(pages, wanted)
    changed = client.post("/fleet/onboarding/rotate/", {"reason": "delivery"})
    assert changed.status_code == (302 if role == Role.SITE_MANAGER else 403)


def test_a_walk_by_clicks_from_the_label_to_the_undo(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TECHNICIAN, language="en")
    assert client.get(f"{WALK}?p=30-2-7")["Location"] == WALK
    machine = pilot.machines[0]
    with acting(SITE):
        Machine.objects.filter(pk=machine.pk).update(mac="02:4D:42:00:00:01")
        reports.hear([Heard(str(machine.address), "10.9.9.9", "02:4D:42:00:00:01", utc_now())])
    part = client.get(WALK, headers={"HX-Request": "true"}).content.decode()
    assert "30/02/07" in part
    assert "02:4D:42:00:00:01" in part
    assert "says otherwise of itself" in part
    assert "camera=(self)" in client.get(WALK)["Permissions-Policy"]
    form = {"machine": machine.pk, "p": "30-2-7"}
    assert client.post("/fleet/onboarding/place/", form)["Location"] == WALK
    assert "30/02/08" in client.get(WALK).content.decode()

    asked = client.post("/fleet/onboarding/place/", form | {"p": "30-2-9"})
    assert asked.status_code == 409
    assert "Has it moved here?" in asked.content.decode()
    assert 'name="moved" value="yes"' in asked.content.decode()
    assert client.post("/fleet/onboarding/place/", form | {"p": "30-2-9", "moved": "yes"})["Location"] == WALK
    with acting(SITE):
        number = machine.placements.order_by("-pk").first().pk
    assert client.post(f"/fleet/onboarding/placements/{number}/undo/")["Location"] == WALK
    with acting(SITE):
        assert Machine.objects.get(pk=machine.pk).slot == 7
    assert client.post(f"{WALK}to/", {"end": "yes"})["Location"] == "/fleet/onboarding/"


@pytest.mark.parametrize("p", ["30-2", "x-1-2", "99999-1-1", "1-2-3-4", "²-1-2"])
def test_a_code_that_is_no_label_begins_no_walk(p: str, pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TECHNICIAN, language="en")
    assert "Where do you stand?" in client.get(f"{WALK}?p={p}").content.decode()
    assert client.post("/fleet/onboarding/place/", {"machine": pilot.machines[0].pk, "p": p}).status_code == 404
    assert client.post(f"{WALK}to/", {"hall": "x", "rack": "1", "slot": "1"}).status_code == 302


@pytest.mark.parametrize("label", ["SN0", " sn0 ", "02:00:00:00:00:00", "02-00-00-00-00-00", "020000000000"])
def test_who_cannot_scan_types_what_the_machines_label_says(
    label: str, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    client = sign_in(Role.TECHNICIAN, language="en")
    assert 'name="label"' not in client.get(WALK).content.decode(), "first the walk says where"
    client.post(f"{WALK}to/", {"hall": "30", "rack": "2", "slot": "7"})
    assert 'name="label"' in client.get(WALK).content.decode()

    page = client.get(WALK, {"label": label}).content.decode()

    assert "By its label" in page
    assert f'name="machine" value="{pilot.machines[0].pk}"' in page
    assert 'name="p" value="30-2-7"' in page


@pytest.mark.parametrize("label", ["SN", "SN99", "02:00:00:00:00", "02:00:00:00:00:ff", "SN5", "<b>"])
def test_a_label_of_no_machine_or_of_two_is_said_to_be_so(
    label: str, pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    with acting(SITE):
        Machine.objects.filter(pk=pilot.machines[4].pk).update(serial="SN5")
    client = sign_in(Role.TECHNICIAN, language="en")
    client.get(f"{WALK}?p=30-2-7")

    page = client.get(WALK, {"label": label}).content.decode()

    assert "No machine that is known has this serial number or MAC, or several have." in page
    assert "By its label" not in page
    assert "<b>" not in page.partition('name="label"')[2].partition("</form>")[0]


def test_the_api_places_shows_and_rotates(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client, machine = sign_in(Role.SITE_MANAGER, language="en"), pilot.machines[0].pk
    post = {"content_type": "application/json"}
    made = client.post(f"/api/v1/machines/{machine}/position", {"hall": 30, "rack": 2, "slot": 7}, **post)
    assert made.status_code == 201
    asked = client.post(f"/api/v1/machines/{machine}/position", {"hall": 30, "rack": 2, "slot": 8}, **post)
    assert asked.status_code == 400
    assert client.post(f"/api/v1/placements/{made.json()['placement']}/undo", {}, **post).status_code == 200
    assert client.get("/api/v1/onboarding").json()["found"] == len(pilot.machines)
    assert client.get("/api/v1/onboarding/waiting?what=password").json()["total"] == len(pilot.machines)
    assert client.post(f"/api/v1/machines/{machine}/password", {"reason": "console"}, **post).status_code == 400
    with acting(SITE):
        word = credentials.prepare(machine, 3)
        credentials.settle(machine, 3)
    shown = client.post(f"/api/v1/machines/{machine}/password", {"reason": "console"}, **post)
    assert shown.json() == {"password": word, "pending": "", "note": ""}
    assert client.post("/api/v1/passwords", {"reason": "delivery"}, **post).json()["kind"] == "credentials"


def test_a_password_is_on_no_page(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client, machine = sign_in(Role.SITE_MANAGER, language="en"), pilot.machines[0].pk
    with acting(SITE):
        word = credentials.prepare(machine, 3)
        credentials.settle(machine, 3)
    for page in ("/fleet/onboarding/?what=position", f"/machines/{machine}/", f"{WALK}?m={machine}"):
        assert word not in client.get(page).content.decode()
