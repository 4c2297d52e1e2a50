"""The virtual site's plant comes into the inventory by itself, once, and never on a real site."""

import dataclasses

import pytest

from mbongi.base.config import Config, Fleet, Twin
from mbongi.core.ledger.models import LedgerEntry
from mbongi.facility import device_rows, selectors
from mbongi.facility.values import LinkKind
from mbongi.run.up import twin_ranges
from mbongi.run.virtual_plant import enter, is_virtual

TWIN = Twin(machines=24)
VIRTUAL = Config(twin=TWIN, fleet=Fleet(ranges=twin_ranges(TWIN)))


def test_only_a_site_whose_machines_are_the_virtual_ones_is_virtual() -> None:
    assert is_virtual(VIRTUAL)
    assert not is_virtual(dataclasses.replace(VIRTUAL, fleet=Fleet(ranges=("10.20.0.0/20",))))
    assert not is_virtual(Config())
    assert not is_virtual(dataclasses.replace(VIRTUAL, twin=dataclasses.replace(TWIN, plant_port=0)))


@pytest.mark.django_db
@pytest.mark.usefixtures("as_site")
def test_the_plant_is_entered_once_with_its_devices_and_the_ledger_says_by_whom() -> None:
    assert enter(VIRTUAL)
    assert not enter(VIRTUAL)

    power = selectors.links(LinkKind.POWER)
    assert ("PDU-R2", "M2-12") in {(link.source, link.target) for link in power}
    assert selectors.element("TR-1").rated_kva == 160
    devices = {row.tag: row for row in device_rows.devices()}
    assert (devices["UPS-1"].protocol, devices["UPS-1"].selector) == ("snmp3", "sha256")
    assert len(devices) == 19
    [target] = [each for each in device_rows.targets() if each.tag == "UPS-1"]
    assert len(target.credentials.secret) >= 8
    entries = LedgerEntry.objects.filter(action="facility.device.add")
    assert {entry.actor for entry in entries} == {"system:virtual-site"}
    assert not any("practice-key" in str(entry.after) for entry in LedgerEntry.objects.all())


@pytest.mark.django_db
@pytest.mark.usefixtures("as_site")
def test_a_real_site_stays_as_it_is() -> None:
    assert not enter(dataclasses.replace(VIRTUAL, fleet=Fleet(ranges=("10.20.0.0/20",))))
    assert device_rows.devices() == []
