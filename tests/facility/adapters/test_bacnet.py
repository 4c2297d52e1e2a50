"""The BACnet adapter against a device of bacpypes3 in a process of its own."""

import asyncio
import math
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from mbongi.facility.adapters.registry import Wiring
from mbongi.facility.device_errors import MissingError, SilentError
from mbongi.facility.ports import DeviceTarget
from mbongi.facility.values import Found, Protocol, Quality, Quantity
from tests.facility import peers

Device = tuple[int, subprocess.Popen[bytes]]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with peers.bacnet_device(tmp_path_factory.mktemp("bacnet")) as found:
        yield found


def target(port: int, **changes: object) -> DeviceTarget:
    base = DeviceTarget("CRAH-1", Protocol.BACNET, "127.0.0.1", port, selector="1001", map_name="cooling-unit")
    return replace(base, **changes)  # type: ignore[arg-type]


def tell(device: Device, line: str) -> None:
    assert device[1].stdin is not None
    device[1].stdin.write(f"{line}\n".encode())
    device[1].stdin.flush()


async def read(asked: DeviceTarget) -> dict[str, Found]:
    wiring = Wiring()
    reader = wiring.reader(asked, lambda _found: None)
    try:
        return {one.quantity.value: one for one in await reader.read()}
    finally:
        await reader.close()
        await wiring.close()


async def test_present_values_are_read_and_objects_that_are_not_there_left_out(device: Device) -> None:
    found = await read(target(device[0]))
    assert found["return_temperature_c"] == (Quantity.RETURN_TEMPERATURE_C, 13.25, Quality.GOOD)
    assert found["flow_l_s"].value == 12.5
    assert found["setpoint_c"].value == 7.0
    assert found["running"].value == 1
    assert "humidity_pct" not in found


async def test_another_device_at_the_address_is_not_taken_for_it(device: Device) -> None:
    with pytest.raises(MissingError):
        await read(target(device[0], selector="1002"))


async def test_nobody_there_is_silent() -> None:
    with pytest.raises(SilentError):
        await read(target(peers.free_udp_port(), timeout_s=0.5))


async def test_changes_are_told_between_readings(device: Device) -> None:
    told: asyncio.Queue[Found] = asyncio.Queue()

    def take(found: Sequence[Found]) -> None:
        for one in found:
            told.put_nowait(one)

    async def heard(wanted: float) -> None:
        while (one := await told.get()).quantity is not Quantity.SUPPLY_TEMPERATURE_C or one.value != wanted:
            pass

    wiring = Wiring()
    reader = wiring.reader(target(device[0]), take)
    try:
        async with asyncio.timeout(10.0):
            await reader.read()
            await heard(7.5)  # a new subscription is told the present value at once
            tell(device, "analog-input,1 9.75")
            await heard(9.75)
    finally:
        await reader.close()
        await wiring.close()


async def test_a_broken_sensor_s_value_is_not_known(device: Device) -> None:
    tell(device, "fault analog-input,2")
    async with asyncio.timeout(10.0):
        while (one := (await read(target(device[0])))["return_temperature_c"]).quality is not Quality.BAD:
            pass
    assert math.isnan(one.value)
