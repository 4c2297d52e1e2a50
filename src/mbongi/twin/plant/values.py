"""Values of the virtual plant: its elements, the edges between them, the devices that answer for them. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an element is: the inventory's words."""

    UTILITY_FEED = "utility_feed"
    TRANSFORMER = "transformer"
    SWITCHBOARD = "lv_switchboard"
    """The changeover switch too: from it on one board is fed by either source."""
    BREAKER = "breaker"
    GENSET = "genset"
    FUEL_TANK = "fuel_tank"
    PV = "pv"
    UPS = "ups"
    BATTERY = "battery"
    PDU = "pdu"
    OUTLET = "outlet"
    """Lights and sockets."""
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


class LinkKind(StrEnum):
    """What flows along an edge; a meter's data link leads to what it measures."""

    POWER = "power"
    COOLING = "cooling"
    DATA = "data"


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
class Place:
    """A site, hall or rack, with its corner and size on the plan of the site."""

    code: str
    kind: str
    name: str
    parent: str = ""
    slots: int | None = None
    numbering: str = "shelf"
    x_m: float | None = None
    y_m: float | None = None
    width_m: float | None = None
    depth_m: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One thing of the plant, with the inventory's fields.

    ``rated_kw`` is what it delivers or draws at most, of what cools the heat that it removes, whose own power is
    ``demand_kw``; ``rated_v`` is between phases.
    """

    tag: str
    kind: Kind
    name: str
    place: str = ""
    slot: int | None = None
    manufacturer: str = "Mbongi"
    model: str = "virtual"
    rated_kw: float | None = None
    rated_kva: float | None = None
    rated_a: float | None = None
    rated_v: float | None = None
    phases: int | None = None
    demand_kw: float | None = None
    power_factor: float | None = None
    efficiency: float | None = None
    capacity_kwh: float | None = None
    capacity_l: float | None = None
    capacity_m3: float | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A directed edge, with the inventory's fields."""

    source: str
    target: str
    kind: LinkKind = LinkKind.POWER
    phases: str = THREE_PHASES
    side: str = ""
    """``A`` or ``B`` where the target has two feeds."""
    normally_open: bool = False
    """Carries only where the target has no other supply."""
    tag: str = ""

    @property
    def label(self) -> str:
        """Its own tag."""
        return self.tag or f"{self.source}>{self.target}"


@dataclass(frozen=True, slots=True)
class Device:
    """Who answers for an element, with the fields of a device on record.

    ``selector`` is a Modbus unit, a UPS's name on its NUT server, a BACnet instance, or the digest of SNMP v3; of
    Redfish ``map_name`` is the scheme. ``secret`` and ``privacy`` are practice credentials (community, pass phrases,
    password): they open virtual devices on loopback only.
    """

    tag: str
    protocol: Protocol
    host: str
    port: int
    selector: str = ""
    map_name: str = ""
    user: str = ""
    secret: str = ""
    privacy: str = ""


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
    def place(self) -> str:
        """Its code."""
        return f"H{self.hall}-R{self.number}"

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
