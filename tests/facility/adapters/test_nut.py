"""The NUT client against Network UPS Tools' own server and dummy driver; its codec against lines of RFC 9271."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mbongi.facility.adapters.nut import NutReader, values
from mbongi.facility.device_errors import MissingError, SilentError, UnreachableError
from mbongi.facility.point_maps import point_map
from mbongi.facility.ports import Credentials, DeviceTarget
from mbongi.facility.values import Protocol
from mbongi.wire import nut
from tests import embedded
from tests.facility import peers

VARIABLES = {
    "device.mfr": "Dummy Manufacturer",
    "battery.charge": "87",
    "battery.runtime": "1860",
    "battery.voltage": "543.2",
    "ups.status": "OB DISCHRG LB",
    "ups.load": "43.5",
    "input.voltage": "0.0",
    "output.voltage": "230.1",
    "output.frequency": "50.0",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    [port] = embedded.free_ports(1)
    with peers.upsd(tmp_path_factory.mktemp("nut"), port, VARIABLES):
        yield port


def target(port: int, **changes: object) -> DeviceTarget:
    base = DeviceTarget("UPS-A", Protocol.NUT, "127.0.0.1", port, selector="ups-a", map_name="nut-ups")
    return replace(base, **changes)  # type: ignore[arg-type]


async def read(asked: DeviceTarget) -> dict[str, float]:
    reader = NutReader(asked)
    try:
        return {one.quantity.value: one.value for one in await reader.read()}
    finally:
        await reader.close()


async def test_a_ups_on_battery_is_read_with_its_charge_and_runtime(server: int) -> None:
    found = await read(target(server))
    assert found["charge_pct"] == 87
    assert found["runtime_s"] == 1860
    assert found["load_pct"] == 43.5
    assert found["input_voltage_l1_v"] == 0
    assert (found["on_battery"], found["warning"], found["fault"]) == (1, 1, 0)
    assert "power_w" not in found


async def test_signed_in_it_reads_the_same_over_one_kept_connection(server: int) -> None:
    reader = NutReader(target(server, credentials=Credentials("reader", "read")))
    first, second = await reader.read(), await reader.read()
    await reader.close()
    assert [one.quantity for one in first] == [one.quantity for one in second]


async def test_a_name_that_the_server_does_not_know_is_missing(server: int) -> None:
    with pytest.raises(MissingError):
        await read(target(server, selector="ups-b"))


async def test_nobody_at_the_port_is_unreachable(free_port: int) -> None:
    with pytest.raises(UnreachableError):
        await read(target(free_port))


# The codec.


def test_an_answer_is_read_line_by_line_and_quotes_are_undone() -> None:
    answer = nut.VariableList("su700")
    assert not answer.take(b"BEGIN LIST VAR su700\n")
    assert not answer.take(b'VAR su700 ups.mfr "A \\"quoted\\" name"\n')
    assert answer.take(b"END LIST VAR su700\n")
    assert answer.variables == {"ups.mfr": 'A "quoted" name'}


@pytest.mark.parametrize(
    "line", [b"VAR su700 ups.mfr\n", b"BEGIN LIST VAR other\n", b"cut off", b'VAR other ups.mfr "x"\n', b"x" * 2000]
)
def test_other_lines_are_refused(line: bytes) -> None:
    answer = nut.VariableList("su700")
    if line.startswith(b"VAR"):
        answer.take(b"BEGIN LIST VAR su700\n")
    with pytest.raises(nut.NutError):
        answer.take(line)


def test_the_server_s_refusals_keep_their_word() -> None:
    with pytest.raises(nut.NutRefused) as caught:
        nut.check_ok(b"ERR ACCESS-DENIED\n")
    assert caught.value.word == "ACCESS-DENIED"


@pytest.mark.parametrize("name", ["ups a", "ups\nSET", "", "é"])
def test_a_name_cannot_carry_a_second_command(name: str) -> None:
    with pytest.raises(nut.NutError):
        nut.list_variables(name)


def test_a_variable_that_is_no_number_is_not_known() -> None:
    rows = point_map("nut-ups").rows
    [found] = values(rows, {"battery.charge": "not available"})
    assert found.value != found.value


async def test_a_ups_whose_driver_is_gone_is_silent(tmp_path: Path) -> None:
    [port] = embedded.free_ports(1)
    with peers.upsd(tmp_path, port, VARIABLES) as driver:
        reader = NutReader(target(port))
        await reader.read()
        driver.terminate()
        driver.wait()
        try:
            with pytest.raises(SilentError):
                await _until_refused(reader)
        finally:
            await reader.close()


async def _until_refused(reader: NutReader) -> None:
    """The server needs a moment to notice."""
    async with asyncio.timeout(10.0):
        while True:
            await reader.read()
            await asyncio.sleep(0.05)
