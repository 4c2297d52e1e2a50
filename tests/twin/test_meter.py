"""The virtual site's power meter, read by a client of its own and by the product's adapter, and its faults."""

import asyncio
import math
import struct
from collections.abc import AsyncIterator

import httpx
import pytest

from mbongi.fleet.adapters.sunspec_meter import SunSpecMeter
from mbongi.fleet.device_errors import DeviceError, GarbledError, SilentError, UnreachableError
from mbongi.twin.meter import SiteMeter
from mbongi.twin.site import VirtualSite
from tests.twin.peers import running_site


@pytest.fixture
async def site() -> AsyncIterator[VirtualSite]:
    async with running_site(machines=12, per_rack=4, control=True) as running:
        yield running


def meter_of(site: VirtualSite) -> SiteMeter:
    assert site.meter is not None
    return site.meter


async def registers(port: int, address: int, count: int) -> list[int]:
    """Read by hand: nothing of the product's codec."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, address, count))
        head = await reader.readexactly(9)
        assert head[:8] == struct.pack(">HHHBB", 7, 0, 3 + 2 * count, 1, 3)
        return list(struct.unpack(f">{count}H", await reader.readexactly(2 * count)))
    finally:
        writer.close()


async def test_the_map_stands_where_the_standard_says(site: VirtualSite) -> None:
    words = await registers(meter_of(site).port, 40_000, 125)

    assert struct.pack(">2H", *words[:2]) == b"SunS"
    assert words[2:4] == [1, 66]
    assert words[70:72] == [203, 105]
    volts, hz = words[70 + 7], words[70 + 16]
    assert words[70 + 15] == words[70 + 17] == 0xFFFE  # hundredths
    assert volts / 100 == pytest.approx(230, rel=0.01)
    assert hz / 100 == pytest.approx(50, abs=0.05)
    assert await registers(meter_of(site).port, 40_000 + 70 + 107, 2) == [0xFFFF, 0]


async def test_the_adapter_reads_what_flows_which_is_more_than_the_machines_state(site: VirtualSite) -> None:
    meter, adapter = meter_of(site), SunSpecMeter(f"127.0.0.1:{meter_of(site).port}")
    try:
        found = await adapter.read()
        again = await adapter.read()
    finally:
        adapter.close()

    stated_w = sum(place.machine.power_w for place in site.places.values())
    assert found.power_w == pytest.approx(meter.truth_w(), rel=0.02)
    assert found.power_w > stated_w * 1.02
    assert again.frequency_hz == pytest.approx(50, abs=0.05)


async def test_machines_put_to_sleep_show_at_the_meter(site: VirtualSite) -> None:
    meter = meter_of(site)
    before_w = meter.shown_w
    for place in site.places.values():
        place.machine.sleep()
    meter.measure(1.0)
    meter.measure(1.0)

    assert meter.shown_w < 0.15 * before_w


async def test_faults_are_those_that_catch_a_client_out(site: VirtualSite) -> None:
    meter = meter_of(site)
    adapter = SunSpecMeter(f"127.0.0.1:{meter.port}")
    try:
        meter.set_fault("frozen")
        before = await adapter.read()
        meter.measure(1.0)
        assert (await adapter.read()).words == before.words
        meter.set_fault("scale_jump")
        meter.measure(1.0)
        assert (await adapter.read()).power_w == pytest.approx(10 * before.power_w, rel=0.05)
        meter.set_fault("off")
        with pytest.raises(DeviceError):
            await adapter.read()
        with pytest.raises(UnreachableError):
            await adapter.read()
        meter.set_fault("none")
        await asyncio.sleep(0)
        await meter.opening
        meter.measure(1.0)
        assert (await adapter.read()).power_w == pytest.approx(before.power_w, rel=0.05)
    finally:
        adapter.close()


async def test_a_hung_meter_and_one_that_speaks_something_else_are_told_apart(
    site: VirtualSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mbongi.fleet.adapters.sunspec_meter.ANSWER_S", 0.3)
    meter = meter_of(site)
    meter.set_fault("hung")
    adapter = SunSpecMeter(f"127.0.0.1:{meter.port}")
    with pytest.raises(SilentError):
        await adapter.read()
    meter.set_fault("none")
    other = await asyncio.start_server(_chatter, "127.0.0.1", 0)
    try:
        with pytest.raises(GarbledError):
            await SunSpecMeter(f"127.0.0.1:{other.sockets[0].getsockname()[1]}").read()
    finally:
        other.close()
    try:
        assert math.isfinite((await adapter.read()).power_w)
    finally:
        adapter.close()


async def _chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_the_control_interface_sets_meter_and_grid_and_tells_the_truth(site: VirtualSite) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.config.control_port}", trust_env=False) as client:
        found = (await client.get("/meter")).json()
        assert found["port"] == meter_of(site).port
        assert found["truth_w"] == pytest.approx(meter_of(site).truth_w(), rel=0.02)
        assert (await client.post("/meter/fault", json={"fault": "frozen"})).json()["fault"] == "frozen"
        assert (await client.post("/grid", json={"hz": 49.6})).json()["grid"] == {"hz": 49.6, "volts": 230.0}
        for path, wrong in (("/meter/fault", {"fault": "sleepy"}), ("/grid", {"hz": "much"}), ("/grid", {"amps": 3})):
            assert (await client.post(path, json=wrong)).status_code == 400
    meter_of(site).set_fault("none")
    meter_of(site).measure(1.0)
    words = await registers(meter_of(site).port, 40_000 + 70, 20)
    assert words[16] / 100 == pytest.approx(49.6, abs=0.05)
