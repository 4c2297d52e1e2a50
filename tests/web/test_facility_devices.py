"""The pages of the plant's devices: empty, answering, silent, stale, away; entering, trying and removing."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.test import Client

from mbongi.base.clock import now_ms
from mbongi.core.bus.errors import BusUnavailable
from mbongi.core.identity.models import User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.facility import device_rows, devices
from mbongi.facility.device_board import CapReply, DeviceState, DevicesTold, Observed, TriedValue, TryReply
from mbongi.facility.rules.devices import DeviceDraft
from mbongi.facility.values import Observation, Protocol, Quality, Quantity
from mbongi.web.live.plant_board import PLANT, SILENT_S, PlantBoard
from mbongi.web.pages import facility_devices
from tests.web.conftest import Pilot

METER = DeviceDraft("TR-1", Protocol.MODBUS, "10.9.0.4", 502, "1", "janitza-umg96")
SERVER = DeviceDraft("SRV-1", Protocol.REDFISH, "10.9.0.6", 443, map_name="https", user="reader", secret="a secret")
FORM = {
    "tag": "PDU-1",
    "protocol": "snmp2",
    "host": "10.9.0.5",
    "port": "161",
    "map_name": "apc-rpdu2",
    "period_s": "10",
    "timeout_s": "3",
    "secret": "a community",
    "is_enabled": "on",
    "reason": "new",
}


@pytest.fixture(autouse=True)
def _own_key(tmp_path: Path, settings: Any) -> None:
    """Keys of the tests stay out of the working folder."""
    site = dataclasses.replace(settings.CONFIG.site, data_dir=tmp_path)
    settings.CONFIG = dataclasses.replace(settings.CONFIG, site=site)


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    PLANT.__init__()  # type: ignore[misc]
    yield
    PLANT.__init__()  # type: ignore[misc]


def entered(draft: DeviceDraft) -> device_rows.DeviceRow:
    with acting(SITE):
        return devices.save_device(User.objects.get(role=Role.SITE_MANAGER), draft, reason="new")


def told(row: device_rows.DeviceRow, *observations: Observation, **state: Any) -> None:
    """What the facility process says of a device."""
    fresh = {"reads": 3, "good_ms": now_ms(), **state}
    known = DeviceState(id=row.id, tag=row.tag, protocol=row.protocol, **fresh)
    PLANT.hear_devices(msgspec.msgpack.encode(DevicesTold(at_ms=now_ms(), devices=[known])))
    PLANT.hear_observed(msgspec.msgpack.encode(Observed(observations=list(observations))))


def observed(quantity: Quantity, value: float, quality: Quality = Quality.GOOD) -> Observation:
    return Observation("TR-1", quantity, value, quality, now_ms(), now_ms())


def page(client: Client, place: str = "") -> str:
    answer = client.get(f"/facility/devices/{place}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_empty_list_says_what_to_do_and_that_nobody_asks(pilot: Pilot, sign_in: Any) -> None:
    text = page(sign_in(Role.SITE_MANAGER, language="en"))
    assert "No device yet" in text
    assert "has not been heard yet" in text


def test_values_are_shown_with_their_unit_and_age(pilot: Pilot, sign_in: Any) -> None:
    client = sign_in(Role.SITE_MANAGER, language="en")
    row = entered(METER)
    told(
        row,
        observed(Quantity.POWER_W, 208_250.0),
        observed(Quantity.FAULT, 0.0),
        observed(Quantity.RUN_TIME_S, 36_000.0),
    )
    text = page(client)
    assert "answers" in text
    assert "208.2" in text or "208.3" in text
    assert "kW" in text
    text = page(client, f"{row.id}/")
    assert "Fault" in text
    assert "10 h" in text
    assert "data-age" in text
    assert "Janitza" in text


def test_a_silent_device_says_so_in_plain_words_and_its_old_values_look_stale(pilot: Pilot, sign_in: Any) -> None:
    client = sign_in(Role.TECHNICIAN, language="en")
    sign_in(Role.SITE_MANAGER, language="en")
    row = entered(METER)
    told(
        row,
        observed(Quantity.POWER_W, 1.0, Quality.STALE),
        error="silent",
        detail="10.9.0.4:502: no answer within 3 s",
        failures=4,
    )
    text = page(client, f"{row.id}/")
    assert "It does not answer." in text
    assert 'class="stale"' in text
    assert "Change or try" not in text  # a technician looks, and does not change
    assert "no values" in page(client)


def test_once_the_process_is_away_every_value_is_stale() -> None:
    now = [1000.0]
    board = PlantBoard(lambda: now[0])
    state = DeviceState(id=1, tag="TR-1", protocol=Protocol.MODBUS)
    board.hear_devices(msgspec.msgpack.encode(DevicesTold(at_ms=0, devices=[state])))
    board.hear_observed(msgspec.msgpack.encode(Observed(observations=[observed(Quantity.POWER_W, 1.0)])))
    assert [one.is_stale for one in board.points("TR-1")] == [False]
    now[0] += SILENT_S + 1
    assert [one.is_stale for one in board.points("TR-1")] == [True]
    board.hear_devices(msgspec.msgpack.encode(DevicesTold(at_ms=0, devices=[])))
    assert board.points("TR-1") == []


def test_a_device_is_entered_by_the_form_and_its_secret_is_not_shown_again(pilot: Pilot, sign_in: Any) -> None:
    client = sign_in(Role.SITE_MANAGER, language="en")
    answer = client.post("/facility/devices/new/save/", FORM, follow=True)
    assert "PDU-1" in answer.content.decode()
    with acting(SITE):
        [row] = device_rows.devices()
    text = page(client, f"{row.id}/edit/")
    assert "a community" not in text
    refused = client.post("/facility/devices/new/save/", FORM | {"host": "no host!", "period_s": "often"})
    assert "is no number" in refused.content.decode()
    assert "a community" not in refused.content.decode()
    gone = client.post(f"/facility/devices/{row.id}/remove/", {"reason": "scrapped"}, follow=True)
    assert "No device yet" in gone.content.decode()


def test_a_try_shows_what_came_or_why_nothing_did(pilot: Pilot, sign_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = sign_in(Role.SITE_MANAGER, language="en")
    replies: list[Any] = [
        TryReply(values=[TriedValue(Quantity.POWER_W, 5120.0, Quality.GOOD)], took_ms=12.0),
        TryReply(error="denied", detail="10.9.0.5:161: wrong digest"),
    ]
    monkeypatch.setattr(facility_devices, "_ask", lambda *_asked: replies.pop(0))
    assert "5,120" in client.post("/facility/devices/new/try/", FORM).content.decode()
    assert "does not accept our name or secret" in client.post("/facility/devices/new/try/", FORM).content.decode()

    def away(*_asked: Any) -> Any:
        raise BusUnavailable("nobody")

    monkeypatch.setattr(facility_devices, "_ask", away)
    assert "does not answer" in client.post("/facility/devices/new/try/", FORM).content.decode()
    with acting(SITE):
        assert device_rows.devices() == []


def test_a_power_cap_is_rehearsed_and_set(pilot: Pilot, sign_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = sign_in(Role.SITE_MANAGER, language="en")
    row = entered(SERVER)
    monkeypatch.setattr(facility_devices, "_ask", lambda *_asked: CapReply(before_w=500.0, after_w=400.0))
    place = f"/facility/devices/{row.id}/cap/"
    dry = client.post(place, {"watts": "400", "act": "rehearse"}, follow=True).content.decode()
    assert "500 W would become 400 W" in dry
    assert "Say why" in client.post(place, {"watts": "400", "act": "write"}, follow=True).content.decode()
    done = client.post(place, {"watts": "400", "act": "write", "reason": "hot"}, follow=True).content.decode()
    assert "500 W became 400 W" in done


@pytest.mark.parametrize("role", [Role.TENANT, Role.RESEARCHER])
def test_the_plant_is_nobody_else_s_business(pilot: Pilot, sign_in: Any, role: Role) -> None:
    client = sign_in(role, owner=pilot.north) if role is Role.TENANT else sign_in(role)
    assert client.get("/facility/devices/").status_code == 403
    assert client.post("/facility/devices/new/save/", FORM).status_code == 403
