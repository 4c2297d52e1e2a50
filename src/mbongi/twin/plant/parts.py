"""The parts of the virtual plant as an inventory has them: places, elements, links. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from mbongi.twin.plant.cooling import AIR_J_M3_K, DESIGN_RISE_K, FAN_W_PER_M3_S
from mbongi.twin.plant.ratings import POWER_FACTOR, SERVER_BUSY_W, SERVER_IDLE_W, SERVERS, SWITCH_W, VOLTS
from mbongi.twin.plant.values import PHASES, Element, Kind, Link, LinkKind, Place, Rack, Sizes

LINE_V = 400.0
RACK_M, AISLE_M, RACKS_IN_ROW = (0.8, 1.2), 3.0, 20
SERVERS_PLACE, ROOM, YARD = "CR-R1", "CR", "YARD"
SENSORS = {
    "TS-1": ("Outside air temperature", YARD),
    "TS-2": ("Hall supply air temperature", ""),
    "TS-3": ("Hall exhaust air temperature", ""),
    "HS-1": ("Outside air humidity", YARD),
    "TS-4": ("Loop supply water temperature", ROOM),
    "TS-5": ("Loop return water temperature", ROOM),
}
"""Name and place; empty: the first hall."""
MEASURED = {"MTR-F": "FEED-1", "MTR-1": "MSB-1", "MTR-2": "MSB-2", "MTR-3": "Q-C", "MTR-4": "MSB-3"}
"""What each meter measures."""


def places(racks: Sequence[Rack]) -> Iterator[Place]:
    """The site with its yard, the control room with the servers' rack, the halls with their racks in rows."""
    yield Place("SITE", "site", "Virtual site")
    yield Place(YARD, "hall", "Yard", "SITE", x_m=0.0, y_m=0.0, width_m=12.0, depth_m=12.0)
    yield Place(ROOM, "hall", "Control room", "SITE", x_m=14.0, y_m=0.0, width_m=8.0, depth_m=6.0)
    yield Place(SERVERS_PLACE, "rack", "Servers", ROOM, 42, "u", 16.0, 2.0, *RACK_M)
    halls = list(dict.fromkeys(rack.hall for rack in racks))
    for number, hall in enumerate(halls):
        own = [rack for rack in racks if rack.hall == hall]
        rows = -(-len(own) // RACKS_IN_ROW)
        top = 14.0 + number * (4.0 + 13 * (RACK_M[1] + AISLE_M))
        width = min(len(own), RACKS_IN_ROW) * RACK_M[0] + 4.0
        yield Place(f"H{hall}", "hall", f"Hall {hall}", "SITE", None, "shelf", 0.0, top, width, rows * 4.2 + 3.0)
        for index, rack in enumerate(own):
            row, column = divmod(index, RACKS_IN_ROW)
            x_m, y_m = 2.0 + column * RACK_M[0], top + 2.0 + row * (RACK_M[1] + AISLE_M)
            slots = max(outlet.number for outlet in rack.outlets)
            name = f"Rack {rack.number}"
            yield Place(rack.place, "rack", name, f"H{hall}", slots, "shelf", round(x_m, 2), round(y_m, 2), *RACK_M)


def elements(racks: Sequence[Rack], sizes: Sizes, amps: Mapping[str, float]) -> Iterator[Element]:
    """Every element; ``amps`` are the breakers' ratings."""
    hall = f"H{racks[0].hall}" if racks else ROOM
    yield from _supply(sizes)
    for tag, rated_a in amps.items():
        yield Element(
            tag=tag, kind=Kind.BREAKER, name=f"Breaker {tag}", place=ROOM, rated_a=rated_a, rated_v=LINE_V, phases=3
        )
    yield from _critical(sizes)
    yield from _cooling(sizes, hall)
    for tag, (name, place) in SENSORS.items():
        yield Element(tag=tag, kind=Kind.SENSOR, name=name, place=place or hall)
    for tag, measured in MEASURED.items():
        yield Element(tag=tag, kind=Kind.METER, name=f"Meter of {measured}", place=YARD if tag == "MTR-F" else ROOM)
    for rack in racks:
        yield from _rack(rack, amps[rack.breaker])


def _supply(sizes: Sizes) -> Iterator[Element]:
    kva = float(sizes.transformer_kva)
    yield Element(
        tag="FEED-1", kind=Kind.UTILITY_FEED, name="Grid, 20 kV", place=YARD, rated_kva=kva, rated_v=20_000.0, phases=3
    )
    yield Element(
        tag="TR-1",
        kind=Kind.TRANSFORMER,
        name="Transformer 20/0.4 kV",
        place=YARD,
        rated_kva=kva,
        rated_v=LINE_V,
        phases=3,
    )
    boards = {"ATS-1": "Changeover switch", "MSB-1": "Main board", "MSB-2": "Machines' board", "MSB-3": "UPS's board"}
    for tag, name in boards.items():
        yield Element(tag=tag, kind=Kind.SWITCHBOARD, name=name, place=ROOM, rated_v=LINE_V, phases=3)
    for number in (1, 2):
        kw = sizes.genset_w / 1000.0
        name = f"Genset {number}"
        yield Element(
            tag=f"GEN-{number}", kind=Kind.GENSET, name=name, place=YARD, rated_kw=kw, rated_v=LINE_V, phases=3
        )
    yield Element(tag="FT-1", kind=Kind.FUEL_TANK, name="Fuel tank", place=YARD, capacity_l=round(sizes.fuel_l, 1))
    yield Element(
        tag="PV-1",
        kind=Kind.PV,
        name="Solar panels",
        place=YARD,
        rated_kw=sizes.pv_w / 1000.0,
        rated_v=LINE_V,
        phases=3,
    )
    house_kw = round(sizes.house_w / 1000.0, 3)
    yield Element(
        tag="HOUSE-1", kind=Kind.OUTLET, name="Lights and sockets", place=ROOM, rated_kw=house_kw, demand_kw=house_kw
    )


def _critical(sizes: Sizes) -> Iterator[Element]:
    for number, side in enumerate("AB", start=1):
        kw = sizes.ups_w / 1000.0
        yield Element(
            tag=f"UPS-{number}",
            kind=Kind.UPS,
            name=f"UPS {side}",
            place=ROOM,
            rated_kw=kw,
            efficiency=0.94,
            rated_v=LINE_V,
            phases=3,
        )
        yield Element(
            tag=f"BAT-{number}",
            kind=Kind.BATTERY,
            name=f"Battery {side}",
            place=ROOM,
            rated_kw=kw,
            capacity_kwh=sizes.ups_wh / 1000.0,
        )
        yield Element(
            tag=f"PDU-{side}",
            kind=Kind.PDU,
            name=f"PDU {side}",
            place=SERVERS_PLACE,
            rated_v=VOLTS,
            rated_a=16.0,
            phases=1,
        )
        switch_kw = SWITCH_W / 1000.0
        yield Element(
            tag=f"SW-{number}",
            kind=Kind.SWITCH,
            name=f"Network switch {number}",
            place=SERVERS_PLACE,
            slot=40 + number,
            rated_kw=switch_kw,
        )
    for number in range(1, SERVERS + 1):
        peak_kw = (SERVER_IDLE_W + SERVER_BUSY_W) / 1000.0
        yield Element(
            tag=f"SRV-{number}",
            kind=Kind.SERVER,
            name=f"Server {number}",
            place=SERVERS_PLACE,
            slot=2 * number,
            rated_kw=peak_kw,
        )


def _cooling(sizes: Sizes, hall: str) -> Iterator[Element]:
    heat_kw = round(AIR_J_M3_K * DESIGN_RISE_K * sizes.flow_m3_s / 1000.0, 1)
    fan_kw = round(FAN_W_PER_M3_S * sizes.flow_m3_s / 2000.0, 3)
    loop_kw = round(SERVERS * (SERVER_IDLE_W + SERVER_BUSY_W) / 1000.0, 2)
    for number in (1, 2):
        name = f"Fan wall {number}"
        yield Element(
            tag=f"FW-{number}", kind=Kind.FAN_WALL, name=name, place=hall, rated_kw=heat_kw / 2, demand_kw=fan_kw
        )
    yield Element(tag="PAD-1", kind=Kind.PAD, name="Wet pads", place=hall, rated_kw=heat_kw)
    yield Element(tag="PUMP-1", kind=Kind.PUMP, name="Pads' pump", place=hall, rated_kw=heat_kw, demand_kw=0.55)
    yield Element(
        tag="WT-1", kind=Kind.WATER_TANK, name="Water tank", place=YARD, capacity_m3=round(sizes.water_l / 1000.0, 2)
    )
    yield Element(tag="PUMP-2", kind=Kind.PUMP, name="Loop's pump", place=ROOM, rated_kw=loop_kw, demand_kw=0.37)
    yield Element(tag="LOOP-1", kind=Kind.LOOP, name="Servers' water loop", place=ROOM, rated_kw=loop_kw)
    yield Element(tag="DC-1", kind=Kind.DRY_COOLER, name="Dry cooler", place=YARD, rated_kw=loop_kw, demand_kw=0.75)


def _rack(rack: Rack, amps: float) -> Iterator[Element]:
    name = f"PDU of rack {rack.number}"
    yield Element(tag=rack.pdu, kind=Kind.PDU, name=name, place=rack.place, rated_v=LINE_V, rated_a=amps, phases=3)
    for outlet in rack.outlets:
        yield Element(
            tag=outlet.tag,
            kind=Kind.MACHINE,
            name=outlet.address,
            place=rack.place,
            slot=outlet.number,
            rated_kw=outlet.nameplate_w / 1000.0,
            rated_v=VOLTS,
            phases=1,
            power_factor=POWER_FACTOR,
        )


def links(racks: Sequence[Rack]) -> Iterator[Link]:
    """Every edge: power from its sources down, cooling from what cools, data from meters to what they measure."""
    chain = (
        ("FEED-1", "TR-1"),
        ("TR-1", "Q-1"),
        ("Q-1", "ATS-1"),
        ("GEN-1", "Q-G1"),
        ("GEN-2", "Q-G2"),
        ("ATS-1", "MSB-1"),
        ("PV-1", "Q-PV"),
        ("Q-PV", "MSB-1"),
        *(("MSB-1", tag) for tag in ("Q-C", "Q-H", "Q-M", "MSB-3")),
        *(("MSB-3", f"Q-U{number}") for number in (1, 2)),
        *((f"Q-U{number}", f"UPS-{number}") for number in (1, 2)),
        *(("Q-C", tag) for tag in ("FW-1", "FW-2", "PUMP-1", "PUMP-2", "DC-1")),
        ("Q-H", "HOUSE-1"),
        ("Q-M", "MSB-2"),
    )
    for source, target in chain:
        yield Link(source, target)
    for number in (1, 2):
        yield Link(f"Q-G{number}", "ATS-1", normally_open=True)
        yield Link(f"BAT-{number}", f"UPS-{number}", normally_open=True)
    for number, side in enumerate("AB", start=1):
        yield Link(f"UPS-{number}", f"PDU-{side}", phases="L1", side=side)
        for server in range(1, SERVERS + 1):
            yield Link(f"PDU-{side}", f"SRV-{server}", phases="L1", side=side, tag=f"PDU-{side}/{server}")
        yield Link(f"PDU-{side}", f"SW-{number}", phases="L1", side=side, tag=f"PDU-{side}/{SERVERS + 1}")
    for rack in racks:
        yield Link("MSB-2", rack.breaker)
        yield Link(rack.breaker, rack.pdu)
        for outlet in rack.outlets:
            yield Link(rack.pdu, outlet.tag, phases=PHASES[outlet.phase], tag=f"{rack.pdu}/{outlet.number}")
    yield from _cooling_links(racks)
    for meter, measured in MEASURED.items():
        yield Link(meter, measured, LinkKind.DATA, phases="")


def _cooling_links(racks: Sequence[Rack]) -> Iterator[Link]:
    chain = [
        ("WT-1", "PUMP-1"),
        ("PUMP-1", "PAD-1"),
        ("PAD-1", "FW-1"),
        ("PAD-1", "FW-2"),
        ("DC-1", "PUMP-2"),
        ("PUMP-2", "LOOP-1"),
    ]
    chain += [("LOOP-1", f"SRV-{server}") for server in range(1, SERVERS + 1)]
    for rack in racks:
        chain += [(wall, outlet.tag) for wall in ("FW-1", "FW-2") for outlet in rack.outlets]
    for source, target in chain:
        yield Link(source, target, LinkKind.COOLING, phases="")
