"""The virtual plant as it is built for its machines: sizes, elements, edges and devices. Pure.

One feed and transformer carry everything. Two gensets, each large enough alone, carry the main switchboard's essential
side through a changeover switch: two UPS with the servers and the network, and the cooling. The machines stand on a
second board, whose breaker opens as the grid goes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from mbongi.base.config import Twin
from mbongi.twin.errors import TwinConfigError
from mbongi.twin.layout import positions
from mbongi.twin.models import model_of
from mbongi.twin.plant.cooling import AIR_J_M3_K, DESIGN_RISE_K, FAN_W_PER_M3_S
from mbongi.twin.plant.electric import transformer_kva
from mbongi.twin.plant.values import (
    PHASES,
    THREE_PHASES,
    Device,
    Element,
    Kind,
    Link,
    Medium,
    Outlet,
    Protocol,
    Rack,
    Sizes,
)

VOLTS, HZ = 230.0, 50.0
POWER_FACTOR = 0.97
SERVERS, SERVER_IDLE_W, SERVER_BUSY_W = 4, 160.0, 340.0
"""How many, what one draws at rest, and how much more at work (chosen)."""
SWITCH_W = 80.0
MARGIN = 1.25
GENSETS_KW = (12, 16, 20, 30, 45, 60, 80, 100, 125, 160, 200, 250, 320, 400, 500, 640, 800, 1000, 1280, 1600, 2000)
BREAKERS_A = (10, 16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200, 250, 320, 400, 500, 630, 800, 1000, 1250, 1600)
"""Usual ratings."""
PLANT_RACK, PDU_SLOT = 255, 253
"""Devices answer at 127.HALL.255.N, the racks' PDUs at 127.HALL.RACK.253."""
SLOTS_MAX = 252
GATEWAY_N, HALL_N, LOOP_N, UPS_N, NUT_N, PDU_A_N, SERVER_N = 1, 5, 6, 11, 12, 21, 31
MODBUS, SNMP, NUT, BACNET, REDFISH = range(5)
"""Offsets of the protocols' ports from ``twin.plant_port``."""
METERS = {"MTR-1": 1, "MTR-2": 2, "MTR-3": 3, "MTR-4": 4}
"""Panel meters and their Modbus units: the incomer, the machines, the cooling, both UPS's inputs."""
GENSETS = {"GEN-1": 11, "GEN-2": 12}
HALL_INSTANCE, LOOP_INSTANCE = 2601, 2602
COMMUNITY, COMMUNITY_WRITE = "public", "private"
SNMP_USER, SNMP_KEY = "mbongi", "practice-key-of-the-plant"
ACCOUNT, ACCOUNT_KEY = "operator", "practice-key-of-the-plant"


@dataclass(frozen=True, slots=True)
class Design:
    """A virtual plant before it runs."""

    racks: tuple[Rack, ...]
    sizes: Sizes
    elements: tuple[Element, ...]
    links: tuple[Link, ...]
    devices: tuple[Device, ...]

    def document(self) -> dict[str, Any]:
        """As JSON: ``elements``, ``links`` and ``devices``."""
        return {
            "elements": [asdict(element) for element in self.elements],
            "links": [asdict(link) for link in self.links],
            "devices": [asdict(device) for device in self.devices],
        }


def designed(config: Twin) -> Design:
    """The plant of a virtual site. Raises TwinConfigError where a rack leaves no address for its PDU."""
    if config.per_rack > SLOTS_MAX:
        raise TwinConfigError(f"twin.per_rack: found {config.per_rack}; expected up to {SLOTS_MAX} with a plant")
    racks = tuple(_racks(config))
    sizes = sized(sum(rack.nameplate_w for rack in racks))
    hall = int(config.network.split(".")[1])
    return Design(
        racks,
        sizes,
        tuple(_elements(racks, sizes)),
        tuple(_links(racks)),
        tuple(_devices(racks, hall, port=config.plant_port, meter_port=config.meter_port)),
    )


def _racks(config: Twin) -> Iterator[Rack]:
    places = positions(config)
    halls = groupby(places, key=lambda place: place.address.rpartition(".")[0])
    for number, (prefix, group) in enumerate(halls, start=1):
        outlets = tuple(
            Outlet(
                place.slot,
                f"M{number}-{place.slot}",
                place.address,
                (place.slot - 1) % 3,
                model_of(place.family).power_w,
            )
            for place in group
        )
        yield Rack(number, int(prefix.split(".")[1]), outlets)


def sized(mining_w: float) -> Sizes:
    """What it takes for machines with these nameplates."""
    critical_w = SERVERS * (SERVER_IDLE_W + SERVER_BUSY_W) + 2 * SWITCH_W
    ups_w = 1000.0 * math.ceil(MARGIN * critical_w / 1000.0)
    flow = max(1.1 * mining_w / (AIR_J_M3_K * DESIGN_RISE_K), 0.5)
    house_w = 300.0 + 0.002 * mining_w
    essential_w = 2 * 0.15 * ups_w + critical_w + FAN_W_PER_M3_S * flow + 2_000.0 + house_w
    genset_kw = MARGIN * essential_w / 1000.0
    return Sizes(
        mining_w=mining_w,
        transformer_kva=transformer_kva(MARGIN * (mining_w + essential_w) / POWER_FACTOR),
        genset_w=1000.0 * next((kw for kw in GENSETS_KW if kw >= genset_kw), math.ceil(genset_kw)),
        ups_w=ups_w,
        ups_wh=ups_w / 6.0,
        flow_m3_s=flow,
        pv_w=0.1 * mining_w,
        fuel_l=max(12.0 * essential_w / 1000.0 * 0.35, 200.0),
        water_l=max(mining_w / 10.0, 1_000.0),
        house_w=house_w,
    )


def breaker_a(power_w: float) -> float:
    """The rating of a three-phase breaker for a load; above the usual ones the next thousand amperes."""
    amps = MARGIN * power_w / (3 * VOLTS * POWER_FACTOR)
    return float(next((size for size in BREAKERS_A if size >= amps), 1000 * math.ceil(amps / 1000.0)))


def breakers(racks: Sequence[Rack], sizes: Sizes) -> dict[str, float]:
    """Every breaker and its rating [A]."""
    essential_w = sizes.genset_w / MARGIN
    return {
        "Q-1": breaker_a(sizes.mining_w + essential_w),
        "Q-G1": breaker_a(sizes.genset_w),
        "Q-G2": breaker_a(sizes.genset_w),
        "Q-U1": breaker_a(1.2 * sizes.ups_w),
        "Q-U2": breaker_a(1.2 * sizes.ups_w),
        "Q-C": breaker_a(FAN_W_PER_M3_S * sizes.flow_m3_s + 2_000.0),
        "Q-H": breaker_a(sizes.house_w),
        "Q-PV": breaker_a(sizes.pv_w),
        "Q-M": breaker_a(sizes.mining_w),
        # Of a rack whose machines do not divide by three, one phase carries more than a third.
        **{rack.breaker: breaker_a(3 * max(_phases_w(rack))) for rack in racks},
    }


def _phases_w(rack: Rack) -> list[float]:
    return [sum(outlet.nameplate_w for outlet in rack.outlets if outlet.phase == phase) for phase in range(3)]


def _elements(racks: Sequence[Rack], sizes: Sizes) -> Iterator[Element]:
    yield Element("FEED-1", Kind.UTILITY_FEED, "Grid, 20 kV", rating={"rated_v": 20_000.0, "hz": HZ})
    yield Element("TR-1", Kind.TRANSFORMER, "Transformer 20/0.4 kV", rating={"rated_va": sizes.transformer_kva * 1e3})
    yield Element("ATS-1", Kind.ATS, "Changeover switch")
    for number in (1, 2):
        board = "Main switchboard" if number == 1 else "Machines' switchboard"
        yield Element(f"MSB-{number}", Kind.SWITCHBOARD, board, rating={"rated_v": 400.0})
        yield Element(f"GEN-{number}", Kind.GENSET, f"Genset {number}", rating={"rated_w": sizes.genset_w})
        yield Element(f"UPS-{number}", Kind.UPS, f"UPS {'AB'[number - 1]}", rating={"rated_w": sizes.ups_w})
        yield Element(f"BAT-{number}", Kind.BATTERY, f"Battery {'AB'[number - 1]}", rating={"rated_wh": sizes.ups_wh})
        yield Element(f"SW-{number}", Kind.SWITCH, f"Network switch {number}", rating={"rated_w": SWITCH_W})
        yield Element(f"FW-{number}", Kind.FAN_WALL, f"Fan wall {number}", rating={"flow_m3_s": sizes.flow_m3_s / 2})
    for side in "AB":
        yield Element(f"PDU-{side}", Kind.PDU, f"Servers' PDU {side}", "servers", rating={"outlets": SERVERS + 1.0})
    for number in range(1, SERVERS + 1):
        peak_w = SERVER_IDLE_W + SERVER_BUSY_W
        yield Element(f"SRV-{number}", Kind.SERVER, f"Server {number}", "servers", rating={"rated_w": peak_w})
    for tag, amps in breakers(racks, sizes).items():
        yield Element(tag, Kind.BREAKER, f"Breaker {tag}", rating={"rated_a": amps})
    yield from _cooling_elements(sizes)
    meters = ("Incomer's meter", "Machines' meter", "Cooling's meter", "UPS's meter")
    for tag, name in zip(("MTR-F", *METERS), ("Grid's meter", *meters), strict=True):
        yield Element(tag, Kind.METER, name)
    for rack in racks:
        place = f"hall {rack.hall}/rack {rack.number}"
        yield Element(rack.pdu, Kind.PDU, f"PDU of rack {rack.number}", place, rating={"outlets": len(rack.outlets)})
        for outlet in rack.outlets:
            yield Element(outlet.tag, Kind.MACHINE, outlet.address, place, rating={"rated_w": outlet.nameplate_w})


def _cooling_elements(sizes: Sizes) -> Iterator[Element]:
    yield Element("FT-1", Kind.FUEL_TANK, "Fuel tank", rating={"capacity_l": sizes.fuel_l})
    yield Element("PV-1", Kind.PV, "Solar panels", rating={"rated_w": sizes.pv_w})
    yield Element("HOUSE-1", Kind.LOAD, "Lights and sockets", rating={"rated_w": sizes.house_w})
    yield Element("PAD-1", Kind.PAD, "Wet pads", rating={"flow_m3_s": sizes.flow_m3_s})
    yield Element("WT-1", Kind.WATER_TANK, "Water tank", rating={"capacity_l": sizes.water_l})
    yield Element("PUMP-1", Kind.PUMP, "Pads' pump", rating={"rated_w": 550.0})
    yield Element("PUMP-2", Kind.PUMP, "Loop's pump", rating={"rated_w": 370.0})
    yield Element("LOOP-1", Kind.LOOP, "Servers' water loop")
    yield Element("DC-1", Kind.DRY_COOLER, "Dry cooler", rating={"rated_w": 750.0})
    for tag, name in SENSORS.items():
        yield Element(tag, Kind.SENSOR, name)


SENSORS = {
    "TS-1": "Outside air temperature",
    "TS-2": "Hall supply air temperature",
    "TS-3": "Hall exhaust air temperature",
    "HS-1": "Outside air humidity",
    "TS-4": "Loop supply water temperature",
    "TS-5": "Loop return water temperature",
}


def _links(racks: Sequence[Rack]) -> Iterator[Link]:
    chain = (
        ("FEED-1", "TR-1"),
        ("TR-1", "Q-1"),
        ("Q-1", "ATS-1"),
        ("GEN-1", "Q-G1"),
        ("GEN-2", "Q-G2"),
        ("Q-G1", "ATS-1"),
        ("Q-G2", "ATS-1"),
        ("ATS-1", "MSB-1"),
        *(("MSB-1", tag) for tag in ("Q-U1", "Q-U2", "Q-C", "Q-H", "Q-M")),
        ("PV-1", "Q-PV"),
        ("Q-PV", "MSB-1"),
        ("Q-U1", "UPS-1"),
        ("Q-U2", "UPS-2"),
        ("BAT-1", "UPS-1"),
        ("BAT-2", "UPS-2"),
        *(("Q-C", tag) for tag in ("FW-1", "FW-2", "PUMP-1", "PUMP-2", "DC-1")),
        ("Q-H", "HOUSE-1"),
        ("Q-M", "MSB-2"),
    )
    for source, target in chain:
        yield Link(source, target)
    for side, number in (("A", 1), ("B", 2)):
        yield Link(f"UPS-{number}", f"PDU-{side}", phases="L1")
        for server in range(1, SERVERS + 1):
            yield Link(f"PDU-{side}", f"SRV-{server}", phases="L1", side=side, outlet=server)
        yield Link(f"PDU-{side}", f"SW-{number}", phases="L1", side=side, outlet=SERVERS + 1)
    for rack in racks:
        yield Link("MSB-2", rack.breaker)
        yield Link(rack.breaker, rack.pdu, phases=THREE_PHASES)
        for outlet in rack.outlets:
            yield Link(rack.pdu, outlet.tag, phases=PHASES[outlet.phase], outlet=outlet.number)
    yield from _cooling_links(racks)


def _cooling_links(racks: Sequence[Rack]) -> Iterator[Link]:
    for source, target in (("WT-1", "PUMP-1"), ("PUMP-1", "PAD-1"), ("PAD-1", "FW-1"), ("PAD-1", "FW-2")):
        yield Link(source, target, Medium.COOLING, phases="")
    for rack in racks:
        for wall in ("FW-1", "FW-2"):
            yield Link(wall, rack.pdu, Medium.COOLING, phases="")
    for source, target in (("DC-1", "PUMP-2"), ("PUMP-2", "LOOP-1")):
        yield Link(source, target, Medium.COOLING, phases="")
    for server in range(1, SERVERS + 1):
        yield Link("LOOP-1", f"SRV-{server}", Medium.COOLING, phases="")


def _devices(racks: Sequence[Rack], hall: int, *, port: int, meter_port: int) -> Iterator[Device]:
    def at(number: int) -> str:
        return f"127.{hall}.{PLANT_RACK}.{number}"

    yield Device("MTR-F", Protocol.SUNSPEC, "127.0.0.1", meter_port, "sunspec", unit=1)
    for tag, unit in METERS.items():
        yield Device(tag, Protocol.MODBUS, at(GATEWAY_N), port + MODBUS, "schneider-pm5000", unit=unit)
    for tag, unit in GENSETS.items():
        yield Device(tag, Protocol.MODBUS, at(GATEWAY_N), port + MODBUS, "deepsea-gencomm", unit=unit)
    snmp = port + SNMP
    yield Device("UPS-1", Protocol.SNMP3, at(UPS_N), snmp, "ups-mib", user=SNMP_USER, secret=SNMP_KEY)
    yield Device("UPS-2", Protocol.NUT, at(NUT_N), port + NUT, "nut-ups", name="ups-b")
    for number, side in enumerate("AB"):
        yield Device(f"PDU-{side}", Protocol.SNMP2, at(PDU_A_N + number), snmp, "apc-rpdu2", secret=COMMUNITY_WRITE)
    for rack in racks:
        host = rack.outlets[0].address.rpartition(".")[0] + f".{PDU_SLOT}"
        yield Device(rack.pdu, Protocol.SNMP2, host, snmp, "apc-rpdu2", secret=COMMUNITY_WRITE)
    yield Device("FW-1", Protocol.BACNET, at(HALL_N), port + BACNET, "cooling-unit", unit=HALL_INSTANCE)
    yield Device("LOOP-1", Protocol.BACNET, at(LOOP_N), port + BACNET, "cooling-unit", unit=LOOP_INSTANCE)
    for number in range(1, SERVERS + 1):
        host, redfish = at(SERVER_N + number - 1), port + REDFISH
        yield Device(f"SRV-{number}", Protocol.REDFISH, host, redfish, "redfish", user=ACCOUNT, secret=ACCOUNT_KEY)
