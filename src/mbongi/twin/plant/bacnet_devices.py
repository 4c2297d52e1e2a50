"""BACnet/IP devices of the virtual plant: the hall's cooling and the servers' water loop, each at its own address.

Objects are numbered as a controller of cooling is usually set up here: analogue inputs 1 to 8, a set point as analogue
value 1, fan speed as analogue output 1, "runs" and "fault" as binary inputs 1 and 2. Both take subscriptions (COV).
"""

import asyncio
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bacpypes3.basetypes import EngineeringUnits, Reliability, StatusFlags
from bacpypes3.errors import ExecutionError
from bacpypes3.ipv4.app import NormalApplication
from bacpypes3.local.analog import AnalogInputObject, AnalogOutputObject, AnalogValueObject
from bacpypes3.local.binary import BinaryInputObject, BinaryValueObject
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import IPv4Address

from mbongi.twin.errors import TwinError
from mbongi.twin.plant.cooling import LOOP_L_S
from mbongi.twin.plant.model import PlantModel
from mbongi.twin.plant.points import Panel, Readings
from mbongi.twin.plant.values import Device, Protocol

VENDOR = 999
"""The number that bacpypes3's samples use; none is registered for this project."""
COV_INCREMENT = 0.2
Units = EngineeringUnits
INPUTS: dict[str, tuple[tuple[int, str, str, str], ...]] = {
    "FW-1": (
        (1, "supply_c", "Supply temperature", "degreesCelsius"),
        (2, "exhaust_c", "Return temperature", "degreesCelsius"),
        (3, "humidity_pct", "Relative humidity outside", "percentRelativeHumidity"),
        (6, "power_w", "Power", "watts"),
        (7, "water_pct", "Level of the tank", "percent"),
        (8, "outside_c", "Outdoor air", "degreesCelsius"),
        (9, "inlet_c", "Cold aisle", "degreesCelsius"),
        (10, "wetness_pct", "Wetness of the pads", "percent"),
    ),
    "LOOP-1": (
        (1, "water_c", "Supply temperature", "degreesCelsius"),
        (2, "return_c", "Return temperature", "degreesCelsius"),
        (4, "flow_l_s", "Water flow", "litersPerSecond"),
        (6, "power_w", "Power", "watts"),
        (8, "outside_c", "Outdoor air", "degreesCelsius"),
    ),
}
"""Analogue inputs by device: instance, reading, name, unit."""
SWITCHES = {
    "FW-1": ((1, "runs", "Runs"), (2, "fault", "General fault")),
    "LOOP-1": ((1, "runs", "Runs"), (2, "fault", "General fault")),
}


@dataclass(frozen=True, slots=True)
class SetPoint:
    """What may be written: analogue value 1."""

    name: str
    unit: str
    low: float
    high: float
    read: Callable[[PlantModel], float]
    write: Callable[[PlantModel, float], None]


def _set_rise(model: PlantModel, value: float) -> None:
    model.hall.rise_set_k = value


def _set_water(model: PlantModel, value: float) -> None:
    model.loop.set_c = value


def _allow_pad(model: PlantModel, *, on: bool) -> None:
    model.hall.pad_allowed = on


SET_POINTS = {
    "FW-1": SetPoint(
        "Rise of the air through the hall",
        "deltaDegreesKelvin",
        6.0,
        20.0,
        lambda model: model.hall.rise_set_k,
        _set_rise,
    ),
    "LOOP-1": SetPoint(
        "Supply temperature's set point", "degreesCelsius", 30.0, 50.0, lambda model: model.loop.set_c, _set_water
    ),
}


class BacnetDevices:
    """What listens: one application for each device."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.devices = [each for each in panel.model.design.devices if each.protocol is Protocol.BACNET]
        self.applications: list[DeviceApplication] = []

    async def open(self) -> None:
        """Listen. Raises TwinError where an address is taken."""
        for device in self.devices:
            _require_free(device)
            application = DeviceApplication(self.panel, device)
            self.applications.append(application)
            await application.listens()

    async def close(self) -> None:
        """Stop."""
        applications, self.applications = self.applications, []
        for application in applications:
            application.close()
        await asyncio.sleep(0)

    def refresh(self) -> None:
        """Give every object its newest value, so that subscribers are told."""
        for application in self.applications:
            application.refresh()


def _require_free(device: Device) -> None:
    """bacpypes3 would wait for a taken address without a word."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((device.host, device.port))
        except OSError as error:
            raise TwinError(
                f"virtual plant {device.host}:{device.port}: BACnet of {device.tag}: {error.strerror}"
            ) from error


class ReadOnly:
    """An object that nobody writes over the network."""

    async def write_property(self, *_asked: Any, **_more: Any) -> None:
        """Refuse. Raises ExecutionError."""
        raise ExecutionError(errorClass="property", errorCode="writeAccessDenied")


class AnalogInput(ReadOnly, AnalogInputObject):  # type: ignore[misc]
    """A measurement."""


class AnalogOutput(ReadOnly, AnalogOutputObject):  # type: ignore[misc]
    """What the controller sets by itself."""


class BinaryInput(ReadOnly, BinaryInputObject):  # type: ignore[misc]
    """A contact."""


class Setting(AnalogValueObject):  # type: ignore[misc]
    """A set point: written over the network within its limits."""

    _panel: Panel
    _set_point: SetPoint

    async def write_property(self, attr: Any, value: Any, *more: Any, **named: Any) -> None:
        """Take a present value; nothing else. Raises ExecutionError."""
        if str(attr) not in {"presentValue", "present-value"}:
            raise ExecutionError(errorClass="property", errorCode="writeAccessDenied")
        wanted = self._set_point
        number = float(value)
        if not wanted.low <= number <= wanted.high:
            raise ExecutionError(errorClass="property", errorCode="valueOutOfRange")
        wanted.write(self._panel.model, number)
        await super().write_property(attr, value, *more, **named)


class Allowance(BinaryValueObject):  # type: ignore[misc]
    """Whether the pads may be wetted: binary value 1 of the hall's controller."""

    _panel: Panel

    async def write_property(self, attr: Any, value: Any, *more: Any, **named: Any) -> None:
        """Take a present value; nothing else. Raises ExecutionError."""
        if str(attr) not in {"presentValue", "present-value"}:
            raise ExecutionError(errorClass="property", errorCode="writeAccessDenied")
        _allow_pad(self._panel.model, on=int(value) == 1)
        await super().write_property(attr, value, *more, **named)


class DeviceApplication(NormalApplication):  # type: ignore[misc]
    """One device on its own address; deaf while it is silent."""

    def __init__(self, panel: Panel, device: Device) -> None:
        known = DeviceObject(
            objectIdentifier=("device", int(device.selector)),
            objectName=device.tag,
            vendorIdentifier=VENDOR,
            vendorName="Mbongi",
            modelName="Virtual cooling controller",
            firmwareRevision="1",
        )
        super().__init__(known, IPv4Address(f"{device.host}:{device.port}"))
        self.panel, self.tag = panel, device.tag
        self.shown: dict[str, Any] = {}
        self.kept: dict[str, float] = {}
        for made in self._objects():
            self.add_object(made)
        self.refresh()

    async def listens(self) -> None:
        """Return once the socket is open."""
        await self.normal.server._local_transport_ready.wait()  # noqa: SLF001 -- bacpypes3 offers no other way

    async def indication(self, apdu: Any) -> None:
        """Hear a question, or not."""
        if not self.panel.is_silent(self.tag):
            await super().indication(apdu)

    def _objects(self) -> list[Any]:
        for number, name, title, unit in INPUTS[self.tag]:
            self.shown[name] = AnalogInput(
                objectIdentifier=("analog-input", number),
                objectName=title,
                presentValue=0.0,
                units=Units(unit),
                covIncrement=COV_INCREMENT,
                statusFlags=StatusFlags([0, 0, 0, 0]),
                eventState="normal",
                outOfService=False,
                reliability=Reliability("noFaultDetected"),
            )
        self.shown["duty_pct"] = _output(1, "Fan speed")
        for number, name, title in SWITCHES[self.tag]:
            self.shown[name] = BinaryInput(
                objectIdentifier=("binary-input", number),
                objectName=title,
                presentValue="inactive",
                polarity="normal",
                statusFlags=StatusFlags([0, 0, 0, 0]),
                eventState="normal",
                outOfService=False,
            )
        return [*self.shown.values(), *self._writable()]

    def _writable(self) -> list[Any]:
        wanted = SET_POINTS[self.tag]
        setting = Setting(
            objectIdentifier=("analog-value", 1),
            objectName=wanted.name,
            presentValue=wanted.read(self.panel.model),
            units=Units(wanted.unit),
            covIncrement=COV_INCREMENT,
            statusFlags=StatusFlags([0, 0, 0, 0]),
            eventState="normal",
            outOfService=False,
        )
        setting._panel, setting._set_point = self.panel, wanted  # noqa: SLF001 -- its own class; bacpypes3 keeps "_" aside
        if self.tag != "FW-1":
            return [setting]
        allowance = Allowance(
            objectIdentifier=("binary-value", 1),
            objectName="Pads may be wetted",
            presentValue="active",
            statusFlags=StatusFlags([0, 0, 0, 0]),
            eventState="normal",
            outOfService=False,
        )
        allowance._panel = self.panel  # noqa: SLF001 -- likewise
        return [setting, allowance]

    def refresh(self) -> None:
        """Newest values; a sensor that is gone keeps its last value and says so."""
        readings = self._readings()
        for name, shown in self.shown.items():
            value = readings[name]
            if self.kept.get(name) == value:
                continue
            self.kept[name] = value
            if isinstance(shown, BinaryInput):
                shown.presentValue = "active" if value else "inactive"
            elif math.isnan(value):
                self.kept.pop(name)
                _rely(shown, "noSensor")
            else:
                shown.presentValue = value
                if isinstance(shown, AnalogInput):
                    _rely(shown, "noFaultDetected")

    def _readings(self) -> Readings:
        model, found = self.panel.model, dict(self.panel.read(self.tag))
        if self.tag == "FW-1":
            found["power_w"] = model.hall.fan_w * model.hall.walls[0] / max(sum(model.hall.walls), 1)
            found["runs"] = float(model.hall.is_live)
            found["fault"] = float(not all(model.hall.walls) or not model.hall.pump_works)
        else:
            found["power_w"] = model.loop.fan_w + model.loop.pump_w
            found["flow_l_s"] = found["flow_pct"] / 100.0 * LOOP_L_S
            found["outside_c"] = model.outside_c
            found["runs"] = float(model.loop.pump_w > 0)
            found["fault"] = float(not model.loop.pump_works or not model.loop.cooler_works)
        return {name: round(value, 2) for name, value in found.items()}


def _rely(shown: AnalogInput, word: str) -> None:
    """Say whether a sensor can be relied on; its flags follow from that, and subscribers are told of them."""
    if str(shown.reliability) == str(Reliability(word)):
        return
    before = shown.statusFlags
    shown.reliability = Reliability(word)
    for tell in shown._property_monitors["statusFlags"]:  # noqa: SLF001 -- bacpypes3 makes flags, and tells nobody
        tell(before, shown.statusFlags)


def _output(number: int, title: str) -> Any:
    return AnalogOutput(
        objectIdentifier=("analog-output", number),
        objectName=title,
        presentValue=0.0,
        units=Units("percent"),
        covIncrement=1.0,
        statusFlags=StatusFlags([0, 0, 0, 0]),
        eventState="normal",
        outOfService=False,
    )
