"""NetBox's inventory, read and written. Columns: NetBox 4's import forms; answers: its documented REST API."""

import msgspec
import pytest

from mbongi.fleet.rules import netbox
from mbongi.fleet.rules.netbox import ApiDevice, ApiInterface, Device, Machine, NetboxError, devices_of, read_csv

MAC = "02:4D:42:00:00:01"
DEVICES = """name,status,device_type,serial,site,location,rack,position,primary_ip4
miner-1,active,Antminer S21,MB1,CG,Hall 20,20/03,4.0,10.20.3.4/24
20-03-104,active,Antminer S21,,CG,Hall 20,20/03,,
spare,inventory,Antminer S21,MB3,CG,,,,
"""
INTERFACES = "device,name,type,mac_address\nminer-1,eth0,1000base-t,02-4d-42-00-00-01\n"


def test_exports_of_devices_and_interfaces_make_devices() -> None:
    first, second, third = read_csv({"devices": DEVICES, "interfaces": INTERFACES})
    assert first == Device(
        name="miner-1",
        model="Antminer S21",
        serial="MB1",
        mac=MAC,
        address="10.20.3.4",
        hall=20,
        rack=3,
        slot=4,
    )
    assert (second.hall, second.rack, second.slot) == (20, 3, 104)
    assert (third.hall, third.rack, third.slot) == (None, None, None)


def test_semicolons_and_a_byte_order_mark_are_read_too() -> None:
    [device] = read_csv({"devices": "\ufeffname;rack;position\na;Rack 7;12\n"})
    assert (device.rack, device.slot) == (7, 12)


@pytest.mark.parametrize("text", ["", "device,rack\na,b\n", 'name\n"' + "x" * 200_000])
def test_what_is_no_list_of_devices_is_refused_with_its_reason(text: str) -> None:
    with pytest.raises(NetboxError, match="NetBox devices"):
        read_csv({"devices": text})


@pytest.mark.parametrize("field", [{"mac_address": MAC}, {"primary_mac_address": {"id": 1, "mac_address": MAC}}])
def test_the_api_before_and_after_version_4_2_states_the_mac(field: dict) -> None:
    device = {
        "id": 9,
        "url": "https://netbox/api/dcim/devices/9/",
        "name": "miner-1",
        "device_type": {"id": 2, "manufacturer": {"name": "Bitmain"}, "model": "Antminer S21"},
        "serial": "MB1",
        "location": {"id": 1, "name": "Hall 20"},
        "rack": {"id": 3, "name": "20/03"},
        "position": 4.0,
        "primary_ip4": {"id": 5, "family": 4, "address": "10.20.3.4/24"},
        "status": {"value": "active", "label": "Active"},
    }
    interface = {"id": 1, "device": {"id": 9, "name": "miner-1"}, "name": "eth0"} | field
    [found] = devices_of([msgspec.convert(device, ApiDevice)], [msgspec.convert(interface, ApiInterface)])
    assert found == read_csv({"devices": DEVICES, "interfaces": INTERFACES})[0]


def machines() -> list[Machine]:
    facts = {"model": "Antminer S21", "hostname": ""}
    return [
        Machine(id=1, serial="MB1", mac=MAC, address="10.20.3.4", hall=20, rack=3, slot=4, **facts),
        Machine(id=2, serial="MB2", mac="", address="", hall=None, rack=None, slot=None, **facts),
    ]


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("manufacturers", {"name", "slug"}),
        ("device-types", {"manufacturer", "model", "slug", "u_height", "is_full_depth"}),
        ("racks", {"site", "location", "name", "status", "width", "u_height", "desc_units"}),
        (
            "devices",
            {"name", "role", "manufacturer", "device_type", "serial", "asset_tag", "status", "site"}
            | {"location", "rack", "position", "face"},
        ),
        ("interfaces", {"device", "name", "type", "enabled"}),
        ("mac-addresses", {"mac_address", "device", "interface", "is_primary"}),
        ("ip-addresses", {"address", "status", "device", "interface", "is_primary"}),
    ],
)
def test_the_export_has_the_columns_that_netboxs_forms_take(kind: str, columns: set[str]) -> None:
    rows = netbox.export(kind, machines(), "CG")
    assert rows
    assert all(set(row) == columns for row in rows)


def test_every_name_that_a_row_uses_was_exported_before_it() -> None:
    found = {kind: netbox.export(kind, machines(), "CG") for kind in netbox.KINDS}
    names = {kind: {row.get("name") for row in rows} for kind, rows in found.items()}
    for device in found["devices"]:
        assert device["manufacturer"] in names["manufacturers"]
        assert device["device_type"] in {row["model"] for row in found["device-types"]}
        assert device["role"] in names["device-roles"]
        assert device["rack"] in names["racks"] | {""}
        assert device["location"] in names["locations"] | {""}
    for kind in ("interfaces", "mac-addresses", "ip-addresses"):
        assert {row["device"] for row in found[kind]} <= names["devices"]


def test_a_unit_beyond_netboxs_racks_goes_into_the_name_and_comes_back() -> None:
    tall = [msgspec.structs.replace(machines()[0], slot=slot) for slot in (4, 104)]
    rows = netbox.export("devices", tall, "CG")
    assert [row["position"] for row in rows] == ["", ""]
    assert netbox.export("racks", tall, "CG")[0]["u_height"] == netbox.UNITS_MAX
    text = "name,location,rack,position\n" + "".join(
        f"{row['name']},{row['location']},{row['rack']},{row['position']}\n" for row in rows
    )
    assert [(each.hall, each.rack, each.slot) for each in read_csv({"devices": text})] == [(20, 3, 4), (20, 3, 104)]
