"""To NetBox and back. The columns are those of the import forms of NetBox 4, written down here by hand."""

import json

import pytest
from hypothesis import given, settings

from mbongi.facility.rules.inventory_changes import key_of, plan
from mbongi.facility.rules.inventory_files import FILES as OURS
from mbongi.facility.rules.inventory_files import parts
from mbongi.facility.rules.netbox_reading import FILES as READ
from mbongi.facility.rules.netbox_reading import read
from mbongi.facility.rules.netbox_writing import FILES, export, write
from mbongi.facility.values import Element, ElementKind, Inventory, Link, LinkKind, Phases, Place, PlaceKind, Side
from tests.facility.strategies import inventories

FORMS = {
    "sites": "name slug status region group tenant facility time_zone description comments tags",
    "locations": "site name slug parent status tenant facility description comments tags",
    "racks": "site location name facility_id tenant status role rack_type form_factor serial asset_tag width "
    "u_height desc_units outer_width outer_height outer_depth outer_unit mounting_depth airflow description tags",
    "manufacturers": "name slug description comments tags",
    "device-types": "manufacturer default_platform model slug part_number u_height exclude_from_utilization "
    "is_full_depth subdevice_role airflow description weight weight_unit comments tags",
    "device-roles": "name slug parent color vm_role config_template description comments tags",
    "devices": "name role tenant device_type manufacturer platform serial asset_tag status site location rack position "
    "face latitude longitude parent device_bay airflow description comments tags",
    "power-panels": "site location name description comments tags",
    "power-feeds": "site power_panel location rack name status type mark_connected supply phase voltage amperage "
    "max_utilization tenant description comments tags",
    "power-ports": "device name label type mark_connected maximum_draw allocated_draw description tags",
    "power-outlets": "device name label type color mark_connected power_port feed_leg description tags",
    "interfaces": "device name label parent bridge lag type speed duplex enabled mark_connected description tags",
    "cables": "side_a_site side_a_device side_a_power_panel side_a_type side_a_name side_b_site side_b_device "
    "side_b_power_panel side_b_type side_b_name type status label color length length_unit description comments tags",
    "custom-fields": "name label group_name type object_types required description default weight",
}
SMALL = Inventory(
    places=(
        Place(code="BZV", kind=PlaceKind.SITE),
        Place(code="H1", kind=PlaceKind.HALL, parent="BZV"),
        Place(code="R1", kind=PlaceKind.RACK, parent="H1", slots=42),
    ),
    elements=(
        Element(tag="LV-A", kind=ElementKind.LV_SWITCHBOARD, place="H1"),
        Element(tag="PDU-1", kind=ElementKind.PDU, place="R1", slot=1, model="PX4", manufacturer="Raritan"),
        Element(tag="M-1", kind=ElementKind.MACHINE, place="R1", slot=5, machine_id=1),
    ),
    links=(
        Link(
            tag="c1", source="LV-A", target="PDU-1", kind=LinkKind.POWER, phases=Phases.THREE, side=Side.B, breaker_a=63
        ),
        Link(tag="c2", source="PDU-1", target="M-1", kind=LinkKind.POWER, phases=Phases.L2),
    ),
)  # fmt: skip


@settings(max_examples=30)
@given(inventories())
def test_an_inventory_comes_back_from_netbox_as_it_was(inventory: Inventory) -> None:
    rows, problems = read({file: write(file, inventory) for file in READ})
    assert not problems
    found = plan(Inventory(), rows)
    assert not found.problems
    for file in OURS:
        back = {key_of(file, change.after): change.after for change in found.changes if change.file == file}
        assert back == {key_of(file, row): row for row in parts(inventory)[file]}


@pytest.mark.parametrize("file", FILES)
def test_every_column_is_one_of_netboxs_import_form_or_a_custom_field(file: str) -> None:
    columns = write(file, SMALL).split("\n", 1)[0].split(",")
    known = set(FORMS[file].split())
    assert [name for name in columns if name not in known and not name.startswith("cf_mbongi_")] == []


def test_a_link_from_a_switchboard_is_a_power_feed_and_one_from_a_pdu_an_outlet_on_its_leg() -> None:
    (feed,) = export("power-feeds", SMALL)
    assert (feed["power_panel"], feed["type"], feed["phase"], feed["amperage"], feed["rack"]) == (
        "LV-A", "redundant", "three-phase", 63, "R1",
    )  # fmt: skip
    (outlet,) = export("power-outlets", SMALL)
    assert (outlet["device"], outlet["feed_leg"]) == ("PDU-1", "B")
    first, second = export("cables", SMALL)
    assert (first["side_a_type"], first["side_b_type"]) == ("dcim.powerfeed", "dcim.powerport")
    assert (second["side_a_type"], second["side_a_device"]) == ("dcim.poweroutlet", "PDU-1")


def test_a_netbox_that_knows_nothing_of_us_is_read_by_its_own_fields() -> None:
    texts = {
        "sites": "name,slug,status\nBZV,bzv,active\n",
        "racks": "site,location,name,u_height\nBZV,,R1,48\n",
        "devices": "name,role,manufacturer,device_type,serial,status,site,location,rack,position\n"
        "rpp-1-pdu,PDU,Raritan,PX4,S1,active,BZV,,R1,1.0\nsrv-1,Server,Dell,R760,S2,failed,BZV,,R1,10\n",
        "power-panels": "site,location,name\nBZV,,RPP-1\n",
        "power-feeds": "site,power_panel,name,status,type,supply,phase,voltage,amperage\n"
        "BZV,RPP-1,F1,active,redundant,ac,three-phase,400,32\n",
        "power-outlets": "device,name,feed_leg\nrpp-1-pdu,Outlet 1,C\n",
        "cables": "side_a_device,side_a_type,side_a_name,side_b_device,side_b_power_panel,side_b_type,side_b_name\n"
        "rpp-1-pdu,dcim.powerport,PSU,,RPP-1,dcim.powerfeed,F1\n"
        "rpp-1-pdu,dcim.poweroutlet,Outlet 1,srv-1,,dcim.powerport,PSU1\n",
    }
    rows, problems = read(texts)
    found = plan(Inventory(), rows)
    assert (problems, found.problems) == ([], ())
    elements = {change.after.tag: change.after for change in found.changes if change.file == "elements"}
    assert elements["RPP-1"].kind is ElementKind.LV_SWITCHBOARD
    assert (elements["srv-1"].kind, elements["srv-1"].slot, elements["srv-1"].status) == (
        ElementKind.SERVER, 10, "out_of_service",
    )  # fmt: skip
    links = {change.after.tag: change.after for change in found.changes if change.file == "links"}
    assert links["RPP-1>rpp-1-pdu"] == Link(
        tag="RPP-1>rpp-1-pdu", source="RPP-1", target="rpp-1-pdu", kind=LinkKind.POWER, phases=Phases.THREE,
        side=Side.B, breaker_a=32,
    )  # fmt: skip
    assert links["rpp-1-pdu>srv-1"].phases is Phases.L3


def test_pages_of_the_rest_api_are_read_as_they_come() -> None:
    site = {"id": 1, "name": "BZV", "status": {"value": "active", "label": "Active"}, "custom_fields": {}}
    device = {
        "id": 5, "name": "UPS-A", "role": {"id": 1, "name": "UPS"}, "serial": "X1",
        "device_type": {"model": "9395", "manufacturer": {"name": "Eaton"}}, "site": {"name": "BZV"}, "location": None,
        "rack": None, "position": None, "status": {"value": "active"}, "custom_fields": {"mbongi_rated_kw": 500.0},
    }  # fmt: skip
    pdu = device | {"id": 6, "name": "PDU-1", "role": {"name": "pdu"}}
    cable = {
        "id": 9, "label": "", "custom_fields": {"mbongi_side": "A", "mbongi_breaker_a": 125},
        "a_terminations": [{"object_type": "dcim.poweroutlet", "object": {"name": "O1", "device": {"name": "UPS-A"}}}],
        "b_terminations": [{"object_type": "dcim.powerport", "object": {"name": "P1", "device": {"name": "PDU-1"}}}],
    }  # fmt: skip
    texts = {"sites": [site], "devices": [device, pdu], "cables": [cable]}
    rows, problems = read({file: json.dumps({"count": 1, "results": page}) for file, page in texts.items()})
    assert problems == []
    after = {change.label: change.after for change in plan(Inventory(), rows).changes}
    assert (after["UPS-A"].manufacturer, after["UPS-A"].rated_kw) == ("Eaton", 500)
    assert (after["UPS-A>PDU-1"].side, after["UPS-A>PDU-1"].breaker_a) == ("A", 125)


@pytest.mark.parametrize(
    ("file", "text", "line", "field", "code"),
    [
        ("devices", "name,role,status\nX,Toaster,active\n", 2, "role", "value"),
        ("devices", "name,role,status\nX,pdu,on\n", 2, "status", "value"),
        ("devices", "name,role,position\nX,pdu,12.5\n", 2, "position", "value"),
        ("devices", "name,serial\nX,1\n", 1, "role", "column_missing"),
        ("devices", "name,role,cf_mbongi_rated_kw\nX,pdu,lots\n", 2, "cf_mbongi_rated_kw", "value"),
        ("cables", "side_a_type,side_a_name,side_b_type,side_b_name\ndcim.frontport,1,dcim.rearport,2\n", 2,
         "side_a_type", "value"),
        ("devices", "[1, 2]", 0, "", "not_csv"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_by_netboxs_own_file_line_and_column(
    file: str, text: str, line: int, field: str, code: str
) -> None:
    _rows, problems = read({file: text})
    assert [(each.file, each.line, each.field, each.code) for each in problems] == [(file, line, field, code)]


def test_a_single_phase_feed_must_say_which_phase_it_is() -> None:
    texts = {
        "power-panels": "name\nP\n",
        "power-feeds": "power_panel,name,phase\nP,F,single-phase\n",
        "devices": "name,role\nX,pdu\n",
        "cables": "side_a_power_panel,side_a_type,side_a_name,side_b_device,side_b_type,side_b_name\n"
        "P,dcim.powerfeed,F,X,dcim.powerport,1\n",
    }
    assert [problem.code for problem in read(texts)[1]] == ["phase_open"]
