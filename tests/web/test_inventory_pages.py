"""Import with its dry run, export, and sheets of labels, as people reach them."""

import csv
import io
import re
from collections.abc import Callable

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import inventory
from mbongi.fleet.models import Machine
from mbongi.fleet.rules.netbox import Device
from mbongi.web.label_sheets import SHEETS, Label, draw
from mbongi.web.pages import inventory as inventory_pages
from tests.web.conftest import Pilot

PAGE = "/fleet/onboarding/netbox/"


def pages_of(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


@pytest.mark.parametrize(("count", "first", "pages"), [(24, 1, 1), (24, 2, 2), (25, 1, 2), (1, 24, 1), (0, 1, 1)])
def test_labels_fill_a_sheet_and_may_begin_in_its_middle(count: int, first: int, pages: int) -> None:
    labels = [
        Label(f"20/03/{n:02d}", ["Antminer S21", "Baie n° 3 → é"], f"https://site.example/?m={n}") for n in range(count)
    ]
    pdf = draw(labels, SHEETS["a4-3x8"], first=first)
    assert pdf.startswith(b"%PDF-")
    assert pages_of(pdf) == pages


@pytest.mark.parametrize("name", list(SHEETS))
def test_every_sheet_fits_its_paper(name: str) -> None:
    sheet = SHEETS[name]
    width, height = {"A4": (210.0, 297.0), "Letter": (215.9, 279.4)}[sheet.page]
    right = sheet.left + sheet.columns * sheet.width + (sheet.columns - 1) * sheet.column_gap
    bottom = sheet.top + sheet.rows * sheet.height + (sheet.rows - 1) * sheet.row_gap
    assert right <= width + 0.5
    assert bottom <= height + 0.5


def test_sheets_are_asked_for_by_rack(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TECHNICIAN, language="en")
    for query in ("", "?what=positions&hall=30&rack=2&slots=30", "?sheet=a4-5x13&first=65"):
        answer = client.get(f"/workshop/labels.pdf{query}")
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    assert pages_of(client.get("/workshop/labels.pdf?what=positions&hall=30&rack=2&slots=30").content) == 2
    assert client.get("/workshop/labels.pdf?first=25").status_code == 400


def test_an_inventory_is_handed_in_looked_at_and_entered(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client, machine = sign_in(Role.SHIFT_LEAD, language="en"), pilot.machines[0]
    text = f"name,location,rack,position,primary_ip4\n<b>,Hall 30,30/02,7,{machine.address}/24\nother,,,,\n"
    file = SimpleUploadedFile("devices.csv", text.encode())
    place = client.post(f"{PAGE}new/", {"devices": file})["Location"]
    seen = client.get(place).content.decode()
    assert "&lt;b&gt;" in seen
    assert "30/02/07" in seen
    client.post(f"{place}enter/", {"reason": "from the register"})
    with acting(SITE):
        assert Machine.objects.get(pk=machine.pk).slot == 7
    assert "devices.csv" in client.get(PAGE).content.decode()
    assert client.post(f"{PAGE}new/", {"from": "netbox"})["Location"] == PAGE
    assert client.post(f"{PAGE}new/", {})["Location"] == PAGE
    assert client.get(f"{PAGE}99999/").status_code == 404
    assert sign_in(Role.TECHNICIAN).post(f"{place}enter/", {"reason": "x"}).status_code == 403


def test_a_long_import_is_entered_in_parts_with_a_bar_and_leads_back_when_it_is_done(
    pilot: Pilot, sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_pages, "ENTER_S", 0.0)
    monkeypatch.setattr(inventory, "PART", 1)
    client = sign_in(Role.SHIFT_LEAD, language="en")
    first, second = pilot.machines[:2]
    devices = [
        Device(name=f"{slot}", address=one.address or "", hall=30, rack=1, slot=slot)
        for slot, one in enumerate((first, second), 1)
    ]
    with acting(SITE):
        number = inventory.keep(client.user, "register", devices)  # type: ignore[attr-defined]
    place = f"{PAGE}{number}/"

    text = client.post(f"{place}enter/", {"reason": "moved <b>"}).content.decode()

    assert '<progress max="2" value="1">' in text
    assert f'hx-post="{place}enter/" hx-trigger="load"' in text
    assert 'name="reason" value="moved &lt;b&gt;"' in text
    answer = client.post(f"{place}enter/", {"reason": "moved"}, headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Redirect"]) == (204, place)
    with acting(SITE):
        assert [Machine.objects.get(pk=one.pk).slot for one in (first, second)] == [1, 2]
    assert "2 machines were placed." in client.get(place).content.decode()


def test_our_machines_go_out_in_netboxs_columns(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(Role.TECHNICIAN)
    rows = list(csv.DictReader(io.StringIO(client.get(f"{PAGE}devices.csv").content.decode())))
    assert len(rows) == len(pilot.machines)
    assert client.get(f"{PAGE}devices.json").json()[0].keys() == rows[0].keys()
    assert client.get(f"{PAGE}secrets.csv").status_code == 404
