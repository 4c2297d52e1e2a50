"""Servers' management controllers that speak Redfish: power, temperatures, fans, and the power cap, which is written.

A client of our own on ``wire.http1``: three documents of a chassis need no library. Source: DMTF DSP0266 (protocol),
DSP2046 (schemas Power, Thermal, EnvironmentMetrics).
"""

import asyncio
import base64
import math
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mbongi.facility.adapters.streams import Stream, end
from mbongi.facility.device_errors import (
    DeniedError,
    GarbledError,
    MissingError,
    SilentError,
    UnreachableError,
    WriteError,
)
from mbongi.facility.ports import DeviceTarget, Scorecard
from mbongi.facility.values import Found, Quantity
from mbongi.wire.errors import WireError
from mbongi.wire.http1 import Response, ResponseParser, request

SCORECARD = Scorecard(
    title="Redfish",
    reads=("power consumed and power cap", "air at the intake (the hottest sensor there)", "the slowest fan"),
    writes=("power cap: read, written with the entity tag, read again; with a dry run",),
    not_done=("sessions: each question is signed in by itself", "events", "switching a server"),
    bytes_max=2 * 1024 * 1024,
)
ROOT = "/redfish/v1/"
CHASSIS_MAX = 64


@dataclass(frozen=True, slots=True)
class CapChange:
    """A power cap [W; None: none] before and after; of a dry run, what it would become."""

    before_w: float | None
    after_w: float | None
    is_dry: bool


class RedfishReader:
    """One chassis of one controller. ``selector`` is its id; empty: the first that the controller names."""

    def __init__(self, target: DeviceTarget) -> None:
        self._target = target
        self._name = f"{target.host}:{target.port}"
        known = target.credentials
        signed = base64.b64encode(f"{known.user}:{known.secret}".encode()).decode("ascii")
        self._authorization = f"Basic {signed}" if known.user else ""
        self._stream: Stream | None = None
        self._chassis = ""

    async def read(self) -> list[Found]:
        """As ``DeviceReader``."""
        try:
            async with asyncio.timeout(self._target.timeout_s):
                power, _tag = await self._power()
                thermal = await self._optional(f"{self._chassis}/Thermal")
        except TimeoutError as error:
            raise SilentError(f"{self._name}: no answer within {self._target.timeout_s:g} s") from error
        finally:
            await self.close()
        return [*power_values(power), *thermal_values(thermal)]

    async def cap(self, watts: float | None, *, dry_run: bool) -> CapChange:
        """Set the power cap [W], or lift it; seen to be so before it returns. Raises a DeviceError.

        Nobody else's change is overwritten: where the controller gives entity tags, the write names the one it read.
        """
        try:
            async with asyncio.timeout(self._target.timeout_s * 2):
                document, tag = await self._power()
                before = cap_of(document)
                if dry_run or before == watts:
                    return CapChange(before, watts, is_dry=dry_run)
                body = {"PowerControl": [{"PowerLimit": {"LimitInWatts": watts}}]}
                await self._change(f"{self._chassis}/Power", body, tag)
                after = cap_of((await self._power())[0])
        except TimeoutError as error:
            raise SilentError(f"{self._name}: no answer to a write; whether it took the cap is not known") from error
        finally:
            await self.close()
        if after != watts:
            raise WriteError(f"{self._name}: power cap {watts} W: the controller has {after} W afterwards")
        return CapChange(before, after, is_dry=False)

    async def _power(self) -> tuple[Mapping[str, Any], str]:
        """The document on power, and its entity tag."""
        if not self._chassis:
            self._chassis = await self._first_chassis()
        response = await self._exchange("GET", f"{self._chassis}/Power")
        return _document(response, self._name), response.header("ETag")

    async def _first_chassis(self) -> str:
        if self._target.selector:
            return f"{ROOT}Chassis/{self._target.selector}"
        listed = _document(await self._exchange("GET", f"{ROOT}Chassis"), self._name)
        members = [one.get("@odata.id", "") for one in _list(listed, "Members")[:CHASSIS_MAX]]
        if not members or not str(members[0]).startswith(ROOT):
            raise MissingError(f"{self._name}: names no chassis")
        return str(members[0]).rstrip("/")

    async def _optional(self, path: str) -> Mapping[str, Any]:
        try:
            return _document(await self._exchange("GET", path), self._name)
        except MissingError:
            return {}

    async def _change(self, path: str, body: Mapping[str, Any], tag: str) -> None:
        response = await self._exchange("PATCH", path, msgspec.json.encode(body), tag)
        if response.status == 412:
            raise WriteError(f"{self._name}: somebody else changed it at this moment; look again")
        if response.status not in {200, 202, 204}:
            _check(response, self._name)
            raise WriteError(f"{self._name}: the controller refused the cap (status {response.status})")

    async def _exchange(self, method: str, path: str, body: bytes | None = None, tag: str = "") -> Response:
        try:
            question = request(
                method, path, host=self._name, authorization=self._authorization, body=body, if_match=tag
            )
            reader, writer = await self._connected()
            writer.write(question)
            response = await _response(reader)
        except OSError as error:
            await self.close()
            raise UnreachableError(f"{self._name}: {error.strerror or error}") from error
        except WireError as error:
            await self.close()
            raise GarbledError(f"{self._name}: {error}") from error
        if not response.keep_alive:
            await self.close()
        return response

    async def _connected(self) -> Stream:
        if self._stream is None:
            context = _context(self._target.map_name)
            self._stream = await asyncio.open_connection(self._target.host, self._target.port, ssl=context)
        return self._stream

    async def close(self) -> None:
        """As ``DeviceReader``."""
        stream, self._stream = self._stream, None
        await end(stream)


def _context(scheme: str) -> ssl.SSLContext | None:
    if scheme == "http":
        return None
    context = ssl.create_default_context()
    if scheme == "https-unchecked":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _response(reader: asyncio.StreamReader) -> Response:
    parser = ResponseParser(bytes_max=SCORECARD.bytes_max)
    while data := await reader.read(65_536):
        if (found := parser.feed(data)) is not None:
            return found
    return parser.end()


def _check(response: Response, name: str) -> None:
    if response.status in {401, 403}:
        raise DeniedError(f"{name}: does not take our name and secret (status {response.status})")
    if response.status in {404, 405}:
        raise MissingError(f"{name}: has no such resource (status {response.status})")


def _document(response: Response, name: str) -> Mapping[str, Any]:
    _check(response, name)
    if response.status != 200:
        raise GarbledError(f"{name}: status {response.status}; expected 200")
    try:
        found = msgspec.json.decode(response.body)
    except msgspec.DecodeError as error:
        raise GarbledError(f"{name}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise GarbledError(f"{name}: expected a JSON object")
    return found


def power_values(document: Mapping[str, Any]) -> list[Found]:
    """What the schema Power says of the whole chassis, its first control."""
    controls = _list(document, "PowerControl")
    consumed = _number(controls[0].get("PowerConsumedWatts")) if controls else math.nan
    cap = cap_of(document)
    values = [Found(Quantity.POWER_W, consumed)]
    return values if cap is None else [*values, Found(Quantity.POWER_CAP_W, cap)]


def cap_of(document: Mapping[str, Any]) -> float | None:
    """The power cap [W] of the schema Power; None where there is none."""
    controls = _list(document, "PowerControl")
    limit = controls[0].get("PowerLimit") if controls else None
    watts = _number(limit.get("LimitInWatts")) if isinstance(limit, dict) else math.nan
    return watts if math.isfinite(watts) else None


def thermal_values(document: Mapping[str, Any]) -> list[Found]:
    """What the schema Thermal says: the air at the intake, and the slowest fan that runs as it should."""
    values = []
    intake = [one for one in _list(document, "Temperatures") if one.get("PhysicalContext") == "Intake"]
    temps = [number for one in intake if math.isfinite(number := _number(one.get("ReadingCelsius")))]
    if temps:
        values.append(Found(Quantity.TEMPERATURE_C, max(temps)))
    for unit, quantity in (("RPM", Quantity.SPEED_RPM), ("Percent", Quantity.FAN_DUTY_PCT)):
        fans = [one for one in _list(document, "Fans") if one.get("ReadingUnits") == unit]
        speeds = [number for one in fans if math.isfinite(number := _number(one.get("Reading")))]
        if speeds:
            values.append(Found(quantity, min(speeds)))
    return values


def _list(document: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = document.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
