"""The Modbus adapters against pymodbus's server, which writes numbers into registers by itself, and against SunSpec.

The maps' registers are checked by hand-written places from the makers' lists, not by the maps themselves.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from mbongi.facility.adapters.modbus_link import ModbusLinks
from mbongi.facility.adapters.registry import Wiring, scorecard
from mbongi.facility.device_errors import DeviceError, GarbledError, MissingError, SilentError, UnreachableError
from mbongi.facility.ports import DeviceTarget
from mbongi.facility.values import Protocol
from mbongi.wire import sunspec
from tests import embedded

REAL = DataType.FLOAT32
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def device(*units: SimDevice) -> AsyncIterator[int]:
    """pymodbus's server with these units, on a free port."""
    [port] = embedded.free_ports(1)
    server = ModbusTcpServer(list(units), address=("127.0.0.1", port))
    serving = asyncio.create_task(server.serve_forever())
    try:
        async with asyncio.timeout(5.0):
            while True:
                with contextlib.suppress(OSError):
                    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.transport.abort()
                    break
                await asyncio.sleep(0.02)
        yield port
    finally:
        await server.shutdown()
        await asyncio.gather(serving, return_exceptions=True)


@contextlib.asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[int]:
    """A server of the test's own, on a free port, whose connections are over when it ends."""
    tasks: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            await handler(reader, writer)
        writer.transport.abort()
        await asyncio.sleep(0)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(5.0):
            await asyncio.gather(*tasks)


def unit(number: int, *data: SimData) -> SimDevice:
    """Registers; what stands between them is there too, and 0."""
    return SimDevice(number, simdata=list(data))


def target(port: int, map_name: str, **changes: object) -> DeviceTarget:
    base = DeviceTarget("TR-1", Protocol.MODBUS, "127.0.0.1", port, map_name=map_name, timeout_s=2.0)
    return replace(base, **changes)  # type: ignore[arg-type]


async def read(asked: DeviceTarget) -> dict[str, float]:
    wiring = Wiring()
    reader = wiring.reader(asked, lambda _found: None)
    try:
        return {one.quantity.value: one.value for one in await reader.read()}
    finally:
        await reader.close()
        await wiring.close()


async def test_a_schneider_pm5000_is_read_at_its_list_s_registers_less_one() -> None:
    # Register list: 3000 current A, 3028 voltage A-N, 3060 active power total [kW], 3110 frequency, 3204 energy [Wh].
    data = [
        SimData(2999, values=[101.5, 99.25, 98.0, 3.5], datatype=REAL),
        SimData(3007, count=12, values=0, datatype=DataType.UINT16),
        SimData(3019, values=[400.5, 401.0, 399.5, 400.25, 230.5, 231.0, 229.5], datatype=REAL),
        SimData(3033, count=20, values=0, datatype=DataType.UINT16),
        SimData(3053, values=[21.5, 22.0, 20.5, 64.0], datatype=REAL),
        SimData(3061, count=48, values=0, datatype=DataType.UINT16),
        SimData(3109, values=[49.98], datatype=REAL),
        SimData(3203, values=[123_456_789_012, 42], datatype=DataType.INT64),
    ]
    async with device(unit(1, *data)) as port:
        found = await read(target(port, "schneider-pm5000"))
    assert found["power_w"] == 64_000
    assert found["power_l1_w"] == 21_500
    assert found["current_l1_a"] == 101.5
    assert found["current_n_a"] == 3.5
    assert found["voltage_l12_v"] == 400.5
    assert found["voltage_l1_v"] == 230.5
    assert found["frequency_hz"] == pytest.approx(49.98)
    assert found["energy_wh"] == 123_456_789_012
    assert found["energy_exported_wh"] == 42


async def test_a_janitza_umg_is_read_at_its_addresses() -> None:
    # Address list: 19000 U L1-N, 19012 I L1, 19026 P sum, 19050 frequency, 19068 real energy consumed.
    values = [0.0] * 39
    for address, value in ((19000, 229.5), (19012, 12.25), (19026, 8_250.0), (19050, 50.0), (19068, 1_000_000.0)):
        values[(address - 19000) // 2] = value
    async with device(unit(1, SimData(19000, values=values, datatype=REAL))) as port:
        found = await read(target(port, "janitza-umg96"))
    assert found["voltage_l1_v"] == 229.5
    assert found["current_l1_a"] == 12.25
    assert found["power_w"] == 8250
    assert found["frequency_hz"] == 50
    assert found["energy_wh"] == 1_000_000


async def test_an_eastron_meter_s_input_registers_are_in_kilowatt_hours() -> None:
    values = [0.0] * 113
    for address, value in ((0, 230.25), (52, 3_456.0), (70, 50.0), (72, 12.5), (200, 399.0), (224, 1.5)):
        values[address // 2] = value
    async with device(unit(1, SimData(0, values=values, datatype=REAL))) as port:
        found = await read(target(port, "eastron-sdm630"))
    assert found["voltage_l1_v"] == 230.25
    assert found["power_w"] == 3456
    assert found["energy_wh"] == 12_500
    assert found["voltage_l12_v"] == 399
    assert found["current_n_a"] == 1.5


def gencomm(**known: Sequence[tuple[int, DataType, float]]) -> list[SimData]:
    """Pages of GenComm: every register says "not fitted" but those that are given as offset, type and number."""
    found = []
    for page, length in ((3, 7), (4, 34), (6, 2), (7, 18)):
        first, place = 256 * page, 256 * page
        for offset, kind, number in sorted(known.get(f"page{page}", ())):
            if first + offset > place:
                found.append(SimData(place, count=first + offset - place, values=0xFFFF, datatype=DataType.UINT16))
            found.append(SimData(first + offset, values=[int(number)], datatype=kind))
            place = first + offset + (2 if kind in {DataType.UINT32, DataType.INT32} else 1)
        if place < first + length:
            found.append(SimData(place, count=first + length - place, values=0xFFFF, datatype=DataType.UINT16))
    return found


async def test_a_genset_controller_states_tenths_and_names_what_it_lacks() -> None:
    word, double, signed = DataType.UINT16, DataType.UINT32, DataType.INT32
    data = gencomm(
        page3=[(4, word, 1), (6, word, 1 << 12)],
        page4=[
            *((0, word, 420), (1, DataType.INT16, -5), (3, word, 0xFFFC), (6, word, 1500), (7, word, 501)),
            *((8, double, 2305), (20, double, 1234), (28, signed, -1500), (30, word, 0x7FFF)),
        ],
        page6=[(0, signed, 250_000)],
        page7=[(6, double, 360_000), (8, double, 1234), (16, double, 77)],
    )
    async with device(unit(10, *data)) as port:
        found = await read(target(port, "deepsea-gencomm", selector="10"))
    assert (found["mode"], found["fault"], found["warning"]) == (1, 1, 0)
    assert found["coolant_temperature_c"] == -5
    assert math.isnan(found["level_pct"])  # 0xFFFC: transducer fault
    assert found["speed_rpm"] == 1500
    assert found["frequency_hz"] == pytest.approx(50.1)
    assert found["voltage_l1_v"] == pytest.approx(230.5)
    assert found["current_l1_a"] == pytest.approx(123.4)
    assert found["power_l1_w"] == -1500
    assert math.isnan(found["power_l2_w"])  # 0x7FFFFFFF: not fitted
    assert math.isnan(found["voltage_l2_v"])
    assert found["power_w"] == 250_000
    assert found["energy_wh"] == pytest.approx(123_400)
    assert (found["run_time_s"], found["starts"]) == (360_000, 77)


def test_every_protocol_says_what_it_reads_and_what_it_does_not() -> None:
    for protocol in Protocol:
        card = scorecard(protocol)
        assert card.title
        assert card.reads
        assert card.not_done
        assert bool(card.writes) == (protocol is Protocol.REDFISH)


async def test_units_behind_one_gateway_share_its_connection() -> None:
    real = [SimData(0, values=[1000.0 * n for n in range(13)], datatype=REAL)]
    other = [SimData(0, values=[5000.0] * 13, datatype=REAL)]
    async with device(unit(1, *real), unit(2, *other)) as port:
        wiring = Wiring()
        readers = [
            wiring.reader(target(port, "generic-meter", selector=one), lambda _found: None) for one in ("1", "2")
        ]
        first, second = await asyncio.gather(*(reader.read() for reader in readers))
        assert (first[0].value, second[0].value) == (0, 5000)
        assert len(wiring._links._links) == 1
        for reader in readers:
            await reader.close()
        assert not wiring._links._links


async def test_registers_that_a_device_does_not_have_are_not_known_and_all_missing_is_an_error() -> None:
    async with device(unit(1, SimData(2999, values=[1.0] * 4, datatype=REAL))) as port:
        with pytest.raises(MissingError):
            await read(target(port, "janitza-umg96"))


async def test_a_meter_is_found_again_after_it_was_away() -> None:
    links = Wiring()
    async with device(unit(1, SimData(0, values=[7.0] * 13, datatype=REAL))) as port:
        reader = links.reader(target(port, "generic-meter"), lambda _found: None)
        await reader.read()
    with pytest.raises(DeviceError):
        await reader.read()
    with pytest.raises(UnreachableError):
        await reader.read()
    await reader.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", SilentError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", GarbledError),
        (bytes.fromhex("000100000005010302ffff"), GarbledError),  # two bytes where 52 were asked for
        (bytes.fromhex("00090000003701030034") + bytes(52), GarbledError),  # another question's number
        (bytes.fromhex("00010000000301830b"), SilentError),  # the gateway: its target does not respond
        (bytes.fromhex("000100000003018302"), MissingError),
    ],
)
async def test_what_no_meter_says_is_told_apart(answer: bytes, error: type[DeviceError]) -> None:
    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        await reader.read(100)

    async with answering(odd) as port:
        with pytest.raises(error):
            await read(target(port, "generic-meter", timeout_s=0.3))


async def test_a_sunspec_meter_says_itself_where_its_registers_are() -> None:
    words = [0x8000] * 107
    words[0], words[1] = 203, 105
    words[sunspec.POWER], words[sunspec.POWER_SF] = 4321, 1
    words[sunspec.FREQUENCY], words[sunspec.FREQUENCY_SF] = 4998, 0xFFFE
    words[sunspec.IMPORTED], words[sunspec.IMPORTED + 1], words[sunspec.ENERGY_SF] = 1, 0, 0
    words[sunspec.VOLTAGE], words[sunspec.VOLTAGE_SF] = 2301, 0xFFFF
    common = [0x5375, 0x6E53, 1, 66, *([0] * 66), *words, 0xFFFF, 0]
    async with device(unit(1, SimData(40_000, values=common, datatype=DataType.REGISTERS))) as port:
        found = await read(target(port, "", protocol=Protocol.SUNSPEC))
    assert found["power_w"] == 43_210
    assert found["frequency_hz"] == pytest.approx(49.98)
    assert found["energy_wh"] == 65_536
    assert found["voltage_l1_v"] == pytest.approx(230.1)
    assert math.isnan(found["current_l1_a"])


async def test_units_that_wait_for_a_silent_one_behind_their_gateway_are_read_all_the_same() -> None:
    async def gateway(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            if data[6] != 1:  # unit 1 is silent, and so is the gateway about it
                writer.write(data[:4] + bytes.fromhex("0005") + data[6:7] + bytes.fromhex("03020007"))

    async with answering(gateway) as port:
        link = ModbusLinks().take("127.0.0.1", port)
        asked = [link.read(unit, 3, 0, 1, limit_s=0.2) for unit in (1, 2, 1, 3)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [isinstance(one, SilentError) for one in found] == [True, False, True, False]
        assert found[1] == found[3] == b"\0\7"
        link.close()


async def test_a_question_that_is_given_up_leaves_nothing_for_the_next() -> None:
    """The slow answer of the first question must not be taken for the second's."""
    asked = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while data := await reader.read(100):
            asked += 1
            if asked == 1:
                await asyncio.sleep(0.2)
            writer.write(data[:4] + bytes.fromhex("0005010302") + bytes((0, asked)))

    async with answering(slow) as port:
        link = ModbusLinks().take("127.0.0.1", port)
        with pytest.raises(SilentError):
            await link.read(1, 3, 0, 1, limit_s=0.05)
        assert await link.read(1, 3, 0, 1, limit_s=2.0) == b"\0\2"
        link.close()
