"""The virtual plant as it is built for its machines: sizes, elements, edges and devices. Pure.

One feed and transformer carry everything. Two gensets, each large enough alone, carry the main switchboard's essential
side through a changeover switch: two UPS with the servers and the network, and the cooling. The machines stand on a
second board, whose breaker opens as the grid goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from mbongi.base.config import Twin
from mbongi.twin.errors import TwinConfigError
from mbongi.twin.layout import positions
from mbongi.twin.models import model_of
from mbongi.twin.plant.parts import elements, links, places
from mbongi.twin.plant.ratings import SERVERS, breakers, sized
from mbongi.twin.plant.values import Device, Element, Link, Outlet, Place, Protocol, Rack, Sizes

PLANT_RACK, PDU_SLOT = 255, 253
"""Devices answer at 127.HALL.255.N, the racks' PDUs at 127.HALL.RACK.253."""
SLOTS_MAX = 252
GATEWAY_N, HALL_N, LOOP_N, UPS_N, NUT_N, PDU_A_N, SERVER_N = 1, 5, 6, 11, 12, 21, 31
MODBUS, SNMP, NUT, BACNET, REDFISH = range(5)
"""Offsets of the protocols' ports from ``twin.plant_port``."""
METERS = {"MTR-1": 1, "MTR-2": 2, "MTR-3": 3, "MTR-4": 4}
"""Panel meters and their Modbus units: the main board, the machines, the cooling, both UPS's inputs."""
GENSETS = {"GEN-1": 11, "GEN-2": 12}
HALL_INSTANCE, LOOP_INSTANCE = 2601, 2602
COMMUNITY, COMMUNITY_WRITE = "public", "private"
SNMP_USER, SNMP_KEY = "mbongi", "practice-key-of-the-plant"
ACCOUNT, ACCOUNT_KEY = "operator", "practice-key-of-the-plant"


@dataclass(frozen=True, slots=True)
class Design:
    """A virtual plant before it runs."""

    places: tuple[Place, ...]
    racks: tuple[Rack, ...]
    sizes: Sizes
    elements: tuple[Element, ...]
    links: tuple[Link, ...]
    devices: tuple[Device, ...]

    def document(self) -> dict[str, Any]:
        """As JSON: ``places``, ``elements``, ``links``, ``devices``, and the addresses of ``machines`` by tag.

        Fields are those of the inventory and of devices on record; what is None is not stated.
        """
        return {
            "places": [_stated(place) for place in self.places],
            "elements": [_stated(element) for element in self.elements],
            "links": [_stated(link) | {"tag": link.label} for link in self.links],
            "devices": [_stated(device) for device in self.devices],
            "machines": {outlet.tag: outlet.address for rack in self.racks for outlet in rack.outlets},
        }


def _stated(row: Place | Element | Link | Device) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if value is not None}


def designed(config: Twin) -> Design:
    """The plant of a virtual site. Raises TwinConfigError where a rack leaves no address for its PDU."""
    if config.per_rack > SLOTS_MAX:
        raise TwinConfigError(f"twin.per_rack: found {config.per_rack}; expected up to {SLOTS_MAX} with a plant")
    racks = tuple(_racks(config))
    sizes = sized(sum(rack.nameplate_w for rack in racks))
    hall = int(config.network.split(".")[1])
    return Design(
        tuple(places(racks)),
        racks,
        sizes,
        tuple(elements(racks, sizes, breakers(racks, sizes))),
        tuple(links(racks)),
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


def _devices(racks: Sequence[Rack], hall: int, *, port: int, meter_port: int) -> Iterator[Device]:
    def at(number: int) -> str:
        return f"127.{hall}.{PLANT_RACK}.{number}"

    yield Device("MTR-F", Protocol.SUNSPEC, "127.0.0.1", meter_port, "1")
    for units, map_name in ((METERS, "schneider-pm5000"), (GENSETS, "deepsea-gencomm")):
        for tag, unit in units.items():
            yield Device(tag, Protocol.MODBUS, at(GATEWAY_N), port + MODBUS, str(unit), map_name)
    v3 = {"user": SNMP_USER, "secret": SNMP_KEY, "privacy": SNMP_KEY}
    yield Device("UPS-1", Protocol.SNMP3, at(UPS_N), port + SNMP, "sha256", "ups-mib", **v3)
    yield Device("UPS-2", Protocol.NUT, at(NUT_N), port + NUT, "ups-b", "nut-ups")
    hosts = {f"PDU-{side}": at(PDU_A_N + number) for number, side in enumerate("AB")}
    hosts |= {rack.pdu: rack.outlets[0].address.rpartition(".")[0] + f".{PDU_SLOT}" for rack in racks}
    for tag, host in hosts.items():
        yield Device(tag, Protocol.SNMP2, host, port + SNMP, "", "apc-rpdu2", secret=COMMUNITY_WRITE)
    for tag, number, instance in (("FW-1", HALL_N, HALL_INSTANCE), ("LOOP-1", LOOP_N, LOOP_INSTANCE)):
        yield Device(tag, Protocol.BACNET, at(number), port + BACNET, str(instance), "cooling-unit")
    for number in range(SERVERS):
        account = {"user": ACCOUNT, "secret": ACCOUNT_KEY}
        yield Device(
            f"SRV-{number + 1}", Protocol.REDFISH, at(SERVER_N + number), port + REDFISH, "", "http", **account
        )
