"""Devices on record: who may enter them, what is refused, where secrets are and are not."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mbongi.core.identity.models import User
from mbongi.core.identity.scope import acting
from mbongi.core.identity.values import Role, Scope
from mbongi.core.ledger.models import LedgerEntry
from mbongi.facility import device_rows, devices
from mbongi.facility.device_board import CapReply
from mbongi.facility.device_box import unseal
from mbongi.facility.device_wording import ERRORS, QUANTITIES, WRONGS
from mbongi.facility.errors import DeviceRefusedError, NotPermittedError, UnknownDeviceError
from mbongi.facility.models import Device
from mbongi.facility.rules.device_list import read_devices
from mbongi.facility.rules.devices import PORTS, DeviceDraft, Wrong
from mbongi.facility.values import Protocol, Quantity

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]

METER = DeviceDraft("TR-1", Protocol.MODBUS, "10.9.0.4", 502, "1", "janitza-umg96")
PDU = DeviceDraft("PDU-1", Protocol.SNMP2, "10.9.0.5", 161, map_name="apc-rpdu2", secret="a community")
SERVER = DeviceDraft("SRV-1", Protocol.REDFISH, "10.9.0.6", 443, map_name="https", user="reader", secret="a secret")


@pytest.fixture(autouse=True)
def _own_key(tmp_path: Path, settings: Any) -> None:
    """Keys of the tests stay out of the working folder."""
    site = dataclasses.replace(settings.CONFIG.site, data_dir=tmp_path)
    settings.CONFIG = dataclasses.replace(settings.CONFIG, site=site)


@pytest.fixture
def lead(people: Callable[..., User]) -> User:
    return people(Role.SHIFT_LEAD)


def test_a_device_is_entered_and_the_process_gets_it(lead: User) -> None:
    before = device_rows.version()
    row = devices.save_device(lead, METER, reason="new meter")
    [target] = device_rows.targets()
    assert (target.tag, target.protocol, target.host, target.selector) == ("TR-1", Protocol.MODBUS, "10.9.0.4", "1")
    assert device_rows.version() != before
    entry = LedgerEntry.objects.latest("index")
    assert (entry.action, entry.subject, entry.reason) == (
        "facility.device.add",
        f"facility_device:{row.id}",
        "new meter",
    )


def test_a_change_is_in_the_ledger_with_before_and_after_and_a_disabled_device_is_not_asked(lead: User) -> None:
    row = devices.save_device(lead, METER, reason="new")
    devices.save_device(lead, replace(METER, host="10.9.0.9", is_enabled=False), device_id=row.id, reason="moved")
    assert device_rows.targets() == []
    entry = LedgerEntry.objects.latest("index")
    assert json.loads(entry.before)["host"] == "10.9.0.4"
    assert json.loads(entry.after)["host"] == "10.9.0.9"


def test_a_secret_is_encrypted_shown_nowhere_and_kept_when_nothing_else_is_entered(lead: User) -> None:
    row = devices.save_device(lead, PDU, reason="new")
    stored = Device.objects.get(pk=row.id)
    assert "a community" not in stored.sealed
    assert unseal("PDU-1", "snmp2", "", stored.sealed).secret == "a community"
    assert row.has_secret
    devices.save_device(lead, replace(PDU, secret=None, period_s=20.0), device_id=row.id, reason="slower")
    [target] = device_rows.targets()
    assert (target.credentials.secret, target.period_s) == ("a community", 20.0)
    assert "a community" not in repr(target)
    assert "a community" not in repr(PDU)
    said = " ".join(f"{one.before} {one.after}" for one in LedgerEntry.objects.all())
    assert "a community" not in said


def test_a_secret_is_not_sent_to_another_address_than_it_was_entered_for(lead: User) -> None:
    row = devices.save_device(lead, PDU, reason="new")
    elsewhere = replace(PDU, host="10.66.0.1", secret=None)
    with pytest.raises(DeviceRefusedError):
        devices.try_request(lead, elsewhere, device_id=row.id)
    with pytest.raises(DeviceRefusedError):
        devices.save_device(lead, elsewhere, device_id=row.id, reason="moved")


@pytest.mark.parametrize("scheme", ["http", "https-unchecked"])
def test_a_secret_is_not_sent_by_a_weaker_scheme_than_it_was_entered_for(lead: User, scheme: str) -> None:
    row = devices.save_device(lead, SERVER, reason="new")
    asked = devices.try_request(lead, replace(SERVER, map_name=scheme, secret=None), device_id=row.id)
    assert not unseal(SERVER.tag, "redfish", asked.user, asked.sealed).secret
    same = devices.try_request(lead, replace(SERVER, secret=None), device_id=row.id)
    assert unseal(SERVER.tag, "redfish", same.user, same.sealed).secret == "a secret"


def test_a_try_stores_nothing_and_carries_its_secret_encrypted(lead: User) -> None:
    asked = devices.try_request(lead, PDU)
    assert Device.objects.count() == 0
    assert "a community" not in str(asked)
    assert unseal("PDU-1", "snmp2", "", asked.sealed).secret == "a community"


def test_a_second_device_of_an_element_with_the_same_protocol_is_refused(lead: User) -> None:
    devices.save_device(lead, METER, reason="new")
    with pytest.raises(DeviceRefusedError, match="one already"):
        devices.save_device(lead, replace(METER, host="10.9.0.8"), reason="again")
    devices.save_device(lead, replace(PDU, tag="TR-1"), reason="another protocol")


def test_what_could_not_be_asked_is_refused_in_words(lead: User) -> None:
    with pytest.raises(DeviceRefusedError) as caught:
        devices.save_device(lead, replace(METER, port=0, map_name="ups-mib"), reason="new")
    assert caught.value.text == f"{WRONGS[Wrong.PORT]} {WRONGS[Wrong.MAP]}"


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.AUDITOR])
def test_only_who_may_change_the_plant_enters_tries_and_removes(people: Callable[..., User], role: Role) -> None:
    user = people(role)
    with pytest.raises(NotPermittedError):
        devices.save_device(user, METER, reason="new")
    with pytest.raises(NotPermittedError):
        devices.try_request(user, METER)
    with pytest.raises(NotPermittedError):
        devices.remove_device(user, 1, reason="gone")


def test_a_removed_device_is_gone_and_an_unknown_one_is_told(lead: User) -> None:
    row = devices.save_device(lead, METER, reason="new")
    devices.remove_device(lead, row.id, reason="scrapped")
    assert device_rows.devices() == []
    with pytest.raises(UnknownDeviceError):
        devices.remove_device(lead, row.id, reason="again")
    with pytest.raises(UnknownDeviceError):
        devices.save_device(lead, METER, device_id=row.id, reason="change")


def test_a_change_needs_a_reason(lead: User) -> None:
    with pytest.raises(DeviceRefusedError):
        devices.save_device(lead, METER, reason="  ")


def test_a_power_cap_is_in_the_ledger_before_and_after_and_a_dry_run_is_not(lead: User) -> None:
    row = devices.save_device(lead, SERVER, reason="new")
    count = LedgerEntry.objects.count()
    asked = devices.cap_request(lead, row.id, 400.0, dry_run=True, reason="")
    devices.cap_done(lead, asked, CapReply(before_w=500.0, after_w=400.0))
    assert LedgerEntry.objects.count() == count
    asked = devices.cap_request(lead, row.id, 400.0, dry_run=False, reason="a hot day")
    devices.cap_done(lead, asked, CapReply(before_w=500.0, error="refused"))
    assert [one.action for one in LedgerEntry.objects.order_by("index")[count:]] == [
        "facility.device.cap",
        "facility.device.cap_done",
    ]
    with pytest.raises(DeviceRefusedError):
        devices.cap_request(lead, row.id, 5.0, dry_run=True, reason="")


def test_a_list_adds_changes_and_leaves_alone_all_or_none(lead: User) -> None:
    devices.save_device(lead, PDU, reason="new")
    lines = [
        "tag,protocol,host,port,map_name,selector,user,secret",
        "TR-1,modbus,10.9.0.4,,janitza-umg96,1,,",
        "PDU-1,snmp2,10.9.0.5,,apc-rpdu2,,,",
        "UPS-B,nut,10.9.0.7,,nut-ups,ups-b,reader,a secret",
    ]
    drafts = read_devices(lines)
    assert [draft.port for draft in drafts] == [502, 161, 3493]
    dry = devices.enter_list(drafts, actor="process:facility", reason="list", dry_run=True)
    assert (dry.added, dry.changed, dry.same) == (2, 0, 1)
    assert len(device_rows.devices()) == 1
    devices.enter_list(drafts, actor="process:facility", reason="list")
    again = devices.enter_list([replace(drafts[0], period_s=5.0), *drafts[1:]], actor="process:facility", reason="list")
    assert (again.added, again.changed, again.same) == (0, 1, 2)
    assert LedgerEntry.objects.latest("index").actor == "process:facility"
    with pytest.raises(DeviceRefusedError, match="GEN-1"):
        devices.enter_list(
            [replace(METER, tag="M-7"), replace(METER, tag="GEN-1", port=0)], actor="process:facility", reason="list"
        )
    assert "M-7" not in {row.tag for row in device_rows.devices()}


def test_a_tenant_sees_no_device(lead: User) -> None:
    devices.save_device(lead, METER, reason="new")
    with acting(Scope(tenant_id=None, site_wide=False)):
        assert device_rows.devices() == []


def test_every_quantity_error_and_refusal_has_its_words() -> None:
    assert set(QUANTITIES) == set(Quantity)
    assert set(WRONGS) == set(Wrong)
    assert set(PORTS) == set(Protocol)
    assert {"silent", "unreachable", "garbled", "denied", "missing", "refused", "map", "broken"} == set(ERRORS)
