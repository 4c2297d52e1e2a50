"""The SNMP adapter against net-snmp's agent: the objects of RFC 1628 and of PowerNet-MIB, by v2c and v3."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mbongi.facility.adapters.registry import Wiring
from mbongi.facility.device_errors import DeniedError, DeviceError, MissingError, SilentError
from mbongi.facility.ports import Credentials, DeviceTarget
from mbongi.facility.values import Protocol, Quantity
from tests.facility import peers

UPS, PDU = "1.3.6.1.2.1.33.1", "1.3.6.1.4.1.318.1.1.26"
OBJECTS = {
    f"{UPS}.2.1.0": ("integer", 2),
    f"{UPS}.2.3.0": ("integer", 31),
    f"{UPS}.2.4.0": ("integer", 87),
    f"{UPS}.2.5.0": ("integer", 5432),
    f"{UPS}.2.7.0": ("integer", 27),
    f"{UPS}.3.3.1.2.1": ("integer", 499),
    f"{UPS}.3.3.1.3.1": ("integer", 229),
    f"{UPS}.4.1.0": ("integer", 5),
    f"{UPS}.4.2.0": ("integer", 500),
    f"{UPS}.4.4.1.2.1": ("integer", 231),
    f"{UPS}.4.4.1.3.1": ("integer", 105),
    f"{UPS}.4.4.1.4.1": ("integer", 2310),
    f"{UPS}.4.4.1.5.1": ("integer", 43),
    f"{PDU}.4.3.1.4.1": ("integer", 3),
    f"{PDU}.4.3.1.5.1": ("integer", 512),
    f"{PDU}.4.3.1.9.1": ("integer", 12345),
    f"{PDU}.6.3.1.5.1": ("integer", 74),
    f"{PDU}.6.3.1.6.1": ("integer", 230),
    f"{PDU}.10.2.2.1.8.1": ("integer", -1),
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with peers.snmpd(tmp_path_factory.mktemp("snmpd"), OBJECTS) as found:
        yield found


def target(port: int, **changes: object) -> DeviceTarget:
    base = DeviceTarget(
        "UPS-A", Protocol.SNMP2, "127.0.0.1", port, map_name="ups-mib", credentials=Credentials(secret=peers.COMMUNITY)
    )
    return replace(base, **changes)  # type: ignore[arg-type]


async def read(asked: DeviceTarget) -> dict[str, float]:
    wiring = Wiring()
    reader = wiring.reader(asked, lambda _found: None)
    try:
        return {one.quantity.value: one.value for one in await reader.read()}
    finally:
        await reader.close()
        await wiring.close()


async def test_the_objects_of_rfc_1628_are_read_in_the_units_that_it_names(port: int) -> None:
    found = await read(target(port))
    # upsEstimatedMinutesRemaining is in minutes; voltages of the battery, frequencies and currents are in tenths.
    assert found["runtime_s"] == 31 * 60
    assert found["charge_pct"] == 87
    assert found["battery_voltage_v"] == pytest.approx(543.2)
    assert found["input_frequency_hz"] == pytest.approx(49.9)
    assert found["input_voltage_l1_v"] == 229
    assert found["current_l1_a"] == pytest.approx(10.5)
    assert found["power_l1_w"] == 2310
    assert found["load_pct"] == 43
    assert found["battery_status"] == 2
    assert found["on_battery"] == 1  # upsOutputSource battery(5)


async def test_objects_that_the_agent_does_not_have_are_left_out(port: int) -> None:
    found = await read(target(port))
    assert "battery_current_a" not in found
    assert "power_l2_w" not in found


async def test_a_rack_pdu_states_hundredths_of_kilowatts_and_a_missing_sensor_is_not_known(port: int) -> None:
    found = await read(target(port, tag="PDU-1", map_name="apc-rpdu2"))
    assert found["power_w"] == pytest.approx(5120)
    assert found["energy_wh"] == pytest.approx(1_234_500)
    assert found["current_l1_a"] == pytest.approx(7.4)
    assert found["warning"] == 1  # nearOverload(3)
    assert math.isnan(found["temperature_c"])


@pytest.mark.parametrize(
    ("user", "selector", "privacy"),
    [("reader", "", peers.PRIVACY), ("reader256", "sha256", peers.PRIVACY), ("signer", "", "")],
)
async def test_version_3_signs_and_encrypts(port: int, user: str, selector: str, privacy: str) -> None:
    known = Credentials(user, peers.AUTH, privacy)
    found = await read(target(port, protocol=Protocol.SNMP3, selector=selector, credentials=known))
    assert found[Quantity.CHARGE_PCT] == 87


@pytest.mark.parametrize("known", [Credentials("reader", "a wrong phrase", peers.PRIVACY), Credentials("nobody")])
async def test_version_3_says_who_is_not_let_in(port: int, known: Credentials) -> None:
    with pytest.raises(DeniedError):
        await read(target(port, protocol=Protocol.SNMP3, credentials=known))


async def test_a_wrong_community_is_met_with_silence(port: int) -> None:
    with pytest.raises(SilentError):
        await read(target(port, credentials=Credentials(secret="other"), timeout_s=0.9))


async def test_an_agent_without_any_object_of_the_map_is_another_kind_of_device(tmp_path: Path) -> None:
    with peers.snmpd(tmp_path, {}) as bare, pytest.raises(MissingError):
        await read(target(bare))


async def test_nobody_there_is_told_within_the_limit() -> None:
    with pytest.raises(DeviceError):
        async with asyncio.timeout(3.0):
            await read(target(peers.free_udp_port(), timeout_s=0.9))
