"""The plant's devices asked by software that is not ours: net-snmp, NUT's upsc, pymodbus, bacpypes3, httpx."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from bacpypes3.apdu import ErrorRejectAbortNack
from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import Address, IPv4Address
from bacpypes3.primitivedata import ObjectIdentifier
from pymodbus.client import AsyncModbusTcpClient

from mbongi.base.config import Twin
from mbongi.twin.errors import TwinError
from mbongi.twin.plant.faults import set_fault
from mbongi.twin.plant.model import PlantModel
from mbongi.twin.plant.running import Plant
from mbongi.twin.plant.values import Device
from mbongi.twin.site import VirtualSite
from mbongi.twin.values import Phase
from tests.embedded import free_ports

WAIT_S = 20.0
DEVICE_POWER = "1.3.6.1.4.1.318.1.1.26.4.3.1.5.1"
OUTLET_2 = "1.3.6.1.4.1.318.1.1.26.9.2.4.1.5.2"
V3 = ("-v3", "-l", "authPriv", "-u", "mbongi", "-a", "SHA-256", "-x", "AES")


@asynccontextmanager
async def running() -> AsyncIterator[VirtualSite]:
    """A site of six machines in two racks with its plant; its hall is drawn from its ports: none meets another."""
    names = ("rpc_port", "http_port", "framed_port", "control_port", "meter_port", "plant_port")
    ports: dict[str, Any] = dict(zip(names, free_ports(len(names)), strict=True))
    ports["plant_port"] = min(ports["plant_port"], 65_000)
    hall = 64 + ports["plant_port"] % 128
    site = VirtualSite(Twin(machines=6, per_rack=3, network=f"127.{hall}.0.0/16", **ports))
    await site.start(control=True, plant=True)
    try:
        yield site
    finally:
        await site.close()


@pytest.fixture
async def site() -> AsyncIterator[VirtualSite]:
    async with running() as running_site:
        yield running_site


def plant_of(site: VirtualSite) -> Plant:
    assert site.plant is not None
    return site.plant


def model_of(site: VirtualSite) -> PlantModel:
    return plant_of(site).model


def device(site: VirtualSite, tag: str) -> Device:
    return next(each for each in model_of(site).design.devices if each.tag == tag)


async def told(*command: str) -> tuple[int, str]:
    """A foreign program's exit status and words."""
    async with asyncio.timeout(WAIT_S):
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def snmp(program: str, site: VirtualSite, tag: str, *words: str, access: tuple[str, ...]) -> str:
    asked = device(site, tag)
    keys = ("-A", asked.secret, "-X", asked.secret) if "-v3" in access else ()
    _, out = await told(program, "-On", "-Oq", "-r1", "-t2", *access, *keys, f"{asked.host}:{asked.port}", *words)
    return out


async def test_a_pdu_is_read_and_its_outlets_are_switched_by_net_snmp(site: VirtualSite) -> None:
    reader, writer = ("-v2c", "-c", "public"), ("-v2c", "-c", "private")
    found = await snmp("snmpget", site, "PDU-R1", DEVICE_POWER, access=reader)
    # Hundredths of a kilowatt.
    assert float(found.split()[1]) == pytest.approx(model_of(site).racks[0].power_w / 10, rel=0.05)

    refused = await snmp("snmpset", site, "PDU-R1", OUTLET_2, "i", "2", access=reader)
    assert "noAccess" in refused
    await snmp("snmpset", site, "PDU-R1", OUTLET_2, "i", "2", access=writer)
    plant_of(site).move_on()
    machine = site.places[site.addresses[1]].machine
    assert machine.phase is Phase.OFF
    assert "wrongValue" in await snmp("snmpset", site, "PDU-R1", OUTLET_2, "i", "9", access=writer)
    assert "notWritable" in await snmp("snmpset", site, "PDU-R1", DEVICE_POWER, "i", "1", access=writer)

    await snmp("snmpset", site, "PDU-R1", OUTLET_2, "i", "1", access=writer)
    model_of(site).look()
    plant_of(site).move_on()
    assert machine.phase is Phase.BOOTING


async def test_a_ups_answers_snmp_v3_as_rfc_1628_says_and_refuses_strangers(site: VirtualSite) -> None:
    walked = await snmp("snmpwalk", site, "UPS-1", "1.3.6.1.2.1.33", access=V3)
    found = dict(line.split(" ", 1) for line in walked.splitlines() if line.startswith(".1.3") and " " in line)

    assert found[".1.3.6.1.2.1.33.1.4.1.0"] == "3"  # upsOutputSource: normal
    assert found[".1.3.6.1.2.1.33.1.2.4.0"] == "100"
    assert found[".1.3.6.1.2.1.33.1.3.3.1.3.1"] == "230"
    ups = device(site, "UPS-1")
    _, refused = await told(
        "snmpget",
        *V3,
        "-A",
        "wrong-key-altogether",
        "-X",
        ups.secret,
        "-r0",
        "-t1",
        f"{ups.host}:{ups.port}",
        "1.3.6.1",
    )
    assert "Authentication failure" in refused

    set_fault(model_of(site), "FEED-1", "outage")
    model_of(site).look()
    on_battery = await snmp("snmpget", site, "UPS-1", "1.3.6.1.2.1.33.1.4.1.0", access=V3)
    assert on_battery.split()[1] == "5"  # battery
    alarm = await snmp("snmpget", site, "UPS-1", "1.3.6.1.2.1.33.1.6.2.1.2.1", access=V3)
    assert alarm.split()[1] == ".1.3.6.1.2.1.33.1.6.3.2"  # upsAlarmOnBattery


async def test_a_pdu_without_power_keeps_silent(site: VirtualSite) -> None:
    set_fault(model_of(site), "FEED-1", "outage")
    model_of(site).look()

    found = await snmp("snmpget", site, "PDU-R1", DEVICE_POWER, access=("-v2c", "-c", "public"))
    assert "Timeout" in found
    found = await snmp("snmpget", site, "PDU-A", DEVICE_POWER, access=("-v2c", "-c", "public"))
    assert float(found.split()[1]) > 0


async def test_upsc_reads_the_ups_and_the_errors_are_those_of_upsd(site: VirtualSite) -> None:
    ups = device(site, "UPS-2")
    at = f"{ups.host}:{ups.port}"
    code, listed = await told("upsc", "-l", at)
    assert (code, "ups-b" in listed) == (0, True)
    code, found = await told("upsc", f"ups-b@{at}")
    assert code == 0
    assert "ups.status: OL\n" in found
    assert "input.voltage: 230.0\n" in found

    code, found = await told("upsc", f"nothing@{at}")
    assert (code, "Unknown UPS" in found) == (1, True)
    code, found = await told("upsc", f"ups-b@{at}", "ups.taste")
    assert (code, "Variable not supported by UPS" in found) == (1, True)

    set_fault(model_of(site), "FEED-1", "outage")
    model_of(site).look()
    _, found = await told("upsc", f"ups-b@{at}", "ups.status")
    assert "OB DISCHRG" in found
    set_fault(model_of(site), "UPS-2", "silent")
    _, found = await told("upsc", f"ups-b@{at}", "ups.status")
    assert "Data stale" in found


async def test_a_nut_session_asks_for_names_in_the_order_of_rfc_9271(site: VirtualSite) -> None:
    ups = device(site, "UPS-2")
    reader, writer = await asyncio.open_connection(ups.host, ups.port)

    async def ask(line: str) -> str:
        writer.write(f"{line}\n".encode())
        return (await reader.readline()).decode().strip()

    try:
        async with asyncio.timeout(WAIT_S):
            assert (await ask("VER")).startswith("Network UPS Tools upsd")
            assert await ask("PROTVER") == "1.3"
            assert await ask("LOGIN ups-b") == "ERR USERNAME-REQUIRED"
            assert await ask("USERNAME monitor") == "OK"
            assert await ask("LOGIN ups-b") == "ERR PASSWORD-REQUIRED"
            assert await ask("PASSWORD secret") == "OK"
            assert await ask("LOGIN ups-c") == "ERR UNKNOWN-UPS"
            assert await ask("LOGIN ups-b") == "OK"
            assert await ask("LOGIN ups-b") == "ERR ALREADY-LOGGED-IN"
            assert await ask('GET VAR ups-b "') == "ERR INVALID-ARGUMENT"
            assert await ask("SING") == "ERR UNKNOWN-COMMAND"
            assert await ask("STARTTLS") == "ERR FEATURE-NOT-CONFIGURED"
            assert await ask("SET VAR ups-b ups.load 1") == "ERR READONLY"
            assert await ask("NUMLOGINS") == "ERR UNKNOWN-COMMAND"
            assert await ask("GET NUMLOGINS ups-b") == "NUMLOGINS ups-b 1"
            assert await ask("LOGOUT") == "OK Goodbye"
            assert await reader.read() == b""
    finally:
        writer.close()


async def test_panel_meters_and_gensets_are_read_and_started_by_pymodbus(site: VirtualSite) -> None:
    model, meter = model_of(site), device(site, "MTR-2")
    async with asyncio.timeout(WAIT_S):
        client = AsyncModbusTcpClient(meter.host, port=meter.port)
        assert await client.connect()
        try:
            # Register 3000 of the maker's list is address 2999: currents, voltages (3028), power (3060), hertz (3110).
            found = await client.read_holding_registers(2999, count=112, device_id=int(meter.selector))
            real = client.DATATYPE.FLOAT32
            assert client.convert_from_registers(found.registers[60:62], real) == pytest.approx(
                model.mining_w / 1000, rel=0.05
            )
            assert client.convert_from_registers(found.registers[28:30], real) == pytest.approx(230, rel=0.01)
            assert client.convert_from_registers(found.registers[20:22], real) == pytest.approx(398.4, rel=0.01)
            assert client.convert_from_registers(found.registers[110:112], real) == pytest.approx(50, abs=0.05)
            nobody = await client.read_holding_registers(2999, count=2, device_id=200)
            assert nobody.exception_code == 11
            nowhere = await client.read_holding_registers(9000, count=2, device_id=int(meter.selector))
            assert nowhere.exception_code == 2
            await start_by_hand(client, model)
        finally:
            client.close()


async def start_by_hand(client: AsyncModbusTcpClient, model: PlantModel) -> None:
    """Manual, start; a key without its complement is refused."""
    key = 16 * 256 + 8
    odd = await client.write_registers(key, [35702, 0], device_id=11)
    assert odd.exception_code == 3
    for word in (35702, 35705):
        assert not (await client.write_registers(key, [word, word ^ 0xFFFF], device_id=11)).isError()
    for _ in range(30):
        model.advance(model.now_s + 1.0)
    page = await client.read_holding_registers(4 * 256, count=36, device_id=11)
    assert page.registers[6] == 1500  # rpm
    assert page.registers[7] == 500  # tenths of a hertz
    assert page.registers[9] == 2300  # tenths of a volt
    assert (await client.read_holding_registers(3 * 256 + 4, count=1, device_id=11)).registers == [2]
    stopped = await client.read_holding_registers(4 * 256 + 6, count=1, device_id=12)
    assert stopped.registers == [0]


@asynccontextmanager
async def bacnet_client() -> AsyncIterator[NormalApplication]:
    known = DeviceObject(objectIdentifier=("device", 999), objectName="client", vendorIdentifier=999)
    (port,) = free_ports(1)
    client = NormalApplication(known, IPv4Address(f"127.0.0.1:{port}"))
    try:
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


async def test_cooling_is_read_set_and_subscribed_to_over_bacnet(site: VirtualSite) -> None:
    model, hall = model_of(site), device(site, "FW-1")
    at = Address(f"{hall.host}:{hall.port}")
    async with bacnet_client() as client, asyncio.timeout(WAIT_S):
        assert str(await client.read_property(at, "device,2601", "object-name")) == "FW-1"
        supply_c = await client.read_property(at, "analog-input,1", "present-value")
        assert supply_c == pytest.approx(model.hall.supply_c, abs=0.5)
        assert str(await client.read_property(at, "analog-input,1", "units")) == "degrees-celsius"

        assert await client.write_property(at, "analog-value,1", "present-value", 10.0) is None
        assert model.hall.rise_set_k == 10.0
        assert await client.read_property(at, "analog-value,1", "present-value") == 10.0
        for name, value, word in (
            ("analog-value,1", 90.0, "value-out-of-range"),
            ("analog-input,1", 20.0, "write-access-denied"),
        ):
            with pytest.raises(ErrorRejectAbortNack, match=word):
                await client.write_property(at, name, "present-value", value)
        await client.write_property(at, "binary-value,1", "present-value", "inactive")
        assert not model.hall.pad_allowed

        async with client.change_of_value(at, ObjectIdentifier("analog-input,2"), lifetime=60) as changes:
            await changes.get_value()
            set_fault(model, "TS-3", "silent")
            while str((await changes.get_value())[1]) != "fault":
                pass


async def test_a_servers_power_is_read_and_limited_over_redfish(site: VirtualSite) -> None:
    server, model = device(site, "SRV-1"), model_of(site)
    base = f"http://{server.host}:{server.port}/redfish/v1"
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as client:
        assert (await client.get(base)).json()["RedfishVersion"] == "1.20.0"
        assert (await client.get(f"{base}/Chassis")).status_code == 401
        client.auth = httpx.BasicAuth(server.user, server.secret)
        members = (await client.get(f"{base}/Chassis")).json()["Members"]
        power_path = (await client.get(f"http://{server.host}:{server.port}{members[0]['@odata.id']}")).json()["Power"]
        power_url = f"http://{server.host}:{server.port}{power_path['@odata.id']}"
        power = (await client.get(power_url)).json()
        assert power["PowerControl"][0]["PowerConsumedWatts"] == pytest.approx(364.0)  # 160 + 0.6 x 340

        limit = {"PowerControl": [{"PowerLimit": {"LimitInWatts": 250}}]}
        assert (await client.patch(power_url, json=limit)).status_code == 204
        model.advance(model.now_s + 1.0)
        power = (await client.get(power_url)).json()
        assert power["PowerControl"][0]["PowerConsumedWatts"] == 250.0
        assert power["PowerControl"][0]["PowerLimit"]["LimitInWatts"] == 250.0
        limit["PowerControl"][0]["PowerLimit"]["LimitInWatts"] = 9_000
        refused = await client.patch(power_url, json=limit)
        assert (refused.status_code, "160 to 500" in refused.text) == (400, True)
        assert (await client.patch(power_url, json={"Name": "x"})).status_code == 400
        assert (await client.get(f"{base}/Nothing")).status_code == 404


async def test_the_drill_cuts_the_grid_for_machines_and_meter_and_gives_it_back(site: VirtualSite) -> None:
    url = f"http://127.0.0.1:{site.config.control_port}"
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as client:
        before = (await client.get(f"{url}/plant")).json()
        assert before["power_w"]["machines"] > 0
        cut = (await client.post(f"{url}/plant/cut", json={})).json()
        assert (cut["states"]["FEED-1"], cut["power_w"]["feed"], cut["power_w"]["machines"]) == ("dead", 0.0, 0.0)
        assert {place.machine.phase for place in site.places.values()} == {Phase.OFF}
        assert not any(place.is_up for place in site.places.values())
        assert (await client.get(f"{url}/meter")).json()["grid"]["volts"] == 0
        restored = (await client.post(f"{url}/plant/restore", json={})).json()
        assert restored["states"]["FEED-1"] == "live"
        events = (await client.get(f"{url}/plant/events")).json()
        assert [each["tag"] for each in events if each["state"] == "dead"][:2] == ["FEED-1", "MSB-1"]

        document = (await client.get(f"{url}/plant/document")).json()
        assert document == model_of(site).design.document()
        assert (await client.post(f"{url}/plant/FEED-1/fault", json={"fault": "rain"})).status_code == 400
        assert (await client.post(f"{url}/plant/X-9/fault", json={"fault": "none"})).status_code == 404
        assert (await client.post(f"{url}/plant/Q-R1/switch", json={"closed": "no"})).status_code == 400
        opened = (await client.post(f"{url}/plant/Q-R1/switch", json={"closed": False})).json()
        assert opened["states"]["Q-R1"] == "open"
        assert (await client.post(f"{url}/plant/PDU-R1/outlet", json={"outlet": 9, "on": True})).status_code == 400


async def test_a_drill_of_the_grid_at_the_meter_reaches_the_plant(site: VirtualSite) -> None:
    url = f"http://127.0.0.1:{site.config.control_port}"
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT_S) as client:
        await client.post(f"{url}/grid", json={"volts": 150})
        assert (await client.get(f"{url}/plant")).json()["states"]["FEED-1"] == "dead"
        assert site.meter is not None
        assert site.meter.truth_w() == model_of(site).feed_w


async def test_an_address_that_is_taken_is_named_and_nothing_stays_open(site: VirtualSite) -> None:
    other = Plant(site)
    with pytest.raises(TwinError, match=r"plant_port|in use"):
        await other.open()
