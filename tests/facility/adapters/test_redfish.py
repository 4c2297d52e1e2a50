"""The Redfish client against a small controller on Python's own HTTP server, its documents after DMTF's schemas.

Power.v1_7_1 and Thermal.v1_7_1 of DSP8010, cut down to what a server's controller needs to give.
"""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mbongi.facility.adapters.redfish import RedfishReader
from mbongi.facility.device_errors import (
    DeniedError,
    GarbledError,
    MissingError,
    SilentError,
    UnreachableError,
    WriteError,
)
from mbongi.facility.ports import Credentials, DeviceTarget
from mbongi.facility.values import Protocol

CHASSIS = "/redfish/v1/Chassis/1U"


@dataclass
class Controller:
    """What the mock keeps, and how it misbehaves: ``deaf`` takes a write and keeps the old cap."""

    power: dict[str, Any] = field(
        default_factory=lambda: {
            "@odata.type": "#Power.v1_7_1.Power",
            "Id": "Power",
            "PowerControl": [
                {
                    "MemberId": "0",
                    "PowerConsumedWatts": 344,
                    "PowerCapacityWatts": 800,
                    "PowerLimit": {"LimitInWatts": 500, "LimitException": "LogEventOnly"},
                }
            ],
        }
    )
    thermal: dict[str, Any] | None = field(
        default_factory=lambda: {
            "@odata.type": "#Thermal.v1_7_1.Thermal",
            "Temperatures": [
                {"Name": "Inlet", "PhysicalContext": "Intake", "ReadingCelsius": 27.5},
                {"Name": "CPU1", "PhysicalContext": "CPU", "ReadingCelsius": 61},
            ],
            "Fans": [{"Reading": 5400, "ReadingUnits": "RPM"}, {"Reading": 5100, "ReadingUnits": "RPM"}],
        }
    )
    tag: int = 1
    deaf: bool = False
    raced: bool = False
    raw: bytes = b""
    writes: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0


def handler_of(controller: Controller) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_words: object) -> None:
            pass

        def reply(self, status: int, body: Any = None) -> None:
            data = controller.raw or (b"" if body is None else json.dumps(body).encode())
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'W/"{controller.tag}"')
            self.end_headers()
            self.wfile.write(data)

        def allowed(self) -> bool:
            wanted = "Basic " + base64.b64encode(b"reader:a secret").decode()
            return self.headers.get("Authorization") == wanted

        def do_GET(self) -> None:
            if not self.allowed():
                return self.reply(401)
            pages = {
                "/redfish/v1/Chassis": {"Members": [{"@odata.id": CHASSIS}], "Members@odata.count": 1},
                f"{CHASSIS}/Power": controller.power,
                f"{CHASSIS}/Thermal": controller.thermal,
            }
            found = pages.get(self.path)
            return self.reply(404) if found is None else self.reply(200, found)

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if controller.raced or self.headers.get("If-Match") != f'W/"{controller.tag}"':
                return self.reply(412)
            controller.writes.append(body)
            if not controller.deaf:
                limit = body["PowerControl"][0]["PowerLimit"]
                controller.power["PowerControl"][0]["PowerLimit"].update(limit)
                controller.tag += 1
            return self.reply(204)

    return Handler


@pytest.fixture
def controller() -> Iterator[Controller]:
    made = Controller()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(made))
    server.daemon_threads = False
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reader(port: int, **changes: object) -> RedfishReader:
    known = Credentials("reader", "a secret")
    base = DeviceTarget("SRV-1", Protocol.REDFISH, "127.0.0.1", port, map_name="http", credentials=known)
    return RedfishReader(replace(base, **changes))  # type: ignore[arg-type]


async def test_power_cap_intake_and_slowest_fan_are_read(controller: Controller) -> None:
    found = {one.quantity.value: one.value for one in await reader(controller.port).read()}
    assert found == {"power_w": 344, "power_cap_w": 500, "temperature_c": 27.5, "speed_rpm": 5100}


async def test_a_chassis_without_temperatures_and_without_a_cap_gives_its_power(controller: Controller) -> None:
    controller.thermal = None
    controller.power["PowerControl"][0]["PowerLimit"]["LimitInWatts"] = None
    found = await reader(controller.port, selector="1U").read()
    assert [(one.quantity.value, one.value) for one in found] == [("power_w", 344)]


async def test_a_cap_is_written_with_the_entity_tag_and_seen_afterwards(controller: Controller) -> None:
    change = await reader(controller.port).cap(400, dry_run=False)
    assert (change.before_w, change.after_w, change.is_dry) == (500, 400, False)
    assert controller.writes == [{"PowerControl": [{"PowerLimit": {"LimitInWatts": 400}}]}]


async def test_a_dry_run_of_a_cap_writes_nothing(controller: Controller) -> None:
    change = await reader(controller.port).cap(400, dry_run=True)
    assert (change.before_w, change.after_w, change.is_dry) == (500, 400, True)
    assert not controller.writes


async def test_a_cap_that_the_controller_takes_and_does_not_keep_is_an_error(controller: Controller) -> None:
    controller.deaf = True
    with pytest.raises(WriteError, match="has 500"):
        await reader(controller.port).cap(400, dry_run=False)


async def test_somebody_else_s_change_at_the_same_moment_is_not_overwritten(controller: Controller) -> None:
    controller.raced = True
    with pytest.raises(WriteError, match="somebody else"):
        await reader(controller.port).cap(400, dry_run=False)
    assert not controller.writes


async def test_a_wrong_secret_is_denied_and_not_shown(controller: Controller) -> None:
    with pytest.raises(DeniedError) as caught:
        await reader(controller.port, credentials=Credentials("reader", "other")).read()
    assert "other" not in str(caught.value)


async def test_another_chassis_is_missing(controller: Controller) -> None:
    with pytest.raises(MissingError):
        await reader(controller.port, selector="2U").read()


@pytest.mark.parametrize("raw", [b"<html>", b"[1, 2]"])
async def test_a_page_that_is_no_document_is_garbled(controller: Controller, raw: bytes) -> None:
    controller.raw = raw
    with pytest.raises(GarbledError):
        await reader(controller.port).read()


async def test_nobody_there_is_unreachable(free_port: int) -> None:
    with pytest.raises((UnreachableError, SilentError)):
        await reader(free_port).read()
