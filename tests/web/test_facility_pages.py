"""The plant's pages as people see them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.facility import selectors, submissions
from mbongi.facility.values import Quality, Quantity
from mbongi.web import facility_sight
from mbongi.web.facility_sight import power_kw
from mbongi.web.live.plant_board import PLANT, PointNow
from tests.facility.test_inventory import TEXTS
from tests.web.conftest import Pilot

ELEMENT = "/facility/element/?tag="


@pytest.fixture
def plant(pilot: Pilot, people: Callable[..., Any]) -> None:
    """A feed, a transformer, a PDU, and the pilot's first machine on it."""
    number = pilot.machines[0].pk
    texts = TEXTS | {"elements": TEXTS["elements"].replace("M-1,machine,R1,5,,7", f"M-1,machine,R1,5,,{number}")}
    with acting(SITE):
        user = people(Role.SITE_MANAGER)
        submissions.enter(user, submissions.hand_in(user, "plant", "mbongi", texts), reason="first inventory")


def page(client: Client, url: str, status: int = 200) -> str:
    answer = client.get(url)
    assert answer.status_code == status
    return answer.content.decode()


@pytest.mark.usefixtures("plant")
@pytest.mark.parametrize("role", list(Role))
def test_who_may_see_the_plant_and_who_may_change_it(
    role: Role, pilot: Pilot, sign_in: Callable[..., Client], capabilities: dict[Role, tuple[bool, bool]]
) -> None:
    client = sign_in(role, owner=pilot.north if role == Role.TENANT else None)
    may_see, may_edit = capabilities[role]
    for url in ("/facility/", f"{ELEMENT}TR-1", "/facility/what-if/?tag=TR-1", "/facility/import/"):
        assert client.get(url).status_code == (200 if may_see else 403)
    assert client.get("/facility/edit/?file=elements&key=TR-1").status_code == (200 if may_edit else 403)
    assert client.post("/facility/import/new/").status_code == (302 if may_edit else 403)
    assert client.post("/facility/remove/", {"file": "links", "key": "c1"}).status_code == (302 if may_edit else 403)


@pytest.fixture
def capabilities() -> dict[Role, tuple[bool, bool]]:
    """Who sees the plant, and who changes its inventory: from the table of roles by hand."""
    see = set(Role) - {Role.TENANT, Role.RESEARCHER}
    edit = {Role.SHIFT_LEAD, Role.SITE_MANAGER}
    return {role: (role in see, role in edit) for role in Role}


def test_an_empty_inventory_says_how_to_begin(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    assert "The inventory is empty" in page(client, "/facility/")
    assert "The inventory is empty" in page(client, "/facility/what-if/")


@pytest.mark.usefixtures("plant")
def test_the_list_is_filtered_by_kind_place_and_words(sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    assert "No element fits" in page(client, "/facility/?q=nothing+such")
    found = page(client, "/facility/?kind=pdu")
    assert f"{ELEMENT}PDU-1" in found
    assert f"{ELEMENT}TR-1" not in found
    assert f"{ELEMENT}TR-1" not in page(client, "/facility/?place=R1")
    assert f"{ELEMENT}M-1" in page(client, "/facility/?place=BZV")
    page(client, "/facility/?page=x", 400)


@pytest.mark.usefixtures("plant")
def test_an_elements_page_shows_what_machines_state_and_says_so(sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    shown = page(client, f"{ELEMENT}TR-1")
    # The pilot's machine states 3.5 kW, on L2 alone; the transformer's 630 kVA have 210 a phase.
    assert "3.50" in shown
    assert "measured" in shown
    assert "first inventory" in shown
    assert "Test report" in shown
    machine = page(client, f"{ELEMENT}M-1")
    assert "One path only" in machine
    assert "Each of these alone takes it down" in machine
    page(client, f"{ELEMENT}nothing", 404)


@pytest.mark.usefixtures("plant")
def test_what_if_names_what_goes_dark_and_an_unknown_tag(sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    shown = page(client, "/facility/what-if/?tag=TR-1&tag=TR-9")
    assert "Dark for good" in shown
    assert "1 consumer" in shown
    assert "No element has the tag “TR-9”" in shown
    assert "The worst single outages" in page(client, "/facility/what-if/")


@pytest.mark.usefixtures("plant")
def test_a_form_changes_a_row_and_shows_its_faults_beside_the_fields(sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    url = "/facility/edit/?file=elements&key=TR-1"
    form = {"tag": "TR-1", "kind": "transformer", "place": "H1", "rated_kva": "800", "version": "1", "reason": "plate"}
    assert client.post(url, form)["Location"] == f"{ELEMENT}TR-1"
    with acting(SITE):
        assert selectors.element("TR-1").rated_kva == 800
    stale = client.post(url, form | {"rated_kva": "900"})
    assert stale.status_code == 400
    assert "Somebody else has changed it" in stale.content.decode()
    faulty = client.post(url, form | {"version": "2", "place": "nowhere"}).content.decode()
    assert "No place has the code “nowhere”" in faulty
    assert 'value="nowhere"' in faulty
    wrong = client.post(url, form | {"version": "2", "rated_kva": "much"})
    assert wrong.status_code == 400
    page(client, "/facility/edit/?file=elements&key=nothing", 404)
    page(client, "/facility/edit/?file=elephants", 404)


@pytest.mark.usefixtures("plant")
def test_links_are_added_and_removed_from_the_page(sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    form = {"tag": "c8", "source": "F", "target": "PDU-1", "kind": "power", "phases": "L1", "reason": "second input"}
    assert client.post("/facility/edit/?file=links", form).status_code == 302
    gone = {"file": "links", "key": "c8", "version": "1", "reason": "again", "back": "F"}
    assert client.post("/facility/remove/", gone)["Location"] == f"{ELEMENT}F"
    in_use = {"file": "elements", "key": "F", "version": "1", "reason": "x", "back": "F"}
    assert client.post("/facility/remove/", in_use)["Location"] == f"{ELEMENT}F"
    assert "Something else still refers to it" in page(client, f"{ELEMENT}F")
    assert client.post("/facility/remove/", {"file": "links"}).status_code == 404


def handed_in(client: Client, **texts: str) -> str:
    files = {name.replace("_", "-"): SimpleUploadedFile(f"{name}.csv", text.encode()) for name, text in texts.items()}
    return str(client.post("/facility/import/new/", files)["Location"])


@pytest.mark.usefixtures("plant")
def test_an_import_is_a_dry_run_first_and_names_line_and_field(sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    faulty = page(client, handed_in(client, elements="tag,kind,rated_kva\nTR-2,transformer,12x\n"))
    assert "1 fault: nothing can be entered" in faulty
    assert "“12x” cannot be used" in faulty
    url = handed_in(client, elements="tag,kind,rated_kva\nTR-1,transformer,700\nTR-2,transformer,800\n")
    assert "Enter 2 changes" in page(client, url)
    assert client.post(f"{url}enter/", {"reason": "delivery"}).status_code == 302
    assert "All of it is entered" in page(client, url)
    assert handed_in(client) == "/facility/import/"
    page(client, "/facility/import/999/", 404)


@pytest.mark.usefixtures("plant")
def test_both_exports_can_be_taken_out(sign_in: Callable[..., Client]) -> None:
    client = sign_in()
    assert page(client, "/facility/export/mbongi/elements.csv").startswith("tag,kind,name,place")
    assert "TR-1,transformer" in page(client, "/facility/export/netbox/devices.csv")
    page(client, "/facility/export/netbox/elephants.csv", 404)
    page(client, "/facility/export/other/elements.csv", 404)


@pytest.mark.usefixtures("plant")
def test_the_pictures_show_each_level_and_lead_to_the_next(sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    whole = page(client, "/facility/one-line/")
    assert whole.count('class="box ') == 4
    assert 'href="?tag=TR-1"' in whole
    assert page(client, "/facility/one-line/?tag=TR-1").count('class="box ') == 4
    page(client, "/facility/one-line/?tag=nothing", 404)
    assert 'href="?place=H1"' in page(client, "/facility/plan/")
    assert 'href="/facility/?place=R1"' in page(client, "/facility/plan/?place=H1")
    assert "Nothing stands within it" in page(client, "/facility/plan/?place=R1")
    page(client, "/facility/plan/?place=nowhere", 404)


def test_pictures_of_an_empty_plant_say_so(pilot: Pilot, sign_in: Callable[..., Client]) -> None:
    client = sign_in(language="en")
    assert "Nothing is joined by power links yet" in page(client, "/facility/one-line/")
    assert "No place is known yet" in page(client, "/facility/plan/")


@pytest.mark.parametrize(
    ("known", "kw"),
    [
        ({Quantity.POWER_W: 3000.0}, (3.0,)),
        ({Quantity.POWER_W: 3000.0, Quantity.POWER_L1_W: 1000.0}, (3.0,)),
        ({Quantity.POWER_L1_W: 1e3, Quantity.POWER_L2_W: 2e3, Quantity.POWER_L3_W: 3e3}, (1.0, 2.0, 3.0)),
        ({Quantity.POWER_W: 3000.0, Quantity.INPUT_POWER_W: 3200.0}, (3.2,)),
        ({Quantity.POWER_W: 3000.0, Quantity.CHARGE_PCT: 100.0}, ()),
        ({Quantity.FREQUENCY_HZ: 50.0}, ()),
    ],
)
def test_what_devices_measure_is_taken_as_what_their_element_draws(
    known: dict[Quantity, float], kw: tuple[float, ...]
) -> None:
    assert power_kw(known) == kw


@pytest.mark.usefixtures("plant")
def test_a_meter_counts_for_what_its_data_link_leads_to(
    sign_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(language="en")
    with acting(SITE):
        meter = {"elements": "tag,kind\nMTR-1,meter\n", "links": "tag,source,target,kind\nm1,MTR-1,TR-1,data\n"}
        submissions.enter(client.user, submissions.hand_in(client.user, "m", "mbongi", meter), reason="meter")
    point = PointNow(Quantity.POWER_W, 90_000.0, Quality.GOOD, utc_now(), is_stale=False)
    monkeypatch.setattr(PLANT, "tags", lambda: ["MTR-1"])
    monkeypatch.setattr(PLANT, "points", lambda tag: [point])
    shown = page(client, f"{ELEMENT}F")
    assert "90.0" in shown
    assert "measured" in shown
    stale = dataclasses.replace(point, is_stale=True)
    monkeypatch.setattr(PLANT, "points", lambda tag: [stale])
    facility_sight._state.cache_clear()
    assert "90.0" not in page(client, f"{ELEMENT}F")
