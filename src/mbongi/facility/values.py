"""What the plant consists of, what is measured of it, and the words for both. Pure.

An element is known everywhere by its **tag**, the unique text on its label, such as ``TR-1`` or ``PDU-A-03``. A *point*
is ``(tag, quantity)``, an *observation* a point's value at a time; a value is NaN where the device does not say. Every
number carries its unit in its name; None and empty text mean that it is not stated.
"""

import hashlib
from datetime import date, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple

import msgspec

TAG_MAX = 60
TEXT_MAX = 120


class PlaceKind(StrEnum):
    """What a place is; each may only stand within one of the kinds named before it."""

    SITE = "site"
    HALL = "hall"
    ROW = "row"
    RACK = "rack"


class RackNumbering(StrEnum):
    """What the numbers of a rack's slots count: rack units from below, or shelves."""

    UNITS = "u"
    SHELVES = "shelf"


class ElementKind(StrEnum):
    """What an element of the plant is."""

    UTILITY_FEED = "utility_feed"
    TRANSFORMER = "transformer"
    MV_SWITCHBOARD = "mv_switchboard"
    LV_SWITCHBOARD = "lv_switchboard"
    BREAKER = "breaker"
    PDU = "pdu"
    OUTLET = "outlet"
    UPS = "ups"
    BATTERY = "battery"
    GENSET = "genset"
    FUEL_TANK = "fuel_tank"
    PV = "pv"
    FAN_WALL = "fan_wall"
    EVAPORATIVE_PAD = "evaporative_pad"
    DRY_COOLER = "dry_cooler"
    PUMP = "pump"
    COOLING_LOOP = "cooling_loop"
    WATER_TANK = "water_tank"
    SENSOR = "sensor"
    METER = "meter"
    NETWORK_SWITCH = "network_switch"
    MACHINE = "machine"
    SERVER = "server"


SWITCHBOARDS = frozenset({ElementKind.MV_SWITCHBOARD, ElementKind.LV_SWITCHBOARD})
COOLERS = frozenset({
    ElementKind.FAN_WALL, ElementKind.EVAPORATIVE_PAD, ElementKind.DRY_COOLER, ElementKind.PUMP,
    ElementKind.COOLING_LOOP,
})  # fmt: skip
CONSUMERS = frozenset({
    ElementKind.MACHINE, ElementKind.SERVER, ElementKind.NETWORK_SWITCH, ElementKind.FAN_WALL,
    ElementKind.EVAPORATIVE_PAD, ElementKind.DRY_COOLER, ElementKind.PUMP, ElementKind.SENSOR, ElementKind.METER,
})  # fmt: skip
"""Kinds that turn power into something else; whatever else is joined by power links passes it on."""


class ElementStatus(StrEnum):
    """Where an element is in its life. Only ``active`` ones carry power or cooling."""

    PLANNED = "planned"
    ACTIVE = "active"
    OUT_OF_SERVICE = "out_of_service"
    RETIRED = "retired"


class LinkKind(StrEnum):
    """What flows over a link, from its source to its target. A meter's data link leads to what it measures."""

    POWER = "power"
    COOLING = "cooling"
    DATA = "data"


class Phases(StrEnum):
    """The phases of a power link; empty for cooling and data."""

    NONE = ""
    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    THREE = "L1L2L3"


class Side(StrEnum):
    """Which of two redundant paths a link belongs to."""

    NONE = ""
    A = "A"
    B = "B"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A site, hall, row or rack. ``code`` is unique; ``parent`` is the code of the place around it, empty for a site.

    Of a rack, ``slots`` is how many there are, in units or shelves. ``x_m``, ``y_m``, ``width_m``, ``depth_m`` place it
    on the plan of its site: corner nearest the origin, and size.
    """

    code: str
    kind: PlaceKind
    name: str = ""
    parent: str = ""
    slots: int | None = None
    numbering: RackNumbering = RackNumbering.UNITS
    x_m: float | None = None
    y_m: float | None = None
    width_m: float | None = None
    depth_m: float | None = None


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """One element of the plant.

    ``place`` is a place's code, ``slot`` the lowest unit or the shelf in a rack. ``rated_kw`` is what it can deliver
    (of a cooler: remove as heat; of a consumer: draw at most), ``rated_kva``, ``rated_a`` and ``rated_v`` (between
    phases where ``phases`` is 3) likewise. ``demand_kw`` is what a consumer is expected to draw where no meter says
    more. ``efficiency`` is output by input, 0 to 1. ``machine_id`` is the fleet's number of the machine.
    Maintenance is due every ``maintenance_days``; ``maintenance_next`` overrides what follows from the last one.
    """

    tag: str
    kind: ElementKind
    name: str = ""
    place: str = ""
    slot: int | None = None
    status: ElementStatus = ElementStatus.ACTIVE
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
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
    machine_id: int | None = None
    maintenance_days: int | None = None
    maintenance_last: date | None = None
    maintenance_next: date | None = None

    @property
    def maintenance_due(self) -> date | None:
        """When its maintenance is due next; None where no plan says so."""
        if self.maintenance_next is not None or self.maintenance_days is None or self.maintenance_last is None:
            return self.maintenance_next
        return self.maintenance_last + timedelta(days=self.maintenance_days)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A directed link between two elements by their tags, itself known by its own tag, as on a cable's label.

    ``breaker_a`` is the rating of the breaker at its source. A ``normally_open`` link carries nothing until its target
    has no other supply.
    """

    tag: str
    source: str
    target: str
    kind: LinkKind
    phases: Phases = Phases.NONE
    side: Side = Side.NONE
    breaker_a: float | None = None
    normally_open: bool = False


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document on an element: where it is kept, and the SHA-256 of its content in hex."""

    element: str
    title: str
    reference: str
    sha256: str = ""


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The whole plant, or a part of it that is imported."""

    places: tuple[Place, ...] = ()
    elements: tuple[Element, ...] = ()
    links: tuple[Link, ...] = ()
    documents: tuple[Document, ...] = ()


class Quantity(StrEnum):
    """Everything that may be measured, each with its unit (empty: a number without one, or a word as a whole number).

    L1, L2, L3 are phases against neutral, L12, L23, L31 between phases. Power into an element is positive, and so is
    what a genset delivers. ``input_`` is a UPS's side to the grid, the names without it the side to its load.
    """

    unit: str

    def __new__(cls, word: str, unit: str = "") -> "Quantity":
        """A word with its unit."""
        made = str.__new__(cls, word)
        made._value_ = word
        made.unit = unit
        return made

    POWER_W = "power_w", "W"
    POWER_L1_W = "power_l1_w", "W"
    POWER_L2_W = "power_l2_w", "W"
    POWER_L3_W = "power_l3_w", "W"
    APPARENT_POWER_VA = "apparent_power_va", "VA"
    REACTIVE_POWER_VAR = "reactive_power_var", "var"
    POWER_FACTOR = "power_factor"
    ENERGY_WH = "energy_wh", "Wh"
    ENERGY_EXPORTED_WH = "energy_exported_wh", "Wh"
    VOLTAGE_L1_V = "voltage_l1_v", "V"
    VOLTAGE_L2_V = "voltage_l2_v", "V"
    VOLTAGE_L3_V = "voltage_l3_v", "V"
    VOLTAGE_L12_V = "voltage_l12_v", "V"
    VOLTAGE_L23_V = "voltage_l23_v", "V"
    VOLTAGE_L31_V = "voltage_l31_v", "V"
    CURRENT_L1_A = "current_l1_a", "A"
    CURRENT_L2_A = "current_l2_a", "A"
    CURRENT_L3_A = "current_l3_a", "A"
    CURRENT_N_A = "current_n_a", "A"
    FREQUENCY_HZ = "frequency_hz", "Hz"
    INPUT_POWER_W = "input_power_w", "W"
    INPUT_VOLTAGE_L1_V = "input_voltage_l1_v", "V"
    INPUT_VOLTAGE_L2_V = "input_voltage_l2_v", "V"
    INPUT_VOLTAGE_L3_V = "input_voltage_l3_v", "V"
    INPUT_FREQUENCY_HZ = "input_frequency_hz", "Hz"
    LOAD_PCT = "load_pct", "%"
    CHARGE_PCT = "charge_pct", "%"
    RUNTIME_S = "runtime_s", "s"
    """How long a battery lasts at the present load."""
    BATTERY_VOLTAGE_V = "battery_voltage_v", "V"
    BATTERY_CURRENT_A = "battery_current_a", "A"
    BATTERY_TEMPERATURE_C = "battery_temperature_c", "°C"
    BATTERY_STATUS = "battery_status"
    """1 unknown, 2 normal, 3 low, 4 depleted: RFC 1628, upsBatteryStatus."""
    ON_BATTERY = "on_battery"
    ON_BYPASS = "on_bypass"
    BREAKER_CLOSED = "breaker_closed"
    RUNNING = "running"
    FAULT = "fault"
    """1 while the device itself reports an alarm that stops it."""
    WARNING = "warning"
    MODE = "mode"
    """A genset's: 0 stop, 1 automatic, 2 manual, 3 test on load, and what its map names further."""
    TEMPERATURE_C = "temperature_c", "°C"
    SUPPLY_TEMPERATURE_C = "supply_temperature_c", "°C"
    RETURN_TEMPERATURE_C = "return_temperature_c", "°C"
    SETPOINT_C = "setpoint_c", "°C"
    HUMIDITY_PCT = "humidity_pct", "%"
    PRESSURE_KPA = "pressure_kpa", "kPa"
    FLOW_L_S = "flow_l_s", "l/s"
    LEVEL_PCT = "level_pct", "%"
    """Of a tank: fuel or water."""
    VALVE_PCT = "valve_pct", "%"
    FAN_DUTY_PCT = "fan_duty_pct", "%"
    SPEED_RPM = "speed_rpm", "rpm"
    OIL_PRESSURE_KPA = "oil_pressure_kpa", "kPa"
    COOLANT_TEMPERATURE_C = "coolant_temperature_c", "°C"
    STARTER_VOLTAGE_V = "starter_voltage_v", "V"
    RUN_TIME_S = "run_time_s", "s"
    """How long an engine has run in all."""
    STARTS = "starts"
    POWER_CAP_W = "power_cap_w", "W"


class Quality(IntEnum):
    """How far a value may be believed."""

    GOOD = 0
    STALE = 1
    """Once good, and now older than the device's period allows."""
    BAD = 2
    """The device answers, and says that it does not know, or says what cannot be."""
    SUBSTITUTED = 3
    """Not measured: computed or entered in the place of a measurement."""

    @property
    def word(self) -> str:
        """As in a class name or a document."""
        return self.name.lower()


class Protocol(StrEnum):
    """How a device is asked."""

    MODBUS = "modbus"
    SUNSPEC = "sunspec"
    SNMP2 = "snmp2"
    SNMP3 = "snmp3"
    NUT = "nut"
    BACNET = "bacnet"
    REDFISH = "redfish"


class Point(NamedTuple):
    """What is measured, and of which element."""

    tag: str
    quantity: Quantity


class Found(NamedTuple):
    """One value that a device gave, before it is known whose it is. NaN: the device does not know it."""

    quantity: Quantity
    value: float
    quality: Quality = Quality.GOOD


class Observation(msgspec.Struct, frozen=True, gc=False):
    """A point's value. ``at_ms`` is when it was so, as the source says, ``received_ms`` when we heard it; both UTC."""

    tag: str
    quantity: Quantity
    value: float
    quality: Quality
    at_ms: int
    received_ms: int

    @property
    def point(self) -> Point:
        """What was observed."""
        return Point(self.tag, self.quantity)


def point_number(tag: str, quantity: str) -> int:
    """A number of 32 bits for a point, the same in every process, above all numbers of machines.

    Two points may share one by chance, so telemetry is always asked by tag and quantity too.
    """
    digest = hashlib.sha256(f"{tag}\n{quantity}".encode()).digest()
    return int.from_bytes(digest[:4], "big") | 0x8000_0000


class VersionState(StrEnum):
    """How a version of a document stands that two people agree on."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    FORMER = "former"
    REFUSED = "refused"
