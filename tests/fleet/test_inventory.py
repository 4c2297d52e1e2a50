"""Inventories from a NetBox: read from a real HTTP server, compared, entered."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import inventory, netbox_client, placing
from mbongi.fleet.errors import NotPermittedError
from mbongi.fleet.inventory import ListingRefusedError
from mbongi.fleet.models import Machine
from mbongi.fleet.netbox_client import fetch
from mbongi.fleet.rules.netbox import Device, NetboxError
from tests.fleet.rows import add_machines

TOKEN = "0123456789abcdef0123456789abcdef01234567"


class NetBox(HTTPServer):
    """Answers as NetBox documents it: pages with count, next and results, behind a token."""

    def __init__(self, pages: dict[str, list[dict[str, Any]]]) -> None:
        self.pages, self.asked = pages, []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: NetBox

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.asked.append(self.path)
        query = {key: int(values[0]) for key, values in parse_qs(parts.query).items()}
        found = self.server.pages.get(parts.path.removeprefix("/netbox/api/dcim/").strip("/"))
        if self.headers["Authorization"] != f"Token {TOKEN}":
            return self._answer(403, {"detail": "Invalid token"})
        if found is None:
            return self._answer(404, {"detail": "Not found."})
        part = found[query["offset"] : query["offset"] + query["limit"]]
        return self._answer(
            200, {"count": len(found), "next": "http://elsewhere.example/", "previous": None, "results": part}
        )

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _device(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"miner-{number}",
        "serial": f"MB{number}",
        "device_type": {"model": "Antminer S21"},
        "location": {"name": "Hall 9"},
        "rack": {"name": "09/01"},
        "position": float(number),
        "primary_ip4": None,
    }


@pytest.fixture
def netbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[NetBox]:
    monkeypatch.setattr(netbox_client, "PAGE", 2)
    interfaces = [
        {"id": n, "device": {"id": n, "name": ""}, "mac_address": f"02:4D:42:00:00:{n:02X}"} for n in (1, 2, 3)
    ]
    server = NetBox({"devices": [_device(n) for n in range(1, 6)], "interfaces": interfaces})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(netbox: NetBox) -> str:
    return f"http://127.0.0.1:{netbox.server_port}/netbox/"


def test_all_pages_are_read_from_the_configured_host_alone(netbox: NetBox) -> None:
    devices = fetch(url(netbox), TOKEN)
    assert [device.serial for device in devices] == ["MB1", "MB2", "MB3", "MB4", "MB5"]
    assert [device.mac for device in devices][:4] == ["02:4D:42:00:00:01", "02:4D:42:00:00:02", "02:4D:42:00:00:03", ""]
    assert (devices[4].hall, devices[4].rack, devices[4].slot) == (9, 1, 5)
    assert len(netbox.asked) == 5


def test_what_fails_is_said_without_the_token(netbox: NetBox) -> None:
    with pytest.raises(NetboxError, match="token is not accepted") as caught:
        fetch(url(netbox), "wrong-token")
    assert "wrong-token" not in str(caught.value)
    with pytest.raises(NetboxError, match="no line break") as caught:
        fetch(url(netbox), "broken-token\n")
    assert "broken-token" not in str(caught.value)
    netbox.pages.clear()
    with pytest.raises(NetboxError, match="HTTP 404"):
        fetch(url(netbox), TOKEN)
    with pytest.raises(NetboxError, match=r"netbox_url"):
        fetch("ftp://netbox.example", TOKEN)
    with pytest.raises(NetboxError, match=r"127\.0\.0\.1"):
        fetch("http://127.0.0.1:1/", TOKEN)


@pytest.mark.django_db
@pytest.mark.usefixtures("as_site")
def test_a_dry_run_shows_each_difference_and_entering_it_places_machines(people) -> None:
    first, second, third = add_machines(3)
    Machine.objects.filter(pk=first).update(mac="02:4D:42:00:00:01")
    Machine.objects.filter(pk=second).update(serial="MB2")
    devices = [
        Device(name="a", mac="02:4D:42:00:00:01", hall=9, rack=1, slot=1),
        Device(name="b", serial="MB2", hall=9, rack=1, slot=2),
        Device(name="c", address="10.20.0.3"),
        Device(name="d", serial="nowhere", hall=9, rack=1, slot=4),
        Device(name="e", serial="MB2", hall=9, rack=1, slot=5),
    ]
    lead = people(Role.SHIFT_LEAD)
    with pytest.raises(NotPermittedError):
        inventory.keep(people(Role.TECHNICIAN), "file", devices)
    with pytest.raises(ListingRefusedError):
        inventory.keep(lead, "file", [])
    number = inventory.keep(lead, "file", devices)
    lines = inventory.compare(number)
    assert [(line.verdict, line.machine_id, line.by) for line in lines] == [
        ("place", first, "mac"),
        ("place", second, "serial"),
        ("open", third, "address"),
        ("unknown", None, ""),
        ("twice", second, "serial"),
    ]
    assert (str(lines[0].before), str(lines[0].after)) == ("20/03/01", "09/01/01")
    assert Machine.objects.filter(hall=9).count() == 0, "a dry run"
    with pytest.raises(ListingRefusedError):
        inventory.apply(lead, number, reason=" ")
    assert inventory.apply(lead, number, reason="from the register") == {
        "place": 2,
        "open": 1,
        "unknown": 1,
        "twice": 1,
    }
    assert list(Machine.objects.filter(hall=9).order_by("slot").values_list("pk", flat=True)) == [first, second]
    assert ledger.entries(subject=f"inventory:{number}")[0].action == "fleet.inventory.import"
    assert [line.verdict for line in inventory.compare(number)][:2] == ["same", "same"]
    assert inventory.listing(number).outcome["place"] == 2
    names = {row["name"] for row in inventory.export("devices", "CG")}
    assert {"09-01-01", "09-01-02"} <= names


@pytest.mark.django_db
@pytest.mark.usefixtures("as_site")
def test_an_import_that_is_cut_off_keeps_what_it_has_entered_and_can_be_entered_again(people, monkeypatch) -> None:
    monkeypatch.setattr(inventory, "PART", 2)
    ids = add_machines(5)
    lead = people(Role.SHIFT_LEAD)
    devices = [Device(name=f"{n}", address=f"10.20.0.{n}", hall=9, rack=1, slot=n) for n in range(1, 6)]
    number = inventory.keep(lead, "file", devices)
    place_all, appended, parts = placing.place_all, [], []
    append = placing.ledger.append

    def cut_off(*arguments: Any, **options: Any) -> int:
        parts.append(arguments)
        if len(parts) > 1:
            raise ConnectionError("the database went away")
        return place_all(*arguments, **options)

    monkeypatch.setattr(inventory.placing, "place_all", cut_off)
    with pytest.raises(ConnectionError):
        inventory.apply(lead, number, reason="from the register")

    assert [line.verdict for line in inventory.compare(number)] == ["same", "same", "place", "place", "place"]
    assert inventory.listing(number).applied_at is None
    [entry] = ledger.entries(subject=f"inventory:{number}")
    assert (entry.reason, entry.after["place"]) == ("from the register", 2)

    monkeypatch.setattr(inventory.placing, "place_all", place_all)
    monkeypatch.setattr(placing.ledger, "append", lambda entries: appended.append(len(entries)) or append(entries))
    assert inventory.apply(lead, number, reason="the rest") == {"same": 2, "place": 3}

    assert appended == [2, 1, 1, 1], "the ledger is asked once a part for its machines, once for the import"
    assert list(Machine.objects.filter(hall=9).order_by("slot").values_list("pk", flat=True)) == ids
    assert [Machine.objects.get(pk=pk).placements.count() for pk in ids] == [1] * 5
    assert inventory.listing(number).outcome == {"same": 2, "place": 3}


@pytest.mark.django_db
@pytest.mark.usefixtures("as_site")
def test_an_import_is_entered_in_calls_of_some_seconds_and_counts_all_of_them(people, monkeypatch) -> None:
    monkeypatch.setattr(inventory, "PART", 2)
    ids = add_machines(5)
    lead = people(Role.SHIFT_LEAD)
    devices = [Device(name=f"{n}", address=f"10.20.0.{n}", hall=9, rack=1, slot=n) for n in range(1, 6)]
    number = inventory.keep(lead, "file", devices)

    calls = [inventory.apply(lead, number, reason="x", for_s=0.0) for _number in range(3)]

    assert [(one["place"], one.get("left", 0)) for one in calls] == [(2, 3), (4, 1), (5, 0)]
    assert (inventory.listing(number).outcome, inventory.listing(number).applied_at) != ({}, None)
    assert inventory.listing(number).outcome["place"] == 5
    assert [Machine.objects.get(pk=pk).placements.count() for pk in ids] == [1] * 5
    assert len(ledger.entries(subject=f"inventory:{number}")) == 3


@pytest.mark.django_db
@pytest.mark.usefixtures("as_site")
def test_machines_that_change_places_in_one_import_do_and_what_went_meanwhile_is_passed_over(people) -> None:
    first, second, gone = add_machines(3)
    lead = people(Role.SHIFT_LEAD)
    spots = {first: placing.Spot(9, 1, 1), second: placing.Spot(9, 1, 2)}
    assert placing.place_all(lead, list(spots.items()), way="import") == 2
    Machine.objects.filter(pk=gone).update(retired_at=utc_now())

    swapped = [(second, spots[first]), (first, spots[second]), (gone, placing.Spot(9, 1, 3))]
    assert placing.place_all(lead, swapped, way="import") == 2
    assert placing.place_all(lead, swapped, way="import") == 0, "they stand there"

    assert list(Machine.objects.filter(hall=9).order_by("slot").values_list("pk", flat=True)) == [second, first]
    with pytest.raises(NotPermittedError):
        placing.place_all(people(Role.TRAINEE), swapped, way="import")
