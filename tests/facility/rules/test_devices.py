"""What a device's record may say, by protocol."""

from dataclasses import replace

import pytest

from mbongi.facility.rules.device_list import DeviceListError, read_devices
from mbongi.facility.rules.devices import DeviceDraft, Wrong, wrongs
from mbongi.facility.values import Protocol

METER = DeviceDraft("TR-1", Protocol.MODBUS, "10.9.0.4", 502, "1", "janitza-umg96")
PDU = DeviceDraft("PDU-1", Protocol.SNMP2, "10.9.0.5", 161, map_name="apc-rpdu2", secret="a community")
SERVER = DeviceDraft("SRV-1", Protocol.REDFISH, "10.9.0.6", 443, map_name="https", user="reader", secret="a secret")


def test_devices_of_every_kind_are_as_they_should_be() -> None:
    for draft in (METER, PDU, SERVER, replace(METER, host="meter-1.site.example", selector="")):
        assert wrongs(draft, maps=frozenset({"janitza-umg96", "apc-rpdu2"}), has_secret=False) == []
    kept = replace(PDU, secret=None)
    assert wrongs(kept, maps=frozenset({"apc-rpdu2"}), has_secret=True) == []


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        (replace(METER, tag=" TR-1"), Wrong.TAG),
        (replace(METER, host="10.9.0.4/24"), Wrong.HOST),
        (replace(METER, host="a\nb"), Wrong.HOST),
        (replace(METER, port=0), Wrong.PORT),
        (replace(METER, selector="256"), Wrong.SELECTOR_UNIT),
        (replace(METER, selector="one"), Wrong.SELECTOR_UNIT),
        (replace(METER, map_name="ups-mib"), Wrong.MAP),
        (replace(METER, period_s=0.1), Wrong.PERIOD),
        (replace(METER, timeout_s=float("nan")), Wrong.TIMEOUT),
        (replace(METER, protocol=Protocol.NUT, selector="", map_name="nut-ups"), Wrong.SELECTOR_UPS),
        (replace(METER, protocol=Protocol.BACNET, selector="5000000"), Wrong.SELECTOR_INSTANCE),
        (replace(PDU, secret=""), Wrong.COMMUNITY),
        (replace(PDU, secret=None), Wrong.COMMUNITY),
        (replace(PDU, protocol=Protocol.SNMP3), Wrong.USER),
        (replace(PDU, protocol=Protocol.SNMP3, user="u", secret="short"), Wrong.PASS_PHRASE),
        (replace(PDU, protocol=Protocol.SNMP3, user="u", secret="", privacy="a long phrase"), Wrong.PRIVACY_ALONE),
        (replace(SERVER, map_name="ftp"), Wrong.SCHEME),
        (replace(SERVER, selector="../Systems"), Wrong.SELECTOR_CHASSIS),
        (replace(SERVER, secret="x" * 129), Wrong.SECRET_LONG),
    ],
)
def test_what_could_not_be_asked_is_found(draft: DeviceDraft, expected: Wrong) -> None:
    maps = frozenset({"janitza-umg96"} if draft.protocol is Protocol.MODBUS else {"apc-rpdu2", "nut-ups"})
    assert expected in wrongs(draft, maps=maps, has_secret=False)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["tag,protocol", "TR-1,modbus"], "line 1: columns"),
        (["tag,protocol,host,colour", "TR-1,modbus,10.9.0.4,red"], "line 1: columns"),
        (["tag,protocol,host", "TR-1,profibus,10.9.0.4"], "line 2: 'profibus'"),
        (["tag,protocol,host,port", "TR-1,modbus,10.9.0.4,", "TR-2,modbus,10.9.0.4,x"], "line 3"),
        ([], "line 1: columns"),
    ],
)
def test_a_list_that_cannot_be_read_names_its_line(lines: list[str], message: str) -> None:
    with pytest.raises(DeviceListError, match=message):
        read_devices(lines)
