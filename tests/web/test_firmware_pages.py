"""Firmware in the browser and over the API: upload, keys, a campaign by two people, and what is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import campaign_work, campaigns, image_rows, operations
from mbongi.fleet.rules.stages import CampaignPlan
from tests.fleet.firmware_site import PUBLIC, SIGNER, add_image, trust
from tests.web.conftest import Pilot

CONTENT = b"an image"
JSON = "application/json"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = dataclasses.replace(settings.CONFIG.site, data_dir=tmp_path)
    monkeypatch.setattr(settings, "CONFIG", dataclasses.replace(settings.CONFIG, site=site))


def uploaded(client: Client, signature: bytes, *, by_script: bool = False) -> Any:
    form = {"family": "antminer", "version": "FR-2", "notes": "quicker", "models": "Antminer S21", "signature": ""}
    files = {
        "image": SimpleUploadedFile("i.bin", CONTENT),
        "signature_file": SimpleUploadedFile("i.sig", signature),
    }
    headers = {"X-Requested-With": "XMLHttpRequest"} if by_script else {}
    return client.post("/fleet/firmware/", form | files, headers=headers)


def test_an_upload_by_script_leaves_its_note_for_the_page_that_follows(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    manager = sign_in(language="en")
    key = {"name": "Site key", "public_key": PUBLIC, "reason": "ours"}
    manager.post("/fleet/firmware/keys/", key)
    manager.get("/fleet/firmware/")
    told = uploaded(manager, SIGNER.sign(CONTENT), by_script=True)
    assert (told.status_code, told.headers["Location"], told.content) == (201, "/fleet/firmware/", b"")
    assert "Version FR-2 is in the store" in manager.get(told.headers["Location"]).content.decode()
    assert "Version FR-2 is in the store" not in manager.get("/fleet/firmware/").content.decode()


def test_an_image_is_uploaded_with_its_signature_and_shown_with_who_signed_it(
    pilot: Pilot, sign_in: Callable[..., Client]
) -> None:
    manager = sign_in(language="en")
    assert "No key is trusted yet" in manager.get("/fleet/firmware/").content.decode()
    key = {"name": "Site key", "public_key": PUBLIC, "reason": "ours"}
    assert manager.post("/fleet/firmware/keys/", key).status_code == 302

    refused = uploaded(manager, bytes(64))
    assert (refused.status_code, image_rows_of()) == (400, [])
    assert "none of the trusted keys" in refused.content.decode()
    assert uploaded(manager, SIGNER.sign(CONTENT)).status_code == 302

    page = manager.get("/fleet/firmware/").content.decode()
    assert "FR-2" in page
    assert "Site key" in page
    [row] = image_rows_of()
    assert manager.post(f"/fleet/firmware/{row.id}/remove/", {"reason": "old"}).status_code == 302
    assert image_rows_of() == []
    with acting(SITE):
        [key_row] = image_rows.trusted_keys()
    assert manager.post(f"/fleet/firmware/keys/{key_row.id}/remove/", {"reason": "lost"}).status_code == 302
    assert manager.post("/fleet/firmware/keys/999/remove/", {"reason": "lost"}).status_code == 404


def image_rows_of() -> list[image_rows.ImageRow]:
    with acting(SITE):
        return image_rows.images()


def image_of(client: Any) -> int:
    """An image in the store, for the first two machines."""
    with acting(SITE):
        trust(client.user)
        return add_image(client.user, settings.CONFIG.site.data_dir, "FR-2").id


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_campaign_is_rehearsed_proposed_and_approved_by_another(
    pilot: Pilot, sign_in: Callable[..., Client], language: str
) -> None:
    lead, manager = sign_in(Role.SHIFT_LEAD, language=language), sign_in(language=language)
    image = image_of(manager)
    form = dict(lead.get(f"/fleet/campaigns/new/?image={image}").context["given"])
    form |= {"reason": "quicker"}
    dry = lead.post("/fleet/campaigns/new/", form | {"step": "dry"})
    assert dry.context["dry"]["total"] == 3
    assert sum(count for _why, count in dry.context["dry"]["left"]) == 3
    assert lead.post("/fleet/campaigns/new/", form | {"step": "dry", "size_0": "x"}).status_code == 400
    assert lead.post("/fleet/campaigns/new/", form | {"step": "dry", "size_0": "nan"}).status_code == 400
    assert lead.post("/fleet/campaigns/new/", form | {"step": "dry", "image": ""}).status_code == 400

    place = lead.post("/fleet/campaigns/new/", form | {"step": "plan"}).url

    assert lead.post(f"{place}approve/", {"reason": "me"}).status_code == 403
    assert "approve/" in manager.get(place).content.decode()
    assert "approve/" not in lead.get(place).content.decode()
    manager.post(f"{place}approve/", {"reason": "agreed"})
    number = int(place.split("/")[-2])
    with acting(SITE):
        campaign_work.drive(number, lambda _asked: pytest.fail("no telemetry is asked before machines are flashed"))
    page = lead.get(place, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page
    assert "roll-back/" in page
    lead.post(f"{place}halt/", {"reason": "look"})
    lead.post(f"{place}continue/", {"reason": "fine"})
    lead.post(f"{place}roll-back/", {"reason": "no"})
    assert lead.post(f"{place}odd/", {"reason": "no"}).status_code == 404
    assert "FR-2" in lead.get("/fleet/campaigns/").content.decode()
    assert lead.get("/fleet/campaigns/99999/").status_code == 404


def test_who_may_not_see_or_do_is_refused(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    tenant, technician = sign_in(Role.TENANT, owner=pilot.north), sign_in(Role.TECHNICIAN)
    for path in ("/fleet/firmware/", "/fleet/campaigns/", "/api/v1/campaigns"):
        assert tenant.get(path).status_code == 403
    assert technician.get("/fleet/firmware/").status_code == 200
    assert technician.get("/fleet/campaigns/").status_code == 200
    assert technician.get("/fleet/campaigns/new/").status_code == 403
    assert (
        technician.post("/api/v1/firmware/files", CONTENT, content_type="application/octet-stream").status_code == 403
    )


def post(client: Client, path: str, status: int, **body: Any) -> Any:
    answer = client.post(f"/api/v1{path}", body, content_type=JSON)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_the_api_uploads_signs_plans_and_rolls_back(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    manager = sign_in()
    key = post(manager, "/firmware/keys", 201, name="Site key", public_key=PUBLIC, reason="ours")
    raw = manager.post("/api/v1/firmware/files", CONTENT, content_type="application/octet-stream")
    assert raw.status_code == 201, raw.content
    wish = {"sha256": raw.json()["sha256"], "family": "antminer", "version": "FR-2"}
    post(manager, "/firmware/images", 400, **wish, signature="00" * 64)
    image = post(manager, "/firmware/images", 201, **wish, signature=SIGNER.sign(CONTENT).hex())
    assert image["key"] == "Site key"

    ids = [machine.pk for machine in pilot.machines]
    found = post(manager, "/campaigns/preview", 200, image_id=image["id"], machine_ids=ids)
    assert [len(stage) for stage in found["stages"]] == [3, 0, 0, 0]
    assert len(found["left"]) == 3
    campaign = post(manager, "/campaigns", 201, image_id=image["id"], machine_ids=ids, reason="quicker")
    assert (campaign["state"], campaign["phase"]) == ("awaiting", "waiting")
    post(manager, f"/campaigns/{campaign['id']}/continue", 400, reason="x")
    post(manager, f"/campaigns/{campaign['id']}/roll-back", 400, reason="x")
    post(manager, f"/firmware/images/{image['id']}/remove", 400, reason="x")
    post(manager, "/campaigns/preview", 404, image_id=999, machine_ids=ids)
    assert manager.get("/api/v1/campaigns").json()["items"][0]["version"] == "FR-2"
    assert manager.get(f"/api/v1/campaigns/{campaign['id']}").status_code == 200
    assert manager.get("/api/v1/firmware/images").json()["items"][0]["id"] == image["id"]
    assert post(manager, f"/firmware/keys/{key['id']}/remove", 200, reason="x") == {"items": []}


def test_the_figures_of_a_campaign_say_when_the_store_is_away(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    lead = sign_in(Role.SHIFT_LEAD)
    image = image_of(sign_in())
    with acting(SITE):
        ids = [machine.pk for machine in pilot.machines]
        row = campaigns.plan_campaign(lead.user, image, ids, CampaignPlan(), reason="x")  # type: ignore[attr-defined]
        assert operations.operation(row.id).id == row.id
    assert lead.get(f"/fleet/campaigns/{row.id}/figures.json").status_code in {200, 503}
