"""What the plant consists of: places, elements, links, and the words for them. Pure.

An element is known everywhere by its **tag**, the unique text on its label, such as ``TR-1`` or ``PDU-A-03``. Every
number carries its unit in its name; None and empty text mean that it is not stated.
"""

from datetime import date, timedelta
from enum import StrEnum

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
