"""Redfish of the virtual plant's servers: one service at each server's address, over HTTP with basic authentication.

Chassis with Power, Thermal and PowerSubsystem, a computer system; the power limit can be set. Source: DMTF DSP0266
(protocol) and DSP8010 (schemas Chassis, Power, Thermal, PowerSubsystem, PowerSupply, ComputerSystem). A real service
speaks HTTPS; this one stays on loopback.
"""

import asyncio
import base64
import math
from typing import Any

from mbongi.twin.firmware import HttpReply, HttpRequest, encode, json_object
from mbongi.twin.listeners import Connection, HttpConnection, open_socket
from mbongi.twin.plant.design import ACCOUNT, ACCOUNT_KEY
from mbongi.twin.plant.points import Panel, Readings
from mbongi.twin.plant.ratings import SERVER_BUSY_W, SERVER_IDLE_W
from mbongi.twin.plant.values import Device, Protocol
from mbongi.twin.settings import Aftermath
from mbongi.twin.values import Fault

ROOT = "/redfish/v1"
CHASSIS = f"{ROOT}/Chassis/1"
SYSTEM = f"{ROOT}/Systems/1"
CAP_MIN_W, CAP_MAX_W = SERVER_IDLE_W, SERVER_IDLE_W + SERVER_BUSY_W
Document = dict[str, Any]


class RedfishServers:
    """What listens: one service for each server."""

    def __init__(self, panel: Panel) -> None:
        devices = [each for each in panel.model.design.devices if each.protocol is Protocol.REDFISH]
        self.services = [RedfishService(panel, device) for device in devices]

    async def open(self) -> None:
        """Listen. Raises TwinError where an address is taken."""
        for service in self.services:
            await service.open()

    async def close(self) -> None:
        """Stop."""
        for service in self.services:
            service.shut()

    def refresh(self) -> None:
        """Documents are made when they are asked for."""


class RedfishService:
    """One server's management controller."""

    slow_s = 0.0
    is_dark = False

    def __init__(self, panel: Panel, device: Device) -> None:
        self.panel, self.device = panel, device
        self.connections: set[Connection] = set()
        self.server: asyncio.AbstractServer | None = None

    @property
    def fault(self) -> Fault:
        """A controller without power, or told to be silent, answers nothing."""
        return Fault.HUNG if self.panel.is_silent(self.device.tag) else Fault.NONE

    async def open(self) -> None:
        """Listen. Raises TwinError."""
        listener = open_socket(self.device.host, self.device.port, "plant")
        self.server = await asyncio.get_running_loop().create_server(
            lambda: HttpConnection(self, self.answer_http), sock=listener
        )

    def shut(self) -> None:
        """Stop."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in tuple(self.connections):
            connection.abort()

    def noise(self, length: int) -> bytes:
        """Never garbles."""
        return bytes(length)

    def take_aftermath(self) -> Aftermath:
        """Answers are never kept back."""
        return Aftermath()

    def after_reply(self) -> None:
        """Nothing follows from an answer."""

    def asked_by(self, source: str) -> None:
        """Whoever has the account may ask."""

    def answer_http(self, request: HttpRequest) -> HttpReply:
        """One request."""
        path = request.path.split("?", 1)[0].rstrip("/")
        if path == "/redfish":
            return _json({"v1": f"{ROOT}/"})
        if path != ROOT and not self._is_known(request):
            return _error(401, "Base.1.18.NoValidSession", "sign in with basic authentication")
        found = self.documents().get(path)
        if found is None:
            return _error(404, "Base.1.18.ResourceMissingAtURI", f"{path}: no such resource")
        if request.method in {"GET", "HEAD"}:
            return _json(found)
        if request.method == "PATCH" and path == f"{CHASSIS}/Power":
            return self._set_cap(request.body)
        return _error(405, "Base.1.18.OperationNotAllowed", f"{request.method} is not understood here")

    def _is_known(self, request: HttpRequest) -> bool:
        wanted = base64.b64encode(f"{ACCOUNT}:{ACCOUNT_KEY}".encode()).decode()
        return request.headers.get("authorization", "") == f"Basic {wanted}"

    def _set_cap(self, body: bytes) -> HttpReply:
        """A limit in watts, or null to lift it."""
        try:
            limit: object = (json_object(body) or {})["PowerControl"][0]["PowerLimit"]["LimitInWatts"]
        except (KeyError, IndexError, TypeError):
            limit = ""
        is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and not is_number:
            return _error(400, "Base.1.18.PropertyMissing", "expected PowerControl[0].PowerLimit.LimitInWatts")
        cap_w = None if limit is None else float(str(limit))
        if cap_w is not None and not CAP_MIN_W <= cap_w <= CAP_MAX_W:
            found = f"LimitInWatts {limit}: expected {CAP_MIN_W:g} to {CAP_MAX_W:g}"
            return _error(400, "Base.1.18.PropertyValueOutOfRange", found)
        number = int(self.device.tag[4:]) - 1
        self.panel.model.servers.servers[number].cap_w = cap_w
        self.panel.model.look()
        return HttpReply(204, b"")

    def documents(self) -> dict[str, Document]:
        """Every resource by its path."""
        tag, found = self.device.tag, self.panel.read(self.device.tag)
        members = {"Chassis": CHASSIS, "Systems": SYSTEM}
        return {
            ROOT: _resource(ROOT, "ServiceRoot.v1_17_0.ServiceRoot", "RootService", RedfishVersion="1.20.0")
            | {name: _link(f"{ROOT}/{name}") for name in members},
            **{f"{ROOT}/{name}": _collection(f"{ROOT}/{name}", name, [path]) for name, path in members.items()},
            CHASSIS: _chassis(tag, found),
            SYSTEM: _system(tag, found),
            f"{CHASSIS}/Power": _power(found),
            f"{CHASSIS}/Thermal": _thermal(found),
            **_power_subsystem(found),
        }


def _link(path: str) -> Document:
    return {"@odata.id": path}


def _resource(path: str, kind: str, name: str, **more: Any) -> Document:
    return {"@odata.id": path, "@odata.type": f"#{kind}", "Id": path.rpartition("/")[2], "Name": name, **more}


def _collection(path: str, name: str, members: list[str]) -> Document:
    kind = f"{name}Collection.{name}Collection".replace("SystemsC", "ComputerSystemC").replace("SuppliesC", "SupplyC")
    listed = [_link(member) for member in members]
    return _resource(path, kind, name, Members=listed) | {"Members@odata.count": len(listed)}


def _health(*, well: bool = True, on: bool = True) -> Document:
    return {"State": "Enabled" if on else "StandbyOffline", "Health": "OK" if well else "Critical"}


def _chassis(tag: str, found: Readings) -> Document:
    return _resource(
        CHASSIS,
        "Chassis.v1_25_0.Chassis",
        tag,
        ChassisType="RackMount",
        Manufacturer="Mbongi",
        Model="Virtual server",
        SerialNumber=tag,
        PowerState="On" if found["on"] else "Off",
        Power=_link(f"{CHASSIS}/Power"),
        Thermal=_link(f"{CHASSIS}/Thermal"),
        PowerSubsystem=_link(f"{CHASSIS}/PowerSubsystem"),
        Status=_health(well=bool(found["feed_a"]) and bool(found["feed_b"])),
    )


def _system(tag: str, found: Readings) -> Document:
    return _resource(
        SYSTEM,
        "ComputerSystem.v1_22_0.ComputerSystem",
        tag,
        SystemType="Physical",
        Manufacturer="Mbongi",
        Model="Virtual server",
        SerialNumber=tag,
        PowerState="On" if found["on"] else "Off",
        Status=_health(on=bool(found["on"])),
        Links={"Chassis": [_link(CHASSIS)]},
    )


def _power(found: Readings) -> Document:
    cap = None if math.isnan(found["cap_w"]) else found["cap_w"]
    control = {
        "@odata.id": f"{CHASSIS}/Power#/PowerControl/0",
        "MemberId": "0",
        "Name": "Server power",
        "PowerConsumedWatts": round(found["w"], 1),
        "PowerCapacityWatts": CAP_MAX_W,
        "PowerLimit": {"LimitInWatts": cap, "LimitException": "NoAction"},
        "Status": _health(),
    }
    supplies = [
        {
            "@odata.id": f"{CHASSIS}/Power#/PowerSupplies/{number}",
            "MemberId": str(number),
            "Name": f"Supply {side.upper()}",
            "LineInputVoltage": 230 if found[f"feed_{side}"] else 0,
            "PowerInputWatts": round(found[f"feed_{side}_w"], 1),
            "PowerCapacityWatts": CAP_MAX_W,
            "Status": _health(well=bool(found[f"feed_{side}"])),
        }
        for number, side in enumerate("ab")
    ]
    path = f"{CHASSIS}/Power"
    return _resource(path, "Power.v1_7_3.Power", "Power", PowerControl=[control], PowerSupplies=supplies)


def _thermal(found: Readings) -> Document:
    sensors = (
        ("Inlet air", "Intake", "inlet_c", 45),
        ("CPU", "CPU", "chip_c", 95),
        ("Coolant", "SystemBoard", "water_c", 60),
    )
    temperatures = [
        {
            "@odata.id": f"{CHASSIS}/Thermal#/Temperatures/{number}",
            "MemberId": str(number),
            "Name": name,
            "PhysicalContext": place,
            "ReadingCelsius": round(found[key], 1),
            "UpperThresholdCritical": limit,
            "Status": _health(well=found[key] < limit),
        }
        for number, (name, place, key, limit) in enumerate(sensors)
    ]
    return _resource(f"{CHASSIS}/Thermal", "Thermal.v1_7_3.Thermal", "Thermal", Temperatures=temperatures, Fans=[])


def _power_subsystem(found: Readings) -> dict[str, Document]:
    base = f"{CHASSIS}/PowerSubsystem"
    paths = {side: f"{base}/PowerSupplies/{side.upper()}" for side in "ab"}
    root = _resource(
        base,
        "PowerSubsystem.v1_1_3.PowerSubsystem",
        "Power subsystem",
        CapacityWatts=CAP_MAX_W,
        Allocation={"RequestedWatts": CAP_MAX_W, "AllocatedWatts": CAP_MAX_W},
        PowerSupplies=_link(f"{base}/PowerSupplies"),
    )
    supplies = {
        path: _resource(
            path,
            "PowerSupply.v1_6_0.PowerSupply",
            f"Supply {side.upper()}",
            PowerCapacityWatts=CAP_MAX_W,
            InputNominalVoltageType="AC240V",
            LineInputStatus="Normal" if found[f"feed_{side}"] else "LossOfInput",
            Status=_health(well=bool(found[f"feed_{side}"])),
        )
        for side, path in paths.items()
    }
    listed = _collection(f"{base}/PowerSupplies", "PowerSupplies", list(paths.values()))
    return {base: root, f"{base}/PowerSupplies": listed, **supplies}


def _json(document: Document) -> HttpReply:
    return HttpReply(200, encode(document), headers={"OData-Version": "4.0"})


def _error(status: int, message_id: str, text: str) -> HttpReply:
    """As DSP0266, section "Error responses"."""
    told = {"MessageId": message_id, "Message": text}
    document = {"error": {"code": message_id, "message": text, "@Message.ExtendedInfo": [told]}}
    headers = {"WWW-Authenticate": 'Basic realm="redfish"'} if status == 401 else {}
    return HttpReply(status, encode(document), headers=headers)
