"""Values of the virtual plant: its elements, the edges between them, the devices that answer for them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What an element is."""

    UTILITY_FEED = "utility_feed"
    TRANSFORMER = "transformer"
    SWITCHBOARD = "switchboard"
    BREAKER = "breaker"
    ATS = "ats"
    GENSET = "genset"
    FUEL_TANK = "fuel_tank"
    PV = "pv"
    UPS = "ups"
    BATTERY = "battery"
    PDU = "pdu"
    METER = "meter"
    SENSOR = "sensor"
    FAN_WALL = "fan_wall"
    PAD = "evaporative_pad"
    PUMP = "pump"
    WATER_TANK = "water_tank"
    DRY_COOLER = "dry_cooler"
    LOOP = "cooling_loop"
    SWITCH = "network_switch"
    SERVER = "server"
    MACHINE = "machine"
    LOAD = "load"
    """Lights and sockets."""


class Medium(StrEnum):
    """What flows along an edge."""

    POWER = "power"
    COOLING = "cooling"


class Protocol(StrEnum):
    """How a device is asked."""

    MODBUS = "modbus"
    SUNSPEC = "sunspec"
    SNMP2 = "snmp2"
    SNMP3 = "snmp3"
    NUT = "nut"
    BACNET = "bacnet"
    REDFISH = "redfish"


THREE_PHASES = "L1L2L3"
PHASES = ("L1", "L2", "L3")


@dataclass(frozen=True, slots=True)
class Element:
    """One thing of the plant. ``rating`` by unit-bearing names such as ``rated_w``; ``place`` as HALL or HALL/RACK."""

    tag: str
    kind: Kind
    name: str
    place: str = ""
    model: str = ""
    serial: str = ""
    rating: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """An edge from a source to what it feeds, or from what cools to what is cooled."""

    source: str
    target: str
    medium: Medium = Medium.POWER
    phases: str = THREE_PHASES
    side: str = ""
    """``A`` or ``B`` where the target has two feeds."""
    outlet: int | None = None
    """Of a PDU."""


@dataclass(frozen=True, slots=True)
class Device:
    """Who answers for an element: ``unit`` is a Modbus unit or a BACnet instance; ``map`` names what it answers with.

    ``name`` is the UPS's name on a NUT server. ``user`` and ``secret`` are practice credentials (SNMP community, SNMP
    v3 user with one key for both, Redfish's account): they open virtual devices on loopback only.
    """

    tag: str
    protocol: Protocol
    host: str
    port: int
    map: str
    unit: int = 0
    name: str = ""
    user: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where a machine is plugged in."""

    number: int
    tag: str
    address: str
    phase: int
    """0..2."""
    nameplate_w: float


@dataclass(frozen=True, slots=True)
class Rack:
    """A rack of machines behind one breaker and one PDU."""

    number: int
    hall: int
    outlets: tuple[Outlet, ...]

    @property
    def breaker(self) -> str:
        """Its tag."""
        return f"Q-R{self.number}"

    @property
    def pdu(self) -> str:
        """Its tag."""
        return f"PDU-R{self.number}"

    @property
    def nameplate_w(self) -> float:
        """Of its machines."""
        return sum(outlet.nameplate_w for outlet in self.outlets)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the plant is built for its machines."""

    mining_w: float
    """Nameplates of all machines."""
    transformer_kva: int
    genset_w: float
    ups_w: float
    ups_wh: float
    flow_m3_s: float
    pv_w: float
    fuel_l: float
    water_l: float
    house_w: float
    """Lights and sockets."""
